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
from shared.systems.engine.erasing import BatchSize, Erasure
from shared.systems.engine.finding import TooManyRecords, find_pages, find_records, kept_number_periods
from shared.systems.engine.ownership import (
    Coverage,
    OwnershipResolver,
    RefusalCheck,
    SubjectRecords,
    refusal,
    subject_search,
    unproven,
)
from shared.systems.engine.records import NumberPeriod, Shape, SubjectSearch, System, Unit
from shared.systems.engine.retaining import RuleUndeclared
from shared.systems.engine.stepwise import StepSystem, StepwiseErasure, work_one_by_one
from shared.systems.protocols import HandOver
from shared.systems.sweepable import DueCount, DueRecords, Exemptions, SweepResult, SweepStep

_MEMORY_RECORDS = 20_000
"""Most records in memory, of all subjects of a call."""

Work = Callable[[Unit, Sequence[Task], Sequence[SubjectSearch]], Awaitable[Sequence[Result]]]


class Eraser(Protocol):
    """Erases for the tasks of one call, in transactions or step by step; ``shapes``: the places of the system."""

    @property
    def shapes(self) -> Sequence[Shape]: ...

    async def run(self, tasks: Sequence[Task]) -> Sequence[Result]: ...


class EngineAdapter:
    """Locates, exports in parts, erases, plans, amends and sweeps over a system."""

    def __init__(self, system: System, policy: Policy) -> None:
        self._engine_system, self._engine_policy, self._engine_pace = system, policy, BatchSize()
        self._steps = system.steps if isinstance(system, StepSystem) else None
        self._concurrency = system.concurrency if isinstance(system, StepSystem) else 1

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

        async def work(unit: Unit, tenant_tasks: Sequence[Task], _: Sequence[SubjectSearch]) -> Sequence[Result]:
            return await locating.locate(self._engine_system, unit, tenant_tasks)

        return await self._read(tasks, work, covered=False)

    async def plan(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        """Returns what an erasure would find and keep, or why it would do nothing."""
        del save_progress
        self._refuse_undeclared(tasks)
        system, policy = self._engine_system, self._engine_policy

        async def work(unit: Unit, _: Sequence[Task], searches: Sequence[SubjectSearch]) -> Sequence[Result]:
            found = await find_records(unit, searches)
            return [
                planning.dry_run_receipt(planning.plan_erasure(system.name, policy, system.limits, each, unit.shapes))
                for each in found
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

        async def work(unit: Unit, _: Sequence[Task], searches: Sequence[SubjectSearch]) -> Sequence[Result]:
            return await _export(self._engine_system, self._copies, unit, searches, hand_over)

        return await self._read(tasks, work, unattributed=True)

    async def erase(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        """Erases what may be deleted, and verifies."""
        self._refuse_undeclared(tasks)

        async def erase(tenant: str | None, tenant_tasks: Sequence[Task]) -> Sequence[Result]:
            eraser = self._eraser(save_progress)
            results = await eraser.run(tenant_tasks)
            searches = [subject_search(task, eraser.shapes) for task in tenant_tasks]
            results = _with_coverages(eraser.shapes, searches, results)
            if not any(shape.unattributed for shape in eraser.shapes):
                return results
            async with self._engine_system.unit(tenant, known=True) as unit:
                return await _with_unattributed(unit, tenant_tasks, results)

        return await self._by_tenant(tasks, erase)

    async def amend(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        """Changes records in place, and verifies."""

        async def amend(_: str | None, tenant_tasks: Sequence[Task]) -> Sequence[Result]:
            amendment = Amendment(self._engine_system, self._engine_policy, save_progress)
            results = await amendment.run(tenant_tasks)
            if tenant_tasks[0].operation is Operation.LIFT:  # it removes this request's own marks, without a search
                return results
            return _with_coverages(
                amendment.shapes, [subject_search(task, amendment.shapes) for task in tenant_tasks], results
            )

        return await self._each_alone(tasks, amend, steps=self._steps is not None)

    async def count(self, due: Sequence[DueRecords], exempt: Exemptions) -> Sequence[DueCount | Refused]:
        """Counts the records past each of these ceilings."""
        return [await retention.count(self._engine_system, each, exempt) for each in due]

    async def sweep(
        self, due: Sequence[DueRecords], exempt: Exemptions, step: SweepStep
    ) -> Sequence[SweepResult | Refused]:
        """Deletes records past their ceilings; referring records first."""
        return await retention.sweep(self._engine_system, due, exempt, step)

    def _copies(self, kept_periods: Sequence[NumberPeriod]) -> Copies:
        return Copies(self._engine_system.name, self._engine_policy, kept_periods)

    def _eraser(self, save_progress: Checkpoint) -> Eraser:
        if isinstance(self._engine_system, StepSystem):
            return StepwiseErasure(self._engine_system, self._engine_policy, save_progress)
        return Erasure(self._engine_system, self._engine_policy, save_progress, self._engine_pace)

    def _refuse_undeclared(self, tasks: Sequence[Task]) -> None:
        if self.can.policy_conflicts and any(task.tenant is None for task in tasks):  # our rules are for our own data
            raise RuleUndeclared("; ".join(self.can.policy_conflicts))

    async def _read(
        self,
        tasks: Sequence[Task],
        work: Work,
        *,
        covered: bool = True,
        unattributed: bool = False,
    ) -> list[Result]:
        async def read(tenant: str | None, tenant_tasks: Sequence[Task]) -> Sequence[Result]:
            async with self._engine_system.unit(tenant, reading=True) as unit:
                searches = [subject_search(task, unit.shapes) for task in tenant_tasks]
                results = await work(unit, tenant_tasks, searches)
                results = _with_coverages(unit.shapes, searches, results) if covered else results
                return await _with_unattributed(unit, tenant_tasks, results) if unattributed else results

        return await self._each_alone(tasks, read, steps=self._steps is not None and not self._steps.for_many)

    async def _each_alone(
        self,
        tasks: Sequence[Task],
        work: Callable[[str | None, Sequence[Task]], Awaitable[Sequence[Result]]],
        *,
        steps: bool,
    ) -> list[Result]:
        """Returns the results of all tasks; ``steps``: each is worked alone, so that none fails because of another."""

        async def one(some: Sequence[Task], _: Checkpoint) -> Sequence[Result]:
            return await self._by_tenant(some, work)

        return await (
            work_one_by_one(one, tasks, _note_nothing, self._concurrency) if steps else self._by_tenant(tasks, work)
        )

    async def _by_tenant(
        self, tasks: Sequence[Task], work: Callable[[str | None, Sequence[Task]], Awaitable[Sequence[Result]]]
    ) -> list[Result]:
        """Works the tasks of each tenant in that tenant's records."""
        results: dict[UUID, Result] = {}
        name = self._engine_system.name
        for tenant, tenant_tasks in by_tenant(tasks).items():
            if self._engine_system.knows(tenant):
                worked = await work(tenant, tenant_tasks)
                results |= {task.task_id: result for task, result in zip(tenant_tasks, worked, strict=True)}
            else:
                unknown = NotSupported(f"{name} does not tell the data of that customer apart")
                results |= {task.task_id: unknown for task in tenant_tasks}
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
    write: Callable[[Sequence[NumberPeriod]], Copies],
    unit: Unit,
    searches: Sequence[SubjectSearch],
    hand_over: HandOver | None,
) -> list[Result]:
    kept_periods = await kept_number_periods(unit, searches)
    copies = write(kept_periods)
    found: Sequence[SubjectRecords] | None = None
    with suppress(TooManyRecords):
        found = await find_records(unit, searches, data=True, hidden=kept_periods, most=system.part)
    if found is None:
        return await _export_many(system, unit, searches, copies, kept_periods, hand_over)
    results: list[Result] = []
    for each in found:
        part = _CopyParts(each.task)
        if not (refused := refusal(each, system.limits)):
            for owned in each.records.values():
                part.add(copies.record(owned))
        results.append(refused or part.receipt())
    return results


async def _export_many(
    system: System,
    unit: Unit,
    searches: Sequence[SubjectSearch],
    copies: Copies,
    kept_periods: Sequence[NumberPeriod],
    hand_over: HandOver | None,
) -> list[Result]:
    """Checks all records for reasons to refuse, then reads them again page by page."""
    refusing, attributor = (
        [RefusalCheck(each.task) for each in searches],
        OwnershipResolver(searches, unit.shapes, kept_periods),
    )
    if any(each.applies_to(unit.shapes) for each in refusing):
        async with aclosing(find_pages(unit, attributor, searches, data=False)) as found:
            async for page in found:
                for position, owned in page:
                    refusing[position].add(owned)
    named = zip(refusing, attributor.found, strict=True)
    refused = [unproven(theirs) or each.refused(system.limits) for each, theirs in named]
    read = [each for each, why in zip(searches, refused, strict=True) if why is None]
    parts = [_CopyParts(each.task) for each in read]
    async with aclosing(find_pages(unit, OwnershipResolver(read, unit.shapes, kept_periods), read, data=True)) as found:
        async for page in found:
            for position, owned in page:
                parts[position].add(copies.record(owned))
            if hand_over:
                await _hand_over(parts, hand_over, system.part)
    done = iter(parts)
    return [why or next(done).receipt() for why in refused]


class _CopyParts:
    """The copy for one task: records in memory, and the number of parts handed over."""

    def __init__(self, task: Task) -> None:
        self.task_id = task.task_id
        self.records: list[CopiedRecord] = []
        self.parts = 0
        self._counts = Counter[str]()

    def add(self, record: CopiedRecord) -> None:
        self.records.append(record)
        self._counts[record.category] += 1

    def receipt(self) -> Receipt:
        if not (n := self._counts.total()):
            return Receipt(self.task_id, TaskOutcome.NO_MATCH)
        exported = Receipt(self.task_id, TaskOutcome.EXPORTED, found=n, remaining=n, by_category=self._counts)
        return replace(exported, records=tuple(self.records), parts=self.parts)


async def _hand_over(parts: Sequence[_CopyParts], hand_over: HandOver, part: int) -> None:
    """Hands over full parts, and the largest others until the records in memory are few enough."""
    in_memory = sum(len(copy.records) for copy in parts)
    for copy in sorted(parts, key=lambda each: -len(each.records)):
        if len(copy.records) < part and in_memory < _MEMORY_RECORDS:
            return
        await hand_over(copy.task_id, copy.records)
        in_memory -= len(copy.records)
        copy.records = []
        copy.parts += 1


def _with_coverages(
    shapes: Sequence[Shape], searches: Sequence[SubjectSearch], results: Sequence[Result]
) -> list[Result]:
    """Returns the results with the categories searched, and what could not be searched."""
    return [_with_coverage(Coverage(each, shapes), r) for each, r in zip(searches, results, strict=True)]


def _with_coverage(coverage: Coverage, result: Result) -> Result:
    if not isinstance(result, Receipt) or result.outcome is TaskOutcome.NOT_HELD:
        return result
    reason, categories = coverage.reason, coverage.categories
    if reason is not None and not categories:
        return NotSearched(result.task_id, reason)
    # After a store was replaced, the categories of earlier matches are unknown.
    searched = None if result.count_unknown else categories
    return replace(result, not_searched=reason, categories=searched, by_account=coverage.by_account or None)


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
