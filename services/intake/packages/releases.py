"""Checks packages before they are handed out: at the first download, and after each relevant change.

One that does not fit any more is withheld until it does; was it handed out before, that is an incident (REQ-S8, S9).
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from pydantic import JsonValue

from services.intake.access.auth import Caller
from services.intake.incidents import record as incidents
from services.intake.letters import delivery_queue, sealed_letters
from services.intake.letters.letter_facts import LetterFacts
from services.intake.request.aggregate import Request
from services.intake.request.letter_kinds import LetterField
from services.intake.request.lifecycle import State
from services.intake.settings import IntakeSettings
from services.intake.store import repository
from shared.app.service import Running
from shared.domain.errors import Shredded
from shared.domain.policy import Policy
from shared.domain.proofs import proof_policy
from shared.domain.release import ReleaseFault
from shared.messaging.unit_of_work import UnitOfWork, UnitOfWorkFactory
from shared.runtime.loops import run_periodically
from shared.runtime.metrics import RELEASES
from shared.storage.postgres import Connection, allow_long_idle
from shared.storage.release import changed_at, fault_of_package, version_of

log = logging.getLogger(__name__)

_EVERY_SECONDS = 60.0
_AT_A_TIME = 20
_SERVICE = "intake"
_AGAIN = timedelta(days=1)
"""After which a package is looked at again, whatever has changed: what is proved may have."""
for _result in ("fits", "withheld"):
    RELEASES.labels(_SERVICE, _result)  # shown as 0 until the first

_HOLD = "SELECT FROM request WHERE request_id = $1 FOR UPDATE"
_READ = """
SELECT request_id, r.subject_ref, p.package_id, p.downloads, p.fault, p.checked_as
FROM package p JOIN request r USING (request_id)
"""
_ONE = f"{_READ} WHERE request_id = $1"
_DUE = f"""
{_READ} WHERE NOT p.gone AND r.responded_at > $1 AND coalesce(p.checked_at, r.responded_at) < $2
ORDER BY r.responded_at LIMIT $3 FOR UPDATE OF r SKIP LOCKED
"""
# A look for one reason says nothing about another.
_INSPECTIONS = """
SELECT detail::jsonb ->> 'holder', max(at) FROM evidence.entry
WHERE request_id = $1 AND action = 'package.viewed' AND detail::jsonb @> $2 GROUP BY 1 ORDER BY 2
"""
_BY_TWO = """
SELECT true FROM approval WHERE action = 'release-package' AND about = $1 AND state = 'approved' LIMIT 1
"""
# One person has said that a proof was wrong; a second has not approved it.
_DOUBTED = """
SELECT EXISTS (SELECT FROM approval WHERE request_id = $1 AND action = 'revoke-proof' AND state = 'proposed')
"""
_CHECKED = "UPDATE package SET checked_at = $2, fault = $3, checked_as = $4 WHERE request_id = $1"


@dataclass(frozen=True, slots=True)
class PackageRow:
    """A locked package: its downloads, why it is withheld, and the version of the last passed check."""

    request_id: UUID
    subject_ref: UUID
    package_id: UUID
    downloads: int
    package_fault: str | None
    package_checked_as: bytes | None


async def lock_package(tx: UnitOfWork, request_id: UUID) -> PackageRow:
    """Returns the package of a request, locked until the unit of work ends: one download follows another."""
    await tx.connection.execute(_HOLD, request_id)
    [row] = await tx.connection.fetch(_ONE, request_id)
    return PackageRow(*row)


async def check(tx: UnitOfWork, released: PackageRow) -> ReleaseFault | None:
    """Checks whether a package belongs to its subject; returns the fault that withholds it, if any.

    A passed check is reused until its inputs change: to check a million rows takes half a minute.

    Raises ``Shredded``.
    """
    proofs, package = proof_policy(tx.policy.overlay), (released.subject_ref, released.package_id)
    now = await version_of(tx.connection, proofs, *package)
    fault = None
    if now is None or now != released.package_checked_as:
        async with allow_long_idle(tx.connection):
            fault = await fault_of_package(tx.connection, tx.vault, proofs, *package)
    fits_as = None if fault else now
    if not fault and tx.policy.unsigned_parts(tx.policy.today(tx.now)):
        fault = ReleaseFault.POLICY_UNSIGNED
    if fault and await tx.connection.fetchval(_BY_TWO, withheld_for(tx.policy, released.package_id, fault)):
        fault = None
    doubted = not fault and await tx.connection.fetchval(_DOUBTED, released.request_id)
    fault = ReleaseFault.NOT_PROVED if doubted else fault
    tx.after_commit(partial(RELEASES.labels(_SERVICE, "withheld" if fault else "fits").inc))
    if fault != released.package_fault:
        action = "package.withheld" if fault else "package.released"
        tx.log_evidence(released.request_id, action, {"fault": fault} if fault else {})
        if not (fault and released.package_fault):
            await _notify_subject(tx, released.request_id, "withheld" if fault else "released")
    if fault:
        withheld = ("request %s: its package is withheld: %s", released.request_id, fault)
        tx.after_commit(partial(log.warning, *withheld))
        if released.downloads and not doubted and fault is not ReleaseFault.POLICY_UNSIGNED:
            await incidents.open_one(tx, released.request_id, released.package_id, fault, released.downloads)
    await _store_check(tx, released, fault, fits_as)
    return fault


def withheld_for(policy: Policy, package_id: UUID | None, fault: str | None) -> str:
    """Names what an approval releases: a package for a reason, or all packages by an unsigned policy."""
    return f"{policy.version if fault == ReleaseFault.POLICY_UNSIGNED else package_id} {fault}"


def log_inspection(tx: UnitOfWork, released: PackageRow, caller: Caller, size: int) -> None:
    """Logs the inspection of a withheld package."""
    detail: dict[str, JsonValue] = {"package_id": str(released.package_id), "fault": released.package_fault}
    detail |= {"holder": caller.holder, "bytes": size}
    tx.log_evidence(released.request_id, "package.viewed", detail, caller.actor)


async def inspectors(connection: Connection, request: Request) -> dict[str, datetime]:
    """Returns who has inspected the package since it is withheld for this reason, and when."""
    of = {"package_id": str(request.package_id), "fault": request.package_fault}
    return dict(map(tuple, await connection.fetch(_INSPECTIONS, request.request_id, of)))


async def run(running: Running, settings: IntakeSettings) -> None:
    """Checks again for as long as the service runs."""

    async def look() -> None:
        while await check_due(running.unit_of_work, settings):
            running.heartbeats.beat("releases")

    await run_periodically(look, "releases", _EVERY_SECONDS, running.stopping, running.heartbeats)


async def check_due(unit_of_work: UnitOfWorkFactory, settings: IntakeSettings) -> int:
    """Checks some packages that were not checked since the register has changed; returns how many."""
    async with unit_of_work.begin() as tx:
        changed = max(await changed_at(tx.connection) or tx.now - _AGAIN, tx.now - _AGAIN)
        kept = tx.now - timedelta(days=settings.package_days)
        due = [PackageRow(*row) for row in await tx.connection.fetch(_DUE, kept, changed, _AT_A_TIME)]
        for released in due:
            try:
                await check(tx, released)
            except Shredded:  # its owner is unknown, and it cannot be fetched
                await _store_check(tx, released, None, None)
    return len(due)


async def _notify_subject(tx: UnitOfWork, request_id: UUID, what: str) -> None:
    """Writes to the subject that the package is withheld, or available again."""
    request = await repository.read(tx.connection, request_id)
    if request is None or request.state is not State.CLOSED:
        return
    letters = LetterFacts()
    fields: Mapping[str, LetterField] = {"about": f"package_{what}", "fetch": letters.fetch(request, tx.now)}
    letter = sealed_letters.compose(letters, request, ("update", fields), tx.now)
    await delivery_queue.store_letters(tx, letters, [delivery_queue.NewLetter(request, letter)])
    tx.log_evidence(request_id, "letter.written", sealed_letters.letter_evidence(letter))


async def _store_check(tx: UnitOfWork, released: PackageRow, fault: ReleaseFault | None, fits_as: bytes | None) -> None:
    await tx.connection.execute(_CHECKED, released.request_id, tx.now, fault, fits_as)
