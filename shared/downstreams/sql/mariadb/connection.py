"""Connections to a MariaDB or MySQL: the one place that knows the driver.

Every value is a parameter of a statement that the server prepares, so nothing that comes from a request is ever quoted.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit

import asyncmy
from asyncmy.constants import CLIENT
from asyncmy.errors import MySQLError

from shared.domain.errors import ColumnUnmapped, Misconfigured, Refused, SignInRefused, TableMissing, Unavailable
from shared.downstreams.sql.scheme import MARIADB

_CONNECT_SECONDS = 10
_OF_BOTH = {
    "sql_mode": "'STRICT_ALL_TABLES'",  # what does not fit is refused, never cut
    "time_zone": "'+00:00'",
    "tx_isolation": "'READ-COMMITTED'",
    "innodb_lock_wait_timeout": "2",
    "foreign_key_checks": "1",
}
_OF_MARIADB = {"idle_transaction_timeout": "4", "max_statement_time": "{seconds}"}
"""A worker that froze holds up its heir no longer, and no statement runs for ever."""

_COLLIDED = frozenset({1205, 1213})
_NOT_LET_IN = frozenset({1044, 1045, 1049, 1130, 1251, 1698, 4151})
_MAY_NOT = frozenset({1142, 1143, 1227, 1370})
_AWAY = frozenset({1040, 1053, 1152, 1158, 1159, 1160, 1161, 1203, 1290, 1317, 1836, 1927, 1969, 3024, 4031})
_DRIVERS_OWN = range(2000, 3000)


class Collided(Unavailable):
    """Somebody else held a row, or held what we held and wanted what we had: nothing was changed."""

    code = Unavailable.code


@dataclass(frozen=True, slots=True)
class Address:
    """What a connection string says."""

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
    said = dict(parse_qsl(query, keep_blank_values=True))
    if said.keys() - {"ssl", "ssl_ca"} or said.get("ssl", "true") not in {"true", "false"}:
        raise Misconfigured("the connection string has options that are not known: write ssl=true, or ssl_ca=FILE")
    if not said or said.get("ssl") == "false":
        return None
    try:
        return ssl.create_default_context(cafile=said.get("ssl_ca"))
    except OSError:
        raise Misconfigured(f"ssl_ca of the connection string names {said['ssl_ca']}, which cannot be read") from None


class Connection:
    """One session of ours on the server."""

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

    async def execute(self, statement: str, *arguments: object) -> int:
        """How many rows a statement has met."""
        return int((await self._run(statement, arguments)).affected_rows)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """Both or neither: what is done within is committed at its end."""
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


async def opened(address: Address, seconds: float) -> Connection:
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
    connection = Connection(raw)
    variables = dict(_OF_BOTH)
    if "MariaDB" in raw.get_server_info():
        variables |= _OF_MARIADB
    else:
        variables["transaction_isolation"] = variables.pop("tx_isolation")
    said = ", ".join(f"SESSION {name} = {value.format(seconds=f'{seconds:g}')}" for name, value in variables.items())
    await connection.execute(f"SET {said}")
    return connection


class Pool:
    """So many connections at most, each given back as it came."""

    def __init__(self, address: Address, most: int, seconds: float) -> None:
        self._address, self._seconds = address, seconds
        self._idle: list[Connection] = []
        self._free = asyncio.Semaphore(most)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """One that nobody else has meanwhile; what was broken off in the middle of something is not given again."""
        async with self._free:
            connection = await self._alive()
            try:
                yield connection
            except BaseException:
                # It may have been in the middle of an answer.
                connection.broken = True
                raise
            finally:
                if connection.broken:
                    await connection.close()
                else:
                    self._idle.append(connection)

    async def _alive(self) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            try:
                await connection.value("SELECT 1")
            except (OSError, MySQLError):  # the server has ended it meanwhile
                await connection.close()
            else:
                return connection
        return await opened(self._address, self._seconds)

    async def close(self) -> None:
        """Ends all sessions."""
        while self._idle:
            await self._idle.pop().close()


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
        raise _failure(system, _number(error)) from None


def _failure(system: str, number: int) -> Refused | Unavailable:
    if number in _COLLIDED:
        return Collided(f"{system} is busy: somebody else holds a row (error {number})")
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
