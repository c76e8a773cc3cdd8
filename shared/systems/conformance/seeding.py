"""Fills a system in its own way, as its table declares: by a command, by SQL, or over HTTP."""

import asyncio
import re
from collections.abc import Mapping

import asyncpg
import httpx
import orjson

from shared.domain.errors import Misconfigured, Refused, Unavailable
from shared.systems.conformance.declared import HttpCall, Way
from shared.systems.sql.mariadb import Address, opened, translated
from shared.systems.sql.server import is_mariadb

_NAMED = re.compile(r"\{((?:other_)?(?:key|email|phone|account_id|sip_uri|name))\}")
_SECONDS = 60.0


class SeedFailed(Misconfigured):
    """The declared way to fill the system did not work."""


class Seeding:
    """Goes one declared way, for one person after the other, or for two whose names are told apart by ``other_``."""

    def __init__(self, where: str, way: Way, environment: Mapping[str, str], dsn_env: str | None = None) -> None:
        self._where = where
        self._way = way
        self._environment = environment
        self._dsn_env = way.dsn_env or dsn_env

    async def run(self, values: Mapping[str, str]) -> int | None:
        """How many rows were made, where that can be told.

        Raises:
            SeedFailed: says what was tried and what came of it.
        """
        try:
            async with asyncio.timeout(_SECONDS):
                if self._way.command:
                    return await self._command(values)
                if self._way.sql:
                    return await self._sql(values)
                return await self._http(values)
        except TimeoutError:
            raise SeedFailed(f"{self._where} took longer than {_SECONDS:g} s") from None

    async def _command(self, values: Mapping[str, str]) -> int | None:
        pipe = asyncio.subprocess.PIPE
        try:
            process = await asyncio.create_subprocess_exec(*self._way.command, stdin=pipe, stdout=pipe)
        except OSError as error:
            raise SeedFailed(f"{self._where}: {self._way.command[0]}: {error.strerror}") from None
        try:
            said, _ = await process.communicate(orjson.dumps(dict(values)))
        finally:
            if process.returncode is None:
                process.kill()
        if process.returncode:
            raise SeedFailed(f"{self._where}: {self._way.command[0]} ended with status {process.returncode}")
        text = said.decode(errors="replace").strip()
        return int(text) if text.isdecimal() and text.isascii() else None

    async def _sql(self, values: Mapping[str, str]) -> int:
        dsn = self._environment.get(self._dsn_env or "")
        if not dsn:
            raise SeedFailed(f"{self._where}: sql needs dsn_env, the variable of whoever may write there; export it")
        if is_mariadb(dsn):
            await self._in_mariadb(dsn, values)
            return len(self._way.sql)
        try:
            connection = await asyncpg.connect(dsn)
        except (OSError, asyncpg.PostgresError) as error:
            raise Unavailable(f"{self._where}: the store is not reached: {type(error).__name__}") from None
        try:
            async with connection.transaction():
                for statement in self._way.sql:
                    await connection.execute(*_bound(statement, values))
        except asyncpg.PostgresError as error:
            raise SeedFailed(f"{self._where}: {type(error).__name__}: mend the statement") from None
        finally:
            await connection.close()
        return len(self._way.sql)

    async def _in_mariadb(self, dsn: str, values: Mapping[str, str]) -> None:
        try:
            with translated(self._where):
                connection = await opened(Address.of(dsn), _SECONDS)
                try:
                    async with connection.transaction():
                        for statement in self._way.sql:
                            query = _NAMED.sub("?", statement)
                            await connection.execute(query, *(values[name] for name in _NAMED.findall(statement)))
                finally:
                    await connection.close()
        except Refused as refused:
            raise SeedFailed(f"{refused}: mend the statement") from None

    async def _http(self, values: Mapping[str, str]) -> int:
        async with httpx.AsyncClient(follow_redirects=False) as client:
            for call in self._way.http:
                await self._call(client, call, values)
        return len(self._way.http)

    async def _call(self, client: httpx.AsyncClient, call: HttpCall, values: Mapping[str, str]) -> None:
        headers = {name: self._environment.get(variable, "") for name, variable in call.headers_env.items()}
        try:
            answer = await client.request(
                call.method, _filled(call.url, values), json=_filled_in(call.body, values), headers=headers
            )
        except httpx.TransportError as error:
            raise Unavailable(f"{self._where}: {type(error).__name__}") from None
        if not answer.is_success:
            raise SeedFailed(f"{self._where}: {call.method} was answered {answer.status_code}")


def _bound(statement: str, values: Mapping[str, str]) -> tuple[str, ...]:
    """A statement with parameters in the place of what it names, and those."""
    names = list(dict.fromkeys(_NAMED.findall(statement)))
    query = _NAMED.sub(lambda found: f"${names.index(found[1]) + 1}", statement)
    return (query, *(values[name] for name in names))


def _filled(text: str, values: Mapping[str, str]) -> str:
    return _NAMED.sub(lambda found: values[found[1]], text)


def _filled_in(body: object, values: Mapping[str, str]) -> object:
    match body:
        case str():
            return _filled(body, values)
        case Mapping():
            return {name: _filled_in(value, values) for name, value in body.items()}
        case list() | tuple():
            return [_filled_in(value, values) for value in body]
        case _:
            return body
