"""What a SQL store must have besides its own tables: ours, in a schema of their own.

Two of them say nothing of anybody; two are about people, as the rows beside which they stand are: by which numbers rows
that a rule keeps are no longer found, and what people have stated about rows of theirs.
"""

from collections.abc import Collection
from hashlib import sha256
from typing import NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import UUID

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from shared.domain.errors import Misconfigured, SystemRefused

# Two tasks of one request in one database are of different systems, as the downstreams file calls them.
_SCHEMA = """\
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
CREATE TABLE IF NOT EXISTS dsr_platform.kept (
    request_id uuid        NOT NULL,
    system     text        NOT NULL,
    number     text        NOT NULL,
    valid_from timestamptz NOT NULL,
    valid_to   timestamptz NOT NULL,
    PRIMARY KEY (system, number, valid_from, request_id)
);
CREATE INDEX IF NOT EXISTS kept_of ON dsr_platform.kept (request_id);
CREATE TABLE IF NOT EXISTS dsr_platform.stated (
    system     text   NOT NULL,
    place      text   NOT NULL,
    key        text[] NOT NULL,
    found_by   text   NOT NULL,
    value      text   NOT NULL,
    field      text   NOT NULL,
    said       text   NOT NULL,
    stated_on  date   NOT NULL,
    request_id uuid   NOT NULL,
    PRIMARY KEY (system, place, key, found_by, field)
);
CREATE INDEX IF NOT EXISTS stated_by ON dsr_platform.stated (system, place, value);
GRANT USAGE ON SCHEMA dsr_platform TO {role};
GRANT SELECT ON dsr_platform.incarnation TO {role};
GRANT SELECT, INSERT, DELETE ON dsr_platform.kept TO {role};
GRANT SELECT, INSERT, UPDATE, DELETE ON dsr_platform.progress TO {role};
GRANT SELECT, INSERT, UPDATE, DELETE ON dsr_platform.stated TO {role};
"""
_PREPARED = """
SELECT coalesce(bool_and(has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, privilege)), false)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace,
     unnest('{SELECT,INSERT,UPDATE,DELETE}'::text[]) privilege
WHERE n.nspname = 'dsr_platform' AND c.relname = 'progress'
"""
_INCARNATION = """
SELECT id, (
    SELECT string_agg(c.oid::text, '.' ORDER BY c.oid) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p')
      AND (n.nspname = 'dsr_platform' AND c.relname = 'progress'
           OR (n.nspname, c.relname) IN (SELECT * FROM unnest($1::text[], $2::text[]))))
FROM dsr_platform.incarnation
"""


class Incarnation(NamedTuple):
    """One life of a store: the id that its preparation drew, and which tables there are."""

    id: UUID
    tables: str

    def __str__(self) -> str:
        return f"{self.id}/{self.tables}"


class StoreUnprepared(SystemRefused):
    """A SQL store lacks the tables in which our work is noted together with the work; nothing was changed in it."""


def schema_for(dsn: str) -> str:
    """What the owner of a store runs once, for the user whom that connection string names; harmless when repeated.

    Raises:
        Misconfigured: it names none.
    """
    parts = urlsplit(dsn)
    user = unquote(parts.username or "") or parse_qs(parts.query).get("user", [""])[0]
    if not user:
        raise Misconfigured("the connection string names no user; write postgresql://USER@HOST/DATABASE")
    quoted = '"' + user.replace('"', '""') + '"'
    return _SCHEMA.format(role=quoted)


async def refuse_unprepared(connection: PoolConnectionProxy, system: str) -> None:
    """Raises ``StoreUnprepared`` unless this role can note there what it does."""
    if not await connection.fetchval(_PREPARED):
        raise unprepared(system)


async def incarnation_of(
    connection: PoolConnectionProxy, system: str, places: Collection[tuple[str, str]]
) -> Incarnation:
    """Which store this is; raises ``StoreUnprepared`` where it does not say so."""
    try:
        row = await connection.fetchrow(_INCARNATION, *([place[part] for place in places] for part in range(2)))
    except (asyncpg.UndefinedTableError, asyncpg.InsufficientPrivilegeError):
        row = None
    if row is None:
        raise unprepared(system)
    return Incarnation(row[0], sha256(row[1].encode()).hexdigest()[:16])


def unprepared(system: str) -> StoreUnprepared:
    """What is said of a store that lacks our tables."""
    return StoreUnprepared(
        f"{system}: has no table dsr_platform.progress that this role may write, or no dsr_platform.incarnation that it"
        " may read; let its owner run what `dsr downstreams prepare FILE` prints"
    )
