"""What the subject is shown of their rows (Art. 15, 20), and what of other people's is not (Art. 15(4))."""

from base64 import b64encode
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from shared.domain.errors import Refused
from shared.domain.identities import IdentityType
from shared.domain.operations import TaskOutcome
from shared.domain.release import WITHHELD, Match, read_number
from shared.downstreams.contract import Pending, Receipt, Record, Result, Task
from shared.downstreams.results import per_task
from shared.downstreams.sql import examination, itemised
from shared.downstreams.sql.attribution import Row, each_row
from shared.downstreams.sql.columns import Column
from shared.downstreams.sql.readable import readable
from shared.downstreams.sql.search_keys import Slot
from shared.downstreams.sql.statements import Statements
from shared.downstreams.sql.store import Session
from shared.downstreams.sql.tables import Table

_AT_ONCE = timedelta()
_LEAST = 6
"""Characters of base64 that are taken for a value, and not for a chance."""


async def export(session: Session, tasks: Sequence[Task]) -> list[Result]:
    """Every row of every subject, counted before any of it is read.

    Who has more than one request may touch waits for two persons; who no longer fits beside the others comes again.
    """
    rows = dict(await examination.count(session, tasks))
    for task in (task for task in tasks if task.lines):
        rows[task.task_id] += await itemised.count(session, task)
    excess = ((task, session.settings.excess(task, rows=rows[task.task_id])) for task in tasks)
    results: dict[UUID, Result] = {task.task_id: failure for task, failure in excess if failure is not None}
    fitting: list[Task] = []
    room = session.settings.max_rows
    for task in (task for task in tasks if task.task_id not in results):
        if fitting and rows[task.task_id] > room:
            results[task.task_id] = Pending(task.task_id, _AT_ONCE)
            continue
        room -= rows[task.task_id]
        fitting.append(task)
    read = await _read(session, fitting) if fitting else []
    results |= {task.task_id: result for task, result in zip(fitting, read, strict=True)}
    return [results[task.task_id] for task in tasks]


async def _read(session: Session, tasks: Sequence[Task]) -> list[Result]:
    """One query per table for all of them, split by subject."""
    records: list[list[Record]] = [[] for _ in tasks]
    refused = await examination.refusals(session, tasks) | await examination.doubts(session, tasks)
    for table in session.tables:
        asked = table.wanted(tasks)
        columns = tuple(table.table.columns)
        sheet = Sheet(session.system, table)
        found = await session.connection.fetch(table.select(columns), *asked.arrays) if asked else ()
        for row, owners in each_row(found, len(columns), table, asked):
            for position, parties in owners.items():
                records[position].append(sheet.record(row, parties))
        for position, task in enumerate(tasks):
            if examination.by_former([table], task):
                for row in await session.connection.fetch(*table.select_former(table.keys(task), columns)):
                    records[position].append(sheet.record(row, set(table.former_of)))

    bills = await itemised.read(session, tasks, session.bill) if any(task.lines for task in tasks) else {}
    for task, rows in zip(tasks, records, strict=True):
        rows.extend(bills.get(task.task_id, ()))

    def decide(task: Task, found: Sequence[Record]) -> Result:
        n, counts = len(found), Counter(record.category for record in found)
        return session.settings.excess(task, rows=n) or Receipt(
            task.task_id, TaskOutcome.EXPORTED, found=n, remaining=n, by_category=counts, records=tuple(found)
        )

    held: dict[UUID, Sequence[Record] | Refused] = dict(zip((task.task_id for task in tasks), records, strict=True))
    held.update(refused)
    return per_task(tasks, held, decide)


class Sheet:
    """How rows of one table are written down, worked out once for every combination of parties that is met."""

    def __init__(self, system: str, statements: Statements) -> None:
        self._source = f"{system}.{statements.name}"
        self._table, self._tenancy = statements.table, statements.tenancy
        self._columns = tuple(statements.table.columns.items())
        self._finders = statements.finders
        self._told_by = statements.told_by
        self._layouts: dict[tuple[frozenset[str | None], frozenset[str]], list[tuple[int, str, Column | None]]] = {}
        self._zones, self._regions = statements.zones, statements.regions
        self._portable = any(c.portable for _, c in self._columns if c.shown)

    def record(self, row: Row, mine: set[str | None]) -> Record:
        table = self._table
        hidden = _hidden(table, row, mine) if table.parties else frozenset()
        met = (frozenset(mine), hidden)
        layout = self._layouts.get(met)
        if layout is None:
            layout = self._layouts[met] = self._layout(*met)
        data = {label: WITHHELD if c is None else readable(row[i], c, table) for i, label, c in layout}
        secrets = {form for party in hidden for value in _identifying(table, row, party) for form in _forms(str(value))}
        if secrets:  # nor may it stand in some other field, such as a call id
            data = {
                label: WITHHELD
                if isinstance(value, str) and any(secret in value or secret in value.lower() for secret in secrets)
                else value
                for label, value in data.items()
            }
        return Record(table.category, self._source, data, self._portable, self._matched(row))

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

    def _layout(self, mine: frozenset[str | None], hidden: frozenset[str]) -> list[tuple[int, str, Column | None]]:
        """Position, label and column of what is shown; no column where the other party's number is withheld."""
        layout: list[tuple[int, str, Column | None]] = []
        for position, (name, column) in enumerate(self._columns):
            own = column.party is None or column.party in mine
            if column.shown and (own or column.others == "show"):
                layout.append((position, column.label or name, None if not own and column.party in hidden else column))
        return layout


def _hidden(table: Table, row: Row, mine: set[str | None]) -> frozenset[str]:
    """Other parties of the row who withheld their number, or with whom the subject had nothing to do (Art. 15(4)).

    A requester always sees what they dialled themselves.
    """
    return frozenset(
        name
        for name, party in table.parties.items()
        if name not in mine
        and (
            (party.withheld and party.withheld.hides(row[party.withheld.column]))
            or (party.seen_by is not None and mine.isdisjoint(party.seen_by) and not _is_same(table, row, name))
        )
    )


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
