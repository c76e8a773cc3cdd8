"""Whom one has told of a breach, and when: what its own date alone makes timely takes two persons (Art. 33(1))."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from pydantic import JsonValue

from services.intake.auth import Caller
from services.intake.breach import breaches
from services.intake.breach.breaches import Breach
from services.intake.breach.schemas import BreachNotified
from services.intake.errors import BadRequest, NotFound, SamePerson
from shared.domain.errors import IllegalTransition
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage.postgres import Connection
from shared.storage.vault import Sealing

KIND: Final = "breach"
"""Of its words in the vault."""
_NOTICES = """
SELECT notice_id, whom, phase, told_at, people, noted_by, noted_at, agreed_by, agreed_at
FROM breach_notice WHERE breach_id = $1 ORDER BY notice_id
"""
_NOTE = """
INSERT INTO breach_notice (notice_id, breach_id, whom, phase, told_at, people, noted_by, noted_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
"""
_ENTERED = """
SELECT min(at) FROM evidence.entry
WHERE request_id = $1 AND action IN ('breach.entered', 'breach.opened') AND detail::jsonb ->> 'breach_id' = $2
"""
_AGREE = "UPDATE breach_notice SET agreed_by = $2, agreed_at = $3 WHERE notice_id = $1"
_TOLD = "UPDATE breach SET told_at = $2 WHERE breach_id = $1"
_MINUTE = timedelta(minutes=1)
"""An hour is stated to the minute."""


@dataclass(frozen=True, slots=True)
class Notice:
    """Who was told of a breach, and when; the words are read with the record.

    ``noted_at``: when that was put on record. ``agreed_by``: who else has said that it was at that hour. ``waits``: it
    counts as told only once somebody has.
    """

    notice_id: UUID
    whom: str
    phase: str
    told_at: datetime
    people: int | None
    noted_by: str
    noted_at: datetime
    agreed_by: str | None
    agreed_at: datetime | None
    waits: bool = False


async def entered_at(connection: Connection, breach: Breach) -> datetime | None:
    """When the breach came on record; None where the evidence of that has expired."""
    entered: datetime | None = await connection.fetchval(_ENTERED, breach.evidence_id, str(breach.breach_id))
    return entered


async def noted(connection: Connection, breach: Breach) -> list[Notice]:
    """Every notice, the first one first, and which of them wait for a second person."""
    entered = await entered_at(connection, breach)
    found = [Notice(*row) for row in await connection.fetch(_NOTICES, breach.breach_id)]
    return [replace(each, waits=each.agreed_by is None and _takes_two(each, breach, entered)) for each in found]


def _takes_two(notice: Notice, breach: Breach, entered: datetime | None) -> bool:
    """Whether its date alone would make it timely, or is one at which the breach was not on record yet; pure.

    Persons are told without undue delay, so no date is too late for them.
    """
    if notice.whom == "persons":
        return False
    unrecorded = entered is not None and notice.told_at + _MINUTE <= entered
    return unrecorded or notice.told_at <= breach.notify_by < notice.noted_at


async def note(tx: UnitOfWork, breach_id: UUID, said: BreachNotified, caller: Caller) -> Breach:
    """Notes that somebody was told of it; the 72 hours end with the first notice to the authority alone (Art. 33(1)).

    One that only its date makes timely, or that is dated before the breach was on record, counts once somebody else
    agrees (``approve``).

    Raises:
        NotFound, IllegalTransition, Forbidden: see ``breaches.owned``.
        BadRequest: that is in the future or before it was found, or it is late and nobody says why.
    """
    breach = await breaches.owned(tx, breach_id, caller)
    if not breach.found_at <= said.told_at <= tx.now:
        raise BadRequest("nobody is told before it is found, or in the future; say when it was", "told_at")
    before = {each.whom for each in await noted(tx.connection, breach) if not each.waits}
    first = said.whom != "persons" and said.whom not in before
    if first and tx.now > breach.notify_by and said.delay is None:
        raise BadRequest(
            "after the 72 hours the reasons for the delay belong to it (Art. 33(1)), or why it is noted only now where"
            " they were told in time; name them",
            "delay",
        )
    sealing = Sealing(breach_id, KIND, "", said.model_dump_json().encode())
    await tx.vault.seal(tx.connection, [sealing], tx.now)
    row = (sealing.sealed_id, breach_id, said.whom, said.phase, said.told_at, said.people, caller.holder, tx.now)
    await tx.connection.execute(_NOTE, *row)
    waits = any(each.waits for each in await noted(tx.connection, breach) if each.notice_id == sealing.sealed_id)
    detail: dict[str, JsonValue] = {"whom": said.whom, "phase": said.phase, "told_at": said.told_at.isoformat()}
    late = first and said.told_at > breach.notify_by
    _log(tx, breach, "breach.notified", sealing.sealed_id, {**detail, "late": late, "waits": waits}, caller)
    return await recount(tx, breach)


async def approve(tx: UnitOfWork, breach_id: UUID, notice_id: UUID, caller: Caller) -> Breach:
    """Takes the word of a second person that they were told at that hour: it counts from then on.

    Raises:
        NotFound: there is no such breach, or no such notice of it.
        IllegalTransition: it is closed, or that notice waits for nobody.
        SamePerson: it is the word of its owner, or of whoever has noted it.
        Forbidden: they have handled the request.
    """
    breach = await breaches.held(tx, breach_id, caller)
    notice = next((each for each in await noted(tx.connection, breach) if each.notice_id == notice_id), None)
    if notice is None:
        raise NotFound("there is no such notice: read the breach again")
    if not notice.waits:
        raise IllegalTransition("this notice waits for nobody")
    if caller.holder in {notice.noted_by, breach.owner}:
        raise SamePerson("its owner has noted this: it takes two persons, so somebody else must approve it")
    await breaches.must_not_handle(tx, breach, caller.holder)
    await tx.connection.execute(_AGREE, notice_id, caller.holder, tx.now)
    detail: dict[str, JsonValue] = {"whom": notice.whom, "told_at": notice.told_at.isoformat()}
    _log(tx, breach, "breach.notice_approved", notice_id, {**detail, "noted_by": notice.noted_by}, caller)
    return await recount(tx, breach)


async def recount(tx: UnitOfWork, breach: Breach) -> Breach:
    """States anew when the authority was told first: by the notices that count, with the hours that the breach has."""
    breach = await breaches.read(tx.connection, breach.breach_id)
    told_at = first_of("authority", await noted(tx.connection, breach))
    await tx.connection.execute(_TOLD, breach.breach_id, told_at)
    return await breaches.read(tx.connection, breach.breach_id)


def first_of(whom: str, notices: Sequence[Notice]) -> datetime | None:
    """When they were told first, of what counts; None: they were not."""
    return min((each.told_at for each in notices if each.whom == whom and not each.waits), default=None)


def _log(
    tx: UnitOfWork, breach: Breach, action: str, notice_id: UUID, detail: dict[str, JsonValue], caller: Caller
) -> None:
    known: dict[str, JsonValue] = {"breach_id": str(breach.breach_id), "notice": str(notice_id)}
    tx.log_evidence(breach.evidence_id, action, {**known, **detail}, caller.actor)
