"""Adapts a SQL store to the engine: each unit is one transaction, after a check of its tables."""

import logging
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from hashlib import sha256
from typing import Final
from uuid import UUID

from shared.domain.errors import SystemRefused
from shared.systems.engine.ownership import wall_clock
from shared.systems.engine.records import (
    AppliedChanges,
    ChangeKind,
    HiddenNumbers,
    Page,
    Record,
    RecordChange,
    RecordName,
    SearchKey,
    Shape,
    SubjectSearch,
    TaskNote,
    as_text,
)
from shared.systems.sql import values
from shared.systems.sql.catalog import (
    DATE,
    ZONED,
    ZONELESS,
    Catalog,
    DatasetOutdated,
    ForeignKeys,
    deletion_order,
    named_in,
    refuse_fixed,
    refuse_missing,
    refuse_unmapped,
)
from shared.systems.sql.change import RowWriter, cut_to_unit
from shared.systems.sql.dataset import SIDE, Dataset, Tenancy
from shared.systems.sql.notes import SideTable, StoreNotes, as_texts
from shared.systems.sql.search import PAGE, FoundRows, ReadOptions, SqlSearch, StoredStatements
from shared.systems.sql.server import Connection, Server, SqlStatement, is_mariadb
from shared.systems.sql.settings import SqlSettings
from shared.systems.sql.tables import StoreTable, declared_tables
from shared.systems.sweepable import DueRecords

# ruff: noqa: S608 - names are quoted, and what comes from a request is a parameter

log = logging.getLogger(__name__)

UNATTRIBUTED_AT_MOST: Final = 100_000


@dataclass(frozen=True)
class _CatalogCache:
    """The catalogs as last read, the tables by tenant made of them, and the identity of the store."""

    fingerprint: str
    catalog: Catalog
    references: ForeignKeys
    dataset: str
    tables: dict[str | None, Mapping[str, StoreTable]]
    store: str = ""


class SqlUnit:
    """One transaction in a store, or one moment of it."""

    def __init__(
        self,
        server: Server,
        connection: Connection,
        tables: Mapping[str, StoreTable],
        seen: _CatalogCache,
        notes: StoreNotes,
        numbers: SideTable | None,
        *,
        reading: bool,
    ) -> None:
        self._server, self._connection, self._tables, self._seen = server, connection, tables, seen
        self._notes, self._numbers, self._reading = notes, numbers, reading
        self._search = SqlSearch(server, connection, tables)
        self._changing = RowWriter(server, connection, tables, seen.catalog, seen.references, notes, seen.dataset)

    @property
    def shapes(self) -> Sequence[Shape]:
        """Its tables, the ends of paths before what leads to them."""
        return [table.shape for table in self._tables.values()]

    @property
    def order(self) -> Sequence[str]:
        """Its tables, those that refer to others before these."""
        return [name for name in self._seen.references.order if name in self._tables]

    remembers = True

    @property
    def numbers(self) -> HiddenNumbers | None:
        """Returns the side table with the numbers that readers must not see."""
        return self._numbers

    async def find(
        self, subjects: Sequence[SubjectSearch], *, lock: bool = False, data: bool = False, most: int | None = None
    ) -> AsyncGenerator[Page]:
        """All rows that may be one of the subjects'; ``most``: once there are more than that, the rest is not read."""
        own = {str(subject.task.request_id) for subject in subjects}
        async with aclosing(self._search.find(subjects, lock=lock, data=data, most=most)) as found_pages:
            async for table, found in found_pages:
                self._leave_out(table, found, own)
                keys = (key for subject in subjects for key in subject.keys.get(table.name, ()))
                stated = await self._stated(table, {key.value for key in keys} if data else (), found)
                yield self._search.records(table, found, stated, data=data)

    def clears(self, subjects: Sequence[SubjectSearch]) -> bool:
        """Whether the server alone can tell whose the rows are."""
        return all(self._tables[name].exact for subject in subjects for name in subject.keys)

    async def count(self, subjects: Sequence[SubjectSearch]) -> Sequence[int]:
        """Counts the rows of each subject."""
        counts = [0] * len(subjects)
        for name in self._places(subjects):
            statement, place = SqlStatement(self._server), self._server.place(self._tables[name].place)
            owner, found = self._search.exactly(self._tables[name], _keys(subjects, name), statement)
            query = f"SELECT k.n, count(*) FROM {place} t, {owner} WHERE {found} GROUP BY k.n"
            for n, rows in await self._connection.fetch(query, *statement.values):
                counts[n] += rows
        return counts

    async def clear(self, subjects: Sequence[SubjectSearch], most: int) -> Sequence[Counter[str]]:
        """Deletes rows of such subjects."""
        deleted_counts = [Counter[str]() for _ in subjects]
        for name in self._places(subjects):
            self._seen.references.refuse_undeclared(self._seen.dataset)
            statement, place = SqlStatement(self._server), self._server.place(self._tables[name].place)
            owner, found = self._search.exactly(self._tables[name], _keys(subjects, name), statement)
            some = f"SELECT t.ctid FROM {place} t, {owner} WHERE {found} LIMIT {most}"
            deleted = f"DELETE FROM {place} t USING {owner} WHERE t.ctid = ANY(ARRAY({some})) AND {found} RETURNING k.n"
            query = f"WITH gone AS ({deleted}) SELECT n, count(*) FROM gone GROUP BY n"
            for n, rows in await self._connection.fetch(query, *statement.values):
                deleted_counts[n][name] = rows
                most -= rows
        return deleted_counts

    def _places(self, subjects: Sequence[SubjectSearch]) -> list[str]:
        return [name for name in self._tables if any(name in subject.keys for subject in subjects)]

    def clears_past(self, due: DueRecords) -> bool:
        """Whether rows of the table can go unread."""
        return self._tables[due.table].clear

    async def count_past(self, due: DueRecords) -> int:
        """Counts the rows past that day."""
        place, condition, values, _ = self._past(due)
        return int((await self._connection.fetch(f"SELECT count(*) FROM {place} t WHERE {condition}", *values))[0][0])

    async def clear_past(self, due: DueRecords, most: int) -> int:
        """Deletes the oldest of them."""
        self._seen.references.refuse_undeclared(self._seen.dataset)
        place, condition, values, anchor = self._past(due)
        some = f"SELECT t.ctid FROM {place} t WHERE {condition} ORDER BY {anchor} LIMIT {most}"
        return await self._connection.execute(
            f"DELETE FROM {place} t WHERE t.ctid = ANY(ARRAY({some})) AND {condition}", *values
        )

    def _past(self, due: DueRecords) -> tuple[str, str, Sequence[object], str]:
        statement, table = SqlStatement(self._server), self._tables[due.table]
        anchor = self._server.column(table.table.anchors[due.anchor])
        condition = f"{anchor} < {statement.value(*_before(self._server, table, due))}"
        return self._server.place(table.place), condition, statement.values, anchor

    def _leave_out(self, table: StoreTable, found: FoundRows, requests: Collection[str]) -> None:
        """Leaves out a request's own entries in the side table."""
        if self._numbers and self._numbers.place == table.name and SIDE[0] in table.columns:
            for key in [key for key, row in found.rows.items() if as_text(row[SIDE[0]]) in requests]:
                del found.rows[key]

    async def _stated(self, table: StoreTable, values_: Collection[str], found: FoundRows) -> StoredStatements:
        """Returns the statements for the rows found."""
        texts = await self._notes.stated(table, values_) if values_ and found.rows else {}
        return {key: texts[as_texts(key)] for key in found.rows if as_texts(key) in texts} if texts else {}

    async def unchanged(self, records: Sequence[Record]) -> Sequence[Record]:
        """Locks these records and returns those that are unchanged."""
        same: list[Record] = []
        for table, records_of_table in self._by_table(records):
            rows = await self._search.by_key(table, [record.key for record in records_of_table], lock=True)
            same += [record for record in records_of_table if rows.get(record.key) == record.ref]
        return same

    async def again(self, records: Sequence[Record], *, data: bool = False) -> Sequence[Record]:
        """The same as they are now, locked."""
        now: dict[RecordName, Record] = {}
        for table, records_of_table in self._by_table(records):
            rows = await self._search.by_key(table, [record.key for record in records_of_table], lock=True, data=data)
            found = FoundRows(rows)
            for record in (record for record in records_of_table if record.key in rows and record.parents):
                found.lead(record.key, record.parents)
            holders = (
                {value for each in records_of_table for value in each.holders if value is not None}
                if data
                else set[str]()
            )
            stated = await self._stated(table, holders, found)
            now |= {each.name: each for each in self._search.records(table, found, stated, data=data)}
        return [now[record.name] for record in records if record.name in now]

    def _by_table(self, records: Sequence[Record]) -> Iterator[tuple[StoreTable, list[Record]]]:
        by_place: dict[str, list[Record]] = {}
        for record in records:
            by_place.setdefault(record.shape.place, []).append(record)
        return ((self._tables[name], records_of_table) for name, records_of_table in by_place.items())

    async def apply(self, changes: Sequence[RecordChange], *, skip_referenced: bool = False) -> AppliedChanges:
        """Changes these rows."""
        applied = await self._changing.apply(changes, skip_referenced=skip_referenced)
        for name in {
            change.shape.place
            for change in changes
            if change.kind not in {ChangeKind.STATE, ChangeKind.MARK, ChangeKind.UNMARK}
        }:
            table = self._tables[name]
            if table.table.stated:
                touched = [r.key for c in changes if c.shape.place == name for r in c.records]
                await self.take_out(table, touched)
        return applied

    async def take_out(self, table: StoreTable, keys: Sequence[tuple[object, ...]] | None = None) -> None:
        """Deletes statements about rows that are deleted or no longer name their author: these rows, or all."""
        for some in self._server.parts(keys) if keys is not None else (None,):
            stating = await self._notes.stating(table, some)
            if not stating:
                continue
            there = await self._search.by_texts(table, [*stating])
            for key, stated_by in stating.items():
                row = there.get(key)
                for column, value in stated_by:
                    current = row and values.compared(table.table, table.relation, column, row)
                    if current != value:
                        await self._notes.take_out(table, key, column)

    async def note(self, notes: Sequence[TaskNote]) -> Mapping[UUID, Counter[str]]:
        """Notes in this transaction what it does."""
        return await self._notes.note(notes)

    async def dangling(self, deleted: Sequence[Record]) -> Collection[RecordName]:
        """Returns the deleted rows to which another still leads."""
        return await self._search.dangling(deleted)

    async def unattributed(self) -> int:
        """Counts rows with a number of unknown owner or an unknown tenant, up to a limit."""
        rows = 0
        for table in self._tables.values():
            if where := " OR ".join([*self._underivable(table), *self._without_tenant(table)]):
                source = self._server.place(table.place)
                limited = f"SELECT 1 FROM {source} t WHERE {where} LIMIT {UNATTRIBUTED_AT_MOST}"
                rows += int((await self._connection.fetch(f"SELECT count(*) FROM ({limited}) x"))[0][0])
        return rows

    def _underivable(self, table: StoreTable) -> list[str]:
        """Returns conditions for rows that have a value and no derived one, provable by an index."""
        lost, columns, literal = [], table.table.columns, self._server.literal
        for raw in dict.fromkeys(column.of for column in columns.values() if column.of):
            derived = {name: column for name, column in columns.items() if column.of == raw}
            party = next(iter(derived.values())).party
            words = [*(table.table.parties[party].placeholders if party else ("",))]
            none = " AND ".join(f"{self._server.column(name)} IS NULL" for name in derived)
            raw_column = self._server.column(raw)
            other = f" AND {self._server.text(raw)} NOT IN ({', '.join(map(literal, words))})" if words else ""
            lost.append(f"({none} AND {raw_column} IS NOT NULL{other}{self._of_tenant(table)})")
        return lost

    def _of_tenant(self, table: StoreTable) -> str:
        """Returns the condition that a row belongs to the tenant, in declared words only."""
        literal = self._server.literal
        return "".join(f" AND {column} IN ({', '.join(map(literal, words))})" for column, words in table.tenant_words)

    def _without_tenant(self, table: StoreTable) -> list[str]:
        """Returns the condition that a row belongs neither to the company nor to a tenant."""
        if table.table.tenant is None or table.tenant is not None:
            return []
        known = [value for owners in table.tenancy.values.values() for value in owners]
        return [f"({self._server.outside(self._server.lower(self._server.column(table.table.tenant)), known)})"]

    async def reference(self, records: Sequence[Record]) -> Sequence[str]:
        """Returns a digest of each primary key with the store's ID, since a key may identify a person."""
        contents = (f"{self._seen.store}{[as_text(part) for part in record.key]!r}" for record in records)
        digests = (sha256(each.encode()).hexdigest() for each in contents)
        return [f"{record.shape.place} {digest}" for record, digest in zip(records, digests, strict=True)]

    async def past(self, due: DueRecords, after: Record | None, *, most: int) -> Page:
        """The next rows whose anchor lies before a day, by age, locked if they may be changed."""
        table = self._tables[due.table]
        anchor = table.table.anchors[due.anchor]
        statement = SqlStatement(self._server)
        order = (anchor, *(name for name in table.table.primary_key if name != anchor))
        condition = f"{self._server.column(anchor)} < {statement.value(*_before(self._server, table, due))}"
        if due.then == "anonymise":
            refuse_unmapped(table.table, table.name, table.relation, reading=True)
            condition += f" AND {self._not_anonymised(table, statement)}"
        if after is not None:
            condition += f" AND {_after(self._server, table, order, after, statement)}"
        by = ", ".join(map(self._server.column, order))
        how = ReadOptions(lock=not self._reading, order=by, more=f" LIMIT {most}")
        read = await self._search.read(table, condition, statement.values, how)
        found = FoundRows({table.key(row): row for row in read})
        return self._search.records(table, found, {}, data=False)

    def _not_anonymised(self, table: StoreTable, statement: SqlStatement) -> str:
        """Returns the condition that a row is not anonymised yet."""
        declared, types = table.table.anonymise, table.relation.types
        if declared is None:
            raise DatasetOutdated(
                f"{table.name} does not say what becomes of its columns: write anonymous in them, or delete"
            )
        blank = {
            name: self._server.typed(statement, table.table.columns[name].blank, types[name]) for name in declared.blank
        }
        coarse = {name: cut_to_unit(self._server, table, name, unit) for name, unit in declared.coarsen.items()}
        differences = (
            self._server.differs(self._server.column(name), value) for name, value in {**blank, **coarse}.items()
        )
        return f"({' OR '.join(differences)})"

    async def size(self, place: str) -> int:
        """Counts the rows of a table."""
        query = f"SELECT count(*) FROM {self._server.place(self._tables[place].place)}"
        return int((await self._connection.fetch(query))[0][0])

    async def forget(self) -> None:
        """Deletes notes of old requests, and statements about deleted rows."""
        await self._notes.forget()
        for table in self._tables.values():
            if table.table.stated:
                await self.take_out(table)

    async def rows_of(self, place: str, after: Record | None) -> Page:
        """The next rows of a table that count, in the order of their keys."""
        table = self._tables[place]
        statement = SqlStatement(self._server)
        order = table.table.primary_key
        condition = _after(self._server, table, order, after, statement) if after else "TRUE"
        read = await self._search.read(table, condition, statement.values, ReadOptions(more=f" LIMIT {PAGE}"))
        found = FoundRows({table.key(row): row for row in read})
        return self._search.records(table, found, {}, data=False)


def _keys(subjects: Sequence[SubjectSearch], place: str) -> list[tuple[int, SearchKey]]:
    return [(n, key) for n, subject in enumerate(subjects) for key in subject.keys.get(place, ())]


def _before(server: Server, table: StoreTable, due: DueRecords) -> tuple[date | datetime, str]:
    """Returns the exclusive upper bound of due rows, in the type of the column."""
    anchor = table.table.anchors[due.anchor]
    type_ = table.relation.types[anchor]
    midnight = datetime.combine(due.first_kept, time(), due.zone)
    match type_:
        case "date":
            return due.first_kept, DATE
        case "timestamp without time zone":
            return wall_clock(midnight, table.table.timezone, earliest=True), ZONELESS
        case "timestamp with time zone":
            moment = midnight.astimezone(UTC)
            return moment if server.combines else moment.replace(tzinfo=None), ZONED
        case _:
            raise DatasetOutdated(
                f"{table.name}: anchor {due.anchor} names {anchor}, which holds no date and no timestamp"
                f" ({type_}): name a column that does"
            )


def _after(server: Server, table: StoreTable, order: Sequence[str], last: Record, statement: SqlStatement) -> str:
    """Returns the condition that a row comes after another in that order; rows with NULL are left out."""
    conditions: list[str] = []
    types = [table.relation.types[name] for name in order]
    last_values = [last.ref[name] for name in order]
    first = f"{server.column(order[0])} >= {statement.value(last_values[0], types[0])}"
    for n, name in enumerate(order):
        same = "".join(
            f"{server.column(each)} = {statement.value(last_values[k], types[k])} AND "
            for k, each in enumerate(order[:n])
        )
        conditions.append(f"({same}{server.column(name)} > {statement.value(last_values[n], types[n])})")
    return f"{first} AND ({' OR '.join(conditions)})"


class SqlSystem:
    """One SQL store that holds personal data as its dataset declares."""

    part = 2_000

    def __init__(self, name: str, settings: SqlSettings, environment: Mapping[str, str]) -> None:
        dsn = environment[settings.dsn_env]
        self.name = name
        self.settings = self.limits = settings
        self.dataset = Dataset.load(settings.dataset)
        self.tenancy = Tenancy.of(settings, self.dataset)
        self.incarnation = ""
        namespace = settings.namespace if "namespace" in settings.model_fields_set else None
        self.server = server_of(name, dsn, namespace, settings.connections, settings.timeout_seconds)
        self._seen: _CatalogCache | None = None

    def knows(self, tenant: str | None) -> bool:
        """Whether it tells that tenant's data apart; None: ours."""
        return self.tenancy.knows(tenant)

    async def close(self) -> None:
        """Ends all sessions."""
        await self.server.close()

    @asynccontextmanager
    async def unit(
        self, tenant: str | None = None, *, reading: bool = False, known: bool = False
    ) -> AsyncIterator[SqlUnit]:
        """One transaction whose tables were looked at just now; ``reading`` is stricter about unclassified columns.

        ``known``: they were for the unit before this one.

        Raises:
            Refused: the tables are not as declared, or the store is not prepared for being changed.
            Unavailable: it is away or busy.
        """
        async with self.server.connection() as connection, connection.transaction(reading=reading):
            seen = self._seen
            if seen is None or not (known and (reading or seen.store)):
                seen = await self._look(connection, reading=reading)
            if tenant not in seen.tables:
                seen.tables[tenant] = declared_tables(
                    self.dataset, self.server, seen.catalog, seen.references, self.tenancy, tenant
                )
            notes = StoreNotes(self.server, connection, self.name, seen.store)
            numbers = self._numbers(connection, seen) if tenant is None else None
            yield SqlUnit(self.server, connection, seen.tables[tenant], seen, notes, numbers, reading=reading)

    def _numbers(self, connection: Connection, seen: _CatalogCache) -> SideTable | None:
        if (side := self.dataset.restrict) is None:
            return None
        types = seen.catalog.relations[self.server.namespace, side].types
        return SideTable(self.server, connection, side, types)

    async def _look(self, connection: Connection, *, reading: bool) -> _CatalogCache:
        """Reads the catalogs of the dataset's tables again if they changed."""
        namespace = self.server.namespace
        places = named_in(self.dataset, namespace).keys()
        state, seen = await self.server.look(connection, places, reading=reading), self._seen
        if seen is None or seen.fingerprint != state.fingerprint:
            catalog = await self.server.catalog(connection, places)
            refuse_missing(self.dataset, namespace, catalog)
            references = deletion_order(self.dataset, namespace, catalog.references)
            seen = _CatalogCache(state.fingerprint, catalog, references, self.dataset.name, {})
        self._seen = seen = replace(seen, store=state.store)
        for name, table in self.dataset.tables.items():
            relation = seen.catalog.relations[namespace, name]
            refuse_unmapped(table, name, relation, reading=reading)
            if not reading:
                refuse_fixed(table, name, relation)
        if reading:
            return seen
        if not seen.catalog.sees_all:
            raise SystemRefused(
                f"{self.dataset.name}: this user does not see every table that refers to a declared one; let the owner"
                " run what `dsr downstreams prepare FILE` prints (GRANT REFERENCES ON *.*, which reads and changes"
                " nothing)"
            )
        incarnation = f"{state.store}/{state.tables_id}"
        if self.incarnation not in {"", incarnation}:
            log.warning("%s is another store than before: it was restored from a dump or rebuilt", self.name)
        self.incarnation = incarnation
        return seen


def server_of(name: str, dsn: str, namespace: str | None = None, most: int = 4, seconds: float = 60) -> Server:
    """The server to which a connection string leads; its code is imported when it is used."""
    if is_mariadb(dsn):
        from shared.systems.sql.mariadb import Maria  # noqa: PLC0415

        return Maria(name, dsn, namespace=namespace or "", most=most, seconds=seconds)
    from shared.systems.sql.postgresql import Postgres  # noqa: PLC0415

    return Postgres(name, dsn, namespace=namespace or "public", most=most, seconds=seconds)
