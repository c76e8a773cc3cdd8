"""Erasures that wait for copies or restrictions of the same person go on once none of those is open.

However that ended: answered, withdrawn, refused, given up. What counts is what is open now, and no event: a copy is
open while a part of it is owed, a restriction while it is in force.
"""

from functools import partial

from services.intake.letters.rendering import Letters
from services.intake.repository import Requests
from shared.app.service import Running
from shared.messaging.unit_of_work import UnitOfWorkFactory
from shared.runtime.loops import run_periodically

_EVERY_SECONDS = 5.0
_AT_A_TIME = 200

_MAY_BEGIN = """
SELECT e.request_id FROM request e
WHERE e.postponed AND e.state <> 'closed' AND NOT EXISTS (
    SELECT FROM awaits w JOIN vault.open_request o ON o.request_id = w.other
    WHERE w.request_id = e.request_id AND o.kind IN ('copy', 'restriction'))
ORDER BY e.request_id LIMIT $1 FOR UPDATE OF e SKIP LOCKED
"""


async def run(running: Running) -> None:
    """Looks for as long as the service runs."""
    look = partial(begin_what_may, running.unit_of_work, Letters())
    await run_periodically(look, "postponed", _EVERY_SECONDS, running.stopping, running.heartbeats)


async def begin_what_may(unit_of_work: UnitOfWorkFactory, letters: Letters) -> None:
    """Lets every erasure go on that waits for nothing any more."""
    more = True
    while more:
        async with unit_of_work.begin() as tx:
            free = [row[0] for row in await tx.connection.fetch(_MAY_BEGIN, _AT_A_TIME)]
            requests = await Requests.locked(tx, letters, free)
            for request_id in free:
                await requests.apply(requests[request_id].begin("answered"))
            await requests.save()
        more = len(free) == _AT_A_TIME
