"""What systems had to keep: erased once the day has come until which it is kept, or the hold is lifted."""

from collections.abc import Sequence
from functools import partial

from services.erasure import keys
from shared.app.service import Service
from shared.domain.events import HoldLifted, TimerFired, TimerKind
from shared.domain.operations import Operation
from shared.domain.rights import Right
from shared.fulfilment.fulfilments import Fulfilments
from shared.fulfilment.store import NewFulfilment
from shared.messaging.unit_of_work import UnitOfWork


def join(service: Service) -> None:
    """Lets the service erase what is kept no longer."""
    for ended in (TimerFired, HoldLifted):
        service.on(ended, partial(release, service.fulfilments), right=Right.ERASURE)


async def release(fulfilments: Fulfilments, events: Sequence[TimerFired | HoldLifted], tx: UnitOfWork) -> None:
    """What these systems had to keep may go: erase it there, by what the vault still knows of the subject.

    What a rule keeps is kept no longer than people were told. After a hold that is on the later of today and the day
    that another rule names: a system that keeps by one says so.
    """
    ended = [each for each in events if isinstance(each, HoldLifted) or each.kind is TimerKind.RETENTION]
    told = await keys.told(tx, [event.request_id for event in ended])
    new_fulfilments = [
        NewFulfilment(
            *(e.request_id, e.subject, e.right, Operation.ERASE, e.due_on),
            *({"deferred": True, **told.get(e.request_id, {})}, frozenset(e.systems)),
        )
        for e in ended
    ]
    await fulfilments.open_all(tx, new_fulfilments)
