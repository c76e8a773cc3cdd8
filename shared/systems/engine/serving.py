"""Serves the protocols of ``shared.systems.protocols`` by the engine, over any system."""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import Protocol
from uuid import UUID

from shared.domain.errors import NotSupported, Refused
from shared.domain.identities import IdentityType
from shared.domain.operations import Operation, TaskOutcome
from shared.domain.policy import Policy
from shared.systems.capabilities import Capabilities
from shared.systems.contract import Checkpoint, CopiedRecord, NotSearched, Receipt, Result, Task
from shared.systems.engine import locating, planning, retention
from shared.systems.engine.amending import Amendment
from shared.systems.engine.copying import Copies
from shared.systems.engine.erasing import Erasure, Pace
from shared.systems.engine.keeping import RuleUndeclared
from shared.systems.engine.looking import TooMany, left_by_erasures, look, pages
from shared.systems.engine.ownership import Attribution, Attributor, Coverage, Refusing, refusal, subject, unproven
from shared.systems.engine.records import Shape, Span, Subject, System, Unit
from shared.systems.engine.stepwise import StepSystem, Stepwise, apart
from shared.systems.protocols import HandOver
from shared.systems.sweepable import Counted, Due, Exemptions, GoOn, Swept

_HELD = 20_000
"""Most records in memory, of all subjects of a call."""

Work = Callable[[Unit, Sequence[Task], Sequence[Subject]], Awaitable[Sequence[Result]]]


class Eraser(Protocol):
    """Erases for the tasks of one call, in transactions or step by step; ``shapes``: the places of the system."""

    @property
    def shapes(self) -> Sequence[Shape]: ...

    async def run(self, tasks: Sequence[Task]) -> Sequence[Result]: ...


class Served:
    """Locates, exports in parts, erases, plans, amends and sweeps over a system."""

    def __init__(self, system: System, policy: Policy) -> None:
        self._engine_system, self._engine_policy, self._engine_pace = system, policy, Pace()
        self._steps = system.steps if isinstance(system, StepSystem) else None
        self._abreast = system.abreast if isinstance(system, StepSystem) else 1

    @property
    def can(self) -> Capabilities:
        """States what the system can do."""
        return Capabilities()

    @property
    def incarnation(self) -> str:
        """Returns the identity of the store, as the last change found it."""
        return self._engine_system.incarnation

    async def locate(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        """Finds further identities of each subject."""
        del save_progress  # reading leaves nothing to remember

        async def work(unit: Unit, theirs: Sequence[Task], _: Sequence[Subject]) -> Sequence[Result]:
            return await locating.locate(self._engine_system, unit, theirs)

        return await self._read(tasks, work, covered=False)

    async def plan(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        """Returns what an erasure would find and keep, or why it would do nothing."""
        del save_progress
        self._refuse_undeclared(tasks)
        system, policy = self._engine_system, self._engine_policy

        async def work(unit: Unit, _: Sequence[Task], sought: Sequence[Subject]) -> Sequence[Result]:
            found = await look(unit, sought)
            return [
                planning.planned(planning.plan(system.name, policy, system.limits, each, unit.shapes)) for each in found
            ]

        return await self._read(tasks, work)

    async def export(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        """Returns every record of every subject."""
        return await self.export_in_parts(tasks, save_progress, None)

    async def export_in_parts(
        self, tasks: Sequence[Task], save_progress: Checkpoint, hand_over: HandOver | None
    ) -> Sequence[Result]:
        """Exports; records beyond the memory limit are handed over in parts. A copy has no limit (Art. 15)."""
        del save_progress

        async def work(unit: Unit, _: Sequence[Task], sought: Sequence[Subject]) -> Sequence[Result]:
            return await _export(self._engine_system, self._copies, unit, sought, hand_over)

        return await self._read(tasks, work, unattributed=True)

    async def erase(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        """Erases what may be deleted, and verifies."""
        self._refuse_undeclared(tasks)

        async def erase(tenant: str | None, theirs: Sequence[Task]) -> Sequence[Result]:
            eraser = self._eraser(save_progress)
            results = await eraser.run(theirs)
            sought = [subject(task, eraser.shapes) for task in theirs]
            results = _covered(eraser.shapes, sought, results)
            if not any(shape.unattributed for shape in eraser.shapes):
                return results
            async with self._engine_system.unit(tenant, known=True) as unit:
                return await _with_unattributed(unit, theirs, results)

        return await self._each_tenant(tasks, erase)

    async def amend(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        """Changes records in place, and verifies."""

        async def amend(_: str | None, theirs: Sequence[Task]) -> Sequence[Result]:
            amendment = Amendment(self._engine_system, self._engine_policy, save_progress)
            results = await amendment.run(theirs)
            if theirs[0].operation is Operation.LIFT:  # it removes this request's own marks, without a search
                return results
            return _covered(amendment.shapes, [subject(task, amendment.shapes) for task in theirs], results)

        return await self._apart(tasks, amend, steps=self._steps is not None)

    async def count(self, due: Sequence[Due], spared: Exemptions) -> Sequence[Counted | Refused]:
        """Counts the records past each of these ceilings."""
        return [await retention.count(self._engine_system, each, spared) for each in due]

    async def sweep(self, due: Sequence[Due], spared: Exemptions, go_on: GoOn) -> Sequence[Swept | Refused]:
        """Deletes records past their ceilings; referring records first."""
        return await retention.sweep(self._engine_system, due, spared, go_on)

    def _copies(self, left: Sequence[Span]) -> Copies:
        return Copies(self._engine_system.name, self._engine_policy, left)

    def _eraser(self, save_progress: Checkpoint) -> Eraser:
        if isinstance(self._engine_system, StepSystem):
            return Stepwise(self._engine_system, self._engine_policy, save_progress)
        return Erasure(self._engine_system, self._engine_policy, save_progress, self._engine_pace)

    def _refuse_undeclared(self, tasks: Sequence[Task]) -> None:
        if self.can.against_policy and any(task.tenant is None for task in tasks):  # our rules are for our own data
            raise RuleUndeclared("; ".join(self.can.against_policy))

    async def _read(
        self,
        tasks: Sequence[Task],
        work: Work,
        *,
        covered: bool = True,
        unattributed: bool = False,
    ) -> list[Result]:
        async def read(tenant: str | None, theirs: Sequence[Task]) -> Sequence[Result]:
            async with self._engine_system.unit(tenant, reading=True) as unit:
                sought = [subject(task, unit.shapes) for task in theirs]
                results = await work(unit, theirs, sought)
                results = _covered(unit.shapes, sought, results) if covered else results
                return await _with_unattributed(unit, theirs, results) if unattributed else results

        return await self._apart(tasks, read, steps=self._steps is not None and not self._steps.for_many)

    async def _apart(
        self,
        tasks: Sequence[Task],
        work: Callable[[str | None, Sequence[Task]], Awaitable[Sequence[Result]]],
        *,
        steps: bool,
    ) -> list[Result]:
        """Returns the results of all tasks; ``steps``: each is worked alone, so that none fails because of another."""

        async def one(some: Sequence[Task], _: Checkpoint) -> Sequence[Result]:
            return await self._each_tenant(some, work)

        return await (apart(one, tasks, _note_nothing, self._abreast) if steps else self._each_tenant(tasks, work))

    async def _each_tenant(
        self, tasks: Sequence[Task], work: Callable[[str | None, Sequence[Task]], Awaitable[Sequence[Result]]]
    ) -> list[Result]:
        """Works the tasks of each tenant in that tenant's records."""
        results: dict[UUID, Result] = {}
        name = self._engine_system.name
        for tenant, theirs in by_tenant(tasks).items():
            if self._engine_system.knows(tenant):
                worked = await work(tenant, theirs)
                results |= {task.task_id: result for task, result in zip(theirs, worked, strict=True)}
            else:
                unknown = NotSupported(f"{name} does not tell the data of that customer apart")
                results |= {task.task_id: unknown for task in theirs}
        if self._steps and tasks and tasks[0].operation in {Operation.EXPORT, Operation.ERASE}:
            others = {task.task_id: self._steps.others.pop(task.task_id, 0) for task in tasks}
            results |= {key: _with_others(each, others[key]) for key, each in results.items()}
        return [results[task.task_id] for task in tasks]


async def _note_nothing(_: object) -> None:
    """Notes nothing: reading leaves nothing to resume."""


def _with_others(result: Result, others: int) -> Result:
    """Returns the receipt with the number of records that others wrote."""
    return (
        replace(result, written_by_others=others) if others and isinstance(result, Receipt) and result.found else result
    )


def by_tenant(tasks: Sequence[Task]) -> Mapping[str | None, Sequence[Task]]:
    """Groups tasks by tenant."""
    return {tenant: [t for t in tasks if t.tenant == tenant] for tenant in dict.fromkeys(t.tenant for t in tasks)}


async def _export(
    system: System,
    write: Callable[[Sequence[Span]], Copies],
    unit: Unit,
    sought: Sequence[Subject],
    hand_over: HandOver | None,
) -> list[Result]:
    left = await left_by_erasures(unit, sought)
    copies = write(left)
    few: Sequence[Attribution] | None = None
    with suppress(TooMany):
        few = await look(unit, sought, data=True, hidden=left, most=system.part)
    if few is None:
        return await _export_many(system, unit, sought, copies, left, hand_over)
    results: list[Result] = []
    for each in few:
        part = _Parts(each.task)
        if not (why := refusal(each, system.limits)):
            for mine in each.records.values():
                part.add(copies.record(mine))
        results.append(why or part.receipt())
    return results


async def _export_many(
    system: System,
    unit: Unit,
    sought: Sequence[Subject],
    copies: Copies,
    left: Sequence[Span],
    hand_over: HandOver | None,
) -> list[Result]:
    """Checks all records for reasons to refuse, then reads them again page by page."""
    refusing, attributor = [Refusing(each.task) for each in sought], Attributor(sought, unit.shapes, left)
    if any(each.judges(unit.shapes) for each in refusing):
        async with aclosing(pages(unit, attributor, sought, data=False)) as found:
            async for page in found:
                for position, mine in page:
                    refusing[position].add(mine)
    named = zip(refusing, attributor.found, strict=True)
    refused = [unproven(theirs) or each.refused(system.limits) for each, theirs in named]
    read = [each for each, why in zip(sought, refused, strict=True) if why is None]
    parts = [_Parts(each.task) for each in read]
    async with aclosing(pages(unit, Attributor(read, unit.shapes, left), read, data=True)) as found:
        async for page in found:
            for position, mine in page:
                parts[position].add(copies.record(mine))
            if hand_over:
                await _hand_over(parts, hand_over, system.part)
    done = iter(parts)
    return [why or next(done).receipt() for why in refused]


class _Parts:
    """The copy for one task: records in memory, and the number of parts handed over."""

    def __init__(self, task: Task) -> None:
        self.task_id = task.task_id
        self.held: list[CopiedRecord] = []
        self.parts = 0
        self._counts = Counter[str]()

    def add(self, record: CopiedRecord) -> None:
        self.held.append(record)
        self._counts[record.category] += 1

    def receipt(self) -> Receipt:
        if not (n := self._counts.total()):
            return Receipt(self.task_id, TaskOutcome.NO_MATCH)
        exported = Receipt(self.task_id, TaskOutcome.EXPORTED, found=n, remaining=n, by_category=self._counts)
        return replace(exported, records=tuple(self.held), parts=self.parts)


async def _hand_over(parts: Sequence[_Parts], hand_over: HandOver, part: int) -> None:
    """Hands over full parts, and the largest others until the records in memory are few enough."""
    held = sum(len(theirs.held) for theirs in parts)
    for theirs in sorted(parts, key=lambda each: -len(each.held)):
        if len(theirs.held) < part and held < _HELD:
            return
        await hand_over(theirs.task_id, theirs.held)
        held -= len(theirs.held)
        theirs.held = []
        theirs.parts += 1


def _covered(shapes: Sequence[Shape], sought: Sequence[Subject], results: Sequence[Result]) -> list[Result]:
    """Returns the results with the categories searched, and what could not be searched."""
    return [_with_coverage(Coverage(each, shapes), r) for each, r in zip(sought, results, strict=True)]


def _with_coverage(coverage: Coverage, result: Result) -> Result:
    if not isinstance(result, Receipt) or result.outcome is TaskOutcome.NOT_HELD:
        return result
    reason, categories = coverage.reason, coverage.categories
    if reason is not None and not categories:
        return NotSearched(result.task_id, reason)
    # After a store was replaced, the categories of earlier matches are unknown.
    said = None if result.count_unknown else categories
    return replace(result, not_searched=reason, categories=said, by_account=coverage.by_account or None)


async def _with_unattributed(unit: Unit, tasks: Sequence[Task], results: Sequence[Result]) -> list[Result]:
    """Returns the results with the number of records whose numbers have an unknown owner.

    Counted after the work, since the answer must reflect what the system holds now.
    """
    shapes = [shape for shape in unit.shapes if shape.unattributed]
    types = frozenset[IdentityType]().union(*({h.type for h in shape.holders if h.finds} for shape in shapes))
    concerned = [any(each.type in types for each in task.identities) for task in tasks]
    rows = await unit.unattributed() if any(concerned) else 0
    return [
        replace(result, unattributed=rows) if rows and concerns and isinstance(result, Receipt) else result
        for concerns, result in zip(concerned, results, strict=True)
    ]
