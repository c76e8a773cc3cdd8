"""Which tables of a dataset lead to which."""

from collections.abc import Collection, Iterable, Mapping
from graphlib import CycleError, TopologicalSorter

from shared.systems.sql.declaration.tables import Table


def refuse_lost(tables: Mapping[str, Table]) -> None:
    """Raises ``ValueError`` where a path of joins does not lead to a declared table that tells whose a row is."""
    for name, table in tables.items():
        for _, path in table.paths:
            last = path[-1]
            if last.table not in tables:
                raise ValueError(f"table {name}: via ends at {last.table}, which is not declared: declare it, or go on")
            parties = tables[last.table].parties
            if parties and last.party not in parties:
                raise ValueError(
                    f"table {name}: several people are in a row of {last.table}: say as which of them the subject is"
                    f" found there, as party = {min(parties)!r}"
                )
            if wrong := next((join for join in path if join.party and (join is not last or not parties)), None):
                raise ValueError(
                    f"table {name}: the join with {wrong.table} names party {wrong.party}, which it has not"
                )
    try:
        TopologicalSorter(_leads(tables)).prepare()
    except CycleError as found:
        raise ValueError(f"via leads round in a circle: {' to '.join(found.args[1])}") from None


def ends_first(tables: Mapping[str, Table]) -> list[str]:
    """The names of the tables, those to which others lead before these, else as they are declared."""
    return ordered(tables, _leads(tables))


def led_first(tables: Mapping[str, Table]) -> list[str]:
    """The names of the tables, those from which paths lead before all that are on them."""
    return [*TopologicalSorter(_led(tables)).static_order()]


def on_paths_to(tables: Mapping[str, Table], names: Iterable[str]) -> frozenset[str]:
    """The tables to which the rows of these lead."""
    found, fresh = frozenset[str](), frozenset(names)
    while fresh:
        on_paths = (join.table for name in fresh for _, path in tables[name].paths for join in path)
        fresh = frozenset(name for name in on_paths if name in tables) - found
        found |= fresh
    return found


def joined_by(tables: Mapping[str, Table]) -> Mapping[str, frozenset[str]]:
    """By table the columns that joins of others name: by which they lead to it, or through it."""
    named: dict[str, set[str]] = {}
    for _, path in (path for table in tables.values() for path in table.paths):
        for n, join in enumerate(path):
            onward = path[n + 1].on if n + 1 < len(path) else ()
            tested = (test.column for test in join.where)
            named.setdefault(join.table, set()).update(*((far for _, far in join.columns), onward, tested))
    return {name: frozenset(columns) for name, columns in named.items()}


def _led(tables: Mapping[str, Table]) -> Mapping[str, set[str]]:
    led: dict[str, set[str]] = {name: set() for name in tables}
    for name, table in tables.items():
        for join in (join for _, path in table.paths for join in path if join.table in tables):
            led[join.table].add(name)
    return led


def _leads(tables: Mapping[str, Table]) -> Mapping[str, set[str]]:
    return {name: {path[-1].table for _, path in table.paths} for name, table in tables.items()}


def ordered(tables: Iterable[str], after: Mapping[str, Collection[str]]) -> list[str]:
    """Each table after those named for it, as near to the declared order as that allows; they go not in a circle."""
    ordered: list[str] = []
    waiting = [*tables]
    while waiting:
        ready = (name for name in waiting if not set(after.get(name, ())).intersection(waiting))
        ordered.append(next(ready))
        waiting.remove(ordered[-1])
    return ordered
