"""A recipient who was told what was done and says nothing is reminded twice, and then people of ours look."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.deadline.recipients import sweep
from shared.domain.events import RecipientConcerned, RecipientSettled, RecipientTold, RequestReceived
from shared.domain.working_days import calendar
from tests.fixtures.events import a
from tests.integration.deadline.conftest import Harness

calendar("US")  # the first reads all of them, which takes longer than a transaction may rest
THEN = datetime(2026, 3, 6, 15, tzinfo=UTC)  # a Friday
MUCH_LATER = THEN + timedelta(days=200)


async def concerned(deadline: Harness, *, told: bool) -> RequestReceived:
    request = await deadline.receives()
    said: dict[str, Any] = {"recipient": "mailer", "concerned_at": THEN, "told_at": THEN if told else None}
    await deadline.hears(a(RecipientConcerned, request, **said))
    await deadline.closes(request, responded_at=THEN)
    return request


async def test_silent_recipient_is_reminded_on_working_days_10_and_20_then_escalated(deadline: Harness) -> None:
    request = await concerned(deadline, told=True)
    days = [
        datetime(2026, 3, 20, 4, tzinfo=UTC),
        datetime(2026, 4, 7, 4, tzinfo=UTC),
        datetime(2026, 4, 21, 4, tzinfo=UTC),
    ]
    counts = []
    for start in days:
        for now in (start - timedelta(microseconds=1), start, start + timedelta(hours=5)):
            await deadline.sweeps(sweep, at=now)
            counts.append(len((await deadline.said()).get(request.request_id, [])))
    await deadline.sweeps(sweep, at=MUCH_LATER)
    assert counts == [0, 1, 1, 1, 2, 2, 2, 3, 3]
    assert await deadline.said() == {request.request_id: ["reminder 10", "reminder 20", "escalation 30"]}
    (ticket,) = await deadline.details()
    assert (ticket["level"], ticket["escalate_to"]) == ("recipient_silent", ["privacy_team"])


async def test_recipient_not_notified_in_time_is_escalated_and_awaited_from_then(deadline: Harness) -> None:
    request = await concerned(deadline, told=False)
    await deadline.sweeps(sweep, at=datetime(2026, 3, 13, 4, tzinfo=UTC))
    assert await deadline.said() == {request.request_id: ["untold 5"]}
    await deadline.hears(a(RecipientTold, request, recipient="mailer", told_at=THEN + timedelta(days=10)))
    await deadline.sweeps(sweep, at=datetime(2026, 3, 30, 4, tzinfo=UTC))
    assert await deadline.said() == {request.request_id: ["untold 5", "reminder 10"]}


@pytest.mark.parametrize("how", ["acknowledged", "impossible"])
async def test_whatever_settles_it_ends_the_reminders(deadline: Harness, how: str) -> None:
    request = await concerned(deadline, told=True)
    await deadline.hears(a(RecipientSettled, request, recipient="mailer", how=how, settled_at=deadline.now))
    await deadline.sweeps(sweep, at=MUCH_LATER)
    assert await deadline.said() == {}
