"""The statements of one declared table; every name is quoted, every value is a parameter."""

# ruff: noqa: S608 - names are quoted, and what comes from a request is a parameter

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

from shared.downstreams.sql.declaration.documents import changed
from shared.downstreams.sql.finding.paths import Hop, time_name
from shared.downstreams.sql.finding.search_keys import SearchKey, Wanted
from shared.downstreams.sql.finding.searching import Path, Searched, by_arrays
from shared.downstreams.sql.quoting import Condition, literal, quoted

Call = tuple[Any, ...]
"""A statement and its arguments, as the driver's methods take them."""


@dataclass(frozen=True)
class Statements(Searched):
    """Everything that is said to PostgreSQL about one table."""

    emptied_to: Mapping[str, str] | None = None
    """What columns become where rows are kept without their person, if not what the dataset blanks."""
    to_jurisdiction: tuple[Hop, ...] = ()
    """The joins that lead to what says which state's law a row is under; none: it says so itself, if anything does."""

    def _grouped(self, rows: str, more: str = "") -> str:
        values = [f"${self.slots.index(each.slot) + 1}::text[]" for each in self.finders]
        joins = "".join(f" LEFT JOIN unnest({own}) k{i}(v) ON k{i}.v = f.dsr_s{i}" for i, own in enumerate(values))
        groups = ", ".join(f"k{i}.v" for i, _ in enumerate(values))
        by = ", ".join(str(i + 1) for i, _ in enumerate(values))
        times = ", ".join(f"min(f.{name}), max(f.{name})" for name in map(time_name, range(self.times)))
        return f"SELECT {groups}, count(*) AS n, {times}{more} FROM {rows} f{joins} GROUP BY {by}"

    @cached_property
    def count(self) -> str:
        """Rows by whom they belong to, with the first and the last time."""
        return self.beside() + self._grouped(self._counted)

    @cached_property
    def count_undated(self) -> str:
        """The same, and last how many of them say no time."""
        return self.beside() + self._grouped(self._counted, f", count(*) FILTER (WHERE f.{time_name(0)} IS NULL)")

    @property
    def _counted(self) -> str:
        return f"(SELECT {self.found} FROM {self.source} t{self.joins} WHERE {self.any_of(joined=True)})"

    @cached_property
    def delete(self) -> str:
        """Delete what is found by the table's own columns, and tell by whom it belonged to."""
        gone = f"DELETE FROM {self.source} t WHERE {self.any_of()} RETURNING {self.found}"
        return f"WITH gone AS ({gone}) {self._grouped('gone')}"

    @cached_property
    def deleted(self) -> str:
        """What ``delete`` deletes, as a relation ``t`` and a condition."""
        return f"{self.source} t WHERE {self.any_of()}"

    def emptied(self, assigned: str, asked: Wanted) -> list[Call]:
        """What changes a column in the rows of many subjects."""
        return [(f"UPDATE {self.source} t SET {assigned} WHERE {self.any_of()}", *asked.arrays)]

    @cached_property
    def foreign(self) -> tuple[str, ...]:
        """For each column where ``=`` finds more than the same bytes: which values found something else."""
        return tuple(self._foreign(c) for c in self.search if c in self.relation.loose)

    def _foreign(self, column: str) -> str:
        expression = self.expression(column)
        return (
            f"SELECT DISTINCT k.v FROM unnest({self.values(column, self.slots)}) k(v) "
            f"JOIN {self.source} t ON {expression} = k.v{self.cast(column)} "
            f'WHERE {self.any_of([column])} AND {self.seen(column)} COLLATE "C" <> k.v'
        )

    def select(self, columns: Sequence[str], by: Sequence[str] | None = None, *, also: str = "") -> str:
        """The rows of many subjects, found ``by`` all columns or these: what is asked for, what finds, and when.

        ``also``: a condition that goes on.
        """
        shown = self.shown(columns)
        found = self.any_of(joined=True) if by is None else self.any_of(by)
        return f"{self.beside()}SELECT {shown}{self.found} FROM {self.source} t{self.joins} WHERE {found}{also}"

    def leading(self, path: Path) -> str:
        """The keys by which a path leads to many subjects, with what was found at its end."""
        return f"SELECT * FROM ({path.rows(by_arrays(self.slots), values=True)}) r WHERE {self.bound}"

    @cached_property
    def unattributed(self) -> str | None:
        """How many rows have a number that may be anybody's, up to a limit; ``None``: no column is so derived."""
        lost = " OR ".join(self._lost(raw) for raw in dict.fromkeys(c.of for c in self.table.columns.values() if c.of))
        lost = f"(({lost}){self.theirs})" if lost else ""
        if self.table.tenant and self.tenant is None:
            lost = " OR ".join(filter(None, (lost, self._nobodys)))
        return f"SELECT count(*) FROM (SELECT 1 FROM {self.source} t WHERE {lost} LIMIT $1) x" if lost else None

    @property
    def _nobodys(self) -> str:
        """That it is declared of nobody, neither of us nor of a tenant: by an index, what lies between those known."""
        known = sorted({value for values in self.tenancy.values.values() for value in values}, key=str.encode)
        owner, ends = f'({self.owner} COLLATE "C")', ["", *map(literal, known), ""]
        above, below = f"{owner} > ", f"{owner} < "
        between = (" AND ".join([above + a] * bool(a) + [below + b] * bool(b)) for a, b in pairwise(ends))
        return " OR ".join([f"{owner} IS NULL", *(f"({each})" for each in between)])

    def _lost(self, raw: str) -> str:
        """That a column has a value, and nothing that is derived from it has."""
        derived = {name: column for name, column in self.table.columns.items() if column.of == raw}
        party = next(iter(derived.values())).party
        values = ", ".join(map(literal, self.table.parties[party].nobody if party else ("",)))
        none, held = " AND ".join(f"t.{quoted(name)} IS NULL" for name in derived), f"t.{quoted(raw)}"
        return f"({none} AND {held} IS NOT NULL AND {held}::text NOT IN ({values or 'NULL'}))"

    # What is read of a row, and what is written into it: columns, and parts of the documents in them.

    def shown(self, columns: Iterable[str]) -> str:
        """What is asked for of a row, before what finds it."""
        named = ((c, f" AS {quoted(c)}" if self.table.columns[c].json_ else "") for c in columns)
        return "".join(f"{self.read(c)}{name}, " for c, name in named)

    def assigned(self, changes: Iterable[tuple[Mapping[str, str], str | None]]) -> str:
        """The assignments of these changes, each of some columns, in some rows or in all."""
        held: dict[str, str] = {}
        for values, rows in changes:
            fresh = dict(held)
            for name, value in values.items():
                document = self.table.columns[name].json_
                if document is None:
                    fresh[name] = value
                elif document not in values:
                    before = fresh.get(document, f"t.{quoted(document)}")
                    after = changed(f"({before})::jsonb", name, self.table.columns[name], f"{value}::text")
                    fresh[document] = f"{after}::{self.relation.types[document]}"
            for name, value in fresh.items():
                before = held.get(name, f"t.{quoted(name)}")
                if value != before:
                    held[name] = value if rows is None else f"CASE WHEN {rows} THEN {value} ELSE {before} END"
        return ", ".join(f"{quoted(name)} = {value}" for name, value in held.items())

    # What follows blanks one party of a row and leaves the other's record (REQ-R5).

    def _nobody(self, party: str) -> str:
        """That nobody is left as this party; said so that no index answers it: that reads all that was blanked."""
        values = [literal(value) for value in self.table.parties[party].nobody]
        names = [n for n, c in self.table.fields_of(party).items() if c.personal == "A"]
        if not values:
            return " AND ".join(f"num_nulls({self.read(n)}) = 1" for n in names)
        return " AND ".join(f"coalesce({self.read(n)}::text, {values[0]}) IN ({', '.join(values)})" for n in names)

    def _alone(self, party: str) -> str:
        return " AND ".join(self._nobody(other) for other in self.table.parties if other != party)

    def _blanked(self, party: str | None) -> Mapping[str, str]:
        if self.emptied_to is not None:
            return self.emptied_to
        return {name: literal(column.blank) for name, column in self.table.fields_of(party).items()}

    @cached_property
    def blank(self) -> tuple[str, ...]:
        """Party by party: delete where nobody else is left, blank where somebody is."""
        parties = ((party, self.columns_of(party)) for party in self.table.parties or (None,))
        found = ((party, self.any_of(columns)) for party, columns in parties if columns)
        return tuple(statement for party, rows in found for statement in self.blanking(party, rows))

    def blanking(self, party: str | None, found: str) -> Sequence[str]:
        """What deletes the rows of a party in which nobody else is left, and blanks it in the others."""
        if party is None:  # the row is about one person, and is kept without them
            return [f"UPDATE {self.source} t SET {self.assigned([(self._blanked(party), None)])} WHERE {found}"]
        alone, blanked = self._alone(party), self.assigned([(self._blanked(party), None)])
        return [
            f"DELETE FROM {self.source} t WHERE ({found}) AND ({alone})",
            f"UPDATE {self.source} t SET {blanked} WHERE ({found}) AND NOT ({alone})",
        ]

    @cached_property
    def among(self) -> str:
        """The rows with some primary keys, which are given column by column."""
        keys = [(quoted(c), self.relation.types[c]) for c in self.table.primary_key]
        each = " AND ".join(f"t.{name} = ANY(${i + 1}::{type_}[])" for i, (name, type_) in enumerate(keys))
        if len(keys) == 1:
            return each
        given = ", ".join(f"${i + 1}::{type_}[]" for i, (_, type_) in enumerate(keys))
        return f"{each} AND ({', '.join(f't.{name}' for name, _ in keys)}) IN (SELECT * FROM unnest({given}))"

    # What follows is bounded by the periods of one task's numbers, so it is exact by itself.

    def erase_one(self, keys: Sequence[SearchKey]) -> list[Call]:
        """Delete (or blank) one subject; the number of rows touched is the number of rows found."""
        first = Condition()
        everything = self.mine(keys, first)
        if self.table.erase == "delete":
            return [(f"DELETE FROM {self.source} t WHERE {everything}", *first.arguments)]
        if not self.table.parties:
            return [
                (
                    f"UPDATE {self.source} t SET {self.assigned([(self._blanked(None), None)])} WHERE {everything}",
                    *first.arguments,
                )
            ]
        left = " AND ".join(
            f"({self._nobody(party)} OR {self.mine(keys, first, self.columns_of(party))})"
            for party in self.table.parties
        )
        statements: list[Call] = [(f"DELETE FROM {self.source} t WHERE ({everything}) AND {left}", *first.arguments)]
        second = Condition()  # one statement for all parties, so that who is two of them in a row is one row
        whose = {
            party: self.mine(keys, second, columns)
            for party in self.table.parties
            if (columns := self.columns_of(party))
        }
        blanked = self.assigned((self._blanked(party), rows) for party, rows in whose.items())
        update = f"UPDATE {self.source} t SET {blanked} WHERE {' OR '.join(whose.values())}"
        return [*statements, (update, *second.arguments)]

    def count_one(self, keys: Sequence[SearchKey]) -> Call:
        """How many rows are the subject's, from when to when, and how many of them say no time."""
        condition = Condition()
        rows = self.mine(keys, condition)
        times = f"min({self.moment}), max({self.moment}), count(*) FILTER (WHERE {self.moment} IS NULL)"
        return f"SELECT count(*) AS n, {times} FROM {self.source} t WHERE {rows}", *condition.arguments
