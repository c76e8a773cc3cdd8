"""What the store's tables look like today, compared with what the dataset says of them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from asyncpg.pool import PoolConnectionProxy

from shared.domain.errors import ColumnUnmapped, Misconfigured, SystemRefused, TableMissing
from shared.downstreams.sql.dataset import Dataset, Table

_COLUMNS = """
SELECT c.relname AS table, a.attname AS column, format_type(a.atttypid, NULL) AS type,
       c.relkind IN ('r', 'p') AND coalesce(l.collisdeterministic, true) AS exact
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_collation l ON l.oid = a.attcollation
WHERE n.nspname = $1 AND c.relname = ANY($2) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
"""

_CANNOT_NAME_ANYBODY = frozenset(
    {
        "boolean",
        "date",
        "double precision",
        "interval",
        "real",
        "smallint",
        "time with time zone",
        "time without time zone",
        "timestamp with time zone",
        "timestamp without time zone",
    }
)
_BYTEWISE = frozenset({"text", "character varying"})
_TEXT = _BYTEWISE | {"character"}


class DatasetOutdated(Misconfigured, SystemRefused):
    """The dataset declares a column that its table does not have; correct the dataset, then try the task again."""

    code = Misconfigured.code


@dataclass(frozen=True, slots=True)
class Relation:
    """A table as it is: name and type of every column."""

    types: Mapping[str, str]
    loose: Collection[str]
    """Columns where = finds more than the same bytes (citext, a collation that ignores case, a view)."""

    def is_text(self, column: str) -> bool:
        return self.types[column] in _TEXT


async def describe(connection: PoolConnectionProxy, namespace: str, dataset: Dataset) -> Mapping[str, Relation]:
    """Every declared table; raises ``TableMissing``, and ``DatasetOutdated`` where a declared column is not there."""
    wanted = [*dataset.tables, *([dataset.restriction.table] if dataset.restriction else [])]
    types: dict[str, dict[str, str]] = {}
    loose: dict[str, set[str]] = {name: set() for name in wanted}
    for table, column, type_, exact in await connection.fetch(_COLUMNS, namespace, wanted):
        types.setdefault(table, {})[column] = type_
        if not exact or type_ not in _BYTEWISE:
            loose[table].add(column)
    for name in wanted:
        if name not in types:
            raise TableMissing(f"{dataset.name}: table {name} is declared and does not exist")
    for name, table in dataset.tables.items():
        if absent := table.columns.keys() - types[name].keys():
            raise DatasetOutdated(f"{dataset.name}: {name} has no column {min(absent)}; correct the dataset")
    return {name: Relation(types[name], loose[name]) for name in wanted}


def refuse_unmapped(table: Table, name: str, relation: Relation, *, reading: bool) -> None:
    """Refuse a table with a column that nobody classified.

    To read, any such column is too many: it might be another person's. To erase, only one whose type can hold an
    identity: the subject could be in it and would not be found.
    """
    for column, type_ in relation.types.items():
        if column not in table.columns and (reading or type_ not in _CANNOT_NAME_ANYBODY):
            raise ColumnUnmapped(f"{name} has a column that the dataset does not classify: {column}")
