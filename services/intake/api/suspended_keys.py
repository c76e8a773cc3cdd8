"""API keys that asked for more erasures in an hour than the policy allows (privacy team)."""

from operator import attrgetter
from typing import Annotated

from fastapi import APIRouter, Path

from services.intake import key_suspension
from services.intake.api.dependencies import PRIVACY_TEAM, AnyCaller, UseServices
from services.intake.api.paging import Page, Paged
from services.intake.errors import NotFound, SamePerson
from services.intake.key_suspension import SuspendedKey
from services.intake.problems import documented

router = APIRouter(prefix="/v1/suspended-keys", tags=["suspended keys"], dependencies=PRIVACY_TEAM)
KeyId = Annotated[
    str,
    Path(
        pattern=r"^([0-9a-f]{12}|person:[a-z][a-z0-9._-]{0,62})$",
        description="the part of the key between the underscores; for a person who signed in, their name",
    ),
]


@router.get("")
async def list_suspended_keys(services: UseServices, paging: Paged) -> Page[SuspendedKey]:
    """List the suspended keys (privacy team)."""
    async with services.unit_of_work.pool.acquire() as connection:
        return paging.cut(await key_suspension.read(connection), attrgetter("key_id"))


@router.post("/{key_id}/release", responses=documented(NotFound, SamePerson))
async def release_key(key_id: KeyId, caller: AnyCaller, services: UseServices) -> SuspendedKey:
    """Release a key and begin all erasures that wait for it (privacy team).

    The holder of the key cannot release it. Revoke a key that leaked, and close what it has asked for.
    """
    async with services.unit_of_work.begin() as tx:
        return await key_suspension.release(tx, key_id, caller.holder, caller.actor)
