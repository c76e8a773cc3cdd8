"""API keys that asked for more erasures in an hour than the policy allows (privacy team)."""

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from services.intake import key_suspension
from services.intake.api.dependencies import PRIVACY_TEAM, AnyCaller, UseServices
from services.intake.errors import NotFound, SamePerson
from services.intake.problems import documented
from services.intake.schemas import Instant

router = APIRouter(prefix="/v1/suspended-keys", tags=["suspended keys"], dependencies=PRIVACY_TEAM)
KeyId = Annotated[
    str,
    Path(
        pattern=r"^([0-9a-f]{12}|person:[a-z][a-z0-9._-]{0,62})$",
        description="the part of the key between the underscores; for a person who signed in, their name",
    ),
]


class SuspendedKeyView(BaseModel):
    """An API key whose erasures wait until it is released."""

    key_id: str
    holder: str = Field(description="who has the key")
    suspended_at: Instant
    waiting: int = Field(description="erasures that wait")


class SuspendedKeyList(BaseModel):
    """Every suspended key."""

    keys: list[SuspendedKeyView]


@router.get("")
async def list_suspended_keys(services: UseServices) -> SuspendedKeyList:
    """List the suspended keys (privacy team)."""
    async with services.unit_of_work.pool.acquire() as connection:
        return SuspendedKeyList.model_validate({"keys": await key_suspension.read(connection)})


@router.post("/{key_id}/release", responses=documented(NotFound, SamePerson))
async def release_key(key_id: KeyId, caller: AnyCaller, services: UseServices) -> SuspendedKeyView:
    """Release a key and begin all erasures that wait for it (privacy team).

    The holder of the key cannot release it. Revoke a key that leaked, and close what it has asked for.
    """
    async with services.unit_of_work.begin() as tx:
        released = await key_suspension.release(tx, key_id, caller.holder, caller.actor)
        return SuspendedKeyView.model_validate(released)
