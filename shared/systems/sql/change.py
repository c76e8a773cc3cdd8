"""Writes rows by primary key: deletes, sets columns and flags, in the order that foreign keys require."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, Final

from shared.domain.errors import WrongPersonMatch
from shared.systems.engine.records import (
    FLAGS,
    AppliedChanges,
    ChangeKind,
    Key,
    Record,
    RecordChange,
    RecordName,
    StillReferenced,
)
from shared.systems.sql.catalog import Catalog, DatasetOutdated, ForeignKey, ForeignKeys
from shared.systems.sql.declaration import PEOPLE, Anonymisation
from shared.systems.sql.notes import StoreNotes
from shared.systems.sql.server import Connection, Server, SqlStatement, TableName
from shared.systems.sql.tables import StoreTable

# ruff: noqa: S608 - names are quoted, and what comes from a request is a parameter

_FIRST: Final = {"day": {}, "month": {"day": 1}, "year": {"day": 1, "month": 1}}


class RowWriter:
    """Writes into the tables of a store by one connection, within its transaction."""

    def __init__(
        self,
        server: Server,
        connection: Connection,
        tables: Mapping[str, StoreTable],
        catalog: Catalog,
        references: ForeignKeys,
        notes: StoreNotes,
        dataset: str,
    ) -> None:
        self._server, self._connection, self._tables, self._dataset = server, connection, tables, dataset
        self._catalog, self._references, self._notes = catalog, references, notes

    async def apply(self, changes: Sequence[RecordChange], *, skip_referenced: bool) -> AppliedChanges:
        """Makes the changes; see ``Unit.apply``."""
        deleted = {
            record.name: record for change in changes if change.kind is ChangeKind.DELETE for record in change.records
        }
        if deleted:
            self._references.refuse_undeclared(self._dataset)
        why, emptied = await self._referenced_rows(deleted, _emptied_columns(changes))
        if why and not skip_referenced:
            raise StillReferenced(why)
        for referenced in why:
            del deleted[referenced]
        await self._open_cycles([*deleted.values()])
        met = [0] * len(changes)
        place = {name: n for n, name in enumerate(self._references.order)}
        order = sorted(enumerate(changes), key=lambda each: (place.get(each[1].shape.place, 0), _is_deletion(each[1])))
        for number, change in order:
            met[number] = await self._make(change, deleted)
        return AppliedChanges(met, {name: counts for name, counts in emptied.items() if name in deleted})

    async def _make(self, change: RecordChange, deleted: Mapping[RecordName, Record]) -> int:
        table, records = self._tables[change.shape.place], change.records
        match change.kind:
            case ChangeKind.DELETE:
                deleted_keys = [record.key for record in records if record.name in deleted]
                return await self._execute(table, self._deletes(table.place), deleted_keys)
            case ChangeKind.SET:
                return await self._set(table, records, dict(change.values))
            case ChangeKind.ANONYMISE:
                return await self._anonymise(table, records)
            case ChangeKind.MARK | ChangeKind.UNMARK:
                return await self._mark(table, change)
            case ChangeKind.STATE if change.statement and change.request:
                return sum([await self._notes.state(table, each, change.statement, change.request) for each in records])
            case ChangeKind.STATE:
                return 0

    async def _execute(
        self, table: StoreTable, what: str, keys: Sequence[Key], statement: SqlStatement | None = None
    ) -> int:
        """Runs a statement on the rows with these keys; ``statement``: what it says before it names them."""
        met = 0
        for some in self._server.parts([*dict.fromkeys(keys)]):
            of_some = SqlStatement(self._server)
            of_some.values += statement.values if statement else ()
            keyed = of_some.keyed(table.key_columns, some)
            n = await self._connection.execute(f"{what} WHERE {keyed}", *of_some.values)
            if n > len(some):
                raise WrongPersonMatch(f"{table.name}: its primary key does not tell rows apart; nothing was done")
            met += n
        return met

    async def _set(self, table: StoreTable, records: Sequence[Record], values: Mapping[str, str | None]) -> int:
        statement, types = SqlStatement(self._server), table.relation.types
        assigned = {name: self._server.typed(statement, value, types[name]) for name, value in values.items()}
        return await self._update(table, [record.key for record in records], assigned, statement)

    async def _update(
        self, table: StoreTable, keys: Sequence[Key], values: Mapping[str, str], statement: SqlStatement
    ) -> int:
        if not values:
            return 0
        assigned = ", ".join(f"{self._server.quoted(name)} = {value}" for name, value in values.items())
        return await self._execute(table, f"UPDATE {self._server.place(table.place)} t SET {assigned}", keys, statement)

    def _deletes(self, place: TableName) -> str:
        return f"DELETE {'' if self._server.combines else 't '}FROM {self._server.place(place)} t"

    async def _anonymise(self, table: StoreTable, records: Sequence[Record]) -> int:
        """Anonymises rows; a rare combination of values would identify a person, so it is blanked too."""
        declared = table.table.anonymise
        if declared is None:
            raise DatasetOutdated(f"{table.name} does not say what becomes of its columns: write anonymous in them")
        common = _crowded(declared, records)
        met = 0
        for rare in (True, False):
            keys = [record.key for record in records if (record.name in common) is not rare]
            statement = SqlStatement(self._server)
            blank = (*declared.blank, *(declared.rare if rare else ()))
            types = table.relation.types
            columns = table.table.columns
            assigned = {name: self._server.typed(statement, columns[name].blank, types[name]) for name in blank}
            assigned |= {name: self._new_key(table, name) for name in declared.redraw}
            assigned |= {name: cut_to_unit(self._server, table, name, unit) for name, unit in declared.coarsen.items()}
            met += await self._update(table, keys, assigned, statement) if keys else 0
        return met

    def _new_key(self, table: StoreTable, name: str) -> str:
        type_ = table.relation.types[name]
        if (drawn := self._server.drawn(type_)) is None:
            raise DatasetOutdated(f"{table.name}: anonymise redraws {name}, which is neither uuid nor bigint ({type_})")
        return drawn

    # Flags: a column, or a word in it.

    async def _mark(self, table: StoreTable, change: RecordChange) -> int:
        wanted = change.kind is ChangeKind.MARK
        switch = table.table.switches[FLAGS.index(change.flag)]
        if switch is None:
            return 0
        value = str(switch.value is wanted).lower() if isinstance(switch.value, bool) else switch.value
        return await self._set(table, change.records, {switch.column: value})

    # Foreign keys.

    async def _referenced_rows(
        self, deleted: Mapping[RecordName, Record], loosened: Mapping[RecordName, Collection[str]]
    ) -> tuple[dict[RecordName, str], dict[RecordName, Counter[str]]]:
        """Returns why rows must not be deleted; and the number of references emptied by deleted row and table."""
        why: dict[RecordName, str] = {}
        emptied: dict[RecordName, Counter[str]] = defaultdict(Counter)
        by_place: dict[str, list[Record]] = {}
        for record in deleted.values():
            by_place.setdefault(record.shape.place, []).append(record)
        for name, records in by_place.items():
            place = self._tables[name].place
            for reference in (*self._references.to(place), *self._references.loosened(place)):
                referenced = await self._referring(reference, records, deleted, loosened)
                for of, n in referenced.items():
                    child = self._references.names.get(reference.child, reference.child[1])
                    if reference.releases_parent:
                        emptied[of][child] += n
                    else:
                        why.setdefault(of, _reference_sentence(n, child, name, reference))
        return why, emptied

    async def _referring(
        self,
        reference: ForeignKey,
        records: Sequence[Record],
        deleted: Mapping[RecordName, Record],
        loosened: Mapping[RecordName, Collection[str]],
    ) -> Counter[RecordName]:
        """Counts, for each deleted row, the rows that still refer to it after the changes."""
        by: dict[Key, RecordName] = {
            tuple(record.ref[column] for column in reference.to): record.name for record in records
        }
        name = self._references.names.get(reference.child, "")
        child = self._tables.get(name)
        key = child.table.primary_key if child else ()
        relation = self._catalog.relations.get(reference.child)
        parent = self._catalog.relations[reference.parent]
        types = [(relation or parent).types[c] for c in (reference.columns if relation else reference.to)]
        shown = self._server.shown(relation, (*reference.columns, *key))
        columns = [(self._server.column(column), type_) for column, type_ in zip(reference.columns, types, strict=True)]
        referenced = Counter[RecordName]()
        for some in self._server.parts([each for each in by if None not in each]):
            statement = SqlStatement(self._server)
            condition = statement.keyed(columns, some)
            query = f"SELECT {shown} FROM {self._server.place(reference.child)} t WHERE {condition}"
            for row in await self._connection.fetch(query, *statement.values):
                parent_key, own = tuple(row[: len(reference.columns)]), (name, tuple(row[len(reference.columns) :]))
                lets_go = own in deleted or {*reference.columns} <= {*loosened.get(own, ())}
                if not lets_go:  # the server may take more for equal than we do
                    referenced[by.get(parent_key) or next(iter(by.values()))] += 1
        return referenced

    async def _open_cycles(self, deleted: Sequence[Record]) -> None:
        """Lets rows go that refer to one another: the check waits for the end, or what refers is emptied before."""
        places = {self._tables[record.shape.place].place for record in deleted}
        for reference in self._references.deferred:
            if reference.parent in places and (statement := self._server.defer(reference)):
                await self._connection.execute(statement)
        own = [key for key in self._references.keys if key.child == key.parent and key.nullable]
        for reference in (*self._references.emptied, *(own if self._server.checks_each_row else ())):
            table = self._tables.get(self._references.names[reference.child])
            records = [record for record in deleted if table and record.shape.place == table.name]
            keys = [each.key for each in records if any(each.ref[column] is not None for column in reference.columns)]
            if table and keys:
                await self._update(table, keys, dict.fromkeys(reference.columns, "NULL"), SqlStatement(self._server))


def _is_deletion(change: RecordChange) -> bool:
    return change.kind is ChangeKind.DELETE


def cut_to_unit(server: Server, table: StoreTable, name: str, unit: str) -> str:
    """Returns a day or an instant, cut to the unit; raises ``DatasetOutdated`` where it is neither."""
    type_ = table.relation.types[name]
    if (expression := server.cut(server.column(name), unit, type_)) is None:
        raise DatasetOutdated(f"{table.name}: anonymise coarsens {name}, which is no day and no instant ({type_})")
    return expression


def _crowded(declared: Anonymisation, records: Sequence[Record]) -> Collection[RecordName]:
    """Returns the rows whose remaining values at least so many people share."""
    if not declared.rare:
        return {record.name for record in records}
    crowds: dict[tuple[Any, ...], set[Any]] = {}
    values: dict[RecordName, tuple[Any, ...]] = {}
    for record in records:
        row = record.ref
        remaining = [_cut_value(row[name], unit) for name, unit in declared.coarsen.items()]
        values[record.name] = (*remaining, *(row[name] for name in (*declared.same, *declared.rare)))
        if (who := row[declared.person]) is not None:
            crowds.setdefault(values[record.name], set()).add(who)
    return {name for name, each in values.items() if len(crowds.get(each, ())) >= PEOPLE}


def _cut_value(value: Any, unit: str) -> Any:
    if isinstance(value, datetime):
        value = value.astimezone(UTC) if value.tzinfo else value
        value = value.replace(hour=0, minute=0, second=0, microsecond=0)
    return value.replace(**_FIRST[unit]) if isinstance(value, date) else value


def _emptied_columns(changes: Sequence[RecordChange]) -> Mapping[RecordName, Collection[str]]:
    """Returns by row the columns that become empty by these changes."""
    loosened: dict[RecordName, set[str]] = {}
    for change in changes:
        if change.kind is ChangeKind.SET and (empty := [name for name, value in change.values if value is None]):
            for record in change.records:
                loosened.setdefault(record.name, set()).update(empty)
    return loosened


def _reference_sentence(n: int, child: str, parent: str, reference: ForeignKey) -> str:
    return (
        f"{n} rows of {child} refer to rows of the subject in {parent} ({reference.name}) and do not go with them,"
        " since they are kept or another person's: correct whose they are, in the store or the dataset, or let"
        f" belongs_to and keep.mark say there that {parent} stays with what is kept of {child}"
    )
