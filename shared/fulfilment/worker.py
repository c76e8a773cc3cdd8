"""Works the tasks of one system and operation: claim, call the downstream, conclude; again while there are any.

Whatever an adapter raises, the tasks it was called with have a result; an error that nobody foresaw fails its own task.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import UUID

from pydantic import JsonValue

from shared.domain.errors import KeyGone, Refused, Unavailable, Withdrawn
from shared.domain.operations import Operation, Unsearched
from shared.downstreams.contract import Downstream, NotSearched, Result, Task
from shared.fulfilment import queue as tasks
from shared.fulfilment.conclusion import Conclusions
from shared.fulfilment.fulfilments import Fulfilments
from shared.fulfilment.queue import Claim
from shared.fulfilment.store import Conclude
from shared.messaging.unit_of_work import UnitOfWorkFactory
from shared.runtime import metrics, telemetry
from shared.runtime.liveness import Heartbeats
from shared.runtime.loops import retry_while_unavailable
from shared.runtime.settings import WorkSettings
from shared.storage.postgres import AGAIN, AWAY
from shared.storage.vault import SubjectData

log = logging.getLogger(__name__)


class UnforeseenError(Refused):
    """The adapter broke on this task in a way that nobody foresaw; the log says where."""


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
        self._unit_of_work = unit_of_work
        self._conclusions = Conclusions(downstream.name, operation, unit_of_work, fulfilments, conclude, settings)
        self._settings = settings
        self._tracing = tracing
        self._lease = timedelta(seconds=settings.lease_seconds)
        self._operate = downstream.operate(operation)
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
            await retry_while_unavailable(
                lambda: self._conclusions.write(claims, results), self._name, self._heartbeats
            )
        return len(claims)

    async def _claim(self) -> tuple[list[Claim], dict[UUID, SubjectData]]:
        async with self._unit_of_work.pool.acquire() as connection:
            now, limit = self._unit_of_work.clock.now(), self._settings.batch
            claims = await tasks.claim(connection, self._step, limit, now, self._lease)
            subjects = [claim.subject_ref for claim in claims]
            known = await self._unit_of_work.vault.subject_data(connection, subjects) if claims else {}
        return claims, known

    async def _results(self, claims: Sequence[Claim], known: Mapping[UUID, SubjectData]) -> list[Result]:
        """A result for every claim, in order; only those that can be searched for are put to the downstream."""
        results: dict[UUID, Result] = {}
        asked: list[Task] = []
        for claim in claims:
            subject = known.get(claim.subject_ref)
            if not claim.searches:
                asked.append(self._task(claim, SubjectData()))
            elif subject is None:
                results[claim.task_id] = KeyGone("the subject's key was shredded before this task was worked")
            elif self._downstream.needs and not any(i.type in self._downstream.needs for i in subject.identities):
                results[claim.task_id] = NotSearched(claim.task_id, Unsearched.NOTHING_TO_SEARCH_BY)
            else:
                asked.append(self._task(claim, subject))
        if asked:
            async with self._heartbeat(claims):
                answers = await self._ask(asked, {claim.task_id: claim.attempt for claim in claims})
            results.update({task.task_id: answer for task, answer in zip(asked, answers, strict=True)})
        return [results[claim.task_id] for claim in claims]

    def _task(self, claim: Claim, subject: SubjectData) -> Task:
        return Task(
            task_id=claim.task_id,
            request_id=claim.request_id,
            subject_ref=claim.subject_ref,
            system=self._downstream.name,
            operation=self._operation,
            identities=subject.identities,
            changes=subject.changes,
            details={**claim.details, "right": claim.right},
            attempt=claim.attempt,
            progress=claim.progress,
            due_on=claim.due_on,
            turn=(claim.opened, claim.stage),
        )

    async def _ask(self, asked: Sequence[Task], attempts: Mapping[UUID, int]) -> Sequence[Result]:
        """Calls the adapter; if a batch breaks it, or one was withdrawn, calls one by one: only that one ends."""
        try:
            return await self._call(asked, attempts)
        except (UnforeseenError, Withdrawn) as error:
            if len(asked) == 1:
                return [error]
        return [result for task in asked for result in await self._ask([task], attempts)]

    async def _call(self, asked: Sequence[Task], attempts: Mapping[UUID, int]) -> Sequence[Result]:
        """One call of the adapter.

        Raises:
            UnforeseenError: it broke in a way that nobody foresaw.
            Withdrawn: the request of one of the tasks was withdrawn while it was at work.
        """

        async def save_progress(progress: Mapping[UUID, Mapping[str, JsonValue]]) -> None:
            async with self._unit_of_work.pool.acquire() as connection:
                await tasks.save_progress(connection, attempts, progress)

        started = time.perf_counter()
        try:
            answers = await self._operate(asked, save_progress)
        except Withdrawn:
            raise
        except (Unavailable, Refused) as error:
            return [error] * len(asked)
        except (*AWAY, *AGAIN, tasks.LeaseLost) as error:
            # Tasks that were taken over are no longer ours to conclude; the others are tried again.
            return [Unavailable(f"gave up this attempt: {type(error).__name__}")] * len(asked)
        except Exception as error:  # noqa: BLE001  # whatever it is, only the task that caused it fails
            log.error("%s broke on %d task(s): %s", self._name, len(asked), telemetry.where(error))  # noqa: TRY400
            raise UnforeseenError(type(error).__name__) from None
        finally:
            seconds = time.perf_counter() - started
            metrics.CALL_SECONDS.labels(self._unit_of_work.service, *self._step).observe(seconds)
        if len(answers) != len(asked):
            return [UnforeseenError(f"{self._step[0]} answered {len(answers)} of {len(asked)} tasks")] * len(asked)
        return answers

    @asynccontextmanager
    async def _heartbeat(self, claims: Sequence[Claim]) -> AsyncIterator[None]:
        async def beat() -> None:
            while True:
                await asyncio.sleep(self._settings.lease_seconds / 3)
                self._heartbeats.beat(self._name)
                try:
                    async with self._unit_of_work.pool.acquire() as connection:
                        await tasks.extend(connection, claims, self._unit_of_work.clock.now() + self._lease)
                except (*AWAY, *AGAIN) as error:
                    log.warning("lease not extended: %s", type(error).__name__)

        heart = asyncio.create_task(beat())
        try:
            yield
        finally:
            heart.cancel()
            await asyncio.wait([heart])
