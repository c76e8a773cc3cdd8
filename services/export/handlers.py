"""Handles the events of access and portability."""

from collections.abc import Sequence

from services.export import due
from services.export.answered import is_listed
from shared.domain.events import AnswerDecided, RequestClosed, RequestWithdrawn, RetryRequested
from shared.domain.rights import Outcome
from shared.fulfilment import handlers as fulfilling
from shared.fulfilment import reports
from shared.fulfilment import store as fulfilment
from shared.fulfilment.fulfilments import Fulfilments
from shared.fulfilment.store import FulfilmentResult
from shared.messaging.unit_of_work import UnitOfWork


async def retry(fulfilments: Fulfilments, events: Sequence[RetryRequested], tx: UnitOfWork) -> None:
    """Retries what is blocked; a system that starts over is collected again."""
    restarted = await fulfilments.retry(tx, [event.request_id for event in events])
    for event in events:
        if systems := restarted.get(event.request_id):
            await tx.vault.drop_of_systems(tx.connection, event.subject, systems)


async def answer(fulfilments: Fulfilments, events: Sequence[AnswerDecided], tx: UnitOfWork) -> None:
    """Publishes what is done, with a package of what there is unless it was refused; the pieces stay for a later one.

    What a system gave that is not shown to be the subject's is left out, and that system named (REQ-S8).
    """
    await due.drop(tx, [event.request_id for event in events if event.outcome is Outcome.REFUSED])
    for event, done in await reports.results_of_decided(events, tx):
        if done is None or event.outcome is Outcome.REFUSED or not (due.gave(done) or await is_listed(tx, done)):
            reports.publish(tx, event, done)
        else:
            await due.add(tx, fulfilments, done, decided=True)


async def cancel(events: Sequence[RequestWithdrawn], tx: UnitOfWork) -> None:
    """Stops what has not begun, and drops what was collected, also while it is packed."""
    await due.drop(tx, [event.request_id for event in events])
    await fulfilling.cancel(events, tx)


async def close(events: Sequence[RequestClosed], tx: UnitOfWork) -> None:
    """Ends the collection of a closed request, and drops its pieces."""
    over = [event for event in events if not event.has_outstanding]
    await due.drop(tx, [event.request_id for event in over])
    await fulfilment.cancel(tx, [event.request_id for event in over])
    for kind in ("records", "upload"):
        await tx.vault.drop_kind(tx.connection, [event.subject for event in over], kind)
    refused = [event.subject for event in events if event.outcome is Outcome.REFUSED]
    await tx.vault.drop_collected(tx.connection, refused)


async def finish(fulfilments: Fulfilments, completed: Sequence[FulfilmentResult], tx: UnitOfWork) -> None:
    """Queues a package of what was collected, or of what our own lists have; without either, publishes that."""
    for done in completed:
        if due.gave(done) or await is_listed(tx, done):
            await due.add(tx, fulfilments, done, decided=False)
        else:
            await tx.vault.drop_kind(tx.connection, [done.subject_ref], "records")
            tx.publish(done.event())
