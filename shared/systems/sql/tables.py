"""Declared tables as they are today: the shape of their rows for the engine, and each row as a record of it."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from functools import cached_property, partial
from operator import itemgetter
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from shared.domain.identities import IdentityType
from shared.systems.engine.claims import NAMED
from shared.systems.engine.records import (
    Clock,
    Field,
    Flag,
    Holder,
    Key,
    Link,
    Part,
    PartyShape,
    Record,
    Shape,
    State,
    Statement,
    as_text,
)
from shared.systems.sql import values
from shared.systems.sql.catalog import DATE, TABLE, TEXT, ZONED, ZONELESS, Catalog, References, Relation
from shared.systems.sql.declaration.dataset import Dataset, Tenancy
from shared.systems.sql.declaration.declared import Join, Jurisdiction, Switch
from shared.systems.sql.declaration.graph import ends_first, joined_by, on_paths_to
from shared.systems.sql.declaration.tables import Table
from shared.systems.sql.server import Place, Server
from shared.systems.sql.values import Row
from shared.systems.states import STATES

_NO_FLAGS = (None, None, None)
_ALWAYS = (None, None)
_CLOCKS = {DATE: "day", ZONELESS: "wall", ZONED: "instant"}


@dataclass(frozen=True, slots=True)
class Hop:
    """One join of a path: to which table it leads; ``passed``: the number of the link to it, if it is declared."""

    join: Join
    place: Place
    relation: Relation
    near: Relation
    passed: int | None = None
    key: tuple[str, ...] = ()

    def columns(self, onward: Join | None) -> tuple[str, ...]:
        """What is read of the table to which it leads: also what the next join of the path names."""
        names = [*(far for _, far in self.join.columns), *(test.column for test in self.join.where), *self.key]
        return tuple(dict.fromkeys([*names, *(onward.on if onward else ())]))

    @property
    def to_one(self) -> bool:
        """Whether the database promises at most one farther row for each nearer one."""
        return any(unique <= {far for _, far in self.join.columns} for unique in self.relation.unique)


@dataclass(frozen=True, slots=True)
class Path:
    """The joins that lead from the rows of a table to one that tells whose they are; ``link``: its number."""

    link: int
    end: "Declared"
    hops: tuple[Hop, ...]
    shares: bool


@dataclass(frozen=True, eq=False)
class Declared:
    """One table in which rows of a tenant are told, or our own."""

    server: Server
    name: str
    table: Table
    relation: Relation
    tenancy: Tenancy
    tenant: str | None
    paths: tuple[Path, ...]
    keys: Mapping[int, tuple[tuple[str, ...], tuple[str, ...]]]
    """By the number of its link, the columns of a foreign key here and there."""
    alone: bool
    """Whether nothing leads to it, and it leads nowhere."""
    joined: frozenset[str]
    """The columns that joins and foreign keys of others, or of its own, name."""
    shape: Shape

    @property
    def place(self) -> Place:
        """Its schema and its name."""
        return self.relation.place

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Every column of it."""
        return tuple(self.table.columns)

    @cached_property
    def judged(self) -> tuple[str, ...]:
        """The columns by which it is told whose a row is and what becomes of it."""
        table, columns = self.table, self.table.columns
        named = {name for place, names in table.named.items() if place != "keeps" for name in names}
        named |= {holder.column for holder in self.shape.holders} | self.joined
        named |= {name for part in self.shape.parts for name, _ in part.blank}
        named |= {table.told_apart_by} if table.told_apart_by else set()
        if each := table.anonymise:
            named |= {*each.coarsen, *each.same, *each.rare}
        return tuple(name for name in columns if name in named)

    @cached_property
    def key_columns(self) -> Sequence[tuple[str, str]]:
        """The primary key, each column quoted, with its type."""
        return [(self.server.column(name), self.relation.types[name]) for name in self.table.primary_key]

    @cached_property
    def theirs(self) -> tuple[Sequence[tuple[str, Sequence[str]]], str]:
        """What the server is told of the rows that count: columns with the words of each; and what is NULL or not."""
        tests = [(f"{self.server.text(test.column)}", test.words) for test in self.table.where if test.null is None]
        if self.table.tenant is not None:
            owner = self.server.lower(self.server.column(self.table.tenant))
            tests.append((owner, self.tenancy.values[self.tenant]))
        nulls = "".join(
            f" AND {self.server.column(test.column)} IS {'' if test.null else 'NOT '}NULL"
            for test in self.table.where
            if test.null is not None
        )
        return tests, nulls

    @cached_property
    def key(self) -> Callable[[Row], Key]:
        """Tells the primary key of a row."""
        names = self.table.primary_key
        if len(names) == 1:
            [name] = names
            return lambda row: (row[name],)
        return itemgetter(*names)

    @cached_property
    def counts_all(self) -> bool:
        """Whether every row of it counts."""
        return not self.table.where and self.table.tenant is None

    def counts(self, row: Row) -> bool:
        """Whether a row is one of those that are about people, and the tenant's, or ours."""
        return all(values.holds(test, row) for test in self.table.where) and (
            self.table.tenant is None or self.owner(row) in self.tenancy.values[self.tenant]
        )

    def owner(self, row: Row) -> str | None:
        """For whom a row is processed, in small letters."""
        held = as_text(row[self.table.tenant]) if self.table.tenant else None
        return None if held is None else held.lower()

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
        plain = not column.domain and column.match == "exact" and column.of is None
        is_text = plain and self.relation.types[name] in {"text", "character varying"}
        return is_text and not self.relation.columns[name].any_case

    @cached_property
    def exact(self) -> bool:
        """Whether the server itself tells whose its rows are, by one column and their time, and nothing else is led."""
        table, relation, searched = self.table, self.relation, [*self.table.searched]
        plain = len(searched) == 1 and self._is_plain(searched[0])
        timed = table.occurred is None or relation.types[table.occurred.column] == ZONED
        return self.clear and plain and timed

    @cached_property
    def clear(self) -> bool:
        """Whether the server can delete rows of it unread: nothing leads to them, and nothing stands beside them."""
        relation = self.relation
        own = self.server.combines and relation.kind == TABLE and relation.lockable and not relation.partitions
        return own and self.alone and self.counts_all and not self.table.stated

    @cached_property
    def _filled(self) -> Sequence[Callable[[Row], bool]]:
        return [self._is_filled(part) for part in self.shape.parts]

    def _is_filled(self, part: Part) -> Callable[[Row], bool]:
        nobody = {*self.table.parties[part.party].nobody} if part.party else set[str]()
        alike: dict[frozenset[str | None], list[str]] = {}
        for name, blank in part.blank:
            alike.setdefault(frozenset({blank, *(nobody | {None} if part.names else ())}), []).append(name)
        tests = [self._differs(names, blank) for blank, names in alike.items()]
        return tests[0] if len(tests) == 1 else lambda row: any(test(row) for test in tests)

    def _differs(self, names: Sequence[str], blank: frozenset[str | None]) -> Callable[[Row], bool]:
        """Whether one of these columns holds something else; of many rows, so texts are compared at once."""
        types = self.relation.types
        if all(types[name] in TEXT for name in names):
            if len(names) == 1:
                [only] = names
                return lambda row: row[only] not in blank
            held = itemgetter(*names)
            return lambda row: not blank.issuperset(held(row))
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
        """What reads each thing of a row, worked out once; None or empty: its rows do not tell it."""
        table, period = self.table, self.table.period
        person = table.told_apart_by
        return _Readers(
            _moment(table.occurred.column) if table.occurred else None,
            [_moment(anchor.column) for anchor in table.anchors.values()],
            [partial(values.tells, state) for state in table.refuse_when],
            self.owner if table.tenant else None,
            _country(table.jurisdiction) if table.jurisdiction else None,
            partial(values.read, person) if person else None,
            [_moment(period.valid_from), _moment(period.valid_to)] if period else [],
            [_flag_of(each) for each in table.switches] if any(table.switches) else [],
        )

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


def _country(says: Jurisdiction) -> Callable[[Row], str | None]:
    """Reads under which state's law a row is."""
    return lambda row: says.of(as_text(row[says.column]))


def _flag_of(switch: Switch | None) -> Callable[[Row], bool | None] | None:
    """Reads whether a flag is set; None: not in this table."""
    if switch is None:
        return None
    name, set_, otherwise = switch.column, switch.value, switch.otherwise
    if isinstance(set_, bool):
        return lambda row: None if (held := row[name]) is None else bool(held) is set_
    return lambda row: True if (said := as_text(row[name])) == set_ else False if said == otherwise else None


def in_utc(value: Any) -> Any:
    """The same of an instant that the server tells without its zone."""
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) and value.tzinfo is None else value


def declared_tables(
    dataset: Dataset, server: Server, catalog: Catalog, references: References, tenancy: Tenancy, tenant: str | None
) -> Mapping[str, Declared]:
    """Every table in which rows of the tenant are told, or our own; the ends of paths before what leads to them."""
    made: dict[str, Declared] = {}
    joined, keepers = joined_by(dataset.tables), _keepers(dataset, references)
    led = {*joined, *(references.names[each.parent] for each in references.keys if each.parent in references.names)}
    for name in ends_first(dataset.tables):
        table = dataset.tables[name]
        ways = [(party, joins) for party, joins in table.paths if joins[-1].table in made]
        if tenant is not None and not table.tenant and not ways:
            continue
        links = [Link(joins[-1].table, party=party, of=joins[-1].party) for party, joins in ways]
        paths = []
        for number, (party, joins) in enumerate(ways):
            hops: list[Hop] = []
            for hop in _hops(dataset, server.namespace, catalog, name, joins):
                passed = hop.join.table in dataset.tables and len(hops) < len(joins) - 1
                links += [Link(hop.join.table, owns=False)] if passed else []
                key = dataset.tables[hop.join.table].primary_key if passed else ()
                hops.append(replace(hop, passed=len(links) - 1 if passed else None, key=key))
            end = made[joins[-1].table]
            alone = sum(party == other for other, _ in ways) == 1
            to_one = all(hop.to_one for hop in hops) and not any(path.shares for path in end.paths)
            paths.append(Path(number, end, tuple(hops), shares=not (alone and to_one)))
            links[number] = links[number]._replace(shares=paths[-1].shares)
        keys = {}
        place = dataset.place(server.namespace, name)
        for reference in references.keys:
            if reference.child == place and reference.parent in references.names:
                keys[len(links)] = (reference.columns, reference.to)
                links.append(Link(references.names[reference.parent], owns=False, joins=False))
        relation = catalog.relations[place]
        made[name] = Declared(
            *(server, name, table, relation, tenancy, tenant, tuple(paths)),
            keys,
            not links and name not in led,
            _joined(table, place, references, joined.get(name, frozenset())),
            _shape(name, table, relation, tenancy, tuple(links), joined.get(name, frozenset()), kept=name in keepers),
        )
    return made


def _keepers(dataset: Dataset, references: References) -> Collection[str]:
    """Tables of which rows may stay without their person: by themselves, or with those that lead or refer to them."""
    tables = dataset.tables
    own = {name for name, table in tables.items() if table.erase == "blank" or table.keeps or table.kept}
    known = own | on_paths_to(tables, own)
    while more := {
        references.names[each.parent]
        for each in references.keys
        if references.names.get(each.child) in known and references.names[each.parent] not in known
    }:
        known |= more
    return known


def _joined(table: Table, place: Place, references: References, joined: frozenset[str]) -> frozenset[str]:
    of_keys = {
        name
        for each in references.keys
        for child, names in ((each.child, each.columns), (each.parent, each.to))
        if child == place
        for name in names
    }
    return joined | of_keys | {near for _, path in table.paths for near in path[0].on}


def _hops(dataset: Dataset, namespace: str, catalog: Catalog, name: str, joins: Sequence[Join]) -> Iterator[Hop]:
    near = catalog.relations[dataset.place(namespace, name)]
    for join in joins:
        place = dataset.place(namespace, join)
        yield Hop(join, place, catalog.relations[place], near)
        near = catalog.relations[place]


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
    occurred, period = table.occurred, table.period
    return Shape(
        place=name,
        category=table.category,
        holders=tuple(_holders(table)),
        links=links,
        parties={party: _party(table, party) for party in table.parties},
        parts=tuple(_parts(table, joined)) if kept else (),
        states=tuple(State(each.reason, STATES.get(each.reason)) for each in table.refuse_when),
        flags=(_flag(table.restriction), _flag(table.marketing), _flag(table.kept)),
        anchors=tuple((n, _clock(relation, each.column, each.timezone)) for n, each in table.anchors.items()),
        fields=tuple(_fields(table)),
        clock=_clock(relation, occurred.column, occurred.timezone) if occurred else None,
        valid=_clock(relation, period.valid_from, period.timezone or table.timezone) if period else None,
        owners=tenancy.values if table.tenant else None,
        countries=frozenset(table.jurisdiction.meanings.values()) if table.jurisdiction else None,
        apart="declared" if table.person else "taken" if table.told_apart_by else None,
        one_account=one_account,
        key_is_account=table.is_of_one_account,
        keeps=frozenset(table.keeps.fields) if table.keeps else None,
        bill_of=table.keeps.bill_of if table.keeps else None,
        blanks=table.erase == "blank",
        anonymise=table.anonymise is not None,
        stated=table.stated,
        unattributed=table.tenant is not None or any(column.of for column in table.columns.values()),
    )


def _clock(relation: Relation, column: str, zone: ZoneInfo) -> Clock:
    return Clock(_CLOCKS.get(relation.types[column], "instant"), zone)  # type: ignore[arg-type]


def _holders(table: Table) -> Iterator[Holder]:
    recorded = table.accounts_recorded
    for name, column in table.searched.items():
        own = name in recorded if column.identity is IdentityType.ACCOUNT_ID else bool(recorded)
        if column.identity:
            finder = Holder(name, column.party, column.identity, yields=column.yields)
            yield finder._replace(record=own, region=column.region)
    for name, column in table.columns.items():
        kind = column.identity or NAMED.get(column.rectifies or "")
        if name not in table.searched and kind is not None:
            yield Holder(name, column.party, kind, finds=False, yields=column.yields and column.identity is not None)


def _party(table: Table, name: str) -> PartyShape:
    party, columns = table.parties[name], [*table.columns]
    withheld = party.withheld
    return PartyShape(
        party.nobody,
        columns.index(withheld.column) if withheld else None,
        withheld.shown if withheld else ("none",),
        party.seen_by,
        party.same_as,
    )


def _parts(table: Table, joined: frozenset[str]) -> Iterator[Part]:
    told = {state.column for state in table.refuse_when}
    mark = table.kept.column if table.kept else None  # what stays says so there: it is set, and never emptied
    alike: dict[Part, list[tuple[str, str | None]]] = {}
    for party in table.parties or (None,):
        held = table.fields_of(party) if party else table.about_one
        for name, column in ((name, column) for name, column in held.items() if name != mark):
            fields = [field for field, names in table.keeps.fields.items() if name in names] if table.keeps else []
            part = Part(
                party,
                (),
                frozenset(fields),
                names=column.personal == "A",
                found_by=party is None and name in table.found_by | joined,
                tells=name in told,
                goes=party is not None or column.goes,
            )
            part = part._replace(blank=(("", column.blank),)) if part.tells else part
            alike.setdefault(part, []).append((name, column.blank))
    for part, columns in alike.items():
        yield part._replace(blank=tuple(columns))


def _flag(switch: Switch | None) -> Flag | None:
    return Flag(switch.column, isinstance(switch.value, str), switch.otherwise is not None) if switch else None


def _fields(table: Table) -> Iterator[Field]:
    facts = {name for name, _ in table.current_facts}
    places = {name: place for place, name in enumerate(table.columns)}
    e164 = {c.of: places[name] for name, c in table.columns.items() if c.identity is IdentityType.PHONE and c.of}
    for name, column in table.columns.items():
        yield Field(
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
