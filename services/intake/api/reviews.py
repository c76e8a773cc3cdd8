"""Reviews of the privacy team: holds, incidents, stopped proofs, number conflicts, sweeps, systems, suspended keys."""

from datetime import date
from operator import attrgetter
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from services.intake.access import key_suspension
from services.intake.access.key_suspension import SuspendedKey
from services.intake.api.dependencies import PRIVACY_TEAM, AnyCaller, DryRun, Rehearsable, UseServices
from services.intake.api.paging import Page, Paged
from services.intake.api.problems import documented
from services.intake.core.errors import BadRequest, NotFound, TooLarge, TooManyCalls, UnsupportedType
from services.intake.core.schemas import Instant, Strict
from services.intake.identity import stopped
from services.intake.incidents import record
from services.intake.incidents.incident import Incident, IncidentRow
from services.intake.incidents.schemas import IncidentFound
from services.intake.queries.suppression_check import MOST, Checked, ContactPoint
from services.intake.reviews import assignment_conflicts, holds, quarantines, retention_runs
from services.intake.reviews.assignment_conflicts import AssignmentConflict
from services.intake.reviews.holds import HoldPlaced
from shared.domain.errors import Shredded
from shared.domain.identities import MalformedIdentity
from shared.storage import holds as stored

router = APIRouter(prefix="/v1", tags=["reviews"], dependencies=PRIVACY_TEAM)


@router.get("/proofs/stopped")
async def list_stopped_proofs(services: UseServices, paging: Paged) -> Page[stopped.Stopped]:
    """List the first 1,000 requests whose proof needs manual review, the nearest deadline first (privacy team).

    Ask the requester in another way, verify them by what they have shown to a person, or answer the request: then it is
    on this list no more.
    """
    async with services.unit_of_work.pool.acquire() as connection:
        found = await stopped.waiting(connection, services.use_cases.identity.links.failures)
    return paging.cut(found, attrgetter("request_id"))


@router.get("/assignment-conflicts")
async def list_assignment_conflicts(services: UseServices, paging: Paged) -> Page[AssignmentConflict]:
    """Every conflict that needs manual review, the oldest first (privacy team)."""
    async with services.unit_of_work.pool.acquire() as connection:
        return paging.cut(await assignment_conflicts.listed(connection), attrgetter("conflict_id"))


@router.get("/sweeps")
async def list_sweeps(services: UseServices, paging: Paged) -> Page[retention_runs.Sweep]:
    """What each ceiling does to each table, as the last night has left it (privacy team)."""
    async with services.unit_of_work.pool.acquire() as connection:
        return paging.cut(await retention_runs.listed(connection), attrgetter("sweep_id"))


@router.get("/systems")
async def list_systems(services: UseServices, paging: Paged) -> Page[quarantines.KnownSystem]:
    """The status of each registered system (privacy team)."""
    async with services.unit_of_work.pool.acquire() as connection:
        return paging.cut(await quarantines.listed(connection), attrgetter("name"))


@router.get("/suspended-keys")
async def list_suspended_keys(services: UseServices, paging: Paged) -> Page[SuspendedKey]:
    """List the suspended keys (privacy team)."""
    async with services.unit_of_work.pool.acquire() as connection:
        return paging.cut(await key_suspension.read(connection), attrgetter("key_id"))


hold_routes = APIRouter(prefix="/v1/holds", tags=["reviews"], dependencies=PRIVACY_TEAM)


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


@hold_routes.post(
    "",
    status_code=201,
    responses=documented(BadRequest, MalformedIdentity, TooLarge, UnsupportedType),
)
async def place_hold(body: HoldPlaced, caller: AnyCaller, services: UseServices, response: Response) -> HoldView:
    """Hold data of a person for a case (privacy team): no erasure touches them until the hold is lifted."""
    async with services.unit_of_work.begin() as tx:
        placed = HoldView.model_validate(await services.use_cases.holds.place(tx, body, caller))
    response.headers["Location"] = f"{hold_routes.prefix}/{placed.hold_id}"
    return placed


@hold_routes.get("")
async def list_holds(services: UseServices, paging: Paged) -> Page[HoldView]:
    """Every hold in force, the next review first (privacy team)."""
    async with services.unit_of_work.pool.acquire() as connection:
        found = [HoldView.model_validate(each) for each in await stored.in_force(connection)]
    return paging.cut(found, attrgetter("hold_id"))


@hold_routes.get("/{hold_id}", responses=documented(NotFound))
async def read_hold(hold_id: UUID, services: UseServices) -> HoldView:
    """One hold, also one that is lifted (privacy team)."""
    async with services.unit_of_work.pool.acquire() as connection:
        return HoldView.model_validate(await holds.read(connection, hold_id))


incident_routes = APIRouter(prefix="/v1/incidents", tags=["reviews"], dependencies=PRIVACY_TEAM)


@incident_routes.get("")
async def list_incidents(services: UseServices, paging: Paged) -> Page[IncidentRow]:
    """List every open incident, the most urgent first, then those closed last."""
    async with services.unit_of_work.pool.acquire() as connection:
        return paging.cut(await record.listed(connection), attrgetter("incident_id"))


@incident_routes.post("", status_code=201, responses=documented(BadRequest, TooLarge, UnsupportedType))
async def open_incident(
    body: IncidentFound, caller: AnyCaller, services: Rehearsable, response: Response, *, dry_run: DryRun = False
) -> Incident:
    """Open an incident that was found elsewhere; you own it, unless you have handled its request."""
    async with services.unit_of_work.begin() as tx:
        opened = await record.enter(tx, body, caller)
    if not dry_run:
        response.headers["Location"] = f"{incident_routes.prefix}/{opened.incident_id}"
    return opened


@incident_routes.get("/{incident_id}", responses=documented(NotFound, Shredded))
async def read_incident(incident_id: UUID, caller: AnyCaller, services: UseServices) -> Incident:
    """Read the whole record of an incident, with its words; the evidence names you."""
    async with services.unit_of_work.begin() as tx:
        return await record.read(tx, incident_id, caller)


suppression_routes = APIRouter(prefix="/v1/suppression", tags=["reviews"])


class Question(Strict):
    """Contact points that somebody means to send marketing to."""

    contact_points: Annotated[tuple[ContactPoint, ...], Field(min_length=1, max_length=MOST)]


@suppression_routes.post("/check", responses=documented(TooLarge, TooManyCalls, UnsupportedType))
async def check_suppression(body: Question, caller: AnyCaller, services: UseServices) -> Checked:
    """Ask which of up to 10,000 contact points get no marketing of ours.

    It needs a key of a channel that was made for it (`dsr api-key new --role channel --may check`), which may ask about
    so many a minute. Nothing of what is asked is kept but the counts.
    """
    return await services.suppression.check(body.contact_points, caller)
