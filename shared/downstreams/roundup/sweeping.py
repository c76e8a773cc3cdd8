"""What of a tracker is past a ceiling goes by night, whoever it is about (Art. 5(1)(e)): tickets by their resolution.

A ticket goes with its messages, its files and their history, for which REST has no way: the routes in
``deploy/downstreams/roundup/tracker/interfaces.py`` have. In a tracker without them nothing goes, and all is missed.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime, time
from functools import partial
from itertools import chain
from typing import Final, TypeVar

from shared.domain.errors import NotSupported, Refused
from shared.downstreams.roundup import directory
from shared.downstreams.roundup.answers import COUNT, FIELDS, IDS, member
from shared.downstreams.roundup.settings import RoundupSettings
from shared.downstreams.roundup.tracker import CHUNK, Tracker, batches
from shared.downstreams.sweepable import Counted, Dated, Due, GoOn, Spared, Swept

RESOLVED: Final = "resolved"
"""What the ceilings of the policy call the end of a ticket."""
_TICKET: Final = "ticket"
T = TypeVar("T")


class Ending:
    """The part of the adapter of a tracker that lets its tickets end (``Sweepable``)."""

    _tracker: Tracker
    _settings: RoundupSettings

    @property
    def dated(self) -> Sequence[Dated]:
        """Tickets, by the field with the time of their resolution, if one is declared."""
        field = self._settings.resolved_on
        return (Dated("issue", _TICKET, {RESOLVED: field}),) if field else ()

    async def count(self, due: Sequence[Due], spared: Spared) -> list[Counted | Refused]:
        """How many tickets are due of each."""
        return [await _or_refused(partial(_count, self._tracker, self._field, each, spared)) for each in due]

    async def sweep(self, due: Sequence[Due], spared: Spared, go_on: GoOn) -> list[Swept | Refused]:
        """Lets each go; a ticket that was opened again meanwhile stays."""
        return [await _or_refused(partial(_sweep, self._tracker, self._field, each, spared, go_on)) for each in due]

    @property
    def _field(self) -> str:
        return self._settings.resolved_on or ""


async def _or_refused(step: Callable[[], Awaitable[T]]) -> T | Refused:
    try:
        return await step()
    except Refused as refused:
        return refused


async def _count(tracker: Tracker, field: str, due: Due, spared: Spared) -> Counted:
    stay, n = await _spared(tracker, spared), 0
    async for page in _pages(tracker, field, due):
        n += len({*page} - stay)
    rows = member(await _past(tracker, field, due, "0"), "rows", COUNT, tracker.system)
    return Counted(n, max(n, rows))


async def _sweep(tracker: Tracker, field: str, due: Due, spared: Spared, go_on: GoOn) -> Swept:
    stay, gone, left = await _spared(tracker, spared), 0, 0
    async for page in _pages(tracker, field, due):
        left += len(stay & {*page})
        for some in batches([each for each in page if each not in stay], CHUNK):
            await go_on(due, 0)
            asked = {"tickets": some, "field": field, "before": _moment(due)}
            answer = await tracker.privacy("expire", asked, FIELDS)
            if answer is None:
                raise _no_way(tracker)
            done = len({*member(answer, "gone", IDS, tracker.system)} & {*some})
            gone += done
            await go_on(due, done)
    return Swept(gone, left)


async def _spared(tracker: Tracker, spared: Spared) -> set[str]:
    """The tickets of people whose data stay, and those on which they have written: rather too many than too few."""
    tasks = spared.get(_TICKET, ())
    if not tasks:
        return set()
    found = await directory.people(tracker, chain.from_iterable(task.identities for task in tasks))
    theirs = await directory.records(tracker, [person.id for person in found])
    messages = {one for records in theirs.values() for one in records.get("msg", ())}
    tickets = {one for records in theirs.values() for one in records.get("issue", ())}
    on = await tracker.search_links("issue", "messages", "messages", messages) if messages else ()
    return tickets | {str(ticket["id"]) for ticket in on}


async def _pages(tracker: Tracker, field: str, due: Due) -> AsyncIterator[Sequence[str]]:
    """The ids of the tickets that are due, retired ones too, in their order."""
    last = "0"
    while page := member(await _past(tracker, field, due, last), "tickets", IDS, tracker.system):
        last = page[-1]
        yield page


async def _past(tracker: Tracker, field: str, due: Due, after: str) -> object:
    asked = {"field": field, "before": _moment(due), "after": after}
    answer = await tracker.privacy("past", asked, FIELDS)
    if answer is None:
        raise _no_way(tracker)
    return answer


def _no_way(tracker: Tracker) -> NotSupported:
    return NotSupported(
        f"{tracker.system} has no route to remove a ticket with its history: put interfaces.py and lib of"
        " deploy/downstreams/roundup/tracker into its home"
    )


def _moment(due: Due) -> str:
    """The beginning of the first day that is kept, as the tracker writes a time: in UTC."""
    midnight = datetime.combine(due.first_kept, time(), due.zone).astimezone(UTC)
    return f"{midnight:%Y-%m-%d.%H:%M:%S}"
