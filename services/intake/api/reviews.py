"""What needs the privacy team next to requests: stopped proofs, number conflicts, sweeps, systems, suspended keys."""

from operator import attrgetter
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path

from services.intake import assignment_conflicts, key_suspension, quarantines, sweeps
from services.intake.api.dependencies import PRIVACY_TEAM, AnyCaller, UseServices
from services.intake.api.paging import Page, Paged
from services.intake.assignment_conflicts import AssignmentConflict
from services.intake.errors import NotFound, SamePerson
from services.intake.identity import stopped
from services.intake.key_suspension import SuspendedKey
from services.intake.problems import documented
from shared.domain.errors import IllegalTransition

router = APIRouter(prefix="/v1", tags=["reviews"], dependencies=PRIVACY_TEAM)
Name = Annotated[str, Path(pattern=r"^[a-z][a-z0-9-]{0,40}$", description="as the downstreams file names it")]
KeyId = Annotated[
    str,
    Path(
        pattern=r"^([0-9a-f]{12}|person:[a-z][a-z0-9._-]{0,62})$",
        description="the part of the key between the underscores; for a person who signed in, their name",
    ),
]


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


@router.post("/assignment-conflicts/{conflict_id}/settle", responses=documented(NotFound))
async def settle_assignment_conflict(conflict_id: UUID, caller: AnyCaller, services: UseServices) -> AssignmentConflict:
    """Say that the register is right, and the system is not (privacy team).

    Nothing more is touched by it, and requests that wait for it go on by themselves. Where the register is wrong,
    correct its source instead and read it again: then they go on, too.
    """
    async with services.unit_of_work.begin() as tx:
        return await assignment_conflicts.settle(tx, conflict_id, caller.holder, caller.actor)


@router.get("/sweeps")
async def list_sweeps(services: UseServices, paging: Paged) -> Page[sweeps.Sweep]:
    """What each ceiling does to each table, as the last night has left it (privacy team)."""
    async with services.unit_of_work.pool.acquire() as connection:
        return paging.cut(await sweeps.listed(connection), attrgetter("sweep_id"))


@router.post("/sweeps/{sweep_id}/confirmation", responses=documented(NotFound, IllegalTransition, SamePerson))
async def confirm_sweep(sweep_id: UUID, caller: AnyCaller, services: UseServices) -> sweeps.Sweep:
    """Say that what is stopped may go (privacy team).

    It takes two persons: two keys of different holders. With the second it goes within a minute, up to the day and the
    number that were shown; where there are more rows by then, nothing goes, and two persons are asked again.
    """
    async with services.unit_of_work.begin() as tx:
        return await sweeps.confirm(tx, sweep_id, caller.holder, caller.actor)


@router.get("/systems")
async def list_systems(services: UseServices, paging: Paged) -> Page[quarantines.KnownSystem]:
    """The status of each registered system (privacy team)."""
    async with services.unit_of_work.pool.acquire() as connection:
        return paging.cut(await quarantines.listed(connection), attrgetter("name"))


@router.post("/systems/{name}/quarantine", responses=documented(NotFound, IllegalTransition))
async def quarantine_system(name: Name, caller: AnyCaller, services: UseServices) -> quarantines.KnownSystem:
    """Do nothing in a system from now on; what needs it waits (privacy team)."""
    async with services.unit_of_work.begin() as tx:
        await quarantines.stop(tx, name, caller.holder, caller.actor)
        return await quarantines.read(tx.connection, name)


@router.post("/systems/{name}/release", responses=documented(NotFound, IllegalTransition, SamePerson))
async def release_system(name: Name, caller: AnyCaller, services: UseServices) -> quarantines.KnownSystem:
    """Let a system be worked again that a person has quarantined (privacy team).

    It takes two persons: two keys of different holders. With the second, what waits for it goes on by itself.
    """
    async with services.unit_of_work.begin() as tx:
        await quarantines.release(tx, name, caller.holder, caller.actor)
        return await quarantines.read(tx.connection, name)


@router.get("/suspended-keys")
async def list_suspended_keys(services: UseServices, paging: Paged) -> Page[SuspendedKey]:
    """List the suspended keys (privacy team)."""
    async with services.unit_of_work.pool.acquire() as connection:
        return paging.cut(await key_suspension.read(connection), attrgetter("key_id"))


@router.post("/suspended-keys/{key_id}/release", responses=documented(NotFound, SamePerson))
async def release_key(key_id: KeyId, caller: AnyCaller, services: UseServices) -> SuspendedKey:
    """Release a key and begin all erasures that wait for it (privacy team).

    The holder of the key cannot release it. Revoke a key that leaked, and close what it has asked for.
    """
    async with services.unit_of_work.begin() as tx:
        return await key_suspension.release(tx, key_id, caller.holder, caller.actor)
