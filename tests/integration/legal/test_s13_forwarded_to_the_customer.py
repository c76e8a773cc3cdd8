"""Scenario 13: what a customer of ours decides about is forwarded within two working days, and nobody of ours opens it.

A customer who says nothing is reminded.
Without recordings, which come later: what is stored of the person stands for one.
"""

from datetime import datetime
from uuid import UUID

import pytest

from services.deadline import forwarding
from services.deadline.sweep import milestones
from shared.storage.keyring import Keyring
from tests.fixtures.engine import OpenHarness, ScriptedSystem
from tests.fixtures.intake import PROOF, Intake, id_of
from tests.integration.legal.company import Company, opened

CUSTOMER = "Harbour Cranes Ltd"


@pytest.mark.parametrize(("day", "judged"), [(4, "on_time"), (5, "late_commitment")])
async def test_the_customer_has_it_within_two_working_days_and_no_system_was_opened(
    *, intake: Intake, open_harness: OpenHarness, database: str, keys: Keyring, day: int, judged: str
) -> None:
    recordings = ScriptedSystem("recordings")
    async with opened(intake, open_harness, database, keys, recordings) as company:
        path = await intake.submit(role="processor")
        await company.work()
        assert (await intake.view(path))["due_on"] == "2026-03-04"  # received on Monday the 2nd
        begins = [
            await intake.channel.post(f"{path}/verify", json=PROOF),
            await intake.officer.post(f"{path}/decision", json={"decision": "retry"}),
        ]
        assert [answer.status_code for answer in begins] == [409, 409]
        assert await overdue(company, row_at=intake.clock.at.replace(day=4)) is False

        intake.clock.at = intake.clock.at.replace(day=day)
        if day > 4:
            assert await overdue(company, row_at=intake.clock.at) is True
        (await intake.officer.post(f"{path}/forward", json={"controller": CUSTOMER})).raise_for_status()
        await company.work()
        assert ((await intake.view(path))["outcome"], recordings.asked) == ("forwarded", [])
        assert await company.export.states(UUID(id_of(path))) == {}
        assert await company.deadline.pool.fetchval("SELECT timeliness FROM clock") == judged


async def test_a_silent_customer_is_reminded_on_the_fifth_and_tenth_working_day_and_then_people_of_ours_look(
    intake: Intake, open_harness: OpenHarness, database: str, keys: Keyring
) -> None:
    async with opened(intake, open_harness, database, keys, ScriptedSystem("recordings")) as company:
        silent, answering = await intake.submit(role="processor"), await intake.submit(role="processor")
        for path in (silent, answering):  # on Monday, 2 March
            (await intake.officer.post(f"{path}/forward", json={"controller": CUSTOMER})).raise_for_status()
        reminded = []
        for day in (8, 9, 15, 16, 22, 23):
            await passed(company, intake.clock.at.replace(day=day))
            reminded.append(await reminders(intake, silent))
            if day == 9:
                reply = {"text": "We have it, and answer by Friday."}
                (await intake.officer.post(f"{answering}/controller-replied", json=reply)).raise_for_status()
        assert reminded == [0, 1, 1, 2, 2, 2]
        assert await reminders(intake, answering) == 1
        (ticket,) = await company.deadline.details()
        assert (ticket["level"], ticket["escalate_to"]) == ("controller_silent", ["counsel", "privacy_team"])
        assert (await intake.view(silent))["outcome"] == "forwarded"


async def passed(company: Company, at: datetime) -> None:
    """Time passes, and everybody hears what has come with it."""
    for source in (milestones, forwarding.sweep):
        await company.deadline.sweeps(source, at=at)
    await company.deliver()


async def reminders(intake: Intake, path: str) -> int:
    """How many letters the customer was written."""
    letters = (await intake.officer.get(f"{path}/letters")).raise_for_status().json()["letters"]
    return [letter["kind"] for letter in letters].count("reminder_to_controller")


async def overdue(company: Company, row_at: datetime) -> bool:
    """Whether the privacy team was told by then that it is overdue."""
    await company.deadline.sweeps(at=row_at)
    await company.deliver()
    said = [words for each in (await company.deadline.said()).values() for words in each]
    return any(words.startswith("overdue") for words in said)
