"""Stores the downstream systems: their state, accepted definition, and findings while they only observe.

One table that every service reads; a task is claimed only where it says that the system is on, by the very definition
that the process has read. So whatever is switched holds from the next claim on, in every process.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from shared.domain.errors import Misconfigured
from shared.storage.postgres import Connection

CHANGED = "changed"
"""The reason to quarantine a system whose definition is not the accepted one."""


class SystemState(StrEnum):
    """The state of a system; an answer needs it while it is ``ON`` or ``QUARANTINED``."""

    OBSERVE = "observe"  # new: it is asked, nothing is changed in it, and it counts for nothing
    ON = "on"
    QUARANTINED = "quarantined"  # nothing is done in it, and what needs it waits
    RETIRED = "retired"  # gone: what still needs it is a person's matter


REQUIRED_STATES = frozenset({SystemState.ON, SystemState.QUARANTINED})


@dataclass(frozen=True, slots=True)
class SystemStatus:
    """The state of a system, its beginning, and the hash of the accepted definition."""

    state: SystemState
    hash: str
    reason: str | None
    since: datetime


@dataclass(frozen=True, slots=True)
class ObservedFinding:
    """The finding of an observing system for a request: rows, or why they are unknown."""

    request_id: UUID
    outcome: str
    found: int
    found_at: datetime


async def read_systems(connection: Connection) -> dict[str, SystemStatus]:
    """Returns every registered system by name."""
    rows = await connection.fetch("SELECT name, state, hash, reason, since FROM downstreams.system ORDER BY name")
    return {row[0]: SystemStatus(SystemState(row[1]), *tuple(row)[2:]) for row in rows}


async def register(connection: Connection, declared: Mapping[str, str]) -> dict[str, SystemStatus]:
    """Compares what is known with what is declared, names with hashes; returns where each system stands now.

    The first time of all every system is switched on, later on a new one observes. One that was on and is declared in
    another way is quarantined until a person has accepted it.

    Raises:
        Misconfigured: names each system that was on and is not declared.
    """
    async with connection.transaction():
        await connection.execute("LOCK TABLE downstreams.system IN SHARE ROW EXCLUSIVE MODE")
        known = await read_systems(connection)
        if missing := [
            name for name, system in known.items() if system.state in REQUIRED_STATES and name not in declared
        ]:
            ways = " and ".join(f"`dsr downstreams retire {name}`" for name in missing)
            raise Misconfigured(
                f"{', '.join(missing)}: in use until now, and not declared any more, or not enabled; bring the table"
                f" back, or run {ways} (another name is another system)"
            )
        for name, fingerprint in declared.items():
            system = known.get(name)
            if system is None:
                await _set(connection, name, SystemState.OBSERVE if known else SystemState.ON, fingerprint)
            elif system.state is SystemState.RETIRED:
                await forget_findings(connection, name)
                await _set(connection, name, SystemState.OBSERVE, fingerprint)
            elif system.hash == fingerprint:
                continue
            elif system.state is SystemState.OBSERVE:
                await _set(connection, name, SystemState.OBSERVE, fingerprint)
            elif system.state is SystemState.ON:
                await _set(connection, name, SystemState.QUARANTINED, system.hash, CHANGED)
        return await read_systems(connection)


async def switch_on(connection: Connection, name: str, fingerprint: str) -> list[ObservedFinding]:
    """Activates a system with the definition of that hash; returns its findings as an observer.

    Raises:
        Misconfigured: there is no such system.
    """
    async with connection.transaction():
        before = await _locked(connection, name)
        if before.state is SystemState.ON and before.hash == fingerprint:
            return []
        await _set(connection, name, SystemState.ON, fingerprint)
        if before.state is not SystemState.OBSERVE:
            return []
        await connection.execute("UPDATE downstreams.system SET announced = false WHERE name = $1", name)
        return await findings(connection, name)


async def quarantine(connection: Connection, name: str, reason: str) -> None:
    """Quarantines a system; its tasks wait.

    Raises:
        Misconfigured: the system is not in use.
    """
    async with connection.transaction():
        before = await _locked(connection, name)
        if before.state not in REQUIRED_STATES:
            raise Misconfigured(f"{name} is {before.state}: only a system that is on can be quarantined")
        await _set(connection, name, SystemState.QUARANTINED, before.hash, reason)


async def retire(connection: Connection, name: str) -> None:
    """Retires a system; an officer decides about tasks that still need it.

    Raises:
        Misconfigured: there is no such system.
    """
    async with connection.transaction():
        before = await _locked(connection, name)
        if before.state is not SystemState.RETIRED:
            await _set(connection, name, SystemState.RETIRED, before.hash)


async def note_findings(connection: Connection, system: str, found: Sequence[ObservedFinding]) -> None:
    """Records findings of an observing system; the last one of a request counts."""
    await connection.executemany(
        "INSERT INTO downstreams.finding (system, request_id, outcome, found, found_at) VALUES ($1, $2, $3, $4, $5)"
        " ON CONFLICT (system, request_id) DO UPDATE"
        " SET outcome = EXCLUDED.outcome, found = EXCLUDED.found, found_at = EXCLUDED.found_at",
        [(system, each.request_id, each.outcome, each.found, each.found_at) for each in found],
    )


async def findings(connection: Connection, name: str) -> list[ObservedFinding]:
    """Returns the findings of an observing system, the latest last."""
    rows = await connection.fetch(
        "SELECT request_id, outcome, found, found_at FROM downstreams.finding WHERE system = $1"
        " ORDER BY found_at, request_id",
        name,
    )
    return [ObservedFinding(*row) for row in rows]


async def forget_findings(connection: Connection, name: str) -> None:
    """Deletes the findings of a system that begins to observe again."""
    await connection.execute("DELETE FROM downstreams.finding WHERE system = $1", name)


async def to_announce(connection: Connection) -> list[str]:
    """Returns activated systems whose findings were not reported yet, and marks them as reported."""
    rows = await connection.fetch(
        "UPDATE downstreams.system SET announced = true WHERE NOT announced AND state <> 'observe' RETURNING name"
    )
    return sorted(row[0] for row in rows)


def as_json(status: SystemStatus) -> dict[str, Any]:
    """The same, for a program."""
    return asdict(status)


async def _locked(connection: Connection, name: str) -> SystemStatus:
    await connection.execute("LOCK TABLE downstreams.system IN SHARE ROW EXCLUSIVE MODE")
    known = await read_systems(connection)
    if name not in known:
        names = ", ".join(known) or "none"
        raise Misconfigured(f"no system {name!r} is known here: a service starts with it first (known: {names})")
    return known[name]


async def _set(
    connection: Connection, name: str, state: SystemState, fingerprint: str, reason: str | None = None
) -> None:
    await connection.execute(
        "INSERT INTO downstreams.system (name, state, hash, reason) VALUES ($1, $2, $3, $4)"
        " ON CONFLICT (name) DO UPDATE SET state = EXCLUDED.state, hash = EXCLUDED.hash, reason = EXCLUDED.reason,"
        " since = CASE WHEN system.state = EXCLUDED.state THEN system.since ELSE now() END",
        name,
        state,
        fingerprint,
        reason,
    )
