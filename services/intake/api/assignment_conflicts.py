"""Conflicts about numbers: what systems say of whose a number was, and the register does not (privacy team)."""

from operator import attrgetter
from uuid import UUID

from fastapi import APIRouter

from services.intake import assignment_conflicts
from services.intake.api.dependencies import PRIVACY_TEAM, AnyCaller, UseServices
from services.intake.api.paging import Page, Paged
from services.intake.assignment_conflicts import AssignmentConflict
from services.intake.errors import NotFound
from services.intake.problems import documented

router = APIRouter(prefix="/v1/assignment-conflicts", tags=["assignment conflicts"], dependencies=PRIVACY_TEAM)


@router.get("")
async def list_assignment_conflicts(services: UseServices, paging: Paged) -> Page[AssignmentConflict]:
    """Every conflict that needs manual review, the oldest first (privacy team)."""
    async with services.unit_of_work.pool.acquire() as connection:
        return paging.cut(await assignment_conflicts.listed(connection), attrgetter("conflict_id"))


@router.post("/{conflict_id}/settle", responses=documented(NotFound))
async def settle_assignment_conflict(conflict_id: UUID, caller: AnyCaller, services: UseServices) -> AssignmentConflict:
    """Say that the register is right, and the system is not (privacy team).

    Nothing more is touched by it, and requests that wait for it go on by themselves. Where the register is wrong,
    correct its source instead and read it again: then they go on, too.
    """
    async with services.unit_of_work.begin() as tx:
        return await assignment_conflicts.settle(tx, conflict_id, caller.holder, caller.actor)
