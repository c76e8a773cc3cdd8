"""What a database says of its tables, in no database's own words; each kind of database has a module that reads it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Place = tuple[str, str]
"""The schema and the name of a table."""

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
