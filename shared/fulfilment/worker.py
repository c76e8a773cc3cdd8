"""A desk works the tasks of one system and operation: claim, call the downstream, conclude; again while there are any.

Whatever an adapter raises, the tasks it was called with have a result; an error that nobody foresaw fails its own task.
"""

import asyncio
import base64
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import ClassVar, assert_never
from uuid import UUID

import orjson
from pydantic import JsonValue

from shared.domain.errors import KeyGone, Refused, Unavailable
from shared.domain.operations import ANSWERING, Operation, TaskOutcome, Unsearched
from shared.downstreams.contract import Downstream, NotSearched, Pending, Receipt, Result, Task
from shared.fulfilment import queue as tasks
from shared.fulfilment import task_metrics
from shared.fulfilment.fulfilments import Fulfilments
from shared.fulfilment.queue import Claim, Conclusion
from shared.fulfilment.store import Conclude
from shared.messaging.unit_of_work import UnitOfWork, UnitOfWorkFactory
from shared.runtime import metrics, telemetry
from shared.runtime.liveness import Heartbeats
from shared.runtime.loops import backoff, retry_while_unavailable
from shared.runtime.settings import WorkSettings
from shared.storage.postgres import AGAIN, AWAY
from shared.storage.vault import Sealing, SubjectData, encode_identities

log = logging.getLogger(__name__)


class UnforeseenError(Refused):
    """The adapter broke on this task in a way that nobody foresaw; the log says where."""

    code: ClassVar[str] = "unforeseen_error"


class Worker:
    """Works one (system, operation) of one service."""

    def __init__(
        self,
        downstream: Downstream,
        operation: Operation,
        unit_of_work: UnitOfWorkFactory,
        fulfilments: Fulfilments,
        conclude: Mapping[Operation, Conclude],
        settings: WorkSettings,
        tracing: telemetry.Tracing,
    ) -> None:
        self._downstream = downstream
        self._operation = operation
        self._step = (downstream.name, operation.value)
        self._transactions = unit_of_work
        self._fulfilments = fulfilments
        self._conclude = conclude
        self._settings = settings
        self._tracing = tracing
        self._lease = timedelta(seconds=settings.lease_seconds)
        self._call = downstream.operate(operation)
        self._wakeup = fulfilments.wakeup(self._step)
        self._name = ":".join(self._step)
        self._heartbeats = Heartbeats()

    async def run(self, stopping: asyncio.Event, heartbeats: Heartbeats) -> None:
        """Works until told to stop; what is in hand then is finished first."""
        self._heartbeats = heartbeats
        while not stopping.is_set():
            if not await self.work():
                await self._wakeup.wait(self._settings.poll_seconds)

    async def work(self) -> int:
        """Claims, calls and concludes one batch, waiting out a database that is away; returns how many tasks it had."""
        claims, known = await retry_while_unavailable(self._claim, self._name, self._heartbeats)
        if claims:
            traces = [claim.traceparent for claim in claims]
            with self._tracing.together(f"{self._step[1]} {self._step[0]}", traces):
                results = await self._results(claims, known)
            await retry_while_unavailable(lambda: self._conclude_all(claims, results), self._name, self._heartbeats)
        return len(claims)

    async def _claim(self) -> tuple[list[Claim], dict[UUID, SubjectData]]:
        unit_of_work = self._transactions
        async with unit_of_work.pool.acquire() as connection:
            claims = await tasks.claim(
                connection, self._step, self._settings.batch, unit_of_work.clock.now(), self._lease
            )
            known = await unit_of_work.vault.subject_data(connection, [c.subject_ref for c in claims]) if claims else {}
        return claims, known

    async def _results(self, claims: Sequence[Claim], known: Mapping[UUID, SubjectData]) -> list[Result]:
        """A result for every claim, in order; only those that can be searched for are put to the downstream."""
        results: dict[UUID, Result] = {}
        asked: list[Task] = []
        for claim in claims:
            statement = known.get(claim.subject_ref)
            if _is_about_the_request(self._operation, claim):
                asked.append(self._task(claim, SubjectData()))
            elif statement is None:
                results[claim.task_id] = KeyGone("the subject's key was shredded before this task was worked")
            elif self._downstream.needs and not any(i.type in self._downstream.needs for i in statement.identities):
                results[claim.task_id] = NotSearched(claim.task_id, Unsearched.NOTHING_TO_SEARCH_BY)
            else:
                asked.append(self._task(claim, statement))
        if asked:
            async with self._heartbeat(claims):
                answers = await self._ask(asked, {claim.task_id: claim.attempt for claim in claims})
            results.update({task.task_id: answer for task, answer in zip(asked, answers, strict=True)})
        return [results[claim.task_id] for claim in claims]

    def _task(self, claim: Claim, statement: SubjectData) -> Task:
        return Task(
            task_id=claim.task_id,
            request_id=claim.request_id,
            subject_ref=claim.subject_ref,
            system=self._downstream.name,
            operation=self._operation,
            identities=statement.identities,
            changes=statement.changes,
            details={**claim.details, "right": claim.right},
            attempt=claim.attempt,
            progress=claim.progress,
            due_on=claim.due_on,
        )

    async def _ask(self, asked: Sequence[Task], attempts: Mapping[UUID, int]) -> Sequence[Result]:
        """Calls the adapter; if it breaks on a batch, asks one by one, so that only the task that broke it fails."""

        async def save_progress(progress: Mapping[UUID, Mapping[str, JsonValue]]) -> None:
            async with self._transactions.pool.acquire() as connection:
                await tasks.save_progress(connection, attempts, progress)

        started = time.perf_counter()
        try:
            answers: Sequence[Result] = await self._call(asked, save_progress)
        except (Unavailable, Refused) as error:
            return [error] * len(asked)
        except (*AWAY, *AGAIN, tasks.LeaseLost) as error:
            # Tasks that were taken over are no longer ours to conclude; the others are tried again.
            return [Unavailable(f"gave up this attempt: {type(error).__name__}")] * len(asked)
        except Exception as error:  # noqa: BLE001  # whatever it is, only the task that caused it fails
            log.error("%s broke on %d task(s): %s", self._name, len(asked), telemetry.where(error))  # noqa: TRY400
            if len(asked) == 1:
                return [UnforeseenError(type(error).__name__)]
            return [result for task in asked for result in await self._ask([task], attempts)]
        finally:
            seconds = time.perf_counter() - started
            metrics.CALL_SECONDS.labels(self._transactions.service, *self._step).observe(seconds)
        if len(answers) != len(asked):
            return [UnforeseenError(f"{self._step[0]} answered {len(answers)} of {len(asked)} tasks")] * len(asked)
        return answers

    @asynccontextmanager
    async def _heartbeat(self, claims: Sequence[Claim]) -> AsyncIterator[None]:
        async def beat() -> None:
            unit_of_work = self._transactions
            while True:
                await asyncio.sleep(self._settings.lease_seconds / 3)
                self._heartbeats.beat(self._name)
                try:
                    async with unit_of_work.pool.acquire() as connection:
                        await tasks.extend(connection, claims, unit_of_work.clock.now() + self._lease)
                except (*AWAY, *AGAIN) as error:
                    log.warning("lease not extended: %s", type(error).__name__)

        heart = asyncio.create_task(beat())
        try:
            yield
        finally:
            heart.cancel()
            await asyncio.wait([heart])

    async def _conclude_all(self, claims: Sequence[Claim], results: Sequence[Result]) -> None:
        async with self._transactions.begin() as tx:
            results = await self._unless_shredded(tx, claims, results)
            conclusions = [self._conclusion(c, r, tx.now) for c, r in zip(claims, results, strict=True)]
            ours = await tasks.conclude(tx.connection, conclusions, tx.now)
            kept = [(c, r) for c, r in zip(conclusions, results, strict=True) if c.claim.task_id in ours]
            await self._store(tx, kept)
            concluded: dict[UUID, Counter[str]] = {}
            for conclusion, _ in kept:
                self._record(tx, conclusion)
                if conclusion.state != "ready":
                    stuck = conclusion.state == "failed" or "not_searched" in (conclusion.receipt or {})
                    concluded.setdefault(conclusion.claim.fulfilment_id, Counter())["failed" if stuck else "done"] += 1
            if concluded:
                await self._fulfilments.fan_in(tx, concluded, self._conclude)
        task_metrics.count(tx.service, self._step, (conclusion for conclusion, _ in kept), tx.now)

    def _conclusion(self, claim: Claim, result: Result, now: datetime) -> Conclusion:
        match result:
            case Receipt():
                return Conclusion(claim, "done", _counts(result), None, now)
            case NotSearched(task_id, reason):
                matters = reason if self._operation in ANSWERING else None
                counts = _counts(Receipt(task_id, TaskOutcome.NOT_SEARCHED, not_searched=matters))
                return Conclusion(claim, "done", counts, None, now)
            case Pending():
                return Conclusion(claim, "ready", None, None, now + result.retry_in)
            case Unavailable():
                pause = backoff(claim.attempt, self._settings)
                return Conclusion(claim, "ready", None, result.code, now + pause)
            case Refused():
                return Conclusion(claim, "failed", None, result.code, now)
            case _:
                assert_never(result)

    async def _unless_shredded(
        self, tx: UnitOfWork, claims: Sequence[Claim], results: Sequence[Result]
    ) -> Sequence[Result]:
        """What was found cannot be kept for a subject whose key was shredded while the task was worked."""
        found = {
            c.subject_ref for c, r in zip(claims, results, strict=True) if isinstance(r, Receipt) and _holds_data(r)
        }
        if not found:
            return results
        gone = found - await tx.vault.unshredded(tx.connection, found)
        return [
            KeyGone("the subject's key was shredded while this task was worked") if c.subject_ref in gone else r
            for c, r in zip(claims, results, strict=True)
        ]

    async def _store(self, tx: UnitOfWork, kept: Sequence[tuple[Conclusion, Result]]) -> None:
        """Puts what was yielded and exported into the vault, under the subject's key."""
        sealings: list[Sealing] = []
        for conclusion, result in kept:
            if not isinstance(result, Receipt):
                continue
            subject, system = conclusion.claim.subject_ref, self._step[0]
            if result.identities:
                sealings.append(Sealing(subject, "identities", system, encode_identities(result.identities)))
            if result.records:
                records = [[r.category, r.source, r.data, r.portable] for r in result.records]
                sealings.append(Sealing(subject, "records", system, orjson.dumps(records, default=str)))
        if sealings:
            await tx.vault.seal(tx.connection, sealings, tx.now)

    def _record(self, tx: UnitOfWork, conclusion: Conclusion) -> None:
        """Puts a conclusion on record, signed; a repeated "not now" is put on record the first time only."""
        claim = conclusion.claim
        tx.traces[claim.request_id] = claim.traceparent
        if conclusion.state == "ready":
            if conclusion.failure and claim.attempt == 1:
                tx.log_evidence(claim.request_id, "task.postponed", self._named(claim, {"reason": conclusion.failure}))
            return
        receipt = conclusion.receipt or {"failure": conclusion.failure}
        detail = self._named(claim, receipt)
        signed = orjson.dumps({"request_id": str(claim.request_id), **detail}, option=orjson.OPT_SORT_KEYS)
        signature = base64.b64encode(tx.vault.keyring.signing.sign(signed)).decode()
        tx.log_evidence(claim.request_id, "task.concluded", {**detail, "signature": signature})

    def _named(self, claim: Claim, detail: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        return {"task_id": str(claim.task_id), "system": self._step[0], "operation": self._step[1], **detail}


def _is_about_the_request(operation: Operation, claim: Claim) -> bool:
    """Whether nobody is to be searched for: a warning, or a flag that is found by the request and taken away."""
    return operation is Operation.ESCALATE or (operation is Operation.FLAG and not claim.details.get("open"))


def _holds_data(result: Result) -> bool:
    return isinstance(result, Receipt) and bool(result.identities or result.records)


def _counts(receipt: Receipt) -> dict[str, JsonValue]:
    counts: dict[str, JsonValue] = {
        "outcome": receipt.outcome,
        "found": receipt.found,
        "changed": receipt.changed,
        "remaining": receipt.remaining,
        "by_category": dict(receipt.by_category),
    }
    if receipt.ground:
        counts["ground"] = receipt.ground
    if receipt.until:
        counts["until"] = receipt.until.isoformat()
    if receipt.reference:
        counts["reference"] = receipt.reference
    if receipt.not_searched:
        counts["not_searched"] = receipt.not_searched
    return counts
