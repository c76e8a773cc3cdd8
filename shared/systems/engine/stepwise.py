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
from shared.systems.engine.looking import look
from shared.systems.engine.ownership import Attribution, Mine, refusal, subject
from shared.systems.engine.planning import Plan
from shared.systems.engine.records import FLAGS, Limits, Name, Note, Numbers, Record, Shape, System, Unit
from shared.systems.protocols import Operate

Only = TypeVar("Only")
NOTED = "steps"
"""Key of the journal in the progress of its task."""


class Later(Unavailable):
    """Ask the system again after that time; ``busy``: the system asked for the pause."""

    def __init__(self, message: str, after: timedelta, *, busy: bool = False) -> None:
        super().__init__(message)
        self.after = after
        self.busy = busy

    def pending(self, task_id: UUID) -> Pending:
        """Returns it as the result of a task."""
        return Pending(task_id, self.after, self.busy)


class Going(BaseModel):
    """One record to erase, and its progress.

    ``above``: ids of the records above it, by place. ``way``: which of several ways of its place applies. ``step``:
    number of answered steps. ``gone``: the system no longer shows it. ``job``: the job that was started for it, and
    ``since`` when; ``ran``: the job was continued. ``alone``: it is sent in a call of its own. ``attached``: number of
    records that go with it, by category.
    """

    place: str
    id: str | int
    above: dict[str, str | int] = {}
    way: int = 0
    step: int = 0
    gone: bool = False
    job: str = ""
    since: datetime | None = None
    ran: bool = False
    alone: bool = False
    attached: dict[str, int] = {}

    @property
    def name(self) -> tuple[str, tuple[str]]:
        """Returns its unique name in the system."""
        return self.place, (str(self.id),)


class _Noted(BaseModel):
    """The saved state of a journal.

    ``looked``: since when a place still shows erased records. ``by_person``: the interface can do no more, and a person
    does the rest. ``left``: records that stay, attributed before the records that identify them were erased.
    ``others``: records that were not proved to be the subject's, and never will be. ``reduced``: kept records that lose
    columns, by category. ``unseen``: the part of ``kept`` that a hold covers and no search shows any more.
    """

    going: list[Going] = []
    counts: dict[str, int] = {}
    reduced: dict[str, int] = {}
    kept: tuple[Kept, ...] = ()
    unseen: tuple[Kept, ...] = ()
    held: frozenset[str] = frozenset()
    left: set[tuple[str, str]] = set()
    others: set[tuple[str, str]] = set()
    looked: dict[str, datetime] = {}
    rounds: int = 0
    by_person: bool = False
    finished: bool = False


@dataclass(slots=True)
class Journal:
    """The progress of one erasure; ``noted`` is its saved state."""

    task: Task
    noted: _Noted = field(default_factory=_Noted)

    @classmethod
    def of(cls, task: Task) -> Self | None:
        """Returns the journal of an earlier attempt, if there is one."""
        said = task.progress.get(NOTED)
        return cls(task, _Noted.model_validate(said)) if isinstance(said, dict) else None

    @property
    def progress(self) -> Mapping[UUID, Mapping[str, JsonValue]]:
        """Returns the progress to save."""
        return {self.task.task_id: {NOTED: self.noted.model_dump(mode="json")}}

    @property
    def done(self) -> DoneBefore | None:
        """Returns what was erased before a failure; ``reported``: not all of it was verified."""
        changed = [each for each in self.noted.going if each.gone or each.step]
        found, unverified = len(self.noted.going), not all(each.gone for each in changed)
        return DoneBefore(found, len(changed), found - len(changed), reported=unverified) if changed else None

    def of_place(self, place: str) -> list[Going]:
        """Returns the records to erase in a place."""
        return [each for each in self.noted.going if each.place == place]


class Noting(Protocol):
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

    def going(self, record: Record) -> Going:
        """Returns the journal entry of a record."""

    async def carry(self, journals: Sequence[Journal], note: Noting) -> Mapping[UUID, Result]:
        """Takes all possible steps and saves progress by ``note``; returns results of tasks that wait or failed."""

    def seen_again(self, journal: Journal, name: str, shown: Iterable[Going]) -> Later:
        """Returns when to look again at records that are still shown, some of which are erased again.

        Raises:
            DataStillPresent: they have been shown for too long
        """

    def must_be_whole(self, journal: Journal) -> None:
        """Raises if a person must do a part, or a part cannot be verified."""


class Moments:
    """Base of units in which every call stands alone, without a transaction.

    ``others``: by task, the number of records that third parties wrote in the subject's records.
    """

    numbers: Numbers | None = None
    remembers = False

    def __init__(self) -> None:
        self.others: dict[UUID, int] = {}

    async def unchanged(self, records: Sequence[Record]) -> Sequence[Record]:
        """Returns all records: nothing can be locked."""
        return records

    async def note(self, notes: Sequence[Note]) -> Mapping[UUID, Counter[str]]:
        """Returns the counts: they are saved in the progress of the task."""
        return {each.task.task_id: Counter(each.counts) for each in notes}

    def seen_again(self, journal: Journal, name: str, shown: Iterable[Going]) -> Later:
        """Raises: erased records disappear immediately there, so a record that is still shown was not erased."""
        system, count = journal.task.system, len([*shown])
        raise DataStillPresent(f"{system} still shows {count} of {name} after their erasure")

    def must_be_whole(self, journal: Journal) -> None:
        """Raises nothing: everything can be erased."""

    async def strays(self, gone: Sequence[Record]) -> Collection[Name]:
        """Returns none: records below others are erased before them."""
        del gone
        return ()

    async def unattributed(self) -> int:
        """Returns 0: it has no numbers of unknown owner."""
        return 0


@runtime_checkable
class StepSystem(System, Protocol):
    """A system that erases step by step; ``abreast``: tasks worked side by side."""

    @property
    def steps(self) -> StepUnit: ...

    @property
    def abreast(self) -> int: ...


class OneUnit(Generic[Only]):
    """A system with one unit, ``steps``, for all calls, and without an identity of its store."""

    incarnation = ""
    part = 500

    def __init__(self, name: str, limits: Limits, unit: Only, abreast: int) -> None:
        self.name, self.limits, self.steps, self.abreast = name, limits, unit, abreast

    def knows(self, tenant: str | None) -> bool:
        """Returns true: it is searched for every subject."""
        del tenant
        return True

    @asynccontextmanager
    async def unit(
        self, tenant: str | None = None, *, reading: bool = False, known: bool = False
    ) -> AsyncIterator[Only]:
        """Yields the unit; there is no transaction."""
        del tenant, reading, known
        yield self.steps


class Stepwise:
    """Erases for the tasks of one call, whose records may share requests to the system."""

    def __init__(self, system: StepSystem, policy: Policy, save_progress: Checkpoint) -> None:
        self._system, self._unit, self._policy, self._save_progress = system, system.steps, policy, save_progress
        self._categories = {shape.place: shape.category for shape in self._unit.shapes}
        self._journals: dict[UUID, Journal] = {}
        self._ended: dict[UUID, Result] = {}
        self._found: dict[UUID, Attribution] = {}
        self._plans: dict[UUID, Plan] = {}

    @property
    def shapes(self) -> Sequence[Shape]:
        """The places of the system."""
        return self._unit.shapes

    async def run(self, tasks: Sequence[Task]) -> list[Result]:
        """Returns one result for each task, in order."""
        self._journals = {task.task_id: journal for task in tasks if (journal := Journal.of(task))}
        for journal in self._open():
            if journal.noted.finished:
                self._ended[journal.task.task_id] = self._receipt(journal)
        fresh = [journal.task for journal in self._open() if journal.noted.by_person or self._has_new_hold(journal)]
        await self._each([*fresh, *(task for task in tasks if task.task_id not in self._journals)], self._begin)
        again = [j.task for j in self._open() if j.noted.reduced and j.task.task_id not in self._plans]
        await self._each(again, self._plan_again)
        await self._note()
        await self._each([j.task for j in self._open() if j.task.task_id in self._plans], self._reduce, looks=False)
        self._ended |= await self._unit.carry(self._open(), self._note)
        await self._each([journal.task for journal in self._open()], self._search_again)
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

    def _open(self) -> list[Journal]:
        return [each for each in self._journals.values() if each.task.task_id not in self._ended]

    async def _note(self, tasks: Collection[UUID] | None = None) -> None:
        """Saves the progress of every task before anything irreversible."""
        standing = {key: j for key, j in self._journals.items() if not isinstance(self._ended.get(key), Withdrawn)}
        known = (journal for key, journal in standing.items() if tasks is None or key in tasks)
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
            found = await look(self._unit, [subject(task, self.shapes) for task in tasks])
            self._found = {each.task.task_id: each for each in found}

        async def one(task: Task) -> None:
            try:
                await do(task)
            except Later as later:
                self._ended[task.task_id] = later.pending(task.task_id)
            except (Unavailable, Refused) as failure:
                self._ended[task.task_id] = failure

        for failure in await asyncio.gather(*map(one, tasks), return_exceptions=True):
            if failure is not None:
                raise failure

    @staticmethod
    def _has_new_hold(journal: Journal) -> bool:
        return bool(journal.task.held - journal.noted.held)

    async def _find(self, task: Task) -> Attribution:
        if found := self._found.pop(task.task_id, None):
            return found
        [found] = await look(self._unit, [subject(task, self.shapes)])
        return found

    async def _begin(self, task: Task) -> None:
        """Plans a task; it has a journal already if a person did a part, or a hold was placed since."""
        journal = self._journals.get(task.task_id) or Journal(task)
        found = _without_others(journal, await self._find(task))
        await self._admit(journal, found)
        self._spare(journal, found)
        self._journals[task.task_id] = journal

    async def _plan_again(self, task: Task) -> None:
        """Plans again the reductions of an earlier attempt, for the records that are found."""
        journal = self._journals[task.task_id]
        found = _unsaid(journal, _without_others(journal, await self._find(task)))
        made = planning.plan(self._system.name, self._policy, None, found, self.shapes)
        if made.refused:
            raise made.refused
        self._plans[task.task_id] = made

    async def _admit(self, journal: Journal, found: Attribution, *, again: bool = False) -> list[Going]:
        """Adds records to the journal and returns the new ones, or raises why nothing may be done.

        ``again``: the records arrived during the erasure; their rounds are limited.
        """
        known, limits = {each.name for each in journal.noted.going}, self._system.limits
        if not again:
            journal.noted.others |= {(place, str(key[0])) for place, key in found.unproven}
        left = {(place, (key,)) for place, key in journal.noted.left}
        new_to_it = found.records.keys() - known - left or not known
        if refused := refusal(found, limits) if new_to_it else None:
            raise refused
        made = planning.plan(self._system.name, self._policy, None, _unsaid(journal, found), self.shapes)
        unknown = [mine for mine in made.gone if mine.record.name not in known]
        fresh = [mine for mine in unknown if not mine.record.shape.attached]
        refused = made.refused or (limits.excess(journal.task, rows=len(known) + len(fresh)) if fresh else None)
        if refused:
            refused.states = made.states
            raise refused
        if again and fresh:
            if journal.noted.rounds >= limits.rounds:
                raise DataStillPresent(
                    f"{self._system.name} has new records of the subject each time that it is searched"
                )
            journal.noted.rounds += 1
        await self._restrict(made)
        journal.noted.kept = (*made.kept(marked=True), *journal.noted.unseen)
        journal.noted.held = journal.task.held
        journal.noted.left = {(place, key[0]) for place, key in made.stays}
        journal.noted.going = [each for each in journal.noted.going if each.name not in made.stays]
        new = [self._unit.going(mine.record) for mine in fresh]
        journal.noted.going += new
        _count_attached(new, unknown)
        journal.noted.reduced = journal.noted.reduced or Counter(m.record.shape.category for m in made.reduced)
        self._plans[journal.task.task_id] = made
        return new

    def _spare(self, journal: Journal, found: Attribution) -> None:
        """Spares records under a hold that no search shows any more, since the records that lead there were erased."""
        noted, held = journal.noted, journal.task.held if journal.task.tenant is None else ()
        covered = [each for each in noted.going if not each.gone and self._categories[each.place] in held]
        if not covered:
            return
        above = {(place, (str(record),)) for each in covered for place, record in each.above.items()}
        names = {each.name for each in covered} | above
        left = [each for each in noted.going if each.name in names and not each.gone and each.name not in found.records]
        for category, count in Counter(self._categories[each.place] for each in left).items():
            noted.unseen += (Kept(category=category, rule=LEGAL_HOLD, count=count),)
            noted.kept += noted.unseen[-1:]
        noted.going = [each for each in noted.going if each.gone or each.name not in names]

    async def _restrict(self, made: Plan) -> None:
        """Restricts records that only a hold keeps, and reads them again."""
        wanted = [*made.to_mark]
        if not wanted:
            return
        await self._unit.apply([c for c in planning.changes([made], self._policy) if c.flag in FLAGS[:2]])
        marked = {record.name: record for _, record in wanted}
        for record in await self._unit.again([*marked.values()]):
            for flag, before in wanted:
                if before.name == record.name and planning.is_unset(record, FLAGS.index(flag)):
                    raise DataStillPresent(f"{self._system.name} took a restriction and does not show it")
            made.found.records[record.name] = replace(made.found.records[record.name], record=record)

    async def _reduce(self, task: Task) -> None:
        """Reduces kept records and reads them again, before the records that lead to them are erased."""
        made = self._plans.pop(task.task_id, None)
        if made is None or not made.reduced:
            return
        await self._unit.apply(planning.changes([replace(made, gone=[], idle=frozenset())], self._policy))
        now = await self._unit.again([mine.record for mine in made.reduced])
        mine = (replace(made.found.records[record.name], record=record) for record in now)
        if any(planning.is_more(each, made.stays[each.record.name]) for each in mine):
            raise DataStillPresent(f"{self._system.name} took a reduction and does not show it")

    async def _search_again(self, task: Task) -> None:
        """Searches again by the identities; records that arrived meanwhile are erased too."""
        journal = self._journals[task.task_id]
        places = self._unit.searched
        if (journal.noted.going or journal.noted.kept) and places:
            found = _without_others(journal, await self._find(task))
            if found.records and await self._admit(journal, found, again=True):
                raise Later(f"{self._system.name} has more of the subject", timedelta())
            await self._reduce(task)
            shown = [each for each in journal.noted.going if each.name in found.records]
            for place in (shape.place for shape in self.shapes if shape.place in places):
                if again := [each for each in shown if each.place == place]:
                    raise self._unit.seen_again(journal, place, again)
        journal.noted.by_person = True
        self._unit.must_be_whole(journal)
        self._ended[task.task_id] = self._finish(journal)

    def _finish(self, journal: Journal) -> Receipt:
        """Ends a task: the journal forgets the ids and keeps the counts for a repeat."""
        counts = Counter(self._categories[each.place] for each in journal.noted.going)
        for each in journal.noted.going:
            counts.update(each.attached)
        kept, reduced = journal.noted.kept, journal.noted.reduced
        journal.noted = _Noted(counts=counts, reduced=reduced, kept=kept, held=journal.task.held, finished=True)
        return self._receipt(journal)

    @staticmethod
    def _receipt(journal: Journal) -> Receipt:
        noted = journal.noted
        if not noted.counts and not noted.kept:
            return Receipt(journal.task.task_id, TaskOutcome.NO_MATCH)
        return planning.receipt(journal.task, noted.counts, noted.kept, noted.reduced)


def _count_attached(going: Sequence[Going], found: Sequence[Mine]) -> None:
    """Counts, for each record to erase, the records that go with it."""
    by_name = {each.name: each for each in going}
    for mine in (mine for mine in found if mine.record.shape.attached):
        category = mine.record.shape.category
        for each in (by_name[end.record.name] for _, end in mine.ends if end.record.name in by_name):
            each.attached[category] = each.attached.get(category, 0) + 1


def _without_others(journal: Journal, found: Attribution) -> Attribution:
    """Returns what was found, without records that were not proved to be the subject's before."""
    others = {(place, (key,)) for place, key in journal.noted.others}

    def leads(mine: Mine) -> bool:
        return mine.record.name in others or any(leads(end) for _, end in mine.ends)

    return replace(found, records={name: mine for name, mine in found.records.items() if not leads(mine)})


def _unsaid(journal: Journal, found: Attribution) -> Attribution:
    """Returns what was found, without erased records, and without the states of records being erased."""
    noted = {each.name: each for each in journal.noted.going}
    left = {name: mine for name, mine in found.records.items() if name not in noted or not noted[name].gone}
    for name in noted.keys() & left.keys():
        record = left[name].record
        left[name] = replace(left[name], record=record._replace(states=(False,) * len(record.states)))
    return Attribution(found.task, left)


async def apart(operate: Operate, tasks: Sequence[Task], save_progress: Checkpoint, abreast: int) -> list[Result]:
    """Works each task alone, ``abreast`` at a time, so that none fails because of another.

    A waiting task has not begun, so a request that is withdrawn meanwhile changes nothing.
    """
    gate = asyncio.Semaphore(abreast)

    async def one(task: Task) -> Result:
        try:
            async with gate:
                [result] = await operate([task], save_progress)
        except (Unavailable, Refused) as failure:
            result = failure
        return result.pending(task.task_id) if isinstance(result, Later) else result

    return await asyncio.gather(*map(one, tasks))


LOOK_SECONDS = 0.5
"""Seconds between two checks for withdrawn requests while steps are taken."""


class Standing:
    """The tasks of one call that are not withdrawn; ``abreast`` steps are taken side by side."""

    def __init__(self, tasks: Iterable[UUID], save_progress: Checkpoint, abreast: int = 1) -> None:
        self._standing = set(tasks)
        self._withdrawn: dict[UUID, Withdrawn] = {}
        self._save_progress = save_progress
        self._gate = asyncio.Semaphore(abreast)
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
            if tasks and self._standing.isdisjoint(tasks):
                raise Withdrawn("the request was withdrawn before this step")
            yield

    async def withdrawn(self) -> dict[UUID, Withdrawn]:
        """Checks now, and returns the tasks whose requests were withdrawn."""
        self._look_at = time.monotonic() + LOOK_SECONDS
        try:
            await self._save_progress({task: {} for task in self._standing})
        except Withdrawn:
            for task in sorted(self._standing):  # one of them; it does not say which
                await self._ask(task)
        return self._withdrawn

    async def _ask(self, task: UUID) -> None:
        try:
            await self._save_progress({task: {}})
        except Withdrawn as withdrawn:
            self._standing.discard(task)
            self._withdrawn[task] = withdrawn
