"""Which rows of a table are due, as SQL: by age, ours, in no state that refuses, spared and referred to by nobody."""

# ruff: noqa: S608 - names are quoted, and every value a parameter

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from functools import cached_property

from shared.downstreams.sql.catalog import DatasetOutdated
from shared.downstreams.sql.declaration.declared import Occurred
from shared.downstreams.sql.finding.jurisdiction import under, undetermined
from shared.downstreams.sql.finding.paths import holds, untold
from shared.downstreams.sql.finding.search_keys import ZONELESS, wall_clock
from shared.downstreams.sql.quoting import Condition, quoted
from shared.downstreams.sql.references import Reference
from shared.downstreams.sql.statements import Call, Statements
from shared.downstreams.sql.sweeping.anonymous import changes
from shared.downstreams.sweepable import Due

Moment = date | datetime
Key = tuple[object, ...]
_TYPES = frozenset({"date", "timestamp with time zone", ZONELESS})


@dataclass(frozen=True)
class DueRows:
    """The rows of one table that are past a ceiling; ``tied_by``: foreign keys of others that hold a row."""

    table: Statements
    due: Due
    tied_by: Sequence[Reference] = ()
    spared: Collection[Key] = field(default=())

    def sparing(self, keys: Collection[Key]) -> "DueRows":
        """The same without the rows that have these primary keys."""
        return replace(self, spared=keys)

    @cached_property
    def anchor(self) -> Occurred:
        """The column from which the period counts."""
        return self.table.table.anchors[self.due.anchor]

    @cached_property
    def type(self) -> str:
        """The type of that column; raises ``DatasetOutdated`` where it holds no day and no instant."""
        type_ = self.table.relation.types[self.anchor.column]
        if type_ not in _TYPES:
            raise DatasetOutdated(
                f"{self.table.name}: anchor {self.due.anchor} names {self.anchor.column}, which holds no date and no"
                f" timestamp ({type_}): name a column that does"
            )
        return type_

    @cached_property
    def before(self) -> Moment:
        """Where the rows end that are due, in the column's own terms: exclusive."""
        if self.type == "date":
            return self.due.first_kept
        midnight = datetime.combine(self.due.first_kept, datetime.min.time(), self.due.zone)
        return (
            wall_clock(midnight, self.anchor.timezone, earliest=True)
            if self.type == ZONELESS
            else midnight.astimezone(UTC)
        )

    @property
    def moment(self) -> str:
        """The anchor of a row."""
        return f"t.{quoted(self.anchor.column)}"

    @cached_property
    def waiting(self) -> str:
        """That something is to be done to a row of that age: it is ours, in use no more, and has its people in it."""
        anonymise = self.table.table.anonymise
        undone = f" AND {changes(self.table, anonymise)}" if self.due.then == "anonymise" and anonymise else ""
        in_use = f" AND NOT {self._in_use}" if self._in_use else ""
        return f"true{self.table.theirs}{self._concerned}{in_use}{undone}"

    @property
    def _concerned(self) -> str:
        """That a row is under the law whose ceiling it is, as a condition that goes on."""
        return f" AND {under(self.table, self.due.country)}" if self.due.country else ""

    @property
    def _in_use(self) -> str:
        """That a row is in a state in which an erasure is refused, or may be; empty where the dataset declares none."""
        declared = self.table.table.refuse_when
        either = (each for state in declared for each in (holds(state, "t"), untold(state, "t")))
        states = " OR ".join(filter(None, either))
        return f"({states})" if states else ""

    def window(self, condition: Condition, since: Moment | None, until: Moment) -> str:
        """The rows from ``since`` (without one, from the first) to before ``until`` that go now."""
        ends = f"{self.moment} < {condition.place(until, self.type)}"
        begins = "" if since is None else f" AND {self.moment} >= {condition.place(since, self.type)}"
        tied = "" if self.due.then == "anonymise" else "".join(f" AND NOT {_tie(key)}" for key in self.tied_by)
        return f"{ends}{begins} AND {self.waiting}{self._unspared(condition)}{tied}"

    def _unspared(self, condition: Condition) -> str:
        if not self.spared:
            return ""
        names = self.table.table.primary_key
        arrays = [
            condition.place([key[n] for key in self.spared], f"{self.table.relation.types[name]}[]")
            for n, name in enumerate(names)
        ]
        same = " AND ".join(f"s.k{n} = t.{quoted(name)}" for n, name in enumerate(names))
        columns = ", ".join(f"k{n}" for n, _ in enumerate(names))
        return f" AND NOT EXISTS (SELECT FROM unnest({', '.join(arrays)}) s({columns}) WHERE {same})"

    def count(self) -> Call:
        """How many rows are due, those among them to which others refer."""
        condition = Condition()
        due = f"{self.moment} < {condition.place(self.before, self.type)} AND {self.waiting}{self._unspared(condition)}"
        return f"SELECT count(*) FROM {self.table.source} t WHERE {due}", *condition.arguments

    def in_use(self) -> Call | None:
        """How many rows of that age stay because of their state; None: no state is declared."""
        if not self._in_use:
            return None
        return self._of_that_age(f"{self._concerned} AND {self._in_use}")

    def undetermined(self) -> Call | None:
        """How many rows of that age stay since they may be under another law; None: it is a ceiling for everybody."""
        return self._of_that_age(f" AND {undetermined(self.table)}") if self.due.country else None

    def _of_that_age(self, also: str) -> Call:
        condition = Condition()
        old = f"{self.moment} < {condition.place(self.before, self.type)}{self.table.theirs}{self._unspared(condition)}"
        return f"SELECT count(*) FROM {self.table.source} t WHERE {old}{also}", *condition.arguments

    def first(self) -> Call:
        """The anchor of the first row that goes now."""
        condition = Condition()
        rows = self.window(condition, None, self.before)
        return f"SELECT min({self.moment}) FROM {self.table.source} t WHERE {rows}", *condition.arguments

    def delete(self, since: Moment | None, until: Moment) -> Call:
        """Deletes the rows of a time that go now."""
        condition = Condition()
        rows = self.window(condition, since, until)
        return f"DELETE FROM {self.table.source} t WHERE {rows}", *condition.arguments


def _tie(key: Reference) -> str:
    """That a row is still referred to."""
    same = " AND ".join(f"c.{quoted(a)} = t.{quoted(b)}" for a, b in zip(key.columns, key.to, strict=True))
    return f"EXISTS (SELECT FROM {key.source} c WHERE {same})"
