"""Finds the records of subjects and attributes them, page by page."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from shared.systems.engine.ownership import Attribution, Attributor, Mine
from shared.systems.engine.records import Span, Subject, Unit


class TooMany(Exception):
    """More records were found than one transaction holds."""


async def look(
    unit: Unit,
    sought: Sequence[Subject],
    *,
    lock: bool = False,
    data: bool = False,
    hidden: Sequence[Span] = (),
    most: int | None = None,
) -> list[Attribution]:
    """Returns all records of each subject; ``lock``: lock them until the unit ends; ``most``: raise above that number.

    Raises:
        TooMany: more than ``most`` records were found, of one subject or several
    """
    attributor, found = Attributor(sought, unit.shapes, hidden), 0
    if any(each.keys for each in sought):
        async with aclosing(unit.find(sought, lock=lock, data=data, most=most)) as pages_of:
            async for page in pages_of:
                found += len(page)
                if most is not None and found > most:
                    raise TooMany
                attributor.add(page)
    return attributor.found


async def pages(
    unit: Unit, attributor: Attributor, sought: Sequence[Subject], *, data: bool
) -> AsyncGenerator[Sequence[tuple[int, Mine]]]:
    """Yields attributed records page by page, each with the position of its subject.

    A record that no later one depends on is dropped after its page.
    """
    if any(each.keys for each in sought):
        async with aclosing(unit.find(sought, data=data)) as found:
            async for page in found:
                found_here = attributor.add(page)
                yield found_here
                attributor.forget(found_here)


async def left_by_erasures(unit: Unit, sought: Sequence[Subject]) -> Sequence[Span]:
    """Returns the periods in which an erasure kept records of these subjects' numbers."""
    if unit.numbers is None or not any(shape.keeps is not None for shape in unit.shapes):
        return ()
    return await unit.numbers.kept({key.value for each in sought for keys in each.keys.values() for key in keys})
