"""Breaches: 72 hours from when one is found, and an owner who has not handled what it happened in (Art. 33, REQ-S9).

The platform opens one of what was handed out and is not shown to be the subject's; any other a person enters
(``record``). Whether anybody is told of it is decided by persons (``telling``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from uuid_utils.compat import uuid7

from services.intake import metrics
from services.intake.audit.looks import LOOKS
from services.intake.auth import Caller
from services.intake.errors import Forbidden, NotFound
from services.intake.grant import Power
from services.intake.places import Place, microseconds, moment_at
from shared.domain.errors import IllegalTransition
from shared.domain.release import Fault
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage.postgres import Connection

_NEW = """
INSERT INTO breach (breach_id, request_id, package_id, fault, downloads, found_at, notify_by)
VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (package_id) DO NOTHING RETURNING breach_id
"""
_READ = """
SELECT breach_id, request_id, fault, downloads, found_at, notify_by, owner, recorded_at, categories, people, records,
       told_at, decision, closed_at FROM breach
"""
_STILL_OPEN = f"{_READ} WHERE closed_at IS NULL ORDER BY notify_by, breach_id"
_CLOSED = f"""
{_READ} WHERE closed_at IS NOT NULL AND ($1::timestamptz IS NULL OR (closed_at, breach_id) < ($1, $2))
ORDER BY closed_at DESC, breach_id DESC LIMIT $3
"""
# Who has done something about the request but look at it, or see to its breach: whoever judges that is none of them.
_HANDLERS = """
SELECT DISTINCT coalesce(k.holder, substr(e.actor, 8)) FROM evidence.entry e
LEFT JOIN api_key k ON e.actor = 'key:' || k.key_id
WHERE e.request_id = $1 AND e.action NOT LIKE 'breach.%' AND NOT e.action LIKE ANY($2)
  AND (k.holder IS NOT NULL OR e.actor LIKE 'person:%')
"""
# Decisions hold the request: of one and a new owner at once, the later sees the earlier.
_HOLD = "SELECT FROM request WHERE request_id = $1 FOR UPDATE"
_OWNS = "SELECT EXISTS (SELECT FROM breach WHERE request_id = $1 AND owner = $2)"
_OPEN = """
SELECT count(*) FILTER (WHERE notify_by > $1 OR told_at IS NOT NULL),
       count(*) FILTER (WHERE notify_by <= $1 AND told_at IS NULL)
FROM breach WHERE closed_at IS NULL
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
    """One breach record; without an owner nobody sees to it yet.

    ``request_id``: in whose handling it happened, if in any; ``fault``: as the platform has found it, if it has.
    ``recorded_at``: when what happened was last stated; ``told_at``: when the authority was told first (Art. 33(1)); a
    notice to a customer is another duty (33(2)).
    """

    breach_id: UUID
    request_id: UUID | None
    fault: str | None
    downloads: int
    found_at: datetime
    notify_by: datetime
    owner: str | None
    recorded_at: datetime | None
    categories: Sequence[str] | None
    people: int | None
    records: int | None
    told_at: datetime | None
    decision: str | None
    closed_at: datetime | None

    @property
    def evidence_id(self) -> UUID:
        """Under which id the evidence has it: that of the request in whose handling it happened, or its own."""
        return self.request_id or self.breach_id


async def open_one(tx: UnitOfWork, handed_out: HandedOut, notified_within: timedelta) -> None:
    """Opens a record, unless there is one of that package."""
    found = (handed_out.request_id, handed_out.package_id, handed_out.fault, handed_out.downloads)
    breach_id = await tx.connection.fetchval(_NEW, uuid7(), *found, tx.now, tx.now + notified_within)
    if breach_id:
        await tx.vault.insert_subjects(tx.connection, [tx.vault.new_record(breach_id, b"", (), tx.now)[0]])
        detail = {"breach_id": str(breach_id), "fault": handed_out.fault.value, "downloads": handed_out.downloads}
        tx.log_evidence(handed_out.request_id, "breach.opened", detail)


async def still_open(connection: Connection) -> list[Breach]:
    """Every open breach, the most urgent first."""
    return [Breach(*row) for row in await connection.fetch(_STILL_OPEN)]


async def closed(connection: Connection, limit: int, after: Place | None = None) -> list[Breach]:
    """Those that are closed, from the one after that on, the latest first."""
    moment = moment_at(after.at) if after else None
    return [Breach(*row) for row in await connection.fetch(_CLOSED, moment, after and after.row_id, limit)]


def place(breach: Breach) -> Place:
    """Where the list of those that are closed goes on after it; raises ``LookupError`` for one that is open."""
    if breach.closed_at is None:
        raise LookupError("it is not closed")
    return Place(microseconds(breach.closed_at), breach.breach_id)


async def own(tx: UnitOfWork, breach_id: UUID, caller: Caller) -> Breach:
    """The holder sees to it from now on.

    Raises:
        NotFound: there is no such breach.
        IllegalTransition: it is closed.
        Forbidden: they have handled the request, or may decide nothing.
    """
    breach = await held(tx, breach_id, caller)
    await must_not_handle(tx, breach, caller.holder)
    await tx.connection.execute("UPDATE breach SET owner = $2 WHERE breach_id = $1", breach_id, caller.holder)
    detail = {"breach_id": str(breach_id), "holder": caller.holder}
    tx.log_evidence(breach.evidence_id, "breach.owned", detail, caller.actor)
    return await read(tx.connection, breach_id)


async def must_not_handle(tx: UnitOfWork, breach: Breach, holder: str) -> None:
    """Checks that whoever is to judge a breach has not handled its request, which is held until the end.

    Raises:
        Forbidden: they have.
    """
    if breach.request_id is None:
        return
    await tx.connection.execute(_HOLD, breach.request_id)
    looks = [f"%{each}" for each in LOOKS]
    if holder in {row[0] for row in await tx.connection.fetch(_HANDLERS, breach.request_id, looks)}:
        raise Forbidden("you have handled this request: somebody else must see to its breach")


async def must_not_own(connection: Connection, request_id: UUID, holder: str) -> None:
    """Checks that whoever is to handle the request sees to no breach of it, open or closed.

    Raises:
        Forbidden: they are the owner of its breach.
    """
    if await connection.fetchval(_OWNS, request_id, holder):
        raise Forbidden("you own the breach of this request, and judge its handling: somebody else must do this")


async def count(connection: Connection, now: datetime) -> None:
    """Counts those that nobody has closed: late is one of which the authority was not told within the time."""
    [(in_time, late)] = await connection.fetch(_OPEN, now)
    metrics.BREACHES.labels("yes").set(in_time)
    metrics.BREACHES.labels("no").set(late)


async def owned(tx: UnitOfWork, breach_id: UUID, caller: Caller) -> Breach:
    """An open breach, locked, for its owner.

    Raises:
        NotFound: there is no such breach.
        IllegalTransition: it is closed.
        Forbidden: another holder owns it, or nobody does.
    """
    breach = await held(tx, breach_id, caller)
    if breach.owner != caller.holder:
        raise Forbidden("only the owner of a breach says this of it: become its owner first")
    return breach


async def held(tx: UnitOfWork, breach_id: UUID, caller: Caller) -> Breach:
    """An open breach, locked, for whoever may decide.

    Raises:
        NotFound: there is no such breach.
        IllegalTransition: it is closed.
        Forbidden: they may decide nothing.
    """
    caller.grant.must(Power.SUBMIT)
    breach = await read(tx.connection, breach_id, lock=True)
    if breach.closed_at is not None:
        raise IllegalTransition("this breach is closed")
    return breach


async def read(connection: Connection, breach_id: UUID, *, lock: bool = False) -> Breach:
    """The breach of that id; raises ``NotFound``."""
    row = await connection.fetchrow(f"{_READ} WHERE breach_id = $1{' FOR UPDATE' if lock else ''}", breach_id)
    if row is None:
        raise NotFound("there is no such breach")
    return Breach(*row)
