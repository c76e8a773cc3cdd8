"""What a legal hold covers of a SQL store stays as it is (Art. 17(3)(e)): all rows of the tables of its categories."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from typing import TYPE_CHECKING

from shared.domain.holds import LEGAL_HOLD
from shared.domain.operations import Kept
from shared.downstreams.sql.statements import Statements
from shared.downstreams.sql.store import Session

if TYPE_CHECKING:
    from shared.downstreams.sql.keeping.rules import Rows


@dataclass(frozen=True)
class Held:
    """A table of which a hold covers everything; it ends with the hold, on a day that nobody knows."""

    table: Statements
    today: date
    whole: bool = True

    past = " AND false"
    """That nothing of it is past its day."""
    stays = "true"
    kept_columns: frozenset[str] = frozenset()

    @cached_property
    def within(self) -> Statements:
        return replace(self.table)

    def kept(self, rows: "Rows") -> Kept:
        """What is told of them."""
        return Kept(category=self.table.table.category, rule=LEGAL_HOLD, count=rows.count)


def held(session: Session, categories: Collection[str], today: date) -> Sequence[Held]:
    """The tables that hold one of these categories."""
    return [Held(table, today) for table in session.tables if table.table.category in categories]
