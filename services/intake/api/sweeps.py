"""The nightly sweep: what is past a ceiling, what went, and what waits for two persons (privacy team)."""

from operator import attrgetter
from uuid import UUID

from fastapi import APIRouter

from services.intake import sweeps
from services.intake.api.dependencies import PRIVACY_TEAM, AnyCaller, UseServices
from services.intake.api.paging import Page, Paged
from services.intake.errors import NotFound, SamePerson
from services.intake.problems import documented
from shared.domain.errors import IllegalTransition

router = APIRouter(prefix="/v1/sweeps", tags=["sweeps"], dependencies=PRIVACY_TEAM)


@router.get("")
async def list_sweeps(services: UseServices, paging: Paged) -> Page[sweeps.Sweep]:
    """What each ceiling does to each table, as the last night has left it (privacy team)."""
    async with services.unit_of_work.pool.acquire() as connection:
        return paging.cut(await sweeps.listed(connection), attrgetter("sweep_id"))


@router.post("/{sweep_id}/confirmation", responses=documented(NotFound, IllegalTransition, SamePerson))
async def confirm_sweep(sweep_id: UUID, caller: AnyCaller, services: UseServices) -> sweeps.Sweep:
    """Say that what is stopped may go (privacy team).

    It takes two persons: two keys of different holders. With the second it goes within a minute, up to the day and the
    number that were shown; where there are more rows by then, nothing goes, and two persons are asked again.
    """
    async with services.unit_of_work.begin() as tx:
        return await sweeps.confirm(tx, sweep_id, caller.holder, caller.actor)
