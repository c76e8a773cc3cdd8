"""Collects what is kept with a request: its letters, recipients, holds, and why its proof waits for a person."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.intake.identity import stopped
from services.intake.identity.stopped import Why
from services.intake.recipients import recipients
from services.intake.recipients.recipients import Notice
from services.intake.request.delivery_effects import OnDelivery
from shared.storage.holds import LegalHold, retained_of
from shared.storage.postgres import Connection

_LETTERS = """
SELECT l.letter_id, l.kind, l.written_at, d.way, d.state, d.fault, d.sent_at,
       coalesce(d.awaited, '[]')
FROM letter l LEFT JOIN delivery d USING (letter_id) WHERE l.request_id = $1 ORDER BY l.letter_id
"""


@dataclass(frozen=True, slots=True)
class ListedLetter:
    """A written letter and its progress, without its text, which is sealed; ``way``: None if it is fetched.

    ``on_delivery``: what takes effect once it is delivered.
    """

    letter_id: UUID
    kind: str
    written_at: datetime
    way: str | None
    state: str | None
    fault: str | None
    sent_at: datetime | None
    on_delivery: Sequence[OnDelivery] = ()


@dataclass(frozen=True, slots=True)
class RequestFile:
    """The records that belong to one request.

    ``stopped``: for what the proof of who asks waits for a person.
    """

    letters: Sequence[ListedLetter]
    notices: Sequence[Notice]
    holds: Sequence[LegalHold]
    stopped: Sequence[Why] = ()


async def read(connection: Connection, request_id: UUID, failures: int) -> RequestFile:
    """Returns the records of that request; ``failures``: so many wrong codes end those of its requester."""
    letters = [ListedLetter(*row) for row in await connection.fetch(_LETTERS, request_id)]
    notices = await recipients.of_request(connection, request_id)
    holds = await retained_of(connection, request_id)
    return RequestFile(letters, notices, holds, await stopped.why(connection, failures, request_id))
