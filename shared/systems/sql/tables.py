"""Declared tables as they are today: the shape of their rows for the engine, and each row as a record of it."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cached_property, partial
from operator import itemgetter
from typing import Any, NamedTuple

from shared.domain.assignments import NUMBERS
from shared.domain.countries import COUNTRIES
from shared.domain.identities import IdentityType, country_of_number
from shared.systems.engine.account_claims import TYPE_OF_FIELD
from shared.systems.engine.records import (
    NO_LINE,
    ColumnGroup,
    Flag,
    Holder,
    Key,
    Link,
    PartyShape,
    Record,
    RecordField,
    RecordState,
    Shape,
    Statement,
    TimeFormat,
    as_text,
)
from shared.systems.sql import values
from shared.systems.sql.catalog import DATE, TABLE, TEXT, ZONED, ZONELESS, Catalog, ForeignKeys, Relation
from shared.systems.sql.dataset import Dataset, Tenancy, leads, led_to, ordered
from shared.systems.sql.declaration import Join, Switch, Table
from shared.systems.sql.server import Server, TableName
from shared.systems.sql.values import Row
from shared.systems.states import STATES

_NO_FLAGS = (None, None, None)
_ALWAYS = (None, None)
_CLOCKS = {DATE: "day", ZONELESS: "wall", ZONED: "instant"}


@dataclass(frozen=True, slots=True)
class JoinPath:
    """The join that leads from the rows of a table to one that tells whose they are; ``link``: its number."""

    link: int
    end: "StoreTable"
    join: Join
    shares: bool


@dataclass(frozen=True, eq=False)
class StoreTable:
    """One table, with the tenant whose rows are read (None: the company's)."""

    server: Server
    name: str
    table: Table
    relation: Relation
    tenancy: Tenancy
    tenant: str | None
    paths: tuple[JoinPath, ...]
    keys: Mapping[int, tuple[tuple[str, ...], tuple[str, ...]]]
    """Columns of a foreign key, here and there, by the number of its link."""
    about_one_person: bool
    """Whether nothing leads to it, and it leads nowhere."""
    joined: frozenset[str]
    """The columns that joins and foreign keys of others, or of its own, name."""
    shape: Shape

    @property
    def place(self) -> TableName:
        """Its schema and its name."""
        return self.relation.place

    @cached_property
    def columns(self) -> tuple[str, ...]:
        return tuple(self.table.columns)

    @cached_property
    def judged(self) -> tuple[str, ...]:
        """Returns the columns that decide whose a row is and what happens to it."""
        table, columns = self.table, self.table.columns
        named = {name for place, names in table.named.items() if place != "keep" for name in names}
        named |= {holder.column for holder in self.shape.holders} | self.joined
        named |= {name for part in self.shape.parts for name, _ in part.blank}
        named |= {table.person_column} if table.person_column else set()
        if each := table.anonymise:
            named |= {*each.coarsen, *each.same, *each.rare}
        return tuple(name for name in columns if name in named)

    @cached_property
    def key_columns(self) -> Sequence[tuple[str, str]]:
        """The primary key, each column quoted, with its type."""
        return [(self.server.column(name), self.relation.types[name]) for name in self.table.primary_key]

    @cached_property
    def tenant_words(self) -> Sequence[tuple[str, Sequence[str]]]:
        """Returns the columns and words that select the tenant's rows."""
        if self.table.tenant is None:
            return []
        return [(self.server.lower(self.server.column(self.table.tenant)), self.tenancy.values[self.tenant])]

    @cached_property
    def key(self) -> Callable[[Row], Key]:
        """Tells the primary key of a row."""
        names = self.table.primary_key
        if len(names) == 1:
            [name] = names
            return lambda row: (row[name],)
        return itemgetter(*names)

    def counts(self, row: Row) -> bool:
        """Whether a row is the tenant's, or ours."""
        return self.table.tenant is None or self.owner(row) in self.tenancy.values[self.tenant]

    def owner(self, row: Row) -> str | None:
        """Returns the tenant for whom a row is processed, in lower case."""
        value = as_text(row[self.table.tenant]) if self.table.tenant else None
        return None if value is None else value.lower()

    @cached_property
    def _holders(self) -> Callable[[Row], tuple[str | None, ...]]:
        """Reads all holders of a row; most hold texts that need no look."""
        named = [each.column for each in self.shape.holders]
        if len(named) > 1 and all(name in self.table.searched and self._is_plain(name) for name in named):
            return itemgetter(*named)
        holders = [self._holder(name) for name in named]
        return lambda row: tuple([read(row) for read in holders])

    def _holder(self, name: str) -> Callable[[Row], str | None]:
        if name not in self.table.searched:
            return lambda row: values.read(name, row)
        if self._is_plain(name):
            return itemgetter(name)
        return lambda row: values.compared(self.table, self.relation, name, row)

    def _is_plain(self, name: str) -> bool:
        """Whether a column holds texts as they are compared, letter by letter."""
        column = self.table.columns[name]
        is_text = (
            column.match == "exact" and column.of is None and self.relation.types[name] in {"text", "character varying"}
        )
        return is_text and not self.relation.columns[name].any_case

    @cached_property
    def exact(self) -> bool:
        """Whether one column and the time decide the owner of its rows, so that the server can select them."""
        table, relation, searched = self.table, self.relation, [*self.table.searched]
        plain = len(searched) == 1 and self._is_plain(searched[0])
        timed = table.happened is None or relation.types[table.happened] == ZONED
        return self.clear and plain and timed

    @cached_property
    def clear(self) -> bool:
        """Whether rows can be deleted unread: nothing leads to them, and they have no statements."""
        relation = self.relation
        own = self.server.combines and relation.kind == TABLE and relation.lockable and not relation.partitions
        return own and self.about_one_person and self.table.tenant is None and not self.table.stated

    @cached_property
    def _filled(self) -> Sequence[Callable[[Row], bool]]:
        return [self._is_filled(part) for part in self.shape.parts]

    def _is_filled(self, part: ColumnGroup) -> Callable[[Row], bool]:
        placeholders = {*self.table.parties[part.party].placeholders} if part.party else set[str]()
        alike: dict[frozenset[str | None], list[str]] = {}
        for name, blank in part.blank:
            alike.setdefault(frozenset({blank, *(placeholders | {None} if part.identifies_party else ())}), []).append(
                name
            )
        tests = [self._differs(names, blank) for blank, names in alike.items()]
        return tests[0] if len(tests) == 1 else lambda row: any(test(row) for test in tests)

    def _differs(self, names: Sequence[str], blank: frozenset[str | None]) -> Callable[[Row], bool]:
        """Whether one of these columns holds another value; texts are compared together, since rows are many."""
        types = self.relation.types
        if all(types[name] in TEXT for name in names):
            if len(names) == 1:
                [only] = names
                return lambda row: row[only] not in blank
            read_values = itemgetter(*names)
            return lambda row: not blank.issuperset(read_values(row))
        return lambda row: any(values.read(name, row) not in blank for name in names)

    def record(
        self,
        row: Row,
        parents: tuple[tuple[int, Key], ...],
        stated: tuple[Statement, ...] = (),
        *,
        data: bool,
    ) -> Record:
        """The record of a row."""
        at, anchors, states, owner, country, person, valid, flags = self._readers
        return Record(
            self.shape,
            self.key(row),
            self._holders(row),
            at(row) if at else None,
            tuple([read(row) for read in anchors]) if anchors else (),
            tuple([read(row) for read in states]) if states else (),
            owner(row) if owner else None,
            country(row) if country else None,
            parents,
            tuple([is_filled(row) for is_filled in self._filled]) if self._filled else (),
            tuple([read(row) if read else None for read in flags]) if flags else _NO_FLAGS,  # type: ignore[arg-type]  # three
            person(row) if person else None,
            (valid[0](row), valid[1](row)) if valid else _ALWAYS,
            self._data(row) if data else None,
            stated,
            row,
        )

    @cached_property
    def _readers(self) -> "_Readers":
        """Builds the readers of a row's parts once; None or empty: the rows do not have that part."""
        table = self.table
        person, country = table.person_column, table.country
        return _Readers(
            _moment(table.happened) if table.happened else None,
            [_moment(column) for column in table.anchors.values()],
            [partial(values.lasts, reason, state) for reason, state in table.states.items()],
            self.owner if table.tenant else None,
            (lambda row: values.country(row[country])) if country else self._line_country,
            partial(values.read, person) if person else None,
            [_moment(column) for column in table.period or ()],
            [_flag_of(each) for each in table.switches] if any(table.switches) else [],
        )

    @property
    def _line_country(self) -> Callable[[Row], str | None] | None:
        """Reads the country of the line that is billed, by the numbers of its party; None: no bill is declared."""
        billed = self.table.keep.bill_of
        if billed is None:
            return None
        names = [n for n, each in self.table.columns.items() if each.party == billed and each.identity in NUMBERS]
        placeholders = {None, *self.table.parties[billed].placeholders}

        def read(row: Row) -> str | None:
            lines = [number for name in names if (number := as_text(row[name])) not in placeholders]
            known = (country_of_number(line or "") for line in lines)
            return next((each for each in known if each), None) if lines else NO_LINE

        return read

    def _data(self, row: Row) -> tuple[Any, ...]:
        return tuple(values.raw(row[name]) for name in self.columns)


class _Readers(NamedTuple):
    at: Callable[[Row], date | None] | None
    anchors: Sequence[Callable[[Row], date | None]]
    states: Sequence[Callable[[Row], bool | None]]
    owner: Callable[[Row], str | None] | None
    country: Callable[[Row], str | None] | None
    person: Callable[[Row], str | None] | None
    valid: Sequence[Callable[[Row], date | None]]
    flags: Sequence[Callable[[Row], bool | None] | None]


def _moment(name: str) -> Callable[[Row], date | None]:
    """Reads a time; one that is all zeros is none."""
    return lambda row: value if isinstance(value := row[name], date) else None


def _flag_of(switch: Switch | None) -> Callable[[Row], bool | None] | None:
    """Reads whether a flag is set; None: not in this table."""
    if switch is None:
        return None
    name, set_ = switch
    if isinstance(set_, bool):
        return lambda row: None if (value := row[name]) is None else bool(value) is set_
    return lambda row: True if as_text(row[name]) == set_ else None


def in_utc(value: Any) -> Any:
    """The same of an instant that the server tells without its zone."""
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) and value.tzinfo is None else value


def declared_tables(
    dataset: Dataset, server: Server, catalog: Catalog, references: ForeignKeys, tenancy: Tenancy, tenant: str | None
) -> Mapping[str, StoreTable]:
    """Returns the tables with rows of the tenant, or the company's; ends of paths come before what leads to them."""
    made: dict[str, StoreTable] = {}
    joined, keepers = _joined(dataset, references), _keepers(dataset, references)
    linked = {join.table for table in dataset.tables.values() for _, join in table.joins}
    linked |= {references.names[each.parent] for each in references.keys if each.parent in references.names}
    for name in ordered(dataset.tables, leads(dataset.tables)):
        table, place = dataset.tables[name], (server.namespace, name)
        ways = [(party, join) for party, join in table.joins if join.table in made]
        if tenant is not None and not table.tenant and not ways:
            continue
        paths = []
        for number, (party, join) in enumerate(ways):
            end = made[join.table]
            alone = sum(party == other for other, _ in ways) == 1
            to_one = any(unique <= {*join.on.values()} for unique in end.relation.unique)
            shares = not (alone and to_one) or any(path.shares for path in end.paths)
            paths.append(JoinPath(number, end, join, shares))
        links = [
            Link(join.table, party=party, of=join.party, shares=path.shares)
            for (party, join), path in zip(ways, paths, strict=True)
        ]
        keys = {}
        for reference in references.keys:
            if reference.child == place and reference.parent in references.names:
                keys[len(links)] = (reference.columns, reference.to)
                links.append(Link(references.names[reference.parent], owns=False, joins=False))
        relation = catalog.relations[place]
        made[name] = StoreTable(
            *(server, name, table, relation, tenancy, tenant, tuple(paths)),
            keys,
            not links and name not in linked,
            joined[name],
            _shape(name, table, relation, tenancy, tuple(links), joined[name], kept=name in keepers),
        )
    return made


def _keepers(dataset: Dataset, references: ForeignKeys) -> Collection[str]:
    """Returns tables whose rows may stay without their person: alone, or with rows that lead or refer to them."""
    tables = dataset.tables
    own = {name for name, table in tables.items() if table.on_erase == "blank" or table.keep.fields or table.keep.mark}
    known = own | led_to(tables, own)
    while more := {
        references.names[each.parent]
        for each in references.keys
        if references.names.get(each.child) in known and references.names[each.parent] not in known
    }:
        known |= more
    return known


def _joined(dataset: Dataset, references: ForeignKeys) -> Mapping[str, frozenset[str]]:
    """Returns the columns of each table that joins and foreign keys name."""
    named: dict[str, set[str]] = {name: set() for name in dataset.tables}
    for name, table in dataset.tables.items():
        for _, join in table.joins:
            named[name].update(join.on)
            named[join.table].update(join.on.values())
    for each in references.keys:
        for place, columns in ((each.child, each.columns), (each.parent, each.to)):
            if place in references.names:
                named[references.names[place]].update(columns)
    return {name: frozenset(columns) for name, columns in named.items()}


def _shape(
    name: str,
    table: Table,
    relation: Relation,
    tenancy: Tenancy,
    links: tuple[Link, ...],
    joined: frozenset[str],
    *,
    kept: bool,
) -> Shape:
    person = table.columns.get(table.person or "")
    one_account = person is not None and person.identity is IdentityType.ACCOUNT_ID
    return Shape(
        place=name,
        category=table.category,
        holders=tuple(_holders(table)),
        links=links,
        parties={party: _party(table, party) for party in table.parties},
        parts=tuple(_parts(table, joined)) if kept else (),
        states=tuple(RecordState(reason, STATES.get(reason)) for reason in table.states),
        flags=_flags(table),
        anchors=tuple((anchor, _clock(table, relation, column)) for anchor, column in table.anchors.items()),
        fields=tuple(_fields(table)),
        clock=_clock(table, relation, table.happened) if table.happened else None,
        valid=_clock(table, relation, table.period[0]) if table.period else None,
        owners=tenancy.values if table.tenant else None,
        countries=frozenset(COUNTRIES) if table.country or table.keep.bill_of else None,
        separates_people="declared" if table.person else "taken" if table.person_column else None,
        one_account=one_account,
        key_is_account=table.is_of_one_account,
        kept_fields=frozenset(table.keep.fields) if table.keep.fields else None,
        bill_of=table.keep.bill_of,
        outlives_person=table.on_erase == "blank",
        anonymise=table.anonymise is not None,
        stated=table.stated,
        unattributed=table.tenant is not None or any(column.of for column in table.columns.values()),
    )


def _clock(table: Table, relation: Relation, column: str) -> TimeFormat:
    return TimeFormat(_CLOCKS.get(relation.types[column], "instant"), table.timezone)  # type: ignore[arg-type]


def _holders(table: Table) -> Iterator[Holder]:
    recorded = table.accounts_recorded
    for name, column in table.searched.items():
        own = name in recorded if column.identity is IdentityType.ACCOUNT_ID else bool(recorded)
        if column.identity:
            yield Holder(name, column.party, column.identity, yields=column.yields, record=own)
    for name, column in table.columns.items():
        kind = column.identity or TYPE_OF_FIELD.get(column.rectifies or "")
        if name not in table.searched and kind is not None:
            yield Holder(name, column.party, kind, finds=False, yields=column.yields and column.identity is not None)


def _party(table: Table, name: str) -> PartyShape:
    party, columns = table.parties[name], [*table.columns]
    withheld = ((columns.index(column), words) for column, words in party.withheld.items())
    position, words = next(withheld, (None, ("none",)))
    return PartyShape(party.placeholders, position, words, party.seen_by, party.same_as)


def _parts(table: Table, joined: frozenset[str]) -> Iterator[ColumnGroup]:
    state_columns = {state.column for state in table.states.values()}
    alike: dict[ColumnGroup, list[tuple[str, str | None]]] = {}
    for party in table.parties or (None,):
        fields_held = table.fields_of(party) if party else table.about_one
        for name, column in ((name, column) for name, column in fields_held.items() if name != table.mark):  # it is set
            fields = [field for field, names in table.keep.fields.items() if name in names]
            part = ColumnGroup(
                party,
                (),
                frozenset(fields),
                identifies_party=column.personal == "A",
                found_by=party is None and name in table.found_by | joined,
                shows_state=name in state_columns,
                blanked_on_erasure=party is not None or column.goes,
            )
            part = part._replace(blank=(("", column.blank),)) if part.shows_state else part
            alike.setdefault(part, []).append((name, column.blank))
    for part, columns in alike.items():
        yield part._replace(blank=tuple(columns))


def _flags(table: Table) -> tuple[Flag | None, Flag | None, Flag | None]:
    made = [Flag(each.column, value=each.word) if each else None for each in table.switches]
    return made[0], made[1], made[2]


def _fields(table: Table) -> Iterator[RecordField]:
    facts = {name for name, _ in table.current_facts}
    places = {name: place for place, name in enumerate(table.columns)}
    e164 = {c.of: places[name] for name, c in table.columns.items() if c.identity is IdentityType.PHONE and c.of}
    for name, column in table.columns.items():
        yield RecordField(
            name,
            column.label or name,
            partial(values.readable, column=column, table=table),
            party=column.party,
            kind=column.personal,
            shown=column.shown,
            open=column.others == "show",
            portable=column.portable,
            rectifies=column.rectifies,
            identity=column.identity,
            fact=name in facts,
            dialled=e164.get(name),
        )
