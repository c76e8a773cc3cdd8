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
