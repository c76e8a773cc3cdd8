"""Queues answers that wait for their package; one live process at a time leases each."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from uuid_utils.compat import uuid7

from shared.domain.operations import PREPARING, TaskOutcome
from shared.fulfilment.fulfilments import Fulfilments
from shared.fulfilment.queue import LeaseLost
from shared.fulfilment.store import FulfilmentResult
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage.postgres import Connection
from shared.storage.release import KIND as FOUND_BY

STEP = ("export", "package")
"""The step that wakes the package loops."""
_ADD = """
INSERT INTO package_due (package_id, fulfilment_id, request_id, subject_ref, decided, due_on, not_before, traceparent)
SELECT $1, fulfilment_id, request_id, subject_ref, $3, due_on, $4, traceparent FROM fulfilment WHERE fulfilment_id = $2
"""
_CLAIM = """
UPDATE package_due SET made_by = $1, attempt = attempt + 1 WHERE package_id = (
    SELECT package_id FROM package_due p
    WHERE not_before <= $2 AND EXISTS (SELECT FROM worker_process WHERE process_id = $1)
      AND (made_by IS NULL OR NOT EXISTS (SELECT FROM worker_process WHERE process_id = made_by))
      AND NOT EXISTS (SELECT FROM package_due e WHERE e.request_id = p.request_id AND e.package_id < p.package_id)
    ORDER BY due_on, package_id LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING package_id, fulfilment_id, request_id, subject_ref, decided, attempt, traceparent
"""
_ANY = "SELECT EXISTS (SELECT FROM package_due WHERE not_before <= $1)"
_HOLD = "SELECT FROM package_due WHERE package_id = $1 AND made_by = $2 FOR UPDATE"
_AGAIN = "UPDATE package_due SET made_by = NULL, not_before = $3 WHERE package_id = $1 AND made_by = $2"
_DROP = "DELETE FROM package_due WHERE request_id = ANY($1) RETURNING package_id, subject_ref"


@dataclass(frozen=True, slots=True)
class DuePackage:
    """A package that this process builds; ``attempt`` counts from one."""

    holder: UUID
    package_id: UUID
    fulfilment_id: UUID
    request_id: UUID
    subject_ref: UUID
    decided: bool
    attempt: int
    traceparent: str | None

    @property
    def source(self) -> str:
        """Returns the source of the vault pieces that record how the rows were found."""
        return str(self.package_id)


def gave(done: FulfilmentResult) -> set[str]:
    """Returns the systems whose copy is complete."""
    collecting = [report for report in done.reports if report.operation not in PREPARING]
    given = {report.system for report in collecting if report.outcome == TaskOutcome.EXPORTED}
    return given - {report.system for report in collecting if not report.outcome}


async def add(tx: UnitOfWork, fulfilments: Fulfilments, done: FulfilmentResult, *, decided: bool) -> None:
    """Queues a package of the collected data."""
    await tx.connection.execute(_ADD, uuid7(), done.fulfilment_id, decided, tx.now)
    fulfilments.wake(tx, STEP)


async def drop(tx: UnitOfWork, requests: Sequence[UUID]) -> None:
    """Has no package made any more for these requests, and drops what there is of one in the making.

    These rows are locked before any other, as in the making of a package.
    """
    for package_id, subject in await tx.connection.fetch(_DROP, requests):
        await forget(tx, subject, package_id)


async def forget(tx: UnitOfWork, subject_ref: UUID, package_id: UUID) -> None:
    """Drops what an attempt has left."""
    await tx.vault.drop_one(tx.connection, package_id)
    await tx.vault.drop_of_source(tx.connection, [subject_ref], FOUND_BY, str(package_id))


async def claim(connection: Connection, holder: UUID, now: datetime) -> DuePackage | None:
    """Leases the package that is due first, of those no live process has; None if there is none."""
    if not await connection.fetchval(_ANY, now):
        return None
    row = await connection.fetchrow(_CLAIM, holder, now)
    return DuePackage(holder, *row) if row else None


async def hold(connection: Connection, due: DuePackage) -> None:
    """Keeps it in hand until the end of the transaction.

    Raises:
        LeaseLost: another process has it, or it is no longer wanted.
    """
    if not await connection.fetch(_HOLD, due.package_id, due.holder):
        raise LeaseLost("a package is no longer ours to make")


async def postpone(connection: Connection, due: DuePackage, not_before: datetime) -> None:
    """Releases the package, to be retried by any process."""
    await connection.execute(_AGAIN, due.package_id, due.holder, not_before)


async def end(connection: Connection, due: DuePackage) -> None:
    """Removes a package that is built or blocked."""
    await connection.execute("DELETE FROM package_due WHERE package_id = $1", due.package_id)
