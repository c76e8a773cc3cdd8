"""Which rows a rule alone keeps in face of an erasure: an access shows them, and nobody takes them elsewhere (Art. 20).

Nor are they corrected: a correction would fill again what the erasure has emptied, or change by what they are found on
their last day.

What is processed under a contract is portable, also once that has ended: then people take it with them. What is kept
for a rule alone is not processed under it any more.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from shared.domain.assignments import NUMBERS
from shared.downstreams.sql.finding.attribution import Row
from shared.downstreams.sql.finding.examination import as_utc
from shared.downstreams.sql.finding.search_keys import ZONELESS, Wanted
from shared.downstreams.sql.quoting import literal, quoted
from shared.downstreams.sql.statements import Statements
from shared.downstreams.sql.store import Session

_KEPT = "SELECT number, valid_from, valid_to FROM dsr_platform.kept WHERE system = $1 AND number = ANY($2)"

Spans = Mapping[str, Sequence[tuple[datetime, datetime]]]
"""By number in which times what it finds is kept."""


async def kept_of(session: Session, table: Statements, asked: Wanted) -> Spans:
    """Which rows of a table, found by these values, a rule keeps."""
    spans: dict[str, list[tuple[datetime, datetime]]] = {}
    if table.table.keeps:
        values = [value for array in asked.arrays for value in array]
        for number, since, until in await session.connection.fetch(_KEPT, session.system, values):
            spans.setdefault(number, []).append((since, until))
    return spans


def is_kept(spans: Spans, row: Row, start: int, table: Statements, mine: set[str | None]) -> bool:
    """Whether a rule alone keeps a row for one of these parties; ``start``: where what finds rows begins."""
    switch, at = table.table.kept, row[start + len(table.finders)]
    if switch and row[switch.column] == switch.value:
        return True
    if not spans or at is None:
        return False
    moment = as_utc(at, table.table.timezone)
    values = zip(row[start:], table.finders, strict=False)
    theirs = [value for value, finder in values if value is not None and finder.party in mine]
    return any(since <= moment < until for value in theirs for since, until in spans.get(value, ()))


def marks(system: str, table: Statements) -> str | None:
    """That a row is kept by what was noted of a number, ``{}``, at an erasure; None: nothing of the table is."""
    occurred = table.table.occurred
    if table.table.keeps is None or occurred is None:
        return None
    zoneless = table.relation.types[occurred.column] == ZONELESS
    at = f"({table.moment} AT TIME ZONE {literal(occurred.timezone.key)})" if zoneless else table.moment
    which = f"k.system = {literal(system)} AND k.number = {{}} AND k.valid_from <= {at} AND {at} < k.valid_to"
    return f"EXISTS (SELECT FROM dsr_platform.kept k WHERE {which})"


def left(system: str, table: Statements, party: str | None) -> str:
    """That a row is one that an erasure has left of this party for a rule alone."""
    switch, marked = table.table.kept, marks(system, table)
    says = [f"t.{quoted(switch.column)} IS NOT DISTINCT FROM {literal(switch.word)}"] if switch else []
    columns = (c for c in table.search if table.table.columns[c].identity in NUMBERS) if marked else ()
    theirs = (c for c in columns if table.table.columns[c].party == party)
    return " OR ".join([*says, *(marked.format(table.expression(c)) for c in theirs if marked)]) or "false"
