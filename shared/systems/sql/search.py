"""Searches rows table by table: the server finds candidates by index, and joins lead to more.

Rows are always found by ``= ANY``, or ``IN``, on an indexed column. The engine attributes them.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from shared.domain.identities import IdentityType
from shared.systems.engine.records import Key, Link, Record, SearchKey, Statement, SubjectSearch, as_text
from shared.systems.sql import values
from shared.systems.sql.catalog import ZONED, Relation
from shared.systems.sql.server import Connection, Server
from shared.systems.sql.server import SqlStatement as Sql
from shared.systems.sql.tables import JoinPath, StoreTable, in_utc
from shared.systems.sql.values import Row

# ruff: noqa: S608 - names are quoted, and what comes from a request is a parameter


class FoundRows:
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
"""Rows read or reported in one go."""
Rows = dict[str, FoundRows]
"""Rows by table."""
StoredStatements = Mapping[Key, tuple[Statement, ...]]


class ReadOptions(NamedTuple):
    """Options of reading rows: lock, data of a copy, other columns than the key, order, and limit."""

    lock: bool = False
    data: bool = False
    sought: bool = False
    order: str = ""
    more: str = ""


class SqlSearch:
    """Reads the tables of a store by one connection."""

    def __init__(self, server: Server, connection: Connection, tables: Mapping[str, StoreTable]) -> None:
        self._server, self._connection, self._tables = server, connection, tables

    async def find(
        self, subjects: Sequence[SubjectSearch], *, lock: bool, data: bool, most: int | None
    ) -> AsyncGenerator[tuple[StoreTable, FoundRows]]:
        """Yields all rows that may be one of the subjects', the ends of paths before what leads to them.

        A table that leads nowhere, and to which nothing leads, is read in pages. ``most``: once there are more, the
        rest is left out.
        """
        rows: Rows = {}
        remaining = most
        for table in self._tables.values():
            options = ReadOptions(lock, data, sought=True, more="" if remaining is None else f" LIMIT {remaining + 1}")
            conditions = [*self._conditions(table, subjects)]
            if table.about_one_person and most is None and len(conditions) == 1:
                async for page in self._pages(table, *conditions[0], options):
                    yield table, FoundRows(dict(zip(map(table.key, page), page, strict=True)))
                continue
            rows[table.name] = await self._found(table, conditions, rows, options)
            if remaining is not None and (remaining := remaining - len(rows[table.name].rows)) < 0:
                break
        for name, found in rows.items():
            for number, (here, there) in self._tables[name].keys.items():
                self._refer(self._tables[name].shape.links[number], number, here, there, found, rows)
            for part in _parts(found):
                yield self._tables[name], part

    async def _found(
        self, table: StoreTable, conditions: Iterable[tuple[str, Sequence[object]]], rows: Rows, options: "ReadOptions"
    ) -> FoundRows:
        """The rows of a table by its own columns, and by its paths."""
        found = FoundRows()
        for condition, parameters in conditions:
            read = await self.read(table, condition, parameters, options)
            found.rows.update(zip(map(table.key, read), read, strict=True))
        for path in table.paths:
            for row, end_keys in await self._leading(table, path, rows[path.end.name].rows.items(), options):
                key = table.key(row)
                found.rows.setdefault(key, row)
                found.lead(key, ((path.link, end) for end in end_keys))
        for path in (path for path in table.paths if path.shares):
            await self._name_all(table, path, found)
        return found

    def _conditions(
        self, table: StoreTable, subjects: Sequence[SubjectSearch]
    ) -> Iterator[tuple[str, Sequence[object]]]:
        """Yields conditions that find rows by the table's own columns: one for all, or one each."""
        by_type: dict[IdentityType, dict[str, None]] = {}
        for key in (key for subject in subjects for key in subject.keys.get(table.name, ())):
            by_type.setdefault(key.type, {})[key.value] = None
        each: list[tuple[str, str, list[object]]] = []
        for name, column in table.table.searched.items():
            texts = [*by_type.get(column.identity, ())] if column.identity else []
            compared, type_ = values.adapted(texts, "text" if column.match == "lower" else table.relation.types[name])
            each += [(self._server.compared(table.relation, name, column), type_, compared)] if compared else []
        if self._server.combines and each:
            statement = Sql(self._server)
            yield (
                " OR ".join(statement.among(options, compared, type_) for options, type_, compared in each),
                statement.values,
            )
        elif each:
            for options, type_, compared in each:
                for some in self._server.parts(compared):
                    statement = Sql(self._server)
                    yield statement.among(options, some, type_), statement.values

    async def read(
        self, table: StoreTable, condition: str, parameters: Sequence[object], options: "ReadOptions | None" = None
    ) -> Sequence[Row]:
        """Rows of a table that count, ``t`` in the condition, in the order of their keys."""
        options = options or ReadOptions()
        query, compared = self._query(table, condition, parameters, options)
        return self._counted(table, options, await self._connection.fetch(query, *compared))

    async def _pages(
        self, table: StoreTable, condition: str, parameters: Sequence[object], options: "ReadOptions"
    ) -> AsyncIterator[Sequence[Row]]:
        query, compared = self._query(table, condition, parameters, options)
        async for page in self._connection.pages(query, compared, PAGE):
            yield self._counted(table, options, page)

    def _query(
        self, table: StoreTable, condition: str, parameters: Sequence[object], options: "ReadOptions"
    ) -> tuple[str, Sequence[object]]:
        statement = Sql(self._server)
        statement.values += parameters
        tenant_condition = "".join(
            f" AND {statement.among(column, words, 'text')}" for column, words in table.tenant_words
        )
        shown = self._server.shown(table.relation, table.columns if options.data else table.judged)
        keys = [name for name, _ in table.key_columns]
        order, hint = (
            self._server.sorted(table.relation, keys) if options.sought else (options.order or ", ".join(keys), "")
        )
        ending = f"{options.more} FOR UPDATE" if options.lock and table.relation.lockable else options.more
        source = self._server.place(table.place)
        query = f"SELECT {shown} FROM {source} t{hint} WHERE ({condition}){tenant_condition} ORDER BY {order}{ending}"
        return query, statement.values

    def _counted(self, table: StoreTable, options: "ReadOptions", rows: Sequence[Sequence[Any]]) -> Sequence[Row]:
        read = self._rows(table.columns if options.data else table.judged, table.relation, rows)
        return read if table.table.tenant is None else [row for row in read if table.counts(row)]

    async def by_key(self, table: StoreTable, keys: Sequence[Key], *, lock: bool, data: bool = False) -> dict[Key, Row]:
        """The rows with these primary keys that count."""
        found: dict[Key, Row] = {}
        for some in self._server.parts(keys):
            statement = Sql(self._server)
            condition = statement.keyed(table.key_columns, some)
            rows = await self.read(table, condition, statement.values, ReadOptions(lock=lock, data=data))
            found.update(zip(map(table.key, rows), rows, strict=True))
        return found

    async def by_texts(self, table: StoreTable, keys: Sequence[Key]) -> dict[Key, Row]:
        """The rows with these primary keys, which are given as texts."""
        statement, conditions = Sql(self._server), list[str]()
        for n, (name, type_) in enumerate(table.key_columns):
            compared, as_ = values.adapted(dict.fromkeys(key[n] for key in keys), type_)
            conditions.append(statement.among(name, compared, as_) if compared else "FALSE")
        rows = await self.read(table, " AND ".join(conditions), statement.values)
        return {tuple(map(as_text, table.key(row))): row for row in rows}

    def _rows(self, columns: Sequence[str], relation: Relation, rows: Sequence[Sequence[Any]]) -> Sequence[Row]:
        if self._server.combines:  # its driver's rows tell their columns by name
            return rows  # type: ignore[return-value]
        read = [dict(zip(columns, row, strict=True)) for row in rows]
        for name in (name for name in columns if relation.types[name] == ZONED):
            for row in read:
                row[name] = in_utc(row[name])
        return read

    def exactly(self, table: StoreTable, keys: Sequence[tuple[int, SearchKey]], statement: Sql) -> tuple[str, str]:
        """Returns the query that finds exactly people's rows in an ``exact`` table: the owner, and the row."""
        [name], at = table.table.searched, table.table.happened
        of, types = self._server.column(name), ("int[]", "text[]", "timestamptz[]", "timestamptz[]")
        rows = [(n, key.value, key.since, key.until) for n, key in keys]
        marks = [
            statement.value([*compared], type_) for compared, type_ in zip(zip(*rows, strict=True), types, strict=True)
        ]
        found = f"{of} = k.value AND {of} = ANY({marks[1]})"
        if at:
            when = self._server.column(at)
            found += f" AND (k.since IS NULL OR {when} >= k.since) AND (k.until IS NULL OR {when} < k.until)"
        return f"unnest({', '.join(marks)}) k (n, value, since, until)", found

    async def _leading(
        self, table: StoreTable, path: JoinPath, end_rows: Iterable[tuple[Key, Row]], options: "ReadOptions"
    ) -> list[tuple[Row, list[Key]]]:
        """The rows of a table that lead to some at the end of a path, with the keys of these; NULL joins nothing."""
        by, (near, far) = dict[Key, list[Key]](), _joined_by(table, path)
        for key, row in end_rows:
            if None not in (end_key := far(row)):
                by.setdefault(end_key, []).append(key)
        found, names = list[tuple[Row, list[Key]]](), [*path.join.on]
        for condition, parameters in self._near_conditions(table.relation, names, [*by]):
            for row in await self.read(table, condition, parameters, options):
                if keys := by.get(near(row)):
                    found.append((row, keys))
        return found

    def _near_conditions(
        self, relation: Relation, names: Sequence[str], keys: Sequence[Key]
    ) -> Iterator[tuple[str, Sequence[object]]]:
        """Yields conditions that find rows with one of these keys in these columns, by the index of each."""
        for some in self._server.parts(keys):
            statement, conditions = Sql(self._server), list[str]()
            for n, name in enumerate(names):
                compared, type_ = values.adapted(dict.fromkeys(key[n] for key in some), relation.types[name])
                conditions.append(statement.among(self._server.column(name), compared, type_) if compared else "FALSE")
            yield " AND ".join(conditions), statement.values

    async def dangling(self, deleted: Sequence[Record]) -> set[tuple[str, Key]]:
        """Returns the deleted records to which a row that counts still leads."""
        by_place: dict[str, list[Record]] = {}
        for record in deleted:
            by_place.setdefault(record.shape.place, []).append(record)
        names = {record.name for record in deleted}
        found: set[tuple[str, Key]] = set()
        for table in self._tables.values():
            for path in table.paths:
                end_rows = [(each.key, each.ref) for each in by_place.get(path.end.name, ())]
                for row, keys in (
                    await self._leading(table, path, end_rows, ReadOptions(sought=True)) if end_rows else ()
                ):
                    if (table.name, table.key(row)) not in names:
                        found |= {(path.end.name, key) for key in keys}
        for name in {name for name, _ in found}:  # a row that was only blanked still has an owner
            there = await self.by_key(self._tables[name], [key for place, key in found if place == name], lock=False)
            found -= {(name, key) for key in there}
        return found

    async def _name_all(self, table: StoreTable, path: JoinPath, found: FoundRows) -> None:
        """Names every row at the end of a path to which rows lead that it has found, whosever it is."""
        end, (near, far) = path.end, _joined_by(table, path)
        links = {
            key: near(found.rows[key])
            for key, targets in found.parents.items()
            if any(number == path.link for number, _ in targets)
        }
        names = [*path.join.on.values()]
        columns = tuple(dict.fromkeys([*names, *end.table.primary_key]))
        shown, by = self._server.shown(end.relation, columns), dict[Key, list[Key]]()
        wanted = sorted((key for key in {*links.values()} if None not in key), key=repr)
        for condition, parameters in self._near_conditions(end.relation, names, wanted):
            query = f"SELECT {shown} FROM {self._server.place(end.place)} t WHERE {condition}"
            for row in self._rows(columns, end.relation, await self._connection.fetch(query, *parameters)):
                by.setdefault(far(row), []).append(end.key(row))
        for key, compared in links.items():
            found.lead(key, ((path.link, each) for each in by.get(compared, ())))

    @staticmethod
    def _refer(
        link: Link, number: int, here: Sequence[str], there: Sequence[str], found: FoundRows, rows: Rows
    ) -> None:
        """Names the rows that were found to which these refer by a foreign key."""
        parents = rows[link.place].rows if found.rows and link.place in rows else {}
        reads, reads_there = _reads(here), _reads(there)
        to = {reads_there(parent): key for key, parent in parents.items()}
        for key, row in found.rows.items() if to else ():
            if (parent := to.get(reads(row))) is not None:
                found.lead(key, [(number, parent)])

    # Statements for the rows of a table.

    @staticmethod
    def records(table: StoreTable, found: FoundRows, stated: StoredStatements, *, data: bool) -> list[Record]:
        """The records of rows of one table."""
        if not (found.parents or stated):
            return [table.record(row, (), data=data) for row in found.rows.values()]
        return [
            table.record(row, tuple(found.parents.get(key, ())), stated.get(key, ()), data=data)
            for key, row in found.rows.items()
        ]


def _parts(found: FoundRows) -> Iterator[FoundRows]:
    """Yields the rows of a table, some at a time."""
    if len(found.rows) <= PAGE:
        yield from [found] if found.rows else []
        return
    keys = [*found.rows]
    for first in range(0, len(keys), PAGE):
        part = FoundRows({key: found.rows[key] for key in keys[first : first + PAGE]})
        part.parents = {key: found.parents[key] for key in part.rows if key in found.parents}
        yield part


def _joined_by(table: StoreTable, path: JoinPath) -> tuple[Callable[[Row], Key], Callable[[Row], Key]]:
    """Reads what a join compares, here and at its end: in small letters where both columns take any case."""
    here, there = table.relation.columns, path.end.relation.columns
    near, far = zip(*path.join.on.items(), strict=True)
    folded = [n for n, (a, b) in enumerate(path.join.on.items()) if here[a].any_case and there[b].any_case]
    reads, reads_there = _reads(near), _reads(far)
    if not folded:
        return reads, reads_there

    def fold(key: Key) -> Key:
        return tuple(part.lower() if n in folded and part is not None else part for n, part in enumerate(key))

    return lambda row: fold(reads(row)), lambda row: fold(reads_there(row))


def _reads(names: Sequence[str]) -> Callable[[Row], Key]:
    """Reads what a row holds in some columns, as text."""
    if len(names) == 1:
        [name] = names
        return lambda row: (as_text(row[name]),)
    return lambda row: tuple([as_text(row[name]) for name in names])
