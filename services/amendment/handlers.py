"""What amendment does with what it hears: one table of restrictions in force, one of suppressed contact points."""

from collections.abc import Sequence

from services.amendment import registers
from shared import fulfilment
from shared.downstreams.contract import Operation
from shared.events import LiftDecided, RequestVerified
from shared.fulfilment import Completed, Opening
from shared.rights import Right
from shared.transaction import Transaction

VERBS = {
    Right.RECTIFICATION: Operation.RECTIFY,
    Right.RESTRICTION: Operation.RESTRICT,
    Right.OBJECTION: Operation.SUPPRESS,
}

DETAIL = {Right.RESTRICTION: "ground", Right.OBJECTION: "scope"}
"""What the scope of a request is called in the tasks that it becomes."""


async def begin(events: Sequence[RequestVerified], tx: Transaction) -> None:
    """Open one task per downstream; an objection takes effect in our own suppression list at once (Art. 21(3))."""
    await registers.suppress(tx, [event for event in events if event.right is Right.OBJECTION])
    await fulfilment.open_all(
        tx,
        [
            Opening(
                e.request_id,
                e.subject,
                e.right,
                VERBS[e.right],
                e.due_on,
                {DETAIL[e.right]: e.scope} if e.scope else {},
            )
            for e in events
        ],
    )


async def lift(events: Sequence[LiftDecided], tx: Transaction) -> None:
    """Lift a restriction of which the subject has been told beforehand (Art. 18(3))."""
    openings = [Opening(e.request_id, e.subject, e.right, Operation.LIFT, e.due_on) for e in events]
    await fulfilment.open_all(tx, openings)


async def finish(completed: Sequence[Completed], tx: Transaction) -> None:
    """Every downstream was changed and looked at again: keep the register of restrictions, and say so."""
    await registers.keep_restrictions(tx, completed)
    for done in completed:
        tx.publish(done.event(tx.now))
