"""Lists everything in which a store differs from its dataset, with a remedy, without reading personal data."""

from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping

from shared.domain.policy import OnErasure, Policy
from shared.systems.sql.catalog import Catalog, References, Relation, arranged, named_in, of_one_person
from shared.systems.sql.dataset import SIDE, Dataset, led_to
from shared.systems.sql.declaration import Table
from shared.systems.sql.server import Connection, Place, Server
from shared.systems.sql.system import SqlSystem


async def inspect(system: SqlSystem) -> list[str]:
    """Returns what is wrong, a sentence for each table and kind of mistake; empty where all is as declared.

    Raises:
        Refused: the store is not prepared, or refers to its declared tables from one that is not declared.
    """
    server, dataset = system.server, system.dataset
    async with server.connection() as connection:
        role = await server.role(connection)
        catalog = await server.catalog(connection, named_in(dataset, server.namespace).keys())
        wrong = [each async for each in _faults(server, connection, role, dataset, catalog)]
    if not wrong:
        async with system.unit():
            references = arranged(dataset, server.namespace, catalog.references)
        references.refuse_undeclared(dataset.name)
        wrong = [*_unkept(references, dataset.tables)]
    return wrong


async def _faults(
    server: Server, connection: Connection, role: str, dataset: Dataset, catalog: Catalog
) -> AsyncIterator[str]:
    side = dataset.restrict
    for name, table in dataset.tables.items():
        place = (server.namespace, name)
        relation = catalog.relations.get(place)
        if relation is None or not relation.columns:
            yield _nowhere(place, server)
            continue
        ends = table.on_erase == "delete" or table.parties or (table.anchors and not table.anonymise)
        deletable = not ends or await server.may_delete(connection, relation)
        for fault in faults_of(table, relation, role, server, deletable=deletable):
            yield fault
    if side and (found := catalog.relations.get((server.namespace, side))):
        for fault in _absent(f"{server.namespace}.{side}", {*SIDE} - found.columns.keys(), "restrict"):
            yield fault
        readable = all(each.readable for each in found.columns.values())
        if not (found.insertable and readable and await server.may_delete(connection, found)):
            yield _grant("SELECT, INSERT, DELETE", found.place, role, server)
    elif side:
        yield _nowhere((server.namespace, side), server)


def _nowhere(place: Place, server: Server) -> str:
    hidden = ", or this user may do nothing in it" if server.hides else ""
    return f"{'.'.join(place)} is declared and does not exist{hidden}: correct its name, or the namespace of the table"


def faults_of(table: Table, relation: Relation, role: str, server: Server, *, deletable: bool) -> Iterator[str]:
    """Yields in what a table that is there is not as declared; ``role`` is quoted already."""
    schema, name = relation.place
    shown, written = f"{schema}.{name}", server.place(relation.place)
    if not relation.reachable:
        grant = f"GRANT USAGE ON SCHEMA {server.quoted(schema)} TO {role}"
        yield f"this role may not reach {shown}: let the owner run {grant}"
    if relation.hiding:
        yield (
            f"row security may hide rows of {shown} from this role, so no erasure could be verified: let the"
            f" owner run CREATE POLICY dsr ON {written} TO {role} USING (true) WITH CHECK (true), and none restrict it"
        )
    yield from _absent(shown, table.columns.keys() - relation.columns.keys(), f"{name}.columns")
    if strange := sorted(relation.columns.keys() - table.columns.keys()):
        yield f"{shown} has columns that the dataset does not classify: {', '.join(strange)}; give each a class"
    declared = {name: relation.columns[name] for name in table.columns if name in relation.columns}
    if unreadable := sorted(name for name, may in declared.items() if not may.readable):
        yield _grant(f"SELECT ({_listed(unreadable, server)})", relation.place, role, server)
    if fixed := sorted(name for name in _changed(table) if name in declared and not declared[name].writable):
        yield _grant(f"UPDATE ({_listed(fixed, server)})", relation.place, role, server)
    full = {name for name, may in declared.items() if not may.nullable and table.columns[name].blank is None}
    if stuck := sorted(_reduced(table) & full):
        yield f"{shown} keeps rows without {', '.join(stuck)}, which may not be NULL: write blank = another value"
    if not deletable:
        yield _grant("DELETE", relation.place, role, server)


def _absent(place: str, columns: Collection[str], where: str) -> Iterator[str]:
    if columns:
        yield f"{place} has no column {', '.join(sorted(columns))}, which {where} declares: correct the dataset"


def _changed(table: Table) -> set[str]:
    """Returns the columns that are certainly written: by switches, corrections, and what blanking empties."""
    switches = {each.column for each in table.switches if each}
    written = {name for name, column in table.columns.items() if column.rectifies}
    fields = (each for party in table.parties or (None,) for each in table.fields_of(party).items())
    blanked = {name for name, column in fields if column.personal == "A"} if table.on_erase == "blank" else set()
    blanked |= _reduced(table)
    if each := table.anonymise:
        blanked |= {*each.blank, *each.redraw, *each.coarsen, *each.rare}
    return switches | written | blanked


def _reduced(table: Table) -> set[str]:
    """Returns the columns that rows about one person certainly lose which are kept in face of an erasure."""
    if table.parties or not (table.keep.mark or table.keep.fields):
        return set()
    return {*table.about_one} - table.found_by - table.keep.columns()


def _listed(names: Iterable[str], server: Server) -> str:
    return ", ".join(map(server.quoted, names))


def _grant(right: str, place: Place, role: str, server: Server) -> str:
    grant = f"GRANT {right} ON {server.place(place)} TO {role}"
    return f"this role may not do what is declared: let the owner run {grant}"


def _unkept(references: References, tables: Mapping[str, Table]) -> Iterator[str]:
    """Yields where rows that a rule keeps refer to rows that could not stay: so that no erasure would go through."""
    for key in references.keys:
        names = [references.names.get(place, "") for place in (key.child, key.parent)]
        child, parent = (tables.get(name) for name in names)
        if child is None or parent is None or child is parent or key.lets_go or not child.keep.fields:
            continue
        leads = names[1] in led_to(tables, [names[0]])
        if not leads and not of_one_person(key, references.names, tables):
            yield (
                f"{names[0]} keeps rows that refer to {names[1]} ({key.name}), which would stop each erasure: write"
                f' belongs_to = [{{ table = "{names[1]}", … }}] in {names[0]}, so that {names[1]} stays with them'
            )
        elif not leads and not parent.keep.mark:
            yield (
                f"{names[0]} keeps rows that refer to {names[1]} ({key.name}), which then stays with them and must"
                f" be restricted: write keep.mark = {{ kept = true }} in {names[1]}"
            )


def undeclared(dataset: Dataset, policy: Policy) -> Iterator[str]:
    """Yields what of the policy a dataset does not say how to do, a sentence for each table and rule."""
    for name, table in dataset.tables.items():
        if (category := policy.category(table.category)) is None:
            continue
        rules = {rule: policy.rules[rule] for rule in category.kept_by}
        yield from _undeclared_rules(name, table, policy, rules)
        does = OnErasure.DELETE if category.is_customers and table.tenant else category.on_erasure
        if does is OnErasure.KEEP and not any(each.period for each in rules.values()):
            yield (
                f"{name} holds {table.category}, which stays in an erasure by the policy, and no rule of its kept_by"
                " says on which ground and until when: name one with a period, or let on_erasure be delete"
            )
        elif does is OnErasure.ANONYMISE and table.anonymise is None:
            yield (
                f"{name} holds {table.category}, which the policy anonymises: declare anonymous of each column"
                " that stays in its rows"
            )
        elif does is OnErasure.ANONYMISE and table.parties:
            yield (
                f"{name} holds {table.category}, which the policy anonymises, and several people are in a row: the"
                " others' record would go too; let on_erasure be delete, by which each is blanked alone"
            )


def _undeclared_rules(name: str, table: Table, policy: Policy, rules: Iterable[str]) -> Iterator[str]:
    for rule in rules:
        each = policy.rules[rule]
        if not each.period and not each.fields:
            continue
        if not table.keep.fields and not each.period:
            yield (
                f"{name} holds {table.category}, of which {rule} keeps fields: declare keep.fields, so that it is"
                " known what is left of a row"
            )
        elif not table.keep.fields or (each.anchor and each.anchor not in table.anchors):
            yield (
                f"{name} holds {table.category}, which {rule} keeps: declare at.{each.anchor} and keep.fields, so that"
                " it is known from which column it counts and what is left of a row"
            )
        elif strange := sorted(each.fields - table.keep.fields.keys()):
            yield (
                f"{name}.keep does not say where {', '.join(strange)} is, which {rule} keeps of {table.category}: name"
                " its columns in keep.fields, or [] if this table has none"
            )
