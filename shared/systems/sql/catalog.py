"""Describes the tables of a store as they are, in PostgreSQL's terms, and how foreign keys let rows be deleted."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise

from shared.domain.errors import ColumnUnmapped, Misconfigured, SystemRefused, TableMissing
from shared.systems.sql.dataset import SIDE, Dataset, ordered
from shared.systems.sql.declaration import Table
from shared.systems.sql.server import TableName

TABLE, PARTITIONED, VIEW, MATERIALISED = "table", "partitioned table", "view", "materialized view"
UNSIGNED = "bigint unsigned"
DATE, ZONELESS, ZONED = "date", "timestamp without time zone", "timestamp with time zone"
TEXT = frozenset({"text", "character varying"})
PADDED = "bpchar"
"""The type that PostgreSQL pads with blanks; ``character`` in a cast would be one letter."""
_IMPERSONAL_TYPES = frozenset(
    {
        *("boolean", DATE, "double precision", "interval", "real", "smallint", ZONED, ZONELESS),
        *("time with time zone", "time without time zone"),
    }
)
_RELEASING_ACTIONS = "n"
"""ON DELETE SET NULL: the referring row stays without a reference. SET DEFAULT would refer to another row."""


class DatasetOutdated(Misconfigured, SystemRefused):
    """The dataset declares a column that its table does not have; correct the dataset, then try the task again."""

    code = Misconfigured.code


@dataclass(frozen=True, slots=True)
class SeenColumn:
    """A column of the live table: ``loose``: = matches other bytes too; ``full_type``.

    Its type as the server writes it.

    ``any_case``: it ignores case.
    """

    type: str
    nullable: bool = True
    loose: bool = False
    generated: bool = False
    writable: bool = True
    full_type: str = ""
    any_case: bool = False


@dataclass(frozen=True)
class Relation:
    """A live table as this user sees it; ``unique``: the sets of columns that no two rows have in common.

    ``hiding``: row security may hide rows of it.
    """

    place: TableName
    columns: Mapping[str, SeenColumn]
    kind: str = TABLE
    primary_key: tuple[str, ...] = ()
    unique: frozenset[frozenset[str]] = frozenset()
    changeable: bool = True
    reachable: bool = True
    hiding: bool = False
    partitions: int = 0

    @cached_property
    def types(self) -> Mapping[str, str]:
        """The type of each column."""
        return {name: column.type for name, column in self.columns.items()}

    @cached_property
    def lockable(self) -> bool:
        """Whether this user may lock its rows, which needs the right to change some column."""
        return any(column.writable for column in self.columns.values())


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """A foreign key from the table at ``child`` to the one at ``parent``."""

    name: str
    child: TableName
    parent: TableName
    columns: tuple[str, ...]
    to: tuple[str, ...]
    on_delete: str = "a"
    deferrable: bool = False
    nullable: bool = True

    @property
    def releases_parent(self) -> bool:
        """Whether the row that it refers to may go first."""
        return self.on_delete == _RELEASING_ACTIONS


@dataclass(frozen=True)
class Catalog:
    """Some tables, or all, and every foreign key to one of them."""

    relations: Mapping[TableName, Relation]
    references: tuple[ForeignKey, ...] = ()
    sees_all: bool = True
    """Whether this user knows of every table that refers to one of them."""
    name: str = ""


def named_in(dataset: Dataset, namespace: str) -> Mapping[TableName, Collection[str]]:
    """Returns the columns of each table that a dataset names."""
    named = {(namespace, name): {*table.columns} for name, table in dataset.tables.items()}
    for table in dataset.tables.values():
        for _, join in table.joins:
            named[namespace, join.table].update(join.on.values())
    if dataset.restrict:
        named.setdefault((namespace, dataset.restrict), set()).update(SIDE)
    return named


def refuse_missing(dataset: Dataset, namespace: str, catalog: Catalog) -> None:
    """Refuses a store that lacks a table or a column that its dataset names.

    Raises:
        TableMissing: a table is not there.
        DatasetOutdated: a column is not there.
        SystemRefused: a table has no transactions, or row security may hide rows of it.
    """
    for (schema, name), columns in named_in(dataset, namespace).items():
        if (relation := catalog.relations.get((schema, name))) is None:
            raise TableMissing(f"{dataset.name}: table {name} is declared and does not exist")
        if relation.kind not in {TABLE, PARTITIONED, VIEW, MATERIALISED, "foreign table"}:
            raise SystemRefused(
                f"{dataset.name}: {schema}.{name} is {relation.kind}; a table must be InnoDB's, which has transactions"
            )
        if relation.hiding:
            raise SystemRefused(
                f"{dataset.name}: row security may hide rows of {name} from this role, so nothing found would mean"
                " nothing; let the owner add the policy that `dsr downstreams check` prints"
            )
        if absent := columns - relation.columns.keys():
            raise DatasetOutdated(f"{dataset.name}: {name} has no column {min(absent)}; correct the dataset")


def refuse_unmapped(table: Table, name: str, relation: Relation, *, reading: bool) -> None:
    """Refuses a table with a column that the dataset does not classify.

    For reading, any such column is refused: it may be another person's. For erasing, only one whose type can hold an
    identity, by which the subject would not be found.
    """
    for column, type_ in relation.types.items():
        if column not in table.columns and (reading or type_ not in _IMPERSONAL_TYPES):
            raise ColumnUnmapped(f"{name} has a column that the dataset does not classify: {column}")


def refuse_fixed(table: Table, name: str, relation: Relation) -> None:
    """Refuses a table that cannot be changed as it is declared: through a view, or in a column that is derived."""
    if not relation.changeable:
        raise DatasetOutdated(
            f"{name} is a view through which nothing can be changed: leave it out, and declare the tables that it shows"
        )
    written = {column for column, declared in table.columns.items() if declared.rectifies}
    written |= table.blanked if table.on_erase == "blank" else set()
    if derived := sorted(name for name, seen in relation.columns.items() if seen.generated and name in written):
        raise DatasetOutdated(f"{name}: {derived[0]} is derived by the database: write generated = true in its column")


@dataclass(frozen=True)
class ForeignKeys:
    """All foreign keys to declared tables, and how rows can be deleted; tables by their declared names."""

    keys: tuple[ForeignKey, ...] = ()
    names: Mapping[TableName, str] = field(default_factory=dict)
    order: tuple[str, ...] = ()
    """The names of the tables, those that refer before those that they refer to."""
    deferred: tuple[ForeignKey, ...] = ()
    """Checked at the end of the transaction, where tables refer to one another in a circle."""
    emptied: tuple[ForeignKey, ...] = ()
    """Emptied before the rows that they refer to are deleted, where no key is deferrable."""

    def to(self, parent: TableName) -> Sequence[ForeignKey]:
        """Returns what keeps a row of that table, or would go with it."""
        binding = (key for key in self.keys if key.parent == parent and not key.releases_parent)
        return [key for key in binding if key not in self.deferred]

    def loosened(self, parent: TableName) -> Sequence[ForeignKey]:
        """Returns the foreign keys that the database empties when a row of that table is deleted."""
        return [key for key in self.keys if key.parent == parent and key.releases_parent]

    def refuse_undeclared(self, dataset: str) -> None:
        """Raises ``DatasetOutdated`` where a table refers to a declared one and is not declared itself."""
        silent = (key for key in self.keys if key.child not in self.names)
        if names := sorted({f"{key.child[1]} (to {self.names[key.parent]}, {key.name})" for key in silent}):
            raise DatasetOutdated(
                f"{dataset}: tables refer to declared ones and are not declared, so what is in them about whom is not"
                f" known: {', '.join(names)}; declare each, with belongs_to = the join that tells whose its rows are"
            )


def deletion_order(dataset: Dataset, namespace: str, keys: Sequence[ForeignKey]) -> ForeignKeys:
    """Returns how rows of all tables can go; raises ``DatasetOutdated`` where none can."""
    names = {(namespace, name): name for name in dataset.tables}
    own_keys = tuple(key for key in keys if key.parent in names)
    blanked = {name for name, table in dataset.tables.items() if table.on_erase == "blank"}
    binding = [key for key in own_keys if key.child in names and key.child != key.parent and not key.releases_parent]
    deferred: list[ForeignKey] = []
    emptied: list[ForeignKey] = []
    while (cycle := _cycle(binding, names)) is not None:
        opening = [key for key in binding if (names[key.child], names[key.parent]) in cycle]
        # Nothing else waits for the end: CASCADE and RESTRICT act immediately, deferrable or not.
        late = [key for key in opening if key.deferrable and key.on_delete == "a"]
        loosened = [key for key in opening if key.nullable and names[key.child] not in blanked]
        if not late and not loosened:
            chain = ", ".join(f"{names[key.child]} to {names[key.parent]} ({key.name})" for key in opening)
            raise DatasetOutdated(
                f"{dataset.name}: no row can go first, since tables refer to one another in a circle: {chain}; make one"
                " of these foreign keys DEFERRABLE"
            )
        (deferred if late else emptied).append((late or loosened)[0])
        binding.remove((late or loosened)[0])
    later = _after(binding, names)
    for key in (key for key in own_keys if key.releases_parent and key.child in names and key.child != key.parent):
        before = {parent: {*children} for parent, children in later.items()}
        before.setdefault(names[key.parent], set()).add(names[key.child])
        later = later if _cycle_of_tables(before) else before  # what goes itself is counted once, as gone
    return ForeignKeys(own_keys, names, tuple(ordered(dataset.tables, later)), tuple(deferred), tuple(emptied))


def _after(keys: Sequence[ForeignKey], names: Mapping[TableName, str]) -> dict[str, set[str]]:
    after: dict[str, set[str]] = {}
    for key in keys:
        after.setdefault(names[key.parent], set()).add(names[key.child])
    return after


def _cycle_of_tables(after: Mapping[str, Collection[str]]) -> Sequence[str] | None:
    """Returns a circle of tables, if there is one."""
    try:
        TopologicalSorter(after).prepare()
    except CycleError as found:
        circle: Sequence[str] = found.args[1]
        return circle
    return None


def _cycle(keys: Sequence[ForeignKey], names: Mapping[TableName, str]) -> set[tuple[str, str]] | None:
    """Returns the references of a circle, from child to parent, if there is one."""
    around = _cycle_of_tables(_after(keys, names))
    return {*pairwise(around)} if around else None


def is_within_one_person(key: ForeignKey, names: Mapping[TableName, str], tables: Mapping[str, Table]) -> bool:
    """Returns whether a row and the one to which it refers are of one person, who is known by just that in both."""
    child, parent = (tables.get(names.get(place, "")) for place in (key.child, key.parent))
    if child is None or parent is None or child is parent or key.releases_parent or child.parties or parent.parties:
        return False
    pairs = [(child.searched.get(a), parent.searched.get(b)) for a, b in zip(key.columns, key.to, strict=True)]
    return any(a is not None and b is not None and a.identity is b.identity for a, b in pairs)
