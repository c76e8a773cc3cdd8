"""PostgreSQL as a server of a store: sessions, errors, its catalogs, and how its dialect writes statements."""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from hashlib import sha256
from itertools import pairwise
from typing import Any, ClassVar, Final, cast
from urllib.parse import parse_qs, unquote, urlsplit

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from shared.domain.errors import ColumnUnmapped, Refused, SignInRefused, SystemRefused, TableMissing, Unavailable
from shared.systems.engine.records import Key, LockConflict
from shared.systems.sql.catalog import DATE, PADDED, TEXT, ZONED, ZONELESS, Catalog, ForeignKey, Relation, SeenColumn
from shared.systems.sql.declaration import Column
from shared.systems.sql.server import Connection, Server, SqlStatement, StoreState, StoreUnprepared, TableName

# ruff: noqa: S608 - names are quoted, and what comes from a request is a parameter

# Indexes find the rows, whatever the statistics say today: the plan must not depend on how many subjects come together.
# A plan for any number of values is made once per connection.
_SESSION: Final = {
    "enable_seqscan": "off",
    "enable_nestloop": "off",
    "enable_mergejoin": "off",
    "jit": "off",
    "plan_cache_mode": "force_generic_plan",
    "application_name": "dsr",
    "row_security": "on",
    "lock_timeout": "300ms",  # below deadlock_timeout: we give way, and the application is never the victim
    # A worker that froze, or whose node is lost, holds up its heir no longer: whatever its session was doing.
    "idle_in_transaction_session_timeout": "4s",
    "tcp_keepalives_idle": "1",
    "tcp_keepalives_interval": "1",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "4000",
}
_COLLIDED = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError, asyncpg.LockNotAvailableError)
_AWAY = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.TransactionRollbackError,
    asyncpg.ObjectInUseError,
    asyncpg.InvalidCachedStatementError,
    asyncpg.InternalClientError,
)
_MISUSED = ("the server expects", "the number of query arguments", "query argument")
"""Prefixes of asyncpg's messages for arguments that do not fit a statement, which is no outage."""


class PostgresConnection:
    """A session on the server."""

    def __init__(self, raw: PoolConnectionProxy | asyncpg.Connection) -> None:
        self._raw = raw

    async def fetch(self, statement: str, *values: object) -> Sequence[Sequence[Any]]:
        rows: Sequence[Any] = await self._raw.fetch(statement, *values)
        return rows

    async def pages(
        self, statement: str, values: Sequence[object], size: int
    ) -> AsyncIterator[Sequence[Sequence[Any]]]:
        cursor = await self._raw.cursor(statement, *values)
        while rows := await cursor.fetch(size):
            yield cast("Sequence[Sequence[Any]]", rows)
            if len(rows) < size:
                return

    async def execute(self, statement: str, *values: object) -> int:
        last = (await self._raw.execute(statement, *values)).rpartition(" ")[2]
        return int(last) if last.isdigit() else 0

    @asynccontextmanager
    async def transaction(self, *, reading: bool = False) -> AsyncIterator[None]:
        async with self._raw.transaction(
            isolation="repeatable_read" if reading else "read_committed", readonly=reading
        ):
            yield


class Postgres(Server):
    """One PostgreSQL database."""

    batch: ClassVar = 20_000
    combines: ClassVar = True
    checks_each_row: ClassVar = False
    hides: ClassVar = False

    def __init__(self, system: str, dsn: str, *, namespace: str = "public", most: int = 4, seconds: float = 60) -> None:
        self.system, self.namespace = system, namespace
        self._dsn, self._most, self._seconds = dsn, most, seconds
        self.user = user_of(dsn)
        self._pool: asyncpg.Pool | None = None
        self._opening = asyncio.Lock()

    async def close(self) -> None:
        if self._pool is not None:
            await self._pool.close()
            self._pool = None

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        with translated(self.system):
            pool = await self._connections()
            async with pool.acquire() as connection:
                yield PostgresConnection(connection)

    async def _connections(self) -> asyncpg.Pool:
        """Returns the pool, made at its first use: a store that is away delays only its own tasks."""
        async with self._opening:
            if self._pool is None:
                self._pool = await asyncpg.create_pool(
                    self._dsn,
                    min_size=0,
                    max_size=self._most,
                    command_timeout=self._seconds,
                    timeout=self._seconds,
                    server_settings=_SESSION,
                    init=_end_when_we_are_gone,
                    reset=_nothing_to_reset,
                )
            return self._pool

    def translated(self) -> AbstractContextManager[None]:
        return translated(self.system)

    def assigned(self, statement: SqlStatement, relation: Relation, name: str, value: str) -> str:
        row = f"jsonb_build_object({_literal(name)}, {statement.value(value, 'text')})"
        # a cast alone would cut a text that is too long
        held = f"(jsonb_populate_record(NULL::{self.place(relation.place)}, {row})).{self.quoted(name)}"
        return f"SELECT {self.typed(statement, value, relation.types[name])}, {held}"

    async def role(self, connection: Connection) -> str:
        return str((await connection.fetch("SELECT quote_ident(current_user)"))[0][0])

    async def look(self, connection: Connection, places: Collection[TableName], *, reading: bool) -> StoreState:
        if reading:
            return StoreState(str((await connection.fetch(_FINGERPRINT, *_arrays(places)))[0][0]))
        rows = await connection.fetch(f"SELECT * FROM ({_FINGERPRINT}) f, ({_STORE}) s", *_arrays(places))
        if not rows or not rows[0][2]:
            raise StoreUnprepared.of(self.system)
        fingerprint, store, _, tables = rows[0]
        return StoreState(fingerprint, store, sha256(tables.encode()).hexdigest()[:16])

    async def catalog(self, connection: Connection, places: Collection[TableName] | None) -> Catalog:
        asked = _arrays(places) if places is not None else (None, None)
        columns: dict[TableName, dict[str, SeenColumn]] = {}
        for schema, table, name, type_, *seen in await connection.fetch(_COLUMNS, *asked):
            column = SeenColumn(PADDED if type_ == "character" else type_, *seen)
            columns.setdefault((schema, table), {})[name] = replace(column, full_type=type_, any_case=type_ == "citext")
        unique: dict[TableName, set[frozenset[str]]] = {}
        for schema, table, names in await connection.fetch(_UNIQUE, *asked):
            unique.setdefault((schema, table), set()).add(frozenset(names))
        relations = {}
        for schema, name, kind, primary_key, *may in await connection.fetch(_TABLES, *asked):
            place = (schema, name)
            if places is None or place in places:
                of = frozenset(unique.get(place, ()))
                relations[place] = Relation(place, columns.get(place, {}), _KINDS[kind], tuple(primary_key), of, *may)
        keys = [
            ForeignKey(name, (schema, table), (of, parent), tuple(near), tuple(far), *how)
            for name, schema, table, of, parent, near, far, *how in await connection.fetch(_FOREIGN_KEYS, *asked)
        ]
        database = (await connection.fetch("SELECT current_database()"))[0][0]
        return Catalog(relations, tuple(keys), name=database)

    def quoted(self, name: str) -> str:
        return '"' + name.replace('"', '""') + '"'

    def mark(self, number: int, type_: str) -> str:
        return f"${number}::{type_}"

    def among(self, statement: SqlStatement, expression: str, values: Sequence[object], type_: str) -> str:
        of = "text" if all(isinstance(each, str) for each in values) else type_
        cast = "" if of == type_ or (of in TEXT and type_ in TEXT) else f"::{type_}[]"
        return f"{expression} = ANY({statement.value([*values], f'{of}[]')}{cast})"

    def keyed(self, statement: SqlStatement, columns: Sequence[tuple[str, str]], keys: Sequence[Key]) -> str:
        marks = [statement.value([key[n] for key in keys], f"{type_}[]") for n, (_, type_) in enumerate(columns)]
        each = " AND ".join(f"{name} = ANY({mark})" for (name, _), mark in zip(columns, marks, strict=True))
        if len(columns) == 1:
            return each
        names = ", ".join(name for name, _ in columns)
        return f"{each} AND ({names}) IN (SELECT * FROM unnest({', '.join(marks)}))"

    def literal(self, value: str) -> str:
        return _literal(value)

    def outside(self, expression: str, words: Collection[str]) -> str:
        known = sorted(set(words), key=str.encode)
        ends = ["", *map(_literal, known), ""]
        owner = f'({expression} COLLATE "C")'
        above, below = f"{owner} > ", f"{owner} < "
        between = (" AND ".join([above + a] * bool(a) + [below + b] * bool(b)) for a, b in pairwise(ends))
        return " OR ".join([f"{expression} IS NULL", *(f"({each})" for each in between if each)])

    def text(self, name: str) -> str:
        return f"{self.column(name)}::text"

    def shown(self, relation: Relation | None, names: Sequence[str]) -> str:
        types = relation.types if relation else {}
        padded = {name: f"{self.text(name)} AS {self.quoted(name)}" for name in names if types.get(name) == PADDED}
        return ", ".join(padded.get(name) or self.column(name) for name in names)

    def lower(self, expression: str) -> str:
        return f"lower({expression}::text)"

    def differs(self, expression: str, other: str) -> str:
        return f"{expression} IS DISTINCT FROM {other}"

    def compared(self, relation: Relation, name: str, column: Column) -> str:
        del relation
        return f"lower({self.column(name)})" if column.match == "lower" else self.column(name)

    def typed(self, statement: SqlStatement, value: str | None, type_: str) -> str:
        return f"{statement.value(value, 'text')}::{type_}"

    def cut(self, expression: str, unit: str, type_: str) -> str | None:
        return {
            DATE: f"date_trunc('{unit}', {expression})::date",
            ZONED: f"date_trunc('{unit}', {expression}, 'UTC')",
            ZONELESS: f"date_trunc('{unit}', {expression})",
        }.get(type_)

    def drawn(self, type_: str) -> str | None:
        return {
            "uuid": "gen_random_uuid()",
            "bigint": "('x' || substr(replace(gen_random_uuid()::text, '-', ''), 17))::bit(64)::bigint",
        }.get(type_)

    def defer(self, reference: ForeignKey) -> str | None:
        return f"SET CONSTRAINTS {self.quoted(reference.child[0])}.{self.quoted(reference.name)} DEFERRED"


def user_of(dsn: str) -> str:
    """Returns the user that a connection string names; empty: none."""
    parts = urlsplit(dsn)
    return unquote(parts.username or "") or parse_qs(parts.query).get("user", [""])[0]


def _literal(value: str) -> str:
    """Returns a declared constant (never data of a request) as PostgreSQL reads it."""
    prefix = "E" if "\\" in value else ""
    return prefix + "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def _arrays(places: Collection[TableName]) -> tuple[list[str], list[str]]:
    return [schema for schema, _ in places], [name for _, name in places]


async def _end_when_we_are_gone(connection: asyncpg.Connection) -> None:
    """Lets the store end a statement whose worker was killed, or its heir would wait for the locks until it is done."""
    with suppress(asyncpg.PostgresError):  # before version 14 and outside Linux there is no such setting
        await connection.execute("SET client_connection_check_interval = '500ms'")


async def _nothing_to_reset(_: asyncpg.Connection) -> None:
    """Resets nothing: all settings end with their transaction."""


@contextmanager
def translated(system: str) -> Iterator[None]:
    """Raises what a task understands instead of what the driver says; no message of the server: it may quote rows."""
    try:
        yield
    except (asyncpg.UndefinedTableError, asyncpg.InsufficientPrivilegeError) as error:
        if "dsr_platform" in str(error):
            raise StoreUnprepared.of(system) from None
        raise _failure(system, error) from None
    except (*_AWAY, asyncpg.PostgresError, asyncpg.ClientConfigurationError) as error:
        raise _failure(system, error) from None


def _failure(system: str, error: BaseException) -> Refused | Unavailable:
    if kind := next((each for each in _REFUSED if isinstance(error, each)), None):
        failure, says = _REFUSED[kind]
        return failure(f"{system}{says}")
    if isinstance(error, _COLLIDED):
        return LockConflict(f"{system} is busy: a row is locked ({type(error).__name__})")
    if isinstance(error, asyncpg.InterfaceError) and str(error).startswith(_MISUSED):
        return Refused(f"{system} was asked with arguments that do not fit")
    if isinstance(error, _AWAY):
        return Unavailable(f"{system} is away or busy ({type(error).__name__})")
    return Refused(f"{system} refused a statement ({type(error).__name__}, {getattr(error, 'sqlstate', None)})")


_REFUSED: Mapping[type[BaseException], tuple[type[Refused], str]] = {
    asyncpg.UndefinedTableError: (TableMissing, ": a declared table does not exist"),
    asyncpg.UndefinedColumnError: (ColumnUnmapped, ": a declared column does not exist"),
    asyncpg.InsufficientPrivilegeError: (SignInRefused, " does not give this role a right that it needs"),
    asyncpg.InvalidAuthorizationSpecificationError: (
        SignInRefused,
        " does not let this role in: correct the user or the password in its connection string",
    ),
    asyncpg.InvalidCatalogNameError: (SignInRefused, " has no database of that name: correct its connection string"),
    asyncpg.ClientConfigurationError: (
        SystemRefused,
        ": its connection string cannot be used: correct the variable that holds it",
    ),
}


# Of the tables whose schemas and names are given, or of all that are not the server's own, or an extension's.
_AMONG = """($1::text[] IS NULL AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'dsr_platform')
       OR (n.nspname, c.relname) IN (SELECT * FROM unnest($1::text[], $2::text[])))"""
_FINGERPRINT = """
WITH o AS MATERIALIZED (
    SELECT c.oid, c.relkind, n.nspname, c.relname, c.relacl, c.relrowsecurity, c.relforcerowsecurity
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = ANY($1::text[]) AND c.relname = ANY($2::text[]))
SELECT md5(concat(
    (SELECT string_agg(concat_ws(' ', o.*), ',' ORDER BY o.oid) FROM o),
    (SELECT string_agg(concat_ws(' ', a.attrelid, a.attnum, a.attname, a.atttypid, a.attcollation, a.attnotnull,
                                 a.attgenerated, a.attacl), ',' ORDER BY a.attrelid, a.attnum)
     FROM pg_attribute a WHERE a.attrelid = ANY(ARRAY(SELECT oid FROM o)) AND a.attnum > 0 AND NOT a.attisdropped),
    (SELECT string_agg(i.indexrelid::text, ',' ORDER BY i.indexrelid)
     FROM pg_index i WHERE i.indrelid = ANY(ARRAY(SELECT oid FROM o)) AND i.indisunique AND i.indisvalid),
    (SELECT string_agg(k.oid::text, ',' ORDER BY k.oid)
     FROM pg_constraint k WHERE k.contype = 'f' AND k.confrelid = ANY(ARRAY(SELECT oid FROM o))),
    (SELECT string_agg(concat_ws(' ', p.oid, p.xmin), ',' ORDER BY p.oid)
     FROM pg_policy p WHERE p.polrelid = ANY(ARRAY(SELECT oid FROM o)))))
"""
_STORE = """
SELECT i.id::text, (
    SELECT coalesce(bool_and(has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, privilege)), false)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace,
         unnest('{SELECT,INSERT,UPDATE,DELETE}'::text[]) privilege
    WHERE n.nspname = 'dsr_platform' AND c.relname = 'progress'), (
    SELECT string_agg(c.oid::text, '.' ORDER BY c.oid) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p')
      AND (n.nspname = 'dsr_platform' AND c.relname = 'progress'
           OR (n.nspname, c.relname) IN (SELECT * FROM unnest($1::text[], $2::text[]))))
FROM dsr_platform.incarnation i
"""
_COLUMNS = f"""
SELECT n.nspname, c.relname, a.attname, format_type(a.atttypid, NULL), NOT a.attnotnull,
       c.relkind NOT IN ('r', 'p') OR NOT coalesce(l.collisdeterministic, true)
           OR format_type(a.atttypid, NULL) NOT IN ('text', 'character varying'),
       a.attgenerated <> '', has_column_privilege(c.oid, a.attnum, 'UPDATE')
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_collation l ON l.oid = a.attcollation
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND {_AMONG}
ORDER BY n.nspname, c.relname, a.attnum
"""  # constants of this module
_UNIQUE = f"""
SELECT n.nspname, c.relname, array_agg(a.attname::text)
FROM pg_index i
JOIN pg_class c ON c.oid = i.indrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS k (attnum, n)
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
WHERE i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL AND k.n <= i.indnkeyatts AND {_AMONG}
GROUP BY n.nspname, c.relname, i.indexrelid
"""
_TABLES = f"""
SELECT n.nspname, c.relname, c.relkind::text,
       ARRAY(SELECT a.attname::text FROM pg_index i CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS k (attnum, n)
             JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
             WHERE i.indrelid = c.oid AND i.indisprimary AND k.n <= i.indnkeyatts ORDER BY k.n),
       c.relkind IN ('r', 'p') OR pg_relation_is_updatable(c.oid, true) & 20 = 20,
       has_schema_privilege(n.oid, 'USAGE'),
       row_security_active(c.oid) AND (
           EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND NOT p.polpermissive)
           OR NOT EXISTS (
               SELECT FROM pg_policy p
               WHERE p.polrelid = c.oid AND p.polcmd = '*' AND pg_get_expr(p.polqual, p.polrelid) = 'true'
                 AND EXISTS (SELECT FROM unnest(p.polroles) r WHERE r = 0 OR pg_has_role(r, 'USAGE')))),
       (SELECT count(*) FROM pg_inherits i WHERE i.inhparent = c.oid)
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND {_AMONG}
  AND ($1::text[] IS NOT NULL OR NOT c.relispartition AND NOT EXISTS (
      SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'))
ORDER BY n.nspname, c.relname
"""
# The constraint of a partition is that of its table, and the parents of columns stand in the order of the columns.
_FOREIGN_KEYS = f"""
SELECT k.conname, cn.nspname, d.relname, n.nspname, c.relname,
       ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS o (attnum, n)
             JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = o.attnum ORDER BY o.n),
       ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY AS o (attnum, n)
             JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = o.attnum ORDER BY o.n),
       k.confdeltype::text, k.condeferrable,
       NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = k.conrelid AND a.attnum = ANY(k.conkey)
                   AND a.attnotnull)
FROM pg_constraint k
JOIN pg_class d ON d.oid = k.conrelid JOIN pg_namespace cn ON cn.oid = d.relnamespace
JOIN pg_class c ON c.oid = k.confrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE k.contype = 'f' AND k.conparentid = 0 AND {_AMONG}
ORDER BY cn.nspname, d.relname, k.conname
"""
_KINDS = {
    "r": "table",
    "p": "partitioned table",
    "f": "foreign table",
    "v": "view",
    "m": "materialized view",
}
