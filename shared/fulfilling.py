"""What every service that fulfils does alike with what it hears of a request in its hands."""

from collections.abc import Sequence

from shared import fulfilment, rescheduling
from shared.events import RequestExtended, RequestRedated, RequestWithdrawn, RetryDecided
from shared.transaction import Transaction


async def retry(events: Sequence[RetryDecided], tx: Transaction) -> None:
    """Try the failed tasks again, as a person decided."""
    await fulfilment.retry(tx, [event.request_id for event in events])


async def cancel(events: Sequence[RequestWithdrawn], tx: Transaction) -> None:
    """Stop what has not begun; what is done already stays done, and the record says so."""
    await fulfilment.cancel(tx, [event.request_id for event in events])


async def reschedule(events: Sequence[RequestExtended | RequestRedated], tx: Transaction) -> None:
    """The due date has moved, and what is not done moves with it; the last event of a request counts."""
    await rescheduling.reschedule(tx, {event.request_id: event.due_on for event in events})
