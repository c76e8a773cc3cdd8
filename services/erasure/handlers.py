"""What erasure does with its events; each handler gets a batch, and the engine commits, retries and logs."""

from collections.abc import Sequence

from services.erasure import keys, suppression
from shared.domain.events import AnswerDecided, RequestClosed
from shared.domain.operations import Operation
from shared.domain.rights import Outcome
from shared.fulfilment import reports
from shared.fulfilment.fulfilments import Fulfilments
from shared.fulfilment.store import Completed
from shared.messaging.unit_of_work import UnitOfWork

_NOT_ERASED = frozenset({Outcome.FORWARDED, Outcome.REFUSED})


async def answer(fulfilments: Fulfilments, events: Sequence[AnswerDecided], tx: UnitOfWork) -> None:
    """Say what is done, for the answer that two persons have decided; what is owed stops nothing else (Art. 17(1))."""
    await reports.answer(events, tx)
    await fulfilments.go_on_without(tx, [event.request_id for event in events if event.owed], Operation.ERASE)


async def finish(completed: Sequence[Completed], tx: UnitOfWork) -> None:
    """Every downstream was emptied and looked at again: say so; with the last deferred erasure the key goes too."""
    await suppression.keep(tx, completed)
    for done in completed:
        tx.publish(done.event())
    if request_of := {done.subject_ref: done.request_id for done in completed if done.deferred}:
        await keys.shred_unless_kept(tx, request_of)


async def shred_key(events: Sequence[RequestClosed], tx: UnitOfWork) -> None:
    """Destroy the subject's key, unless a system had to keep data that can be erased later by that key alone.

    Not while the subject may resume the request: then it must still be known whom it is about. Of what was forwarded or
    refused nothing was erased, and the letter that says so must still be read.
    """
    latest = {event.subject: event for event in events if event.outcome not in _NOT_ERASED}
    await keys.mark_resumable(tx, {subject: event.resumable for subject, event in latest.items()})
    request_of = {subject: event.request_id for subject, event in latest.items() if not event.resumable}
    withdrawn = {subject for subject, event in latest.items() if event.outcome is Outcome.WITHDRAWN}
    await keys.shred_unless_kept(tx, request_of, ignore_retention_for=withdrawn)
