"""What export does with the events that it consumes."""

import asyncio
import hashlib
from collections.abc import Sequence
from uuid import UUID

from pydantic import JsonValue

from services.export import package, release
from shared.domain.events import AnswerDecided, RequestClosed, RetryDecided
from shared.domain.rights import Outcome
from shared.fulfilment import reports
from shared.fulfilment import store as fulfilment
from shared.fulfilment.fulfilments import Fulfilments
from shared.fulfilment.store import Completed
from shared.fulfilment.withholding import drop, withhold
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage.postgres import may_stand_still
from shared.storage.vault import Sealing


async def retry(fulfilments: Fulfilments, events: Sequence[RetryDecided], tx: UnitOfWork) -> None:
    """Go on with what is blocked; what begins anew is collected anew."""
    anew = await fulfilments.retry(tx, [event.request_id for event in events])
    for event in events:
        if systems := anew.get(event.request_id):
            await tx.vault.drop_given(tx.connection, event.subject, systems)


async def answer(events: Sequence[AnswerDecided], tx: UnitOfWork) -> None:
    """Say what is done, with a package of what there is unless it was refused; the pieces stay for a later one.

    What a system gave that is not shown to be the subject's is left out, and that system named (REQ-S8).
    """
    for event, done in await reports.decided(events, tx):
        if done is None or event.outcome is Outcome.REFUSED:
            reports.publish(tx, event, done)
            continue
        pieces = await _collected(tx, done)
        failures = await release.failures(tx, done, pieces)
        if failures:
            await drop(tx, done, failures)
        now = (await reports.so_far(tx, [done.request_id]))[done.request_id] if failures else done
        fitting = [(system, content) for system, content in pieces if system not in failures]
        reports.publish(tx, event, now, await _package(tx, now, fitting, reports.undone(now)))


async def close(events: Sequence[RequestClosed], tx: UnitOfWork) -> None:
    """The subject has their answer: what is not owed is not collected any more, and no piece of it is kept."""
    over = [event for event in events if not event.goes_on]
    await fulfilment.cancel(tx, [event.request_id for event in over])
    for kind in ("records", "upload"):
        await tx.vault.drop_kind(tx.connection, [event.subject for event in over], kind)
    refused = [event.subject for event in events if event.outcome is Outcome.REFUSED]
    await tx.vault.drop_collected(tx.connection, refused)


async def finish(completed: Sequence[Completed], tx: UnitOfWork) -> None:
    """Build each package from what was collected, drop the collected pieces, and say so.

    Where a row is not shown to be the subject's, there is no package, and a person is asked (REQ-S8).
    """
    for done in completed:
        pieces = await _collected(tx, done)
        if failures := await release.failures(tx, done, pieces):
            await withhold(tx, done, failures)
            continue
        await tx.vault.drop_kind(tx.connection, [done.subject_ref], "records")
        tx.publish(done.event(await _package(tx, done, pieces, reports.undone(done))))


async def _collected(tx: UnitOfWork, done: Completed) -> list[tuple[str, bytes]]:
    """What each system gave."""
    collected = await tx.vault.open_kind(tx.connection, done.subject_ref, "records")
    return [(source, content) for _, source, content in collected]


async def _package(
    tx: UnitOfWork, done: Completed, pieces: Sequence[tuple[str, bytes]], missing: Sequence[str] = ()
) -> UUID | None:
    """Seals a package of these pieces, in the place of an earlier one; ``None``: nothing is in them.

    ``missing``: the systems whose part is not in it, or not all of it.
    """
    found = package.read(pieces, done.right)
    if not found:
        return None
    async with may_stand_still(tx.connection):
        content = await asyncio.to_thread(package.build, found, done.right, tx.now, missing)
    sealing = Sealing(done.subject_ref, "package", "export", content)
    for kind in ("package", release.KIND):  # of an answer before, in part or in time
        await tx.vault.drop_kind(tx.connection, [done.subject_ref], kind)
    await tx.vault.seal(tx.connection, [sealing, release.sealing(done, pieces, tx.now)], tx.now)
    digest = hashlib.sha256(content).hexdigest()
    detail: dict[str, JsonValue] = {"bytes": len(content), "sha256": digest, "records": len(found)}
    tx.log_evidence(done.request_id, "package.built", detail | ({"missing": [*missing]} if missing else {}))
    return sealing.sealed_id
