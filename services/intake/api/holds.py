"""Legal holds: data that a case needs are not erased until two persons, or a review, let them go (privacy team)."""

from datetime import date
from operator import attrgetter
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from services.intake.api.dependencies import PRIVACY_TEAM, AnyCaller, UseServices
from services.intake.api.paging import Page, Paged
from services.intake.api.problems import documented
from services.intake.core.errors import BadRequest, NotFound, TooLarge, UnsupportedType
from services.intake.core.schemas import Instant
from services.intake.reviews import holds
from services.intake.reviews.holds import HoldPlaced
from shared.domain.identities import MalformedIdentity
from shared.storage import holds as stored

router = APIRouter(prefix="/v1/holds", tags=["holds"], dependencies=PRIVACY_TEAM)


class HoldView(BaseModel):
    """A hold: of which case, by whom, until which review; not whose data it holds, which nobody can read any more."""

    model_config = ConfigDict(from_attributes=True)

    hold_id: UUID
    case_number: str
    owner: str = Field(description="the holder of the key that placed it")
    reason: str
    categories: list[str] = Field(description="none: all")
    placed_at: Instant
    review_on: date
    lifted_at: Instant | None
    lifted_by: list[str]


@router.post(
    "",
    status_code=201,
    responses=documented(BadRequest, MalformedIdentity, TooLarge, UnsupportedType),
)
async def place_hold(body: HoldPlaced, caller: AnyCaller, services: UseServices, response: Response) -> HoldView:
    """Hold data of a person for a case (privacy team): no erasure touches them until the hold is lifted."""
    async with services.unit_of_work.begin() as tx:
        placed = HoldView.model_validate(await services.use_cases.holds.place(tx, body, caller))
    response.headers["Location"] = f"{router.prefix}/{placed.hold_id}"
    return placed


@router.get("")
async def list_holds(services: UseServices, paging: Paged) -> Page[HoldView]:
    """Every hold in force, the next review first (privacy team)."""
    async with services.unit_of_work.pool.acquire() as connection:
        found = [HoldView.model_validate(each) for each in await stored.in_force(connection)]
    return paging.cut(found, attrgetter("hold_id"))


@router.get("/{hold_id}", responses=documented(NotFound))
async def read_hold(hold_id: UUID, services: UseServices) -> HoldView:
    """One hold, also one that is lifted (privacy team)."""
    async with services.unit_of_work.pool.acquire() as connection:
        return HoldView.model_validate(await holds.read(connection, hold_id))
