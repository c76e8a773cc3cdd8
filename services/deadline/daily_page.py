"""The daily page: while requests are nearly due or overdue, a ticket each day says which; nobody's data."""

from datetime import date, datetime, time, timedelta
from uuid import NAMESPACE_URL, UUID, uuid5
from zoneinfo import ZoneInfo

from pydantic import JsonValue

from shared.domain.operations import Operation
from shared.domain.rights import Right
from shared.domain.time_limit_policy import Milestones
from shared.fulfilment import store as fulfilment
from shared.fulfilment.store import NewFulfilment
from shared.messaging.unit_of_work import UnitOfWork

LISTED = 100
"""So many requests stand in one page, the longest due first; the others are counted."""

_SENT = "SELECT EXISTS (SELECT FROM daily_page WHERE day = $1)"
_CLAIM = "INSERT INTO daily_page (day, opened_at) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING day"

# By right, as the index of what is open is ordered; and by instants first, since days are not in it.
NEAREST = """
SELECT request_id, due_on, due_at <= $4 AS overdue
FROM unnest($1::text[]) AS r (name) CROSS JOIN LATERAL (
    SELECT request_id, due_on, due_at FROM clock
    WHERE responded_at IS NULL AND "right" = r.name AND due_at <= $2 AND due_on <= $3 ORDER BY due_at LIMIT $5
) nearest ORDER BY due_at, request_id LIMIT $5
"""
NUMBER = """
SELECT count(*) FROM clock WHERE responded_at IS NULL AND "right" = ANY($1) AND due_at <= $2 AND due_on <= $3
"""


async def write(tx: UnitOfWork, zone: ZoneInfo, hour: int, rules: Milestones) -> bool:
    """Opens the page of this day if it has anything to say and was not opened; after downtime today's alone."""
    local = tx.now.astimezone(zone)
    day = local.date()
    if local.hour < hour or not tx.plans[Operation.ESCALATE] or await tx.connection.fetchval(_SENT, day):
        return False
    last = day + timedelta(days=rules.daily_page_days)
    # Whatever is due by the last day ends by its midnight here, since the controller's zone is one of every request's.
    given = (list(Right), datetime.combine(last + timedelta(days=1), time(), zone), last)
    rows = await tx.connection.fetch(NEAREST, *given, tx.now, LISTED)
    if not rows or await tx.connection.fetchval(_CLAIM, day, tx.now) is None:
        return False
    lines: list[JsonValue] = [_line(*row) for row in rows]
    if len(rows) == LISTED and (more := await tx.connection.fetchval(NUMBER, *given) - LISTED):
        lines.append(f"and {more} more")
    about = reference(day)
    details: dict[str, JsonValue] = {"level": "daily_page", "lines": lines, "escalate_to": [*rules.daily_page_to]}
    # A task names a right; a page is about all of them.
    await fulfilment.open_all(tx, [NewFulfilment(about, about, Right.ACCESS, Operation.ESCALATE, day, details)])
    return True


def reference(day: date) -> UUID:
    """What stands for the page of a day where a request's id would: its ticket and its evidence are found by it."""
    return uuid5(NAMESPACE_URL, f"urn:dsr:daily-page:{day.isoformat()}")


def _line(request_id: UUID, due_on: date, overdue: bool) -> str:  # noqa: FBT001
    return f"{request_id}: {'was due on' if overdue else 'due on'} {due_on.isoformat()}"
