"""Which rows a rule alone keeps in face of an erasure: an access shows them, and nobody takes them elsewhere (Art. 20).

What is processed under a contract is portable, also once that has ended: then people take it with them. What is kept
for a rule alone is not processed under it any more.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from shared.downstreams.sql.finding.attribution import Row
from shared.downstreams.sql.finding.examination import as_utc
from shared.downstreams.sql.finding.search_keys import Wanted
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
