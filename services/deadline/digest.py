"""The daily digest for the privacy team: how many requests are open, due soon and overdue, by right; nobody's data."""

from collections.abc import Sequence
from datetime import date, timedelta
from uuid import NAMESPACE_URL, UUID, uuid5
from zoneinfo import ZoneInfo

from shared.domain.operations import Operation
from shared.domain.rights import Right
from shared.fulfilment import store as fulfilment
from shared.fulfilment.store import NewFulfilment
from shared.messaging.unit_of_work import UnitOfWork

SOON = timedelta(days=7)

_CLAIM = "INSERT INTO digest (day, opened_at) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING day"
COUNTS = """
SELECT "right", count(*) AS open, count(*) FILTER (WHERE due_at > $1 AND due_at <= $2) AS soon,
       count(*) FILTER (WHERE due_at <= $1) AS overdue
FROM clock WHERE responded_at IS NULL GROUP BY "right" ORDER BY "right"
"""


async def write(tx: UnitOfWork, zone: ZoneInfo, hour: int) -> bool:
    """Opens the digest of this day unless it was opened or the hour has not come; after downtime today's alone."""
    local = tx.now.astimezone(zone)
    if local.hour < hour or not tx.plans[Operation.ESCALATE]:
        return False
    day = local.date()
    if await tx.connection.fetchval(_CLAIM, day, tx.now) is None:
        return False
    counted = {row[0]: tuple(row)[1:] for row in await tx.connection.fetch(COUNTS, tx.now, tx.now + SOON)}
    rows = [(right, *counted.get(right, (0, 0, 0))) for right in Right]
    lines = [_line(name, *counts) for name, *counts in [*rows, ("all", *map(sum, zip(*_counts(rows), strict=True)))]]
    about = reference(day)
    # A task names a right; a digest is about all of them.
    new_fulfilment = NewFulfilment(
        about, about, Right.ACCESS, Operation.ESCALATE, day, {"level": "digest", "lines": [*lines]}
    )
    await fulfilment.open_all(tx, [new_fulfilment])
    return True


def reference(day: date) -> UUID:
    """What stands for the digest of a day where a request's id would: its ticket and its evidence are found by it."""
    return uuid5(NAMESPACE_URL, f"urn:dsr:digest:{day.isoformat()}")


def _counts(rows: Sequence[tuple[Right, int, int, int]]) -> list[tuple[int, int, int]]:
    return [row[1:] for row in rows]


def _line(name: str, still_open: int, soon: int, overdue: int) -> str:
    return f"{name}: {still_open} open, {soon} due in {SOON.days} days, {overdue} overdue"
