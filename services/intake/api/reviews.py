"""What needs the privacy team next to requests: stopped proofs, number conflicts, sweeps, systems, suspended keys."""

from operator import attrgetter

from fastapi import APIRouter

from services.intake.access import key_suspension
from services.intake.access.key_suspension import SuspendedKey
from services.intake.api.dependencies import PRIVACY_TEAM, UseServices
from services.intake.api.paging import Page, Paged
from services.intake.identity import stopped
from services.intake.reviews import assignment_conflicts, quarantines, retention_runs
from services.intake.reviews.assignment_conflicts import AssignmentConflict

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
