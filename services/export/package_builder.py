"""Makes the packages that are due: checks, packs and seals what was collected, chunk by chunk, and then says so.

No transaction is open while a package is made. Each piece is stored in a transaction of its own that locks the row of
the package, so a process that lost the lease writes nothing. The next process starts over. Only the last transaction
counts: in it the package becomes readable, the collected data go, and the answer is published.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

import orjson
from pydantic import JsonValue

from services.export import due as waiting
from services.export import package
from services.export.answered import request_of
from services.export.due import STEP, DuePackage, gave
from services.export.package import About, Part
from services.export.report.request import incomplete
from services.export.report.words import texts_of
from services.export.survey import SurveyedCategory, handed_out
from shared.app.service import Running
from shared.domain.errors import DsrError, KeyGone, Refused, Shredded
from shared.domain.events import FulfilmentBlocked
from shared.domain.proofs import proof_policy
from shared.domain.release import ReleaseBlocked, ReleaseFault
from shared.domain.rights import Outcome, Right
from shared.fulfilment import reports
from shared.fulfilment.adapter_calls import UnforeseenError
from shared.fulfilment.failures import failure_details
from shared.fulfilment.fulfilments import Fulfilments
from shared.fulfilment.lease import Lease
from shared.fulfilment.queue import LeaseLost
from shared.fulfilment.store import FulfilmentResult, FulfilmentState, end, lock_ended
from shared.messaging.unit_of_work import UnitOfWork, UnitOfWorkFactory
from shared.runtime import telemetry
from shared.runtime.liveness import Heartbeats
from shared.runtime.loops import alive, backoff, retry_while_unavailable
from shared.runtime.metrics import RELEASES
from shared.runtime.settings import WorkSettings
from shared.storage.chunks import Begin, Chunked, ChunkWriter
from shared.storage.postgres import RETRYABLE, UNAVAILABLE, Connection
from shared.storage.release import KIND as FOUND_BY
from shared.storage.release import Manifest, ReleaseCheck, rows_of, sealed
from shared.storage.vault import Sealing

log = logging.getLogger(__name__)

ABREAST = 2
"""Packages that a process builds at a time, so that a large one does not delay the others."""
_PATIENCE = 5
"""Attempts after which an officer decides."""
_BROKE = "no package could be made of what it gave: the log says where that ends"
_WITHHELD = "nothing was handed out: "
_GONE = "the subject's key was shredded before the package was made"

Places = Sequence[tuple[UUID, str, int]]

_FAILED = """
UPDATE task SET state = 'failed', receipt = NULL, failure = f.failure, why = f.why
FROM unnest($2::text[], $3::text[], $4::jsonb[]) AS f (system, failure, why)
WHERE fulfilment_id = $1 AND task.system = f.system AND operation = $5 AND state = 'done'
"""
_SERVICE = "export"
_IDLE_LOOKS = 8
for _result in ("fits", "withheld"):
    RELEASES.labels(_SERVICE, _result)  # shown as 0 until the first


async def check(
    unit_of_work: UnitOfWorkFactory, begin: Begin, due: DuePackage, right: Right, parts: Sequence[Part], now: datetime
) -> Mapping[str, ReleaseFault]:
    """Returns by system why its copy cannot be released; seals by what every other record was found, part by part.

    The package is checked again at each download. ``begin``: opens a transaction of the process that makes it.

    Raises:
        Shredded: the subject's key is gone.
    """
    faults: dict[str, ReleaseFault] = {}
    vault, proofs = unit_of_work.vault, proof_policy(unit_of_work.policy.overlay)
    found = ReleaseCheck(vault, proofs, due.subject_ref)
    for part in parts:
        if part.system in faults:
            continue
        matched = _matched(await part.open())
        manifest = Manifest(now, right, rows_of(matched), due.package_id)
        async with unit_of_work.pool.acquire() as connection:
            fault = await found.fault(connection, manifest)
        if fault:
            faults[part.system] = fault
            continue
        content = sealed(now, right, matched, due.package_id)
        async with begin() as connection:
            await vault.seal(connection, [Sealing(due.subject_ref, FOUND_BY, due.source, content)], now)
    if not parts:  # in no system, only on our own list: there is no row that could belong to a different person
        nothing = sealed(now, right, [], due.package_id)
        async with begin() as connection:
            await vault.seal(connection, [Sealing(due.subject_ref, FOUND_BY, due.source, nothing)], now)
    return faults


def _matched(content: bytes) -> Sequence[tuple[str, Sequence[Sequence[str | None]]]]:
    """Returns by what each record was found, also for one that does not say it."""
    return [(record[0], (record[4:] or [()])[0]) for record in orjson.loads(content)]


class SourceChanged(DsrError):
    """The collected data changed while they were packed: packing starts over."""


@dataclass(frozen=True, slots=True)
class Collected:
    """The content of a package at one moment: where each part is stored, and what was done to get it."""

    done: FulfilmentResult
    places: Places

    @property
    def systems(self) -> set[str]:
        """Returns the systems that gave data."""
        return {system for _, system, _ in self.places}


async def run(fulfilments: Fulfilments, running: Running) -> None:
    """Makes packages until the service stops; the current one is finished first."""
    if running.lease is None:
        raise AssertionError("packages need a lease")
    builder = PackageBuilder(running.unit_of_work, fulfilments, running.lease, running.tracing, running.settings.work)
    names = ("packages", *(f"packages:{number}" for number in range(2, ABREAST + 1)))
    await asyncio.gather(*(builder.run(name, running.stopping, running.heartbeats) for name in names))


class PackageBuilder:
    """Makes the packages that are due, one after the other."""

    def __init__(
        self,
        unit_of_work: UnitOfWorkFactory,
        fulfilments: Fulfilments,
        lease: Lease,
        tracing: telemetry.Tracing,
        settings: WorkSettings,
    ) -> None:
        self._unit_of_work = unit_of_work
        self._legends = fulfilments.legends
        self._wakeup = fulfilments.wakeup(STEP)
        self._lease = lease
        self._tracing = tracing
        self._settings = settings

    async def run(self, name: str, stopping: asyncio.Event, heartbeats: Heartbeats) -> None:
        """Makes packages until the service stops."""
        while not stopping.is_set():
            if not await self.make_next(name, heartbeats):
                await self._wakeup.wait(_IDLE_LOOKS * self._settings.poll_seconds, stopping)

    async def make_next(self, name: str, heartbeats: Heartbeats) -> bool:
        """Makes the one that is due first, or gives it back for another time; whether there was one."""
        due = await retry_while_unavailable(self.claim, name, heartbeats)
        if due is None:
            return False
        async with alive(name, heartbeats):
            again = await self.make(due)
            if again is not None:  # perhaps with no wait: what is not given back stays leased while this process lives
                await retry_while_unavailable(partial(self._postpone, due, again), name, heartbeats)
        return True

    async def claim(self) -> DuePackage | None:
        """Takes the package that is due first in hand."""
        async with self._unit_of_work.pool.acquire() as connection:
            return await waiting.claim(connection, self._lease.holder, self._unit_of_work.clock.now())

    async def make(self, due: DuePackage) -> timedelta | None:
        """Makes it and says so, or has a person asked; returns after which time it is to be tried again, if it is."""
        with self._tracing.together("export package", [due.traceparent]):
            try:
                await self._lease.run_leased(due.holder, self._make(due))
            except LeaseLost as lost:
                log.info("package abandoned request_id=%s reason=%s", due.request_id, lost)
            except (SourceChanged, *RETRYABLE):
                return timedelta(0)
            except UNAVAILABLE as error:
                log.info(
                    "database unavailable, package waits request_id=%s error=%s", due.request_id, type(error).__name__
                )
                return backoff(due.attempt, self._settings)
            except Exception as error:  # noqa: BLE001  # whatever one fails on, the others are made
                where = telemetry.where(error)
                log.error("package failed request_id=%s at=%s", due.request_id, where)  # noqa: TRY400
                return backoff(due.attempt, self._settings)
        return None

    async def _postpone(self, due: DuePackage, pause: timedelta) -> None:
        async with self._unit_of_work.pool.acquire() as connection:
            await waiting.postpone(connection, due, self._unit_of_work.clock.now() + pause)

    async def _make(self, due: DuePackage) -> None:
        async with self._unit_of_work.begin() as tx:
            await waiting.hold(tx.connection, due)
            await waiting.forget(tx, due.subject_ref, due.package_id)
            if (collected := await _collected(tx, due)) is None:
                await waiting.end(tx.connection, due)
                return
            request = await request_of(tx, collected.done, self._legends)
            about = About(collected.done.right, tx.now, request)
        if due.attempt > _PATIENCE:
            await self._give_up(due, collected, dict.fromkeys(collected.systems, UnforeseenError(_BROKE)))
            return
        try:
            await self._pack(due, collected, about)
        except Shredded:
            await self._give_up(due, collected, dict.fromkeys(collected.systems, KeyGone(_GONE)))

    async def _pack(self, due: DuePackage, collected: Collected, about: About) -> None:
        begin, vault = partial(self._ours, due), self._unit_of_work.vault
        parts = [Part(system, size, partial(self._open, place)) for place, system, size in collected.places]
        faults = await check(self._unit_of_work, begin, due, about.right, parts, about.at)
        if faults:
            failures = {system: ReleaseBlocked(_WITHHELD + fault.sentence) for system, fault in faults.items()}
            await self._give_up(due, collected, failures, faults)
            return
        sealing = Sealing(due.subject_ref, "package", "export", b"", due.package_id)
        writer = ChunkWriter(begin, vault, sealing, about.at)
        found = await package.build(parts, about, writer.write)
        async with self._unit_of_work.begin() as tx:
            tx.traces[due.request_id] = due.traceparent
            await waiting.hold(tx.connection, due)
            if await _collected(tx, due) != collected:
                raise SourceChanged("what was collected has changed while it was packed")
            if found is None:
                await waiting.forget(tx, due.subject_ref, due.package_id)
            else:
                sealed = await writer.close(tx.connection)
                await _in_its_place(tx, due)
                records = sum(category.rows for category in found.values())
                lacks = _lacks(found, about)
                _log_built(tx, collected.done, sealed, records, {"policy": about.request.policy.version, **lacks})
            done = collected.done
            if about.right is Right.PORTABILITY:
                done = replace(done, reports=tuple(handed_out(each, found or {}) for each in done.reports))
            _say(tx, due, done, None if found is None else due.package_id)
            if not due.decided:
                await tx.vault.drop_kind(tx.connection, [due.subject_ref], "records")
            await waiting.end(tx.connection, due)
            if collected.places:
                tx.after_commit(RELEASES.labels("export", "fits").inc)

    async def _open(self, place: UUID) -> bytes:
        async with self._unit_of_work.pool.acquire() as connection:
            content = await self._unit_of_work.vault.open_one(connection, place)
        if content is None:
            raise SourceChanged("a part of what was collected has gone while it was packed")
        return content

    @asynccontextmanager
    async def _ours(self, due: DuePackage) -> AsyncIterator[Connection]:
        """Opens a transaction to store a piece while this process holds the package."""
        async with self._unit_of_work.pool.acquire() as connection, connection.transaction():
            await waiting.hold(connection, due)
            yield connection

    async def _give_up(
        self,
        due: DuePackage,
        collected: Collected,
        failures: Mapping[str, Refused],
        faults: Mapping[str, ReleaseFault] | None = None,
    ) -> None:
        """Makes no package of what these systems gave: a person is asked, or of an answer it is left out and named."""
        async with self._unit_of_work.begin() as tx:
            tx.traces[due.request_id] = due.traceparent
            await waiting.hold(tx.connection, due)
            await waiting.forget(tx, due.subject_ref, due.package_id)
            if await _collected(tx, due) != collected:
                raise SourceChanged("what was collected has changed while it was looked at")
            if faults:
                said: JsonValue = {system: fault.value for system, fault in faults.items()}
                tx.log_evidence(due.request_id, "package.withheld", {"faults": said})
                tx.after_commit(RELEASES.labels("export", "withheld").inc)
            if due.decided:
                await drop(tx, collected.done, failures)
                await waiting.postpone(tx.connection, due, tx.now)
            else:
                await withhold(tx, collected.done, failures)
                await waiting.end(tx.connection, due)


async def _collected(tx: UnitOfWork, due: DuePackage) -> Collected | None:
    """Returns the parts that each system gave, without those of a system that did not finish.

    None where the request's work is no longer done.
    """
    if due.decided:
        done = (await reports.results_so_far(tx, [due.request_id])).get(due.request_id)
    else:
        done = next(iter(await lock_ended(tx, [due.fulfilment_id], FulfilmentState.COMPLETE)), None)
    if done is None:
        return None
    places = await tx.vault.list_pieces(tx.connection, done.subject_ref, "records")
    given = gave(done)
    return Collected(done, [place for place in places if place[1] in given])


def _say(tx: UnitOfWork, due: DuePackage, done: FulfilmentResult, package_id: UUID | None) -> None:
    """Publishes what is done; the answer to a person who is only on our own list never says "no data"."""
    if due.decided:
        tx.publish(done.report_event(package_id))
        return
    event = done.event(package_id)
    alone = package_id is not None and done.outcome is Outcome.NO_DATA
    tx.publish(event.model_copy(update={"outcome": Outcome.FULFILLED}) if alone else event)


async def _in_its_place(tx: UnitOfWork, due: DuePackage) -> None:
    """Drops the package of an answer before, in part or in time, and by what its rows were found."""
    await tx.vault.drop_kind(tx.connection, [due.subject_ref], "package", except_id=due.package_id)
    await tx.vault.drop_other_sources(tx.connection, due.subject_ref, FOUND_BY, due.source)


def _lacks(found: Mapping[str, SurveyedCategory], about: About) -> Mapping[str, JsonValue]:
    """Returns the names of columns and categories that no one has described."""
    if about.right is not Right.ACCESS or about.request.instructed:
        return {}
    return {key: [*names] for key, names in incomplete(found, about.request, texts_of("en")).items()}


def _log_built(
    tx: UnitOfWork, done: FulfilmentResult, sealed: Chunked, records: int, also: Mapping[str, JsonValue]
) -> None:
    detail: dict[str, JsonValue] = {"bytes": sealed.size, "sha256": sealed.sha256, "records": records}
    missing: JsonValue = [*reports.unfinished_systems(done)]
    known = {**detail, **also} | ({"missing": missing} if missing else {})
    tx.log_evidence(done.request_id, "package.built", known)


async def withhold(tx: UnitOfWork, done: FulfilmentResult, failures: Mapping[str, Refused]) -> None:
    """Blocks a completed collection: drops the data of these systems, which can be retried like other failures."""
    await drop(tx, done, failures)
    systems, codes = list(failures), [each.code for each in failures.values()]
    for blocked in await end(tx, [done.fulfilment_id], FulfilmentState.BLOCKED):
        said: JsonValue = dict(zip(systems, codes, strict=True))
        tx.log_evidence(done.request_id, "fulfilment.blocked", {"operation": done.operation, "failures": said})
        tx.publish(FulfilmentBlocked.about(blocked, tasks=blocked.reports))


async def drop(tx: UnitOfWork, done: FulfilmentResult, failures: Mapping[str, Refused]) -> None:
    """Drops what these systems gave, whose tasks have failed after all; what the other systems gave stays."""
    systems = list(failures)
    codes, whys = [each.code for each in failures.values()], [failure_details(each) for each in failures.values()]
    await tx.connection.execute(_FAILED, done.fulfilment_id, systems, codes, whys, done.operation)
    await tx.vault.drop_of_systems(tx.connection, done.subject_ref, systems)
