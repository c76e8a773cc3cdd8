"""A system under examination, and what the engine does around its adapter: progress, repeats, patience."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Protocol
from uuid import UUID, uuid4

from pydantic import JsonValue

from shared.domain.clock import SystemClock
from shared.domain.errors import DsrError, Refused, Unavailable
from shared.domain.operations import Change, Operation
from shared.systems.conformance.people import People, Person
from shared.systems.contract import Checkpoint, Pending, Result, Task
from shared.systems.downstream import Downstream

_DUE = date(2100, 1, 1)


class Examined(Protocol):
    """One system: its adapter, and its own way to hold something about a person."""

    @property
    def downstream(self) -> Downstream:
        """What is declared of it, with its adapter."""

    async def put(self, person: Person, rows: int) -> int | None:
        """Lets it hold about so many rows about the person; how many those are, where that can be told."""

    async def share(self, person: Person, other: Person) -> bool:
        """Lets it hold rows in which both are; False: it has none, or nobody says how."""

    async def held(self, person: Person) -> int | None:
        """How many rows it holds about them now, looked up past the adapter; None: that cannot be told."""

    def about(self, task: Task) -> None:
        """Says whom a task will be about, where the system asks for that by itself."""

    async def hear(self, progress: dict[UUID, dict[str, JsonValue]], delay: timedelta) -> None:
        """Waits so long at most, and adds to the progress what the system has answered meanwhile."""


class Died(DsrError):
    """The worker was killed, for a test."""


@dataclass
class Engine:
    """Keeps progress, and asks again while a result is pending, for ``patience`` of the system's own time."""

    examined: Examined
    patience: timedelta = timedelta(minutes=2)
    progress: dict[UUID, dict[str, JsonValue]] = field(default_factory=dict)

    async def save_progress(self, noted: Mapping[UUID, Mapping[str, JsonValue]]) -> None:
        """Remembers, as the queue does."""
        for task_id, more in noted.items():
            self.progress.setdefault(task_id, {}).update(more)

    async def once(self, tasks: Sequence[Task], save_progress: Checkpoint | None = None) -> Sequence[Result]:
        """One call with the progress of now."""
        known = [replace(task, progress=dict(self.progress.get(task.task_id, {}))) for task in tasks]
        operate = self.examined.downstream.operate(tasks[0].operation)
        results = await operate(known, save_progress or self.save_progress)
        waits = [result.retry_in for result in results if isinstance(result, Pending)]
        await self.examined.hear(self.progress, max(waits, default=timedelta()))
        return results

    async def run(self, tasks: Sequence[Task]) -> list[Result]:
        """One result for each task, in order; pending, where it has had no answer in time."""
        final: dict[UUID, Result] = {}
        left = self.patience
        while waiting := [task for task in tasks if not _is_final(final.get(task.task_id))]:
            try:
                results = await self.once(waiting)
            except (Unavailable, Refused) as failure:
                results = [failure] * len(waiting)
            final |= {task.task_id: result for task, result in zip(waiting, results, strict=True)}
            pauses = [result.retry_in for result in results if isinstance(result, Pending)]
            left -= max([*pauses, timedelta(seconds=0.001)])
            if left <= timedelta():
                break
        return [final[task.task_id] for task in tasks]


def _is_final(result: Result | None) -> bool:
    return result is not None and not isinstance(result, Pending)


@dataclass
class Trial:
    """What a check is given: the system, people to seed, what may be corrected, and how long it may take to be gone.

    ``row_by_row``: a copy has one record for each row that it holds.
    """

    examined: Examined
    people: People = field(default_factory=People)
    rows: int = 4
    change: Change | None = None
    row_by_row: bool = True
    patience: timedelta = timedelta(minutes=2)

    @property
    def system(self) -> Downstream:
        """What is declared of it."""
        return self.examined.downstream

    def can(self, *operations: Operation) -> bool:
        """Whether it has all of these."""
        return all(map(self.system.can, operations))

    async def seeded(self, person: Person | None = None) -> tuple[Person, int | None]:
        """Somebody about whom it holds something, and how many rows that are."""
        person = person or self.people.another()
        return person, await self.examined.put(person, self.rows)

    def task(self, operation: Operation, person: Person, *changes: Change) -> Task:
        """A task about somebody."""
        task = Task(
            task_id=uuid4(),
            request_id=uuid4(),
            subject_ref=uuid4(),
            system=self.system.name,
            operation=operation,
            identities=person.identities(self.system.needs),
            details={"ground": "accuracy_contested"} if operation is Operation.RESTRICT else {},
            due_on=_DUE,
            changes=changes,
            level="L2",
            at=SystemClock().now(),
        )
        self.examined.about(task)
        return task

    def engine(self) -> Engine:
        """One that remembers nothing yet."""
        return Engine(self.examined, self.patience)

    async def ask(self, operation: Operation, person: Person, *changes: Change) -> Result:
        """How a task about somebody ends."""
        return (await self.engine().run([self.task(operation, person, *changes)]))[0]
