"""Finding the records of subjects and judging whose they are, page by page."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from shared.systems.engine.ownership import Attribution, Attributor, Mine
from shared.systems.engine.records import Span, Subject, Unit


class TooMany(Exception):
    """More was found than one transaction holds."""


async def look(
    unit: Unit,
    sought: Sequence[Subject],
    *,
    lock: bool = False,
    data: bool = False,
    hidden: Sequence[Span] = (),
    most: int | None = None,
) -> list[Attribution]:
    """Everything of each subject; ``lock``: nobody else changes it before the unit ends; ``most``: no more than that.

    Raises:
        TooMany: there is more, of several subjects or of one.
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
    """The same page by page, each record with the place of its subject.

    What nothing that comes later is judged by is forgotten once it was seen.
    """
    if any(each.keys for each in sought):
        async with aclosing(unit.find(sought, data=data)) as found:
            async for page in found:
                theirs = attributor.add(page)
                yield theirs
                attributor.forget(theirs)


async def left_by_erasures(unit: Unit, sought: Sequence[Subject]) -> Sequence[Span]:
    """In which times an erasure has left what the numbers of these subjects find."""
    if unit.numbers is None or not any(shape.keeps is not None for shape in unit.shapes):
        return ()
    return await unit.numbers.kept({key.value for each in sought for keys in each.keys.values() for key in keys})
