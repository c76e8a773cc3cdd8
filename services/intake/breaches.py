"""Breaches: what was handed out and is not shown to be the subject's; 72 hours, and an owner who is not the handler.

Whether the authority is told, or why not, is decided by a person (Art. 33(1)); what they say of it lies in the vault.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from pydantic import JsonValue
from uuid_utils.compat import uuid7

from services.intake import metrics
from services.intake.errors import Forbidden, NotFound
from shared.domain.errors import IllegalTransition
from shared.domain.release import Fault
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage.postgres import Connection
from shared.storage.vault import Sealing

Decided = Literal["authority_notified", "no_risk", "no_breach"]
"""What became of it: the authority was told, there is no risk to anybody's rights, or nothing had been handed out."""

_NEW = """
INSERT INTO breach (breach_id, request_id, package_id, fault, downloads, found_at, notify_by)
VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (package_id) DO NOTHING RETURNING breach_id
"""
_READ = """
SELECT breach_id, request_id, fault, downloads, found_at, notify_by, owner, decision, closed_at FROM breach
"""
# Everybody with whose key something was done about the request: whoever sees to the breach is none of them.
_HANDLERS = """
SELECT DISTINCT k.holder FROM evidence.entry e JOIN api_key k ON e.actor = 'key:' || k.key_id WHERE e.request_id = $1
"""
# Decisions hold the request: of one and a new owner at once, the later sees the earlier.
_HOLD = "SELECT FROM request WHERE request_id = $1 FOR UPDATE"
_OWNS = "SELECT EXISTS (SELECT FROM breach WHERE request_id = $1 AND owner = $2)"
_OPEN = """
SELECT count(*) FILTER (WHERE notify_by > $1), count(*) FILTER (WHERE notify_by <= $1) FROM breach
WHERE closed_at IS NULL
"""


@dataclass(frozen=True, slots=True)
class HandedOut:
    """A package that was handed out so often, and why it should not have been."""

    request_id: UUID
    package_id: UUID
    fault: Fault
    downloads: int


@dataclass(frozen=True, slots=True)
class Breach:
    """One breach record; without an owner nobody sees to it yet."""

    breach_id: UUID
    request_id: UUID
    fault: str
    downloads: int
    found_at: datetime
    notify_by: datetime
    owner: str | None
    decision: str | None
    closed_at: datetime | None


async def open_one(tx: UnitOfWork, handed_out: HandedOut, notified_within: timedelta) -> None:
    """Opens a record, unless there is one of that package."""
    found = (handed_out.request_id, handed_out.package_id, handed_out.fault, handed_out.downloads)
    breach_id = await tx.connection.fetchval(_NEW, uuid7(), *found, tx.now, tx.now + notified_within)
    if breach_id:
        detail = {"breach_id": str(breach_id), "fault": handed_out.fault.value, "downloads": handed_out.downloads}
        tx.log_evidence(handed_out.request_id, "breach.opened", detail)


async def listed(connection: Connection) -> list[Breach]:
    """Every breach, the most urgent first; those that are closed come last."""
    rows = await connection.fetch(f"{_READ} ORDER BY closed_at NULLS FIRST, notify_by")
    return [Breach(*row) for row in rows]


async def own(tx: UnitOfWork, breach_id: UUID, holder: str, actor: str) -> Breach:
    """The holder sees to it from now on.

    Raises:
        NotFound: there is no such breach.
        IllegalTransition: it is closed.
        Forbidden: they have handled the request.
    """
    breach = await _held(tx, breach_id)
    await tx.connection.execute(_HOLD, breach.request_id)
    if holder in {row[0] for row in await tx.connection.fetch(_HANDLERS, breach.request_id)}:
        raise Forbidden("you have handled this request: somebody else must own its breach")
    await tx.connection.execute("UPDATE breach SET owner = $2 WHERE breach_id = $1", breach_id, holder)
    tx.log_evidence(breach.request_id, "breach.owned", {"breach_id": str(breach_id), "holder": holder}, actor)
    return await _read(tx, breach_id)


async def must_not_own(connection: Connection, request_id: UUID, holder: str) -> None:
    """Checks that whoever is to handle the request sees to no breach of it, open or closed.

    Raises:
        Forbidden: they are the owner of its breach.
    """
    if await connection.fetchval(_OWNS, request_id, holder):
        raise Forbidden("you own the breach of this request, and judge its handling: somebody else must do this")


async def close(tx: UnitOfWork, breach_id: UUID, holder: str, actor: str, decision: Decided, text: str) -> Breach:
    """Its owner closes it, and says why.

    Raises:
        NotFound: there is no such breach.
        IllegalTransition: it is closed already.
        Forbidden: another holder owns it, or nobody does.
        Shredded: the subject's key is gone, and with it the place for what is said.
    """
    breach = await _held(tx, breach_id)
    if breach.owner != holder:
        raise Forbidden("only the owner closes a breach: become its owner first")
    subject = await tx.connection.fetchval("SELECT subject_ref FROM request WHERE request_id = $1", breach.request_id)
    sealing = Sealing(subject, "explanation", "breach", text.encode())
    await tx.vault.seal(tx.connection, [sealing], tx.now)
    await tx.connection.execute(
        "UPDATE breach SET decision = $2, explanation = $3, closed_at = $4 WHERE breach_id = $1",
        *(breach_id, decision, sealing.sealed_id, tx.now),
    )
    detail: dict[str, JsonValue] = {
        "breach_id": str(breach_id),
        "decision": decision,
        "in_time": tx.now <= breach.notify_by,
    }
    tx.log_evidence(breach.request_id, "breach.closed", detail, actor)
    return await _read(tx, breach_id)


async def count(connection: Connection, now: datetime) -> None:
    """Counts those that nobody has closed."""
    [(in_time, late)] = await connection.fetch(_OPEN, now)
    metrics.BREACHES.labels("yes").set(in_time)
    metrics.BREACHES.labels("no").set(late)


async def _held(tx: UnitOfWork, breach_id: UUID) -> Breach:
    breach = await _read(tx, breach_id, " FOR UPDATE")
    if breach.closed_at is not None:
        raise IllegalTransition("this breach is closed")
    return breach


async def _read(tx: UnitOfWork, breach_id: UUID, lock: str = "") -> Breach:
    row = await tx.connection.fetchrow(f"{_READ} WHERE breach_id = $1{lock}", breach_id)
    if row is None:
        raise NotFound("there is no such breach")
    return Breach(*row)
