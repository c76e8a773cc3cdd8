"""Deletes records that are past a ceiling of the policy (Art. 5(1)(e)), one page in each transaction.

It notes nothing: after a crash the records that are gone are no longer due.
"""

from collections.abc import AsyncIterator, Sequence

from shared.domain.errors import Refused
from shared.systems.engine.looking import look
from shared.systems.engine.ownership import subject
from shared.systems.engine.records import Change, Clearing, Kind, Name, Record, System, Unit
from shared.systems.sweepable import Counted, Due, Exemptions, GoOn, Swept

PAGE = 1_000
"""Records in one transaction."""
CLEARED = 20_000
"""Records in one transaction that deletes without reading."""


async def count(system: System, due: Due, spared: Exemptions) -> Counted | Refused:
    """Counts the records that are due and not exempt, and all records of the place."""
    try:
        async with system.unit(reading=True) as unit:
            if (clearing := _unread(unit, due, spared)) is not None:
                n = await clearing.count_past(due)
                return Counted(n, max(n, await unit.size(due.table)))
            stay, n, unknown = await _spared(unit, due, spared), 0, 0
            async for page in _pages(unit, due):
                unknown += sum(record.country is None for record in page) if due.country else 0
                n += sum(_goes(record, due) and record.name not in stay for record in page)
            return Counted(n, max(n, await unit.size(due.table)), unknown)
    except Refused as refused:
        return refused


async def sweep(system: System, due: Sequence[Due], spared: Exemptions, go_on: GoOn) -> list[Swept | Refused]:
    """Deletes or anonymises what is due: places that refer to others first, and deletions before other changes."""
    async with system.unit() as unit:
        place = {name: n for n, name in enumerate(unit.order)}
    done: dict[Due, Swept | Refused] = {}
    for each in sorted(due, key=lambda each: (place.get(each.table, 0), each.then != "delete")):
        try:
            done[each] = await _sweep(system, each, spared, go_on)
        except Refused as refused:
            done[each] = refused
    return [done[each] for each in due]


async def _sweep(system: System, due: Due, spared: Exemptions, go_on: GoOn) -> Swept:
    async with system.unit() as unit:
        unread = _unread(unit, due, spared) is not None
        stay = set[Name]() if unread else await _spared(unit, due, spared)
    if unread:
        return await _clear(system, due, spared, go_on)
    gone, left, tied = 0, set[Name](), True
    kind = Kind.DELETE if due.then == "delete" else Kind.ANONYMISE
    while tied:  # a record to which a deleted one referred goes in the next round
        tied, before, last = False, gone, None
        while True:
            await go_on(due, 0)
            async with system.unit() as unit:
                page = await unit.past(due, last, most=PAGE)
                due_here = [record for record in page if due.country in {None, record.country}]
                going = [record for record in due_here if _goes(record, due) and record.name not in stay]
                left |= {record.name for record in due_here} - {record.name for record in going}
                changes = [Change(kind, going[0].shape, going)] if going else []
                done = sum((await unit.apply(changes, skip_tied=True)).rows) if changes else 0
            if not page:
                break
            gone, last, tied = gone + done, page[-1], tied or done < len(going)
            await go_on(due, done)
        tied &= gone > before
    return Swept(gone, len(left), complete=not left and gone >= due.about)


def _unread(unit: Unit, due: Due, spared: Exemptions) -> Clearing | None:
    """Returns the unit if it may delete unread; None if a record's state, country or subject must be judged first."""
    shape = next(shape for shape in unit.shapes if shape.place == due.table)
    judged = due.then != "delete" or due.country is not None or shape.states or spared.get(shape.category)
    return unit if not judged and isinstance(unit, Clearing) and unit.clears_past(due) else None


async def _clear(system: System, due: Due, spared: Exemptions, go_on: GoOn) -> Swept:
    gone = 0
    while True:
        await go_on(due, 0)
        async with system.unit(known=True) as unit:
            clearing = _unread(unit, due, spared)
            done = await clearing.clear_past(due, CLEARED) if clearing else 0
        if not done:
            return Swept(gone, 0, complete=gone >= due.about)
        gone += done
        await go_on(due, done)


def _goes(record: Record, due: Due) -> bool:
    """Whether the ceiling applies to a record and no state of it forbids an erasure."""
    return due.country in {None, record.country} and all(lasts is False for lasts in record.states)


async def _pages(unit: Unit, due: Due) -> AsyncIterator[Sequence[Record]]:
    last: Record | None = None
    while page := await unit.past(due, last, most=PAGE):
        yield page
        last = page[-1]


async def _spared(unit: Unit, due: Due, spared: Exemptions) -> set[Name]:
    """Returns the records of the place that belong to exempt people."""
    category = next(shape.category for shape in unit.shapes if shape.place == due.table)
    tasks = spared.get(category, ())
    found = await look(unit, [subject(task, unit.shapes) for task in tasks]) if tasks else []
    return {name for each in found for name in each.records if name[0] == due.table}
