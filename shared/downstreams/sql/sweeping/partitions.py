"""Whole partitions that are due: detached and dropped, by a function of the store's owner that we may call."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from shared.downstreams.sql.sweeping.rows import DueRows, Moment

# Partitions by ranges of one column alone, which have no partitions themselves.
_PARTITIONS = """
SELECT c.oid::regclass::text, pg_get_expr(c.relpartbound, c.oid)
FROM pg_partitioned_table p
JOIN pg_attribute a ON a.attrelid = p.partrelid AND a.attnum = p.partattrs[0]
JOIN pg_inherits i ON i.inhparent = p.partrelid
JOIN pg_class c ON c.oid = i.inhrelid AND c.relkind = 'r'
WHERE p.partrelid = $1::text::regclass AND p.partstrat = 'r' AND p.partnatts = 1 AND a.attname = $2
"""
_RANGE = re.compile(r"FOR VALUES FROM \((?:'([^']+)'|MINVALUE)\) TO \('([^']+)'\)")
_MAY = """
SELECT coalesce(bool_or(has_function_privilege(p.oid, 'EXECUTE')), false)
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname = 'dsr_platform' AND p.proname = 'drop_partition'
"""
_DROP = "SELECT dsr_platform.drop_partition($1::text::regclass, $2)"
_NOT_NOW = (
    asyncpg.LockNotAvailableError,
    asyncpg.QueryCanceledError,
    asyncpg.InsufficientPrivilegeError,
    asyncpg.DependentObjectsStillExistError,
    asyncpg.ForeignKeyViolationError,
    asyncpg.RaiseError,
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
)
"""Why a partition is not dropped: then its rows go one by one."""


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition of a table and the range of its anchor, half-open; without ``since`` it has no beginning."""

    name: str
    since: Moment | None
    until: Moment


async def whole_ones(connection: PoolConnectionProxy, rows: DueRows) -> Sequence[Partition]:
    """The partitions that end before the first row that is kept, if we may drop any."""
    if rows.due.then != "delete" or not await connection.fetchval(_MAY):
        return []
    found = []
    for name, bound in await connection.fetch(_PARTITIONS, rows.table.source, rows.anchor.column):
        if told := _RANGE.fullmatch(bound):
            read = f"SELECT $1::text::{rows.type}, $2::text::{rows.type}"
            [(since, until)] = await connection.fetch(read, *told.groups())
            if until <= rows.before:
                found.append(Partition(name, since, until))
    return sorted(found, key=lambda each: each.until)


async def drop(connection: PoolConnectionProxy, rows: DueRows, partition: Partition) -> int | None:
    """Drops it where every row in it goes now; how many that were, or None where it was left as it is.

    The function counts once more, so that no row that came meanwhile goes with it.
    """
    query, *arguments = rows.whole(partition.since, partition.until)
    [(there, go)] = await connection.fetch(query, *arguments)
    if there != go:
        return None
    try:
        async with connection.transaction():
            await connection.execute(_DROP, partition.name, there)
    except _NOT_NOW:
        return None
    return int(there)
