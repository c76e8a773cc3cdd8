"""Stores the result of each night by table and ceiling; intake shows it for approval."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from services.erasure.retention.rules import Known, State, Terms
from shared.storage.postgres import Connection
from shared.systems.sweepable import CeilingAction

Key = tuple[str, str, str]
"""System, table, and the name of the ceiling."""

_READ = """
SELECT system, table_name, ceiling, state, night, period, zone, anchor, first_kept, sweep_id, counted_on, due,
       confirmed_by
FROM downstreams.sweep
"""
_LEAVE = """
INSERT INTO downstreams.sweep AS s (
    system, table_name, ceiling, category, sweep_id, action, state, night, period, zone, anchor, counted_on, first_kept,
    due, of_rows, spared, missed, undetermined, reason, policy)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)
ON CONFLICT (system, table_name, ceiling) DO UPDATE SET
    category = excluded.category, sweep_id = excluded.sweep_id, action = excluded.action, state = excluded.state,
    night = excluded.night, period = excluded.period, zone = excluded.zone, anchor = excluded.anchor,
    counted_on = excluded.counted_on, first_kept = excluded.first_kept, due = excluded.due, of_rows = excluded.of_rows,
    spared = excluded.spared, missed = excluded.missed, undetermined = excluded.undetermined, reason = excluded.reason,
    policy = excluded.policy,
    gone = CASE WHEN s.sweep_id = excluded.sweep_id THEN s.gone ELSE 0 END,
    confirmed_by = CASE WHEN s.sweep_id = excluded.sweep_id THEN s.confirmed_by ELSE '{}' END
RETURNING gone
"""
_GONE = "UPDATE downstreams.sweep SET gone = gone + $4 WHERE system = $1 AND table_name = $2 AND ceiling = $3"
_FORGET = """
DELETE FROM downstreams.sweep WHERE (system, table_name, ceiling) NOT IN (
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[]))
"""
_MISSED = "SELECT system, category, sum(missed)::bigint FROM downstreams.sweep GROUP BY 1, 2"
_STATES = "SELECT system, state, count(*) FROM downstreams.sweep GROUP BY 1, 2"


@dataclass(frozen=True, slots=True)
class Figures:
    """Rows missed, by system and category; tables, by system and state."""

    missed: Sequence[tuple[str, str, int]]
    states: Sequence[tuple[str, str, int]]


@dataclass(frozen=True, slots=True)
class RunResult:
    """The result of a night for one ceiling in one table."""

    key: Key
    category: str
    sweep_id: UUID
    action: CeilingAction
    state: State
    night: date
    terms: Terms
    counted_on: date | None
    first_kept: date
    policy: str
    due: int = 0
    of_rows: int = 0
    spared: int = 0
    missed: int = 0
    undetermined: int = 0
    reason: str | None = None


async def read(connection: Connection) -> dict[Key, Known]:
    """Returns the results of the last night."""
    return {
        (row[0], row[1], row[2]): Known(
            *(State(row[3]), row[4], Terms(row[5], row[6], row[7]), *tuple(row)[8:12], tuple(row[12])),
        )
        for row in await connection.fetch(_READ)
    }


async def leave(connection: Connection, left: RunResult) -> int:
    """Replaces the last result by this night's; returns how many rows this run has removed."""
    terms = (left.terms.period, left.terms.zone, left.terms.anchor)
    counts = (left.due, left.of_rows, left.spared, left.missed, left.undetermined)
    gone = await connection.fetchval(
        _LEAVE,
        *(*left.key, left.category, left.sweep_id, left.action, left.state, left.night, *terms),
        *(left.counted_on, left.first_kept, *counts, left.reason, left.policy),
    )
    return int(gone)


async def forget_others(connection: Connection, keys: Collection[Key]) -> None:
    """Deletes results that the policy or the downstreams file no longer names."""
    await connection.execute(_FORGET, *([key[part] for key in keys] for part in range(3)))


async def add_gone(connection: Connection, key: Key, rows: int) -> None:
    """Adds removed rows after each step, since a process may end before the run does."""
    await connection.execute(_GONE, *key, rows)


async def figures(connection: Connection) -> Figures:
    """Returns the figures of all nights."""
    missed = await connection.fetch(_MISSED)
    states = await connection.fetch(_STATES)
    return Figures([(row[0], row[1], row[2]) for row in missed], [(row[0], row[1], row[2]) for row in states])
