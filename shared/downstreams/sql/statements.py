"""The statements of one declared table; every name is quoted, every value is a parameter.

Rows are always found by ``= ANY`` on an indexed column: joining the values instead turns into a hash join over the
whole table once there are many. The values are joined only afterwards, to what was found, to tell whose it was.
"""

# ruff: noqa: S608 - names are quoted, and what comes from a request is a parameter

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from itertools import pairwise
from typing import Any

from shared.domain.identities import IdentityType
from shared.downstreams.contract import Task
from shared.downstreams.sql.catalog import Relation
from shared.downstreams.sql.dataset import Table
from shared.downstreams.sql.quoting import Condition, literal, quoted
from shared.downstreams.sql.search_keys import SearchKey, Wanted, keys_of, wanted
from shared.downstreams.sql.tenancy import Tenancy

Call = tuple[Any, ...]
"""A statement and its arguments, as the driver's methods take them."""


@dataclass(frozen=True)
class Statements:
    """Everything that is said to PostgreSQL about one table."""

    namespace: str
    name: str
    table: Table
    relation: Relation
    tenancy: Tenancy = field(default_factory=Tenancy)
    tenant: str | None = None
    """The customer of ours whose rows alone they are about; None: our own alone."""

    def keys(self, task: Task) -> tuple[SearchKey, ...]:
        """What finds the rows of one task here."""
        return keys_of(task, self.table, self.relation)

    def wanted(self, tasks: Iterable[Task]) -> Wanted:
        """What finds the rows of many tasks here."""
        return wanted(map(self.keys, tasks), self.table)

    @cached_property
    def source(self) -> str:
        return f"{quoted(self.namespace)}.{quoted(self.name)}"

    @cached_property
    def search(self) -> tuple[str, ...]:
        return tuple(self.table.searched)

    def expression(self, column: str) -> str:
        """What is compared with an identity; an index must be on exactly this."""
        declared, plain = self.table.columns[column], f"t.{quoted(column)}"
        if declared.domain:
            plain = f"('sip:' || {plain} || '@' || lower(t.{quoted(declared.domain)}))"
        match declared.match:
            case "lower":
                return f"lower({plain})"
            case "trimmed":
                return f"lower(btrim({plain}))"
            case "digits":
                return f"regexp_replace({plain}, '[^0-9+]', '', 'g')"
            case "exact":
                return plain

    def _seen(self, column: str) -> str:
        """What was found, as text in the spelling of identities: an address is one in any case, as citext has it."""
        any_case = self.relation.types[column] == "citext" and self.table.columns[column].identity is IdentityType.EMAIL
        return f"lower({self.expression(column)}::text)" if any_case else f"{self.expression(column)}::text"

    def _values(self, column: str) -> str:
        """The parameter with the values of its identity type."""
        identity = self.table.columns[column].identity
        return f"${self.table.types.index(identity) + 1}::text[]" if identity else ""

    def _cast(self, column: str, of: str = "") -> str:
        declared = self.table.columns[column]
        as_text = self.relation.is_text(column) or declared.match != "exact" or declared.domain
        return "" if as_text else f"::{self.relation.types[column]}{of}"

    def any_of(self, columns: Iterable[str] | None = None) -> str:
        """One array of values per identity type of the table finds the rows of many subjects."""
        searched = self.search if columns is None else columns
        found = " OR ".join(f"{self.expression(c)} = ANY({self._values(c)}{self._cast(c, '[]')})" for c in searched)
        return f"(({found}){self._theirs})"

    @cached_property
    def _theirs(self) -> str:
        """That a row is the tenant's, or ours: part of every condition by which anybody is found."""
        if self.table.tenant is None:
            return ""
        return f" AND {self._owner} IN ({', '.join(map(literal, self.tenancy.values[self.tenant]))})"

    @property
    def _owner(self) -> str:
        return f"lower(t.{quoted(self.table.tenant or '')}::text)"

    @cached_property
    def _bound(self) -> str:
        """True, and mentions every parameter: of one that a statement leaves out PostgreSQL cannot tell the type."""
        return " AND ".join(f"${i + 1}::text[] IS NOT NULL" for i, _ in enumerate(self.table.types))

    @cached_property
    def _moment(self) -> str:
        return f"t.{quoted(self.table.occurred.column)}" if self.table.occurred else "NULL::timestamptz"

    @cached_property
    def _found(self) -> str:
        values = (f"{self._seen(c)} AS dsr_s{i}" for i, c in enumerate(self.search))
        return f"{', '.join(values)}, {self._moment} AS dsr_at"

    def _grouped(self, rows: str) -> str:
        values = enumerate(map(self._values, self.search))
        joins = "".join(f" LEFT JOIN unnest({own}) k{i}(v) ON k{i}.v = f.dsr_s{i}" for i, own in values)
        groups = ", ".join(f"k{i}.v" for i, _ in enumerate(self.search))
        by = ", ".join(str(i + 1) for i, _ in enumerate(self.search))
        return f"SELECT {groups}, count(*) AS n, min(f.dsr_at), max(f.dsr_at) FROM {rows} f{joins} GROUP BY {by}"

    @cached_property
    def count(self) -> str:
        """Rows by whom they belong to, with the first and the last time."""
        return self._grouped(f"(SELECT {self._found} FROM {self.source} t WHERE {self.any_of()})")

    @cached_property
    def delete(self) -> str:
        """Delete what is found, and tell by whom it belonged to."""
        gone = f"DELETE FROM {self.source} t WHERE {self.any_of()} RETURNING {self._found}"
        return f"WITH gone AS ({gone}) {self._grouped('gone')}"

    @cached_property
    def foreign(self) -> tuple[str, ...]:
        """For each column where ``=`` finds more than the same bytes: which values found something else."""
        return tuple(self._foreign(c) for c in self.search if c in self.relation.loose)

    def _foreign(self, column: str) -> str:
        expression = self.expression(column)
        return (
            f"SELECT DISTINCT k.v FROM unnest({self._values(column)}) k(v) "
            f"JOIN {self.source} t ON {expression} = k.v{self._cast(column)} "
            f'WHERE {self.any_of([column])} AND {self._bound} AND {self._seen(column)} COLLATE "C" <> k.v'
        )

    def select(self, columns: Sequence[str], by: Sequence[str] | None = None) -> str:
        """The rows of many subjects, found ``by`` all columns or these: what is asked for, what finds, and when."""
        shown = "".join(f"t.{quoted(c)}, " for c in columns)
        found = self.any_of() if by is None else f"({self.any_of(by)}) AND {self._bound}"
        return f"SELECT {shown}{self._found} FROM {self.source} t WHERE {found}"

    @cached_property
    def unattributed(self) -> str | None:
        """How many rows have a number that may be anybody's, up to a limit; ``None``: no column is so derived."""
        lost = " OR ".join(self._lost(raw) for raw in dict.fromkeys(c.of for c in self.table.columns.values() if c.of))
        lost = f"(({lost}){self._theirs})" if lost else ""
        if self.table.tenant and self.tenant is None:
            lost = " OR ".join(filter(None, (lost, self._nobodys)))
        return f"SELECT count(*) FROM (SELECT 1 FROM {self.source} t WHERE {lost} LIMIT $1) x" if lost else None

    @property
    def _nobodys(self) -> str:
        """That it is declared of nobody, neither of us nor of a tenant: by an index, what lies between those known."""
        known = sorted({value for values in self.tenancy.values.values() for value in values}, key=str.encode)
        owner, ends = f'({self._owner} COLLATE "C")', ["", *map(literal, known), ""]
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

    # What follows blanks one party of a row and leaves the other's record (REQ-R5).

    def _nobody(self, party: str) -> str:
        values = ", ".join(literal(v) for v in self.table.parties[party].nobody) or "NULL"
        names = [n for n, c in self.table.fields_of(party).items() if c.personal == "A"]
        return " AND ".join(f"(t.{quoted(n)} IS NULL OR t.{quoted(n)}::text IN ({values}))" for n in names)

    def _alone(self, party: str) -> str:
        return " AND ".join(self._nobody(other) for other in self.table.parties if other != party)

    def columns_of(self, party: str) -> tuple[str, ...]:
        """By which columns a party is found."""
        return tuple(c for c in self.search if self.table.columns[c].party == party)

    def _blanked(self, party: str) -> str:
        fields = self.table.fields_of(party).items()
        return ", ".join(f"{quoted(name)} = {literal(column.blank)}" for name, column in fields)

    @cached_property
    def blank(self) -> tuple[str, ...]:
        """Party by party: delete where nobody else is left, blank where somebody is."""
        statements = []
        for party in self.table.parties:
            if columns := self.columns_of(party):
                found, alone = f"({self.any_of(columns)}) AND {self._bound}", self._alone(party)
                statements += [
                    f"DELETE FROM {self.source} t WHERE ({found}) AND ({alone})",
                    f"UPDATE {self.source} t SET {self._blanked(party)} WHERE ({found}) AND NOT ({alone})",
                ]
        return tuple(statements)

    # What follows is bounded by the periods of one task's numbers, so it is exact by itself.

    def mine(self, keys: Sequence[SearchKey], condition: Condition, columns: Iterable[str] | None = None) -> str:
        """The rows of one subject, each number in its own period."""
        arms: dict[tuple[IdentityType, datetime | None, datetime | None, tuple[str, ...] | None], list[str]] = {}
        for key in keys:
            arms.setdefault((key.type, key.since, key.until, key.names), []).append(key.value)
        parts = []
        for (type_, since, until, names), values in arms.items():
            array = condition.place(values, "text[]")
            bounds = self._bounds(since, until, condition)
            parts += [
                f"({self.expression(column)} = ANY({array}{self._cast(column, '[]')}){bounds}"
                f"{self._named(column, names, condition)})"
                for column in (self.search if columns is None else columns)
                if self.table.columns[column].identity is type_ and (names is None or self.table.columns[column].former)
            ]
        return f"(({' OR '.join(parts)}){self._theirs})" if parts else "false"

    def _bounds(self, since: datetime | None, until: datetime | None, condition: Condition) -> str:
        if self.table.occurred is None:
            return ""
        type_ = self.relation.types[self.table.occurred.column]
        lower = f" AND {self._moment} >= {condition.place(since, type_)}" if since is not None else ""
        upper = f" AND {self._moment} < {condition.place(until, type_)}" if until is not None else ""
        return lower + upper

    def _holds(self, column: str, type_: IdentityType, names: Sequence[str] | None) -> bool:
        declared = self.table.columns[column]
        return declared.identity is type_ and (names is None or declared.former is not None)

    def _named(self, column: str, names: Sequence[str] | None, condition: Condition) -> str:
        if names is None:
            return ""
        held = f"lower(btrim(t.{quoted(self.table.columns[column].former or column)}::text))"
        return f" AND coalesce({held} = ANY({condition.place(list(names), 'text[]')}), false)"

    def select_former(self, keys: Sequence[SearchKey], columns: Sequence[str]) -> Call:
        """The rows that only a former address of one subject and their name find, as ``select`` gives them."""
        condition = Condition()
        own = self.mine([key for key in keys if key.names is None], condition)
        former = self.mine([key for key in keys if key.names is not None], condition)
        shown = "".join(f"t.{quoted(c)}, " for c in columns)
        found = f"({former}) AND ({own}) IS NOT TRUE"
        return f"SELECT {shown}{self._found} FROM {self.source} t WHERE {found}", *condition.arguments

    def count_doubtful(self, keys: Sequence[SearchKey]) -> Call:
        """How many rows hold a former address of one subject, and nothing else of theirs."""
        condition = Condition()
        theirs = self.mine(keys, condition)
        formers = {key.value for key in keys if key.names is not None}
        array = condition.place(sorted(formers), "text[]")
        columns = (c for c in self.search if self.table.columns[c].former)
        held = " OR ".join(f"{self.expression(c)} = ANY({array}{self._cast(c, '[]')})" for c in columns)
        return (
            f"SELECT count(*) FROM {self.source} t WHERE ({held}){self._theirs} AND ({theirs}) IS NOT TRUE",
            *condition.arguments,
        )

    def erase_one(self, keys: Sequence[SearchKey]) -> list[Call]:
        """Delete (or blank) one subject; the number of rows touched is the number of rows found."""
        first = Condition()
        everything = self.mine(keys, first)
        if self.table.erase == "delete":
            return [(f"DELETE FROM {self.source} t WHERE {everything}", *first.arguments)]
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
        blanked = (
            f"{quoted(name)} = CASE WHEN {rows} THEN {literal(column.blank)} ELSE t.{quoted(name)} END"
            for party, rows in whose.items()
            for name, column in self.table.fields_of(party).items()
        )
        update = f"UPDATE {self.source} t SET {', '.join(blanked)} WHERE {' OR '.join(whose.values())}"
        return [*statements, (update, *second.arguments)]

    def count_one(self, keys: Sequence[SearchKey], by: Iterable[str] | None = None) -> Call:
        """How many rows are the subject's, found ``by`` some columns or all, from when to when."""
        condition = Condition()
        rows = self.mine(keys, condition, by)
        times = f"min({self._moment}), max({self._moment})"
        return f"SELECT count(*) AS n, {times} FROM {self.source} t WHERE {rows}", *condition.arguments
