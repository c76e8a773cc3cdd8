"""Connects to the platform's own database, and names the errors after which a transaction is repeated."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import date, datetime, timedelta
from functools import cache
from typing import Annotated, Any, get_args, get_type_hints
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg
import orjson
from asyncpg.pool import PoolConnectionProxy
from pydantic import AfterValidator, Field

from shared.domain.configuration import Group, are_hosts
from shared.domain.errors import Misconfigured
from shared.domain.topics import ServiceName
from shared.storage.schema import applied, schema_files

_OPTIONS = {"TCP_KEEPIDLE": 2, "TCP_KEEPINTVL": 1, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 5_000}
"""Seconds until the first probe and between two, how many may stay unanswered; milliseconds that what is sent may."""


def keep_alive(connection: Any) -> None:
    """Lets the kernel ask for a connection of asyncpg whether its server is there; one that is slow is waited for.

    Raises:
        ConnectionResetError: it is gone already, for which uvloop would raise a misleading error.
    """
    transport = connection._transport  # noqa: SLF001  # the library has no way to say so
    if transport.is_closing():
        raise ConnectionResetError("the connection was lost as soon as it was made")
    reached = transport.get_extra_info("socket")
    if reached.family == socket.AF_UNIX:
        return
    reached.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _OPTIONS.items():
        if option := getattr(socket, name, None):  # not every system has all of them
            reached.setsockopt(socket.IPPROTO_TCP, option, value)


Connection = asyncpg.Connection | PoolConnectionProxy
"""A connection, of one's own or lent by a pool."""

UNAVAILABLE = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # it starts, stops, or ends our session or statement
    asyncpg.InsufficientResourcesError,  # no connection, memory or place on its disk is left
    asyncpg.PostgresSystemError,  # its disk does not answer
    asyncpg.LockNotAvailableError,
    asyncpg.ReadOnlySQLTransactionError,  # it is no primary any more, or not yet
    asyncpg.IdleInTransactionSessionTimeoutError,  # we stood still, and others have the rows that we held
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # what asyncpg says when the connection is lost between two messages
    OSError,
    TimeoutError,
)
"""Errors of an unavailable database: wait and retry."""

RETRYABLE = (
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.InvalidCachedStatementError,  # a schema change has altered a table since the statement was prepared
)
"""Errors of concurrent transactions: retry immediately."""

TCP_TIMEOUTS = {
    "tcp_keepalives_idle": "1",
    "tcp_keepalives_interval": "1",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "4000",
    "client_connection_check_interval": "1000",
}
"""Session settings by which the server ends the session of a lost client within four seconds, also during a statement,
where no limit for idle transactions applies."""

PLANNED_ONCE = frozenset({ServiceName.ERASURE, ServiceName.EXPORT, ServiceName.AMENDMENT})
"""The services that work rows by their keys: a connection plans each of their statements once."""

_CLOSE_SECONDS = 5.0
_ARRAYS = {
    "bool": (16, 1000),
    "bytea": (17, 1001),
    "int8": (20, 1016),
    "int4": (23, 1007),
    "float8": (701, 1022),
    "date": (1082, 1182),
    "timestamptz": (1184, 1185),
    "uuid": (2950, 2951),
    "jsonb": (3802, 3807),
}
"""OIDs of types and of their arrays, the same in every PostgreSQL; asyncpg asks each connection for them (10 ms)."""
_ARRAY = {**dict.fromkeys(("range_subtype", "attrtypoids", "basetype")), "ns": "pg_catalog", "elemdelim": ","}


def _of_postgres(dsn: str) -> str:
    if not re.match(r"postgres(ql)?://", dsn) or not are_hosts(_host_of(dsn).partition("/")[0] or "localhost"):
        raise ValueError("no URL of a database")
    return dsn


def _host_of(dsn: str) -> str:
    """Returns hosts and name of a database, without user, password and options."""
    address = urlsplit(dsn)
    return f"{address.netloc.rpartition('@')[2]}{address.path}"


class PostgresSettings(Group, prefix="DSR_POSTGRES_"):
    """Where the database is; ``DSR_POSTGRES_…``."""

    dsn: Annotated[str, AfterValidator(_of_postgres)] = Field(
        repr=False, description="postgresql:// URL of the database that holds the platform's own schemas"
    )
    pool_size: int = Field(default=8, ge=2, le=1_000, description="connections per process")
    idle_seconds: float = Field(
        default=3.0,
        ge=0.1,
        le=60,
        description="how long a transaction may stand still, as of a frozen process, before the server takes it back",
    )


@asynccontextmanager
async def connected(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection of one's own, closed when the block ends."""
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        await connection.close()


async def connect_pool(settings: PostgresSettings, service: ServiceName, *, reserved: int = 0) -> asyncpg.Pool:
    """Opens a pool whose connections see the service's own schema by default.

    ``reserved``: those of the process's connections that are none of the pool's.

    Raises:
        Misconfigured: no database answers there, it does not let us in, or it has not the schema of this version.
    """
    place = f"{_host_of(settings.dsn)}, where DSR_POSTGRES_DSN says"
    try:
        pool = await asyncpg.create_pool(
            settings.dsn,
            min_size=1,
            max_size=settings.pool_size - reserved,
            command_timeout=60,
            max_cached_statement_lifetime=60,  # a plan made while a table was empty must not live on when it is full
            init=_init_connection,
            reset=_skip_reset,
            server_settings={
                "search_path": service.value,
                "application_name": f"dsr-{service}",
                "jit": "off",
                # elsewhere a plan follows what is asked for, and the size of the tables
                "plan_cache_mode": "force_generic_plan" if service in PLANNED_ONCE else "force_custom_plan",
                "enable_seqscan": "off",
                # to start a parallel worker takes longer than the statements of a batch
                "max_parallel_workers_per_gather": "0",
                # what a process holds that is frozen, or whose node is lost, is free again
                "idle_in_transaction_session_timeout": f"{settings.idle_seconds * 1000:.0f}",
                **TCP_TIMEOUTS,
            },
        )
        async with pool.acquire() as connection:
            there = await applied(connection)
    except (*UNAVAILABLE, asyncpg.PostgresError) as error:
        fault = type(error).__name__
        raise Misconfigured(f"no database for us at {place} ({fault}): start it, or correct that") from error
    files = list(schema_files())
    if any(file.name not in there for file in files):
        await pool.close()
        raise Misconfigured(f"the database at {place}, lacks the schema: run `dsr migrate`")
    if other := [file.name for file in files if there[file.name] != file.digest]:
        await pool.close()
        raise Misconfigured(f"the database at {place}, has {other[0]} of another version: start with an empty one")
    return pool


_TERMINATE_STALLED = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND usename = current_user AND application_name = current_setting('application_name')
      AND state = 'active' AND wait_event_type = 'Client' AND state_change < clock_timestamp() - $1::interval
"""


async def terminate_stalled(pool: asyncpg.Pool, seconds: float) -> None:
    """Ends sessions of this service whose statement has waited so long for its process, as a COPY does for its rows.

    Such a session is not idle, so no time limit of the server's ends it; it holds whatever its transaction holds.
    """
    await pool.execute(_TERMINATE_STALLED, timedelta(seconds=seconds))


@asynccontextmanager
async def allow_long_idle(connection: Connection) -> AsyncIterator[None]:
    """Lets a transaction idle for a minute during a long computation that blocks no other."""
    await connection.execute("SET LOCAL idle_in_transaction_session_timeout = '60s'")
    yield
    await connection.execute("SET LOCAL idle_in_transaction_session_timeout TO DEFAULT")


async def reachable(pool: asyncpg.Pool) -> bool:
    """Returns whether the database answers within two seconds."""
    try:
        async with asyncio.timeout(2):
            await pool.fetchval("SELECT 1")
    except UNAVAILABLE:
        return False
    return True


async def close_pool(pool: asyncpg.Pool) -> None:
    """Closes a pool in order, or immediately if the database no longer answers."""
    try:
        async with asyncio.timeout(_CLOSE_SECONDS):
            await pool.close()
    except UNAVAILABLE:
        pool.terminate()


async def _init_connection(connection: asyncpg.Connection) -> None:
    """Sets up codecs and keep-alive of a new connection."""
    keep_alive(connection)
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        format="binary",
        encoder=lambda value: b"\x01" + orjson.dumps(value),
        decoder=lambda content: orjson.loads(content[1:]),
    )
    types = [{**_ARRAY, "oid": array, "name": name, "elemtype": oid} for name, (oid, array) in _ARRAYS.items()]
    protocol: Any = connection._protocol  # type: ignore[attr-defined]  # noqa: SLF001  # the library has no other way
    protocol.get_settings().register_data_types(types)


async def _skip_reset(_: asyncpg.Connection) -> None:
    """Skips the reset of a connection that goes back to the pool: asyncpg has ended any transaction by then.

    What it would ask for, four statements each time, undoes settings, locks, cursors and listeners of a session, and
    the product makes none: settings are ``SET LOCAL``, locks and cursors end with their transaction.
    """


_SQL_TYPES = {datetime: "timestamptz", date: "date", bool: "boolean", int: "bigint", UUID: "uuid"}


def column_types(stored: type) -> dict[str, str]:
    """The SQL type of the column for each field of a dataclass: text, where its hint names no other."""
    return {
        name: next((kind for python, kind in _SQL_TYPES.items() if python in {hint, *get_args(hint)}), "text")
        for name, hint in get_type_hints(stored).items()
    }


_FEW = 8
"""Rows up to which an INSERT of each takes less time than the second round trip of a COPY."""


async def insert_rows(
    connection: Connection, table: str, columns: Sequence[str], rows: Sequence[Sequence[object]]
) -> None:
    """Inserts rows in their order: few in one round trip, many by COPY. Table and columns are constants."""
    if len(rows) > _FEW:
        schema, _, name = table.rpartition(".")
        await connection.copy_records_to_table(name, schema_name=schema or None, columns=columns, records=rows)
    elif rows:
        await connection.executemany(_insert(table, tuple(columns)), rows)


@cache
def _insert(table: str, columns: tuple[str, ...]) -> str:
    names = ", ".join(f'"{name}"' for name in columns)
    marks = ", ".join(f"${place}" for place in range(1, len(columns) + 1))
    return f"INSERT INTO {table} ({names}) VALUES ({marks})"  # noqa: S608  # constants


async def update_rows(
    connection: Connection, table: str, key: str, columns: Mapping[str, str], rows: Sequence[Sequence[object]]
) -> None:
    """Updates many rows of a table by their uuid key, in one statement.

    ``columns`` gives the SQL type of each column that is set; each row is its key and then a value per column. Table
    and columns are constants, never input.
    """
    if not rows:
        return
    arrays = ", ".join(f"${n}::{kind}[]" for n, kind in enumerate(("uuid", *columns.values()), start=1))
    await connection.execute(
        f"UPDATE {table} t SET {', '.join(f'{name} = r.{name}' for name in columns)}"  # noqa: S608  # see above
        f" FROM unnest({arrays}) AS r ({', '.join((key, *columns))}) WHERE t.{key} = r.{key}",
        *map(list, zip(*rows, strict=True)),
    )
