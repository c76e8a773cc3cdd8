"""Systems: where each stands; one person stops one, two let it be worked again (privacy team)."""

from operator import attrgetter
from typing import Annotated

from fastapi import APIRouter, Path

from services.intake import quarantines
from services.intake.api.dependencies import PRIVACY_TEAM, AnyCaller, UseServices
from services.intake.api.paging import Page, Paged
from services.intake.errors import NotFound, SamePerson
from services.intake.problems import documented
from shared.domain.errors import IllegalTransition

router = APIRouter(prefix="/v1/systems", tags=["systems"], dependencies=PRIVACY_TEAM)
Name = Annotated[str, Path(pattern=r"^[a-z][a-z0-9-]{0,40}$", description="as the downstreams file names it")]


@router.get("")
async def list_systems(services: UseServices, paging: Paged) -> Page[quarantines.KnownSystem]:
    """The status of each registered system (privacy team)."""
    async with services.unit_of_work.pool.acquire() as connection:
        return paging.cut(await quarantines.listed(connection), attrgetter("name"))


@router.post("/{name}/quarantine", responses=documented(NotFound, IllegalTransition))
async def quarantine_system(name: Name, caller: AnyCaller, services: UseServices) -> quarantines.KnownSystem:
    """Do nothing in a system from now on; what needs it waits (privacy team)."""
    async with services.unit_of_work.begin() as tx:
        await quarantines.stop(tx, name, caller.holder, caller.actor)
        return await quarantines.read(tx.connection, name)


@router.post("/{name}/release", responses=documented(NotFound, IllegalTransition, SamePerson))
async def release_system(name: Name, caller: AnyCaller, services: UseServices) -> quarantines.KnownSystem:
    """Let a system be worked again that a person has quarantined (privacy team).

    It takes two persons: two keys of different holders. With the second, what waits for it goes on by itself.
    """
    async with services.unit_of_work.begin() as tx:
        await quarantines.release(tx, name, caller.holder, caller.actor)
        return await quarantines.read(tx.connection, name)
