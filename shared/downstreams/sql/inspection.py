"""Everything in which a store is not as its dataset declares it, with what to do; nothing of anybody is read."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from asyncpg.pool import PoolConnectionProxy

from shared.downstreams.sql.catalog import Place
from shared.downstreams.sql.declaration.dataset import Dataset
from shared.downstreams.sql.declaration.declared import Switch
from shared.downstreams.sql.declaration.tables import Table
from shared.downstreams.sql.quoting import quoted

Quote = Callable[[str], str]
"""Writes a name as the store's dialect reads it."""

_COLUMNS = """
SELECT n.nspname, c.relname, a.attname, has_column_privilege(c.oid, a.attnum, 'SELECT'),
       has_column_privilege(c.oid, a.attnum, 'UPDATE'), NOT a.attnotnull
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE n.nspname = ANY($1) AND c.relname = ANY($2) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
"""
_TABLES = """
SELECT n.nspname, c.relname, has_table_privilege(c.oid, 'INSERT'), has_table_privilege(c.oid, 'DELETE'),
       has_schema_privilege(n.oid, 'USAGE'),
       row_security_active(c.oid) AND (
           EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND NOT p.polpermissive)
           OR NOT EXISTS (
               SELECT FROM pg_policy p
               WHERE p.polrelid = c.oid AND p.polcmd = '*' AND pg_get_expr(p.polqual, p.polrelid) = 'true'
                 AND EXISTS (SELECT FROM unnest(p.polroles) r
                             WHERE r = 0 OR pg_has_role(r, 'USAGE'))))
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = ANY($1) AND c.relname = ANY($2) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
"""


class SeenColumn(NamedTuple):
    """What this role may do with a column, and whether it may be empty."""

    readable: bool
    changeable: bool
    nullable: bool = True


class Found(NamedTuple):
    """A table as it is for this role."""

    columns: Mapping[str, SeenColumn]
    insertable: bool
    deletable: bool
    reachable: bool = True
    """Whether the schema is open to this role."""
    hiding: bool = False
    """Whether row security may hide rows from it."""


async def faults(connection: PoolConnectionProxy, namespace: str, dataset: Dataset) -> list[str]:
    """What is wrong, a sentence for each table and kind of mistake; empty where all is as declared."""
    role = await connection.fetchval("SELECT quote_ident(current_user)")
    side = dataset.restriction
    declared = {dataset.place(namespace, name): table for name, table in dataset.tables.items()}
    places = [*declared, *([(namespace, side.table)] if side else [])]
    asked = ([*{schema for schema, _ in places}], [*{name for _, name in places}])
    columns: dict[tuple[str, str], dict[str, SeenColumn]] = {}
    for schema, table, column, *may in await connection.fetch(_COLUMNS, *asked):
        columns.setdefault((schema, table), {})[column] = SeenColumn(*may)
    there = {
        (schema, table): Found(columns.get((schema, table), {}), *may)
        for schema, table, *may in await connection.fetch(_TABLES, *asked)
    }
    wrong: list[str] = []
    for place in places:
        if place not in there:
            shown = ".".join(place)
            wrong.append(f"{shown} is declared and does not exist: correct its name, or the namespace of the table")
        elif place in declared:
            wrong += faults_of(place, declared[place], there[place], role, quoted)
    if side and (found := there.get((namespace, side.table))):
        absent = {side.number, side.valid_from, side.valid_to, side.request} - found.columns.keys()
        wrong += _absent(f"{namespace}.{side.table}", absent, "[restriction]")
        if not (found.insertable and found.deletable and all(each.readable for each in found.columns.values())):
            wrong.append(_grant("SELECT, INSERT, DELETE", (namespace, side.table), role, quoted))
    return wrong


def faults_of(place: Place, table: Table, found: Found, role: str, quote: Quote) -> Iterator[str]:
    """In what a table that is there is not as declared; ``role`` is quoted already."""
    real = {name for name, column in table.columns.items() if not column.json_}
    schema, name = place
    shown, written = f"{schema}.{name}", f"{quote(schema)}.{quote(name)}"
    if not found.reachable:
        yield f"this role may not reach {shown}: let the owner run GRANT USAGE ON SCHEMA {quote(schema)} TO {role}"
    if found.hiding:
        yield (
            f"row security may hide rows of {shown} from this role, so nobody could tell that nothing is left: let the"
            f" owner run CREATE POLICY dsr ON {written} TO {role} USING (true) WITH CHECK (true), and none restrict it"
        )
    yield from _absent(shown, real - found.columns.keys(), f"{name}.columns")
    if strange := sorted(found.columns.keys() - table.columns.keys()):
        yield f"{shown} has columns that the dataset does not classify: {', '.join(strange)}; give each a class"
    declared = {name: found.columns[name] for name in table.columns if name in found.columns}
    if unreadable := sorted(name for name, may in declared.items() if not may.readable):
        yield _grant(f"SELECT ({_listed(unreadable, quote)})", place, role, quote)
    fixed = sorted(name for name in _changed(table) if name in declared and not declared[name].changeable)
    if fixed:
        yield _grant(f"UPDATE ({_listed(fixed, quote)})", place, role, quote)
    full = {name for name, may in declared.items() if not may.nullable and table.columns[name].blank is None}
    if stuck := sorted(_reduced(table) & full):
        yield f"{shown} keeps rows without {', '.join(stuck)}, which may not be NULL: write blank = another value"
    ends = table.erase == "delete" or table.parties or (table.anchors and not table.anonymise)
    if ends and not found.deletable:
        yield _grant("DELETE", place, role, quote)


def _absent(place: str, columns: set[str], where: str) -> Iterator[str]:
    if columns:
        yield f"{place} has no column {', '.join(sorted(columns))}, which {where} declares: correct the dataset"


def _changed(table: Table) -> set[str]:
    """The columns that are certainly written: those that switches name, that are corrected, that blanking empties."""
    switches = {each.column for each in (table.restriction, table.marketing, table.kept) if isinstance(each, Switch)}
    written = {name for name, column in table.columns.items() if column.rectifies}
    fields = (each for party in table.parties or (None,) for each in table.fields_of(party).items())
    blanked = {name for name, column in fields if column.personal == "A"} if table.erase == "blank" else set()
    blanked |= _reduced(table)
    if each := table.anonymise:
        blanked |= {*each.blank, *each.redraw, *each.coarsen, *each.rare}
    return switches | {table.columns[name].json_ or name for name in written | blanked}


def _reduced(table: Table) -> set[str]:
    """The columns that rows about one person certainly lose which are kept in face of an erasure."""
    if table.parties or not (table.kept or table.keeps):
        return set()
    return {*table.about_one} - table.found_by - (table.keeps.columns(()) if table.keeps else frozenset())


def _listed(names: Iterable[str], quote: Quote) -> str:
    return ", ".join(map(quote, names))


def _grant(right: str, place: Place, role: str, quote: Quote) -> str:
    on = f"{quote(place[0])}.{quote(place[1])}"
    return f"this role may not do what is declared: let the owner run GRANT {right} ON {on} TO {role}"
