"""Writes rows by primary key: deletes, sets columns and flags, in the order that foreign keys require."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, Final

from shared.domain.errors import WrongPersonMatch
from shared.systems.engine.records import FLAGS, Applied, Change, Key, Kind, Name, Record, Tied
from shared.systems.sql.catalog import Catalog, DatasetOutdated, Reference, References
from shared.systems.sql.declaration import PEOPLE, Anonymisation
from shared.systems.sql.notes import Notes
from shared.systems.sql.server import Connection, Place, Server, Statement
from shared.systems.sql.tables import Declared

# ruff: noqa: S608 - names are quoted, and what comes from a request is a parameter

_FIRST: Final = {"day": {}, "month": {"day": 1}, "year": {"day": 1, "month": 1}}


class Changing:
    """Writes into the tables of a store by one connection, within its transaction."""

    def __init__(
        self,
        server: Server,
        connection: Connection,
        tables: Mapping[str, Declared],
        catalog: Catalog,
        references: References,
        notes: Notes,
        dataset: str,
    ) -> None:
        self._server, self._connection, self._tables, self._dataset = server, connection, tables, dataset
        self._catalog, self._references, self._notes = catalog, references, notes

    async def apply(self, changes: Sequence[Change], *, skip_tied: bool) -> Applied:
        """Makes the changes; see ``Unit.apply``."""
        going = {record.name: record for change in changes if change.kind is Kind.DELETE for record in change.records}
        if going:
            self._references.refuse_undeclared(self._dataset)
        why, emptied = await self._ties(going, _loosened_by(changes))
        if why and not skip_tied:
            raise Tied(why)
        for tied in why:
            del going[tied]
        await self._open_circles([*going.values()])
        met = [0] * len(changes)
        place = {name: n for n, name in enumerate(self._references.order)}
        turns = sorted(enumerate(changes), key=lambda each: (place.get(each[1].shape.place, 0), _goes(each[1])))
        for number, change in turns:
            met[number] = await self._make(change, going)
        return Applied(met, {name: counts for name, counts in emptied.items() if name in going})

    async def _make(self, change: Change, going: Mapping[Name, Record]) -> int:
        table, records = self._tables[change.shape.place], change.records
        match change.kind:
            case Kind.DELETE:
                gone = [record.key for record in records if record.name in going]
                return await self._execute(table, self._deletes(table.place), gone)
            case Kind.SET:
                return await self._set(table, records, dict(change.values))
            case Kind.ANONYMISE:
                return await self._anonymise(table, records)
            case Kind.MARK | Kind.UNMARK:
                return await self._mark(table, change)
            case Kind.STATE if change.statement and change.request:
                return sum([await self._notes.state(table, each, change.statement, change.request) for each in records])
            case Kind.STATE:
                return 0

    async def _execute(
        self, table: Declared, what: str, keys: Sequence[Key], statement: Statement | None = None
    ) -> int:
        """Runs a statement on the rows with these keys; ``statement``: what it says before it names them."""
        met = 0
        for some in self._server.parts([*dict.fromkeys(keys)]):
            of_some = Statement(self._server)
            of_some.values += statement.values if statement else ()
            keyed = of_some.keyed(table.key_columns, some)
            n = await self._connection.execute(f"{what} WHERE {keyed}", *of_some.values)
            if n > len(some):
                raise WrongPersonMatch(f"{table.name}: its primary key does not tell rows apart; nothing was done")
            met += n
        return met

    async def _set(self, table: Declared, records: Sequence[Record], values: Mapping[str, str | None]) -> int:
        statement, types = Statement(self._server), table.relation.types
        said = {name: self._server.typed(statement, value, types[name]) for name, value in values.items()}
        return await self._update(table, [record.key for record in records], said, statement)

    async def _update(self, table: Declared, keys: Sequence[Key], said: Mapping[str, str], statement: Statement) -> int:
        if not said:
            return 0
        assigned = ", ".join(f"{self._server.quoted(name)} = {value}" for name, value in said.items())
        return await self._execute(table, f"UPDATE {self._server.place(table.place)} t SET {assigned}", keys, statement)

    def _deletes(self, place: Place) -> str:
        return f"DELETE {'' if self._server.combines else 't '}FROM {self._server.place(place)} t"

    async def _anonymise(self, table: Declared, records: Sequence[Record]) -> int:
        """Takes the people out of rows; who is alone in what is rare would be known by it: that goes too."""
        declared = table.table.anonymise
        if declared is None:
            raise DatasetOutdated(f"{table.name} does not say what becomes of its columns: write anonymous in them")
        common = _common(declared, records)
        met = 0
        for rare in (True, False):
            keys = [record.key for record in records if (record.name in common) is not rare]
            statement = Statement(self._server)
            blank = (*declared.blank, *(declared.rare if rare else ()))
            types = table.relation.types
            columns = table.table.columns
            said = {name: self._server.typed(statement, columns[name].blank, types[name]) for name in blank}
            said |= {name: self._drawn(table, name) for name in declared.redraw}
            said |= {name: cut(self._server, table, name, unit) for name, unit in declared.coarsen.items()}
            met += await self._update(table, keys, said, statement) if keys else 0
        return met

    def _drawn(self, table: Declared, name: str) -> str:
        type_ = table.relation.types[name]
        if (drawn := self._server.drawn(type_)) is None:
            raise DatasetOutdated(f"{table.name}: anonymise redraws {name}, which is neither uuid nor bigint ({type_})")
        return drawn

    # Flags: a column, or a word in it.

    async def _mark(self, table: Declared, change: Change) -> int:
        wanted = change.kind is Kind.MARK
        switch = table.table.switches[FLAGS.index(change.flag)]
        if switch is None:
            return 0
        value = str(switch.value is wanted).lower() if isinstance(switch.value, bool) else switch.value
        return await self._set(table, change.records, {switch.column: value})

    # Foreign keys.

    async def _ties(
        self, going: Mapping[Name, Record], loosened: Mapping[Name, Collection[str]]
    ) -> tuple[dict[Name, str], dict[Name, Counter[str]]]:
        """Returns why rows must not be deleted; and the number of references emptied by deleted row and table."""
        why: dict[Name, str] = {}
        emptied: dict[Name, Counter[str]] = defaultdict(Counter)
        by_place: dict[str, list[Record]] = {}
        for record in going.values():
            by_place.setdefault(record.shape.place, []).append(record)
        for name, records in by_place.items():
            place = self._tables[name].place
            for reference in (*self._references.to(place), *self._references.loosened(place)):
                tied = await self._referring(reference, records, going, loosened)
                for of, n in tied.items():
                    child = self._references.names.get(reference.child, reference.child[1])
                    if reference.lets_go:
                        emptied[of][child] += n
                    else:
                        why.setdefault(of, _tied(n, child, name, reference))
        return why, emptied

    async def _referring(
        self,
        reference: Reference,
        records: Sequence[Record],
        going: Mapping[Name, Record],
        loosened: Mapping[Name, Collection[str]],
    ) -> Counter[Name]:
        """Counts, for each deleted row, the rows that still refer to it after the changes."""
        by: dict[Key, Name] = {tuple(record.ref[column] for column in reference.to): record.name for record in records}
        name = self._references.names.get(reference.child, "")
        child = self._tables.get(name)
        key = child.table.primary_key if child else ()
        relation = self._catalog.relations.get(reference.child)
        parent = self._catalog.relations[reference.parent]
        types = [(relation or parent).types[c] for c in (reference.columns if relation else reference.to)]
        shown = self._server.shown(relation, (*reference.columns, *key))
        columns = [(self._server.column(column), type_) for column, type_ in zip(reference.columns, types, strict=True)]
        tied = Counter[Name]()
        for some in self._server.parts([each for each in by if None not in each]):
            statement = Statement(self._server)
            condition = statement.keyed(columns, some)
            query = f"SELECT {shown} FROM {self._server.place(reference.child)} t WHERE {condition}"
            for row in await self._connection.fetch(query, *statement.values):
                held, own = tuple(row[: len(reference.columns)]), (name, tuple(row[len(reference.columns) :]))
                lets_go = own in going or {*reference.columns} <= {*loosened.get(own, ())}
                if not lets_go:  # the server may take more for equal than we do
                    tied[by.get(held) or next(iter(by.values()))] += 1
        return tied

    async def _open_circles(self, going: Sequence[Record]) -> None:
        """Lets rows go that refer to one another: the check waits for the end, or what refers is emptied before."""
        places = {self._tables[record.shape.place].place for record in going}
        for reference in self._references.deferred:
            if reference.parent in places and (statement := self._server.defer(reference)):
                await self._connection.execute(statement)
        own = [key for key in self._references.keys if key.child == key.parent and key.nullable]
        for reference in (*self._references.emptied, *(own if self._server.checks_each_row else ())):
            table = self._tables.get(self._references.names[reference.child])
            theirs = [record for record in going if table and record.shape.place == table.name]
            keys = [each.key for each in theirs if any(each.ref[column] is not None for column in reference.columns)]
            if table and keys:
                await self._update(table, keys, dict.fromkeys(reference.columns, "NULL"), Statement(self._server))


def _goes(change: Change) -> bool:
    return change.kind is Kind.DELETE


def cut(server: Server, table: Declared, name: str, unit: str) -> str:
    """Returns a day or an instant, cut to the unit; raises ``DatasetOutdated`` where it is neither."""
    type_ = table.relation.types[name]
    if (said := server.cut(server.column(name), unit, type_)) is None:
        raise DatasetOutdated(f"{table.name}: anonymise coarsens {name}, which is no day and no instant ({type_})")
    return said


def _common(declared: Anonymisation, records: Sequence[Record]) -> Collection[Name]:
    """Returns the rows whose combination of what is left at least so many people have in common."""
    if not declared.rare:
        return {record.name for record in records}
    crowds: dict[tuple[Any, ...], set[Any]] = {}
    values: dict[Name, tuple[Any, ...]] = {}
    for record in records:
        row = record.ref
        left = [_cut(row[name], unit) for name, unit in declared.coarsen.items()]
        values[record.name] = (*left, *(row[name] for name in (*declared.same, *declared.rare)))
        if (who := row[declared.person]) is not None:
            crowds.setdefault(values[record.name], set()).add(who)
    return {name for name, each in values.items() if len(crowds.get(each, ())) >= PEOPLE}


def _cut(value: Any, unit: str) -> Any:
    if isinstance(value, datetime):
        value = value.astimezone(UTC) if value.tzinfo else value
        value = value.replace(hour=0, minute=0, second=0, microsecond=0)
    return value.replace(**_FIRST[unit]) if isinstance(value, date) else value


def _loosened_by(changes: Sequence[Change]) -> Mapping[Name, Collection[str]]:
    """Returns by row the columns that become empty by these changes."""
    loosened: dict[Name, set[str]] = {}
    for change in changes:
        if change.kind is Kind.SET and (empty := [name for name, value in change.values if value is None]):
            for record in change.records:
                loosened.setdefault(record.name, set()).update(empty)
    return loosened


def _tied(n: int, child: str, parent: str, reference: Reference) -> str:
    return (
        f"{n} rows of {child} refer to rows of the subject in {parent} ({reference.name}) and do not go with them,"
        " since they are kept or another person's: correct whose they are, in the store or the dataset, or let"
        f" belongs_to and keep.mark say there that {parent} stays with what is kept of {child}"
    )
