"""Whose rows there may be: the server finds candidates by its indexes, and joins lead to more, table by table.

Rows are always found by ``= ANY``, or ``IN``, on an indexed column, from the values that are sought to the keys of what
leads there. Whose each row is, the engine tells.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from shared.domain.identities import IdentityType
from shared.systems.engine.records import Key, Link, Record, SearchKey, Statement, Subject, as_text
from shared.systems.sql import values
from shared.systems.sql.catalog import ZONED, Relation
from shared.systems.sql.declaration.declared import Join
from shared.systems.sql.server import Connection, Place, Server
from shared.systems.sql.server import Statement as Sql
from shared.systems.sql.tables import Declared, Hop, Path, in_utc
from shared.systems.sql.values import Row

# ruff: noqa: S608 - names are quoted, and what comes from a request is a parameter


@dataclass(eq=False, slots=True)
class _Led:
    """A row on a path, or at its end, and to which ends it leads, and which declared rows are on the way."""

    row: Row
    parents: dict[tuple[int, Key], None]


class Found:
    """The rows of a table by primary key, and to which rows each leads, with the number of the link."""

    def __init__(self, rows: dict[Key, Row] | None = None) -> None:
        self.rows: dict[Key, Row] = rows or {}
        self.parents: dict[Key, dict[tuple[int, Key], None]] = {}

    def lead(self, key: Key, parents: Iterable[tuple[int, Key]]) -> None:
        """Notes to which rows one leads."""
        known = self.parents.setdefault(key, {})
        for parent in parents:
            known[parent] = None


PAGE: Final = 2_500
"""Rows that are read, or told, at once."""
Rows = dict[str, Found]
"""By table."""
Stated = Mapping[Key, tuple[Statement, ...]]


class Reading(NamedTuple):
    """How rows are read: locked, with what a copy shows, by other columns than their key, in which order, how many."""

    lock: bool = False
    data: bool = False
    sought: bool = False
    order: str = ""
    more: str = ""


class Search:
    """Reads the tables of a store by one connection."""

    def __init__(self, server: Server, connection: Connection, tables: Mapping[str, Declared]) -> None:
        self._server, self._connection, self._tables = server, connection, tables

    async def find(
        self, subjects: Sequence[Subject], *, lock: bool, data: bool, most: int | None
    ) -> AsyncGenerator[tuple[Declared, Found]]:
        """Yields all rows that may be one of the subjects', the ends of paths before what leads to them.

        A table that leads nowhere, and to which nothing leads, is read in pages. ``most``: once there are more, the
        rest is left out.
        """
        rows: Rows = {}
        left = most
        for table in self._tables.values():
            how = Reading(lock, data, sought=True, more="" if left is None else f" LIMIT {left + 1}")
            conditions = [*self._conditions(table, subjects)]
            if table.alone and most is None and len(conditions) == 1:
                async for page in self._pages(table, *conditions[0], how):
                    yield table, Found(dict(zip(map(table.key, page), page, strict=True)))
                continue
            rows[table.name] = await self._found(table, conditions, rows, how)
            if left is not None and (left := left - len(rows[table.name].rows)) < 0:
                break
        for name, found in rows.items():
            for number, (here, there) in self._tables[name].keys.items():
                self._refer(self._tables[name].shape.links[number], number, here, there, found, rows)
            for part in _parts(found):
                yield self._tables[name], part

    async def _found(
        self, table: Declared, conditions: Iterable[tuple[str, Sequence[object]]], rows: Rows, how: "Reading"
    ) -> Found:
        """The rows of a table by its own columns, and by its paths."""
        found = Found()
        for condition, said in conditions:
            theirs = await self.read(table, condition, said, how)
            found.rows.update(zip(map(table.key, theirs), theirs, strict=True))
        for path in table.paths:
            near = await self._backward(path, rows[path.end.name].rows.items())
            for led in await self._nearest(table, path.hops[0].join, near, how):
                key = table.key(led.row)
                found.rows.setdefault(key, led.row)
                found.lead(key, led.parents)
        for path in (path for path in table.paths if path.shares):
            await self._name_all(path, found)
        return found

    def _conditions(self, table: Declared, subjects: Sequence[Subject]) -> Iterator[tuple[str, Sequence[object]]]:
        """What finds rows by the table's own columns: one condition for all, or one for each."""
        sought: dict[IdentityType, dict[str, None]] = {}
        for key in (key for subject in subjects for key in subject.keys.get(table.name, ())):
            sought.setdefault(key.type, {})[key.value] = None
        each: list[tuple[str, str, list[object]]] = []
        for name, column in table.table.searched.items():
            texts = [*sought.get(column.identity, ())] if column.identity else []
            if column.domain and not self._server.combines:  # the user alone has an index there
                texts = [text.removeprefix("sip:").rpartition("@")[0] for text in texts]
            plain = column.match != "exact" or column.domain
            held, type_ = values.adapted(texts, "text" if plain else table.relation.types[name])
            each += [(self._server.compared(table.relation, name, column), type_, held)] if held else []
        if self._server.combines and each:
            statement = Sql(self._server)
            yield " OR ".join(statement.among(how, held, type_) for how, type_, held in each), statement.values
        elif each:
            for how, type_, held in each:
                for some in self._server.parts(held):
                    statement = Sql(self._server)
                    yield statement.among(how, some, type_), statement.values

    async def read(
        self, table: Declared, condition: str, said: Sequence[object], how: "Reading | None" = None
    ) -> Sequence[Row]:
        """Rows of a table that count, ``t`` in the condition, in the order of their keys."""
        how = how or Reading()
        query, held = self._query(table, condition, said, how)
        return self._counted(table, how, await self._connection.fetch(query, *held))

    async def _pages(
        self, table: Declared, condition: str, said: Sequence[object], how: "Reading"
    ) -> AsyncIterator[Sequence[Row]]:
        query, held = self._query(table, condition, said, how)
        async for page in self._connection.pages(query, held, PAGE):
            yield self._counted(table, how, page)

    def _query(
        self, table: Declared, condition: str, said: Sequence[object], how: "Reading"
    ) -> tuple[str, Sequence[object]]:
        statement = Sql(self._server)
        statement.values += said
        tests, nulls = table.theirs
        theirs = "".join(f" AND {statement.among(column, words, 'text')}" for column, words in tests) + nulls
        shown = ", ".join(map(self._server.column, table.columns if how.data else table.judged))
        keys = [name for name, _ in table.key_columns]
        order, hint = self._server.sorted(table.relation, keys) if how.sought else (how.order or ", ".join(keys), "")
        ending = f"{how.more} FOR UPDATE" if how.lock and table.relation.lockable else how.more
        source = self._server.place(table.place)
        query = f"SELECT {shown} FROM {source} t{hint} WHERE ({condition}){theirs} ORDER BY {order}{ending}"
        return query, statement.values

    def _counted(self, table: Declared, how: "Reading", rows: Sequence[Sequence[Any]]) -> Sequence[Row]:
        read = self._rows(table.columns if how.data else table.judged, table.relation, rows)
        return read if table.counts_all else [row for row in read if table.counts(row)]

    async def by_key(self, table: Declared, keys: Sequence[Key], *, lock: bool, data: bool = False) -> dict[Key, Row]:
        """The rows with these primary keys that count."""
        found: dict[Key, Row] = {}
        for some in self._server.parts(keys):
            statement = Sql(self._server)
            condition = statement.keyed(table.key_columns, some)
            rows = await self.read(table, condition, statement.values, Reading(lock=lock, data=data))
            found.update(zip(map(table.key, rows), rows, strict=True))
        return found

    async def by_texts(self, table: Declared, keys: Sequence[Key]) -> dict[Key, Row]:
        """The rows with these primary keys, which are given as texts."""
        statement, said = Sql(self._server), list[str]()
        for n, (name, type_) in enumerate(table.key_columns):
            held, as_ = values.adapted(dict.fromkeys(key[n] for key in keys), type_)
            said.append(statement.among(name, held, as_) if held else "FALSE")
        rows = await self.read(table, " AND ".join(said), statement.values)
        return {tuple(map(as_text, table.key(row))): row for row in rows}

    def _rows(self, columns: Sequence[str], relation: Relation, rows: Sequence[Sequence[Any]]) -> Sequence[Row]:
        if self._server.combines:  # its driver's rows tell their columns by name
            return rows  # type: ignore[return-value]
        read = [dict(zip(columns, row, strict=True)) for row in rows]
        for name in (name for name in columns if relation.types[name] == ZONED):
            for row in read:
                row[name] = in_utc(row[name])
        return read

    def exactly(self, table: Declared, keys: Sequence[tuple[int, SearchKey]], statement: Sql) -> tuple[str, str]:
        """What finds people's rows, and no others, in a table that is ``exact``: whose they are, and which."""
        [name], at = table.table.searched, table.table.occurred
        of, types = self._server.column(name), ("int[]", "text[]", "timestamptz[]", "timestamptz[]")
        rows = [(n, key.value, key.since, key.until) for n, key in keys]
        marks = [statement.value([*held], type_) for held, type_ in zip(zip(*rows, strict=True), types, strict=True)]
        found = f"{of} = k.value AND {of} = ANY({marks[1]})"
        if at:
            when = self._server.column(at.column)
            found += f" AND (k.since IS NULL OR {when} >= k.since) AND (k.until IS NULL OR {when} < k.until)"
        return f"unnest({', '.join(marks)}) k (n, value, since, until)", found

    # Backward: from the rows at the end of a path to what leads to them.

    async def _backward(
        self, path: Path, ends: Iterable[tuple[Key, Row]], gone: Mapping[str, Sequence[Record]] = {}
    ) -> Mapping[Key, list[_Led]]:
        """By what the first join of a path must hold, what it leads to; ``gone``: rows that are on the way no more."""
        last = path.hops[-1].join
        so_far = [_Led(row, {(path.link, key): None}) for key, row in ends if _all_hold(last, row)]
        for position in range(len(path.hops) - 1, 0, -1):
            join, hop = path.hops[position].join, path.hops[position - 1]
            if not (by := _by_far(join, so_far)):
                return {}
            columns = hop.columns(join)
            read = await self._near_rows(hop.place, columns, hop.relation, join, by)
            read = [*read, *(each.ref for each in gone.get(hop.join.table, ()) if hop.passed is not None)]
            so_far, near = [], _near(join)
            for row in read:
                if (theirs := by.get(near(row))) and _all_hold(hop.join, row):
                    led = _Led(row, {parent: None for each in theirs for parent in each.parents})
                    if hop.passed is not None:
                        led.parents[hop.passed, tuple(row[name] for name in hop.key)] = None
                    so_far.append(led)
        return _by_far(path.hops[0].join, so_far)

    async def _near_rows(
        self, place: Place, columns: Sequence[str], relation: Relation, join: Join, by: Collection[Key]
    ) -> list[Row]:
        shown = ", ".join(map(self._server.column, columns))
        read: list[Row] = []
        for condition, said in self._near_conditions(relation, [near for near, _ in join.columns], [*by]):
            query = f"SELECT {shown} FROM {self._server.place(place)} t WHERE {condition}"
            read += self._rows(columns, relation, await self._connection.fetch(query, *said))
        return read

    async def _nearest(self, table: Declared, join: Join, by: Mapping[Key, list[_Led]], how: "Reading") -> list[_Led]:
        found: list[_Led] = []
        names, near = [name for name, _ in join.columns], _near(join)
        for condition, said in self._near_conditions(table.relation, names, [*by]):
            for row in await self.read(table, condition, said, how):
                if theirs := by.get(near(row)):
                    alone = theirs[0].parents if len(theirs) == 1 else None
                    found.append(_Led(row, alone or {parent: None for each in theirs for parent in each.parents}))
        return found

    def _near_conditions(
        self, relation: Relation, names: Sequence[str], keys: Sequence[Key]
    ) -> Iterator[tuple[str, Sequence[object]]]:
        """What finds rows that hold one of these keys in these columns, by the index of each."""
        for some in self._server.parts(keys):
            statement, said = Sql(self._server), list[str]()
            for n, name in enumerate(names):
                held, type_ = values.adapted(dict.fromkeys(key[n] for key in some), relation.types[name])
                said.append(statement.among(self._server.column(name), held, type_) if held else "FALSE")
            yield " AND ".join(said), statement.values

    async def strays(self, gone: Sequence[Record]) -> set[tuple[str, Key]]:
        """Those of these records, which are gone, to which a row still leads that counts."""
        by_place: dict[str, list[Record]] = {}
        for record in gone:
            by_place.setdefault(record.shape.place, []).append(record)
        names = {record.name for record in gone}
        found: set[tuple[str, Key]] = set()
        for table in self._tables.values():
            for path in table.paths:
                ends = ((each.key, each.ref) for each in by_place.get(path.end.name, ()))
                near = await self._backward(path, ends, by_place)
                for led in await self._nearest(table, path.hops[0].join, near, Reading(sought=True)):
                    if (table.name, table.key(led.row)) not in names:
                        found |= {(path.end.name, key) for number, key in led.parents if number == path.link}
        for name in {name for name, _ in found}:  # a row that was only blanked is still somebody's
            there = await self.by_key(self._tables[name], [key for place, key in found if place == name], lock=False)
            found -= {(name, key) for key in there}
        return found

    # Forward: from rows to what they lead to, whosever it is.

    async def _forward(
        self, rows: Mapping[Key, Row], hops: Sequence[Hop], last: Sequence[str]
    ) -> Mapping[Key, list[Row]]:
        """The rows at the end of some joins, by the key of the row that leads there; ``last``: what is read there."""
        so_far = {key: [row] for key, row in rows.items()}
        for position, hop in enumerate(hops):
            onward = hops[position + 1].join if position + 1 < len(hops) else None
            columns = tuple(dict.fromkeys([*hop.columns(onward), *(() if onward else last)]))
            near, far = _near(hop.join), [name for _, name in hop.join.columns]
            wanted = {near(row) for each in so_far.values() for row in each}
            by, reads = dict[Key, list[Row]](), _reads(far)
            shown = ", ".join(map(self._server.column, columns))
            keys = sorted((key for key in wanted if key and None not in key), key=repr)
            for condition, said in self._near_conditions(hop.relation, far, keys):
                query = f"SELECT {shown} FROM {self._server.place(hop.place)} t WHERE {condition}"
                for row in self._rows(columns, hop.relation, await self._connection.fetch(query, *said)):
                    if _all_hold(hop.join, row):
                        by.setdefault(reads(row), []).append(row)
            so_far = {
                key: [far_row for row in each for far_row in by.get(near(row), ())] for key, each in so_far.items()
            }
        return so_far

    async def _name_all(self, path: Path, found: Found) -> None:
        """Names every row at the end of a path to which rows lead that it has found."""
        mine = {
            key: found.rows[key] for key, led in found.parents.items() if any(number == path.link for number, _ in led)
        }
        end = path.end
        tested = tuple(test.column for test in end.table.where)
        ends = await self._forward(mine, path.hops, (*end.table.primary_key, *tested)) if mine else {}
        for key, rows in ends.items():
            named = (end.key(row) for row in rows if all(values.holds(test, row) for test in end.table.where))
            found.lead(key, ((path.link, each) for each in named))

    @staticmethod
    def _refer(link: Link, number: int, here: Sequence[str], there: Sequence[str], found: Found, rows: Rows) -> None:
        """Names the rows that were found to which these refer by a foreign key."""
        parents = rows[link.place].rows if found.rows and link.place in rows else {}
        reads, reads_there = _reads(here), _reads(there)
        to = {reads_there(parent): key for key, parent in parents.items()}
        for key, row in found.rows.items() if to else ():
            if (parent := to.get(reads(row))) is not None:
                found.lead(key, [(number, parent)])

    # What is said beside the rows of a table.

    @staticmethod
    def records(table: Declared, found: Found, stated: Stated, *, data: bool) -> list[Record]:
        """The records of rows of one table."""
        if not (found.parents or stated):
            return [table.record(row, (), data=data) for row in found.rows.values()]
        return [
            table.record(row, tuple(found.parents.get(key, ())), stated.get(key, ()), data=data)
            for key, row in found.rows.items()
        ]


def _parts(found: Found) -> Iterator[Found]:
    """Yields the rows of a table, some at a time."""
    if len(found.rows) <= PAGE:
        yield from [found] if found.rows else []
        return
    keys = [*found.rows]
    for first in range(0, len(keys), PAGE):
        part = Found({key: found.rows[key] for key in keys[first : first + PAGE]})
        part.parents = {key: found.parents[key] for key in part.rows if key in found.parents}
        yield part


def _reads(names: Sequence[str]) -> Callable[[Row], Key]:
    """Reads what a row holds in some columns, as text."""
    if len(names) == 1:
        [name] = names
        return lambda row: (as_text(row[name]),)
    return lambda row: tuple([as_text(row[name]) for name in names])


def _near(join: Join) -> Callable[[Row], Key]:
    """Reads what a nearer row holds in the columns of a join; nothing where it holds other words than that names."""
    reads, words = _reads([near for near, _ in join.columns]), join.words
    if not words:
        return reads
    return lambda row: reads(row) if all(as_text(row[near]) == word for near, word in words) else ()


def _all_hold(join: Join, row: Row) -> bool:
    return not join.where or all(values.holds(test, row) for test in join.where)


def _by_far(join: Join, led: Iterable[_Led]) -> dict[Key, list[_Led]]:
    """Rows by what they hold at the farther side of a join; NULL joins nothing."""
    by, reads = dict[Key, list[_Led]](), _reads([far for _, far in join.columns])
    for each in led:
        key = reads(each.row)
        if None not in key:
            by.setdefault(key, []).append(each)
    return by
