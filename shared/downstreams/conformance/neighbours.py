"""The checks on people beside the subject: who is like them, and who is in a row with them, remains as they were."""

from collections.abc import Iterator, Sequence

from shared.domain.operations import Operation, TaskOutcome
from shared.downstreams.conformance.examined import Trial
from shared.downstreams.conformance.findings import NOT_DECLARED, YES, Finding, Word, receipt_of, unless
from shared.downstreams.conformance.looks import has_kept, look, records, shown
from shared.downstreams.conformance.people import Person
from shared.downstreams.contract import Record


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
