"""What export does with the events that it consumes."""

import asyncio
import hashlib
from collections.abc import Sequence

from services.export import package, release
from shared.domain.events import RequestClosed, RetryDecided
from shared.domain.rights import Outcome
from shared.fulfilment import store as fulfilment
from shared.fulfilment.fulfilments import Fulfilments
from shared.fulfilment.store import Completed
from shared.fulfilment.withholding import withhold
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage.postgres import may_stand_still
from shared.storage.vault import Sealing


async def retry(fulfilments: Fulfilments, events: Sequence[RetryDecided], tx: UnitOfWork) -> None:
    """Go on with what is blocked; what begins anew is collected anew."""
    anew = await fulfilments.retry(tx, [event.request_id for event in events])
    await tx.vault.drop_kind(tx.connection, [event.subject for event in events if event.request_id in anew], "records")


async def close(events: Sequence[RequestClosed], tx: UnitOfWork) -> None:
    """The subject has their answer: what a person left undone is not collected any more, and no piece of it is kept."""
    await fulfilment.cancel(tx, [event.request_id for event in events])
    await tx.vault.drop_kind(tx.connection, [event.subject for event in events], "records")
    refused = [event.subject for event in events if event.outcome is Outcome.REFUSED]
    await tx.vault.drop_collected(tx.connection, refused)


async def finish(completed: Sequence[Completed], tx: UnitOfWork) -> None:
    """Build each package from what was collected, seal it, drop the collected pieces, and say so.

    Where a row is not shown to be the subject's, there is no package, and a person is asked (REQ-S8).
    """
    for done in completed:
        collected = await tx.vault.open_kind(tx.connection, done.subject_ref, "records")
        pieces = [(source, content) for _, source, content in collected]
        if failures := await release.failures(tx, done, pieces):
            await withhold(tx, done, failures)
            continue
        await tx.vault.drop_kind(tx.connection, [done.subject_ref], "records")
        found = package.read(pieces, done.right)
        if not found:
            tx.publish(done.event())
            continue
        async with may_stand_still(tx.connection):
            content = await asyncio.to_thread(package.build, found, done.right, tx.now)
        sealing = Sealing(done.subject_ref, "package", "export", content)
        for kind in ("package", release.KIND):  # of an answer before a late reply
            await tx.vault.drop_kind(tx.connection, [done.subject_ref], kind)
        await tx.vault.seal(tx.connection, [sealing, release.sealing(done, pieces, tx.now)], tx.now)
        digest = hashlib.sha256(content).hexdigest()
        tx.log_evidence(
            done.request_id, "package.built", {"bytes": len(content), "sha256": digest, "records": len(found)}
        )
        tx.publish(done.event(sealing.sealed_id))
