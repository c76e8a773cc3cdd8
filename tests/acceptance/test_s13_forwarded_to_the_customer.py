"""Scenario 13: what a customer of ours decides about is forwarded within two working days, and nobody of ours opens it.

Without recordings, which come later: what is stored of the person stands for one.
"""

from datetime import datetime
from uuid import UUID

import pytest

from shared.storage.keyring import Keyring
from tests.acceptance.company import Company, opened
from tests.fixtures.engine import OpenHarness, ScriptedSystem
from tests.fixtures.intake import PROOF, Intake, id_of

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


async def overdue(company: Company, row_at: datetime) -> bool:
    """Whether the privacy team was told by then that it is overdue."""
    await company.deadline.sweeps(at=row_at)
    await company.deliver()
    said = [words for each in (await company.deadline.said()).values() for words in each]
    return any(words.startswith("overdue") for words in said)
