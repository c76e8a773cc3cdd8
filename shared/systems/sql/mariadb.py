"""A MariaDB or MySQL as a server of a store: sessions, errors, its catalogs, and how its dialect writes statements.

Every value is a parameter of a statement that the server prepares, so nothing that comes from a request is ever quoted.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any, ClassVar, Self
from urllib.parse import parse_qsl, unquote, urlsplit

import asyncmy
from asyncmy.constants import CLIENT
from asyncmy.errors import MySQLError

from shared.domain.errors import ColumnUnmapped, Misconfigured, Refused, SignInRefused, TableMissing, Unavailable
from shared.systems.engine.records import Key, LockConflict
from shared.systems.sql.catalog import DATE, UNSIGNED, ZONED, ZONELESS, Catalog, ForeignKey, Relation, SeenColumn
from shared.systems.sql.declaration import Column
from shared.systems.sql.server import MARIADB, Connection, Server, SqlStatement, StoreState, StoreUnprepared, TableName

_CONNECT_SECONDS = 10
_OF_BOTH = {
    "sql_mode": "'STRICT_ALL_TABLES'",  # what does not fit is refused, never cut
    "time_zone": "'+00:00'",
    "tx_isolation": "'READ-COMMITTED'",
    "innodb_lock_wait_timeout": "1",
    "foreign_key_checks": "1",
}
_OF_MARIADB = {"idle_transaction_timeout": "4", "max_statement_time": "{seconds}"}
"""A worker that froze holds up its heir no longer, and no statement runs for ever."""

_COLLIDED = frozenset({1205, 1213})
_NOT_LET_IN = frozenset({1044, 1045, 1049, 1130, 1251, 1698, 4151})
_MAY_NOT = frozenset({1142, 1143, 1227, 1370})
_AWAY = frozenset({1040, 1053, 1152, 1158, 1159, 1160, 1161, 1203, 1290, 1317, 1836, 1927, 1969, 3024, 4031})
_DRIVERS_OWN = range(2000, 3000)
_MISSING = frozenset({1044, 1049, 1142, 1146})


@dataclass(frozen=True, slots=True)
class Address:
    """A parsed connection string."""

    host: str
    port: int
    user: str
    database: str
    password: str = field(repr=False)
    tls: ssl.SSLContext | None = None

    @classmethod
    def of(cls, dsn: str) -> Self:
        """Reads ``mariadb://USER:PASSWORD@HOST[:PORT]/DATABASE``; by TLS with ``?ssl=true``, or ``?ssl_ca=FILE``.

        Raises:
            Misconfigured: it is another, or names no user or database.
        """
        try:
            parts = urlsplit(dsn)
            port = parts.port or 3306
        except ValueError:
            raise Misconfigured("the connection string is none; write mariadb://USER:PASSWORD@HOST/DATABASE") from None
        user, database = unquote(parts.username or ""), unquote(parts.path.removeprefix("/"))
        if parts.scheme not in MARIADB or not (user and database and parts.hostname):
            raise Misconfigured(
                "the connection string names no user or no database; write mariadb://USER:PASSWORD@HOST/DATABASE"
            )
        return cls(parts.hostname, port, user, database, unquote(parts.password or ""), _tls(parts.query))


def _tls(query: str) -> ssl.SSLContext | None:
    """Certificates are checked against the machine's authorities, or those of a file."""
    options = dict(parse_qsl(query, keep_blank_values=True))
    if options.keys() - {"ssl", "ssl_ca"} or options.get("ssl", "true") not in {"true", "false"}:
        raise Misconfigured("the connection string has options that are not known: write ssl=true, or ssl_ca=FILE")
    if not options or options.get("ssl") == "false":
        return None
    try:
        return ssl.create_default_context(cafile=options.get("ssl_ca"))
    except OSError:
        raise Misconfigured(
            f"ssl_ca of the connection string names {options['ssl_ca']}, which cannot be read"
        ) from None


class MariaConnection:
    """A session on the server."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self.broken = False

    async def fetch(self, statement: str, *arguments: object) -> Sequence[tuple[Any, ...]]:
        """The rows of a query, whose parameters are question marks."""
        return (await self._run(statement, arguments)).rows or ()

    async def value(self, statement: str, *arguments: object) -> Any:
        """The first column of the first row; None, if there is none."""
        rows = await self.fetch(statement, *arguments)
        return rows[0][0] if rows else None

    async def pages(
        self, statement: str, values: Sequence[object], size: int
    ) -> AsyncIterator[Sequence[tuple[Any, ...]]]:
        """The rows of a query, so many at a time."""
        rows = await self.fetch(statement, *values)
        for first in range(0, len(rows), size):
            yield rows[first : first + size]

    async def execute(self, statement: str, *arguments: object) -> int:
        """Returns the number of rows affected."""
        return int((await self._run(statement, arguments)).affected_rows)

    @asynccontextmanager
    async def transaction(self, *, reading: bool = False) -> AsyncIterator[None]:
        """Both or neither: what is done within is committed at its end."""
        if reading:
            await self._raw.query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        await self._raw.begin()
        try:
            yield
        except BaseException:
            self.broken = True  # unless it can be undone
            with suppress(OSError, MySQLError):
                await self._raw.rollback()
                self.broken = False
            raise
        self.broken = True
        await self._raw.commit()
        self.broken = False

    async def close(self) -> None:
        """Ends the session, whatever it was doing."""
        with suppress(OSError, MySQLError):
            await self._raw.ensure_closed()

    async def _run(self, statement: str, arguments: Sequence[object]) -> Any:
        was, self.broken = self.broken, True  # until the answer was read to its end
        try:
            prepared = await self._raw.prepare(statement)
            try:
                ran = await prepared.execute(arguments)
            finally:
                await prepared.close()
        except MySQLError as error:
            self.broken = was or _number(error) in _DRIVERS_OWN
            raise
        self.broken = was
        return ran


async def opened(address: Address, seconds: float) -> MariaConnection:
    """A new session; ``seconds``: how long one statement may take."""
    try:
        raw = await asyncmy.connect(
            host=address.host,
            port=address.port,
            user=address.user,
            password=address.password,
            database=address.database,
            charset="utf8mb4",
            autocommit=True,
            client_flag=CLIENT.FOUND_ROWS,
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=seconds,
            ssl=address.tls,
        )
    except RuntimeError as error:  # so the driver calls a socket that was closed while it connected
        raise ConnectionResetError(str(error)) from error
    connection = MariaConnection(raw)
    variables = dict(_OF_BOTH)
    if "MariaDB" in raw.get_server_info():
        variables |= _OF_MARIADB
    else:
        variables["transaction_isolation"] = variables.pop("tx_isolation")
    settings = ", ".join(
        f"SESSION {name} = {value.format(seconds=f'{seconds:g}')}" for name, value in variables.items()
    )
    await connection.execute(f"SET {settings}")
    return connection


class Maria(Server):
    """One database of a MariaDB: so many connections at most, each given back as it came."""

    batch: ClassVar = 500
    combines: ClassVar = False
    checks_each_row: ClassVar = True
    hides: ClassVar = True

    def __init__(self, system: str, dsn: str, *, namespace: str = "", most: int = 4, seconds: float = 60) -> None:
        self._address, self._seconds = Address.of(dsn), seconds
        self.system, self.namespace, self.user = system, namespace or self._address.database, self._address.user
        self._idle: list[MariaConnection] = []
        self._free = asyncio.Semaphore(most)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[MariaConnection]:
        """Yields an exclusive connection; one that broke off is not reused."""
        with translated(self.system):
            async with self._free:
                connection = await self._alive()
                try:
                    yield connection
                except BaseException:
                    connection.broken = True  # it may have been in the middle of an answer
                    raise
                finally:
                    if connection.broken:
                        await connection.close()
                    else:
                        self._idle.append(connection)

    async def _alive(self) -> MariaConnection:
        while self._idle:
            connection = self._idle.pop()
            try:
                await connection.fetch("SELECT 1")
            except (OSError, MySQLError):  # the server has ended it meanwhile
                await connection.close()
            else:
                return connection
        return await opened(self._address, self._seconds)

    async def close(self) -> None:
        while self._idle:
            await self._idle.pop().close()

    def translated(self) -> AbstractContextManager[None]:
        return translated(self.system)

    def assigned(self, statement: SqlStatement, relation: Relation, name: str, value: str) -> str:
        of = f"{self.place(relation.place)}.{self.quoted(name)}"
        expression = self.typed(statement, value, relation.types[name])
        return f"BEGIN NOT ATOMIC DECLARE v TYPE OF {of}; SET v = {expression}; END"

    async def role(self, connection: Connection) -> str:
        user = str((await connection.fetch("SELECT current_user()"))[0][0])
        return "@".join(f"'{part}'" for part in user.rsplit("@", 1))

    async def look(self, connection: Connection, places: Collection[TableName], *, reading: bool) -> StoreState:
        own, asked = _among(places)
        to, _ = _among(places, "referenced_table_schema", "referenced_table_name")
        fingerprint = str((await connection.fetch(_FINGERPRINT.format(own, own, own, to), *asked * 4))[0])
        if reading:
            return StoreState(fingerprint)
        where, tables = _among([("dsr_platform", "progress"), *sorted(places)])
        [(store, life)] = await connection.fetch(_STORE.format(where), *tables)
        if store is None or "dsr_platform/progress/" not in life:
            raise StoreUnprepared.of(self.system)
        return StoreState(fingerprint, store, sha256(life.encode()).hexdigest()[:16])

    async def catalog(self, connection: Connection, places: Collection[TableName] | None) -> Catalog:
        asked: list[object] = []
        where, to = (_OURS.format(name) for name in ("table_schema", "k.referenced_table_schema"))
        if places is not None:
            where, asked = _among(places)
            to, _ = _among(places, "k.referenced_table_schema", "k.referenced_table_name")
        columns: dict[TableName, dict[str, SeenColumn]] = {}
        for schema, table, name, kind, declared, collation, generation, null, rights in await connection.fetch(
            _COLUMNS.format(where), *asked
        ):
            type_ = "boolean" if declared.startswith("tinyint(1)") else _TYPES.get(kind, kind)
            type_ = UNSIGNED if type_ == "bigint" and "unsigned" in declared else type_
            may, loose = "update" in rights.split(","), "_ci" in collation
            seen = SeenColumn(type_, null == "YES", loose, bool(generation), may, full_type=kind, any_case=loose)
            columns.setdefault((schema, table), {})[name] = seen
        indexes = await _indexes(connection, where, asked)
        relations = {}
        for schema, name, kind, engine, partitions in await connection.fetch(_TABLES.format(where), *asked):
            place = (schema, name)
            if kind not in _KINDS or (places is not None and place not in places):
                continue
            of = indexes.get(place, {})
            as_it_is = _KINDS[kind] if (engine or "innodb").lower() == "innodb" else f"of the engine {engine}"
            as_it_is = "partitioned table" if partitions else as_it_is
            as_it_is = f"a {kind.lower()}" if places is not None and kind != "BASE TABLE" else as_it_is
            relations[place] = Relation(
                place,
                columns.get(place, {}),
                as_it_is,
                tuple(of.get("PRIMARY", ())),
                frozenset(map(frozenset, of.values())),
                partitions=partitions,
            )
        keys: dict[tuple[str, str, str], ForeignKey] = {}
        for name, schema, table, of_schema, parent, rule, column, far, nullable in await connection.fetch(
            _FOREIGN_KEYS.format(to), *asked
        ):
            known = keys.get((schema, table, name)) or ForeignKey(
                name, (schema, table), (of_schema, parent), (), (), _ACTIONS.get(rule, "a")
            )
            both = replace(known, columns=(*known.columns, column), to=(*known.to, far))
            keys[schema, table, name] = replace(both, nullable=known.nullable and nullable == "YES")
        sees_all = bool((await connection.fetch(_SEES_ALL))[0][0])
        return Catalog(relations, tuple(keys.values()), sees_all, self._address.database)

    def quoted(self, name: str) -> str:
        return "`" + name.replace("`", "``") + "`"

    def mark(self, number: int, type_: str) -> str:
        del number, type_
        return "?"

    def among(self, statement: SqlStatement, expression: str, values: Sequence[object], type_: str) -> str:
        return f"{expression} IN ({', '.join(statement.value(each, type_) for each in values)})"

    def keyed(self, statement: SqlStatement, columns: Sequence[tuple[str, str]], keys: Sequence[Key]) -> str:
        if len(columns) == 1:
            return self.among(statement, columns[0][0], [key[0] for key in keys], columns[0][1])
        each = " AND ".join(f"{name} = ?" for name, _ in columns)
        statement.values += [part for key in keys for part in key]
        return f"({' OR '.join([f'({each})'] * len(keys))})"

    def literal(self, value: str) -> str:
        return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"

    def outside(self, expression: str, words: Collection[str]) -> str:
        return f"{expression} IS NULL OR {expression} NOT IN ({', '.join(map(self.literal, words))})"

    def text(self, name: str) -> str:
        return self.column(name)

    def sorted(self, relation: Relation, names: Sequence[str]) -> tuple[str, str]:
        return ", ".join(names), " IGNORE INDEX FOR ORDER BY (PRIMARY)" if relation.primary_key else ""

    def lower(self, expression: str) -> str:
        return f"LOWER({expression})"

    def differs(self, expression: str, other: str) -> str:
        return f"NOT ({expression} <=> {other})"

    def compared(self, relation: Relation, name: str, column: Column) -> str:
        lowered = column.match == "lower" and not relation.columns[name].loose
        return f"LOWER({self.column(name)})" if lowered else self.column(name)

    def typed(self, statement: SqlStatement, value: str | None, type_: str) -> str:
        boolean = {"true": 1, "false": 0}.get(value or "") if type_ == "boolean" else None
        return statement.value(value if boolean is None else boolean, type_)

    def cut(self, expression: str, unit: str, type_: str) -> str | None:
        pattern = {"day": "%Y-%m-%d", "month": "%Y-%m-01", "year": "%Y-01-01"}[unit]
        return f"DATE_FORMAT({expression}, '{pattern}')" if type_ in {DATE, ZONED, ZONELESS} else None

    def drawn(self, type_: str) -> str | None:
        return {
            "uuid": "UUID()",
            "text": "UUID()",
            **dict.fromkeys(("bigint", UNSIGNED), "CAST(CONV(LEFT(MD5(UUID()), 15), 16, 10) AS SIGNED)"),
        }.get(type_)


def _number(error: MySQLError) -> int:
    return error.args[0] if error.args and isinstance(error.args[0], int) else 0


@contextmanager
def translated(system: str) -> Iterator[None]:
    """Raise what a task understands instead of what the driver says; no message of the server, which may quote rows."""
    try:
        yield
    except (OSError, TimeoutError) as away:
        raise Unavailable(f"{system} is away or busy ({type(away).__name__})") from None
    except MySQLError as error:
        if _number(error) in _MISSING and "dsr_platform" in str(error):
            raise StoreUnprepared.of(system) from None
        raise _failure(system, _number(error)) from None


def _failure(system: str, number: int) -> Refused | Unavailable:
    if number in _COLLIDED:
        return LockConflict(f"{system} is busy: another transaction holds a row (error {number})")
    if number in _AWAY or number in _DRIVERS_OWN or number == 0:
        return Unavailable(f"{system} is away or busy (error {number})")
    kind, says = _REFUSED.get(number, (Refused, f"refused a statement (error {number})"))
    return kind(f"{system} {says}")


_REFUSED: Mapping[int, tuple[type[Refused], str]] = {
    1146: (TableMissing, "lacks a table that is declared"),
    1054: (ColumnUnmapped, "lacks a column that is declared"),
    **dict.fromkeys(_NOT_LET_IN, (SignInRefused, "does not let this user in: correct its connection string")),
    **dict.fromkeys(_MAY_NOT, (SignInRefused, "does not give this user a right that it needs")),
}


async def _indexes(
    connection: Connection, where: str, asked: Sequence[object]
) -> Mapping[TableName, Mapping[str, list[str]]]:
    """Returns the columns of each index in which a row stands once; not of those that look at a part of a column."""
    found: dict[TableName, dict[str, list[str]]] = {}
    of_a_part = set()
    for schema, table, index, column, sub_part in await connection.fetch(_UNIQUE.format(where), *asked):
        found.setdefault((schema, table), {}).setdefault(index, []).append(column)
        if sub_part is not None or column is None:
            of_a_part.add(((schema, table), index))
    return {
        place: {name: columns for name, columns in indexes.items() if (place, name) not in of_a_part}
        for place, indexes in found.items()
    }


def _among(
    places: Collection[TableName], schema: str = "table_schema", table: str = "table_name"
) -> tuple[str, list[object]]:
    """Returns that a row is about one of these tables, and the values."""
    each = " OR ".join([f"({schema} = ? AND {table} = ?)"] * len(places))
    return f"({each})", [part for place in places for part in place]


_OURS = "{} NOT IN ('information_schema', 'mysql', 'performance_schema', 'sys', 'dsr_platform')"
_FINGERPRINT = """
SELECT (SELECT sum(crc32(concat_ws(' ', table_schema, table_name, table_type, engine, create_time)))
        FROM information_schema.tables WHERE {}),
       (SELECT sum(crc32(concat_ws(' ', table_schema, table_name, column_name, column_type, collation_name, is_nullable,
                                   generation_expression, privileges)))
        FROM information_schema.columns WHERE {}),
       (SELECT sum(crc32(concat_ws(' ', table_schema, table_name, index_name, column_name, sub_part)))
        FROM information_schema.statistics WHERE non_unique = 0 AND {}),
       (SELECT sum(crc32(concat_ws(' ', constraint_name, table_schema, table_name, column_name, referenced_table_name)))
        FROM information_schema.key_column_usage WHERE {}),
       (SELECT count(*) FROM information_schema.user_privileges
        WHERE privilege_type = 'REFERENCES' AND replace(grantee, '''', '') = current_user())
"""
_STORE = """
SELECT (SELECT id FROM dsr_platform.incarnation),
       (SELECT group_concat(concat_ws('/', table_schema, table_name, create_time) ORDER BY table_schema, table_name)
        FROM information_schema.tables WHERE {})
"""
_TABLES = """
SELECT t.table_schema, t.table_name, t.table_type, t.engine,
       (SELECT count(p.partition_name) FROM information_schema.partitions p
        WHERE p.table_schema = t.table_schema AND p.table_name = t.table_name)
FROM information_schema.tables t WHERE {} ORDER BY 1, 2
"""
_COLUMNS = """
SELECT table_schema, table_name, column_name, data_type, column_type, coalesce(collation_name, ''),
       coalesce(generation_expression, ''), is_nullable, privileges
FROM information_schema.columns WHERE {} ORDER BY table_schema, table_name, ordinal_position
"""
_UNIQUE = """
SELECT table_schema, table_name, index_name, column_name, sub_part
FROM information_schema.statistics WHERE non_unique = 0 AND {}
ORDER BY table_schema, table_name, index_name, seq_in_index
"""
# Foreign keys to these tables, from any database that this user can see.
_FOREIGN_KEYS = """
SELECT k.constraint_name, k.table_schema, k.table_name, k.referenced_table_schema, k.referenced_table_name,
       r.delete_rule, k.column_name, k.referenced_column_name, c.is_nullable
FROM information_schema.key_column_usage k
JOIN information_schema.referential_constraints r
    ON (r.constraint_schema, r.constraint_name, r.table_name) = (k.constraint_schema, k.constraint_name, k.table_name)
JOIN information_schema.columns c
    ON c.table_schema = k.table_schema AND c.table_name = k.table_name AND c.column_name = k.column_name
WHERE {} ORDER BY k.table_schema, k.table_name, k.constraint_name, k.ordinal_position
"""
_SEES_ALL = """
SELECT count(*) FROM information_schema.user_privileges
WHERE privilege_type = 'REFERENCES' AND replace(grantee, '''', '') = current_user()
"""
_TYPES = {
    "datetime": ZONELESS,
    "timestamp": ZONED,
    "time": "time without time zone",
    "double": "double precision",
    "float": "real",
    "year": "smallint",
    "tinyint": "smallint",
    **dict.fromkeys(("char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set", "json"), "text"),
}
_KINDS = {"BASE TABLE": "table", "SYSTEM VERSIONED": "table", "VIEW": "view", "SYSTEM VIEW": "view"}
_ACTIONS = {"CASCADE": "c", "SET NULL": "n", "SET DEFAULT": "d", "RESTRICT": "r"}
