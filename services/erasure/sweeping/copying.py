"""What somebody waits for a copy of: a night spares it in each system that has not copied it yet (Art. 15, 20).

A copy is collected within seconds of proof. Where a person must look first (two people share an address, a system
breaks) nights pass, and whatever is confirmed then must still be there; for some days, since no ceiling may depend on
who asks (decision record 19).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from services.erasure.sweeping.finding import task_of
from shared.app.service import Service
from shared.domain import events
from shared.domain.events import RequestClosed, RequestVerified, RequestWithdrawn
from shared.domain.identities import marked
from shared.domain.operations import Limit, Operation
from shared.domain.policy_files import SweepPolicy
from shared.domain.proofs import proved
from shared.domain.rights import Right
from shared.fulfilment.calls import Calls
from shared.messaging.unit_of_work import UnitOfWork, UnitOfWorkFactory
from shared.runtime import metrics
from shared.systems.contract import Receipt, Task
from shared.systems.downstream import Downstream

_COPIES = (Right.ACCESS, Right.PORTABILITY)
_ANY_NUMBER: Mapping[str, int] = dict.fromkeys(map(str, Limit), 1_000_000_000)
"""Nothing is shown to anybody and nothing changed: rather too much is spared."""
_ROUNDS = 3
"""So often each system is asked with what the others have told."""
_NOTE = "INSERT INTO copying SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[]) ON CONFLICT DO NOTHING"
_END = "DELETE FROM copying WHERE request_id = ANY($1)"
_OPEN = """
SELECT request_id, subject_ref FROM copying c WHERE since > $1 AND NOT EXISTS (
    SELECT FROM vault.sealed s WHERE s.subject_ref = c.subject_ref
    AND (s.kind = 'records' AND s.source = $2 OR s.kind = 'package'))
"""


def hear(service: Service) -> None:
    """Lets the service hear of requests for a copy."""
    for right in _COPIES:
        service.on(events.RequestVerified, begin, right=right)
        service.on(events.RequestWithdrawn, end, right=right)
        service.on(events.RequestClosed, end, right=right)


async def begin(verified: Sequence[RequestVerified], tx: UnitOfWork) -> None:
    """A copy may be made; what is a customer's is not ours to end, so nothing of it need be spared."""
    ours = [event for event in verified if event.tenant is None]
    known = ([e.request_id for e in ours], [e.subject for e in ours], [tx.now] * len(ours))
    await tx.connection.execute(_NOTE, *known)


async def end(over: Sequence[RequestClosed | RequestWithdrawn], tx: UnitOfWork) -> None:
    """Nobody waits for it any more."""
    await tx.connection.execute(_END, [event.request_id for event in over])


async def waiting(
    unit_of_work: UnitOfWorkFactory, policy: SweepPolicy, system: str, knowing: Collection[Downstream]
) -> Sequence[Task]:
    """Those of whom that system has not copied what they have asked for, as tasks that find all that is theirs.

    By all that any of the systems tells of them: one that is away tells nothing, and the sweep does not wait for it.
    """
    bound = unit_of_work.clock.now() - timedelta(days=policy.copied_within_days)
    async with unit_of_work.pool.acquire() as connection:
        rows = await connection.fetch(_OPEN, bound, system)
        known = await unit_of_work.vault.subject_data(connection, {row[1] for row in rows}) if rows else {}
    people = [
        task_of(request_id, ref, proved(marked(of.identities, of.identities), "L1"))
        for request_id, ref in rows
        if (of := known.get(ref)) is not None
    ]
    for _ in range(_ROUNDS if people else 0):
        found = people
        for each in knowing:
            found = await _told_by(each, unit_of_work, found)
        if found == people:
            break
        people = found
    return people


async def _told_by(system: Downstream, unit_of_work: UnitOfWorkFactory, people: Sequence[Task]) -> list[Task]:
    """The same people with what that system tells of them."""
    heard = {each.task_id: system.may_hear(each.identities) for each in people}
    asked = [
        replace(
            each,
            system=system.name,
            operation=Operation.LOCATE,
            identities=heard[each.task_id],
            confirmed=_ANY_NUMBER,
            at=unit_of_work.clock.now(),
        )
        for each in people
        if any(identity.type in system.needs for identity in heard[each.task_id])
    ]
    if not asked:
        return [*people]
    seconds = metrics.CALL_SECONDS.labels(unit_of_work.service, system.name, Operation.LOCATE)
    calls = Calls(f"{system.name}:copying", system.operate(Operation.LOCATE), _note_nothing, seconds)
    told = await calls.make(asked, set[UUID]())
    return [_with(each, told.get(each.task_id)) for each in people]


def _with(task: Task, told: object) -> Task:
    known = {(each.type, each.value) for each in task.identities}
    fresh = [each for each in getattr(told, "identities", ()) if (each.type, each.value) not in known]
    return replace(task, identities=(*task.identities, *fresh)) if isinstance(told, Receipt) and fresh else task


async def _note_nothing(_progress: object) -> None:
    """Looking leaves nothing to remember."""
