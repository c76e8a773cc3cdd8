"""What stays of a SQL store for as long as something lasts: all rows of a table of a category, or those in a state.

A legal hold (Art. 17(3)(e)), or a state by which a rule of the policy keeps: a contract is active, a bill is disputed.
What another table or system tells of the person keeps all rows; where the rows of a table say it themselves, those stay
that do.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property

from shared.domain.holds import LEGAL_HOLD
from shared.domain.operations import Kept
from shared.domain.policy import Policy, Rule
from shared.downstreams.contract import Task
from shared.downstreams.sql.keeping.counting import Rows
from shared.downstreams.sql.statements import Statements
from shared.downstreams.sql.store import Session


@dataclass(frozen=True)
class Held:
    """A table of which something stays; it ends with the hold or the state, on a day that nobody knows.

    ``name``: by which rule; ``known``: that its state lasts; else no system could say, and somebody must look before
    anything goes. ``columns``: what is left of a row, where the rule names its fields, besides what finds it.
    ``area``: of which of its rows, as a condition that is never NULL; empty: of all. ``partly``: by the law of one
    country, so that others that are in the state are not kept. ``shown``: as of ``Ruled``.
    """

    table: Statements
    today: date
    name: str = LEGAL_HOLD
    rule: Rule | None = None
    known: bool = True
    columns: frozenset[str] = frozenset()
    area: str = ""
    partly: bool = False
    shown: bool | None = None

    @property
    def in_force(self) -> bool:
        """Whether its rule keeps anything: somebody has signed it."""
        return self.rule is not None and self.rule.signed(self.today)

    @property
    def past(self) -> str:
        """That a row is past its day: none of it is."""
        return f" AND NOT {self.area}" if self.area else " AND false"

    @property
    def stays(self) -> str:
        """That a row stays."""
        return self.area or "true"

    @property
    def whole(self) -> bool:
        """Whether its rows stay as they are, in use."""
        return self.rule is None or not self.rule.fields

    @property
    def kept_columns(self) -> frozenset[str]:
        """What is left of a row, besides what finds it."""
        return self.columns

    @cached_property
    def within(self) -> Statements:
        return replace(self.table, also=f"{self.table.also} AND {self.stays}") if self.area else self.table

    def kept(self, rows: Rows) -> Kept:
        """What is told of them."""
        return Kept(category=self.table.table.category, rule=self.name, count=rows.count, shown=self.shown)


def held(session: Session, categories: Collection[str], today: date) -> Sequence[Held]:
    """The tables of one of these categories, which legal holds cover."""
    return [Held(table, today) for table in session.tables if table.table.category in categories]


def covered_while(session: Session, policy: Policy, task: Task) -> frozenset[tuple[str, str]]:
    """The tables that legal holds cover, each with the states by which a rule would keep its rows: they stay anyway."""
    covered = (table for table in session.tables if table.table.category in task.held)
    return frozenset((table.name, state) for table in covered for state in policy.lasting(table.table.category))


def kept_while(rules: Iterable[object], *, signed: bool) -> frozenset[tuple[str, str]]:
    """The tables of which a rule keeps all rows that are in a state, which lasts now, each with that state.

    ``signed``: only where the rule is in force; else also what somebody has yet to decide about.
    """
    lasting = (each for each in rules if isinstance(each, Held) and each.known and each.rule and not each.partly)
    return frozenset(
        (each.table.name, each.rule.lasts_while)
        for each in lasting
        if each.rule and each.rule.lasts_while and (each.rule.signed(each.today) or not signed)
    )
