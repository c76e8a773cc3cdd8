"""Tries each operation of a dataset on no row of its store, and names what is missing with the line to paste."""

# ruff: noqa: S608 - names are quoted, and no value of a request is in a statement

from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

from shared.domain.errors import Refused, SignInRefused
from shared.domain.policy import OnErasure, Policy
from shared.systems.protocols import Tried
from shared.systems.sql.catalog import (
    Catalog,
    ForeignKey,
    ForeignKeys,
    Relation,
    deletion_order,
    is_within_one_person,
    named_in,
)
from shared.systems.sql.dataset import SIDE, Dataset, led_to
from shared.systems.sql.declaration import Column, Table
from shared.systems.sql.server import Connection, Server, SqlStatement, TableName
from shared.systems.sql.system import SqlSystem


async def inspect(system: SqlSystem) -> list[Tried]:
    """Tries each operation on no row, in a transaction that is rolled back; returns how, and what is missing.

    Raises:
        Refused: the store is not prepared, or refers to its declared tables from one that is not declared.
    """
    server, dataset = system.server, system.dataset
    async with server.connection() as connection, _undone(connection):
        role = await server.role(connection)
        catalog = await server.catalog(connection, named_in(dataset, server.namespace).keys())
        trial = _Trial(server, connection, role, catalog.references)
        tried = [each for name in dataset.tables for each in await trial.table(dataset.tables[name], catalog, name)]
        tried += await trial.side(dataset.restrict, catalog) if dataset.restrict else ()
    if not any(each.missing for each in tried):
        async with system.unit():
            references = deletion_order(dataset, server.namespace, catalog.references)
        references.refuse_undeclared(dataset.name)
        tried += [Tried("erase", "foreign keys", says) for says in _unkept(references, dataset.tables)]
    return tried


class _UndoneError(Exception):
    """Rolls a trial back."""


@asynccontextmanager
async def _undone(connection: Connection) -> AsyncIterator[None]:
    with suppress(_UndoneError):
        async with connection.transaction():
            yield
            raise _UndoneError


class _Trial:
    """Runs the statements of each operation on no row, each in a savepoint."""

    def __init__(
        self, server: Server, connection: Connection, role: str, references: Collection[ForeignKey] = ()
    ) -> None:
        self._server, self._connection, self._role, self._references = server, connection, role, references

    async def table(self, table: Table, catalog: Catalog, name: str) -> list[Tried]:
        """Tries every operation on the columns that a table has."""
        place = (self._server.namespace, name)
        relation = catalog.relations.get(place)
        if relation is None or not relation.columns:
            return [self._nowhere(place)]
        tried = [*_described(table, relation, self._role, self._server)]
        there = [name for name in table.columns if name in relation.columns]
        tried += await self._columns("locate", relation, "SELECT", there, self._reads(table, relation))
        for operation, values in written(table).items():
            values_here = {name: value for name, value in values.items() if name in relation.columns}
            tried += await self._writes(operation, table, relation, values_here)
        if table.on_erase == "delete" or table.parties or (table.anchors and not table.anonymise):
            tried.append(await self._whole("erase", relation, "DELETE", self._deletes(place)))
        tried += self._foreign(table, relation)
        return tried

    async def side(self, name: str, catalog: Catalog) -> list[Tried]:
        """Tries to read, add and remove entries of the side table."""
        place = (self._server.namespace, name)
        if (relation := catalog.relations.get(place)) is None:
            return [self._nowhere(place)]
        if absent := [*_absent(relation.place, {*SIDE} - relation.columns.keys(), "restrict")]:
            return absent
        shown, written = _listed(SIDE, self._server), self._server.place(place)
        statements = {
            "SELECT": f"SELECT {self._server.shown(relation, [*relation.columns])} FROM {written} t WHERE FALSE",
            "INSERT": f"INSERT INTO {written} ({shown}) SELECT {shown} FROM {written} WHERE FALSE",
            "DELETE": self._deletes(place),
        }
        return [await self._whole("restrict", relation, right, each) for right, each in statements.items()]

    def _nowhere(self, place: TableName) -> Tried:
        hidden = ", or this user may do nothing in it" if self._server.hides else ""
        shown = ".".join(place)
        says = f"{shown} is declared and does not exist{hidden}: correct its name, or the namespace of the table"
        return Tried("locate", f"SELECT {shown}", says)

    def _deletes(self, place: TableName) -> str:
        return f"DELETE FROM {self._server.place(place)} WHERE FALSE"

    def _reads(self, table: Table, relation: Relation) -> "_Say":
        """Returns the search of a table for a value that no row has, by each column that finds rows."""
        server = self._server
        near = {name: Column.model_validate({"class": "T"}) for _, join in table.joins for name in join.on}

        def say(names: Sequence[str], statement: SqlStatement) -> str:
            shown, found = server.shown(relation, names), list[str]()
            for name, column in {**near, **table.searched}.items():
                if name in names:
                    type_ = "text" if column.match == "lower" else relation.types[name]
                    found.append(statement.among(server.compared(relation, name, column), [None], type_))
            return f"SELECT {shown} FROM {server.place(relation.place)} t WHERE {' OR '.join(found) or 'FALSE'}"

        return say

    async def _writes(
        self, operation: str, table: Table, relation: Relation, values: Mapping[str, str | None]
    ) -> list[Tried]:
        """Tries to write values, and names those that a column cannot hold."""
        server, place, drawn = self._server, relation.place, _drawn(table, relation, self._server)
        wrong = []
        for name, value in values.items():
            if name not in drawn and value is not None:
                statement = SqlStatement(server)
                sql = server.assigned(statement, relation, name, value)
                if (why := await self._refused(sql, statement)) and not isinstance(why, SignInRefused):
                    wrong.append(f"{_shown(place)} cannot hold {value!r} in {name} ({why}): correct the dataset")
            if drawn.get(name, "") is None:
                wrong.append(f"anonymous of {name} does not fit {relation.types[name]}: correct the dataset")
        fixed = {name for name in values if not relation.columns[name].nullable}
        if operation == "erase" and (stuck := sorted(_emptied(table) & fixed)):
            wrong.append(
                f"{_shown(place)} keeps rows without {', '.join(stuck)}, which may not be NULL: write blank = another"
                " value"
            )
        if wrong:
            return [Tried(operation, f"UPDATE {_shown(place)}", says) for says in wrong]

        def say(names: Sequence[str], statement: SqlStatement) -> str:
            typed = ((n, drawn.get(n) or server.typed(statement, values[n], relation.types[n])) for n in names)
            assigned = ", ".join(f"{server.quoted(name)} = {value}" for name, value in typed)
            return f"UPDATE {server.place(place)} t SET {assigned} WHERE FALSE"

        return await self._columns(operation, relation, "UPDATE", [*values], say)

    def _foreign(self, table: Table, relation: Relation) -> Iterator[Tried]:
        """Yields foreign keys that no erasure would satisfy."""
        emptied = {name: table.columns[name].blank for name in written(table).get("erase", ()) if name in table.columns}
        for key in self._references:
            if key.child == relation.place and (bad := sorted(n for n in key.columns if emptied.get(n) is not None)):
                says = (
                    f"{_shown(key.child)} refers to {_shown(key.parent)} by {', '.join(bad)}, and blank is no key there"
                )
                yield Tried("erase", f"UPDATE {_shown(key.child)}", f"{says} ({key.name}): write no blank")
            if key.parent == relation.place and key.releases_parent and not key.nullable:
                says = f"{_shown(key.child)} may not lose its reference ({key.name}, SET NULL of a column NOT NULL)"
                yield Tried("erase", f"DELETE {_shown(key.parent)}", f"{says}: let its owner correct the foreign key")

    async def _columns(
        self, operation: str, relation: Relation, right: str, names: Sequence[str], say: "_Say"
    ) -> list[Tried]:
        """Tries a statement about columns; where it is refused, about each of them, to name those that lack a right."""
        how, statement = f"{right} {_shown(relation.place)}", SqlStatement(self._server)
        if not names or (why := await self._refused(say(names, statement), statement)) is None:
            return [Tried(operation, how)] if names else []
        lacking = []
        for name in names:
            statement = SqlStatement(self._server)
            if isinstance(await self._refused(say([name], statement), statement), SignInRefused):
                lacking.append(name)
        if not lacking:
            return [
                Tried(operation, how, f"{_shown(relation.place)} was tried on no row, and {why}: correct the dataset")
            ]
        return [Tried(operation, how, *self._grant(f"{right} ({_listed(sorted(lacking), self._server)})", relation))]

    async def _whole(self, operation: str, relation: Relation, right: str, sql: str) -> Tried:
        how = f"{right} {_shown(relation.place)}"
        match await self._refused(sql, SqlStatement(self._server)):
            case None:
                return Tried(operation, how)
            case SignInRefused():
                return Tried(operation, how, *self._grant(right, relation))
            case why:
                return Tried(operation, how, f"{_shown(relation.place)} was tried on no row, and {why}")

    async def _refused(self, sql: str, statement: SqlStatement) -> Refused | None:
        await self._connection.execute("SAVEPOINT trial")
        try:
            with self._server.translated():
                await self._connection.execute(sql, *statement.values)
        except Refused as refused:
            return refused
        finally:
            await self._connection.execute("ROLLBACK TO SAVEPOINT trial")
        return None

    def _grant(self, right: str, relation: Relation) -> tuple[str, str]:
        return _NOT_ALLOWED, f"GRANT {right} ON {self._server.place(relation.place)} TO {self._role}"


_Say = Callable[[Sequence[str], SqlStatement], str]
_NOT_ALLOWED = "this role may not do what is declared"


def _described(table: Table, relation: Relation, role: str, server: Server) -> Iterator[Tried]:
    """Yields what no statement would find: hidden rows, and columns that only one side knows; ``role`` is quoted."""
    schema, name = relation.place
    shown, written = _shown(relation.place), server.place(relation.place)
    how = f"SELECT {shown}"
    if not relation.reachable:
        yield Tried(
            "locate",
            how,
            f"this role may not reach {shown}",
            f"GRANT USAGE ON SCHEMA {server.quoted(schema)} TO {role}",
        )
    if relation.hiding:
        says = f"row security may hide rows of {shown} from this role, so no erasure could be verified"
        yield Tried("locate", how, says, f"CREATE POLICY dsr ON {written} TO {role} USING (true) WITH CHECK (true)")
    yield from _absent(relation.place, table.columns.keys() - relation.columns.keys(), f"{name}.columns")
    if strange := sorted(relation.columns.keys() - table.columns.keys()):
        says = f"{shown} has columns that the dataset does not classify: {', '.join(strange)}; give each a class"
        yield Tried("locate", how, says)


def _absent(place: TableName, columns: Collection[str], where: str) -> Iterator[Tried]:
    if columns:
        says = (
            f"{_shown(place)} has no column {', '.join(sorted(columns))}, which {where} declares: correct the dataset"
        )
        yield Tried("locate", f"SELECT {_shown(place)}", says)


def written(table: Table) -> Mapping[str, Mapping[str, str | None]]:
    """Returns the values that each operation writes into columns; of a correction NULL."""
    restrict, suppress, marked = ({each.column: each.word} if each else {} for each in table.switches)
    blanked_columns = _reduced(table) | (table.blanked if table.on_erase == "blank" else set())
    if each := table.anonymise:
        blanked_columns |= {*each.blank, *each.rare, *each.redraw, *each.coarsen}
    return {
        "restrict": restrict,
        "suppress": suppress,
        "rectify": {name: None for name, column in table.columns.items() if column.rectifies},
        "erase": {name: table.columns[name].blank for name in sorted(blanked_columns)} | marked,
    }


def _emptied(table: Table) -> set[str]:
    """Returns the columns that become NULL in rows that stay."""
    blanked_columns = _reduced(table) | (table.blanked if table.on_erase == "blank" else set())
    blanked_columns |= {*table.anonymise.blank, *table.anonymise.rare} if table.anonymise else set()
    return {name for name in blanked_columns - {table.mark} if table.columns[name].blank is None}


def _drawn(table: Table, relation: Relation, server: Server) -> dict[str, str | None]:
    """Returns the expressions that anonymise columns; None where the type of the column has none."""
    if (each := table.anonymise) is None:
        return {}
    drawn = {name: server.drawn(relation.types[name]) for name in each.redraw if name in relation.types}
    return drawn | {
        name: server.cut(server.column(name), unit, relation.types[name]) for name, unit in each.coarsen.items()
    }


def _reduced(table: Table) -> set[str]:
    """Returns the columns that rows about one person certainly lose which are kept in face of an erasure."""
    if table.parties or not (table.keep.mark or table.keep.fields):
        return set()
    return {*table.about_one} - table.found_by - table.keep.columns()


def _listed(names: Iterable[str], server: Server) -> str:
    return ", ".join(map(server.quoted, names))


def _shown(place: TableName) -> str:
    return ".".join(place)


def _unkept(references: ForeignKeys, tables: Mapping[str, Table]) -> Iterator[str]:
    """Yields where rows that a rule keeps refer to rows that could not stay: so that no erasure would go through."""
    for key in references.keys:
        names = [references.names.get(place, "") for place in (key.child, key.parent)]
        child, parent = (tables.get(name) for name in names)
        if child is None or parent is None or child is parent or key.releases_parent or not child.keep.fields:
            continue
        leads = names[1] in led_to(tables, [names[0]])
        if not leads and not is_within_one_person(key, references.names, tables):
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
