"""A silent customer is reminded twice of a forwarded request; then a person looks."""

from datetime import UTC, datetime, timedelta

from services.deadline import statistics
from shared.domain.events import ControllerReplied, RequestForwarded, RequestReceived
from shared.domain.rights import Outcome
from tests.fixtures.events import a
from tests.integration.deadline.conftest import POLICY, Harness, customers

THEN = datetime(2026, 3, 6, 15, tzinfo=UTC)  # a Friday
FIFTH, TENTH, LAST = (datetime(2026, 3, day, 6, tzinfo=UTC) for day in (13, 20, 27))  # midnight in Denver
ALL = ["reminder 5", "reminder 10", "escalation 15"]


async def passed_on(deadline: Harness) -> RequestReceived:
    """A request that was passed on a day after its receipt."""
    request = await deadline.receives(role="processor")
    await deadline.consume(a(RequestForwarded, request, forwarded_at=THEN))
    await deadline.closes(request, responded_at=THEN, outcome=Outcome.FORWARDED)
    return request


async def test_a_holiday_where_the_subject_is_is_no_working_day(deadline: Harness) -> None:
    request = await deadline.receives(role="processor")
    before_easter = datetime(2026, 4, 1, 12, tzinfo=UTC)  # then Good Friday and Easter Monday
    await deadline.consume(a(RequestForwarded, request, calendar="DE-BE", forwarded_at=before_easter))
    await deadline.sweeps(customers, at=datetime(2026, 4, 10, 5, 59, tzinfo=UTC))
    assert await deadline.said() == {}
    await deadline.sweeps(customers, at=datetime(2026, 4, 10, 6, tzinfo=UTC))
    assert await deadline.said() == {request.request_id: ["reminder 5"]}


async def test_the_word_of_a_customer_ends_the_reminders_and_resolves_the_ticket(deadline: Harness) -> None:
    request = await passed_on(deadline)
    await deadline.sweeps(customers, at=FIFTH)
    await deadline.consume(a(ControllerReplied, request, replied_at=deadline.now))
    await deadline.sweeps(customers, at=LAST + timedelta(days=10))
    assert await deadline.said() == {request.request_id: ["reminder 5"]}
    other = await passed_on(deadline)
    await deadline.sweeps(customers, at=LAST + timedelta(days=10))
    assert await deadline.said() == {request.request_id: ["reminder 5"], other.request_id: ["escalation 15"]}
    await deadline.pool.execute("UPDATE task SET attempt = 1, state = 'done'")
    await deadline.consume(a(ControllerReplied, other, replied_at=deadline.now))
    assert await deadline.tickets() == ["resolved"]


async def test_what_waits_to_be_passed_on_is_counted(deadline: Harness) -> None:
    await passed_on(deadline)
    await deadline.receives(role="processor")
    now = THEN + timedelta(hours=1)
    assert [tuple(row) for row in await deadline.pool.fetch(statistics.TO_FORWARD, now)] == [("yes", 1)]
    assert POLICY.forwarding.reminder_working_days == (5, 10)
