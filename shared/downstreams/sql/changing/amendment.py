"""Change in place, reversibly: correct (Art. 16), restrict and lift (Art. 18), stop marketing (Art. 21)."""

# ruff: noqa: S608 - every name is quoted, and every value a parameter

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from asyncpg.pool import PoolConnectionProxy
from pydantic import JsonValue

from shared.domain.assignments import NUMBERS
from shared.domain.errors import NotSupported, Refused, ResidueFound, Unavailable
from shared.domain.identities import IdentityType
from shared.domain.operations import Change, Operation, TaskOutcome
from shared.domain.policy import Policy
from shared.downstreams import flags
from shared.downstreams.contract import Checkpoint, Receipt, Result, Task
from shared.downstreams.results import of_corrections
from shared.downstreams.sql import progress
from shared.downstreams.sql.changing import changes, corrections, stating, uncorrectable, unswitched
from shared.downstreams.sql.changing.switching import Kind, switching
from shared.downstreams.sql.declaration.declared import SideTable, Switch
from shared.downstreams.sql.declaration.tables import Table
from shared.downstreams.sql.failures import translated
from shared.downstreams.sql.finding import examination
from shared.downstreams.sql.finding.search_keys import SearchKey
from shared.downstreams.sql.keeping import rows as kept_rows
from shared.downstreams.sql.quoting import quoted
from shared.downstreams.sql.statements import Statements
from shared.downstreams.sql.store import Session

Held = tuple[str, datetime | None, datetime | None]
"""A number, and from when to when it is hidden."""


class Place:
    """The rows of one request in the table beside the data."""

    def __init__(self, connection: PoolConnectionProxy, namespace: str, side: SideTable, request_id: UUID) -> None:
        self._connection = connection
        self._request_id = request_id
        self._table = f"{quoted(namespace)}.{quoted(side.table)}"
        self._names = [quoted(c) for c in (side.request, side.number, side.valid_from, side.valid_to)]
        request, number, since, until = self._names
        self._as_wanted = (
            "EXISTS (SELECT FROM unnest($2::text[], $3::timestamptz[], $4::timestamptz[]) AS w(n, f, u)"
            f" WHERE w.n = t.{number} AND w.f = t.{since} AND w.u IS NOT DISTINCT FROM t.{until})"
        )
        self._mine = f"FROM {self._table} t WHERE t.{request} = $1"

    async def hold(self, wanted: Sequence[Held], never: Collection[str], *, new: bool) -> tuple[int, Sequence[Held]]:
        """Brings the rows of these numbers to what is wanted; how many were wrong or missing, and what is held then.

        A period that the register has ended or corrected is replaced, in the transaction of the caller, so that nothing
        of the subject's own time is seen meanwhile; a number that was ``never`` theirs goes. Without ``new`` no number
        is put there of which nothing stood there.
        """
        _, number, since, _ = self._names
        numbers = [*never, *(each[0] for each in wanted)]
        wrong = await self._connection.fetch(
            f"DELETE {self._mine} AND t.{number} = ANY($5) AND NOT {self._as_wanted}"
            f" RETURNING t.{number}, t.{since}::timestamptz",
            *(self._request_id, *_columns(wanted), numbers),
        )
        stood = {row[0] for row in wrong}
        held = [each for each in wanted if new or each[0] in stood]
        put = await self._connection.fetch(
            f"INSERT INTO {self._table} ({', '.join(self._names)})"
            " SELECT $1, * FROM unnest($2::text[], $3::timestamptz[], $4::timestamptz[])"
            f" ON CONFLICT DO NOTHING RETURNING {number}, {since}::timestamptz",
            *(self._request_id, *_columns(held)),
        )
        return len({tuple(row) for row in (*wrong, *put)}), held

    async def holds(self, held: Sequence[Held]) -> bool:
        """Whether all of this stands there."""
        query = f"SELECT count(*) {self._mine} AND {self._as_wanted}"
        return int(await self._connection.fetchval(query, self._request_id, *_columns(held))) == len(held)


def _columns(rows: Sequence[Held]) -> list[list[object]]:
    return [[row[position] for row in rows] for position in range(3)]


class Amendment:
    """One call: a sequence of tasks of the same store, each in a transaction of its own."""

    def __init__(self, session: Session, policy: Policy, save_progress: Checkpoint) -> None:
        self._session = session
        self._policy = policy
        self._save_progress = save_progress
        self._settings = session.settings
        self._connection = session.connection

    async def run(self, tasks: Sequence[Task]) -> list[Result]:
        lifts = tasks[0].operation is Operation.LIFT
        refused = {} if lifts else await examination.refusals(self._session, tasks)
        return [refused.get(task.task_id) or await self._one(task) for task in tasks]

    async def _one(self, task: Task) -> Result:
        """The result of one task, also where it fails: what was committed of the tasks before it stays done."""
        try:
            with translated(self._session.system):
                found = await self._as_found(task)
            await self._save_progress({task.task_id: found})  # what was withdrawn meanwhile is not begun
            with translated(self._session.system):
                return await self._change(task)
        except (Unavailable, Refused) as failure:  # it has rolled back this task alone
            return failure

    async def _change(self, task: Task) -> Result:
        match task.operation:
            case Operation.RECTIFY:
                return await self._correct(task)
            case Operation.RESTRICT:
                return await self._restrict(task)
            case Operation.LIFT:
                return await self._lift(task)
            case Operation.SUPPRESS if not changes_something(self._declared, task):
                return Receipt(task.task_id, TaskOutcome.NOT_HELD)
            case Operation.SUPPRESS:
                return await self._switch(task, "marketing", wanted=True)
            case other:
                raise ValueError(f"{other} is no change in place")

    async def _correct(self, task: Task) -> Result:
        stuck = await uncorrectable.stuck(self._session, task)
        if not changes_something(self._declared, task):
            return uncorrectable.nothing_changed(task, stuck, await self._rows(task))
        if any(change.record for change in task.changes):
            return await self._state(task)
        return uncorrectable.with_left(await self._rectify(task), stuck or {})

    @property
    def _declared(self) -> Sequence[Table]:
        return [table.table for table in self._session.tables]

    def _keys(self, task: Task) -> list[tuple[Statements, Sequence[SearchKey]]]:
        return [(table, keys) for table in self._session.tables if (keys := table.keys(task))]

    async def _rectify(self, task: Task) -> Result:
        """Every change in one transaction; what the rows hold afterwards is read again by primary key.

        What an erasure has left for a rule alone stays as it is: where nothing else can be corrected, a person looks.
        """
        changed: list[tuple[Statements, str, str, list[tuple[Any, ...]]]] = []
        shown, spared = [0] * len(task.changes), [set[str]() for _ in task.changes]
        async with self._connection.transaction():
            for place, change in enumerate(task.changes):
                for table, keys in self._keys(task):
                    for column, about in (
                        (n, c) for n, c in table.table.columns.items() if c.rectifies == change.field
                    ):
                        left = kept_rows.left(self._session.system, table, about.party)
                        said = change.asserted, change.current
                        update = changes.update_one(table, keys, column, *said, left=left)
                        rows = [tuple(row) for row in await self._connection.fetch(*update)]
                        changed.append((table, column, change.asserted, rows))
                        already = changes.count_shown(table, keys, column, change.asserted)
                        shown[place] += len(rows) or await self._connection.fetchval(*already)
                        if await self._connection.fetchval(*changes.count_left(table, keys, column, *said, left)):
                            spared[place].add(table.name)
            touched = {(table.name, key) for table, _, _, rows in changed for key in rows}
            if excess := self._settings.excess(task, rows=len(touched)):
                raise excess
            category = {table.name: table.table.category for table, *_ in changed}
            noted = corrections.noted(Counter(category[name] for name, _ in touched), shown)
            counts, shown = corrections.read(await self._keep(task, noted), len(shown))
            if stuck := set[str]().union(*(kept for kept, rows in zip(spared, shown, strict=True) if not rows)):
                raise uncorrectable.only_left(stuck)
        for table, column, asserted, rows in changed:
            if await self._differs(table, column, asserted, rows):
                return ResidueFound(f"{self._session.system} took the correction and still holds another value")
        return of_corrections(task, counts, shown, 0 if any(shown) else await self._rows(task))

    async def _state(self, task: Task) -> Result:
        """What is recorded stays as it is, and what the subject states stands beside it; it is read again there."""
        async with self._connection.transaction():
            shown = await stating.state(self._session, self._policy, task)
            if excess := self._settings.excess(task, rows=sum(shown)):
                raise excess
            noted = await self._keep(task, corrections.noted(Counter(), shown))
            counts, told = corrections.read(noted, len(shown))
        if await stating.count(self._session, task) < max(shown, default=0):
            return ResidueFound(f"{self._session.system} took the statement and does not hold it")
        if not any(told):
            return replace(of_corrections(task, counts, told, await self._rows(task)), stated=True)
        kinds = Counter[str]()
        for change, rows in zip(task.changes, told, strict=True):
            kinds[change.record.category if change.record else ""] += rows
        stated = Receipt(task.task_id, TaskOutcome.AMENDED, found=sum(told), by_category=+kinds)
        return replace(stated, corrected=tuple(told), stated=True)

    async def _rows(self, task: Task) -> int:
        """How many rows are the subject's."""
        return sum([await self._connection.fetchval(*table.count_one(keys)) for table, keys in self._keys(task)])

    async def _differs(self, table: Statements, column: str, asserted: str, rows: Sequence[tuple[Any, ...]]) -> bool:
        same = " AND ".join(f"{quoted(key)} = ${i + 2}" for i, key in enumerate(table.table.primary_key))
        held, type_ = table.read(column), table.type_of(column)
        query = f"SELECT {held} IS DISTINCT FROM $1::text::{type_} FROM {table.source} t WHERE {same}"
        return any([await self._connection.fetchval(query, asserted, *row) is not False for row in rows])

    async def _restrict(self, task: Task) -> Result:
        """Put the subject's numbers where the read path obeys them, or set the flag that it obeys."""
        if self._session.restriction is None:
            return await self._switch(task, "restriction", wanted=True)
        kinds = {kind for table in self._session.tables for kind in table.table.types if kind in NUMBERS}
        side, numbers = self._session.restriction, _numbers(task, kinds)
        never = [number.value for number in task.not_theirs if number.type in kinds]
        # Nobody's numbers are restricted by a guess, nor those of somebody who was erased since.
        known = (_vouched_for(task) and not task.repair) or bool((await self._side_amended(task, side)).found)
        if not (numbers if known else task.repair and (numbers or never)):
            return Receipt(task.task_id, TaskOutcome.NO_MATCH)
        place = Place(self._connection, self._settings.namespace, side, task.request_id)
        async with self._connection.transaction():
            changed, held = await place.hold(numbers, never, new=known)
            counts = await self._keep(task, Counter(restriction=changed))
        if not await place.holds(held):
            return ResidueFound(f"{self._session.system} took the restriction and does not hold it")
        if task.repair:
            return Receipt.counted(task, TaskOutcome.AMENDED, counts)
        return await self._side_amended(task, side)

    async def _lift(self, task: Task) -> Result:
        side = self._session.restriction
        if side is None:
            if task.marked:  # a flag says not whose it is
                return Receipt(task.task_id, TaskOutcome.NO_MATCH)
            return await self._switch(task, "restriction", wanted=False)
        mine = f"FROM {self._place(side)} WHERE {quoted(side.request)} = $1"
        async with self._connection.transaction():
            gone = await self._connection.fetch(f"DELETE {mine} RETURNING 1", task.request_id)
            counts = await self._keep(task, Counter(restriction=len(gone)))
        if left := await self._connection.fetchval(f"SELECT count(*) {mine}", task.request_id):
            return ResidueFound(f"{self._session.system} still holds {left} restrictions of this request")
        if task.repair:
            return Receipt.counted(task, TaskOutcome.AMENDED, counts)
        return await self._side_amended(task, side)

    async def _keep(self, task: Task, changed: Counter[str]) -> Counter[str]:
        """Ends a transaction: notes in the store what it has changed, unless a later one was there before."""
        return await progress.keep(self._session, task, changed)

    def _place(self, side: SideTable) -> str:
        return f"{quoted(self._settings.namespace)}.{quoted(side.table)}"

    async def _side_amended(self, task: Task, side: SideTable) -> Receipt:
        """Counts the rows that the restriction is about: its own place in the side table is none of them."""
        rows = (await examination.count(self._session, [task], but=[side.table]))[task.task_id]
        return Receipt(task.task_id, TaskOutcome.AMENDED, found=rows, changed=rows)

    async def _switch(self, task: Task, name: Kind, *, wanted: bool) -> Result:
        """Set a declared switch in every row of the subject, and look again at what the rows hold."""
        counts: Counter[str] = Counter()
        left = flags.of_tables(flags.left_as_found(task))
        made = (
            switching(table, keys, name, task, wanted=wanted, but=left.get(table.name, ()))
            for table, keys in self._keys(task)
        )
        switches = [each for each in made if each]
        async with self._connection.transaction():
            for each in switches:
                if each.unknown and await self._connection.fetchval(*each.unknown):
                    raise NotSupported(
                        f"a row of {each.table.name} holds a word that is neither of its switch, which nobody could put"
                        " back: do it by hand for all of the store, and enter what was done"
                    )
                wrong, rows = [await self._connection.fetchval(*call) for call in (each.wrong, each.found)]
                await self._connection.execute(*each.change)
                counts[each.table.table.category] += wrong if task.repair else rows
            if excess := self._settings.excess(task, rows=counts.total()):
                raise excess
            counts = await self._keep(task, counts)
        for each in switches:
            if await self._connection.fetchval(*each.wrong):
                return ResidueFound(f"{self._session.system} took the change and does not show it")
        if name == "restriction" and not task.repair:
            return unswitched.result(task, self._session.tables, counts, await unswitched.rows(self._session, task))
        return Receipt.counted(task, TaskOutcome.AMENDED, counts)

    async def _as_found(self, task: Task) -> dict[str, JsonValue]:
        """What is to be noted before a restriction sets a switch: whose was set already."""
        if self._session.restriction is not None or not flags.is_first(task):
            return {}
        had: dict[str, bool] = {}
        for table, keys in self._keys(task):
            if isinstance(switch := table.table.restriction, Switch):
                rows = await self._connection.fetch(*changes.select_flags(table, keys, switch.column, switch.value))
                had |= {flags.in_table(table.name, key): held for key, held in rows}
        if excess := self._settings.excess(task, rows=len(had)):
            raise excess
        return flags.found(task, had)


def changes_something(tables: Sequence[Table], task: Task) -> bool:
    """Whether a column holds a field that is to be corrected, or tells who wants no marketing; else it is not held."""
    if task.operation is Operation.SUPPRESS:
        return any(table.marketing for table in tables)
    held = {column.rectifies for table in tables for column in table.columns.values()}
    return (
        task.operation is not Operation.RECTIFY
        or not task.changes
        or any(_is_held(change, tables, held) for change in task.changes)
    )


def _is_held(change: Change, tables: Sequence[Table], fields: Collection[str | None]) -> bool:
    """Whether a column can be corrected so, or records of that kind bear statements."""
    if change.record is None:
        return change.field in fields
    return any(table.stated and table.category == change.record.category for table in tables)


def _vouched_for(task: Task) -> bool:
    """Whether somebody besides the requester says that a number is theirs."""
    return any(i.type in NUMBERS and (i.source != "requester" or i.proved_since) for i in task.identities)


def _numbers(task: Task, kinds: Collection[IdentityType]) -> list[Held]:
    dated = (i for i in task.identities if i.type in kinds and i.valid_from is not None)
    return list(dict.fromkeys((i.value, i.valid_from, i.valid_to) for i in dated))
