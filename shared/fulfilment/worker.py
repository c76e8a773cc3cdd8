"""Works the tasks of one system and operation: claim, call the downstream, conclude; again while there are any.

Whatever an adapter raises, the tasks it was called with have a result (``calls.py``).
"""

import asyncio
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from uuid import UUID

from pydantic import JsonValue

from shared.domain.assignments import NUMBERS, AssignmentInDoubt, Register
from shared.domain.assignments_policy import assignments_policy
from shared.domain.conflicts import Conflict, conflicts_of
from shared.domain.errors import KeyGone, NotSupported, Unavailable
from shared.domain.identities import IdentityType
from shared.domain.levels import Level
from shared.domain.operations import ANSWERING, PREPARING, Change, Operation, TaskOutcome, Unsearched
from shared.domain.proofs import proof_policy
from shared.fulfilment import at_once, searching
from shared.fulfilment import queue as tasks
from shared.fulfilment.by_stated import searched
from shared.fulfilment.calls import Calls
from shared.fulfilment.conclusion import Conclusions
from shared.fulfilment.failures import FORESEEN
from shared.fulfilment.fulfilments import Fulfilments
from shared.fulfilment.lease import Lease
from shared.fulfilment.parts import operate
from shared.fulfilment.queue import Claim
from shared.fulfilment.searching import Search, by_hand, by_register
from shared.fulfilment.staying import Staying
from shared.fulfilment.store import Conclude
from shared.messaging.unit_of_work import UnitOfWorkFactory
from shared.runtime import metrics, telemetry
from shared.runtime.liveness import Heartbeats
from shared.runtime.loops import alive, gather, retry_while_unavailable
from shared.runtime.settings import WorkSettings
from shared.storage.postgres import Connection
from shared.storage.register import confirmed_by_register
from shared.storage.subject_data import SubjectData
from shared.systems.contract import NotSearched, Receipt, Result, Task
from shared.systems.downstream import Downstream

# A person who has looked by hand has entered how much there is, and no account.
_LOOKED = """
SELECT fulfilment_id FROM task
WHERE fulfilment_id = ANY($1) AND operation = 'locate' AND system = ANY($2) AND NOT observes AND state <> 'cancelled'
GROUP BY fulfilment_id
HAVING count(DISTINCT system) = $3
   AND bool_and(state = 'done' AND receipt ->> 'outcome' IN ('located', 'no_match') AND NOT receipt ? 'by_hand')
"""


def lacks_account(result: Result) -> bool:
    """Whether it, or a part of it, was not searched since no account is known."""
    reason = result.reason if isinstance(result, NotSearched) else getattr(result, "not_searched", None)
    return reason is Unsearched.NO_ACCOUNT


async def without_account(
    connection: Connection, system: Downstream, claims: Sequence[Claim], results: Mapping[UUID, Result]
) -> Mapping[UUID, Result]:
    """The results that say more now: nothing is there of whoever has no account in any system that would have told it.

    Where one of those could not be searched itself, or nobody else finds such accounts, it stays unknown.
    """
    lacking = [claim for claim in claims if lacks_account(results[claim.task_id])]
    finding = sorted(system.accounts_found_by)
    rows = await connection.fetch(_LOOKED, [claim.fulfilment_id for claim in lacking], finding, len(finding))
    looked = {row[0] for row in rows}
    held = system.capable.categories
    return {c.task_id: _nothing(results[c.task_id], held) for c in lacking if c.fulfilment_id in looked}


def _nothing(result: Result, categories: Sequence[str]) -> Result:
    """That nothing is there, in these kinds of data, or in those of it that are filed by an account alone."""
    if isinstance(result, NotSearched):
        held = tuple(sorted(categories)) or None
        return Receipt(result.task_id, TaskOutcome.NO_MATCH, categories=held, no_account=held)
    if not isinstance(result, Receipt):
        return result
    unsearched = result.by_account or tuple(sorted({*categories} - {*(result.categories or categories)}))
    return replace(result, not_searched=None, no_account=unsearched or None)


def not_asked(
    system: Downstream, operation: Operation, task_id: UUID, changes: Sequence[Change]
) -> Receipt | NotSupported | None:
    """What becomes of a correction with which a system has nothing to do, or which a person makes there; else None.

    It is told before anything is searched for: nobody has to prove anything for what concerns other systems.
    """
    if operation is not Operation.RECTIFY or not changes:
        return None
    named = {change.record.category for change in changes if change.record}
    if not named:
        return None if system.capable.corrects else Receipt(task_id, TaskOutcome.NOT_HELD)
    if named & system.capable.stated:
        return None
    if categories := ", ".join(sorted(named & system.categories)):
        return NotSupported(
            f"{system.name} holds {categories}, and keeps no statements beside it: see to it by hand that the subject's"
            " statement stands with the record, and enter what was done"
        )
    return Receipt(task_id, TaskOutcome.NOT_HELD)


log = logging.getLogger(__name__)


_UNSEARCHED_BY = frozenset({IdentityType.NAME})
_OF_EVERYTHING = frozenset({Operation.EXPORT, Operation.ERASE, Operation.PLAN})
_SEARCHING = ANSWERING | {Operation.PLAN}
_LOOKING = PREPARING | {Operation.EXPORT}
_SHREDDED = "the subject's key was shredded before this task was worked"
_IDLE_LOOKS = 8
_SEEN_LOOKS = 4
"""Looks' time for which what one worker of a process has seen counts for all of them."""
_PATIENCE = 2
"""Attempts that may end with an outage before a task is suspected to be what its system fails on."""


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
        lease: Lease,
    ) -> None:
        self._downstream = downstream
        self._operation = operation
        self._step = (downstream.name, operation.value)
        self._unit_of_work = unit_of_work
        self._conclusions = Conclusions(downstream.name, operation, unit_of_work, fulfilments, conclude, settings)
        self._settings = settings
        self._tracing = tracing
        self._lease = lease
        self._operate = operate(downstream, operation, unit_of_work)
        self._wakeup, self._due = fulfilments.wakeup(self._step), fulfilments.due
        self._name = ":".join(self._step)
        self._heartbeats = Heartbeats()
        self._edge = assignments_policy().differences.edge
        self._proofs = proof_policy(unit_of_work.policy.overlay)

    async def run(self, stopping: asyncio.Event, heartbeats: Heartbeats, name: str | None = None) -> None:
        """Works until told to stop; what is in hand then is finished first.

        ``name``: of its loop, if it is not the only one that works this.
        """
        self._heartbeats, self._name = heartbeats, name or self._name
        now = asyncio.get_running_loop().time
        while not stopping.is_set():
            began = now()
            worked = await self.work()
            if worked:
                self._due.forget()
            if worked < self._settings.batch:  # whatever became ready meanwhile has woken us
                if worked:
                    await gather(now() - began, stopping)
                    await self._wakeup.wait(self._settings.poll_seconds)
                else:
                    await self._idle(stopping)

    async def work(self) -> int:
        """Claims, calls and concludes one batch, waiting out a database that is away; returns how many tasks it had."""
        holder = self._lease.holder
        claims = await retry_while_unavailable(lambda: self._claim(holder), self._name, self._heartbeats)
        if claims:
            # By itself: who met an outage here and claimed again would hold tasks of which it knows nothing.
            about = partial(self._about, claims)
            known, register, staying = await retry_while_unavailable(about, self._name, self._heartbeats)
            traces = [claim.traceparent for claim in claims]
            with self._tracing.together(f"{self._step[1]} {self._step[0]}", traces):
                results = await self._results(holder, claims, known, register, staying)
            disputed = self._disputed(claims, known, register)
            pairs = zip(claims, results, strict=True)
            results = [searching.in_conflict(result) if c.task_id in disputed else result for c, result in pairs]
            write = partial(self._conclusions.write, claims, results, disputed, staying.held)
            await retry_while_unavailable(write, self._name, self._heartbeats)
        return len(claims)

    async def _idle(self, stopping: asyncio.Event) -> None:
        """Returns when a task may be worked, or when woken: who opens a task wakes us."""
        while not stopping.is_set():
            pause = await retry_while_unavailable(self._pause, self._name, self._heartbeats)
            if await self._wakeup.wait(pause) or pause < _IDLE_LOOKS * self._settings.poll_seconds:
                return

    async def _pause(self) -> float:
        """Seconds until a task may be worked; eight looks' time while there is none."""
        now, poll = self._unit_of_work.clock.now(), self._settings.poll_seconds
        due = await self._due.next(self._unit_of_work.pool, self._step, now, _SEEN_LOOKS * poll)
        seconds = (due - now).total_seconds() if due else math.inf
        return min(max(seconds, poll), _IDLE_LOOKS * poll)

    async def _claim(self, holder: UUID) -> list[Claim]:
        async with self._unit_of_work.pool.acquire() as connection:
            now, limit = self._unit_of_work.clock.now(), self._settings.batch
            system = self._downstream
            store = "" if self._operation in _LOOKING else system.incarnation
            return await tasks.claim(connection, self._step, limit, now, holder, system.fingerprint, store)

    async def _about(self, claims: Sequence[Claim]) -> tuple[dict[UUID, SubjectData], Register | None, Staying]:
        """What is known of whom these tasks are about, whose their numbers are, and what of theirs stays."""
        register: Register | None = None
        keyring = self._unit_of_work.vault.keyring
        async with self._unit_of_work.pool.acquire() as connection:
            now = self._unit_of_work.clock.now()
            known = await self._unit_of_work.vault.subject_data(connection, [each.subject_ref for each in claims])
            if known:
                register, known = await confirmed_by_register(connection, keyring, known, now, self._proofs)
            place = (self._downstream, self._operation)
            staying = await Staying.of(connection, self._unit_of_work, place, claims, known)
        # The source of the register is asked with what was said: it must find the account first.
        return known, None if self._downstream.assigns else register, staying

    async def _results(
        self,
        holder: UUID,
        claims: Sequence[Claim],
        known: Mapping[UUID, SubjectData],
        register: Register | None,
        staying: Staying,
    ) -> list[Result]:
        """A result for every claim, in order; only those that can be searched for are put to the downstream."""
        results: dict[UUID, Result] = {}
        asked: list[Task] = []
        searches: dict[UUID, Search] = {}
        narrowed: set[UUID] = set()
        for claim in claims:
            subject = known.get(claim.subject_ref) if claim.searches else SubjectData()
            kept = staying.instead(claim)
            found = kept or (self._search(claim, subject, register) if subject else KeyGone(_SHREDDED))
            if isinstance(found, Search):
                searches[claim.task_id] = found
                if subject and register and self._is_narrowed(claim, subject, register, found.level):
                    narrowed.add(claim.task_id)
                asked.append(staying.told(claim, self._task(claim, subject or SubjectData(), found)))
            else:
                results[claim.task_id] = found
        if asked:
            async with alive(self._name, self._heartbeats):
                results |= await self._ask(holder, asked, claims, staying)
        results |= await self._without_account(claims, results)
        results |= {task.task_id: self._covered(task, results[task.task_id], searches[task.task_id]) for task in asked}
        if self._operation in ANSWERING:
            results |= {task_id: self._narrowed(results[task_id]) for task_id in narrowed}
        return [staying.planned(claim, results[claim.task_id]) for claim in claims]

    async def _without_account(self, claims: Sequence[Claim], results: Mapping[UUID, Result]) -> Mapping[UUID, Result]:
        """What is no longer unknown where no account is known, since whoever finds accounts has looked."""
        counts = self._operation in _SEARCHING and self._downstream.accounts_found_by
        if not (counts and any(map(lacks_account, results.values()))):
            return {}

        async def looked() -> Mapping[UUID, Result]:
            async with self._unit_of_work.pool.acquire() as connection:
                return await without_account(connection, self._downstream, claims, results)

        return await retry_while_unavailable(looked, self._name, self._heartbeats)

    def _disputed(
        self, claims: Sequence[Claim], known: Mapping[UUID, SubjectData], register: Register | None
    ) -> Mapping[UUID, Sequence[Conflict]]:
        """By task where the register contradicts what systems say of a number that this one is searched by."""
        if register is None or self._operation not in ANSWERING or not NUMBERS & self._downstream.needs:
            return {}
        searched = [(c, known[c.subject_ref]) for c in claims if c.searches and c.subject_ref in known]
        place = (self._downstream, self._operation)
        found = {
            c.task_id: conflicts_of(register, by_register(*place, c, subject), self._edge, subject.tenant)
            for c, subject in searched
            if self._downstream.tells_apart(subject.tenant)
        }
        return {task_id: conflicts for task_id, conflicts in found.items() if conflicts}

    def _search(self, claim: Claim, subject: SubjectData, register: Register | None) -> Search | Result:
        """By what the downstream is searched, or why it is not asked at all."""
        if claim.searches and not self._downstream.tells_apart(subject.tenant):
            return NotSupported(f"{self._downstream.name} does not tell the data of our customers apart")
        if not claim.at_once and (beyond := by_hand(self._downstream, self._operation, subject.tenant, claim.details)):
            return beyond
        if said := not_asked(self._downstream, self._operation, claim.task_id, subject.changes):
            return said
        try:
            found = searched(self._downstream, self._operation, claim, subject, register)
        except (AssignmentInDoubt, NotSupported) as doubt:
            return doubt
        if isinstance(found, Search) and found.impossible and found.lacks:
            return NotSearched(claim.task_id, found.lacks, found.lacks_proof_to)
        return found

    def _covered(self, task: Task, result: Result, search: Search) -> Result:
        """A receipt with what was searched, by what and by what not; what it yields is as well proved as that.

        A change in place concerns a part of what was found: of the rest it says nothing.
        """
        if not isinstance(result, Receipt):
            return result
        yielded = searching.yielded(self._downstream, result.identities, search.level)
        result = replace(result, identities=at_once.led_to(task, yielded)) if yielded else result
        if self._operation not in _SEARCHING or result.outcome is TaskOutcome.NOT_HELD:
            return result
        result = searching.lacking_something(result, search)
        whole = self._operation in _OF_EVERYTHING or result.outcome is TaskOutcome.NO_MATCH
        known = result.categories or self._downstream.capable.categories or None
        by = tuple(sorted({each.type for each in task.identities} - _UNSEARCHED_BY))
        return replace(result, searched_by=by, categories=known if whole else None)

    def _is_narrowed(self, claim: Claim, subject: SubjectData, register: Register, level: Level) -> bool:
        """Whether it was searched for less than is theirs.

        What yields identities knows a person as a whole; what knows no times is searched for all of a number.
        """
        knows_times = self._downstream.capable.knows_times
        if not (NUMBERS & self._downstream.needs and knows_times) or self._downstream.yields:
            return False
        dated = by_register(self._downstream, self._operation, claim, subject)
        return register.narrowed(dated, subject.tenant, level)

    def _narrowed(self, result: Result) -> Result:
        """A receipt that says that the requester's own dates leave out what is theirs.

        Of an erasure that part could never be found again, once it is told from whom: so it is asked about.
        """
        if not isinstance(result, Receipt) or result.outcome is TaskOutcome.NOT_HELD:
            return result
        asks = self._operation is Operation.ERASE and result.not_searched is None
        return replace(result, narrowed=True, not_searched=Unsearched.NUMBER_NARROWED if asks else result.not_searched)

    def _task(self, claim: Claim, subject: SubjectData, search: Search) -> Task:
        return Task(
            task_id=claim.task_id,
            request_id=claim.request_id,
            subject_ref=claim.subject_ref,
            system=self._downstream.name,
            operation=self._operation,
            identities=search.identities,
            changes=subject.changes,
            details={**claim.details, **at_once.details(claim), "right": claim.right},
            attempt=claim.attempt,
            progress=claim.progress,
            due_on=claim.due_on,
            turn=(claim.opened, claim.stage),
            confirmed=claim.confirmed.get(self._downstream.name, {}),
            tenant=subject.tenant,
            level=search.level,
            at=self._unit_of_work.clock.now(),
            not_theirs=search.not_theirs,
            beside=search.beside,
        )

    async def _ask(
        self, holder: UUID, asked: Sequence[Task], claims: Sequence[Claim], staying: Staying
    ) -> Mapping[UUID, Result]:
        """What the downstream answers; once the lease is lost the call ends, and nothing of it counts."""
        attempts = {claim.task_id: claim.attempt for claim in claims}

        async def save_progress(progress: Mapping[UUID, Mapping[str, JsonValue]]) -> None:
            async with self._unit_of_work.pool.acquire() as connection:
                await tasks.save_progress(connection, attempts, progress)
                await staying.look(connection, self._unit_of_work.vault.keyring)

        suspects = {claim.task_id for claim in claims if claim.failure not in FORESEEN and claim.attempt > _PATIENCE}
        seconds = metrics.CALL_SECONDS.labels(self._unit_of_work.service, *self._step)
        calls = Calls(self._name, self._operate, save_progress, seconds)
        try:
            return await self._lease.hold(holder, calls.make(asked, suspects))
        except tasks.LeaseLost as lost:
            log.warning("%s gives up %d task(s): %s", self._name, len(asked), lost)
            return dict.fromkeys((task.task_id for task in asked), Unavailable("gave up this attempt: LeaseLost"))
