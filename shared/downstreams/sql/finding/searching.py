"""How the rows of a declared table are found: by identities that it holds, and by joins that lead to another table.

Rows are always found by ``= ANY`` on an indexed column: joining the values instead turns into a hash join over the
whole table once there are many. The values are joined only afterwards, to what was found, to tell whose it was.
"""

# ruff: noqa: S608 - names are quoted, and what comes from a request is a parameter

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from itertools import pairwise
from zoneinfo import ZoneInfo

from shared.domain.identities import IdentityType
from shared.downstreams.contract import Task
from shared.downstreams.sql.finding.paths import Finder, Hop, holds, time_name
from shared.downstreams.sql.finding.search_keys import SearchKey, Slot, Wanted, keys_of, wanted
from shared.downstreams.sql.finding.table_columns import TableColumns
from shared.downstreams.sql.quoting import Condition, literal


@dataclass(frozen=True, eq=False)
class Path:
    """The joins from a table to another of the dataset, whose rows tell whose those of the first are.

    The search goes backward: from the identity that was found to the keys of what leads there, table by table, always
    by ``= ANY`` of an array that a query has filled before. So an index is used at each step.
    """

    end: "Searched"
    hops: tuple[Hop, ...]
    party: str | None = None
    of: str | None = None
    """As whom the subject is found at the end, where several people are in a row."""

    @cached_property
    def to_one(self) -> bool:
        """Whether the database promises that each row leads to one at most."""
        return self.end.to_one and all(hop.to_one for hop in self.hops)

    @cached_property
    def by(self) -> tuple["str | Path", ...] | None:
        """By what the rows at its end are found; None: by anything."""
        return None if self.of is None else self.end.columns_of(self.of)

    def finders(self) -> list[tuple[int, Finder]]:
        """The values that are read at its end, and which of them they are there."""
        return [(k, each) for k, each in enumerate(self.end.finders) if self.of in {None, each.party}]

    def rows(self, search: "Search", *, values: bool) -> str:
        """The keys by which its first join leads to somebody, with what was found at its end if that is wanted."""
        sql = self.end.keyed(self.hops[-1], search, self.by, values=values)
        carried = "".join(f", dsr_q.{name}" for name in self.end.names) if values else ""
        for nearer, hop in reversed([*pairwise(self.hops)]):
            joined = f" JOIN dsr_q ON {hop.joined('x', 'dsr_q')}" if values else ""
            where = f"{hop.found('x', 'dsr_q')}{nearer.only('x')}"
            shown = f"{nearer.far('x')}{carried}"
            sql = f"WITH dsr_q AS MATERIALIZED ({sql}) SELECT {shown} FROM {nearer.source} x{joined} WHERE {where}"
        return sql


Search = Callable[["Searched", Sequence[str | Path] | None, bool], str]
"""The condition that finds rows of a table by some columns and paths, whose joins stand beside the statement or not."""


def by_arrays(slots: Sequence[Slot]) -> Search:
    """Finds the rows of many subjects, by one array of values for each slot."""
    return lambda table, by, joined: table.in_arrays(by, slots, joined=joined)


def by_keys(keys: Sequence[SearchKey], condition: Condition) -> Search:
    """Finds the rows of one subject."""
    return lambda table, by, joined: table.mine(keys, condition, by, joined=joined)


@dataclass(frozen=True)
class Searched(TableColumns):
    """One table, its rows found by what it holds and by its paths."""

    paths: tuple[Path, ...] = ()
    also: str = ""
    """A further condition that every row must meet that is found."""
    unfound: str | None = None
    """In which rows the value of a column, ``{}``, no longer finds anybody but whose bill it is (REQ-R5)."""

    def keys(self, task: Task) -> tuple[SearchKey, ...]:
        """What finds the rows of one task here, at the ends of its paths too."""
        own = keys_of(task, self.name, self.table, self.relation)
        if not self.paths:
            return own
        return tuple(dict.fromkeys((*own, *(key for path in self.paths for key in path.end.keys(task)))))

    def wanted(self, tasks: Iterable[Task]) -> Wanted:
        """What finds the rows of many tasks here."""
        return wanted(map(self.keys, tasks), self.slots)

    @cached_property
    def search(self) -> tuple[str, ...]:
        return tuple(self.table.searched)

    @cached_property
    def slots(self) -> tuple[Slot, ...]:
        """The arrays of values that its statements take, in the order of their parameters."""
        own = [(self.name, type_) for type_ in self.table.types]
        return tuple(dict.fromkeys([*own, *(slot for path in self.paths for slot in path.end.slots)]))

    @cached_property
    def types(self) -> frozenset[IdentityType]:
        """The types of identity by which anybody is found in it."""
        return frozenset(type_ for _, type_ in self.slots)

    @cached_property
    def finders(self) -> tuple[Finder, ...]:
        """Every value by which a row may be found: of its own columns, then of its paths."""
        own = (((self.name, c.identity), c.party) for c in self.table.searched.values() if c.identity)
        found = [Finder(*each) for each in own]
        times = 1
        for path in self.paths:
            found += [Finder(each.slot, path.party, times + each.time) for _, each in path.finders()]
            times += path.end.times
        return tuple(found)

    @cached_property
    def times(self) -> int:
        """How many times are read with a row: its own, and those at the ends of its paths."""
        return 1 + sum(path.end.times for path in self.paths)

    @cached_property
    def zones(self) -> tuple[ZoneInfo, ...]:
        """For each of its times the zone in which one without is read."""
        return (self.table.timezone, *(zone for path in self.paths for zone in path.end.zones))

    @cached_property
    def regions(self) -> Mapping[Slot, str | None]:
        """For each slot in which country its numbers were dialled, if they are written so."""
        own = {(self.name, type_): self.table.region for type_ in self.table.types}
        return own | {slot: region for path in self.paths for slot, region in path.end.regions.items()}

    @cached_property
    def to_one(self) -> bool:
        """Whether each of its rows leads to one row at most by each of its paths."""
        return all(path.to_one for path in self.paths)

    @cached_property
    def told_by(self) -> tuple[bool, ...]:
        """For each of its times whether the row read there tells for whom it is processed."""
        own = self.table.tenant is not None
        return (own, *(own or told for path in self.paths for told in path.end.told_by))

    def columns_of(self, party: str | None) -> tuple[str | Path, ...]:
        """By which columns and paths a party is found."""
        columns = (c for c in self.search if self.table.columns[c].party == party)
        return (*columns, *(path for path in self.paths if path.party == party))

    @cached_property
    def theirs(self) -> str:
        """That a row is the tenant's, or ours, and one of those that count: part of every condition that finds it."""
        if self.table.tenant is None:
            return self.counted
        return f" AND {self.owner} IN ({', '.join(map(literal, self.tenancy.values[self.tenant]))}){self.counted}"

    @cached_property
    def counted(self) -> str:
        """That a row is one of those that are about people."""
        return "".join(f" AND {holds(test, 't')}" for test in self.table.where) + self.also

    @cached_property
    def bound(self) -> str:
        """Returns a true condition with every parameter: PostgreSQL infers no type for one that is not mentioned."""
        return " AND ".join(f"${i + 1}::text[] IS NOT NULL" for i, _ in enumerate(self.slots))

    def any_of(self, by: Iterable[str | Path] | None = None, *, joined: bool = False) -> str:
        """The rows of many subjects; ``joined``: what its paths lead to stands beside the statement (``beside``)."""
        return f"({self.in_arrays(by, self.slots, joined=joined)} AND {self.bound})"

    def in_arrays(self, by: Iterable[str | Path] | None, slots: Sequence[Slot], *, joined: bool) -> str:
        """Returns the condition of ``any_of``, with one parameter for each of these slots."""
        chosen = (*self.search, *self.paths) if by is None else tuple(by)
        own = (
            f"{self.expression(c)} = ANY({self.values(c, slots)}{self.cast(c, '[]')}){self._unfound(c)}"
            for c in chosen
            if isinstance(c, str)
        )
        led = self._led([path for path in chosen if isinstance(path, Path)], by_arrays(slots), joined=joined)
        return f"(({' OR '.join((*own, *led))}){self.theirs})"

    def mine(
        self,
        keys: Sequence[SearchKey],
        condition: Condition,
        by: Iterable[str | Path] | None = None,
        *,
        joined: bool = False,
    ) -> str:
        """The rows of one subject, each number in its own period."""
        arms: dict[tuple[IdentityType, date | None, date | None], list[str]] = {}
        for key in (key for key in keys if key.table == self.name):
            arms.setdefault((key.type, key.since, key.until), []).append(key.value)
        chosen = (*self.search, *self.paths) if by is None else tuple(by)
        parts = []
        for (type_, since, until), values in arms.items():
            columns = [c for c in chosen if isinstance(c, str) and self.table.columns[c].identity is type_]
            if not columns:  # PostgreSQL infers no type for a parameter that is not mentioned
                continue
            array = condition.place(values, "text[]")
            bounds = self._bounds(since, until, condition)
            parts += [
                f"({self.expression(column)} = ANY({array}{self.cast(column, '[]')}){bounds}{self._unfound(column)})"
                for column in columns
            ]
        reached = {key.table for key in keys}
        paths = [path for path in chosen if isinstance(path, Path)]
        led = [path for path in paths if not reached.isdisjoint(name for name, _ in path.end.slots)]
        parts += self._led(led, by_keys(keys, condition), joined=joined)
        return f"(({' OR '.join(parts)}){self.theirs})" if parts else "false"

    def _unfound(self, column: str) -> str:
        bill_of = self.table.keeps.bill_of if self.table.keeps else None
        other = self.unfound is not None and bill_of not in {None, self.table.columns[column].party}
        return f" AND NOT {self.unfound.format(self.expression(column))}" if self.unfound and other else ""

    def _led(self, paths: Sequence[Path], search: Search, *, joined: bool) -> Iterator[str]:
        for path in paths:
            keys = f"dsr_p{self.paths.index(path)}" if joined else f"({path.rows(search, values=False)}) dsr_k"
            yield f"({path.hops[0].found('t', keys)})"

    def _bounds(self, since: date | None, until: date | None, condition: Condition) -> str:
        if self.table.occurred is None:
            return ""
        type_ = self.relation.types[self.table.occurred.column]
        lower = f" AND {self.moment} >= {condition.place(since, type_)}" if since is not None else ""
        upper = f" AND {self.moment} < {condition.place(until, type_)}" if until is not None else ""
        return lower + upper

    # What is read with a row: the values that may have found it, when it happened, and for whom it is processed.

    def beside(self, search: Search | None = None) -> str:
        """What the paths lead to, before the statement that reads it."""
        by = search or by_arrays(self.slots)
        parts = (f"dsr_p{i} AS MATERIALIZED ({path.rows(by, values=True)})" for i, path in enumerate(self.paths))
        return f"WITH {', '.join(parts)} " if self.paths else ""

    @cached_property
    def joins(self) -> str:
        joined = (
            f" LEFT JOIN dsr_p{i} ON {path.hops[0].joined('t', f'dsr_p{i}')}{path.hops[0].meets('t')}"
            for i, path in enumerate(self.paths)
        )
        return "".join(joined)

    @cached_property
    def found(self) -> str:
        """The values, then the times, then of each time but its own for whom the row there is processed."""
        values = [f"{self.seen(c)} AS dsr_s{i}" for i, c in enumerate(self.search)]
        times, owners = [f"{self.moment} AS dsr_at"], []
        for p, path in enumerate(self.paths):
            first = len(values)
            values += [f"dsr_p{p}.dsr_s{k} AS dsr_s{first + i}" for i, (k, _) in enumerate(path.finders())]
            for k in range(path.end.times):
                owner = self.owner if self.table.tenant else f"dsr_p{p}.dsr_o{k}"
                owners.append(f"{owner} AS dsr_o{len(times)}")
                times.append(f"dsr_p{p}.{time_name(k)} AS {time_name(len(times))}")
        return ", ".join([*values, *times, *owners])

    def keyed(self, hop: Hop, search: Search, by: Sequence[str | Path] | None, *, values: bool) -> str:
        """The keys by which a join leads to rows that are found, with what was found if that is wanted."""
        where = f"{search(self, by, values)}{hop.only('t')}"
        if not values:
            return f"SELECT {hop.far('t')} FROM {self.source} t WHERE {where}"
        owner = self.owner if self.table.tenant else "NULL::text"
        shown = f"{hop.far('t')}, {self.found}, {owner} AS dsr_o0"
        return f"{self.beside(search)}SELECT {shown} FROM {self.source} t{self.joins} WHERE {where}"

    @cached_property
    def names(self) -> tuple[str, ...]:
        """How what is found is called in ``keyed``."""
        values = (f"dsr_s{i}" for i, _ in enumerate(self.finders))
        return (*values, *map(time_name, range(self.times)), *(f"dsr_o{k}" for k in range(self.times)))
