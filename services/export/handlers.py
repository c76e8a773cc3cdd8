"""What export does with the events that it consumes."""

import asyncio
import hashlib
from collections.abc import Sequence
from uuid import UUID

from pydantic import JsonValue

from services.export import package
from shared.domain.events import AnswerDecided, RequestClosed, RetryDecided
from shared.domain.rights import Outcome
from shared.fulfilment import reports
from shared.fulfilment import store as fulfilment
from shared.fulfilment.fulfilments import Fulfilments
from shared.fulfilment.store import Completed
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage.postgres import may_stand_still
from shared.storage.vault import Sealing


async def retry(fulfilments: Fulfilments, events: Sequence[RetryDecided], tx: UnitOfWork) -> None:
    """Go on with what is blocked; what begins anew is collected anew."""
    anew = await fulfilments.retry(tx, [event.request_id for event in events])
    await tx.vault.drop_kind(tx.connection, [event.subject for event in events if event.request_id in anew], "records")


async def answer(events: Sequence[AnswerDecided], tx: UnitOfWork) -> None:
    """Say what is done, with a package of what there is unless it was refused; the pieces stay for a later one."""
    for event, done in await reports.decided(events, tx):
        package_id = None
        if done is not None and event.outcome is not Outcome.REFUSED:
            package_id = await _package(tx, done, reports.undone(done))
        reports.publish(tx, event, done, package_id)


async def close(events: Sequence[RequestClosed], tx: UnitOfWork) -> None:
    """The subject has their answer: what is not owed is not collected any more, and no piece of it is kept."""
    over = [event for event in events if not event.goes_on]
    await fulfilment.cancel(tx, [event.request_id for event in over])
    await tx.vault.drop_kind(tx.connection, [event.subject for event in over], "records")
    refused = [event.subject for event in events if event.outcome is Outcome.REFUSED]
    await tx.vault.drop_collected(tx.connection, refused)


async def finish(completed: Sequence[Completed], tx: UnitOfWork) -> None:
    """Build each package from what was collected, drop the collected pieces, and say so."""
    for done in completed:
        package_id = await _package(tx, done)
        await tx.vault.drop_kind(tx.connection, [done.subject_ref], "records")
        tx.publish(done.event(package_id))


async def _package(tx: UnitOfWork, done: Completed, missing: Sequence[str] = ()) -> UUID | None:
    """Seals a package of what was collected, in the place of an earlier one; ``None``: nothing was.

    ``missing``: the systems whose part is not in it, or not all of it.
    """
    pieces = await tx.vault.open_kind(tx.connection, done.subject_ref, "records")
    found = package.read([(source, content) for _, source, content in pieces], done.right)
    if not found:
        return None
    async with may_stand_still(tx.connection):
        content = await asyncio.to_thread(package.build, found, done.right, tx.now, missing)
    sealing = Sealing(done.subject_ref, "package", "export", content)
    await tx.vault.drop_kind(tx.connection, [done.subject_ref], "package")  # of an answer before, in part or in time
    await tx.vault.seal(tx.connection, [sealing], tx.now)
    digest = hashlib.sha256(content).hexdigest()
    detail: dict[str, JsonValue] = {"bytes": len(content), "sha256": digest, "records": len(found)}
    tx.log_evidence(done.request_id, "package.built", detail | ({"missing": [*missing]} if missing else {}))
    return sealing.sealed_id
