"""Which identities of a task may be searched in a table, each with the period in which a row is the subject's."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import IntEnum
from typing import NamedTuple
from zoneinfo import ZoneInfo

from shared.domain.assignments import NUMBERS
from shared.domain.identities import Identity, IdentityType
from shared.domain.spellings import spellings
from shared.domain.text import forms
from shared.downstreams.contract import Task
from shared.downstreams.sql.catalog import Relation
from shared.downstreams.sql.declaration.tables import Table

ZONELESS = "timestamp without time zone"
_UTC = ZoneInfo("UTC")

Slot = tuple[str, IdentityType]
"""Where somebody is searched: in the identities of one type that a table holds."""
_SECOND = timedelta(seconds=1)


class Coverage(IntEnum):
    """How many of some rows are the subject's, so that of several answers the greatest holds."""

    OUTSIDE = 0
    """None."""
    STRADDLES = 1
    """Some: they must be counted one by one."""
    INSIDE = 2
    """All."""


class SearchKey(NamedTuple):
    """One searchable identity; ``since``/``until`` half-open in the table's own time, ``None`` for no bound.

    In a table whose time is a day they are days: those that lie in the period as a whole. On its first and last day the
    number may have been another person's. ``table``: whose columns are compared with it.
    """

    type: IdentityType
    value: str
    since: date | None = None
    until: date | None = None
    table: str = ""

    @property
    def slot(self) -> Slot:
        """Where it is searched."""
        return self.table, self.type

    def covers(self, first: date | None, last: date | None) -> Coverage:
        """How much of the rows from ``first`` to ``last`` lies in the period; a row without a time lies in none."""
        if self.since is None and self.until is None:
            return Coverage.INSIDE
        if first is None or last is None:
            return Coverage.OUTSIDE if first is last else Coverage.STRADDLES
        if (self.since is None or self.since <= first) and (self.until is None or last < self.until):
            return Coverage.INSIDE
        if (self.since is not None and last < self.since) or (self.until is not None and first >= self.until):
            return Coverage.OUTSIDE
        return Coverage.STRADDLES


def keys_of(task: Task, name: str, table: Table, relation: Relation) -> tuple[SearchKey, ...]:
    """The keys of one task in the table of that name (REQ-N1).

    In a table with times a number, or a SIP address, finds rows of its period only, so one without ``valid_from`` finds
    nothing. A table without times shows the present: there it finds something unless it is somebody else's by now. What
    is not ASCII is searched for in both of its forms (NFC, NFD): no index would help to compare the column in one.
    """
    type_ = relation.types[table.occurred.column] if table.occurred else ""
    keys: list[SearchKey] = []
    for identity in task.identities:
        if identity.type not in table.types:
            continue
        if table.occurred is None:
            if identity.valid_to is None:
                keys += [SearchKey(identity.type, form, table=name) for form in spelled(identity, table)]
        elif identity.valid_from is not None or identity.type not in NUMBERS:
            since, until = _in_own_time(identity, table.timezone, type_)
            keys += [SearchKey(identity.type, form, since, until, table=name) for form in spelled(identity, table)]
    return tuple(dict.fromkeys(keys)) if len(keys) > 1 else tuple(keys)


def _in_own_time(identity: Identity, zone: ZoneInfo, type_: str) -> tuple[date | None, date | None]:
    """The period of an identity in the terms of a column of that type; where it is not sure, the shorter one."""
    since, until = identity.valid_from, identity.valid_to
    match type_:
        case "date":
            begun, ended = (moment and moment.astimezone(zone) for moment in (since, until))
            whole = begun and begun.date() + timedelta(days=begun.time() > time())
            return whole, ended and ended.date()
        case "timestamp without time zone":
            earlier = until and wall_clock(until, zone, earliest=True)
            return since and wall_clock(since, zone, earliest=False), earlier
        case _:
            return since, until


def spelled(identity: Identity, table: Table) -> Sequence[str]:
    """How it may stand in the table."""
    if identity.type is IdentityType.PHONE and table.region:
        return spellings(identity.value, table.region)
    return forms(identity.value)


def wall_clock(moment: datetime, zone: ZoneInfo, *, earliest: bool) -> datetime:
    """A moment as a switch without time zone writes it.

    In the hour that autumn repeats, a row can be before or after the moment: the bound moves to the edge of that hour,
    so that a row that may be another person's belongs to nobody.
    """
    if zone is _UTC:
        return moment.astimezone(UTC).replace(tzinfo=None)
    naive = moment.astimezone(zone).replace(tzinfo=None)
    first, second = naive.replace(tzinfo=zone, fold=0), naive.replace(tzinfo=zone, fold=1)
    gained = (first.utcoffset() or timedelta()) - (second.utcoffset() or timedelta())
    if gained <= timedelta():
        return naive
    low, high = first.astimezone(UTC), second.astimezone(UTC)
    before = low.astimezone(zone).utcoffset()
    while high - low > _SECOND:
        middle = low + (high - low) / 2
        low, high = (middle, high) if middle.astimezone(zone).utcoffset() == before else (low, middle)
    turned_back = high.replace(microsecond=0).astimezone(zone).replace(tzinfo=None)
    return turned_back if earliest else turned_back + gained


@dataclass(frozen=True, slots=True)
class Wanted:
    """The keys of many tasks for one table: whose is a value, and the arrays to search for."""

    owners: Mapping[Slot, Mapping[str, Sequence[tuple[int, SearchKey]]]]
    arrays: tuple[list[str], ...]
    """One array of distinct values per slot, in the order of the slots."""

    def __bool__(self) -> bool:
        return any(self.arrays)


def wanted(keys: Iterable[Sequence[SearchKey]], slots: Sequence[Slot]) -> Wanted:
    """Bring together what tasks search for, given the keys of each in the order of their positions."""
    owners: dict[Slot, dict[str, list[tuple[int, SearchKey]]]] = {slot: {} for slot in slots}
    for position, own in enumerate(keys):
        for key in own:
            owners[key.slot].setdefault(key.value, []).append((position, key))
    return Wanted(owners, tuple(list(owners[slot]) for slot in slots))
