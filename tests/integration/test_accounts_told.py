"""What is told of accounts: when they were closed, and the addresses that they had before."""

from datetime import timedelta

import pytest

from services.intake import expiry, orphans
from services.intake.retention import retention
from shared.domain.identities import Identity, IdentityType
from shared.domain.rights import Outcome
from tests.fixtures.intake import Intake
from tests.fixtures.told import told
from tests.fixtures.user_events import PROVED, Told, emitting

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


@pytest.mark.parametrize(
    "subject", [ADA, {"email": "ada@example.org"}, {"account_id": "C7", "phones": [{"number": "+442079460000"}]}]
)
async def test_an_event_whose_token_stands_for_other_identities_than_it_needs_is_set_aside(
    selfcare: Told, subject: dict[str, object]
) -> None:
    unfit = "user.account_closed" if "phones" not in subject else "user.contact_changed"
    when = {"closed_at": "2026-02-01T00:00:00Z"} if "phones" not in subject else {"changed_at": "2026-02-01T00:00:00Z"}
    await selfcare.says(unfit, await selfcare.post(subject=subject), **when)
    assert [name for name, _ in await selfcare.set_aside()] == ["subject_unfit"]


async def identities(intake: Intake, token: str) -> list[Identity]:
    pool = intake.unit_of_work.pool
    ref = await pool.fetchval("SELECT subject_ref FROM request WHERE request_id = $1::uuid", token)
    async with pool.acquire() as connection:
        known = await intake.unit_of_work.vault.subject_data(connection, [ref])
    return list(known[ref].identities)


async def test_whoever_proves_an_account_is_searched_for_by_the_address_that_it_had_before(selfcare: Told) -> None:
    former = {"account_id": "C7", "email": "ada.old@example.org"}
    changed_at = "2026-02-01T00:00:00+00:00"
    await selfcare.says("user.contact_changed", await selfcare.post(subject=former), changed_at=changed_at)
    proved, unproved = await selfcare.post(subject=ADA, **PROVED), await selfcare.post(subject=ADA)
    other = await selfcare.post(subject={"account_id": "C8"}, **PROVED)
    for token in (proved, unproved, other):
        await selfcare.says("user.requested.access", token)
    [found] = [each for each in await identities(selfcare.intake, proved) if each.source == "selfcare"]
    assert (found.value, found.valid_from, found.level) == ("ada.old@example.org", None, "L2")
    assert found.valid_to
    assert found.valid_to.isoformat() == changed_at
    for token in (unproved, other):
        assert {each.source for each in await identities(selfcare.intake, token)} == {"requester"}


async def test_an_erasure_of_the_account_ends_the_addresses_that_it_had_before(selfcare: Told) -> None:
    former = {"account_id": "C7", "email": "ada.old@example.org"}
    await selfcare.says("user.contact_changed", await selfcare.post(subject=former), changed_at="2026-02-01T00:00:00Z")
    token = await selfcare.post(subject=ADA, **PROVED)
    await selfcare.says("user.requested.erasure", token)
    await selfcare.intake.complete(f"/v1/requests/{token}", outcome=Outcome.FULFILLED)
    pool = selfcare.intake.unit_of_work.pool
    assert await pool.fetchval("SELECT count(*) FROM former_contact") == 0
    left = await pool.fetch(
        "SELECT subject_ref FROM vault.subject WHERE subject_ref NOT IN (SELECT subject_ref FROM request)"
    )
    assert [str(row[0]) for row in left] == [token]  # the correspondence


async def test_what_was_posted_and_never_used_goes_with_its_days_and_what_was_told_with_its_months(
    selfcare: Told,
) -> None:
    intake, periods = selfcare.intake, retention()
    await selfcare.post(subject=ADA)
    former = {"account_id": "C7", "email": "ada.old@example.org"}
    await selfcare.says("user.contact_changed", await selfcare.post(subject=former), changed_at="2026-02-01T00:00:00Z")
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
    assert await end() == {"contacts": 2}
    assert await intake.unit_of_work.pool.fetchval("SELECT count(*) FROM vault.subject") == 0
