"""Works the tasks of one system and operation: claim, call the adapter, conclude.

Each task has a result, whatever an adapter raises (``calls.py``).
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple
from uuid import UUID

from pydantic import JsonValue

from shared.domain.assignments import Conflict, Register
from shared.domain.errors import KeyGone, Unavailable
from shared.domain.operations import ANSWERING, PREPARING, Operation, Step, TaskOutcome
from shared.domain.policy_files import assignments_policy
from shared.domain.proofs import proof_policy
from shared.fulfilment import immediate_stop, retained_data
from shared.fulfilment import queue as tasks
from shared.fulfilment.calls import Calls
from shared.fulfilment.completion import TaskCompletion, Worked
from shared.fulfilment.failures import FORESEEN
from shared.fulfilment.lease import Lease
from shared.fulfilment.parts import operate
from shared.fulfilment.queue import Claim
from shared.runtime import metrics, telemetry
from shared.runtime.liveness import Heartbeats
from shared.runtime.loops import alive, gather, retry_while_unavailable
from shared.storage.register import confirmed_by_register
from shared.storage.subject_data import SubjectData
from shared.systems.contract import NotSearched, Receipt, Result, Task
from shared.systems.downstream import Downstream
from shared.systems.engine import searching
from shared.systems.engine.remote import Staying
from shared.systems.engine.searching import Search

# A result entered by hand has counts, and no account.
_LOOKED = """
SELECT fulfilment_id FROM task
WHERE fulfilment_id = ANY($1) AND operation = 'locate' AND system = ANY($2) AND NOT observes AND state <> 'cancelled'
GROUP BY fulfilment_id
HAVING count(DISTINCT system) = $3
   AND bool_and(state = 'done' AND receipt ->> 'outcome' IN ('located', 'no_match') AND NOT receipt ? 'by_hand')
"""


log = logging.getLogger(__name__)


_LOOKING = PREPARING | {Operation.EXPORT}
_SHREDDED = "the subject's key was shredded before this task was worked"
_IDLE_LOOKS = 8
"""Poll intervals to wait after an empty poll: a new or postponed task wakes the worker."""
_PATIENCE = 2
"""Attempts that may meet an outage before a task is suspected as its cause."""


class _About(NamedTuple):
    """The input of a batch: the subjects, the register of their numbers, and what must be kept."""

    known: Mapping[UUID, SubjectData]
    register: Register | None
    staying: Staying


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
        self._operate = operate(downstream, operation, self._unit_of_work)
        self._wakeup = completion.fulfilments.wakeup(self._step)
        self._name = ":".join(self._step)
        self._heartbeats = Heartbeats()
        self._edge = assignments_policy().differences.edge
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
                looks = 1 if worked else _IDLE_LOOKS
                await self._wakeup.wait(looks * self._settings.poll_seconds, stopping)

    async def work(self) -> int:
        """Claims, calls and concludes one batch, waiting out a database that is away; returns how many tasks it had."""
        holder = self._lease.holder
        claims = await retry_while_unavailable(lambda: self._claim(holder), self._name, self._heartbeats)
        if claims:
            # Apart from the claim: after an outage here, a second claim would leave the first tasks leased.
            about = await retry_while_unavailable(partial(self._about, claims), self._name, self._heartbeats)
            traces = [claim.traceparent for claim in claims]
            with self._tracing.together(f"{self._step[1]} {self._step[0]}", traces):
                results = await self._results(holder, claims, about)
            disputed = self._disputed(claims, about)
            pairs = zip(claims, results, strict=True)
            results = [searching.in_conflict(result) if c.task_id in disputed else result for c, result in pairs]
            write = partial(self._completion.write, Worked(claims, results, disputed, about.staying.held))
            await retry_while_unavailable(write, self._name, self._heartbeats)
        return len(claims)

    async def _claim(self, holder: UUID) -> list[Claim]:
        async with self._unit_of_work.pool.acquire() as connection:
            now, limit = self._unit_of_work.clock.now(), self._settings.batch
            system = self._downstream
            store = "" if self._step.operation in _LOOKING else system.incarnation
            return await tasks.claim(connection, self._step, limit, now, holder, system.fingerprint, store)

    async def _about(self, claims: Sequence[Claim]) -> _About:
        """Loads the subjects, the register of their numbers, and what must be kept."""
        of, register = self._unit_of_work, None
        async with of.pool.acquire() as connection:
            known = await of.vault.subject_data(connection, [each.subject_ref for each in claims])
            if known:
                now, keyring = of.clock.now(), of.vault.keyring
                register, known = await confirmed_by_register(connection, keyring, known, now, self._proofs)
            staying = await retained_data.load(connection, of, self._downstream, claims, known)
        # The source of the register is searched by what was stated: it must find the account first.
        return _About(known, None if self._downstream.assigns else register, staying)

    async def _results(self, holder: UUID, claims: Sequence[Claim], about: _About) -> list[Result]:
        """Returns a result for each claim, in order; calls the adapter for those that can be searched."""
        results: dict[UUID, Result] = {}
        asked: list[Task] = []
        searches: list[tuple[Task, Search, bool]] = []
        system, known, register, staying = self._downstream, *about
        for claim in claims:
            subject = known.get(claim.subject_ref) if claim.searches else SubjectData()
            instead = staying.instead(claim)
            # A dry run that found nothing reports no part that it could not search: that is reported here.
            if instead and not (isinstance(instead, Receipt) and instead.outcome is TaskOutcome.NO_MATCH):
                results[claim.task_id] = instead
                continue
            found = searching.asked(system, claim, subject, register) if subject else KeyGone(_SHREDDED)
            if isinstance(found, Search) and subject:
                task = staying.instructed(claim, self._task(claim, subject, found))
                narrowed = searching.is_narrowed(system, claim, subject, register, found.level)
                searches.append((task, found, narrowed))
                if instead:
                    results[claim.task_id] = instead
                else:
                    asked.append(task)
            elif not isinstance(found, Search):
                results[claim.task_id] = found if instead is None or isinstance(found, NotSearched) else instead
        if asked:
            async with alive(self._name, self._heartbeats):
                results |= await self._ask(holder, asked, claims, about)
        results |= await self._without_account(claims, results)
        for task, search, narrowed in searches:
            results[task.task_id] = searching.with_coverage(
                system, task, results[task.task_id], search, narrowed=narrowed
            )
        return [staying.settled(claim, results[claim.task_id]) for claim in claims]

    async def _without_account(self, claims: Sequence[Claim], results: Mapping[UUID, Result]) -> Mapping[UUID, Result]:
        """Returns "no match" for tasks that lack an account, once every system that finds accounts was searched."""
        finding = sorted(self._downstream.accounts_found_by)
        lacking = [claim for claim in claims if searching.lacks_account(results[claim.task_id])]
        if not (finding and lacking) or self._step.operation not in ANSWERING | {Operation.PLAN}:
            return {}

        async def looked() -> set[UUID]:
            fulfilments = [claim.fulfilment_id for claim in lacking]
            rows = await self._unit_of_work.pool.fetch(_LOOKED, fulfilments, finding, len(finding))
            return {row[0] for row in rows}

        known = await retry_while_unavailable(looked, self._name, self._heartbeats)
        return {
            claim.task_id: searching.without_account(self._downstream, results[claim.task_id])
            for claim in lacking
            if claim.fulfilment_id in known
        }

    def _disputed(self, claims: Sequence[Claim], about: _About) -> Mapping[UUID, Sequence[Conflict]]:
        """Returns by task the numbers for which the register contradicts what systems say."""
        known = [(claim, about.known[claim.subject_ref]) for claim in claims if claim.subject_ref in about.known]
        found = {
            claim.task_id: searching.disputed(self._downstream, claim, subject, about.register, self._edge)
            for claim, subject in (known if about.register else ())
        }
        return {task_id: conflicts for task_id, conflicts in found.items() if conflicts}

    def _task(self, claim: Claim, subject: SubjectData, search: Search) -> Task:
        return Task(
            task_id=claim.task_id,
            request_id=claim.request_id,
            subject_ref=claim.subject_ref,
            system=self._step.system,
            operation=self._step.operation,
            identities=search.identities,
            changes=subject.changes,
            details={**claim.details, **immediate_stop.details(claim), "right": claim.right},
            attempt=claim.attempt,
            progress=claim.progress,
            due_on=claim.due_on,
            turn=(claim.opened, claim.stage),
            confirmed=claim.confirmed.get(self._step.system, {}),
            tenant=subject.tenant,
            level=search.level,
            at=self._unit_of_work.clock.now(),
            not_theirs=search.not_theirs,
            ignored=search.ignored,
        )

    async def _ask(
        self, holder: UUID, asked: Sequence[Task], claims: Sequence[Claim], about: _About
    ) -> Mapping[UUID, Result]:
        """Returns the answers of the adapter; if the lease is lost, the call ends without effect."""
        attempts = {claim.task_id: claim.attempt for claim in claims}

        async def save_progress(progress: Mapping[UUID, Mapping[str, JsonValue]]) -> None:
            async with self._unit_of_work.pool.acquire() as connection:
                await tasks.save_progress(connection, attempts, progress)
                await retained_data.look_again(connection, self._unit_of_work, about.staying, claims, about.known)

        suspects = {claim.task_id for claim in claims if claim.failure not in FORESEEN and claim.attempt > _PATIENCE}
        seconds = metrics.CALL_SECONDS.labels(self._unit_of_work.service, *self._step)
        calls = Calls(self._name, self._operate, save_progress, seconds)
        try:
            return await self._lease.hold(holder, calls.make(asked, suspects))
        except tasks.LeaseLost as lost:
            log.warning("%s gives up %d task(s): %s", self._name, len(asked), lost)
            return dict.fromkeys((task.task_id for task in asked), Unavailable("gave up this attempt: LeaseLost"))
