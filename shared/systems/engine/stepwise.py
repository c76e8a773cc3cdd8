"""Erases in a system without transactions: notes the records in a journal, erases them step by step, searches again.

The journal holds ids only; the content of a record stays in its system.
"""

import asyncio
import copy
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Generic, Protocol, Self, TypeVar, runtime_checkable
from uuid import UUID

from pydantic import BaseModel, JsonValue

from shared.domain.errors import DataStillPresent, DoneBefore, Refused, Unavailable, Withdrawn
from shared.domain.holds import LEGAL_HOLD
from shared.domain.operations import Kept, TaskOutcome
from shared.domain.policy import Policy
from shared.systems.contract import Checkpoint, Pending, Receipt, Result, Task
from shared.systems.engine import planning
from shared.systems.engine.finding import find_records
from shared.systems.engine.ownership import OwnedRecord, SubjectRecords, refusal, subject_search
from shared.systems.engine.planning import Plan
from shared.systems.engine.records import (
    FLAGS,
    HiddenNumbers,
    Record,
    RecordName,
    RequestLimits,
    Shape,
    System,
    TaskNote,
    Unit,
)
from shared.systems.protocols import AdapterCall

UnitType = TypeVar("UnitType")
JOURNAL = "steps"
"""Key of the journal in the progress of its task."""


class RetryLater(Unavailable):
    """Ask the system again after that time; ``busy``: the system asked for the pause."""

    def __init__(self, message: str, after: timedelta, *, busy: bool = False) -> None:
        super().__init__(message)
        self.after = after
        self.busy = busy

    def pending(self, task_id: UUID) -> Pending:
        """Returns it as the result of a task."""
        return Pending(task_id, self.after, self.busy)


class PendingErasure(BaseModel):
    """One record to erase, and its progress.

    ``above``: ids of the records above it, by place. ``variant``: which of several ways of its place applies. ``step``:
    number of answered steps. ``erased``: the system no longer shows it. ``job``: the job that was started for it, and
    ``since`` when; ``job_continued``: the job was continued. ``alone``: it is sent in a call of its own. ``attached``:
    number of records that go with it, by category.
    """

    place: str
    id: str | int
    above: dict[str, str | int] = {}
    variant: int = 0
    step: int = 0
    erased: bool = False
    job: str = ""
    since: datetime | None = None
    job_continued: bool = False
    alone: bool = False
    attached: dict[str, int] = {}

    @property
    def name(self) -> tuple[str, tuple[str]]:
        """Returns its unique name in the system."""
        return self.place, (str(self.id),)


class _JournalState(BaseModel):
    """The saved state of a journal.

    ``still_shown_since``: since when a place still shows erased records. ``by_person``: the interface can do no more,
    and a person does the rest. ``retained``: records that stay, attributed before the records that identify them were
    erased. ``unproven``: records that were not proved to be the subject's, and never will be. ``reduced``: kept records
    that lose columns, by category. ``unseen_kept``: the part of ``kept`` that a hold covers and no search shows any
    more.
    """

    erasures: list[PendingErasure] = []
    counts: dict[str, int] = {}
    reduced: dict[str, int] = {}
    kept: tuple[Kept, ...] = ()
    unseen_kept: tuple[Kept, ...] = ()
    held_categories: frozenset[str] = frozenset()
    retained: set[tuple[str, str]] = set()
    unproven: set[tuple[str, str]] = set()
    still_shown_since: dict[str, datetime] = {}
    rounds: int = 0
    by_person: bool = False
    finished: bool = False


@dataclass(slots=True)
class Journal:
    """The progress of one erasure; ``noted`` is its saved state."""

    task: Task
    noted: _JournalState = field(default_factory=_JournalState)

    @classmethod
    def of(cls, task: Task) -> Self | None:
        """Returns the journal of an earlier attempt, if there is one."""
        saved = task.progress.get(JOURNAL)
        return cls(task, _JournalState.model_validate(saved)) if isinstance(saved, dict) else None

    @property
    def progress(self) -> Mapping[UUID, Mapping[str, JsonValue]]:
        """Returns the progress to save."""
        return {self.task.task_id: {JOURNAL: self.noted.model_dump(mode="json")}}

    @property
    def done(self) -> DoneBefore | None:
        """Returns what was erased before a failure; ``reported``: not all of it was verified."""
        changed = [each for each in self.noted.erasures if each.erased or each.step]
        found, unverified = len(self.noted.erasures), not all(each.erased for each in changed)
        return DoneBefore(found, len(changed), found - len(changed), reported=unverified) if changed else None

    def of_place(self, place: str) -> list[PendingErasure]:
        """Returns the records to erase in a place."""
        return [each for each in self.noted.erasures if each.place == place]


class SaveJournals(Protocol):
    """Saves the progress of these tasks, or of all; raises ``Withdrawn`` if a request was withdrawn."""

    async def __call__(self, tasks: Collection[UUID] | None = None) -> None: ...


class StepUnit(Unit, Protocol):
    """A unit of a system that erases step by step."""

    others: dict[UUID, int]

    @property
    def searched(self) -> frozenset[str]:
        """The places that are searched again after the erasure."""

    @property
    def for_many(self) -> bool:
        """Whether one search finds the records of several subjects."""

    def journal_entry(self, record: Record) -> PendingErasure:
        """Returns the journal entry of a record."""

    async def take_steps(self, journals: Sequence[Journal], note: SaveJournals) -> Mapping[UUID, Result]:
        """Takes all possible steps and saves progress by ``note``; returns results of tasks that wait or failed."""

    def on_still_shown(self, journal: Journal, name: str, shown: Iterable[PendingErasure]) -> RetryLater:
        """Returns when to look again at records that are still shown, some of which are erased again.

        Raises:
            DataStillPresent: they have been shown for too long
        """

    def refuse_manual_parts(self, journal: Journal) -> None:
        """Raises if a person must do a part, or a part cannot be verified."""


class NonTransactionalUnit:
    """Base of units without transactions: every call takes effect immediately.

    ``others``: by task, the number of records that third parties wrote in the subject's records.
    """

    numbers: HiddenNumbers | None = None
    remembers = False

    def __init__(self) -> None:
        self.others: dict[UUID, int] = {}

    async def unchanged(self, records: Sequence[Record]) -> Sequence[Record]:
        """Returns all records: nothing can be locked."""
        return records

    async def note(self, notes: Sequence[TaskNote]) -> Mapping[UUID, Counter[str]]:
        """Returns the counts: they are saved in the progress of the task."""
        return {each.task.task_id: Counter(each.counts) for each in notes}

    def on_still_shown(self, journal: Journal, name: str, shown: Iterable[PendingErasure]) -> RetryLater:
        """Raises: erased records disappear immediately there, so a record that is still shown was not erased."""
        system, count = journal.task.system, len([*shown])
        raise DataStillPresent(f"{system} still shows {count} of {name} after their erasure")

    def refuse_manual_parts(self, journal: Journal) -> None:
        """Raises nothing: everything can be erased."""

    async def dangling(self, deleted: Sequence[Record]) -> Collection[RecordName]:
        """Returns none: records below others are erased before them."""
        del deleted
        return ()

    async def unattributed(self) -> int:
        """Returns 0: it has no numbers of unknown owner."""
        return 0


@runtime_checkable
class StepSystem(System, Protocol):
    """A system that erases step by step; ``concurrency``: tasks worked side by side."""

    @property
    def steps(self) -> StepUnit: ...

    @property
    def concurrency(self) -> int: ...


class SingleUnitSystem(Generic[UnitType]):
    """A system with one unit, ``steps``, for all calls, and without an identity of its store."""

    incarnation = ""
    part = 500

    def __init__(self, name: str, limits: RequestLimits, unit: UnitType, concurrency: int) -> None:
        self.name, self.limits, self.steps, self.concurrency = name, limits, unit, concurrency

    def knows(self, tenant: str | None) -> bool:
        """Returns true: it is searched for every subject."""
        del tenant
        return True

    @asynccontextmanager
    async def unit(
        self, tenant: str | None = None, *, reading: bool = False, known: bool = False
    ) -> AsyncIterator[UnitType]:
        """Yields the unit; there is no transaction."""
        del tenant, reading, known
        yield self.steps


class StepwiseErasure:
    """Erases for the tasks of one call, whose records may share requests to the system."""

    def __init__(self, system: StepSystem, policy: Policy, save_progress: Checkpoint) -> None:
        self._system, self._unit, self._policy, self._save_progress = system, system.steps, policy, save_progress
        self._categories = {shape.place: shape.category for shape in self._unit.shapes}
        self._journals: dict[UUID, Journal] = {}
        self._ended: dict[UUID, Result] = {}
        self._found: dict[UUID, SubjectRecords] = {}
        self._plans: dict[UUID, Plan] = {}

    @property
    def shapes(self) -> Sequence[Shape]:
        """The places of the system."""
        return self._unit.shapes

    async def run(self, tasks: Sequence[Task]) -> list[Result]:
        """Returns one result for each task, in order."""
        self._journals = {task.task_id: journal for task in tasks if (journal := Journal.of(task))}
        for journal in self._without_result():
            if journal.noted.finished:
                self._ended[journal.task.task_id] = self._receipt(journal)
        fresh = [
            journal.task for journal in self._without_result() if journal.noted.by_person or self._has_new_hold(journal)
        ]
        await self._each([*fresh, *(task for task in tasks if task.task_id not in self._journals)], self._begin)
        again = [j.task for j in self._without_result() if j.noted.reduced and j.task.task_id not in self._plans]
        await self._each(again, self._plan_again)
        await self._note()
        await self._each(
            [j.task for j in self._without_result() if j.task.task_id in self._plans], self._reduce, looks=False
        )
        self._ended |= await self._unit.take_steps(self._without_result(), self._note)
        await self._each([journal.task for journal in self._without_result()], self._search_again)
        await self._note_what_was_done()
        return [self._with_what_was_done(task.task_id) for task in tasks]

    def _with_what_was_done(self, task_id: UUID) -> Result:
        """Returns the result of a task; a refusal says what was erased before it."""
        result, journal = self._ended[task_id], self._journals.get(task_id)
        if not isinstance(result, Refused) or journal is None or not (done := journal.done):
            return result
        result = copy.copy(result)  # several tasks may share one refusal
        result.done_before = result.done_before or done
        return result

    def _without_result(self) -> list[Journal]:
        return [each for each in self._journals.values() if each.task.task_id not in self._ended]

    async def _note(self, tasks: Collection[UUID] | None = None) -> None:
        """Saves the progress of every task before anything irreversible."""
        active = {key: j for key, j in self._journals.items() if not isinstance(self._ended.get(key), Withdrawn)}
        known = (journal for key, journal in active.items() if tasks is None or key in tasks)
        if noted := {key: value for journal in known for key, value in journal.progress.items()}:
            await self._save_progress(noted)

    async def _note_what_was_done(self) -> None:
        """Saves the progress at the end, also of requests that were withdrawn meanwhile."""
        try:
            await self._note()
        except Withdrawn:
            for task_id in self._journals:
                with suppress(Withdrawn):
                    await self._note([task_id])

    async def _each(self, tasks: Sequence[Task], do: Callable[[Task], Awaitable[None]], *, looks: bool = True) -> None:
        """Does it for every task side by side; a failed task takes no further step."""
        if self._unit.for_many and tasks and looks:
            found = await find_records(self._unit, [subject_search(task, self.shapes) for task in tasks])
            self._found = {each.task.task_id: each for each in found}

        async def one(task: Task) -> None:
            try:
                await do(task)
            except RetryLater as later:
                self._ended[task.task_id] = later.pending(task.task_id)
            except (Unavailable, Refused) as failure:
                self._ended[task.task_id] = failure

        for failure in await asyncio.gather(*map(one, tasks), return_exceptions=True):
            if failure is not None:
                raise failure

    @staticmethod
    def _has_new_hold(journal: Journal) -> bool:
        return bool(journal.task.held_categories - journal.noted.held_categories)

    async def _find(self, task: Task) -> SubjectRecords:
        if found := self._found.pop(task.task_id, None):
            return found
        [found] = await find_records(self._unit, [subject_search(task, self.shapes)])
        return found

    async def _begin(self, task: Task) -> None:
        """Plans a task; it has a journal already if a person did a part, or a hold was placed since."""
        journal = self._journals.get(task.task_id) or Journal(task)
        found = _without_unproven(journal, await self._find(task))
        await self._add_to_journal(journal, found)
        self._keep_held(journal, found)
        self._journals[task.task_id] = journal

    async def _plan_again(self, task: Task) -> None:
        """Plans again the reductions of an earlier attempt, for the records that are found."""
        journal = self._journals[task.task_id]
        found = _without_erased(journal, _without_unproven(journal, await self._find(task)))
        plan = planning.plan_erasure(self._system.name, self._policy, None, found, self.shapes)
        if plan.refused:
            raise plan.refused
        self._plans[task.task_id] = plan

    async def _add_to_journal(
        self, journal: Journal, found: SubjectRecords, *, again: bool = False
    ) -> list[PendingErasure]:
        """Adds records to the journal and returns the new ones, or raises why nothing may be done.

        ``again``: the records arrived during the erasure; their rounds are limited.
        """
        known, limits = {each.name for each in journal.noted.erasures}, self._system.limits
        if not again:
            journal.noted.unproven |= {(place, str(key[0])) for place, key in found.unproven}
        kept = {(place, (key,)) for place, key in journal.noted.retained}
        new_to_it = found.records.keys() - known - kept or not known
        if refused := refusal(found, limits) if new_to_it else None:
            raise refused
        plan = planning.plan_erasure(
            self._system.name, self._policy, None, _without_erased(journal, found), self.shapes
        )
        unknown = [owned for owned in plan.to_erase if owned.record.name not in known]
        fresh = [owned for owned in unknown if not owned.record.shape.deleted_with_parent]
        refused = plan.refused or (limits.excess(journal.task, rows=len(known) + len(fresh)) if fresh else None)
        if refused:
            refused.states = plan.states
            raise refused
        if again and fresh:
            if journal.noted.rounds >= limits.rounds:
                raise DataStillPresent(
                    f"{self._system.name} has new records of the subject each time that it is searched"
                )
            journal.noted.rounds += 1
        await self._restrict(plan)
        journal.noted.kept = (*plan.retained_counts(marked=True), *journal.noted.unseen_kept)
        journal.noted.held_categories = journal.task.held_categories
        journal.noted.retained = {(place, key[0]) for place, key in plan.retained}
        journal.noted.erasures = [each for each in journal.noted.erasures if each.name not in plan.retained]
        new = [self._unit.journal_entry(owned.record) for owned in fresh]
        journal.noted.erasures += new
        _count_attached(new, unknown)
        journal.noted.reduced = journal.noted.reduced or Counter(m.record.shape.category for m in plan.to_reduce)
        self._plans[journal.task.task_id] = plan
        return new

    def _keep_held(self, journal: Journal, found: SubjectRecords) -> None:
        """Spares records under a hold that no search shows any more, since the records that lead there were erased."""
        noted, held_categories = journal.noted, journal.task.held_categories if journal.task.tenant is None else ()
        covered = [
            each for each in noted.erasures if not each.erased and self._categories[each.place] in held_categories
        ]
        if not covered:
            return
        above = {(place, (str(record),)) for each in covered for place, record in each.above.items()}
        names = {each.name for each in covered} | above
        kept = [
            each for each in noted.erasures if each.name in names and not each.erased and each.name not in found.records
        ]
        for category, count in Counter(self._categories[each.place] for each in kept).items():
            noted.unseen_kept += (Kept(category=category, rule=LEGAL_HOLD, count=count),)
            noted.kept += noted.unseen_kept[-1:]
        noted.erasures = [each for each in noted.erasures if each.erased or each.name not in names]

    async def _restrict(self, plan: Plan) -> None:
        """Restricts records that only a hold keeps, and reads them again."""
        wanted = [*plan.to_restrict]
        if not wanted:
            return
        await self._unit.apply([c for c in planning.changes([plan], self._policy) if c.flag in FLAGS[:2]])
        marked = {record.name: record for _, record in wanted}
        for record in await self._unit.again([*marked.values()]):
            for flag, before in wanted:
                if before.name == record.name and planning.lacks_flag(record, FLAGS.index(flag)):
                    raise DataStillPresent(f"{self._system.name} took a restriction and does not show it")
            plan.found.records[record.name] = replace(plan.found.records[record.name], record=record)

    async def _reduce(self, task: Task) -> None:
        """Reduces kept records and reads them again, before the records that lead to them are erased."""
        plan = self._plans.pop(task.task_id, None)
        if plan is None or not plan.to_reduce:
            return
        await self._unit.apply(planning.changes([replace(plan, to_erase=[], on_hold=frozenset())], self._policy))
        now = await self._unit.again([owned.record for owned in plan.to_reduce])
        owned = (replace(plan.found.records[record.name], record=record) for record in now)
        if any(planning.needs_reduction(each, plan.retained[each.record.name]) for each in owned):
            raise DataStillPresent(f"{self._system.name} took a reduction and does not show it")

    async def _search_again(self, task: Task) -> None:
        """Searches again by the identities; records that arrived meanwhile are erased too."""
        journal = self._journals[task.task_id]
        places = self._unit.searched
        if (journal.noted.erasures or journal.noted.kept) and places:
            found = _without_unproven(journal, await self._find(task))
            if found.records and await self._add_to_journal(journal, found, again=True):
                raise RetryLater(f"{self._system.name} has more of the subject", timedelta())
            await self._reduce(task)
            shown = [each for each in journal.noted.erasures if each.name in found.records]
            for place in (shape.place for shape in self.shapes if shape.place in places):
                if still_shown := [each for each in shown if each.place == place]:
                    raise self._unit.on_still_shown(journal, place, still_shown)
        journal.noted.by_person = True
        self._unit.refuse_manual_parts(journal)
        self._ended[task.task_id] = self._finish(journal)

    def _finish(self, journal: Journal) -> Receipt:
        """Ends a task: the journal forgets the ids and keeps the counts for a repeat."""
        counts = Counter(self._categories[each.place] for each in journal.noted.erasures)
        for each in journal.noted.erasures:
            counts.update(each.attached)
        kept, reduced = journal.noted.kept, journal.noted.reduced
        journal.noted = _JournalState(
            counts=counts, reduced=reduced, kept=kept, held_categories=journal.task.held_categories, finished=True
        )
        return self._receipt(journal)

    @staticmethod
    def _receipt(journal: Journal) -> Receipt:
        noted = journal.noted
        if not noted.counts and not noted.kept:
            return Receipt(journal.task.task_id, TaskOutcome.NO_MATCH)
        return planning.receipt(journal.task, noted.counts, noted.kept, noted.reduced)


def _count_attached(erasures: Sequence[PendingErasure], found: Sequence[OwnedRecord]) -> None:
    """Counts, for each record to erase, the records that go with it."""
    by_name = {each.name: each for each in erasures}
    for owned in (owned for owned in found if owned.record.shape.deleted_with_parent):
        category = owned.record.shape.category
        for each in (by_name[end.record.name] for _, end in owned.linked if end.record.name in by_name):
            each.attached[category] = each.attached.get(category, 0) + 1


def _without_unproven(journal: Journal, found: SubjectRecords) -> SubjectRecords:
    """Returns what was found, without records that were not proved to be the subject's before."""
    others = {(place, (key,)) for place, key in journal.noted.unproven}

    def leads(owned: OwnedRecord) -> bool:
        return owned.record.name in others or any(leads(end) for _, end in owned.linked)

    return replace(found, records={name: owned for name, owned in found.records.items() if not leads(owned)})


def _without_erased(journal: Journal, found: SubjectRecords) -> SubjectRecords:
    """Returns what was found, without erased records, and without the states of records being erased."""
    noted = {each.name: each for each in journal.noted.erasures}
    remaining = {name: owned for name, owned in found.records.items() if name not in noted or not noted[name].erased}
    for name in noted.keys() & remaining.keys():
        record = remaining[name].record
        remaining[name] = replace(remaining[name], record=record._replace(states=(False,) * len(record.states)))
    return SubjectRecords(found.task, remaining)


async def work_one_by_one(
    operate: AdapterCall, tasks: Sequence[Task], save_progress: Checkpoint, concurrency: int
) -> list[Result]:
    """Works each task alone, ``concurrency`` at a time, so that none fails because of another.

    A waiting task has not begun, so a request that is withdrawn meanwhile changes nothing.
    """
    gate = asyncio.Semaphore(concurrency)

    async def one(task: Task) -> Result:
        try:
            async with gate:
                [result] = await operate([task], save_progress)
        except (Unavailable, Refused) as failure:
            result = failure
        return result.pending(task.task_id) if isinstance(result, RetryLater) else result

    return await asyncio.gather(*map(one, tasks))


WITHDRAWAL_CHECK_SECONDS = 0.5
"""Seconds between two checks for withdrawn requests while steps are taken."""


class ActiveTasks:
    """The tasks of one call that are not withdrawn; ``abreast`` steps are taken side by side."""

    def __init__(self, tasks: Iterable[UUID], save_progress: Checkpoint, concurrency: int = 1) -> None:
        self._active = set(tasks)
        self._withdrawn: dict[UUID, Withdrawn] = {}
        self._save_progress = save_progress
        self._gate = asyncio.Semaphore(concurrency)
        self._look_at = 0.0

    @asynccontextmanager
    async def step(self, *tasks: UUID) -> AsyncIterator[None]:
        """Wraps one step for these tasks; without tasks the step must always be taken.

        Raises:
            Withdrawn: all of them were withdrawn, so the step must not be taken
        """
        async with self._gate:
            if time.monotonic() >= self._look_at:
                await self.withdrawn()
            if tasks and self._active.isdisjoint(tasks):
                raise Withdrawn("the request was withdrawn before this step")
            yield

    async def withdrawn(self) -> dict[UUID, Withdrawn]:
        """Checks now, and returns the tasks whose requests were withdrawn."""
        self._look_at = time.monotonic() + WITHDRAWAL_CHECK_SECONDS
        try:
            await self._save_progress({task: {} for task in self._active})
        except Withdrawn:
            for task in sorted(self._active):  # one of them; it does not say which
                await self._ask(task)
        return self._withdrawn

    async def _ask(self, task: UUID) -> None:
        try:
            await self._save_progress({task: {}})
        except Withdrawn as withdrawn:
            self._active.discard(task)
            self._withdrawn[task] = withdrawn
