"""Brakes: keys that have asked for more erasures in an hour than the policy allows (privacy team)."""

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from services.intake import brake
from services.intake.api.dependencies import PRIVACY_TEAM, AnyCaller, UseServices
from services.intake.api.views import Instant
from services.intake.errors import NotFound
from services.intake.problems import documented
from shared.domain.errors import IllegalTransition

router = APIRouter(prefix="/v1/brakes", tags=["brakes"], dependencies=PRIVACY_TEAM)
KeyId = Annotated[
    str,
    Path(
        pattern=r"^([0-9a-f]{12}|person:[a-z][a-z0-9._-]{0,62})$",
        description="the part of the key between the underscores; of whoever has signed in: who",
    ),
]


class BrakeView(BaseModel):
    """A key for which nothing is erased until two persons, holders of two keys, have released it."""

    key_id: str
    holder: str = Field(description="who has the key")
    tripped_at: Instant
    released_by: list[str] = Field(description="who has released it so far")
    released_at: Instant | None = Field(description="when the second did")
    held: int = Field(description="erasures that wait")


class BrakeList(BaseModel):
    """Every brake that is on."""

    brakes: list[BrakeView]


@router.get("")
async def list_brakes(services: UseServices) -> BrakeList:
    """Every key for which nothing is erased now (privacy team)."""
    async with services.unit_of_work.pool.acquire() as connection:
        return BrakeList.model_validate({"brakes": await brake.read(connection)})


@router.post("/{key_id}/release", responses=documented(NotFound, IllegalTransition))
async def release(key_id: KeyId, caller: AnyCaller, services: UseServices) -> BrakeView:
    """Let a key erase again (privacy team).

    It takes two persons: two keys of different holders. With the second, what waits begins by itself. A key that leaked
    is revoked instead, and what it has asked for is closed.
    """
    async with services.unit_of_work.begin() as tx:
        return BrakeView.model_validate(await brake.release(tx, key_id, caller.holder, caller.actor))
