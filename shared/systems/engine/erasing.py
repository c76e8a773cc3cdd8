"""Erases (Art. 17): finds, plans, notes and applies in one transaction; then finds and plans again to verify.

Many small subjects share a transaction. Records of a subject with more than ``ROWS`` are read first without locks, then
locked and changed in chunks. A record that changed meanwhile is left to the next round.
"""

import logging
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from pydantic import JsonValue

from shared.domain.errors import Overtaken, Refused, SystemRefused, Withdrawn
from shared.domain.identities import IdentityType
from shared.domain.operations import CountUnknown, Operation, TaskOutcome
from shared.domain.policy import Policy
from shared.systems.contract import Checkpoint, Receipt, Result, Task
from shared.systems.engine import planning
from shared.systems.engine.finding import TooManyRecords, find_records
from shared.systems.engine.ownership import SubjectRecords, subject_search
from shared.systems.engine.planning import REDUCED, Plan
from shared.systems.engine.records import (
    BulkDelete,
    HiddenNumber,
    LockConflict,
    Record,
    RecordName,
    Shape,
    StillReferenced,
    SubjectSearch,
    System,
    TaskNote,
    Unit,
)
from shared.systems.engine.retaining import ANNOUNCED

log = logging.getLogger(__name__)

SUBJECTS = 128
"""Most subjects in one transaction."""
ROWS = 2_500
"""Most records in one transaction."""
CHUNK = 1_000
"""Records in one transaction of a larger subject."""
CLEARED = 10_000
"""Most records in one transaction that deletes them without reading."""
COLLISIONS = 5
_AppliedPlans = Sequence[tuple[Plan, Counter[str]]]
"""Applied plans, each with the counts noted of its task so far."""


class _RolledBack(Exception):
    """The transaction was rolled back: some tasks have their result, the others are tried again."""


@dataclass(frozen=True, slots=True)
class StoreCheck:
    """Tasks that begin to change a store: notes to save first (``noted``), and tasks whose counts are ``lost``."""

    noted: Mapping[UUID, Mapping[str, JsonValue]]
    lost: frozenset[UUID]

    @classmethod
    def of(cls, system: str, incarnation: str, tasks: Sequence[Task]) -> "StoreCheck":
        """Compares the store with the one that earlier attempts noted."""
        fresh = [task for task in tasks if task.progress.get("store") != incarnation]
        # A note of the current attempt does not count: it has changed nothing yet.
        elsewhere = {
            task.task_id
            for task in fresh
            if task.progress.get("store") and task.progress.get("store_attempt") != task.attempt
        }
        if elsewhere:
            log.warning("%s: the counts of %d task(s) are lost: it was restored since", system, len(elsewhere))
        noted: dict[UUID, dict[str, JsonValue]] = {task.task_id: {"store": incarnation} for task in fresh}
        for task_id in elsewhere:
            noted[task_id]["count_unknown"] = True
        return cls(noted, frozenset(elsewhere | {task.task_id for task in tasks if task.progress.get("count_unknown")}))

    def without_lost_counts(self, tasks: Sequence[Task], results: Sequence[Result]) -> list[Result]:
        """Returns the results, without counts where the store was replaced."""
        return [
            _without_counts(task, result)
            if task.task_id in self.lost and isinstance(result, Receipt) and result.outcome is not TaskOutcome.NOT_HELD
            else result
            for task, result in zip(tasks, results, strict=True)
        ]


def _without_counts(task: Task, receipt: Receipt) -> Receipt:
    done = TaskOutcome.ERASED if task.operation is Operation.ERASE else TaskOutcome.AMENDED
    lost = CountUnknown.STORE_REPLACED
    return replace(receipt, outcome=done, found=0, changed=0, by_category={}, count_unknown=lost, corrected=None)


@dataclass
class BatchSize:
    """The number of subjects per transaction that worked last in a system."""

    subjects: int = SUBJECTS


class Erasure:
    """Erases for the tasks of one call, all of one tenant.

    ``categories``: those that a withdrawn consent ends; None: all records that no rule keeps.
    """

    def __init__(
        self,
        system: System,
        policy: Policy,
        save_progress: Checkpoint,
        pace: BatchSize,
        categories: Collection[str] | None = None,
    ) -> None:
        self._system, self._policy, self._save_progress = system, policy, save_progress
        self._batch_size, self._categories = pace, categories
        self.shapes: Sequence[Shape] = ()
        """The places of the system, as they were when it was last looked at."""
        self._results: dict[UUID, Result] = {}
        self._noted: dict[UUID, Counter[str]] = {}
        self._erased: dict[UUID, list[Record]] = {}
        self._begun: dict[UUID, StoreCheck] = {}
        self._remaining = 0

    async def run(self, tasks: Sequence[Task]) -> list[Result]:
        """Returns the result of each task; a committed task stays done if others fail."""
        queue = [[*tasks]]
        collisions = 0
        while queue:
            batch = self._without_result(queue.pop(0))
            if len(batch) > self._batch_size.subjects:
                batch, rest = batch[: self._batch_size.subjects], batch[self._batch_size.subjects :]
                queue.insert(0, rest)
            try:
                queue[:0] = await self._erase_and_verify(batch)
            except Withdrawn:
                raise
            except (LockConflict, Refused) as failure:
                collisions += isinstance(failure, LockConflict)
                if isinstance(failure, SystemRefused) or (collisions > COLLISIONS and not self._results):
                    raise
                if len(batch) > 1 or (isinstance(failure, LockConflict) and collisions <= COLLISIONS):
                    queue[:0] = _halves(batch)
                else:
                    self._results[batch[0].task_id] = failure
        ended = ((task, self._results[task.task_id], self._begun.get(task.task_id)) for task in tasks)
        return [begun.without_lost_counts([task], [result])[0] if begun else result for task, result, begun in ended]

    def _without_result(self, tasks: Sequence[Task]) -> list[Task]:
        return [task for task in tasks if task.task_id not in self._results]

    async def _erase_and_verify(self, tasks: list[Task]) -> list[list[Task]]:
        """Erases for tasks together; returns groups that must be worked separately."""
        remaining: Mapping[UUID, int] = {}
        for _ in range(self._system.limits.rounds):
            if not tasks:
                return []
            try:
                while await self._remove(tasks):
                    pass
            except TooManyRecords:
                if len(tasks) > 1:
                    self._batch_size.subjects = len(tasks) // 2
                    return [tasks]
                await self._remove_large(tasks[0])
            except _RolledBack:
                return [tasks]
            remaining = await self._verify(self._without_result(tasks))
            tasks = self._without_result(tasks)
            self._batch_size.subjects = min(SUBJECTS, self._batch_size.subjects + 1)
        for task in tasks:
            noted = self._noted.get(task.task_id, Counter())
            self._results[task.task_id] = planning.residue_failure(self._system.name, noted, remaining[task.task_id])
        return []

    async def _remove(self, tasks: Sequence[Task]) -> bool:
        """Changes the records of these tasks in one transaction; returns whether more are left to delete unread.

        Raises:
            TooMany: one transaction cannot hold them; nothing was changed
        """
        async with self._system.unit(tasks[0].tenant, known=bool(self.shapes)) as unit:
            self.shapes = unit.shapes
            await self._begin(tasks)
            searches = [subject_search(task, unit.shapes) for task in tasks]
            for each in [each for each in searches if not each.keys]:
                self._results[each.task.task_id] = Receipt(each.task.task_id, TaskOutcome.NO_MATCH)
            searches = [each for each in searches if each.keys]
            if not searches:
                return False
            if isinstance(unit, BulkDelete) and self._can_delete_unread(unit, unit, searches):
                done, more = await self._delete_unread(unit, unit, searches)
            else:
                plans = [*self._plans(await find_records(unit, searches, lock=True, most=ROWS), unit.shapes)]
                done, more = await self._apply(unit, plans), False
        self._record_committed(done)
        return more

    def _can_delete_unread(self, unit: Unit, bulk: BulkDelete, searches: Sequence[SubjectSearch]) -> bool:
        """Whether all records can be deleted unread: nothing about them is judged, and no record is of two subjects."""
        if self._categories is not None or unit.numbers is not None or not bulk.clears(searches):
            return False
        named = (({key.value for key in keys}, place) for each in searches for place, keys in each.keys.items())
        values_by_place = [(place, value) for values, place in named for value in values]
        places = [(each.task, shape) for each in searches for shape in unit.shapes if shape.place in each.keys]
        disjoint = len(values_by_place) == len({*values_by_place})
        return disjoint and all(planning.can_erase_unread(self._policy, task, shape) for task, shape in places)

    async def _delete_unread(
        self, unit: Unit, bulk: BulkDelete, searches: Sequence[SubjectSearch]
    ) -> tuple[_AppliedPlans, bool]:
        """Deletes as many records as one transaction holds; returns whether there may be more.

        Raises:
            _Later: a task exceeds a limit of the system, or was overtaken
        """
        deleted_by_place = await bulk.clear(searches, CLEARED)
        total = sum(each.total() for each in deleted_by_place)
        self._remaining -= total
        if any(each.task.task_id not in self._noted for each in searches):
            rest = await bulk.count(searches) if total >= CLEARED else [0] * len(searches)
            self._remaining = sum(rest)
            for each, deleted, remaining in zip(searches, deleted_by_place, rest, strict=True):
                if refused := self._system.limits.excess(each.task, rows=deleted.total() + remaining):
                    self._results[each.task.task_id] = refused
            if any(each.task.task_id in self._results for each in searches):
                raise _RolledBack
        categories = {shape.place: shape.category for shape in unit.shapes}
        notes: list[TaskNote] = []
        for each, deleted in zip(searches, deleted_by_place, strict=True):
            counts = Counter[str]()
            for place, n in deleted.items():
                counts[categories[place]] += n
            notes.append(TaskNote(each.task, counts))
        noted = await self._note(unit, notes)
        done = [(Plan(SubjectRecords(each.task)), noted[each.task.task_id]) for each in searches]
        return done, total > 0 and self._remaining > 0

    async def _begin(self, tasks: Sequence[Task]) -> None:
        """Notes which store is changed, and stops tasks that were withdrawn meanwhile."""
        fresh = [task for task in tasks if task.task_id not in self._begun]
        begun = {task.task_id: StoreCheck.of(self._system.name, self._system.incarnation, [task]) for task in fresh}
        noted = {task_id: each.noted.get(task_id, {}) for task_id, each in begun.items()}
        await self._save_progress({task.task_id: noted.get(task.task_id, {}) for task in tasks})
        self._begun |= begun

    def _plans(self, found: Sequence[SubjectRecords], shapes: Sequence[Shape]) -> Iterator[Plan]:
        """Yields the plan of each task; a refused task gets its result."""
        for each in found:
            plan = self._plan(each, shapes)
            if plan.refused:
                self._results[each.task.task_id] = plan.refused
            else:
                yield plan

    def _plan(self, found: SubjectRecords, shapes: Sequence[Shape], *, again: bool = False) -> Plan:
        limits = None if again else self._system.limits
        if self._categories is None:
            return planning.plan_erasure(self._system.name, self._policy, limits, found, shapes)
        return planning.plan_withdrawal(self._system.name, limits, found, self._categories)

    async def _apply(self, unit: Unit, plans: Sequence[Plan]) -> _AppliedPlans:
        """Applies plans and notes their counts in one transaction; returns the counts so far.

        Raises:
            _Later: a task was overtaken, so the transaction must be rolled back
        """
        emptied: Mapping[RecordName, Mapping[str, int]] = {}
        while plans:
            changes = planning.changes(plans, self._policy)
            try:
                emptied = (await unit.apply(changes)).emptied if changes else {}
                break
            except StillReferenced as referenced:
                why = planning.refuse_referenced(plans, referenced.why)
                if not why:
                    raise
                self._results |= {plans[place].task.task_id: each for place, each in why.items()}
                plans = [each for place, each in enumerate(plans) if place not in why]
        await self._mark_numbers(unit, plans)
        categories = {shape.place: shape.category for shape in unit.shapes}
        # The note also fences: an earlier attempt that was asleep can change nothing from here on.
        noted = await self._note(unit, [TaskNote(each.task, _counts(each, emptied, categories)) for each in plans])
        return [(each, noted[each.task.task_id]) for each in plans]

    async def _note(self, unit: Unit, notes: Sequence[TaskNote]) -> Mapping[UUID, Counter[str]]:
        noted = await unit.note(notes)
        if late := [each.task.task_id for each in notes if each.task.task_id not in noted]:
            self._results |= {task_id: overtaken(self._system.name) for task_id in late}
            raise _RolledBack
        return noted

    def _record_committed(self, done: _AppliedPlans) -> None:
        """Remembers committed counts and records."""
        for plan, noted in done:
            self._noted[plan.task.task_id] = noted
            self._erased.setdefault(plan.task.task_id, []).extend(owned.record for owned in plan.to_erase)

    async def _mark_numbers(self, unit: Unit, plans: Sequence[Plan]) -> None:
        """Lists the numbers of kept records next to the data, so that readers hide them."""
        if (numbers := unit.numbers) is None or self._categories is not None:
            return
        for for_rule in (True, False):
            spans: list[HiddenNumber] = []
            for each in plans:
                reduced_places = {name[0] for name, retention in each.retained.items() if not retention.complete}
                places = reduced_places if for_rule else {name[0] for name in each.on_hold if name[0] != numbers.place}
                kinds = planning.number_types(shape for shape in unit.shapes if shape.place in places)
                spans += [(each.task.request_id, span) for span in planning.numbers_to_hide(each.task, kinds)]
            if spans:
                await numbers.put(spans, kept=for_rule)
        for task in (each.task for each in plans if not each.retained):
            if task.details.get(ANNOUNCED) or task.attempt > 1:
                await numbers.take(task.request_id)

    async def _remove_large(self, task: Task) -> None:
        """Changes the records of one subject in chunks; records that refer to others come first."""
        async with self._system.unit(task.tenant, known=True) as unit:
            place, shapes = {name: n for n, name in enumerate(unit.order)}, unit.shapes
            found = await find_records(unit, [subject_search(task, shapes)])
        for plan in self._plans(found, shapes):
            erased, reduced = ({owned.record.name for owned in some} for some in (plan.to_erase, plan.to_reduce))
            concerned = (m for name, m in plan.found.records.items() if name in erased | reduced | plan.on_hold)
            ordered = sorted(concerned, key=lambda owned: place[owned.record.shape.place])
            for chunk in (ordered[n : n + CHUNK] for n in range(0, len(ordered) or 1, CHUNK)):
                await self._begin([task])
                async with self._system.unit(task.tenant, known=True) as unit:
                    same = {record.name for record in await unit.unchanged([owned.record for owned in chunk])}
                    known = [owned for owned in chunk if owned.record.name in same]
                    part = replace(
                        plan,
                        to_erase=[owned for owned in known if owned.record.name in erased],
                        to_reduce=[owned for owned in known if owned.record.name in reduced],
                        on_hold=plan.on_hold & same,
                    )
                    done = await self._apply(unit, [part])
                self._record_committed(done)
                if task.task_id in self._results:
                    return

    async def _verify(self, tasks: Sequence[Task]) -> Mapping[UUID, int]:
        """Finds and plans again; finished tasks get their result. Returns how much is left of the others."""
        remaining: dict[UUID, int] = {}
        if not tasks:
            return remaining
        async with self._system.unit(tasks[0].tenant, known=True) as unit:
            found = await find_records(unit, [subject_search(task, unit.shapes) for task in tasks])
            erased = {task.task_id: self._erased.get(task.task_id, []) for task in tasks}
            every = [record for records in erased.values() for record in records]
            still_linked = await unit.dangling(every) if every else ()
            kinds = planning.number_types(unit.shapes) if unit.numbers else frozenset[IdentityType]()
            shapes = unit.shapes
        for each in found:
            plan, task = self._plan(each, shapes, again=True), each.task
            plan.hidden_types = kinds if planning.numbers_to_hide(task, kinds) else frozenset()
            if plan.refused:
                self._results[task.task_id] = plan.refused
            elif plan.is_done and not any(record.name in still_linked for record in erased[task.task_id]):
                self._results[task.task_id] = planning.erasure_receipt(plan, self._noted[task.task_id], self._policy)
            remaining[task.task_id] = len(plan.to_erase) + len(plan.to_reduce)
        return remaining


def _counts(plan: Plan, emptied: Mapping[RecordName, Mapping[str, int]], categories: Mapping[str, str]) -> Counter[str]:
    """Counts by category: records that go, records that are reduced, and rows emptied by foreign keys."""
    counts = plan.erased_by_category
    for owned in plan.to_reduce:
        counts[f"{REDUCED}{owned.record.shape.category}"] += 1
    for owned in plan.to_erase:
        for place, n in emptied.get(owned.record.name, {}).items():
            counts[categories[place]] += n
    return +counts


def _halves(tasks: Sequence[Task]) -> list[list[Task]]:
    half = len(tasks) // 2
    return [[*tasks[:half]], [*tasks[half:]]] if half else [[*tasks]]


def overtaken(system: str) -> Overtaken:
    """Returns the failure of a task that a later attempt has passed, or whose store was replaced."""
    return Overtaken(f"{system}: a later attempt or operation of this request has been here, or it was restored")
