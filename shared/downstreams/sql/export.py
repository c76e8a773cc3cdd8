"""What the subject is shown of their rows (Art. 15, 20), and what of other people's is not (Art. 15(4))."""

from base64 import b64encode
from collections import Counter
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from pydantic import JsonValue

from shared.domain.errors import Refused
from shared.domain.identities import IdentityType
from shared.domain.operations import TaskOutcome
from shared.domain.policy import Other, Policy
from shared.domain.release import LEFT, WITHHELD, Match, read_number
from shared.downstreams.contract import Receipt, Record, Result, Task
from shared.downstreams.protocols import HandOver
from shared.downstreams.results import per_task
from shared.downstreams.sql.changing import stated
from shared.downstreams.sql.changing.stated import Stated
from shared.downstreams.sql.declaration.columns import Column
from shared.downstreams.sql.declaration.tables import Table
from shared.downstreams.sql.finding import examination
from shared.downstreams.sql.finding.attribution import Row, each_row
from shared.downstreams.sql.finding.search_keys import Slot
from shared.downstreams.sql.keeping import rows as kept_rows
from shared.downstreams.sql.statements import Statements
from shared.downstreams.sql.store import Session

_BATCH = 1_000
"""Rows that are read at once."""
_PART = 2_000
"""Records of one subject that are handed over together."""
_HELD = 20_000
"""Records of all subjects that are held."""
_LEAST = 6
"""Characters of base64 that are taken for a value, and not for a chance."""


async def export(
    session: Session, policy: Policy, tasks: Sequence[Task], hand_over: HandOver | None = None
) -> list[Result]:
    """Every row of every subject, table by table, as of one moment, with one query per table for all of them.

    A copy has no limit (Art. 15): what is too much to be held is handed over while it is read.
    """
    refused = await examination.refusals(session, tasks)
    read = [task for task in tasks if task.task_id not in refused]
    found = {task.task_id: _Found(task.task_id) for task in read}
    async with session.connection.transaction(isolation="repeatable_read", readonly=True):
        for table in session.tables:
            sheet = Sheet(session.system, table, policy.redacts(table.table.category))
            await _read(session, table, sheet, read, list(found.values()), hand_over)
    held: dict[UUID, _Found | Refused] = {**found, **refused}
    return per_task(tasks, held, lambda _, theirs: theirs.receipt())


async def _read(
    session: Session,
    table: Statements,
    sheet: "Sheet",
    tasks: Sequence[Task],
    found: Sequence["_Found"],
    hand_over: HandOver | None,
) -> None:
    """Every row of one table, split by subject."""
    columns = tuple(table.table.columns)
    if asked := table.wanted(tasks):
        met: set[tuple[object, ...]] = set()
        said = await stated.of_subjects(session, table, asked)
        kept = await kept_rows.kept_of(session, table, asked)
        async for rows in batches(session, table.select(columns), asked.arrays):
            for row, owners in each_row(rows, len(columns), table, asked, met):
                for position, parties in owners.items():
                    record = sheet.record(row, parties, said)
                    if kept_rows.is_kept(kept, row, len(columns), table, parties):
                        record = replace(record, portable=False, not_provided=(), states={**record.states, LEFT: True})
                    found[position].add(record)
            if hand_over:
                await _hand_over(found, hand_over)


@dataclass(slots=True)
class _Found:
    """What was found for one task: what is held of it, and what of it was handed over."""

    task_id: UUID
    held: list[Record] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    parts: int = 0

    def __bool__(self) -> bool:
        return bool(self.counts)

    def add(self, record: Record) -> None:
        self.held.append(record)
        self.counts[record.category] += 1

    def receipt(self) -> Receipt:
        """What is told of it."""
        n, outcome = self.counts.total(), TaskOutcome.EXPORTED
        counted = Receipt(self.task_id, outcome, found=n, remaining=n, by_category=self.counts)
        return replace(counted, records=tuple(self.held), parts=self.parts)


async def batches(session: Session, query: str, arrays: Sequence[Any]) -> AsyncIterator[Sequence[Row]]:
    """The rows of a query within a transaction, so many at a time."""
    cursor = await session.connection.cursor(query, *arrays)
    while rows := await cursor.fetch(_BATCH):
        yield rows
        if len(rows) < _BATCH:
            return


async def _hand_over(found: Sequence[_Found], hand_over: HandOver) -> None:
    """Hands over what is a part, and of the others the largest until what is held together is bounded."""
    held = sum(len(theirs.held) for theirs in found)
    for theirs in sorted(found, key=lambda theirs: -len(theirs.held)):
        if len(theirs.held) < _PART and held < _HELD:
            return
        await hand_over(theirs.task_id, theirs.held)
        held -= len(theirs.held)
        theirs.held = []
        theirs.parts += 1


class Sheet:
    """How rows of one table are written down, worked out once for every combination of parties that is met.

    ``redacts``: whose part of a row is left out of the copy of somebody else, as the policy says (Art. 15(4)).
    """

    def __init__(self, system: str, statements: Statements, redacts: Collection[Other]) -> None:
        self._redacts = redacts
        self._source = f"{system}.{statements.name}"
        self._statements = statements
        self._table, self._tenancy = statements.table, statements.tenancy
        self._columns = tuple(statements.table.columns.items())
        self._finders = statements.finders
        self._told_by = statements.told_by
        self._layouts: dict[tuple[frozenset[str | None], frozenset[tuple[str, Other]]], _Layout] = {}
        self._zones, self._regions = statements.zones, statements.regions
        shown = [(c.label or name, c.portable) for name, c in self._columns if c.shown]
        self._portable = any(portable for _, portable in shown)
        places = {name: position for position, (name, _) in enumerate(self._columns)}
        self._key = [places[name] for name in self._table.primary_key]
        numbers = [(name, c.of) for name, c in self._columns if c.identity is IdentityType.PHONE]
        self._e164 = {dialled: places[name] for name, dialled in numbers if dialled}
        anchors = self._table.anchors.items()
        self._anchored = {name: (places[each.column], each.timezone) for name, each in anchors}
        self._not_provided = tuple(label for label, portable in shown if not portable)

    def record(self, row: Row, mine: set[str | None], said: Stated | None = None) -> Record:
        table = self._table
        others = _hidden(table, row, mine, self._redacts) if table.parties else {}
        met = (frozenset(mine), frozenset(others.items()))
        layout = self._layouts.get(met)
        if layout is None:
            layout = self._layouts[met] = self._layout(mine, others)
        data = {
            label: WITHHELD if c is None else _readable(row[e164] or row[i], c, table)
            for e164, i, label, c in layout.shown
        }
        hidden = layout.hidden
        secrets = {form for party in others for value in _identifying(table, row, party) for form in _forms(str(value))}
        if secrets:  # nor may it stand in some other field, such as a call id
            data = {
                label: WITHHELD
                if isinstance(value, str) and any(secret in value or secret in value.lower() for secret in secrets)
                else value
                for label, value in data.items()
            }
            hidden = (
                dict.fromkeys((label for label, value in data.items() if value == WITHHELD), Other.WITHHELD) | hidden
            )
        if said and (theirs := stated.shown(said, self._statements, self.key(row), mine)):
            data[stated.FIELD] = theirs
        given = self._portable, self._matched(row), self._not_provided if self._portable else ()
        return Record(table.category, self._source, data, *given, self._anchors(row), hidden=hidden)

    def key(self, row: Row) -> tuple[Any, ...]:
        """The primary key of a row."""
        return tuple(row[place] for place in self._key)

    def _anchors(self, row: Row) -> Mapping[str, date]:
        """From when periods count for it; a time without a zone is one of the table's."""
        anchors: dict[str, date] = {}
        for name, (position, zone) in self._anchored.items():
            value = row[position]
            if isinstance(value, datetime):
                anchors[name] = examination.as_utc(value, zone)
            elif isinstance(value, date):
                anchors[name] = value
        return anchors

    def _matched(self, row: Row) -> tuple[Match, ...]:
        """Whatever of the row could have found it, the subject's or not, when it happened, and whose row it is."""
        first = len(self._columns)
        times = first + len(self._finders)
        matches = []
        for value, finder in zip(row[first:], self._finders, strict=False):
            if value is not None:
                at = row[times + finder.time]
                moment = None if at is None else examination.as_utc(at, self._zones[finder.time])
                read = self._read(finder.slot, value)
                matches.append(Match(finder.slot[1], read, moment, self._owner(row, times, finder.time)))
        return tuple(matches)

    def _owner(self, row: Row, times: int, time: int) -> str | None:
        """For whom it is processed, as the row itself says it, or the one that it leads to."""
        if self._table.tenant:
            return self._tenancy.owner(row[self._table.tenant])
        return self._tenancy.owner(row[times + len(self._told_by) + time - 1]) if self._told_by[time] else None

    def _read(self, slot: Slot, value: str) -> str:
        """A value in the spelling of identities, as far as its table says how it is dialled."""
        region = self._regions[slot]
        return read_number(value, region) if region and slot[1] is IdentityType.PHONE else value

    def _layout(self, mine: Collection[str | None], others: Mapping[str, Other]) -> "_Layout":
        """What is shown of a row, and what is not; ``others``: parties whose part of it is withheld, and why."""
        layout = _Layout()
        for position, (name, column) in enumerate(self._columns):
            own, label = column.party is None or column.party in mine, column.label or name
            if not column.shown:
                continue
            if own or column.others == "show" or Other.OTHERS not in self._redacts:
                withheld = None if own else others.get(column.party or "")
                layout.shown.append((self._e164.get(name, position), position, label, None if withheld else column))
                if withheld:
                    layout.hidden[label] = withheld
            else:
                layout.hidden[label] = Other.OTHERS
        return layout


@dataclass(slots=True)
class _Layout:
    """Position of its E.164 form, position, label and column of what is shown; no column where it is withheld.

    ``hidden``: why, by label.
    """

    shown: list[tuple[int, int, str, Column | None]] = field(default_factory=list)
    hidden: dict[str, str] = field(default_factory=dict)


def _hidden(table: Table, row: Row, mine: set[str | None], redacts: Collection[Other]) -> Mapping[str, Other]:
    """Other parties of the row who withheld their number, or with whom the subject had nothing to do (Art. 15(4)).

    A requester always sees what they dialled themselves.
    """
    hidden: dict[str, Other] = {}
    for name, party in table.parties.items():
        if name in mine:
            continue
        if Other.WITHHELD in redacts and party.withheld and party.withheld.hides(row[party.withheld.column]):
            hidden[name] = Other.WITHHELD
        elif Other.UNCONCERNED in redacts and _is_unconcerned(table, row, name, mine):
            hidden[name] = Other.UNCONCERNED
    return hidden


def _is_unconcerned(table: Table, row: Row, party: str, mine: set[str | None]) -> bool:
    seen_by = table.parties[party].seen_by
    return seen_by is not None and mine.isdisjoint(seen_by) and not _is_same(table, row, party)


def _is_same(table: Table, row: Row, party: str) -> bool:
    """Whether the row shows a party to be the other one that it mostly is."""
    if (other := table.parties[party].same_as) is None:
        return False
    theirs = _identifying(table, row, other)
    return not theirs or not set(theirs).isdisjoint(_identifying(table, row, party))


def _forms(value: str) -> set[str]:
    """How a value may stand in some other field, such as a call id: as it is, in hexadecimal, in base64.

    Whether a number is written with + or 00, escaped, or neither, the digits stand in it. In base64 it looks otherwise
    at each of three places; what depends on its neighbours is left out.
    """
    plain = value.lstrip("+")
    coded = (b64encode(b"\0" * before + plain.encode()).decode().rstrip("=") for before in range(3))
    inner = (text[(0, 2, 3)[before] : -1] for before, text in enumerate(coded))
    return {plain, plain.encode().hex(), *(text for text in inner if len(text) >= _LEAST)} - {""}


def _identifying(table: Table, row: Row, party: str) -> list[Any]:
    nobody = {None, *table.parties[party].nobody}
    held = (row[name] for name, column in table.columns.items() if column.party == party and column.personal == "A")
    return [value for value in held if value not in nobody]


def _readable(value: Any, column: Column, table: Table) -> JsonValue:
    """A value as it is shown: times with their zone, codes in words."""
    shown: JsonValue
    if value is None or (type(value) is str and not column.codes):  # most values are, and need no look at the rest
        return value
    match value:
        case datetime():
            shown = (value if value.tzinfo else value.replace(tzinfo=table.timezone)).isoformat()
        case date() | time():
            shown = value.isoformat()
        case timedelta():
            shown = value.total_seconds()
        case Decimal():
            shown = float(value)
        case str() | int():
            shown = column.codes.get(str(value), value)
        case float():
            shown = value
        case list():
            shown = [_readable(item, column, table) for item in value]
        case _:
            shown = str(value)
    return shown
