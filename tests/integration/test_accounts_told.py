"""Closed accounts are on record until their period ends."""

from datetime import timedelta

import pytest

from services.intake import expiry, orphans
from services.intake.retention import retention
from shared.domain.identities import Identity, IdentityType
from tests.fixtures.intake import Intake
from tests.fixtures.told import told
from tests.fixtures.user_events import Told, emitting

ADA = {"email": "ada@example.org", "account_id": "C7"}


@pytest.fixture
async def selfcare(intake: Intake, database: str) -> Told:
    return await emitting(intake, database)


async def test_a_closed_account_is_on_record_with_its_day_and_a_later_word_replaces_it(selfcare: Told) -> None:
    for day in ("2026-02-01", "2026-02-03"):
        token = await selfcare.post(subject={"account_id": "C7"})
        await selfcare.says("user.account_closed", token, closed_at=f"{day}T00:00:00+01:00")
    rows = await selfcare.intake.unit_of_work.pool.fetch("SELECT account, closed_at, emitter FROM closed_account")
    keyring = selfcare.intake.unit_of_work.vault.keyring
    [(account, closed_at, emitter)] = rows
    assert account == keyring.fingerprint(Identity(IdentityType.ACCOUNT_ID, "C7"))
    assert (closed_at.isoformat(), emitter) == ("2026-02-02T23:00:00+00:00", "selfcare")


@pytest.mark.parametrize("subject", [ADA, {"email": "ada@example.org"}])
async def test_an_event_whose_token_stands_for_other_identities_than_it_needs_is_set_aside(
    selfcare: Told, subject: dict[str, object]
) -> None:
    token = await selfcare.post(subject=subject)
    await selfcare.says("user.account_closed", token, closed_at="2026-02-01T00:00:00Z")
    assert [name for name, _ in await selfcare.set_aside()] == ["subject_unfit"]


async def test_what_was_posted_and_never_used_goes_with_its_days_and_what_was_told_with_its_months(
    selfcare: Told,
) -> None:
    intake, periods = selfcare.intake, retention()
    await selfcare.post(subject=ADA)
    await selfcare.says(
        "user.account_closed", await selfcare.post(subject={"account_id": "C7"}), closed_at="2026-02-01T00:00:00Z"
    )

    async def end() -> dict[str, int]:
        ended = await expiry.end_all(intake.unit_of_work, periods, lambda: None)
        async with intake.unit_of_work.pool.acquire() as connection:
            assert set((await expiry.past(connection, periods, intake.clock.now())).values()) == {0}
        return {tier: number for tier, number in ended.items() if number}

    intake.clock.at += timedelta(days=periods.subject_days - 1)
    assert await end() == {}
    async with intake.unit_of_work.pool.acquire() as connection:
        await orphans.count(connection, intake.clock.now(), timedelta(days=14), periods)
    assert told("dsr_vault_orphans", what="no_request") == 0
    intake.clock.at += timedelta(days=2)
    assert await end() == {"subjects": 1}
    intake.clock.at += timedelta(days=366)
    assert await end() == {"accounts": 1}
    assert await intake.unit_of_work.pool.fetchval("SELECT count(*) FROM vault.subject") == 0
