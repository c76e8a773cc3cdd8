"""That a proof was the requester's after all, said since a breach was found: whoever judges it should know."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from services.intake.breach.breaches import Breach
from shared.storage.postgres import Connection

_SAID: Final = """
SELECT at, detail::jsonb ->> 'holder' FROM evidence.entry
WHERE request_id = $1 AND action = 'proof.lifted' AND at >= $2 ORDER BY at DESC LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class AfterAll:
    """When somebody has said so last, and who."""

    at: datetime
    holder: str


async def said(connection: Connection, breach: Breach) -> AfterAll | None:
    """What was said of the request of an open breach; None where nothing was, or it is closed, or of no request."""
    if breach.request_id is None or breach.closed_at is not None:
        return None
    row = await connection.fetchrow(_SAID, breach.request_id, breach.found_at)
    return AfterAll(*row) if row else None
