"""Writes our own tables in a store: what was done for each task, the identity of the store, and statements.

Counts are noted in the transaction of the change. The row of a request holds a fencing token that only grows, so a
worker whose lease has expired can change nothing. A store is identified by an ID drawn when it was prepared and by its
tables: one restored from a dump is another store.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import orjson

from shared.domain.errors import Misconfigured
from shared.systems.engine.records import HiddenNumber, Key, NumberPeriod, Record, Statement, TaskNote, as_text
from shared.systems.sql.dataset import SIDE
from shared.systems.sql.server import Connection, Server, is_mariadb
from shared.systems.sql.server import SqlStatement as Sql
from shared.systems.sql.tables import StoreTable, in_utc

# ruff: noqa: S608 - names are quoted, and what comes from a request is a parameter

NOTE_RETENTION: Final = timedelta(days=400)
"""Longer than a task is tried again without anything being noted of it."""


class StoreNotes:
    """Our own tables of a store, by one connection within its transaction."""

    def __init__(self, server: Server, connection: Connection, system: str, store: str) -> None:
        self._server, self._connection, self._system, self._store = server, connection, system, store

    async def note(self, notes: Sequence[TaskNote]) -> Mapping[UUID, Counter[str]]:
        """Notes what this transaction has done; all that was noted of each task. One that is missing was overtaken."""
        if not self._server.combines:
            noted = [await self._note_one(note) for note in notes]
            return {note.task.task_id: counts for note, counts in zip(notes, noted, strict=True) if counts is not None}
        tasks = [note.task for note in notes]
        rows = await self._connection.fetch(
            _NOTE,
            self._system,
            [task.request_id for task in tasks],
            [task.task_id for task in tasks],
            *([task.fencing_token[part] for task in tasks] for part in range(3)),
            [orjson.dumps({name: n for name, n in note.counts.items() if n}).decode() for note in notes],
            [note.first for note in notes],
            self._store,
        )
        return {row[0]: Counter(orjson.loads(row[1])) for row in rows}

    async def _note_one(self, note: TaskNote) -> Counter[str] | None:
        task, request, token = note.task, str(note.task.request_id), note.task.fencing_token
        await self._connection.execute(_PUT, request, self._system, str(task.task_id), *token, self._store)
        found = await self._connection.fetch(_LOOK, request, self._system)
        same = await self._connection.fetch("SELECT id FROM dsr_platform.incarnation")
        if not found or tuple(found[0][1:4]) > token or [tuple(row) for row in same] != [(self._store,)]:
            return None
        before = Counter[str](orjson.loads(found[0][4])) if found[0][0] == str(task.task_id) else Counter[str]()
        counts = (before or Counter(note.counts)) if note.first else before + Counter(note.counts)
        counts_json = orjson.dumps(+counts).decode()
        await self._connection.execute(_UPDATE_NOTE, str(task.task_id), *token, counts_json, request, self._system)
        return +counts

    async def forget(self) -> None:
        """Forgets the requests of which nothing was noted for so long that no worker can still be asleep over them."""
        forget = "DELETE FROM dsr_platform.progress WHERE system = {} AND noted_at < CURRENT_TIMESTAMP - {}"
        if self._server.combines:
            await self._connection.execute(forget.format("$1", "$2::interval"), self._system, NOTE_RETENTION)
        else:
            seconds = NOTE_RETENTION // timedelta(seconds=1)
            await self._connection.execute(forget.format("?", "INTERVAL ? SECOND"), self._system, seconds)

    # Statements of people (Art. 16), by the column and the value that identify them in a row.

    async def stated(self, table: StoreTable, found: Collection[str]) -> Mapping[Key, tuple[Statement, ...]]:
        """Returns the statements of the people whom these values find, by primary key as text."""
        statements: dict[Key, list[Statement]] = {}
        for some in self._server.parts([*found]) if table.table.stated else ():
            where = Sql(self._server)
            condition = f"{self._statements_of(where, table)} AND {where.among('s.value', some, 'text')}"
            for key, *each in await self._connection.fetch(
                f"{self._selected} WHERE {condition} {_IN_ORDER}", *where.values
            ):
                statements.setdefault(_key_of(key), []).append(Statement(*each))
        return {key: tuple(each) for key, each in statements.items()}

    async def state(self, table: StoreTable, record: Record, statement: Statement, request: UUID) -> int:
        """Stores a statement for a row, after earlier ones about the same field; returns 1, or 0 if the row is gone.

        Statements of other requests stay. A statement that is already stored is not stored twice.
        """
        holder = [each.column for each in record.shape.holders].index(statement.column)
        if (value := record.holders[holder]) is None:
            return 0
        where = Sql(self._server)
        condition = f"{self._statements_of(where, table)} AND {where.among(self._key, [_text_of(record.key)], 'text')}"
        condition += f" AND {where.among('s.found_by', [statement.column], 'text')}"
        condition += f" AND {where.among('s.field', [statement.field], 'text')}"
        stored = await self._connection.fetch(
            f"SELECT s.said, s.stated_on FROM {_STATED} WHERE {condition}", *where.values
        )
        if stored:
            [(text, stated_on)] = stored
            if f"\n{statement.field}: {statement.text} (" in f"\n{statement.field}: {text} (":
                return 1
            fresh = f"{text} ({stated_on.isoformat()})\n{statement.field}: {statement.text}"
            await self._connection.execute(f"DELETE {self._alias}FROM {_STATED} WHERE {condition}", *where.values)
        else:
            fresh = statement.text
        row = Sql(self._server)
        types = ("text", "text", "text", "text", "text", "text", "text", "date", "uuid")
        row_values: tuple[Any, ...] = (self._system, table.name, _text_of(record.key), statement.column, value)
        row_values = (*row_values, statement.field, fresh, statement.stated_on, self._id(request))
        marks = ", ".join(row.value(each, type_) for each, type_ in zip(row_values, types, strict=True))
        columns = f"system, place, {self._server.quoted('key')}, found_by, value, field, said, stated_on, request_id"
        return await self._connection.execute(
            f"INSERT INTO dsr_platform.stated ({columns}) VALUES ({marks})", *row.values
        )

    async def stating(self, table: StoreTable, keys: Collection[Key] | None) -> Mapping[Key, list[tuple[str, str]]]:
        """Returns the column and value of each statement for these rows, or all, by primary key as text."""
        where = Sql(self._server)
        condition = self._statements_of(where, table)
        if keys is not None:
            condition += f" AND {where.among(self._key, [_text_of(key) for key in keys], 'text')}"
        query = f"SELECT {self._key}, s.found_by, s.value FROM {_STATED} WHERE {condition}"
        found: dict[Key, list[tuple[str, str]]] = {}
        for key, column, value in await self._connection.fetch(query, *where.values):
            found.setdefault(_key_of(key), []).append((column, value))
        return found

    async def take_out(self, table: StoreTable, key: Key, column: str) -> None:
        """Deletes statements about a row that is deleted, or that no longer names their author."""
        where = Sql(self._server)
        condition = f"{self._statements_of(where, table)} AND {where.among(self._key, [_text_of(key)], 'text')}"
        condition += f" AND {where.among('s.found_by', [column], 'text')}"
        await self._connection.execute(f"DELETE {self._alias}FROM {_STATED} WHERE {condition}", *where.values)

    def _statements_of(self, where: Sql, table: StoreTable) -> str:
        return f"{where.among('s.system', [self._system], 'text')} AND {where.among('s.place', [table.name], 'text')}"

    @property
    def _selected(self) -> str:
        return f"SELECT {self._key}, s.found_by, s.field, s.said, s.stated_on FROM {_STATED}"

    @property
    def _key(self) -> str:
        return f"s.{self._server.quoted('key')}"

    @property
    def _alias(self) -> str:
        return "" if self._server.combines else "s "

    def _id(self, request: UUID) -> object:
        return request if self._server.combines else str(request)


def _text_of(key: Key) -> str:
    return orjson.dumps([as_text(each) for each in key]).decode()


def _key_of(text: str) -> Key:
    return tuple(orjson.loads(text))


def as_texts(key: Key) -> Key:
    """Returns a primary key as statements name it."""
    return tuple(as_text(each) for each in key)


class SideTable:
    """The side table with the numbers that readers must not see, each in its period."""

    def __init__(self, server: Server, connection: Connection, side: str, types: Mapping[str, str]) -> None:
        self._server, self._connection, self._side, self._types = server, connection, side, types
        self._source = server.place((server.namespace, side))

    @property
    def place(self) -> str:
        """Its name."""
        return self._side

    async def listed(self, requests: Collection[UUID]) -> Sequence[HiddenNumber]:
        """Returns the entries of these requests."""
        shown, found = ", ".join(map(self._server.column, SIDE[:4])), list[HiddenNumber]()
        for some in self._server.parts([*requests]):
            condition, values = self._entries_of(some)
            rows = await self._connection.fetch(f"SELECT {shown} FROM {self._source} t WHERE {condition}", *values)
            found += [
                (UUID(as_text(of)), NumberPeriod(number, in_utc(since), in_utc(until)))
                for of, number, since, until in rows
            ]
        return found

    async def put(self, spans: Sequence[HiddenNumber], *, kept: bool = False) -> int:
        """Adds missing entries and returns their number; ``kept``: for records that an erasure left."""
        if kept:
            await self._remove_unkept(spans)
        listed = {*await self.listed({request for request, _ in spans})}
        rows = [(*self._row(each), kept) for each in dict.fromkeys(spans) if each not in listed]
        types, put = tuple(map(self._type, SIDE)), 0
        for some in self._server.parts(rows):
            statement = Sql(self._server)
            marks = [", ".join(map(statement.value, row, types)) for row in some]
            columns = ", ".join(map(self._server.quoted, SIDE))
            into = f"INTO {self._source} ({columns}) VALUES {', '.join(f'({each})' for each in marks)}"
            into = f"INSERT {into} ON CONFLICT DO NOTHING" if self._server.combines else f"INSERT IGNORE {into}"
            put += await self._connection.execute(into, *statement.values)
        return put

    async def _remove_unkept(self, spans: Sequence[HiddenNumber]) -> None:
        """Removes the requests' entries of these numbers that do not say ``kept``, so that new ones can."""
        for some in self._server.parts(spans):
            condition, values = self._entries_of([*{request for request, _ in some}])
            statement = Sql(self._server)
            statement.values += values
            of_numbers = statement.among(self._server.column(SIDE[1]), [*{span.number for _, span in some}], "text")
            unkept = f"{condition} AND {of_numbers} AND NOT {self._server.column(SIDE[4])}"
            await self._connection.execute(f"{self._deletes} WHERE {unkept}", *statement.values)

    def _row(self, listed: HiddenNumber) -> tuple[object, ...]:
        request, span = listed
        return self._id(request), span.number, self._at(span.since), self._at(span.until)

    def _type(self, name: str) -> str:
        type_ = self._types[name]
        return "timestamp with time zone" if type_.startswith("timestamp") else type_

    async def take(self, request: UUID, spans: Sequence[NumberPeriod] | None = None) -> int:
        """Removes these, or all of the request; how many."""
        condition, values = self._entries_of([request])
        if spans is None:
            return await self._connection.execute(f"{self._deletes} WHERE {condition}", *values)
        removed = 0
        for span in spans:
            statement = Sql(self._server)
            statement.values += values
            one = f"{condition} AND {statement.among(self._server.column(SIDE[1]), [span.number], 'text')}"
            for name, moment in zip(SIDE[2:4], (span.since, span.until), strict=True):
                mark = statement.value(self._at(moment), self._type(name))
                one += f" AND NOT ({self._server.differs(self._server.column(name), mark)})"
            removed += await self._connection.execute(f"{self._deletes} WHERE {one}", *statement.values)
        return removed

    async def kept(self, numbers: Collection[str]) -> Sequence[NumberPeriod]:
        """Returns the periods in which an erasure kept records of these numbers."""
        found: list[NumberPeriod] = []
        for some in self._server.parts([*numbers]):
            statement = Sql(self._server)
            condition = (
                f"{statement.among(self._server.column(SIDE[1]), some, 'text')} AND {self._server.column(SIDE[4])}"
            )
            query = f"SELECT {', '.join(map(self._server.column, SIDE[1:4]))} FROM {self._source} t WHERE {condition}"
            rows = await self._connection.fetch(query, *statement.values)
            found += [NumberPeriod(number, in_utc(since), in_utc(until)) for number, since, until in rows]
        return found

    @property
    def _deletes(self) -> str:
        return f"DELETE {'' if self._server.combines else 't '}FROM {self._source} t"

    def _entries_of(self, requests: Sequence[UUID]) -> tuple[str, list[object]]:
        statement, ids = Sql(self._server), [*map(self._id, requests)]
        condition = statement.among(self._server.column(SIDE[0]), ids, self._types[SIDE[0]])
        return condition, statement.values

    def _id(self, request: UUID) -> object:
        return request if self._server.combines else str(request)

    def _at(self, moment: datetime | None) -> datetime | None:
        if moment is None or self._server.combines:
            return moment
        return moment.astimezone(UTC).replace(tzinfo=None)


def schema_for(dsn: str) -> str:
    """Returns what the owner of a store runs once, for the user whom a connection string names; harmless when repeated.

    Raises:
        Misconfigured: it names none.
    """
    if is_mariadb(dsn):
        from shared.systems.sql.mariadb import Address  # noqa: PLC0415  # the driver of what is used alone

        user = Address.of(dsn).user.replace("\\", "\\\\").replace("'", "''")
        return _MARIADB.format(user=f"'{user}'@'%'")
    from shared.systems.sql.postgresql import user_of  # noqa: PLC0415

    if not (user := user_of(dsn)):
        raise Misconfigured("the connection string names no user; write postgresql://USER@HOST/DATABASE")
    quoted = '"' + user.replace('"', '""') + '"'
    return _POSTGRESQL.format(role=quoted)


_STATED = "dsr_platform.stated s"
_IN_ORDER = "ORDER BY s.stated_on, s.field"
_NOTE = """
INSERT INTO dsr_platform.progress AS p (request_id, system, task_id, token, counts)
SELECT request_id, $1, task_id, ARRAY[opened, stage, attempt], CASE WHEN first THEN counts || '{"": 1}' ELSE counts END
FROM unnest($2::uuid[], $3::uuid[], $4::bigint[], $5::bigint[], $6::bigint[], $7::jsonb[], $8::boolean[])
     AS n (request_id, task_id, opened, stage, attempt, counts, first)
WHERE (SELECT id::text FROM dsr_platform.incarnation) = $9
ORDER BY request_id
ON CONFLICT (request_id, system) DO UPDATE
SET task_id = excluded.task_id, token = excluded.token, noted_at = excluded.noted_at,
    counts = CASE WHEN p.task_id <> excluded.task_id OR p.counts - '' = '{}' THEN excluded.counts
                  WHEN excluded.counts ? '' OR excluded.counts = '{}' THEN p.counts
                  ELSE (SELECT jsonb_object_agg(category, n)
                        FROM (SELECT category, sum(n::bigint) AS n
                              FROM (SELECT * FROM jsonb_each_text(p.counts)
                                    UNION ALL SELECT * FROM jsonb_each_text(excluded.counts)) AS each (category, n)
                              GROUP BY category) AS total) END
WHERE p.token <= excluded.token
RETURNING p.task_id, p.counts - ''
"""
_PUT = """
INSERT IGNORE INTO dsr_platform.progress (request_id, system, task_id, opened, stage, attempt, counts)
SELECT ?, ?, ?, ?, ?, ?, '{}' FROM dsr_platform.incarnation WHERE id = ?
"""
_LOOK = """
SELECT task_id, opened, stage, attempt, counts FROM dsr_platform.progress
WHERE request_id = ? AND system = ? FOR UPDATE
"""
_UPDATE_NOTE = """
UPDATE dsr_platform.progress
SET task_id = ?, opened = ?, stage = ?, attempt = ?, counts = ?, noted_at = CURRENT_TIMESTAMP(6)
WHERE request_id = ? AND system = ?
"""
# Two tasks of one request in one database are of different systems of the downstreams file. ``progress`` and
# ``incarnation`` are not about people; ``stated`` is. Keys of rows were jsonb once.
_POSTGRESQL = """\
CREATE SCHEMA IF NOT EXISTS dsr_platform;
CREATE TABLE IF NOT EXISTS dsr_platform.progress (
    request_id uuid        NOT NULL,
    system     text        NOT NULL,
    task_id    uuid        NOT NULL,
    token      bigint[]    NOT NULL,
    counts     jsonb       NOT NULL,
    noted_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (request_id, system)
) WITH (fillfactor = 70);
CREATE TABLE IF NOT EXISTS dsr_platform.incarnation (
    id  uuid    NOT NULL DEFAULT gen_random_uuid(),
    one boolean PRIMARY KEY DEFAULT true CHECK (one)
);
INSERT INTO dsr_platform.incarnation DEFAULT VALUES ON CONFLICT DO NOTHING;
CREATE TABLE IF NOT EXISTS dsr_platform.stated (
    system     text NOT NULL,
    place      text NOT NULL,
    key        text NOT NULL,
    found_by   text NOT NULL,
    value      text NOT NULL,
    field      text NOT NULL,
    said       text NOT NULL,
    stated_on  date NOT NULL,
    request_id uuid NOT NULL,
    PRIMARY KEY (system, place, key, found_by, field)
);
CREATE INDEX IF NOT EXISTS stated_by ON dsr_platform.stated (system, place, value);
ALTER TABLE dsr_platform.stated ALTER COLUMN key TYPE text USING replace(key::text, '", "', '","');
GRANT USAGE ON SCHEMA dsr_platform TO {role};
GRANT SELECT ON dsr_platform.incarnation TO {role};
GRANT SELECT, INSERT, UPDATE, DELETE ON dsr_platform.progress TO {role};
GRANT SELECT, INSERT, UPDATE, DELETE ON dsr_platform.stated TO {role};
"""
# GRANT REFERENCES lets it know of every foreign key to a declared table, and read or change nothing.
_MARIADB = """\
CREATE DATABASE IF NOT EXISTS dsr_platform CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE TABLE IF NOT EXISTS dsr_platform.progress (
    request_id char(36)    NOT NULL,
    system     varchar(255) NOT NULL,
    task_id    char(36)    NOT NULL,
    opened     bigint      NOT NULL,
    stage      bigint      NOT NULL,
    attempt    bigint      NOT NULL,
    counts     longtext    NOT NULL,
    noted_at   datetime(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    PRIMARY KEY (request_id, system)
) ENGINE = InnoDB;
CREATE TABLE IF NOT EXISTS dsr_platform.incarnation (
    one tinyint  NOT NULL PRIMARY KEY CHECK (one = 1),
    id  char(36) NOT NULL
) ENGINE = InnoDB;
INSERT IGNORE INTO dsr_platform.incarnation VALUES (1, uuid());
CREATE TABLE IF NOT EXISTS dsr_platform.stated (
    system     varchar(100) NOT NULL,
    place      varchar(64)  NOT NULL,
    `key`      varchar(400) NOT NULL,
    found_by   varchar(64)  NOT NULL,
    value      varchar(255) NOT NULL,
    field      varchar(100) NOT NULL,
    said       longtext     NOT NULL,
    stated_on  date         NOT NULL,
    request_id char(36)     NOT NULL,
    PRIMARY KEY (system, place, `key`, found_by, field),
    KEY stated_by (system, place, value)
) ENGINE = InnoDB;
GRANT SELECT ON dsr_platform.incarnation TO {user};
GRANT SELECT, INSERT, UPDATE, DELETE ON dsr_platform.progress TO {user};
GRANT SELECT, INSERT, UPDATE, DELETE ON dsr_platform.stated TO {user};
GRANT REFERENCES ON *.* TO {user};
"""
