"""Foreign keys to declared tables: in what order rows go, and whose other rows the database would take with them."""

# ruff: noqa: S608 - names are quoted, and what comes from a request is a parameter

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise

from asyncpg.pool import PoolConnectionProxy

from shared.downstreams.sql.catalog import DatasetOutdated, Place
from shared.downstreams.sql.declaration.dataset import Dataset
from shared.downstreams.sql.declaration.graph import on_paths_to, ordered
from shared.downstreams.sql.declaration.tables import Table
from shared.downstreams.sql.quoting import quoted

# The constraint of a partition is that of its table, and the parents of columns stand in the order of the columns.
_FOREIGN_KEYS = """
SELECT k.conname, cn.nspname, c.relname, pn.nspname, p.relname, k.confdeltype::text, k.condeferrable,
       ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS o (attnum, n)
             JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = o.attnum ORDER BY o.n),
       ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY AS o (attnum, n)
             JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = o.attnum ORDER BY o.n),
       NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = k.conrelid AND a.attnum = ANY(k.conkey)
                   AND a.attnotnull)
FROM pg_constraint k
JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace cn ON cn.oid = c.relnamespace
JOIN pg_class p ON p.oid = k.confrelid JOIN pg_namespace pn ON pn.oid = p.relnamespace
WHERE k.contype = 'f' AND k.conparentid = 0 AND pn.nspname = ANY($1) AND p.relname = ANY($2)
ORDER BY cn.nspname, c.relname, k.conname
"""
_LETS_GO = "n"
"""ON DELETE SET NULL: the row that refers stays, and refers to nobody. With SET DEFAULT it would refer to another."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A foreign key from ``child``, a declared table if it has a name here, to a declared ``parent``."""

    name: str
    place: Place
    child: str | None
    parent: str
    columns: tuple[str, ...]
    to: tuple[str, ...]
    on_delete: str
    deferrable: bool
    nullable: bool

    @property
    def lets_go(self) -> bool:
        """Whether the row that it refers to may go first."""
        return self.on_delete == _LETS_GO

    @property
    def source(self) -> str:
        return f"{quoted(self.place[0])}.{quoted(self.place[1])}"

    def still(self, parents: str, primary_key: Sequence[str]) -> str:
        """How many rows refer to some rows of the parent, which are a relation ``t`` and a condition.

        Of a table that refers to itself those among them do not count, by its primary key: they go as well.
        """
        pairs = [*zip(self.columns, self.to, strict=True)]
        each = (f"c.{quoted(a)} = ANY(ARRAY(SELECT t.{quoted(b)} FROM {parents}))" for a, b in pairs)
        near, far = (
            ", ".join(f"{alias}.{quoted(n)}" for n in names) for alias, names in (("c", self.columns), ("t", self.to))
        )
        exact = f" AND ({near}) IN (SELECT {far} FROM {parents})" if len(pairs) > 1 else ""
        if self.child == self.parent:
            own, going = (", ".join(f"{alias}.{quoted(n)}" for n in primary_key) for alias in "ct")
            exact += f" AND ({own}) NOT IN (SELECT {going} FROM {parents})"
        return f"SELECT count(*) FROM {self.source} c WHERE {' AND '.join(each)}{exact}"


def of_one_person(key: Reference, tables: Mapping[str, Table]) -> bool:
    """Whether a row and the one to which it refers are of the same person, who is known by just that in both."""
    child, parent = tables.get(key.child or ""), tables.get(key.parent)
    if child is None or parent is None or child is parent or key.lets_go or child.parties or parent.parties:
        return False
    pairs = [(child.searched.get(a), parent.searched.get(b)) for a, b in zip(key.columns, key.to, strict=True)]
    return any(a is not None and b is not None and a.identity is b.identity for a, b in pairs)


def unkept(keys: Sequence[Reference], tables: Mapping[str, Table]) -> Iterator[str]:
    """Where rows that a rule keeps refer to rows that could not stay with them, so that no erasure would go through."""
    for key in keys:
        child, parent = tables.get(key.child or ""), tables.get(key.parent)
        if child is None or parent is None or child is parent or key.lets_go or not child.keeps:
            continue
        leads = key.parent in on_paths_to(tables, [str(key.child)])
        if not leads and not of_one_person(key, tables):
            yield (
                f"{key.child} keeps rows that refer to {key.parent} ({key.name}), which would stop each erasure: write"
                f' via = [{{ table = "{key.parent}", … }}] in {key.child}, so that {key.parent} stays with them'
            )
        elif not leads and not parent.kept:
            yield (
                f"{key.child} keeps rows that refer to {key.parent} ({key.name}), which then stays with them and must"
                f' be restricted: write kept = {{ column = "…", value = true }} in {key.parent}'
            )


@dataclass(frozen=True, slots=True)
class References:
    """Every foreign key to a declared table, and how rows of all tables can go."""

    keys: tuple[Reference, ...] = ()
    order: tuple[str, ...] = ()
    """The names of the tables, those that refer before those that they refer to."""
    deferred: tuple[Reference, ...] = ()
    """Checked at the end of the transaction, where tables refer to one another in a circle."""
    emptied: tuple[Reference, ...] = ()
    """Of rows that go, emptied before, where nothing is deferrable."""

    def to(self, parent: str) -> Sequence[Reference]:
        """What keeps a row of that table, or would go with it: from others once theirs is gone, or itself."""
        binding = (key for key in self.keys if key.parent == parent and not key.lets_go)
        return [key for key in binding if key not in self.deferred]

    def loosened(self, parent: str) -> Sequence[Reference]:
        """What the database empties in other rows when a row of that table goes: they change too, and are counted."""
        return [key for key in self.keys if key.parent == parent and key.lets_go]

    def refuse_undeclared(self, dataset: str) -> None:
        """Raises ``DatasetOutdated`` where a table refers to a declared one and is not declared itself."""
        if silent := sorted(
            {f"{key.place[1]} (to {key.parent}, {key.name})" for key in self.keys if key.child is None}
        ):
            raise DatasetOutdated(
                f"{dataset}: tables refer to declared ones and are not declared, so what is in them about whom is not"
                f" known: {', '.join(silent)}; declare each, with via = the joins that tell whose its rows are"
            )


async def references_of(connection: PoolConnectionProxy, namespace: str, dataset: Dataset) -> References:
    """The foreign keys to the declared tables as they are today.

    Raises:
        DatasetOutdated: tables refer to one another in a circle that nothing allows to open.
    """
    places = {dataset.place(namespace, name): name for name in dataset.tables}
    asked = ([*{schema for schema, _ in places}], [*{name for _, name in places}])
    keys = []
    for name, schema, table, *parent, action, deferrable, columns, to, nullable in await connection.fetch(
        _FOREIGN_KEYS, *asked
    ):
        place = (schema, table)
        if (referred := places.get((parent[0], parent[1]))) is not None:
            told = (name, place, places.get(place), referred, tuple(columns), tuple(to))
            keys.append(Reference(*told, action, deferrable, nullable))
    return arranged(dataset, tuple(keys))


def arranged(dataset: Dataset, keys: tuple[Reference, ...]) -> References:
    """How rows of all tables can go; raises ``DatasetOutdated`` where none can."""
    kept = {name for name, table in dataset.tables.items() if table.erase == "blank"}
    binding = [key for key in keys if key.child not in {None, key.parent} and not key.lets_go]
    deferred: list[Reference] = []
    emptied: list[Reference] = []
    while (circle := _circle(binding)) is not None:
        opening = [key for key in binding if (key.child, key.parent) in circle]
        # Nothing else waits for the end: CASCADE and RESTRICT act at once, deferrable or not.
        late = [key for key in opening if key.deferrable and key.on_delete == "a"]
        loose = [key for key in opening if key.nullable and key.child not in kept]
        if not late and not loose:
            names = ", ".join(f"{key.child} to {key.parent} ({key.name})" for key in opening)
            raise DatasetOutdated(
                f"{dataset.name}: no row can go first, since tables refer to one another in a circle: {names}; make one"
                " of these foreign keys DEFERRABLE"
            )
        (deferred if late else emptied).append((late or loose)[0])
        binding.remove((late or loose)[0])
    after: dict[str, set[str]] = {}
    for key in binding:
        after.setdefault(key.parent, set()).add(key.child or "")
    for key in (key for key in keys if key.lets_go and key.child not in {None, key.parent}):
        before = {parent: {*children} for parent, children in after.items()}
        before.setdefault(key.parent, set()).add(key.child or "")
        after = after if _goes_round(before) else before  # what goes itself is counted once, as gone
    return References(keys, tuple(ordered(dataset.tables, after)), tuple(deferred), tuple(emptied))


def _goes_round(after: Mapping[str, Collection[str]]) -> bool:
    try:
        TopologicalSorter(after).prepare()
    except CycleError:
        return True
    return False


def _circle(keys: Sequence[Reference]) -> set[tuple[str | None, str]] | None:
    """The references of a circle, from child to parent, if there is one."""
    after: Mapping[str, set[str]] = {key.parent: set() for key in keys}
    for key in keys:
        after[key.parent].add(key.child or "")
    try:
        TopologicalSorter(after).prepare()
    except CycleError as found:
        names = found.args[1]
        return {*pairwise(names)}
    return None
