"""The checks: each seeds people of its own, and ends with a word; in the order in which they are shown."""

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from uuid import UUID

from pydantic import JsonValue

from shared.domain.errors import DsrError, Withdrawn
from shared.domain.identities import IdentityType
from shared.domain.operations import Operation, TaskOutcome
from shared.domain.release import spelled
from shared.systems.conformance.examined import Died, Trial
from shared.systems.conformance.findings import NOT_DECLARED, YES, Finding, Unmet, Word, of_failure, receipt_of, unless
from shared.systems.conformance.looks import LOOKS, has_kept, look, records, shown
from shared.systems.conformance.people import Person
from shared.systems.contract import Receipt, Record


async def foreign(trial: Trial) -> Finding:
    """Neighbours of the same name, with addresses that contain the person's, remain as they were, field by field."""
    if not trial.can(Operation.ERASE):
        return NOT_DECLARED
    person, _ = await trial.seeded()
    neighbours = [await trial.seeded(each) for each in trial.people.neighbours(person)]
    before = [await shown(trial, each) for each, _ in neighbours]
    receipt_of(await trial.ask(Operation.ERASE, person), TaskOutcome.ERASED)
    for (each, held), seen in zip(neighbours, before, strict=True):
        unless(await has_kept(trial, each, held), "rows of somebody else have gone")
        unless(await shown(trial, each) == seen, "somebody else is not as they were")
    return YES


async def sharing(trial: Trial) -> Finding:
    """Of a row of two people the other's part remains, and finds them as before; the person is in it no more."""
    if not trial.can(Operation.ERASE, Operation.EXPORT):
        return NOT_DECLARED
    person, other = trial.people.another(), trial.people.another()
    if not await trial.examined.share(person, other):
        return Finding(Word.SKIPPED, "say how a row of two people comes into it, as shared = { sql = [...] }")
    before = await records(trial, other)
    unless(before, "it does not find a row of two people by each of them")
    receipt_of(await trial.ask(Operation.ERASE, person), TaskOutcome.ERASED)
    after = await records(trial, other)
    unless(len(after) == len(before), "rows of somebody else have gone, in which the person was too")
    unless({*_of_others(before, person)} <= {*_of_others(after, person)}, "somebody else is not as they were")
    unless(not await look(trial, person), "it still finds the person in a row of somebody else")
    return YES


def _of_others(rows: Sequence[Record], person: Person) -> Iterator[tuple[str, str, str]]:
    """What rows say, but for what names the person."""
    theirs = set(person.values.values())
    for row in rows:
        yield from ((row.source, name, str(value)) for name, value in row.data.items() if str(value) not in theirs)


Check = Callable[[Trial], Awaitable[Finding]]

_MOST_NOTES = 12


async def found(trial: Trial) -> Finding:
    """Who was seeded is found, and who was not is not."""
    if not any(map(trial.can, LOOKS)):
        return NOT_DECLARED
    person, _ = await trial.seeded()
    unless(await look(trial, person), "it finds nothing of somebody about whom it holds something")
    unless(not await look(trial, trial.people.another()), "it finds something of somebody whom it has never heard of")
    return YES


async def exported(trial: Trial) -> Finding:
    """A copy has what was seeded, each row traced to the person, and nothing of the neighbour beside them."""
    if not trial.can(Operation.EXPORT):
        return NOT_DECLARED
    person, held = await trial.seeded()
    neighbour, _ = await trial.seeded()
    receipt = receipt_of(await trial.ask(Operation.EXPORT, person), TaskOutcome.EXPORTED)
    whole = not trial.row_by_row or held in {None, receipt.found}
    unless(whole, f"it holds {held} rows of somebody, and exports {receipt.found}")
    counted = not trial.row_by_row or len(receipt.records) == receipt.found
    unless(receipt.records and counted, "it counts other than it gives")
    theirs = {(each.type.value, each.value) for each in person.identities(trial.system.needs)}
    traced = [any(spelled(m.type, m.value) in theirs for m in record.matched) for record in receipt.records]
    unless(all(traced), "a row does not say by what it was found")
    told = repr([record.data for record in receipt.records])
    shows_another = neighbour.email in told or neighbour.key in told
    unless(not shows_another, "it shows something of somebody else")
    return YES


async def rectified(trial: Trial) -> Finding:
    """A field is corrected, and a copy shows the new value."""
    if not trial.can(Operation.RECTIFY):
        return NOT_DECLARED
    if trial.change is None:
        return Finding(Word.SKIPPED, "name a field to correct, as rectify = { field = …, asserted = … }")
    person, _ = await trial.seeded()
    receipt_of(await trial.ask(Operation.RECTIFY, person, trial.change), TaskOutcome.AMENDED)
    if trial.can(Operation.EXPORT) and trial.change.field not in {
        each.value for each in IdentityType if each != "name"
    }:
        copy = repr([record.data for record in await records(trial, person)])
        unless(trial.change.asserted in copy, "it says corrected, and a copy does not show the new value")
    return YES


async def restricted(trial: Trial) -> Finding:
    """Somebody is restricted and is not any more; the adapter looks again at both."""
    return await _changed(trial, Operation.RESTRICT, Operation.LIFT)


async def suppressed(trial: Trial) -> Finding:
    """Somebody gets no marketing any more."""
    return await _changed(trial, Operation.SUPPRESS)


async def _changed(trial: Trial, *operations: Operation) -> Finding:
    if not trial.can(*operations):
        return NOT_DECLARED
    person, held = await trial.seeded()
    for operation in operations:
        receipt_of(await trial.ask(operation, person), TaskOutcome.AMENDED)
    unless(await has_kept(trial, person, held), "rows have gone with a change in place")
    return YES


async def erased(trial: Trial) -> Finding:
    """What is found is erased and counted, and a copy had shown all of it (Art. 15)."""
    if not trial.can(Operation.ERASE):
        return NOT_DECLARED
    person, held = await trial.seeded()
    copy = await records(trial, person) if trial.can(Operation.EXPORT) else None
    receipt = receipt_of(await trial.ask(Operation.ERASE, person), TaskOutcome.ERASED)
    unless(held in {None, receipt.found}, f"it holds {held} rows of somebody, and erases {receipt.found}")
    unless((receipt.found, receipt.remaining) == (receipt.changed, 0), "its counts do not add up")
    unless(not await trial.examined.held(person), "it says erased, and holds rows of them")
    if copy is not None:
        missed = Counter(receipt.by_category) - Counter(record.category for record in copy)
        unless(not missed, f"it erases what a copy does not show: {', '.join(sorted(missed))}")
        unless(len(copy) >= receipt.found, f"it erases {receipt.found} rows, and a copy shows {len(copy)}")
    return YES


async def gone(trial: Trial) -> Finding:
    """After an erasure another look finds nothing, in the time that the file gives; it is told how long that took."""
    if not trial.can(Operation.ERASE):
        return NOT_DECLARED
    person, _ = await trial.seeded()
    receipt_of(await trial.ask(Operation.ERASE, person), TaskOutcome.ERASED)
    began, left = time.monotonic(), trial.patience
    while True:
        if (seen := await look(trial, person)) is None:
            again = await trial.ask(Operation.ERASE, person)
            seen = receipt_of(again, TaskOutcome.ERASED, TaskOutcome.NO_MATCH).found
        if not seen:
            return Finding(Word.YES, seconds=time.monotonic() - began)
        unless(left > timedelta(), f"it still finds {seen} rows of them at the end of {trial.patience}")
        left -= timedelta(seconds=1)
        await trial.examined.hear({}, timedelta(seconds=1))


async def repeated(trial: Trial) -> Finding:
    """The same task again tells the same, and does nothing."""
    if not trial.can(Operation.ERASE):
        return NOT_DECLARED
    person, _ = await trial.seeded()
    engine, task = trial.engine(), trial.task(Operation.ERASE, person)
    [first] = await engine.run([task])
    receipt_of(first, TaskOutcome.ERASED)
    unless(await engine.run([task]) == [first], "the same task again tells something else")
    return YES


def of_what(result: object) -> str:
    """A result in a word."""
    return result.outcome if isinstance(result, Receipt) else getattr(result, "code", type(result).__name__)


async def killed(trial: Trial) -> Finding:
    """Killed at each note of progress, the same task again ends with the counts that it would have had."""
    if not trial.can(Operation.ERASE):
        return NOT_DECLARED
    for at in range(_MOST_NOTES):
        person, held = await trial.seeded()
        engine, task = trial.engine(), trial.task(Operation.ERASE, person)
        notes = iter(range(_MOST_NOTES * 100))

        async def note_and_die(noted: Mapping[UUID, Mapping[str, JsonValue]], at: int = at) -> None:
            await engine.save_progress(noted)  # noqa: B023  # called within this round
            if next(notes) == at:  # noqa: B023
                raise Died

        died = False
        try:
            for _ in range(4):
                await engine.once([task], note_and_die)
        except Died:
            died = True
        [result] = await engine.run([task])
        receipt = receipt_of(result, TaskOutcome.ERASED)
        where = f"killed at its note {at + 1}"
        unless(held in {None, receipt.found}, f"{where}, it says {receipt.found} rows where it held {held}")
        unless((receipt.found, receipt.remaining) == (receipt.changed, 0), f"{where}, its counts do not add up")
        unless(not await trial.examined.held(person), f"{where}, it leaves rows behind")
        unless(not await look(trial, person), f"{where}, it leaves something to find")
        if not died:
            return Finding(Word.YES, f"killed at {at} notes, ended as if it had not been")
    return Finding(Word.YES, f"killed at its first {_MOST_NOTES} notes, ended as if it had not been")


async def nobody(trial: Trial) -> Finding:
    """Of somebody whom the system does not know nothing is found, changed or left."""
    if not trial.can(Operation.ERASE):
        return NOT_DECLARED
    other, held = await trial.seeded()
    receipt = receipt_of(await trial.ask(Operation.ERASE, trial.people.another()), TaskOutcome.NO_MATCH)
    unless((receipt.found, receipt.changed, receipt.remaining) == (0, 0, 0), "its counts do not add up")
    unless(await has_kept(trial, other, held), "rows of somebody else have gone")
    return YES


async def in_order(trial: Trial) -> Finding:
    """Results come in the order of the tasks, of known and unknown people; nothing asked is nothing done."""
    if not trial.can(Operation.ERASE):
        return NOT_DECLARED
    first, held = await trial.seeded()
    last, _ = await trial.seeded()
    operate = trial.system.operate(Operation.ERASE)
    unless(list(await operate([], trial.engine().save_progress)) == [], "it answers where nothing is asked")
    unless(await has_kept(trial, first, held), "rows have gone where nothing is asked")
    tasks = [trial.task(Operation.ERASE, person) for person in (first, trial.people.another(), last)]
    receipts = [receipt_of(each, *TaskOutcome) for each in await trial.engine().run(tasks)]
    unless([each.task_id for each in receipts] == [task.task_id for task in tasks], "results are in another order")
    wanted = [TaskOutcome.ERASED, TaskOutcome.NO_MATCH, TaskOutcome.ERASED]
    unless([each.outcome for each in receipts] == wanted, "results are of other people")
    return YES


async def withdrawn(trial: Trial) -> Finding:
    """What was withdrawn before the first step is left as it was."""
    if not trial.can(Operation.ERASE):
        return NOT_DECLARED
    person, held = await trial.seeded()

    async def is_withdrawn(_noted: Mapping[UUID, Mapping[str, JsonValue]]) -> None:
        raise Withdrawn("the request was withdrawn before this step")

    try:
        [result] = await trial.engine().once([trial.task(Operation.ERASE, person)], is_withdrawn)
    except Withdrawn:
        pass
    else:
        unless(isinstance(result, Withdrawn), f"it answers {of_what(result)} for what was withdrawn")
    unless(await has_kept(trial, person, held), "rows have gone though it was withdrawn")
    unless(await look(trial, person) != 0, "nothing is left though it was withdrawn")
    return YES


CHECKS: Mapping[str, Check] = {
    "found": found,
    "exported": exported,
    "rectified": rectified,
    "restricted": restricted,
    "suppressed": suppressed,
    "erased": erased,
    "gone on the second look": gone,
    "foreign hit refused": foreign,
    "row of two people": sharing,
    "repeat harmless": repeated,
    "kill in the middle": killed,
    "nobody known": nobody,
    "results in order": in_order,
    "withdrawn before": withdrawn,
}


async def run(check: Check, trial: Trial) -> Finding:
    """What came of one check, whatever its system does."""
    try:
        return await check(trial)
    except Unmet as unmet:
        return unmet.finding
    except DsrError as error:
        return of_failure(error)
