"""The steps that were taken with requests, as rows; the first time counts."""

from collections.abc import Sequence

from services.deadline.targets import Step
from shared.domain.events import Event
from shared.storage.postgres import Connection

_TAKE = """
INSERT INTO step (request_id, step, taken_at)
SELECT request_id, $1, taken_at FROM unnest($2::uuid[], $3::timestamptz[]) AS t (request_id, taken_at)
ON CONFLICT DO NOTHING
"""


async def take(connection: Connection, step: Step, events: Sequence[Event]) -> None:
    """Notes that these events are the step, whether or not the request is known here yet."""
    ids, instants = [event.request_id for event in events], [event.occurred_at for event in events]
    await connection.execute(_TAKE, step, ids, instants)
