"""What is listed by a system is found by an index where the system is rare, whether it is open or closed."""

import orjson
import pytest

from services.intake import worklist
from services.intake.request.lifecycle import State
from services.intake.worklist import Filters
from tests.fixtures.intake import Intake

_FILL = """
INSERT INTO request (request_id, subject_ref, "right", channel, key_id, accepted_at, state, received_at, due_on,
                     zones, calendar, closed_at, responded_at, tasks)
SELECT gen_random_uuid(), gen_random_uuid(), 'access', 'api', 'key', now(),
       CASE WHEN n % 2 = 0 THEN 'closed' ELSE 'in_progress' END, now(), current_date + n % 90, 'Europe/Berlin', 'DE',
       CASE WHEN n % 2 = 0 THEN now() - n * interval '1 minute' END, now(),
       jsonb_build_array(jsonb_build_object('system', CASE WHEN n > 19996 THEN 'archive' ELSE 'crm' END, 'found', 1))
FROM generate_series(1, 20000) AS n
"""


@pytest.mark.parametrize("state", [None, State.CLOSED])
async def test_a_page_of_a_rare_system_reads_the_rows_that_it_shows_and_no_others(
    intake: Intake, state: State | None
) -> None:
    async with intake.unit_of_work.pool.acquire() as connection:
        await connection.execute(_FILL)
        await connection.execute("ANALYZE request")
        query, values = worklist.ids(Filters(state=state, system="archive"), 50)
        [(plan,)] = await connection.fetch(f"EXPLAIN (ANALYZE, FORMAT JSON) {query}", *values)
        found = await connection.fetch(query, *values)
    assert len(found) == 2
    assert read(orjson.loads(plan)[0]["Plan"]) < 100, plan


def read(node: dict[str, object]) -> float:
    """How many rows a plan has read and not shown."""
    parts = node.get("Plans", [])
    assert isinstance(parts, list)
    return float(str(node.get("Rows Removed by Filter", 0))) + sum(read(each) for each in parts)
