"""How many business days an answer takes on average, by right and by system, as the privacy notice counts them.

Business days are those of the controller's calendar, in its zone. The day of receipt is not counted, that of the answer
is (Reg. 1182/71, Art. 3(1)): what is answered on the day on which it came took none.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime

from shared.domain.time_limit_policy import Commitment
from shared.domain.working_days import Calendar, calendar
from shared.runtime.metrics import Mean
from shared.storage.postgres import Connection

_ANSWERED = "responded_at > $1 AND role = 'controller' AND outcome NOT IN ('withdrawn', 'forwarded')"
_DAYS = "(received_at AT TIME ZONE $2)::date, (responded_at AT TIME ZONE $2)::date"
_BY_RIGHT = f"""
SELECT "right", {_DAYS}, count(*) FROM request WHERE {_ANSWERED} GROUP BY 1, 2, 3
"""  # noqa: S608  # constants
_BY_SYSTEM = f"""
SELECT system, {_DAYS}, count(*)
FROM request, LATERAL (SELECT DISTINCT each ->> 'system' AS system FROM jsonb_array_elements(tasks) AS each) AS theirs
WHERE {_ANSWERED} GROUP BY 1, 2, 3
"""  # noqa: S608  # constants


@dataclass(frozen=True, slots=True)
class ResponseDays:
    """The means by right, and by system of all requests in which it had a part."""

    by_right: Mapping[str, Mean]
    by_system: Mapping[str, Mean]


async def read(connection: Connection, since: datetime, commitment: Commitment) -> ResponseDays:
    """The means of what was answered since then."""
    days = calendar(commitment.staff_calendar)
    by_right = await connection.fetch(_BY_RIGHT, since, commitment.controller_zone)
    by_system = await connection.fetch(_BY_SYSTEM, since, commitment.controller_zone)
    return ResponseDays(means(map(tuple, by_right), days), means(map(tuple, by_system), days))


def means(rows: Iterable[tuple[str, date, date, int]], days: Calendar) -> Mapping[str, Mean]:
    """The mean of each group, of rows of it that came and were answered on the same days; pure."""
    taken: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for group, received, responded, number in rows:
        taken[group][0] += number
        taken[group][1] += number * days.working_days_between(received, responded)
    return {group: Mean(cases, total / cases) for group, (cases, total) in taken.items()}
