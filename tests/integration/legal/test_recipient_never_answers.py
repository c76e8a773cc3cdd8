"""A recipient who never answers (Art. 19): one notice, two reminders, then people of ours; the person has the list."""

from datetime import timedelta
from typing import Any

from uuid_utils.compat import uuid7

from services.deadline.recipients import sweep
from shared.domain.operations import Operation, TaskOutcome, TaskReport
from shared.domain.rights import Outcome, Right
from shared.storage.keyring import Keyring
from tests.fixtures.engine import OpenHarness, ScriptedSystem
from tests.fixtures.intake import Intake
from tests.fixtures.mail_server import letters_taken
from tests.fixtures.policy import signed_policy
from tests.integration.legal.company import opened

SAID = {"task_id": uuid7(), "system": "website", "operation": Operation.ERASE, "outcome": TaskOutcome.ERASED}
GONE = TaskReport.model_validate({**SAID, "found": 2, "changed": 2, "by_category": {"newsletter": 2}})


async def test_who_never_answers_is_told_once_reminded_twice_and_put_before_people_while_the_person_reads_how_far_it_is(
    intake: Intake, open_harness: OpenHarness, database: str, keys: Keyring
) -> None:
    intake.unit_of_work.policy = signed_policy()
    async with opened(intake, open_harness, database, keys, ScriptedSystem("website")) as company:
        path = await intake.submit(right="erasure")
        done = {"right": Right.ERASURE, "operation": Operation.ERASE, "outcome": Outcome.FULFILLED}
        await intake.complete(path, **done, tasks=(GONE,))
        await company.deliver()
        seen = []
        for weeks in (0, 2, 2, 2, 26):  # the 10th, 20th and 30th working day, and long after
            intake.clock.at += timedelta(weeks=weeks, days=1)
            await company.deadline.sweeps(sweep, at=intake.clock.at)
            await company.deliver()
            await letters_taken(intake.unit_of_work)
            await company.deliver()
            seen.append((await written(intake, path), await theirs(intake, path)))
        told, overdue = ("told", False), ("told", True)
        assert seen == [
            (["recipient_notice"], told),
            (["recipient_notice", "recipient_reminder"], told),
            (["recipient_notice", "recipient_reminder", "recipient_reminder"], told),
            (["recipient_notice", "recipient_reminder", "recipient_reminder"], overdue),
            (["recipient_notice", "recipient_reminder", "recipient_reminder"], overdue),
        ]
        (ticket,) = await company.deadline.details()
        assert (ticket["level"], ticket["escalate_to"]) == ("recipient_silent", ["privacy_team"])


async def written(intake: Intake, path: str) -> list[str]:
    """The kinds of what was written to recipients."""
    letters = (await intake.officer.get(f"{path}/letters")).raise_for_status().json()["letters"]
    return [each["kind"] for each in letters if each["kind"].startswith("recipient_")]


async def theirs(intake: Intake, path: str) -> tuple[Any, ...]:
    """What the person's channel is told of the one recipient: how far they are told, and whether they are silent."""
    (only,) = (await intake.channel.get(f"{path}/recipients")).raise_for_status().json()["recipients"]
    return only["state"], only["overdue"]
