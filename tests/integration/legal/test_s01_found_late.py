"""Scenario 1: what came in on a Saturday and was found nine days later is dated from the Saturday.

By API, since there is no mailbox yet: the channel states when it was received.
"""

from datetime import UTC, datetime

from services.intake import statistics
from tests.fixtures.intake import Intake
from tests.fixtures.told import told


async def test_a_message_that_was_found_nine_days_late_is_due_from_the_day_it_came(intake: Intake) -> None:
    intake.clock.at = datetime(2026, 5, 11, 9, tzinfo=UTC)
    path = await intake.submit(received_at="2026-05-02T11:00:00+02:00")
    assert (await intake.view(path))["due_on"] == "2026-06-01"
    async with intake.unit_of_work.pool.acquire() as connection:
        await statistics.count(connection, intake.clock.now())
    assert told("dsr_detection_lag_days", channel="api", quantile="0.95") == 9
