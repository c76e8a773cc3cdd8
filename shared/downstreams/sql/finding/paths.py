"""How the rows of one table lead to those of another that tell whose they are: the SQL of joins.

The search goes backward: from the identity that was found to the keys of what leads there, table by table, always by
``= ANY`` of an array that a query has filled before. So an index is used at each step, whatever the statistics say.
"""

# ruff: noqa: S608 - names are quoted, and what comes from a request is a parameter

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

from shared.downstreams.sql.catalog import Relation
from shared.downstreams.sql.declaration.declared import Constant, Join, Refusal, RowTest
from shared.downstreams.sql.finding.search_keys import SearchKey, Slot
from shared.downstreams.sql.quoting import Condition, literal, quoted

if TYPE_CHECKING:
    from shared.downstreams.sql.finding.searching import Searched

_TEXT = frozenset({"text", "character varying"})
_INTEGERS = frozenset({"smallint", "integer", "bigint"})


@dataclass(frozen=True, slots=True)
class Pair:
    """Two columns of a join, made comparable: the nearer one as it is wherever it can be, since it has the index."""

    near: str
    far: str
    cast: str
    """Of the nearer one: empty where its own index is used."""
    type: str
    """Of what both are compared as."""

    @classmethod
    def of(cls, near: str, near_type: str, far: str, far_type: str) -> "Pair":
        if near_type == far_type or (near_type in _INTEGERS and far_type in _INTEGERS):
            return cls(quoted(near), quoted(far), "", far_type)
        if near_type in _TEXT:
            return cls(quoted(near), f"{quoted(far)}::text", "", "text")
        return cls(quoted(near), f"{quoted(far)}::text", "::text", "text")

    def nearer(self, alias: str) -> str:
        return f"{alias}.{self.near}{self.cast}"


@dataclass(frozen=True, slots=True)
class Hop:
    """One join of a path: the pairs of columns, what else the nearer row must hold, and which rows of the farther."""

    source: str
    pairs: tuple[Pair, ...]
    constants: tuple[tuple[str, Constant], ...]
    where: tuple[RowTest, ...]
    namespace: str
    to_one: bool
    """Whether the database promises at most one farther row for each nearer one."""

    @classmethod
    def of(cls, join: Join, near: Relation, far: Relation, source: str, namespace: str) -> "Hop":
        pairs = tuple(Pair.of(a, near.types[a], b, far.types[b]) for a, b in join.columns)
        to_one = any(unique <= {b for _, b in join.columns} for unique in far.unique)
        return cls(source, pairs, join.constants, join.where, namespace, to_one)

    def far(self, alias: str) -> str:
        """The farther columns of the pairs, as keys."""
        return ", ".join(f"{alias}.{pair.far} AS dsr_j{i}" for i, pair in enumerate(self.pairs))

    def near(self, alias: str) -> str:
        """The nearer columns of the pairs, as keys."""
        return ", ".join(f"{pair.nearer(alias)} AS dsr_j{i}" for i, pair in enumerate(self.pairs))

    def meets(self, alias: str) -> str:
        """What a nearer row must hold besides, as a condition that goes on."""
        return "".join(f" AND {self._constant(alias, *each)}" for each in self.constants)

    def only(self, alias: str) -> str:
        """Which farther rows, as a condition that goes on."""
        return "".join(f" AND {holds(test, alias)}" for test in self.where)

    def found(self, alias: str, keys: str) -> str:
        """That a nearer row leads to one of these keys, which are a relation with the farther columns."""
        return self._among([pair.nearer(alias) for pair in self.pairs], keys) + self.meets(alias)

    def reached(self, alias: str, keys: str) -> str:
        """That a farther row is led to by one of these keys, which are a relation with the nearer columns."""
        return self._among([f"{alias}.{pair.far}" for pair in self.pairs], keys) + self.only(alias)

    @staticmethod
    def _among(columns: Sequence[str], keys: str) -> str:
        each = " AND ".join(f"{c} = ANY(ARRAY(SELECT dsr_j{i} FROM {keys}))" for i, c in enumerate(columns))
        if len(columns) == 1:
            return each
        names = ", ".join(f"dsr_j{i}" for i, _ in enumerate(columns))
        return f"{each} AND ({', '.join(columns)}) IN (SELECT {names} FROM {keys})"

    def joined(self, alias: str, keys: str) -> str:
        """That a nearer row and a row of keys belong together."""
        return " AND ".join(f"{pair.nearer(alias)} = {keys}.dsr_j{i}" for i, pair in enumerate(self.pairs))

    def joined_to(self, near: str, far: str) -> str:
        """That a nearer row and a farther one belong together, whichever rows of the farther count."""
        return " AND ".join(f"{pair.nearer(near)} = {far}.{pair.far}" for pair in self.pairs) + self.meets(near)

    def _constant(self, alias: str, column: str, constant: Constant) -> str:
        if constant.table is None:
            return f"{alias}.{quoted(column)}::text = {literal(constant.word)}"
        place = f"{quoted(constant.schema_ or self.namespace)}.{quoted(constant.table)}"
        tests = " AND ".join(holds(test, "c") for test in constant.where) or "true"
        chosen = f"SELECT c.{quoted(constant.column)}::text FROM {place} c WHERE {tests}"
        return f"{alias}.{quoted(column)}::text = ANY(ARRAY({chosen}))"


def holds(test: RowTest, alias: str) -> str:
    """That a row meets a declared condition; never NULL."""
    column = f"{alias}.{quoted(test.column)}"
    if test.null is not None:
        return f"{column} IS {'' if test.null else 'NOT '}NULL"
    return f"coalesce({column}::text IN ({', '.join(map(literal, test.words))}), false)"


def untold(state: Refusal, alias: str) -> str | None:
    """That a row does not tell whether a declared state lasts; never NULL. None: each row tells it."""
    if state.known is None:
        return None
    column = f"{alias}.{quoted(state.column)}"
    among = f" OR {column}::text NOT IN ({', '.join(map(literal, state.known))})" if state.known else ""
    return f"({column} IS NULL{among})"


def time_name(position: int) -> str:
    """How a time is called that is read with a row."""
    return f"dsr_at{position or ''}"


@dataclass(frozen=True, slots=True)
class Finder:
    """A value by which a row may be found: where it is searched, whose it is in the row, and which time it has."""

    slot: Slot
    party: str | None
    time: int = 0
    """Of the times that are read with the row: its own first, then those at the ends of its paths."""


@dataclass(frozen=True, eq=False)
class Path:
    """The joins from a table to another of the dataset, whose rows tell whose those of the first are."""

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
    return lambda table, by, joined: table.any_of(by, slots, joined=joined)


def by_keys(keys: Sequence[SearchKey], condition: Condition) -> Search:
    """Finds the rows of one subject."""
    return lambda table, by, joined: table.mine(keys, condition, by, joined=joined)
