"""Works the tasks of one system and operation: claim, call the adapter, conclude.

Each task has a result, whatever an adapter raises (``adapter_calls.py``).
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple
from uuid import UUID

from pydantic import JsonValue

from shared.domain.assignments import Register, RegisterConflict
from shared.domain.errors import KeyGone, Unavailable
from shared.domain.operations import ANSWERING, PREPARING, Operation, Step, TaskOutcome
from shared.domain.policy_files import assignments_policy
from shared.domain.proofs import proof_policy
from shared.fulfilment import immediate_stop, retained_data
from shared.fulfilment import queue as tasks
from shared.fulfilment.adapter_calls import AdapterCalls
from shared.fulfilment.completion import TaskCompletion, WorkedBatch
from shared.fulfilment.export_parts import adapter_call
from shared.fulfilment.failures import EXPECTED_WAITS
from shared.fulfilment.lease import Lease
from shared.fulfilment.queue import LeasedTask
from shared.runtime import metrics, telemetry
from shared.runtime.liveness import Heartbeats
from shared.runtime.loops import alive, gather, retry_while_unavailable
from shared.storage.register import confirmed_by_register
from shared.storage.subject_data import SubjectData
from shared.systems.contract import NotSearched, Receipt, Result, Task
from shared.systems.downstream import Downstream
from shared.systems.engine import searching
from shared.systems.engine.remote import RetainedData
from shared.systems.engine.searching import IdentitySelection

# A result entered by hand has counts, and no account.
_LOCATED = """
SELECT fulfilment_id FROM task
WHERE fulfilment_id = ANY($1) AND operation = 'locate' AND system = ANY($2) AND NOT observes AND state <> 'cancelled'
GROUP BY fulfilment_id
HAVING count(DISTINCT system) = $3
   AND bool_and(state = 'done' AND receipt ->> 'outcome' IN ('located', 'no_match') AND NOT receipt ? 'by_hand')
"""


log = logging.getLogger(__name__)


_READING = PREPARING | {Operation.EXPORT}
_SHREDDED = "the subject's key was shredded before this task was worked"
_IDLE_INTERVALS = 8
"""Poll intervals to wait after an empty poll: a new or postponed task wakes the worker."""
_OUTAGES_BEFORE_SUSPICION = 2
"""Attempts that may meet an outage before a task is suspected as its cause."""


class _BatchInput(NamedTuple):
    """The input of a batch: the subjects, the register of their numbers, and what must be kept."""

    known: Mapping[UUID, SubjectData]
    register: Register | None
    retained: RetainedData


class Worker:
    """Works one (system, operation) of one service."""

    def __init__(
        self,
        downstream: Downstream,
        operation: Operation,
        completion: TaskCompletion,
        tracing: telemetry.Tracing,
        lease: Lease,
    ) -> None:
        self._downstream = downstream
        self._step = Step(downstream.name, operation)
        self._unit_of_work, self._settings = completion.unit_of_work, completion.settings
        self._completion = completion
        self._tracing = tracing
        self._lease = lease
        self._operate = adapter_call(downstream, operation, self._unit_of_work)
        self._wakeup = completion.fulfilments.wakeup(self._step)
        self._name = ":".join(self._step)
        self._heartbeats = Heartbeats()
        self._tolerance = assignments_policy().differences.edge
        self._proofs = proof_policy(self._unit_of_work.policy.overlay)

    async def run(self, stopping: asyncio.Event, heartbeats: Heartbeats, name: str | None = None) -> None:
        """Works until ``stopping`` is set, and finishes the batch in hand.

        ``name``: of its loop, if it is not the only one that works this.
        """
        self._heartbeats, self._name = heartbeats, name or self._name
        now = asyncio.get_running_loop().time
        while not stopping.is_set():
            began = now()
            worked = await self.work()
            if worked < self._settings.batch:  # a task that became ready has woken us
                if worked:
                    await gather(now() - began, stopping)
                looks = 1 if worked else _IDLE_INTERVALS
                await self._wakeup.wait(looks * self._settings.poll_seconds, stopping)

    async def work(self) -> int:
        """Claims, calls and concludes one batch, waiting out a database that is away; returns how many tasks it had."""
        holder = self._lease.holder
        leased_tasks = await retry_while_unavailable(lambda: self._claim(holder), self._name, self._heartbeats)
        if leased_tasks:
            # Apart from the claim: after an outage here, a second claim would leave the first tasks leased.
            batch = await retry_while_unavailable(partial(self._load_input, leased_tasks), self._name, self._heartbeats)
            traces = [leased.traceparent for leased in leased_tasks]
            with self._tracing.together(f"{self._step[1]} {self._step[0]}", traces):
                results = await self._results(holder, leased_tasks, batch)
            disputed = self._disputed(leased_tasks, batch)
            pairs = zip(leased_tasks, results, strict=True)
            results = [searching.marked_in_conflict(result) if c.task_id in disputed else result for c, result in pairs]
            write = partial(self._completion.write, WorkedBatch(leased_tasks, results, disputed, batch.retained.holds))
            await retry_while_unavailable(write, self._name, self._heartbeats)
        return len(leased_tasks)

    async def _claim(self, holder: UUID) -> list[LeasedTask]:
        async with self._unit_of_work.pool.acquire() as connection:
            now, limit = self._unit_of_work.clock.now(), self._settings.batch
            system = self._downstream
            store = "" if self._step.operation in _READING else system.incarnation
            return await tasks.claim(connection, self._step, limit, now, holder, system.fingerprint, store)

    async def _load_input(self, leased_tasks: Sequence[LeasedTask]) -> _BatchInput:
        """Loads the subjects, the register of their numbers, and what must be kept."""
        of, register = self._unit_of_work, None
        async with of.pool.acquire() as connection:
            known = await of.vault.subject_data(connection, [each.subject_ref for each in leased_tasks])
            if known:
                now, keyring = of.clock.now(), of.vault.keyring
                register, known = await confirmed_by_register(connection, keyring, known, now, self._proofs)
            retained = await retained_data.load_retained(connection, of, self._downstream, leased_tasks, known)
        # The source of the register is searched by what was stated: it must find the account first.
        return _BatchInput(known, None if self._downstream.assigns else register, retained)

    async def _results(self, holder: UUID, leased_tasks: Sequence[LeasedTask], batch: _BatchInput) -> list[Result]:
        """Returns a result for each claim, in order; calls the adapter for those that can be searched."""
        results: dict[UUID, Result] = {}
        asked: list[Task] = []
        searches: list[tuple[Task, IdentitySelection, bool]] = []
        system, known, register, retained = self._downstream, *batch
        for leased in leased_tasks:
            subject = known.get(leased.subject_ref) if leased.searches else SubjectData()
            result = retained.result_without_call(leased)
            # A dry run that found nothing reports no part that it could not search: that is reported here.
            if result and not (isinstance(result, Receipt) and result.outcome is TaskOutcome.NO_MATCH):
                results[leased.task_id] = result
                continue
            found = searching.select_identities(system, leased, subject, register) if subject else KeyGone(_SHREDDED)
            if isinstance(found, IdentitySelection) and subject:
                task = retained.with_kept_categories(leased, self._task(leased, subject, found))
                narrowed = searching.is_narrowed(system, leased, subject, register, found.level)
                searches.append((task, found, narrowed))
                if result:
                    results[leased.task_id] = result
                else:
                    asked.append(task)
            elif not isinstance(found, IdentitySelection):
                results[leased.task_id] = found if result is None or isinstance(found, NotSearched) else result
        if asked:
            async with alive(self._name, self._heartbeats):
                results |= await self._call_adapter(holder, asked, leased_tasks, batch)
        results |= await self._without_account(leased_tasks, results)
        for task, search, narrowed in searches:
            results[task.task_id] = searching.with_coverage(
                system, task, results[task.task_id], search, narrowed=narrowed
            )
        return [retained.with_retained(leased, results[leased.task_id]) for leased in leased_tasks]

    async def _without_account(
        self, leased_tasks: Sequence[LeasedTask], results: Mapping[UUID, Result]
    ) -> Mapping[UUID, Result]:
        """Returns "no match" for tasks that lack an account, once every system that finds accounts was searched."""
        finding = sorted(self._downstream.accounts_found_by)
        lacking = [leased for leased in leased_tasks if searching.lacks_account(results[leased.task_id])]
        if not (finding and lacking) or self._step.operation not in ANSWERING | {Operation.PLAN}:
            return {}

        async def looked() -> set[UUID]:
            fulfilments = [leased.fulfilment_id for leased in lacking]
            rows = await self._unit_of_work.pool.fetch(_LOCATED, fulfilments, finding, len(finding))
            return {row[0] for row in rows}

        known = await retry_while_unavailable(looked, self._name, self._heartbeats)
        return {
            leased.task_id: searching.without_account(self._downstream, results[leased.task_id])
            for leased in lacking
            if leased.fulfilment_id in known
        }

    def _disputed(
        self, leased_tasks: Sequence[LeasedTask], batch: _BatchInput
    ) -> Mapping[UUID, Sequence[RegisterConflict]]:
        """Returns by task the numbers for which the register contradicts what systems say."""
        known = [
            (leased, batch.known[leased.subject_ref]) for leased in leased_tasks if leased.subject_ref in batch.known
        ]
        found = {
            leased.task_id: searching.register_conflicts(
                self._downstream, leased, subject, batch.register, self._tolerance
            )
            for leased, subject in (known if batch.register else ())
        }
        return {task_id: conflicts for task_id, conflicts in found.items() if conflicts}

    def _task(self, leased: LeasedTask, subject: SubjectData, search: IdentitySelection) -> Task:
        return Task(
            task_id=leased.task_id,
            request_id=leased.request_id,
            subject_ref=leased.subject_ref,
            system=self._step.system,
            operation=self._step.operation,
            identities=search.identities,
            changes=subject.changes,
            details={**leased.details, **immediate_stop.task_details(leased), "right": leased.right},
            attempt=leased.attempt,
            progress=leased.progress,
            due_on=leased.due_on,
            opened_and_stage=(leased.opened, leased.stage),
            confirmed=leased.confirmed.get(self._step.system, {}),
            tenant=subject.tenant,
            level=search.level,
            at=self._unit_of_work.clock.now(),
            not_theirs=search.not_theirs,
            ignored=search.ignored,
        )

    async def _call_adapter(
        self, holder: UUID, asked: Sequence[Task], leased_tasks: Sequence[LeasedTask], batch: _BatchInput
    ) -> Mapping[UUID, Result]:
        """Returns the answers of the adapter; if the lease is lost, the call ends without effect."""
        attempts = {leased.task_id: leased.attempt for leased in leased_tasks}

        async def save_progress(progress: Mapping[UUID, Mapping[str, JsonValue]]) -> None:
            async with self._unit_of_work.pool.acquire() as connection:
                await tasks.save_progress(connection, attempts, progress)
                await retained_data.check_new_holds(
                    connection, self._unit_of_work, batch.retained, leased_tasks, batch.known
                )

        suspects = {
            leased.task_id
            for leased in leased_tasks
            if leased.failure not in EXPECTED_WAITS and leased.attempt > _OUTAGES_BEFORE_SUSPICION
        }
        seconds = metrics.CALL_SECONDS.labels(self._unit_of_work.service, *self._step)
        calls = AdapterCalls(self._name, self._operate, save_progress, seconds)
        try:
            return await self._lease.run_leased(holder, calls.make(asked, suspects))
        except tasks.LeaseLost as lost:
            log.warning("%s gives up %d task(s): %s", self._name, len(asked), lost)
            return dict.fromkeys((task.task_id for task in asked), Unavailable("gave up this attempt: LeaseLost"))
