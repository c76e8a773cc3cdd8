"""Erasure in a system without transactions: what is to go is noted first, taken out step by step, and looked for again.

Ids alone are noted: what a record says stays with its system.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Generic, Protocol, Self, TypeVar, runtime_checkable
from uuid import UUID

from pydantic import BaseModel, JsonValue

from shared.domain.errors import Refused, ResidueFound, Unavailable, Withdrawn
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
"""Under which key the journal stands in the progress of its task."""


class Later(Unavailable):
    """The system is to be asked again after that time; ``busy``: it says so itself."""

    def __init__(self, message: str, after: timedelta, *, busy: bool = False) -> None:
        super().__init__(message)
        self.after = after
        self.busy = busy

    def pending(self, task_id: UUID) -> Pending:
        """What that is for one task."""
        return Pending(task_id, self.after, self.busy)


class Going(BaseModel):
    """One record that is to go, and how far that is.

    ``above``: the ids of what it lies below, by place. ``way``: in which of the ways of its place a person does it.
    ``step``: how many steps were answered. ``gone``: the system shows it no more. ``job``: what was begun for it, and
    ``since`` when; ``ran``: that was told to go on. ``alone``: it shares a request with nobody. ``attached``: how many
    records go with it, by category.
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
        """What tells it from every other record of the system."""
        return self.place, (str(self.id),)


class _Noted(BaseModel):
    """``looked``: since when a place shows what should be gone. ``told``: all is done that can be; a person is told.

    ``left``: what stays, of which was asked whose it is before what tells it had gone. ``others``: what was not proved
    to be theirs then, and is not once they have gone. ``reduced``: of how much of what stays something is taken, by
    category. ``unseen``: of ``kept``, what a hold covers and no search shows any more.
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
    told: bool = False
    finished: bool = False


@dataclass(slots=True)
class Journal:
    """How far the erasure of one task is; ``noted`` is what of it is durable once it was saved."""

    task: Task
    noted: _Noted = field(default_factory=_Noted)

    @classmethod
    def of(cls, task: Task) -> Self | None:
        """What an earlier attempt has noted."""
        said = task.progress.get(NOTED)
        return cls(task, _Noted.model_validate(said)) if isinstance(said, dict) else None

    @property
    def progress(self) -> Mapping[UUID, Mapping[str, JsonValue]]:
        """As it is noted."""
        return {self.task.task_id: {NOTED: self.noted.model_dump(mode="json")}}

    def of_place(self, place: str) -> list[Going]:
        """What goes of one place."""
        return [each for each in self.noted.going if each.place == place]


class Noting(Protocol):
    """Makes durable how far these tasks are, or all; raises ``Withdrawn`` where one is to go no further."""

    async def __call__(self, tasks: Collection[UUID] | None = None) -> None: ...


class StepUnit(Unit, Protocol):
    """A system that takes its steps one by one."""

    others: dict[UUID, int]

    @property
    def searched(self) -> frozenset[str]:
        """The places whose records are looked for by a search once more."""

    @property
    def for_many(self) -> bool:
        """Whether one search finds the records of several subjects."""

    def going(self, record: Record) -> Going:
        """What is noted of a record that is to go."""

    async def carry(self, journals: Sequence[Journal], note: Noting) -> Mapping[UUID, Result]:
        """Goes as far as it can with what is to go, and ``note``s that; of those that wait, or failed, the result."""

    def seen_again(self, journal: Journal, name: str, shown: Iterable[Going]) -> Later:
        """When to look again at what is still shown, and what of it is told to go once more.

        Raises:
            ResidueFound: it has been shown for too long.
        """

    def must_be_whole(self, journal: Journal) -> None:
        """Raises where a person must do a part of it, or nobody can look at it again."""


class Moments:
    """What units have in common whose every call is a moment of its own.

    ``others``: by task, how much that is not theirs third parties have written in what is.
    """

    numbers: Numbers | None = None
    remembers = False

    def __init__(self) -> None:
        self.others: dict[UUID, int] = {}

    async def unchanged(self, records: Sequence[Record]) -> Sequence[Record]:
        """Nothing is locked there."""
        return records

    async def note(self, notes: Sequence[Note]) -> Mapping[UUID, Counter[str]]:
        """Nothing is noted there: the progress of a task has its counts."""
        return {each.task.task_id: Counter(each.counts) for each in notes}

    def seen_again(self, journal: Journal, name: str, shown: Iterable[Going]) -> Later:
        """Nothing there takes its time: what is still shown was not taken out."""
        system, count = journal.task.system, len([*shown])
        raise ResidueFound(f"{system} still shows {count} of {name} after their erasure")

    def must_be_whole(self, journal: Journal) -> None:
        """All of it can be erased."""

    async def strays(self, gone: Sequence[Record]) -> Collection[Name]:
        """What lies below another goes before it."""
        del gone
        return ()

    async def unattributed(self) -> int:
        """It has none."""
        return 0


@runtime_checkable
class StepSystem(System, Protocol):
    """A system whose units are such."""

    @property
    def steps(self) -> StepUnit: ...

    @property
    def abreast(self) -> int: ...


class OneUnit(Generic[Only]):
    """Serves each call by the only unit of a system, ``steps``; nothing tells one store of it from another."""

    incarnation = ""
    part = 500

    def __init__(self, name: str, limits: Limits, unit: Only, abreast: int) -> None:
        self.name, self.limits, self.steps, self.abreast = name, limits, unit, abreast

    def knows(self, tenant: str | None) -> bool:
        """Returns true: it is asked about every subject."""
        del tenant
        return True

    @asynccontextmanager
    async def unit(
        self, tenant: str | None = None, *, reading: bool = False, known: bool = False
    ) -> AsyncIterator[Only]:
        """Every call there is a moment of its own."""
        del tenant, reading, known
        yield self.steps


class Stepwise:
    """One call: the tasks of several subjects, whose records may share a request."""

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
        """One result for each task, in order."""
        self._journals = {task.task_id: journal for task in tasks if (journal := Journal.of(task))}
        for journal in self._open():
            if journal.noted.finished:
                self._ended[journal.task.task_id] = self._receipt(journal)
        fresh = [journal.task for journal in self._open() if journal.noted.told or self._is_held_anew(journal)]
        await self._each([*fresh, *(task for task in tasks if task.task_id not in self._journals)], self._begin)
        again = [j.task for j in self._open() if j.noted.reduced and j.task.task_id not in self._plans]
        await self._each(again, self._plan_again)
        await self._note()
        await self._each([j.task for j in self._open() if j.task.task_id in self._plans], self._reduce, looks=False)
        self._ended |= await self._unit.carry(self._open(), self._note)
        await self._each([journal.task for journal in self._open()], self._search_again)
        await self._note_what_was_done()
        return [self._ended[task.task_id] for task in tasks]

    def _open(self) -> list[Journal]:
        return [each for each in self._journals.values() if each.task.task_id not in self._ended]

    async def _note(self, tasks: Collection[UUID] | None = None) -> None:
        """Makes durable how far every task is, ended or not, before anything irreversible follows."""
        standing = {key: j for key, j in self._journals.items() if not isinstance(self._ended.get(key), Withdrawn)}
        known = (journal for key, journal in standing.items() if tasks is None or key in tasks)
        if noted := {key: value for journal in known for key, value in journal.progress.items()}:
            await self._save_progress(noted)

    async def _note_what_was_done(self) -> None:
        """The same at the end; what was done is no less done where a request was withdrawn meanwhile."""
        try:
            await self._note()
        except Withdrawn:
            for task_id in self._journals:
                with suppress(Withdrawn):
                    await self._note([task_id])

    async def _each(self, tasks: Sequence[Task], do: Callable[[Task], Awaitable[None]], *, looks: bool = True) -> None:
        """Does it for every task side by side; whoever fails takes no further step."""
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
    def _is_held_anew(journal: Journal) -> bool:
        return bool(journal.task.held - journal.noted.held)

    async def _find(self, task: Task) -> Attribution:
        if found := self._found.pop(task.task_id, None):
            return found
        [found] = await look(self._unit, [subject(task, self.shapes)])
        return found

    async def _begin(self, task: Task) -> None:
        """Looks what is to go; there is a journal where a person was to do a part of it, or a hold came since."""
        journal = self._journals.get(task.task_id) or Journal(task)
        found = _without_others(journal, await self._find(task))
        await self._admit(journal, found)
        self._spare(journal, found)
        self._journals[task.task_id] = journal

    async def _plan_again(self, task: Task) -> None:
        """Plans what an earlier attempt was to take from what stays, as far as that is found."""
        journal = self._journals[task.task_id]
        found = _unsaid(journal, _without_others(journal, await self._find(task)))
        made = planning.plan(self._system.name, self._policy, None, found, self.shapes)
        if made.refused:
            raise made.refused
        self._plans[task.task_id] = made

    async def _admit(self, journal: Journal, found: Attribution, *, again: bool = False) -> list[Going]:
        """Takes what is to go into the journal, or raises why nothing may be done; what of it is new.

        ``again``: it has come while the rest went; of that no more than the system lets it chase.
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
                raise ResidueFound(f"{self._system.name} has new records of the subject each time that it is searched")
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
        """Leaves what a hold covers and no search shows any more, since what leads there may have gone."""
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
        """Marks what a hold alone keeps, and reads it again."""
        wanted = [*made.to_mark]
        if not wanted:
            return
        await self._unit.apply([c for c in planning.changes([made], self._policy) if c.flag in FLAGS[:2]])
        marked = {record.name: record for _, record in wanted}
        for record in await self._unit.again([*marked.values()]):
            for flag, before in wanted:
                if before.name == record.name and planning.is_unset(record, FLAGS.index(flag)):
                    raise ResidueFound(f"{self._system.name} took a restriction and does not show it")
            made.found.records[record.name] = replace(made.found.records[record.name], record=record)

    async def _reduce(self, task: Task) -> None:
        """Takes from what stays all that nothing needs, and reads it again: what goes later may be what finds it."""
        made = self._plans.pop(task.task_id, None)
        if made is None or not made.reduced:
            return
        await self._unit.apply(planning.changes([replace(made, gone=[], idle=frozenset())], self._policy))
        now = await self._unit.again([mine.record for mine in made.reduced])
        mine = (replace(made.found.records[record.name], record=record) for record in now)
        if any(planning.is_more(each, made.stays[each.record.name]) for each in mine):
            raise ResidueFound(f"{self._system.name} was told to keep less, and shows something else")

    async def _search_again(self, task: Task) -> None:
        """Searches once more by the identities: what came meanwhile is erased too."""
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
        journal.noted.told = True
        self._unit.must_be_whole(journal)
        self._ended[task.task_id] = self._finish(journal)

    def _finish(self, journal: Journal) -> Receipt:
        """Nothing is left to do: the ids are forgotten, and the counts stay for a repeat."""
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
    """Notes with what goes how many records go with it."""
    by_name = {each.name: each for each in going}
    for mine in (mine for mine in found if mine.record.shape.attached):
        category = mine.record.shape.category
        for each in (by_name[end.record.name] for _, end in mine.ends if end.record.name in by_name):
            each.attached[category] = each.attached.get(category, 0) + 1


def _without_others(journal: Journal, found: Attribution) -> Attribution:
    """The same without what was not theirs when they were still there."""
    others = {(place, (key,)) for place, key in journal.noted.others}

    def leads(mine: Mine) -> bool:
        return mine.record.name in others or any(leads(end) for _, end in mine.ends)

    return replace(found, records={name: mine for name, mine in found.records.items() if not leads(mine)})


def _unsaid(journal: Journal, found: Attribution) -> Attribution:
    """The same without what has gone, which a search may still show; of what is going no state is asked any more."""
    noted = {each.name: each for each in journal.noted.going}
    left = {name: mine for name, mine in found.records.items() if name not in noted or not noted[name].gone}
    for name in noted.keys() & left.keys():
        record = left[name].record
        left[name] = replace(left[name], record=record._replace(states=(False,) * len(record.states)))
    return Attribution(found.task, left)


async def apart(operate: Operate, tasks: Sequence[Task], save_progress: Checkpoint, abreast: int) -> list[Result]:
    """Works each task by itself, ``abreast`` of them side by side, so that none fails for another.

    A task that waits has not begun, so a request that is withdrawn meanwhile changes nothing.
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
"""So often the engine is asked while steps are taken, however many they are."""


class Standing:
    """The tasks of one call, worked in steps of which ``at_once`` are taken side by side."""

    def __init__(self, tasks: Iterable[UUID], save_progress: Checkpoint, at_once: int = 1) -> None:
        self._standing = set(tasks)
        self._withdrawn: dict[UUID, Withdrawn] = {}
        self._save_progress = save_progress
        self._gate = asyncio.Semaphore(at_once)
        self._look_at = 0.0

    @asynccontextmanager
    async def step(self, *tasks: UUID) -> AsyncIterator[None]:
        """The time for one step that is taken for these tasks; for none: one that must be taken.

        Raises:
            Withdrawn: none of them stands any more; the step must not be taken.
        """
        async with self._gate:
            if time.monotonic() >= self._look_at:
                await self.withdrawn()
            if tasks and self._standing.isdisjoint(tasks):
                raise Withdrawn("the request was withdrawn before this step")
            yield

    async def withdrawn(self) -> dict[UUID, Withdrawn]:
        """Asks now; the tasks whose requests were withdrawn by now."""
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
