"""Where a value is not rewritten but added (Art. 16): into a field that is empty, or as a statement beside a record."""

import re
from collections.abc import Iterator

from shared.domain.operations import Change, Operation, ShownRecord, TaskOutcome
from shared.systems.conformance.examined import Trial
from shared.systems.conformance.findings import NOT_DECLARED, YES, Finding, Word, receipt_of, unless
from shared.systems.conformance.looks import has_kept, records
from shared.systems.contract import Record

_SAID = "dsr-conformance-says that it was otherwise"
_FIELD = re.compile(r"[a-z_]+")
_MOST_FIELDS, _LONGEST = 20, 200


async def filled(trial: Trial) -> Finding:
    """What was empty has the value that was given for it."""
    if not trial.can(Operation.RECTIFY, Operation.EXPORT):
        return NOT_DECLARED
    if trial.empty is None:
        return Finding(
            Word.SKIPPED, "name a field that is empty in what was seeded, as empty = { field = …, asserted = … }"
        )
    person, held = await trial.seeded()
    before = repr([record.data for record in await records(trial, person)])
    unless(trial.empty.asserted not in before, f"{trial.empty.field} has that value already: name another field")
    receipt_of(await trial.ask(Operation.RECTIFY, person, trial.empty), TaskOutcome.AMENDED)
    after = repr([record.data for record in await records(trial, person)])
    unless(trial.empty.asserted in after, "it says filled, and a copy does not show the value")
    unless(await has_kept(trial, person, held), "rows have gone with a value that was added")
    return YES


async def stated(trial: Trial) -> Finding:
    """A statement stands beside the record that it is about, is shown with it, and with nobody else's."""
    bearing = trial.system.capable.stated
    if not bearing or not trial.can(Operation.RECTIFY, Operation.EXPORT):
        return NOT_DECLARED
    person, held = await trial.seeded()
    neighbour, _ = await trial.seeded()
    before = [record for record in await records(trial, person) if record.category in bearing]
    unless(
        before, f"it holds nothing of {', '.join(sorted(bearing))} about somebody: seed a record that bears statements"
    )
    meant, fields = before[0], dict(_named(before[0]))
    unless(fields, f"a record of {meant.category} shows nothing by which a statement could name it")
    change = Change(
        field=next(filter(_FIELD.fullmatch, fields), "record"),
        asserted=_SAID,
        record=ShownRecord(category=meant.category, fields=fields),
    )
    receipt = receipt_of(await trial.ask(Operation.RECTIFY, person, change), TaskOutcome.AMENDED)
    unless(receipt.stated, "it says amended, and not that a statement stands there")
    after = [record for record in await records(trial, person) if record.category in bearing]
    beside = [record for record in after if _SAID in repr(record.data)]
    unless(beside, "it says stated, and a copy does not show the statement")
    unless(
        all(_shows(record, fields) for record in beside),
        "the record is other than it was, or the statement is beside another",
    )
    unless(len(after) == len(before), "there are other records than before")
    theirs = await records(trial, neighbour)
    unless(not any(_SAID in repr(record.data) for record in theirs), "it shows the statement to somebody else")
    unless(await has_kept(trial, person, held), "rows have gone with a statement")
    return YES


def _named(record: Record) -> Iterator[tuple[str, str | int | float]]:
    """What of a record names it: values as they are shown, those that are short enough."""
    values = ((name, value) for name, value in record.data.items() if re.fullmatch(r"[a-z][a-z0-9_]{0,63}", name))
    short = [(name, v) for name, v in values if isinstance(v, str | int | float) and 0 < len(str(v)) <= _LONGEST]
    yield from short[:_MOST_FIELDS]


def _shows(record: Record, fields: dict[str, str | int | float]) -> bool:
    return all(record.data.get(name) == value for name, value in fields.items())
