"""Examines the live systems of a downstreams file with invented people only."""

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import asyncpg
import orjson
from pydantic import JsonValue

from shared.domain.errors import Misconfigured, Refused, Unavailable
from shared.domain.operations import Operation
from shared.systems.bus.adapter import BusAdapter
from shared.systems.conformance.checks import (
    CHECKS,
    PREFIX,
    CheckContext,
    CheckResult,
    CheckResults,
    SamplePerson,
    Verdict,
    run,
)
from shared.systems.conformance.declared import Conformance, SeedMethod
from shared.systems.contract import Task
from shared.systems.downstream import Downstream
from shared.systems.registry import Downstreams, Wiring
from shared.systems.sql.mariadb import Address, opened, translated
from shared.systems.sql.server import is_mariadb

_PARAMETER = re.compile(r"\{((?:other_)?(?:key|email|phone|account_id|sip_uri|name))\}")
_SECONDS = 60.0


class SeedFailed(Misconfigured):
    """The declared way to fill the system did not work."""


class Seeder:
    """Seeds one person after another by a declared way, or two whose names are prefixed with ``other_``."""

    def __init__(self, where: str, way: SeedMethod, environment: Mapping[str, str], dsn_env: str | None = None) -> None:
        self._where = where
        self._way = way
        self._environment = environment
        self._dsn_env = way.dsn_env or dsn_env

    async def run(self, values: Mapping[str, str]) -> int | None:
        """Returns the number of rows made, if known.

        Raises:
            SeedFailed: names the attempt and its result
        """
        try:
            async with asyncio.timeout(_SECONDS):
                if self._way.command:
                    return await self._command(values)
                return await self._sql(values)
        except TimeoutError:
            raise SeedFailed(f"{self._where} took longer than {_SECONDS:g} s") from None

    async def _command(self, values: Mapping[str, str]) -> int | None:
        pipe = asyncio.subprocess.PIPE
        try:
            process = await asyncio.create_subprocess_exec(*self._way.command, stdin=pipe, stdout=pipe)
        except OSError as error:
            raise SeedFailed(f"{self._where}: {self._way.command[0]}: {error.strerror}") from None
        try:
            output, _ = await process.communicate(orjson.dumps(dict(values)))
        finally:
            if process.returncode is None:
                process.kill()
        if process.returncode:
            raise SeedFailed(f"{self._where}: {self._way.command[0]} ended with status {process.returncode}")
        text = output.decode(errors="replace").strip()
        return int(text) if text.isdecimal() and text.isascii() else None

    async def _sql(self, values: Mapping[str, str]) -> int:
        dsn = self._environment.get(self._dsn_env or "")
        if not dsn:
            raise SeedFailed(f"{self._where}: sql needs dsn_env, the variable with a writing user; export it")
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
                            query = _PARAMETER.sub("?", statement)
                            await connection.execute(query, *(values[name] for name in _PARAMETER.findall(statement)))
                finally:
                    await connection.close()
        except Refused as refused:
            raise SeedFailed(f"{refused}: mend the statement") from None


def _bound(statement: str, values: Mapping[str, str]) -> tuple[str, ...]:
    """A statement with parameters in the place of what it names, and those."""
    names = list(dict.fromkeys(_PARAMETER.findall(statement)))
    query = _PARAMETER.sub(lambda found: f"${names.index(found[1]) + 1}", statement)
    return (query, *(values[name] for name in names))


@dataclass
class LiveSystem:
    """A system that is running somewhere, filled as its table declares."""

    downstream: Downstream
    seeding: Seeder | None = None
    sharing: Seeder | None = None

    async def put(self, person: SamplePerson, rows: int) -> int | None:
        """Seeds the system; the file decides how many rows, so the number wanted is ignored."""
        del rows
        return await self.seeding.run(person.values) if self.seeding else None

    async def share(self, person: SamplePerson, other: SamplePerson) -> bool:
        """Fills it with what both are in, if the file says how."""
        if self.sharing is None:
            return False
        await self.sharing.run(person.values | {f"other_{name}": value for name, value in other.values.items()})
        return True

    async def held(self, person: SamplePerson) -> int | None:
        """Returns None: only the system's answers are known."""
        del person
        return None  # unknown

    def about(self, task: Task) -> None:
        """Does nothing: the task says it."""

    async def hear(self, progress: dict[UUID, dict[str, JsonValue]], delay: timedelta) -> None:
        """Waits the requested time."""
        del progress
        await asyncio.sleep(delay.total_seconds())


MakeLiveSystem = Callable[..., LiveSystem]
"""Makes of a system, and of the ways to fill it, one under examination, as ``LiveSystem`` does."""


async def examine(
    path: Path,
    wiring: Wiring,
    names: Sequence[str] = (),
    on_the_bus: MakeLiveSystem | None = None,
) -> dict[str, CheckResults]:
    """Returns the results of every check on every enabled system, or on these.

    ``on_the_bus``: reaches teams on the bus, on a running platform.

    Raises:
        Misconfigured: the file is unusable, or there is no such system
    """
    wiring = replace(wiring, policy=wiring.policy.keeping_nothing())
    loaded = Downstreams.load(path, wiring)
    try:
        chosen = [loaded.get(name) for name in names] or list(loaded.all)
        found = {}
        for each in chosen:
            made = on_the_bus if isinstance(each.adapter, BusAdapter) else LiveSystem
            found[each.name] = await _examine(path, each, wiring, made) if made else _ON_THE_BUS
        return found
    finally:
        await loaded.close()


async def sweep(path: Path, wiring: Wiring) -> list[str]:
    """Removes whatever earlier runs have left behind, in every system that declares how; returns their names."""
    loaded = Downstreams.load(path, wiring)
    await loaded.close()
    swept = []
    for each in loaded.all:
        if each.conformance and each.conformance.sweep:
            await _seed_method(path, each, "sweep", wiring).run(_by_prefix(PREFIX))
            swept.append(each.name)
    return swept


async def _examine(path: Path, system: Downstream, wiring: Wiring, made: MakeLiveSystem) -> CheckResults:
    declared = system.conformance
    if declared is None:
        return _all(
            Verdict.SKIPPED, f"write [{system.name}.conformance] in {path.name}: how test subjects come into it"
        )
    trial = _trial(path, system, declared, wiring, made)
    try:
        return {name: await run(check, trial) for name, check in CHECKS.items()}
    finally:
        await _remove_people(path, trial, declared, wiring)


def _trial(path: Path, system: Downstream, declared: Conformance, wiring: Wiring, made: MakeLiveSystem) -> CheckContext:
    sharing = _seed_method(path, system, "shared", wiring) if declared.shared else None
    live = made(system, _seed_method(path, system, "seed", wiring), sharing)
    return CheckContext(live, change=declared.change, patience=declared.within)


async def _remove_people(path: Path, trial: CheckContext, declared: Conformance, wiring: Wiring) -> None:
    """Removes everybody of this run: in the declared way, else by erasing them, as far as that works."""
    if declared.sweep:
        await _seed_method(path, trial.system, "sweep", wiring).run(_by_prefix(trial.people.prefix))
    elif trial.can(Operation.ERASE):
        for person in trial.people.made:
            await trial.ask(Operation.ERASE, person)


def _seed_method(path: Path, system: Downstream, what: str, wiring: Wiring) -> Seeder:
    where = f"{path}: [{system.name}.conformance] {what}"
    return Seeder(
        where, getattr(system.conformance, what), wiring.environment, getattr(system.settings, "dsn_env", None)
    )


def _by_prefix(prefix: str) -> dict[str, str]:
    return dict.fromkeys(("key", "email", "phone", "account_id", "sip_uri", "name"), prefix)


def _all(word: Verdict, reason: str) -> CheckResults:
    return dict.fromkeys(CHECKS, CheckResult(word, reason))


_ON_THE_BUS = _all(
    Verdict.UNKNOWN, "its tasks need the platform around them: run this with its settings, as .local/up/dsr conformance"
)
