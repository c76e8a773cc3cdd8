"""Scenario 8: an extension that is told a day after the due date changes nothing."""

from datetime import timedelta
from uuid import UUID

from services.intake import repository
from shared.domain.time_limit import limits
from shared.domain.time_limit_policy import read_policy
from tests.fixtures.intake import PROPOSAL, Intake, id_of


async def test_an_extension_that_comes_a_day_late_is_refused_and_every_date_stands(intake: Intake) -> None:
    path = await intake.submit()
    before = await intake.view(path)
    async with intake.unit_of_work.pool.acquire() as connection:
        request = await repository.read(connection, UUID(id_of(path)))
    assert request is not None
    intake.clock.at = limits(request.arrival, read_policy()).commit_due_instant + timedelta(days=1)
    answer = await intake.officer.post(f"{path}/extension", json=PROPOSAL)
    assert (answer.status_code, "notice_too_late" in answer.json()["detail"]) == (409, True)
    after = await intake.view(path)
    assert (after["due_on"], after["state"]) == (before["due_on"], before["state"])
    assert not [letter for letter in await intake.letters(path) if letter["kind"] == "extension"]
