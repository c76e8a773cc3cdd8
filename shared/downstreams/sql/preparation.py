"""What a SQL store must have besides its own tables: one of ours, in a schema of its own, without personal data."""

from urllib.parse import parse_qs, unquote, urlsplit

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
GRANT USAGE ON SCHEMA dsr_platform TO {role};
GRANT SELECT, INSERT, UPDATE, DELETE ON dsr_platform.progress TO {role};
"""
_PREPARED = """
SELECT coalesce(bool_and(has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, privilege)), false)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace,
     unnest('{SELECT,INSERT,UPDATE,DELETE}'::text[]) privilege
WHERE n.nspname = 'dsr_platform' AND c.relname = 'progress'
"""


class StoreUnprepared(SystemRefused):
    """A SQL store lacks the table in which our work is noted together with the work; nothing was changed in it."""


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


async def refuse_unprepared(connection: asyncpg.Connection | PoolConnectionProxy, system: str) -> None:
    """Raises ``StoreUnprepared`` unless this role can note there what it does."""
    if not await connection.fetchval(_PREPARED):
        raise StoreUnprepared(
            f"{system}: has no table dsr_platform.progress that this role may write;"
            " let its owner run what `dsr downstreams prepare FILE` prints"
        )
