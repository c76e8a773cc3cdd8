"""What erasure does with what it hears; each handler gets a batch, and the engine commits, retries and logs."""

from collections.abc import Sequence

from shared import fulfilment
from shared.downstreams.contract import Operation
from shared.events import RequestClosed, RequestVerified
from shared.fulfilment import Completed, Opening
from shared.rights import Outcome
from shared.transaction import Transaction


async def begin(events: Sequence[RequestVerified], tx: Transaction) -> None:
    """Open one task per downstream; what yields identities is located first and erased last."""
    openings = [Opening(e.request_id, e.subject, e.right, Operation.ERASE, e.due_on) for e in events]
    await fulfilment.open_all(tx, openings)


async def finish(completed: Sequence[Completed], tx: Transaction) -> None:
    """Every downstream was emptied and looked at again: say so, with the counts."""
    for done in completed:
        tx.publish(done.event(tx.now))


async def shred_key(events: Sequence[RequestClosed], tx: Transaction) -> None:
    """Destroy the subject's key: what the vault still holds of them becomes unreadable for good.

    A request that was forwarded is not: nothing was erased, and the letter that says so must still be read.
    """
    request_of = {event.subject: event.request_id for event in events if event.outcome is not Outcome.FORWARDED}
    for subject in await tx.vault.shred(tx.connection, list(request_of), tx.now):
        tx.record(request_of[subject], "key.shredded", {"subject_ref": str(subject), "algorithm": "AES-256-GCM"})
