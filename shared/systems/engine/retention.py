"""Deletes records that are past a ceiling of the policy (Art. 5(1)(e)), one page in each transaction.

It notes nothing: after a crash the records that are gone are no longer due.
"""

from collections.abc import AsyncIterator, Sequence

from shared.domain.errors import Refused
from shared.systems.engine.finding import find_records
from shared.systems.engine.ownership import subject_search
from shared.systems.engine.records import BulkDelete, ChangeKind, Record, RecordChange, RecordName, System, Unit
from shared.systems.sweepable import DueCount, DueRecords, Exemptions, SweepResult, SweepStep

PAGE = 1_000
"""Records in one transaction."""
CLEARED = 20_000
"""Records in one transaction that deletes without reading."""


async def count(system: System, due: DueRecords, exempt: Exemptions) -> DueCount | Refused:
    """Counts the records that are due and not exempt, and all records of the place."""
    try:
        async with system.unit(reading=True) as unit:
            if (bulk := _bulk_delete(unit, due, exempt)) is not None:
                n = await bulk.count_past(due)
                return DueCount(n, max(n, await unit.size(due.table)))
            exempt_names, n, unknown = await _exempt_records(unit, due, exempt), 0, 0
            async for page in _pages(unit, due):
                unknown += sum(record.country is None for record in page) if due.country else 0
                n += sum(_is_due(record, due) and record.name not in exempt_names for record in page)
            return DueCount(n, max(n, await unit.size(due.table)), unknown)
    except Refused as refused:
        return refused


async def sweep(
    system: System, due: Sequence[DueRecords], exempt: Exemptions, report_step: SweepStep
) -> list[SweepResult | Refused]:
    """Deletes or anonymises what is due: places that refer to others first, and deletions before other changes."""
    async with system.unit() as unit:
        place = {name: n for n, name in enumerate(unit.order)}
    done: dict[DueRecords, SweepResult | Refused] = {}
    for each in sorted(due, key=lambda each: (place.get(each.table, 0), each.then != "delete")):
        try:
            done[each] = await _sweep(system, each, exempt, report_step)
        except Refused as refused:
            done[each] = refused
    return [done[each] for each in due]


async def _sweep(system: System, due: DueRecords, exempt: Exemptions, report_step: SweepStep) -> SweepResult:
    async with system.unit() as unit:
        unread = _bulk_delete(unit, due, exempt) is not None
        exempt_names = set[RecordName]() if unread else await _exempt_records(unit, due, exempt)
    if unread:
        return await _delete_unread(system, due, exempt, report_step)
    removed, kept, referenced = 0, set[RecordName](), True
    kind = ChangeKind.DELETE if due.then == "delete" else ChangeKind.ANONYMISE
    while referenced:  # a record to which a deleted one referred goes in the next round
        referenced, before, last = False, removed, None
        while True:
            await report_step(due, 0)
            async with system.unit() as unit:
                page = await unit.past(due, last, most=PAGE)
                due_here = [record for record in page if due.country in {None, record.country}]
                to_remove = [record for record in due_here if _is_due(record, due) and record.name not in exempt_names]
                kept |= {record.name for record in due_here} - {record.name for record in to_remove}
                changes = [RecordChange(kind, to_remove[0].shape, to_remove)] if to_remove else []
                done = sum((await unit.apply(changes, skip_referenced=True)).rows) if changes else 0
            if not page:
                break
            removed, last, referenced = removed + done, page[-1], referenced or done < len(to_remove)
            await report_step(due, done)
        referenced &= removed > before
    return SweepResult(removed, len(kept), complete=not kept and removed >= due.about)


def _bulk_delete(unit: Unit, due: DueRecords, exempt: Exemptions) -> BulkDelete | None:
    """Returns the unit if it may delete unread; None if a record's state, country or subject must be judged first."""
    shape = next(shape for shape in unit.shapes if shape.place == due.table)
    judged = due.then != "delete" or due.country is not None or shape.states or exempt.get(shape.category)
    return unit if not judged and isinstance(unit, BulkDelete) and unit.clears_past(due) else None


async def _delete_unread(system: System, due: DueRecords, exempt: Exemptions, report_step: SweepStep) -> SweepResult:
    removed = 0
    while True:
        await report_step(due, 0)
        async with system.unit(known=True) as unit:
            bulk = _bulk_delete(unit, due, exempt)
            done = await bulk.clear_past(due, CLEARED) if bulk else 0
        if not done:
            return SweepResult(removed, 0, complete=removed >= due.about)
        removed += done
        await report_step(due, done)


def _is_due(record: Record, due: DueRecords) -> bool:
    """Whether the ceiling applies to a record and no state of it forbids an erasure."""
    return due.country in {None, record.country} and all(lasts is False for lasts in record.states)


async def _pages(unit: Unit, due: DueRecords) -> AsyncIterator[Sequence[Record]]:
    last: Record | None = None
    while page := await unit.past(due, last, most=PAGE):
        yield page
        last = page[-1]


async def _exempt_records(unit: Unit, due: DueRecords, exempt: Exemptions) -> set[RecordName]:
    """Returns the records of the place that belong to exempt people."""
    category = next(shape.category for shape in unit.shapes if shape.place == due.table)
    tasks = exempt.get(category, ())
    found = await find_records(unit, [subject_search(task, unit.shapes) for task in tasks]) if tasks else []
    return {name for each in found for name in each.records if name[0] == due.table}
