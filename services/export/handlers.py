"""What export does with the events that it consumes."""

from collections.abc import Sequence
from functools import partial
from uuid import UUID

from pydantic import JsonValue
from uuid_utils.compat import uuid7

from services.export import package, release
from services.export.answered import request_of
from services.export.package import About, Part
from services.export.report.held import NOTHING, Legends
from shared.domain.events import AnswerDecided, RequestClosed, RetryDecided
from shared.domain.operations import TaskOutcome
from shared.domain.rights import Outcome
from shared.fulfilment import reports
from shared.fulfilment import store as fulfilment
from shared.fulfilment.fulfilments import Fulfilments
from shared.fulfilment.store import Completed
from shared.fulfilment.withholding import drop, withhold
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage.chunks import ChunkWriter
from shared.storage.postgres import may_stand_still
from shared.storage.vault import Sealing


async def retry(fulfilments: Fulfilments, events: Sequence[RetryDecided], tx: UnitOfWork) -> None:
    """Go on with what is blocked; what begins anew is collected anew."""
    anew = await fulfilments.retry(tx, [event.request_id for event in events])
    for event in events:
        if systems := anew.get(event.request_id):
            await tx.vault.drop_given(tx.connection, event.subject, systems)


async def answer(events: Sequence[AnswerDecided], tx: UnitOfWork, legends: Legends = NOTHING) -> None:
    """Say what is done, with a package of what there is unless it was refused; the pieces stay for a later one.

    What a system gave that is not shown to be the subject's is left out, and that system named (REQ-S8).
    """
    for event, done in await reports.decided(events, tx):
        if done is None or event.outcome is Outcome.REFUSED:
            reports.publish(tx, event, done)
            continue
        parts, package_id = await _collected(tx, done), uuid7()
        failures = await release.failures(tx, done, parts, package_id)
        if failures:
            await drop(tx, done, failures)
        now = (await reports.so_far(tx, [done.request_id]))[done.request_id] if failures else done
        fitting = [part for part in parts if part.system not in failures]
        reports.publish(tx, event, now, await _package(tx, now, fitting, package_id, legends))


async def close(events: Sequence[RequestClosed], tx: UnitOfWork) -> None:
    """The subject has their answer: what is not owed is not collected any more, and no piece of it is kept."""
    over = [event for event in events if not event.goes_on]
    await fulfilment.cancel(tx, [event.request_id for event in over])
    for kind in ("records", "upload"):
        await tx.vault.drop_kind(tx.connection, [event.subject for event in over], kind)
    refused = [event.subject for event in events if event.outcome is Outcome.REFUSED]
    await tx.vault.drop_collected(tx.connection, refused)


async def finish(completed: Sequence[Completed], tx: UnitOfWork, legends: Legends = NOTHING) -> None:
    """Build each package from what was collected, drop the collected pieces, and say so.

    Where a row is not shown to be the subject's, there is no package, and a person is asked (REQ-S8).
    """
    for done in completed:
        parts, package_id = await _collected(tx, done), uuid7()
        if failures := await release.failures(tx, done, parts, package_id):
            await withhold(tx, done, failures)
            continue
        made = await _package(tx, done, parts, package_id, legends)
        await tx.vault.drop_kind(tx.connection, [done.subject_ref], "records")
        tx.publish(done.event(made))


async def _collected(tx: UnitOfWork, done: Completed) -> list[Part]:
    """What each system gave, part by part as it lies in the vault; nothing of one that did not come to its end."""
    given = {report.system for report in done.reports if report.outcome == TaskOutcome.EXPORTED}

    async def opened(place: UUID) -> bytes:
        return await tx.vault.open_one(tx.connection, place) or b"[]"

    places = await tx.vault.places(tx.connection, done.subject_ref, "records")
    return [Part(source, size, partial(opened, place)) for place, source, size in places if source in given]


async def _package(
    tx: UnitOfWork, done: Completed, parts: Sequence[Part], package_id: UUID, legends: Legends
) -> UUID | None:
    """Seals a package of these parts, in the place of an earlier one; ``None``: nothing is in them."""
    sealing = Sealing(done.subject_ref, "package", "export", b"", package_id)
    writer = ChunkWriter(tx.connection, tx.vault, sealing, tx.now)
    async with may_stand_still(tx.connection):
        request = await request_of(tx, done, legends)
        found = await package.build(parts, About(done.right, tx.now, request), writer.write)
    if found is None:
        return None
    for kind in ("package", release.KIND):  # of an answer before, in part or in time
        await tx.vault.drop_kind(tx.connection, [done.subject_ref], kind, but=package_id)
    sealed = await writer.close()
    await release.seal(tx, done, parts, package_id)
    records = sum(category.rows for category in found.values())
    detail: dict[str, JsonValue] = {"bytes": sealed.size, "sha256": sealed.sha256, "records": records}
    missing: JsonValue = [*reports.undone(done)]
    version: JsonValue = request.policy.version
    tx.log_evidence(
        done.request_id, "package.built", {**detail, "policy": version} | ({"missing": missing} if missing else {})
    )
    return package_id
