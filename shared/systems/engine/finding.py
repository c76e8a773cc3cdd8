"""Finds the records of subjects and attributes them, page by page."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from shared.systems.engine.ownership import OwnedRecord, OwnershipResolver, SubjectRecords
from shared.systems.engine.records import NumberPeriod, SubjectSearch, Unit


class TooManyRecords(Exception):
    """More records were found than one transaction holds."""


async def find_records(
    unit: Unit,
    searches: Sequence[SubjectSearch],
    *,
    lock: bool = False,
    data: bool = False,
    hidden: Sequence[NumberPeriod] = (),
    most: int | None = None,
) -> list[SubjectRecords]:
    """Returns all records of each subject; ``lock``: lock them until the unit ends; ``most``: raise above that number.

    Raises:
        TooMany: more than ``most`` records were found, of one subject or several
    """
    attributor, found = OwnershipResolver(searches, unit.shapes, hidden), 0
    if any(each.keys for each in searches):
        async with aclosing(unit.find(searches, lock=lock, data=data, most=most)) as pages_of:
            async for page in pages_of:
                found += len(page)
                if most is not None and found > most:
                    raise TooManyRecords
                attributor.add(page)
    return attributor.found


async def find_pages(
    unit: Unit, attributor: OwnershipResolver, searches: Sequence[SubjectSearch], *, data: bool
) -> AsyncGenerator[Sequence[tuple[int, OwnedRecord]]]:
    """Yields attributed records page by page, each with the position of its subject.

    A record that no later one depends on is dropped after its page.
    """
    if any(each.keys for each in searches):
        async with aclosing(unit.find(searches, data=data)) as found:
            async for page in found:
                found_here = attributor.add(page)
                yield found_here
                attributor.forget(found_here)


async def kept_number_periods(unit: Unit, searches: Sequence[SubjectSearch]) -> Sequence[NumberPeriod]:
    """Returns the periods in which an erasure kept records of these subjects' numbers."""
    if unit.numbers is None or not any(shape.kept_fields is not None for shape in unit.shapes):
        return ()
    return await unit.numbers.kept({key.value for each in searches for keys in each.keys.values() for key in keys})
