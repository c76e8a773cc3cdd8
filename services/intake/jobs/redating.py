"""Moves the dates of open requests after a corrected arrival, or a changed policy or calendar (REQ-T3)."""

from datetime import date
from functools import partial
from uuid import UUID

from services.intake.letters.letter_facts import LetterFacts
from services.intake.request.aggregate import Request, Transition
from services.intake.request.lifecycle import State
from services.intake.store.repository import Requests
from shared.domain.time_limit import Arrival, calc_version, due_on, limits
from shared.domain.time_limit_policy import TimeLimitPolicy
from shared.messaging.unit_of_work import UnitOfWorkFactory
from shared.runtime.liveness import Heartbeats
from shared.runtime.loops import retry_while_unavailable

BATCH = 1_000
"""Requests of one transaction: more would keep those who answer requests waiting."""

# A due date only ever becomes earlier here, so what was moved is not read again.
_OPEN = """
SELECT due_on, request_id FROM request WHERE open AND state <> 'closed' AND (due_on, request_id) > ($1, $2)
ORDER BY due_on, request_id LIMIT $3
"""

Cursor = tuple[date, UUID]
BEGINNING: Cursor = (date.min, UUID(int=0))


def due_after(request: Request, arrival: Arrival, policy: TimeLimitPolicy) -> date:
    """The due date of a request that arrived then and there; pure.

    An extension that was granted stays, and with it the day in its letter. Only a day beyond the two further months
    from the arrival as it is now (Art. 12(3)) moves. The day in the letter about a late answer that reopened the
    request stays as well.
    """
    if request.resumed:
        return request.due_on
    if request.extended:
        return min(request.due_on, limits(arrival, policy).commit_due_extended)
    return due_on(arrival, request.right, request.scope, policy, request.role)


def by_policy(request: Request, policy: TimeLimitPolicy) -> Transition | None:
    """The request by the policy and the holidays of today, or ``None`` if they change nothing; pure.

    What was promised to the subject never becomes later by a change of our own rules.
    """
    promised = min(request.due_on, due_after(request, request.arrival, policy))
    version = calc_version(policy)
    if request.calc_version == version and promised == request.due_on:
        return None
    return request.redate("policy_changed", request.arrival, promised, version)


async def redate(unit_of_work: UnitOfWorkFactory, policy: TimeLimitPolicy, batch: int = BATCH) -> int:
    """Redates every open request whose dates differ by this policy; returns how many. A second run finds none."""
    cursor: Cursor | None = BEGINNING
    redated, letters, heartbeats = 0, LetterFacts(), Heartbeats()
    while cursor is not None:
        step = partial(_redate_some, unit_of_work, policy, letters, cursor, batch)
        some, cursor = await retry_while_unavailable(step, "redate", heartbeats)
        redated += some
    return redated


async def _redate_some(
    unit_of_work: UnitOfWorkFactory, policy: TimeLimitPolicy, letters: LetterFacts, cursor: Cursor, batch: int
) -> tuple[int, Cursor | None]:
    redated = 0
    async with unit_of_work.begin() as tx:
        rows = await tx.connection.fetch(_OPEN, *cursor, batch)
        requests = await Requests.locked(tx, letters, [row[1] for row in rows])
        for _, request_id in rows:
            request = requests[request_id]
            if request.state is not State.CLOSED and (transition := by_policy(request, policy)):
                await requests.apply(transition)
                redated += 1
        await requests.save()
    return redated, tuple(rows[-1]) if len(rows) == batch else None
