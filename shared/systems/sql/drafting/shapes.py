"""What a database says of its tables, in no database's own words, for a draft and what it is compared with."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

from shared.systems.sql.server import Place
from shared.systems.sql.system import server_of

Kind = Literal["table", "partitioned table", "foreign table", "view", "materialized view"]


@dataclass(frozen=True, slots=True)
class ColumnShape:
    """A column; ``type`` as the database writes it, without length; ``generated``: derived from other columns."""

    name: str
    type: str
    generated: bool = False


@dataclass(frozen=True, slots=True)
class KeyShape:
    """A foreign key: its columns, each with that of the other table; ``unique``: one row at most refers to one."""

    name: str
    columns: tuple[str, ...]
    parent: Place
    to: tuple[str, ...]
    unique: bool = False


@dataclass(frozen=True, slots=True)
class TableShape:
    """A table or a view. ``partitions``: how many; they are no tables of their own here."""

    place: Place
    columns: tuple[ColumnShape, ...]
    primary_key: tuple[str, ...] = ()
    keys: tuple[KeyShape, ...] = ()
    kind: Kind = "table"
    partitions: int = 0

    @property
    def name(self) -> str:
        return self.place[1]

    @property
    def is_view(self) -> bool:
        return self.kind in {"view", "materialized view"}


@dataclass(frozen=True, slots=True)
class Shapes:
    """Every table of a database but the database's own, in the order of schema and name.

    ``namespace``: the schema in which its tables stand where nothing else is said.
    """

    database: str
    tables: Mapping[Place, TableShape]
    namespace: str = "public"


async def shapes_of(dsn: str) -> Shapes:
    """Reads the catalogs, as far as this user may know of them, and no row.

    Raises:
        Unavailable, Refused: the server cannot be reached, or does not let this user in.
    """
    server = server_of("the database", dsn)
    try:
        async with server.connection() as connection, connection.transaction(reading=True):
            catalog = await server.catalog(connection, None)
    finally:
        await server.close()
    keys: dict[Place, list[KeyShape]] = {}
    for each in catalog.references:
        child = catalog.relations.get(each.child)
        unique = child is not None and any(columns <= {*each.columns} for columns in child.unique)
        keys.setdefault(each.child, []).append(KeyShape(each.name, each.columns, each.parent, each.to, unique))
    tables = {}
    for place, relation in catalog.relations.items():
        columns = tuple(ColumnShape(name, c.told, c.generated) for name, c in relation.columns.items())
        told = (columns, relation.primary_key, tuple(keys.get(place, ())))
        tables[place] = TableShape(place, *told, cast("Kind", relation.kind), relation.partitions)
    return Shapes(catalog.name, tables, server.namespace)
