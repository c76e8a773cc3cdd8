"""Everything in which a MariaDB is not as its dataset declares it, with what to do; nothing of anybody is read."""

# ruff: noqa: S608 - every name is quoted

from collections.abc import Mapping, Sequence

from asyncmy.errors import MySQLError

from shared.downstreams.sql.catalog import Place
from shared.downstreams.sql.declaration.dataset import Dataset
from shared.downstreams.sql.inspection import Found, SeenColumn, faults_of
from shared.downstreams.sql.mariadb.connection import Connection
from shared.downstreams.sql.mariadb.names import place_of, quoted

_COLUMNS = """
SELECT column_name, privileges FROM information_schema.columns WHERE table_schema = ? AND table_name = ?
ORDER BY ordinal_position
"""
_USER = "SELECT current_user()"
_MAY_NOT = 1142


async def faults(connection: Connection, database: str, dataset: Dataset) -> list[str]:
    """What is wrong, a sentence for each table and kind of mistake; empty where all is as declared."""
    user = "@".join(f"'{part}'" for part in str(await connection.value(_USER)).rsplit("@", 1))
    wrong: list[str] = []
    for name, table in dataset.tables.items():
        place = dataset.place(database, name)
        columns = await connection.fetch(_COLUMNS, *place)
        if not columns:
            wrong.append(
                f"{'.'.join(place)} is declared and does not exist, or this user may do nothing in it: correct its"
                " name, or the namespace of the table"
            )
        else:
            deletable = (table.erase != "delete" and not table.parties) or await _may_delete(connection, place)
            found = Found(_columns(columns), insertable=True, deletable=deletable)
            wrong += faults_of(place, table, found, user, quoted)
    return wrong


def _columns(read: Sequence[tuple[str, str]]) -> Mapping[str, SeenColumn]:
    return {name: SeenColumn("select" in rights.split(","), "update" in rights.split(",")) for name, rights in read}


async def _may_delete(connection: Connection, place: Place) -> bool:
    """Asked by deleting nothing."""
    try:
        async with connection.transaction():
            await connection.execute(f"DELETE FROM {place_of(place)} WHERE FALSE")
    except MySQLError as error:
        if error.args[0] != _MAY_NOT:
            raise
        return False
    return True
