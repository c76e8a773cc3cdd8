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
from shared.systems.engine.keeping import ANNOUNCED
from shared.systems.engine.looking import TooMany, look
from shared.systems.engine.ownership import Attribution, subject
from shared.systems.engine.planning import REDUCED, Plan
from shared.systems.engine.records import (
    Clearing,
    Collided,
    Listed,
    Name,
    Note,
    Record,
    Shape,
    Subject,
    System,
    Tied,
    Unit,
)

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
_Done = Sequence[tuple[Plan, Counter[str]]]
"""Applied plans, each with the counts noted of its task so far."""


class _Later(Exception):
    """The transaction was rolled back: some tasks have their result, the others are tried again."""


@dataclass(frozen=True, slots=True)
class Begun:
    """Tasks that begin to change a store: notes to save first (``noted``), and tasks whose counts are ``lost``."""

    noted: Mapping[UUID, Mapping[str, JsonValue]]
    lost: frozenset[UUID]

    @classmethod
    def of(cls, system: str, incarnation: str, tasks: Sequence[Task]) -> "Begun":
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
class Pace:
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
        pace: Pace,
        categories: Collection[str] | None = None,
    ) -> None:
        self._system, self._policy, self._save_progress = system, policy, save_progress
        self._pace, self._categories = pace, categories
        self.shapes: Sequence[Shape] = ()
        """The places of the system, as they were when it was last looked at."""
        self._results: dict[UUID, Result] = {}
        self._noted: dict[UUID, Counter[str]] = {}
        self._gone: dict[UUID, list[Record]] = {}
        self._begun: dict[UUID, Begun] = {}
        self._left = 0

    async def run(self, tasks: Sequence[Task]) -> list[Result]:
        """Returns the result of each task; a committed task stays done if others fail."""
        queue = [[*tasks]]
        collisions = 0
        while queue:
            batch = self._open(queue.pop(0))
            if len(batch) > self._pace.subjects:
                batch, rest = batch[: self._pace.subjects], batch[self._pace.subjects :]
                queue.insert(0, rest)
            try:
                queue[:0] = await self._until_gone(batch)
            except Withdrawn:
                raise
            except (Collided, Refused) as failure:
                collisions += isinstance(failure, Collided)
                if isinstance(failure, SystemRefused) or (collisions > COLLISIONS and not self._results):
                    raise
                if len(batch) > 1 or (isinstance(failure, Collided) and collisions <= COLLISIONS):
                    queue[:0] = _halves(batch)
                else:
                    self._results[batch[0].task_id] = failure
        ended = ((task, self._results[task.task_id], self._begun.get(task.task_id)) for task in tasks)
        return [begun.without_lost_counts([task], [result])[0] if begun else result for task, result, begun in ended]

    def _open(self, tasks: Sequence[Task]) -> list[Task]:
        return [task for task in tasks if task.task_id not in self._results]

    async def _until_gone(self, tasks: list[Task]) -> list[list[Task]]:
        """Works tasks together; returns groups that must be worked apart."""
        left: Mapping[UUID, int] = {}
        for _ in range(self._system.limits.rounds):
            if not tasks:
                return []
            try:
                while await self._remove(tasks):
                    pass
            except TooMany:
                if len(tasks) > 1:
                    self._pace.subjects = len(tasks) // 2
                    return [tasks]
                await self._remove_large(tasks[0])
            except _Later:
                return [tasks]
            left = await self._verify(self._open(tasks))
            tasks = self._open(tasks)
            self._pace.subjects = min(SUBJECTS, self._pace.subjects + 1)
        for task in tasks:
            noted = self._noted.get(task.task_id, Counter())
            self._results[task.task_id] = planning.residue(self._system.name, noted, left[task.task_id])
        return []

    async def _remove(self, tasks: Sequence[Task]) -> bool:
        """Changes the records of these tasks in one transaction; returns whether more are left to delete unread.

        Raises:
            TooMany: one transaction cannot hold them; nothing was changed
        """
        async with self._system.unit(tasks[0].tenant, known=bool(self.shapes)) as unit:
            self.shapes = unit.shapes
            await self._begin(tasks)
            sought = [subject(task, unit.shapes) for task in tasks]
            for each in [each for each in sought if not each.keys]:
                self._results[each.task.task_id] = Receipt(each.task.task_id, TaskOutcome.NO_MATCH)
            sought = [each for each in sought if each.keys]
            if not sought:
                return False
            if isinstance(unit, Clearing) and self._goes_whole(unit, unit, sought):
                done, more = await self._clear(unit, unit, sought)
            else:
                plans = [*self._plans(await look(unit, sought, lock=True, most=ROWS), unit.shapes)]
                done, more = await self._apply(unit, plans), False
        self._remember(done)
        return more

    def _goes_whole(self, unit: Unit, clearing: Clearing, sought: Sequence[Subject]) -> bool:
        """Whether all records can be deleted unread: nothing about them is judged, and no record is of two subjects."""
        if self._categories is not None or unit.numbers is not None or not clearing.clears(sought):
            return False
        named = (({key.value for key in keys}, place) for each in sought for place, keys in each.keys.items())
        known = [(place, value) for values, place in named for value in values]
        places = [(each.task, shape) for each in sought for shape in unit.shapes if shape.place in each.keys]
        apart = len(known) == len({*known})
        return apart and all(planning.goes_whole(self._policy, task, shape) for task, shape in places)

    async def _clear(self, unit: Unit, clearing: Clearing, sought: Sequence[Subject]) -> tuple[_Done, bool]:
        """Deletes as many records as one transaction holds; returns whether there may be more.

        Raises:
            _Later: a task exceeds a limit of the system, or was overtaken
        """
        gone = await clearing.clear(sought, CLEARED)
        total = sum(each.total() for each in gone)
        self._left -= total
        if any(each.task.task_id not in self._noted for each in sought):
            rest = await clearing.count(sought) if total >= CLEARED else [0] * len(sought)
            self._left = sum(rest)
            for each, went, left in zip(sought, gone, rest, strict=True):
                if refused := self._system.limits.excess(each.task, rows=went.total() + left):
                    self._results[each.task.task_id] = refused
            if any(each.task.task_id in self._results for each in sought):
                raise _Later
        categories = {shape.place: shape.category for shape in unit.shapes}
        notes: list[Note] = []
        for each, went in zip(sought, gone, strict=True):
            counts = Counter[str]()
            for place, n in went.items():
                counts[categories[place]] += n
            notes.append(Note(each.task, counts))
        noted = await self._note(unit, notes)
        done = [(Plan(Attribution(each.task)), noted[each.task.task_id]) for each in sought]
        return done, total > 0 and self._left > 0

    async def _begin(self, tasks: Sequence[Task]) -> None:
        """Notes which store is changed, and stops tasks that were withdrawn meanwhile."""
        fresh = [task for task in tasks if task.task_id not in self._begun]
        begun = {task.task_id: Begun.of(self._system.name, self._system.incarnation, [task]) for task in fresh}
        noted = {task_id: each.noted.get(task_id, {}) for task_id, each in begun.items()}
        await self._save_progress({task.task_id: noted.get(task.task_id, {}) for task in tasks})
        self._begun |= begun

    def _plans(self, found: Sequence[Attribution], shapes: Sequence[Shape]) -> Iterator[Plan]:
        """Yields the plan of each task; a refused task gets its result."""
        for each in found:
            made = self._plan(each, shapes)
            if made.refused:
                self._results[each.task.task_id] = made.refused
            else:
                yield made

    def _plan(self, found: Attribution, shapes: Sequence[Shape], *, again: bool = False) -> Plan:
        limits = None if again else self._system.limits
        if self._categories is None:
            return planning.plan(self._system.name, self._policy, limits, found, shapes)
        return planning.ending(self._system.name, limits, found, self._categories)

    async def _apply(self, unit: Unit, plans: Sequence[Plan]) -> _Done:
        """Applies plans and notes their counts in one transaction; returns the counts so far.

        Raises:
            _Later: a task was overtaken, so the transaction must be rolled back
        """
        emptied: Mapping[Name, Mapping[str, int]] = {}
        while plans:
            made = planning.changes(plans, self._policy)
            try:
                emptied = (await unit.apply(made)).emptied if made else {}
                break
            except Tied as tied:
                why = planning.without(plans, tied.why)
                if not why:
                    raise
                self._results |= {plans[place].task.task_id: each for place, each in why.items()}
                plans = [each for place, each in enumerate(plans) if place not in why]
        await self._mark_numbers(unit, plans)
        categories = {shape.place: shape.category for shape in unit.shapes}
        # The note also fences: an earlier attempt that was asleep can change nothing from here on.
        noted = await self._note(unit, [Note(each.task, _counts(each, emptied, categories)) for each in plans])
        return [(each, noted[each.task.task_id]) for each in plans]

    async def _note(self, unit: Unit, notes: Sequence[Note]) -> Mapping[UUID, Counter[str]]:
        noted = await unit.note(notes)
        if late := [each.task.task_id for each in notes if each.task.task_id not in noted]:
            self._results |= {task_id: overtaken(self._system.name) for task_id in late}
            raise _Later
        return noted

    def _remember(self, done: _Done) -> None:
        """Remembers committed counts and records."""
        for made, noted in done:
            self._noted[made.task.task_id] = noted
            self._gone.setdefault(made.task.task_id, []).extend(mine.record for mine in made.gone)

    async def _mark_numbers(self, unit: Unit, plans: Sequence[Plan]) -> None:
        """Lists the numbers of kept records next to the data, so that readers hide them."""
        if (numbers := unit.numbers) is None or self._categories is not None:
            return
        for for_rule in (True, False):
            spans: list[Listed] = []
            for each in plans:
                kept = {name[0] for name, stay in each.stays.items() if not stay.whole}
                places = kept if for_rule else {name[0] for name in each.idle if name[0] != numbers.place}
                kinds = planning.numbers_in(shape for shape in unit.shapes if shape.place in places)
                spans += [(each.task.request_id, span) for span in planning.hidden(each.task, kinds)]
            if spans:
                await numbers.put(spans, kept=for_rule)
        for task in (each.task for each in plans if not each.stays):
            if task.details.get(ANNOUNCED) or task.attempt > 1:
                await numbers.take(task.request_id)

    async def _remove_large(self, task: Task) -> None:
        """Changes the records of one subject in chunks; records that refer to others come first."""
        async with self._system.unit(task.tenant, known=True) as unit:
            place, shapes = {name: n for n, name in enumerate(unit.order)}, unit.shapes
            found = await look(unit, [subject(task, shapes)])
        for made in self._plans(found, shapes):
            gone, reduced = ({mine.record.name for mine in some} for some in (made.gone, made.reduced))
            concerned = (m for name, m in made.found.records.items() if name in gone | reduced | made.idle)
            ordered = sorted(concerned, key=lambda mine: place[mine.record.shape.place])
            for chunk in (ordered[n : n + CHUNK] for n in range(0, len(ordered) or 1, CHUNK)):
                await self._begin([task])
                async with self._system.unit(task.tenant, known=True) as unit:
                    same = {record.name for record in await unit.unchanged([mine.record for mine in chunk])}
                    known = [mine for mine in chunk if mine.record.name in same]
                    part = replace(
                        made,
                        gone=[mine for mine in known if mine.record.name in gone],
                        reduced=[mine for mine in known if mine.record.name in reduced],
                        idle=made.idle & same,
                    )
                    done = await self._apply(unit, [part])
                self._remember(done)
                if task.task_id in self._results:
                    return

    async def _verify(self, tasks: Sequence[Task]) -> Mapping[UUID, int]:
        """Finds and plans again; finished tasks get their result. Returns how much is left of the others."""
        left: dict[UUID, int] = {}
        if not tasks:
            return left
        async with self._system.unit(tasks[0].tenant, known=True) as unit:
            found = await look(unit, [subject(task, unit.shapes) for task in tasks])
            gone = {task.task_id: self._gone.get(task.task_id, []) for task in tasks}
            every = [record for records in gone.values() for record in records]
            astray = await unit.strays(every) if every else ()
            kinds = planning.numbers_in(unit.shapes) if unit.numbers else frozenset[IdentityType]()
            shapes = unit.shapes
        for each in found:
            made, task = self._plan(each, shapes, again=True), each.task
            made.hides = kinds if planning.hidden(task, kinds) else frozenset()
            if made.refused:
                self._results[task.task_id] = made.refused
            elif made.is_done and not any(record.name in astray for record in gone[task.task_id]):
                self._results[task.task_id] = planning.erased(made, self._noted[task.task_id], self._policy)
            left[task.task_id] = len(made.gone) + len(made.reduced)
        return left


def _counts(made: Plan, emptied: Mapping[Name, Mapping[str, int]], categories: Mapping[str, str]) -> Counter[str]:
    """Counts by category: records that go, records that are reduced, and rows emptied by foreign keys."""
    counts = made.gone_by_category
    for mine in made.reduced:
        counts[f"{REDUCED}{mine.record.shape.category}"] += 1
    for mine in made.gone:
        for place, n in emptied.get(mine.record.name, {}).items():
            counts[categories[place]] += n
    return +counts


def _halves(tasks: Sequence[Task]) -> list[list[Task]]:
    half = len(tasks) // 2
    return [[*tasks[:half]], [*tasks[half:]]] if half else [[*tasks]]


def overtaken(system: str) -> Overtaken:
    """Returns the failure of a task that a later attempt has passed, or whose store was replaced."""
    return Overtaken(f"{system}: a later attempt or operation of this request has been here, or it was restored")
