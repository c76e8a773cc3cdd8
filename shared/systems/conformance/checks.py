"""Checks what a system can do, on invented people; each check ends with one word."""

import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import NamedTuple, Protocol
from uuid import UUID, uuid4

from pydantic import JsonValue

from shared.domain.clock import SystemClock
from shared.domain.errors import DsrError, NotSupported, Refused, Unavailable, Withdrawn
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Change, Operation, TaskOutcome
from shared.domain.release import spelled
from shared.systems.contract import Checkpoint, CopiedRecord, NotSearched, Pending, Receipt, Result, Task
from shared.systems.downstream import Downstream

# What is said.


class Verdict(StrEnum):
    """The result of a check."""

    YES = "yes"
    NO = "no"
    NOT_DECLARED = "not declared"
    UNKNOWN = "unknown"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """Result of a check; ``reason``: without personal data; ``seconds``: until the data were gone."""

    verdict: Verdict
    reason: str = ""
    seconds: float | None = None

    def __str__(self) -> str:
        text = f"{self.verdict}: {self.reason}" if self.reason else str(self.verdict)
        return text if self.seconds is None else f"{text} (gone after {self.seconds:.1f} s)"


PASSED = CheckResult(Verdict.YES)


class CheckFailed(Exception):  # it ends a check with what was found
    """Ends a check with a result."""

    def __init__(self, word: Verdict, reason: str) -> None:
        super().__init__(reason)
        self.result = CheckResult(word, reason)


def require(holds: object, reason: str) -> None:
    """Ends the check if a condition does not hold."""
    if not holds:
        raise CheckFailed(Verdict.NO, reason)


def receipt_of(result: Result, *wanted: TaskOutcome) -> Receipt:
    """The receipt that a task was to end with.

    Raises:
        Unmet: it ended otherwise.
    """
    match result:
        case Receipt(outcome=outcome) if outcome in wanted:
            return result
        case Receipt(outcome=TaskOutcome.NOT_HELD):
            raise CheckFailed(Verdict.NOT_DECLARED, "it holds no such field or switch")
        case Receipt(outcome=TaskOutcome.RETAINED):
            raise CheckFailed(Verdict.NO, f"it keeps {result.remaining} rows: {result.ground}")
        case Receipt():
            raise CheckFailed(Verdict.NO, f"it says {result.outcome}")
        case NotSearched():
            raise CheckFailed(Verdict.UNKNOWN, result.reason.sentence)
        case Pending():
            raise CheckFailed(Verdict.UNKNOWN, "it has not answered in time")
        case _:
            raise result


def of_failure(failure: DsrError) -> CheckResult:
    """Returns the result that a failure means."""
    match failure:
        case NotSupported():
            return CheckResult(Verdict.NOT_DECLARED, str(failure))
        case Refused():
            return CheckResult(Verdict.NO, f"{failure.code}: {failure}")
        case Unavailable():
            return CheckResult(Verdict.UNKNOWN, str(failure))
        case _:
            return CheckResult(Verdict.UNKNOWN, f"{failure.code}: {failure}")


CheckResults = Mapping[str, CheckResult]
"""Results by the name of the check."""


def status(systems: Iterable[CheckResults]) -> int:
    """Returns 0 if nothing is ``no`` or ``unknown``, 1 for a ``no``, else 2."""
    words = {finding.verdict for findings in systems for finding in findings.values()}
    return 1 if Verdict.NO in words else 2 if Verdict.UNKNOWN in words else 0


def lines_of(system: str, findings: CheckResults) -> Iterator[str]:
    """Returns the results of a system as a table."""
    yield system
    width = max(map(len, findings), default=0)
    for check, finding in findings.items():
        yield f"  {check:<{width}}  {finding}"


def as_json(findings: CheckResults) -> dict[str, dict[str, object]]:
    """Returns the results for a program."""
    shown = {check: {"word": e.verdict, "reason": e.reason, "seconds": e.seconds} for check, e in findings.items()}
    return {check: {k: v for k, v in each.items() if v not in (None, "")} for check, each in shown.items()}


# About whom.

PREFIX = "dsr-conformance-"
"""Prefix of the identities of invented people."""
_SINCE = datetime(2020, 1, 1, tzinfo=UTC)
_DRAMA = "+4420794600"
"""A hundred numbers that Ofcom reserves for drama."""


@dataclass(frozen=True, slots=True)
class SamplePerson:
    """An invented person: one value of each type of identity, and a name that all of them share."""

    key: str
    email: str
    phone: str
    name: str = "Conformance Quarzfels"

    @property
    def values(self) -> dict[str, str]:
        """The values for a seed."""
        return {
            "key": self.key,
            "email": self.email,
            "phone": self.phone,
            "account_id": self.key,
            "sip_uri": f"sip:{self.email}",
            "name": self.name,
        }

    def identities(self, needs: Collection[IdentityType]) -> tuple[Identity, ...]:
        """Returns the identities for a system that needs these types."""
        known = (Identity(kind, self.values[kind.value], level="L2") for kind in IdentityType if kind in needs)
        dated = {IdentityType.PHONE, IdentityType.SIP_URI}
        return tuple(replace(each, valid_from=_SINCE) if each.type in dated else each for each in known)


@dataclass
class SamplePeople:
    """Creates different invented people of one run."""

    run: str = field(default_factory=lambda: secrets.token_hex(4))
    domain: str = "example.com"
    made: list[SamplePerson] = field(default_factory=list)

    @property
    def prefix(self) -> str:
        """The prefix of this run."""
        return f"{PREFIX}{self.run}-"

    def another(self) -> SamplePerson:
        """Creates a person."""
        number = len(self.made)
        key = f"{self.prefix}{number}"
        self.made.append(SamplePerson(key, f"{key}@{self.domain}", f"{_DRAMA}{number % 100:02d}"))
        return self.made[-1]

    def neighbours(self, person: SamplePerson) -> list[SamplePerson]:
        """Creates people of the same name whose addresses contain the person's, or match it as a pattern."""
        local, _, domain = person.email.partition("@")
        alike = (
            f"{self.prefix}x{local}@{domain}",
            f"{person.email}.au",
            f"{local}%@{domain}",
            f"{local[:-1]}_@{domain}",
        )
        others = [replace(self.another(), email=email) for email in alike]
        self.made[-len(others) :] = others
        return others


# What is tried, with what the engine does around an adapter: progress, repeats, patience.

_SECONDS_TO_DUE = date(2100, 1, 1)


class SystemUnderTest(Protocol):
    """A system: its adapter, and its own way to hold data about a person."""

    @property
    def downstream(self) -> Downstream:
        """The declared system."""

    async def put(self, person: SamplePerson, rows: int) -> int | None:
        """Creates about so many rows of the person; returns their number, if known."""

    async def share(self, person: SamplePerson, other: SamplePerson) -> bool:
        """Creates rows of both people; False: the system has none, or none is declared."""

    async def held(self, person: SamplePerson) -> int | None:
        """Counts their rows without the adapter; None: unknown."""

    def about(self, task: Task) -> None:
        """Announces the person of a task to a system that asks for it."""

    async def hear(self, progress: dict[UUID, dict[str, JsonValue]], delay: timedelta) -> None:
        """Waits at most so long, and adds answers of the system to the progress."""


class SimulatedCrash(DsrError):
    """Simulates a killed worker."""


@dataclass
class TaskRunner:
    """Keeps progress and repeats pending tasks, at most for ``patience``."""

    examined: SystemUnderTest
    patience: timedelta = timedelta(minutes=2)
    progress: dict[UUID, dict[str, JsonValue]] = field(default_factory=dict)

    async def save_progress(self, noted: Mapping[UUID, Mapping[str, JsonValue]]) -> None:
        """Saves progress, as the queue does."""
        for task_id, more in noted.items():
            self.progress.setdefault(task_id, {}).update(more)

    async def once(self, tasks: Sequence[Task], save_progress: Checkpoint | None = None) -> Sequence[Result]:
        """Makes one call with the current progress."""
        known = [replace(task, progress=dict(self.progress.get(task.task_id, {}))) for task in tasks]
        operate = self.examined.downstream.operate(tasks[0].operation)
        results = await operate(known, save_progress or self.save_progress)
        waits = [result.retry_in for result in results if isinstance(result, Pending)]
        await self.examined.hear(self.progress, max(waits, default=timedelta()))
        return results

    async def run(self, tasks: Sequence[Task]) -> list[Result]:
        """Returns one result for each task, in order; pending if there was no answer in time."""
        final: dict[UUID, Result] = {}
        patience = self.patience
        while waiting := [task for task in tasks if not _is_final(final.get(task.task_id))]:
            try:
                results = await self.once(waiting)
            except (Unavailable, Refused) as failure:
                results = [failure] * len(waiting)
            final |= {task.task_id: result for task, result in zip(waiting, results, strict=True)}
            pauses = [result.retry_in for result in results if isinstance(result, Pending)]
            patience -= max([*pauses, timedelta(seconds=0.001)])
            if patience <= timedelta():
                break
        return [final[task.task_id] for task in tasks]


def _is_final(result: Result | None) -> bool:
    return result is not None and not isinstance(result, Pending)


@dataclass
class CheckContext:
    """The input of a check: the system, people to seed, the correction to make, and the time allowed for an erasure.

    ``row_by_row``: a copy has one record for each row.
    """

    examined: SystemUnderTest
    people: SamplePeople = field(default_factory=SamplePeople)
    rows: int = 4
    change: Change | None = None
    row_by_row: bool = True
    patience: timedelta = timedelta(minutes=2)

    @property
    def system(self) -> Downstream:
        """The declared system."""
        return self.examined.downstream

    def can(self, *operations: Operation) -> bool:
        """Whether it can do all of these."""
        return all(map(self.system.can, operations))

    async def seeded(self, person: SamplePerson | None = None) -> tuple[SamplePerson, int | None]:
        """Creates a person with rows; returns both."""
        person = person or self.people.another()
        return person, await self.examined.put(person, self.rows)

    def task(self, operation: Operation, person: SamplePerson, *changes: Change) -> Task:
        """Returns a task about a person."""
        task = Task(
            task_id=uuid4(),
            request_id=uuid4(),
            subject_ref=uuid4(),
            system=self.system.name,
            operation=operation,
            identities=person.identities(self.system.needs),
            details={"ground": "accuracy_contested"} if operation is Operation.RESTRICT else {},
            due_on=_SECONDS_TO_DUE,
            changes=changes,
            level="L2",
            at=SystemClock().now(),
        )
        self.examined.about(task)
        return task

    def engine(self) -> TaskRunner:
        """Returns a caller without progress."""
        return TaskRunner(self.examined, self.patience)

    async def ask(self, operation: Operation, person: SamplePerson, *changes: Change) -> Result:
        """Works a task about a person."""
        return (await self.engine().run([self.task(operation, person, *changes)]))[0]


# What is seen.

COUNTING_OPERATIONS = (Operation.LOCATE, Operation.EXPORT)
"""Operations that show whether a person is there."""
_FOUND = {Operation.LOCATE: TaskOutcome.LOCATED, Operation.EXPORT: TaskOutcome.EXPORTED}


async def count_shown(trial: CheckContext, person: SamplePerson) -> int | None:
    """Counts the records shown of a person; None: it cannot show any."""
    for operation in COUNTING_OPERATIONS:
        if trial.can(operation):
            receipt = receipt_of(await trial.ask(operation, person), _FOUND[operation], TaskOutcome.NO_MATCH)
            return receipt.found if receipt.outcome is not TaskOutcome.NO_MATCH else 0
    return None


async def still_has_rows(trial: CheckContext, person: SamplePerson, rows: int | None) -> bool:
    """Whether no row of a person was deleted, as far as known; a history may have grown."""
    now = await trial.examined.held(person)
    return now is None or rows is None or now >= rows


async def records(trial: CheckContext, person: SamplePerson) -> list[CopiedRecord]:
    """Returns a copy of all records of a person."""
    receipt = receipt_of(await trial.ask(Operation.EXPORT, person), TaskOutcome.EXPORTED, TaskOutcome.NO_MATCH)
    return list(receipt.records)


async def shown(trial: CheckContext, person: SamplePerson) -> object:
    """Returns all that can be seen of a person without a change."""
    if trial.can(Operation.EXPORT):
        return sorted(repr((each.category, each.source, dict(each.data))) for each in await records(trial, person))
    return await count_shown(trial, person)


# The checks, in the order in which they are shown: each seeds people of its own.


async def leaves_neighbours(trial: CheckContext) -> CheckResult:
    """Checks that neighbours with the same name and similar addresses are unchanged, field by field."""
    person, _ = await trial.seeded()
    neighbours = [await trial.seeded(each) for each in trial.people.neighbours(person)]
    before = [await shown(trial, each) for each, _ in neighbours]
    receipt_of(await trial.ask(Operation.ERASE, person), TaskOutcome.ERASED)
    for (each, before_rows), seen in zip(neighbours, before, strict=True):
        require(await still_has_rows(trial, each, before_rows), "rows of another person were deleted")
        require(await shown(trial, each) == seen, "another person was changed")
    return PASSED


async def leaves_shared_rows(trial: CheckContext) -> CheckResult:
    """Checks that a row of two people keeps the other person's part and no longer names the subject."""
    person, other = trial.people.another(), trial.people.another()
    if not await trial.examined.share(person, other):
        return CheckResult(Verdict.SKIPPED, "say how a row of two people comes into it, as shared = { sql = [...] }")
    before = await records(trial, other)
    require(before, "it does not find a row of two people by each of them")
    receipt_of(await trial.ask(Operation.ERASE, person), TaskOutcome.ERASED)
    after = await records(trial, other)
    require(len(after) == len(before), "shared rows of another person were deleted")
    require(
        {*_other_people_fields(before, person)} <= {*_other_people_fields(after, person)}, "another person was changed"
    )
    require(not await count_shown(trial, person), "it still finds the person in a row of another person")
    return PASSED


def _other_people_fields(rows: Sequence[CopiedRecord], person: SamplePerson) -> Iterator[tuple[str, str, str]]:
    """Returns rows without the fields that name the person."""
    own_values = set(person.values.values())
    for row in rows:
        yield from ((row.source, name, str(value)) for name, value in row.data.items() if str(value) not in own_values)


class Check(NamedTuple):
    """Declares a check for systems that can do all of these operations."""

    needs: tuple[Operation, ...]
    do: Callable[[CheckContext], Awaitable[CheckResult]]


_MOST_NOTES = 12


async def found(trial: CheckContext) -> CheckResult:
    """A seeded person is found, and another is not."""
    if not any(map(trial.can, COUNTING_OPERATIONS)):
        return CheckResult(Verdict.NOT_DECLARED)
    person, _ = await trial.seeded()
    require(await count_shown(trial, person), "it finds nothing about a person whom it holds")
    require(not await count_shown(trial, trial.people.another()), "it finds something about an unknown person")
    return PASSED


async def exported(trial: CheckContext) -> CheckResult:
    """A copy has the seeded rows, each traced to the person, and no row of a neighbour."""
    person, rows = await trial.seeded()
    neighbour, _ = await trial.seeded()
    receipt = receipt_of(await trial.ask(Operation.EXPORT, person), TaskOutcome.EXPORTED)
    whole = not trial.row_by_row or rows in {None, receipt.found}
    require(whole, f"it holds {rows} rows of a person, and exports {receipt.found}")
    counted = not trial.row_by_row or len(receipt.records) == receipt.found
    require(receipt.records and counted, "it counts other than it gives")
    theirs = {(each.type.value, each.value) for each in person.identities(trial.system.needs)}
    traced = [any(spelled(m.type, m.value) in theirs for m in record.matched) for record in receipt.records]
    require(all(traced), "a row does not say by what it was found")
    shown_data = repr([record.data for record in receipt.records])
    shows_another = neighbour.email in shown_data or neighbour.key in shown_data
    require(not shows_another, "it shows data of another person")
    return PASSED


async def rectified(trial: CheckContext) -> CheckResult:
    """A field is corrected, and a copy shows the new value."""
    if trial.change is None:
        return CheckResult(Verdict.SKIPPED, "name a field to correct, as rectify = { field = …, asserted = … }")
    person, _ = await trial.seeded()
    receipt_of(await trial.ask(Operation.RECTIFY, person, trial.change), TaskOutcome.AMENDED)
    if trial.can(Operation.EXPORT) and trial.change.field not in {
        each.value for each in IdentityType if each != "name"
    }:
        copy = repr([record.data for record in await records(trial, person)])
        require(trial.change.asserted in copy, "it says corrected, and a copy does not show the new value")
    return PASSED


async def changed(trial: CheckContext, operations: Sequence[Operation]) -> CheckResult:
    """A person is restricted and released, or excluded from marketing; the adapter verifies each change."""
    person, rows = await trial.seeded()
    for operation in operations:
        receipt_of(await trial.ask(operation, person), TaskOutcome.AMENDED)
    require(await still_has_rows(trial, person, rows), "rows have gone with a change in place")
    return PASSED


async def erased(trial: CheckContext) -> CheckResult:
    """Found records are erased and counted, and a copy had shown all of them (Art. 15)."""
    person, rows = await trial.seeded()
    copy = await records(trial, person) if trial.can(Operation.EXPORT) else None
    receipt = receipt_of(await trial.ask(Operation.ERASE, person), TaskOutcome.ERASED)
    require(rows in {None, receipt.found}, f"it holds {rows} rows of a person, and erases {receipt.found}")
    require((receipt.found, receipt.remaining) == (receipt.changed, 0), "its counts do not add up")
    require(not await trial.examined.held(person), "it says erased, and holds rows of them")
    if copy is not None:
        missed = Counter(receipt.by_category) - Counter(record.category for record in copy)
        require(not missed, f"it erases what a copy does not show: {', '.join(sorted(missed))}")
        require(len(copy) >= receipt.found, f"it erases {receipt.found} rows, and a copy shows {len(copy)}")
    return PASSED


async def stays_erased(trial: CheckContext) -> CheckResult:
    """After an erasure a second look finds nothing within the declared time; the time is reported."""
    person, _ = await trial.seeded()
    receipt_of(await trial.ask(Operation.ERASE, person), TaskOutcome.ERASED)
    began, patience = time.monotonic(), trial.patience
    while True:
        if (seen := await count_shown(trial, person)) is None:
            again = await trial.ask(Operation.ERASE, person)
            seen = receipt_of(again, TaskOutcome.ERASED, TaskOutcome.NO_MATCH).found
        if not seen:
            return CheckResult(Verdict.YES, seconds=time.monotonic() - began)
        require(patience > timedelta(), f"it still finds {seen} rows of them at the end of {trial.patience}")
        patience -= timedelta(seconds=1)
        await trial.examined.hear({}, timedelta(seconds=1))


async def repeated(trial: CheckContext) -> CheckResult:
    """A repeated task has the same result and changes nothing."""
    person, _ = await trial.seeded()
    engine, task = trial.engine(), trial.task(Operation.ERASE, person)
    [first] = await engine.run([task])
    receipt_of(first, TaskOutcome.ERASED)
    require(await engine.run([task]) == [first], "the same task again tells something else")
    return PASSED


async def survives_crashes(trial: CheckContext) -> CheckResult:
    """A task killed at each save of progress ends with the same counts when it is repeated."""
    for at in range(_MOST_NOTES):
        person, rows = await trial.seeded()
        engine, task = trial.engine(), trial.task(Operation.ERASE, person)
        notes = iter(range(_MOST_NOTES * 100))

        async def note_and_die(noted: Mapping[UUID, Mapping[str, JsonValue]], at: int = at) -> None:
            await engine.save_progress(noted)  # noqa: B023  # called within this round
            if next(notes) == at:  # noqa: B023
                raise SimulatedCrash

        died = False
        try:
            for _ in range(4):
                await engine.once([task], note_and_die)
        except SimulatedCrash:
            died = True
        receipt = receipt_of((await engine.run([task]))[0], TaskOutcome.ERASED)
        where = f"killed at its note {at + 1}"
        require(rows in {None, receipt.found}, f"{where}, it says {receipt.found} rows where it held {rows}")
        require((receipt.found, receipt.remaining) == (receipt.changed, 0), f"{where}, its counts do not add up")
        require(not await trial.examined.held(person), f"{where}, it leaves rows behind")
        require(not await count_shown(trial, person), f"{where}, it leaves something to find")
        if not died:
            return CheckResult(Verdict.YES, f"killed at {at} notes, ended as if it had not been")
    return CheckResult(Verdict.YES, f"killed at its first {_MOST_NOTES} notes, ended as if it had not been")


async def unknown(trial: CheckContext) -> CheckResult:
    """Checks that nothing is found, changed or left of a person whom the system does not know."""
    other, rows = await trial.seeded()
    receipt = receipt_of(await trial.ask(Operation.ERASE, trial.people.another()), TaskOutcome.NO_MATCH)
    require((receipt.found, receipt.changed, receipt.remaining) == (0, 0, 0), "its counts do not add up")
    require(await still_has_rows(trial, other, rows), "rows of another person were deleted")
    return PASSED


async def keeps_order(trial: CheckContext) -> CheckResult:
    """Results are in the order of the tasks, for known and unknown people; no task, no result."""
    first, rows = await trial.seeded()
    last, _ = await trial.seeded()
    operate = trial.system.operate(Operation.ERASE)
    require(list(await operate([], trial.engine().save_progress)) == [], "it answers where nothing is asked")
    require(await still_has_rows(trial, first, rows), "rows have gone where nothing is asked")
    tasks = [trial.task(Operation.ERASE, person) for person in (first, trial.people.another(), last)]
    receipts = [receipt_of(each, *TaskOutcome) for each in await trial.engine().run(tasks)]
    require([each.task_id for each in receipts] == [task.task_id for task in tasks], "results are in another order")
    wanted = [TaskOutcome.ERASED, TaskOutcome.NO_MATCH, TaskOutcome.ERASED]
    require([each.outcome for each in receipts] == wanted, "results are of other people")
    return PASSED


async def obeys_withdrawal(trial: CheckContext) -> CheckResult:
    """A task that was withdrawn before the first step changes nothing."""
    person, rows = await trial.seeded()

    async def is_withdrawn(_noted: Mapping[UUID, Mapping[str, JsonValue]]) -> None:
        raise Withdrawn("the request was withdrawn before this step")

    try:
        [result] = await trial.engine().once([trial.task(Operation.ERASE, person)], is_withdrawn)
    except Withdrawn:
        pass
    else:
        require(isinstance(result, Withdrawn), "it answers for what was withdrawn")
    require(await still_has_rows(trial, person, rows), "rows have gone though it was withdrawn")
    require(await count_shown(trial, person) != 0, "nothing is left though it was withdrawn")
    return PASSED


_ERASE, _SUPPRESS, _RESTRICT = (Operation.ERASE,), (Operation.SUPPRESS,), (Operation.RESTRICT, Operation.LIFT)
CHECKS: Mapping[str, Check] = {
    "found": Check((), found),
    "exported": Check((Operation.EXPORT,), exported),
    "rectified": Check((Operation.RECTIFY,), rectified),
    "restricted": Check(_RESTRICT, partial(changed, operations=_RESTRICT)),
    "suppressed": Check(_SUPPRESS, partial(changed, operations=_SUPPRESS)),
    "erased": Check(_ERASE, erased),
    "gone on the second look": Check(_ERASE, stays_erased),
    "foreign hit refused": Check(_ERASE, leaves_neighbours),
    "row of two people": Check((Operation.ERASE, Operation.EXPORT), leaves_shared_rows),
    "repeat harmless": Check(_ERASE, repeated),
    "kill in the middle": Check(_ERASE, survives_crashes),
    "unknown person": Check(_ERASE, unknown),
    "results in order": Check(_ERASE, keeps_order),
    "withdrawn before": Check(_ERASE, obeys_withdrawal),
}


async def run(check: Check, trial: CheckContext) -> CheckResult:
    """Runs a check; returns a result whatever the system does."""
    if not trial.can(*check.needs):
        return CheckResult(Verdict.NOT_DECLARED)
    try:
        return await check.do(trial)
    except CheckFailed as unmet:
        return unmet.result
    except DsrError as error:
        return of_failure(error)
