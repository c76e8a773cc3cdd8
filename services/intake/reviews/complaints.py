"""Complaints about how a request was handled: entered by the privacy team, and what became of each.

One that is upheld about a refusal has overturned it. What is to be done then is decided about the request.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from uuid import UUID

from pydantic import JsonValue
from uuid_utils.compat import uuid7

from services.intake import repository
from services.intake.auth import Caller
from services.intake.deciding import visible
from services.intake.errors import BadRequest, NotFound
from services.intake.letters import correspondence
from services.intake.places import FIRST, Place
from services.intake.reviews.schemas import ComplaintDecided, ComplaintLodged
from shared.domain.errors import IllegalTransition
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage.postgres import Connection


@dataclass(frozen=True, slots=True)
class Complaint:
    """One complaint, without the words of anybody."""

    complaint_id: UUID
    request_id: UUID
    lodged_with: str
    received_on: date
    entered_by: str
    entered_at: datetime
    decision: str | None
    decided_on: date | None


_DECIDED = 10_000_000
"""By so many days those that are decided come after those that are open."""
_COLUMNS = ", ".join(each.name for each in fields(Complaint))
_READ = f"SELECT {_COLUMNS} FROM complaint WHERE complaint_id = $1"  # noqa: S608  # names of ours
# Those that are open first, of each the latest first.
_RANK = f"CASE WHEN decision IS NULL THEN 0 ELSE {_DECIDED} END + (date '9999-12-31' - received_on)"
_LIST = f"""
SELECT {_COLUMNS} FROM complaint
WHERE ($1::uuid IS NULL OR request_id = $1) AND ({_RANK}, complaint_id) > ($2::bigint, $3::uuid)
ORDER BY {_RANK}, complaint_id LIMIT $4
"""  # noqa: S608  # names of ours
_ENTER = """
INSERT INTO complaint (complaint_id, request_id, lodged_with, received_on, note, entered_by, entered_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
"""
_DECIDE = "UPDATE complaint SET decision = $2, decided_on = $3 WHERE complaint_id = $1"


async def lodge(tx: UnitOfWork, said: ComplaintLodged, caller: Caller) -> Complaint:
    """Enters a complaint.

    Raises:
        NotFound: there is no such request for this caller.
        BadRequest: it came in the future, or before the request did.
        Shredded: its letters have expired, and with them the place for a note.
    """
    request = await visible(tx.connection, await repository.read(tx.connection, said.request_id), caller)
    if not request.received_at.date() <= said.received_on <= _tomorrow(tx):
        raise BadRequest("a complaint comes after its request, and not in the future; say when", "received_on")
    note = said.note and await correspondence.seal(tx, request, "explanation", "complaint", said.note.encode())
    complaint_id = uuid7()
    row = (complaint_id, request.request_id, said.lodged_with, said.received_on, note or None, caller.holder, tx.now)
    await tx.connection.execute(_ENTER, *row)
    detail: dict[str, JsonValue] = {"complaint_id": str(complaint_id), "lodged_with": said.lodged_with}
    tx.log_evidence(
        request.request_id, "complaint.lodged", {**detail, "received_on": said.received_on.isoformat()}, caller.actor
    )
    return await read(tx.connection, complaint_id)


async def decide(tx: UnitOfWork, complaint_id: UUID, said: ComplaintDecided, caller: Caller) -> Complaint:
    """Enters what became of it.

    Raises:
        NotFound: there is no such complaint.
        IllegalTransition: that was entered before.
        BadRequest: it was decided in the future, or before it came.
        Shredded: the letters of the request have expired, and with them the place for a note.
    """
    complaint = await read(tx.connection, complaint_id, " FOR UPDATE")
    if complaint.decision is not None:
        raise IllegalTransition("what became of this complaint is on record")
    if not complaint.received_on <= said.decided_on <= _tomorrow(tx):
        raise BadRequest("it is decided after it has come, and not in the future; say when", "decided_on")
    request = await repository.read(tx.connection, complaint.request_id)
    note = None
    if said.note and request:
        note = await correspondence.seal(tx, request, "explanation", "complaint", said.note.encode())
    await tx.connection.execute(_DECIDE, complaint_id, said.decision, said.decided_on)
    detail: dict[str, JsonValue] = {"complaint_id": str(complaint_id), "decision": said.decision}
    detail |= {"note": str(note)} if note else {}
    tx.log_evidence(complaint.request_id, "complaint.decided", detail, caller.actor)
    return await read(tx.connection, complaint_id)


async def read(connection: Connection, complaint_id: UUID, lock: str = "") -> Complaint:
    """One complaint; raises ``NotFound``. ``lock``: how its row is held."""
    row = await connection.fetchrow(f"{_READ}{lock}", complaint_id)
    if row is None:
        raise NotFound("there is no such complaint")
    return Complaint(*row)


def place(complaint: Complaint) -> Place:
    """Where a list goes on after it."""
    later = 0 if complaint.decision is None else _DECIDED
    return Place(later + (date.max - complaint.received_on).days, complaint.complaint_id)


async def listed(
    connection: Connection, limit: int, after: Place | None = None, request_id: UUID | None = None
) -> Sequence[Complaint]:
    """Those about a request, or about any, from the one after that on; those that are open come first."""
    return [Complaint(*row) for row in await connection.fetch(_LIST, request_id, *(after or FIRST), limit)]


def _tomorrow(tx: UnitOfWork) -> date:
    """The latest day that it is anywhere by now."""
    return date.fromordinal(tx.now.date().toordinal() + 1)
