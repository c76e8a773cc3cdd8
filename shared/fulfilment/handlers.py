"""What every service that fulfils does alike with what it hears of a request in its hands."""

from collections.abc import Sequence

from shared.domain.events import RequestExtended, RequestRedated, RequestWithdrawn, RetryDecided
from shared.fulfilment import rescheduling
from shared.fulfilment import store as fulfilment
from shared.fulfilment.fulfilments import Fulfilments
from shared.messaging.unit_of_work import UnitOfWork


async def retry(fulfilments: Fulfilments, events: Sequence[RetryDecided], tx: UnitOfWork) -> None:
    """Go on with what is blocked: a person decided so, or more is known of the subject now."""
    await fulfilments.retry(tx, [event.request_id for event in events])


async def cancel(events: Sequence[RequestWithdrawn], tx: UnitOfWork) -> None:
    """Stop what has not begun; what is done already stays done, and the record says so."""
    await fulfilment.cancel(tx, [event.request_id for event in events])


async def reschedule(events: Sequence[RequestExtended | RequestRedated], tx: UnitOfWork) -> None:
    """The due date has moved, and what is not done moves with it; the last event of a request counts."""
    await rescheduling.reschedule(tx, {event.request_id: event.due_on for event in events})
