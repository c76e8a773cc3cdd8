"""What a MariaDB must have besides its own tables: two of ours, in a database of their own, without personal data."""

from collections.abc import Collection
from hashlib import sha256
from uuid import UUID

from asyncmy.errors import MySQLError

from shared.downstreams.sql.catalog import Place
from shared.downstreams.sql.mariadb.connection import Address, Connection
from shared.downstreams.sql.preparation import Incarnation, unprepared

# GRANT REFERENCES lets it know of every foreign key to a declared table, and read or change nothing.
_SCHEMA = """\
CREATE DATABASE IF NOT EXISTS dsr_platform CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE TABLE IF NOT EXISTS dsr_platform.progress (
    request_id char(36)    NOT NULL,
    system     varchar(255) NOT NULL,
    task_id    char(36)    NOT NULL,
    opened     bigint      NOT NULL,
    stage      bigint      NOT NULL,
    attempt    bigint      NOT NULL,
    counts     longtext    NOT NULL,
    noted_at   datetime(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    PRIMARY KEY (request_id, system)
) ENGINE = InnoDB;
CREATE TABLE IF NOT EXISTS dsr_platform.incarnation (
    one tinyint  NOT NULL PRIMARY KEY CHECK (one = 1),
    id  char(36) NOT NULL
) ENGINE = InnoDB;
INSERT IGNORE INTO dsr_platform.incarnation VALUES (1, uuid());
GRANT SELECT ON dsr_platform.incarnation TO {user};
GRANT SELECT, INSERT, UPDATE, DELETE ON dsr_platform.progress TO {user};
GRANT REFERENCES ON *.* TO {user};
"""
_ANYWHERE = "%"


def schema_for(dsn: str) -> str:
    """What the owner of a store runs once, for the user whom that connection string names; harmless when repeated.

    Raises:
        Misconfigured: it names none.
    """
    user = Address.of(dsn).user
    return _SCHEMA.format(user=f"{_text(user)}@{_text(_ANYWHERE)}")


def _text(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


async def incarnation_of(connection: Connection, system: str, places: Collection[Place]) -> Incarnation:
    """Which store this is; raises ``StoreUnprepared`` where it does not say so.

    A table that was read back from a dump was made at another time; so was one that was rebuilt, of which the counts
    are then lost, too.
    """
    asked = [("dsr_platform", "progress"), *sorted(places)]
    where = " OR ".join(["(table_schema = ? AND table_name = ?)"] * len(asked))
    try:
        id_ = await connection.value("SELECT id FROM dsr_platform.incarnation")
        await connection.fetch("SELECT 1 FROM dsr_platform.progress LIMIT 1")
    except MySQLError as error:
        if error.args[0] in {1044, 1049, 1142, 1146}:
            raise unprepared(system) from None
        raise
    if id_ is None:
        raise unprepared(system)
    rows = await connection.fetch(
        f"SELECT table_schema, table_name, create_time FROM information_schema.tables WHERE {where}"  # noqa: S608
        " ORDER BY table_schema, table_name",
        *(part for place in asked for part in place),
    )
    tables = ".".join(f"{schema}/{name}/{created}" for schema, name, created in rows)
    return Incarnation(UUID(id_), sha256(tables.encode()).hexdigest()[:16])
