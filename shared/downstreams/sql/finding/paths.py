"""How the rows of one table lead to those of another that tell whose they are: the SQL of each join."""

# ruff: noqa: S608 - names are quoted, and what comes from a request is a parameter

from collections.abc import Sequence
from dataclasses import dataclass

from shared.downstreams.sql.catalog import Relation
from shared.downstreams.sql.declaration.declared import Join, Refusal, RowTest
from shared.downstreams.sql.finding.search_keys import Slot
from shared.downstreams.sql.quoting import literal, quoted

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
    words: tuple[tuple[str, str], ...]
    where: tuple[RowTest, ...]
    to_one: bool
    """Whether the database promises at most one farther row for each nearer one."""

    @classmethod
    def of(cls, join: Join, near: Relation, far: Relation, source: str) -> "Hop":
        pairs = tuple(Pair.of(a, near.types[a], b, far.types[b]) for a, b in join.columns)
        to_one = any(unique <= {b for _, b in join.columns} for unique in far.unique)
        return cls(source, pairs, join.words, join.where, to_one)

    def far(self, alias: str) -> str:
        """The farther columns of the pairs, as keys."""
        return ", ".join(f"{alias}.{pair.far} AS dsr_j{i}" for i, pair in enumerate(self.pairs))

    def near(self, alias: str) -> str:
        """The nearer columns of the pairs, as keys."""
        return ", ".join(f"{pair.nearer(alias)} AS dsr_j{i}" for i, pair in enumerate(self.pairs))

    def meets(self, alias: str) -> str:
        """What a nearer row must hold besides, as a condition that goes on."""
        return "".join(f" AND {alias}.{quoted(column)}::text = {literal(word)}" for column, word in self.words)

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
