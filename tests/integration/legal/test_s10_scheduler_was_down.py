"""Scenario 10: after three days without the scheduler a deferred erasure that came due runs once, marked late."""

from datetime import timedelta

from services.deadline.sweep import deferrals
from tests.integration.deadline.conftest import Harness, clock, deadline, pool
from tests.integration.deadline.test_deferrals import OVER, erasure, kept, states

__all__ = ["clock", "deadline", "pool"]


async def test_a_deferred_erasure_that_was_missed_runs_once_and_is_marked_late(deadline: Harness) -> None:
    request = await erasure(deadline, kept())
    assert await deadline.sweeps(deferrals, at=OVER + timedelta(days=3)) == 1
    assert await deadline.sweeps(deferrals, at=OVER + timedelta(days=3, hours=1)) == 0
    assert await deadline.evidence("erasure.due") == [{"systems": ["billing"], "due_on": "2026-10-01", "late": True}]
    assert list(await deadline.said()) == [request.request_id]
    assert await states(deadline) == {"billing": "released"}
