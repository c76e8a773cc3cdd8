"""A team that fetches whom a task is about gets the types that its system needs, and the fetching is on record."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from services.intake.auth import create
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation
from shared.downstreams.bus.identity_token import IdentityToken, issue
from shared.storage.subject_data import encode_identities
from shared.storage.vault import Sealing
from tests.fixtures.intake import Intake

FETCH = "/v1/tasks/identities"
PROVED = [{"identity": "phones.0", "method": "sms_code", "on_file_since": "2024-01-01T00:00:00Z"}]
SUBJECT = {
    "email": "ada@example.org",
    "phones": [{"number": "+34688886392", "since": "2024-01-01T00:00:00Z"}],
    "account_id": "C-1",
    "name": "Ada Quarzfels",
}


async def claim(intake: Intake, path: str, needs: set[IdentityType], **more: Any) -> str:
    """The token with which the system that needs those asks about the subject of a request."""
    request_id = UUID(path.rpartition("/")[2])
    subject = await intake.unit_of_work.pool.fetchval(
        "SELECT subject_ref FROM request WHERE request_id = $1", request_id
    )
    now = intake.clock.now()
    token = IdentityToken(
        task_id=UUID(int=7),
        request_id=request_id,
        system="billing",
        needs=frozenset(needs),
        level="L0",
        subject_ref=subject,
        expires_at=now + timedelta(hours=1),
        **more,
    )
    return issue(token, intake.unit_of_work.vault.keyring.claims, now)


@pytest.mark.parametrize(
    ("needs", "told"),
    [
        ({IdentityType.EMAIL}, {("email", "ada@example.org")}),
        ({IdentityType.ACCOUNT_ID}, {("account_id", "C-1"), ("account_id", "CRM-9")}),
        ({IdentityType.EMAIL, IdentityType.PHONE}, {("email", "ada@example.org"), ("phone", "+34688886392")}),
        ({IdentityType.SIP_URI}, set()),
    ],
)
async def test_a_team_gets_the_types_that_its_system_needs_and_it_is_on_record(
    intake: Intake, database: str, needs: set[IdentityType], told: set[tuple[str, str]]
) -> None:
    path = await intake.submit(subject=SUBJECT, proofs=PROVED)
    yielded = encode_identities((Identity(IdentityType.ACCOUNT_ID, "CRM-9", source="crm"),))
    async with intake.unit_of_work.begin() as tx:
        subject = await tx.connection.fetchval("SELECT subject_ref FROM request")
        await tx.vault.seal(tx.connection, [Sealing(subject, "identities", "crm", yielded)], tx.now)
    key = await create(database, "downstream:billing", "billing", intake.clock.now())
    headers = {"Authorization": f"Bearer {key}", "DSR-Claim": await claim(intake, path, needs)}
    answer = await intake.channel.get(FETCH, headers=headers)
    assert {(each["type"], each["value"]) for each in answer.json()["identities"]} == told
    [fetched] = [entry for entry in await intake.evidence(path) if entry["action"] == "identities.fetched"]
    types = sorted({type_ for type_, _ in told})
    task = {"system": "billing", "task_id": str(UUID(int=7))}
    assert fetched["detail"] == {**task, "types": types, "holder": "billing"}
    assert fetched["actor"] == f"key:{key.split('_')[1]}"


@pytest.mark.parametrize(("operation", "told"), [(Operation.SUPPRESS, ["+34688886392"]), (Operation.RESTRICT, [])])
async def test_a_team_is_told_a_number_for_which_nobody_vouches_to_stop_marketing_and_for_nothing_else(
    intake: Intake, database: str, operation: Operation, told: list[str]
) -> None:
    path = await intake.submit(right="objection", scope="direct_marketing", subject=SUBJECT, assurance=None, proofs=[])
    key = await create(database, "downstream:billing", "billing", intake.clock.now())
    token = await claim(intake, path, {IdentityType.PHONE}, operation=operation)
    answer = await intake.channel.get(FETCH, headers={"Authorization": f"Bearer {key}", "DSR-Claim": token})
    assert [each["value"] for each in answer.json()["identities"]] == told


async def test_another_systems_key_opens_nothing_and_leaves_no_record(intake: Intake, database: str) -> None:
    path = await intake.submit(subject=SUBJECT)
    token = await claim(intake, path, {IdentityType.EMAIL})
    for role in ("downstream:shop", "channel", "privacy"):
        key = await create(database, role, role, intake.clock.now())
        answer = await intake.channel.get(FETCH, headers={"Authorization": f"Bearer {key}", "DSR-Claim": token})
        assert answer.status_code == 403
    assert "identities.fetched" not in await intake.actions(path)


async def test_a_team_is_never_told_an_address_that_other_people_have_too(intake: Intake, database: str) -> None:
    path = await intake.submit(subject=SUBJECT)
    known = (Identity(IdentityType.EMAIL, "ada@example.org", source="crm", shared=True),)
    async with intake.unit_of_work.begin() as tx:
        subject = await tx.connection.fetchval("SELECT subject_ref FROM request")
        sealing = Sealing(subject, "identities", "crm", encode_identities(known))
        await tx.vault.seal(tx.connection, [sealing], tx.now)
    key = await create(database, "downstream:billing", "billing", intake.clock.now())
    both = {IdentityType.EMAIL, IdentityType.ACCOUNT_ID}
    for needs, status in ((both, 200), ({IdentityType.EMAIL}, 409)):
        headers = {"Authorization": f"Bearer {key}", "DSR-Claim": await claim(intake, path, needs)}
        answer = await intake.channel.get(FETCH, headers=headers)
        assert (answer.status_code, "ada@example.org" in answer.text) == (status, False)


async def test_a_team_is_told_what_was_the_subjects_until_a_day_only_where_it_looks_at_periods(
    intake: Intake, database: str
) -> None:
    path = await intake.submit(subject={"account_id": "C-1"})
    former = (Identity(IdentityType.EMAIL, "victim@example.org", None, intake.clock.now(), "selfcare"),)
    async with intake.unit_of_work.begin() as tx:
        subject = await tx.connection.fetchval("SELECT subject_ref FROM request")
        sealing = Sealing(subject, "identities", "selfcare", encode_identities(former))
        await tx.vault.seal(tx.connection, [sealing], tx.now)
    key = await create(database, "downstream:billing", "billing", intake.clock.now())
    both = {IdentityType.EMAIL, IdentityType.ACCOUNT_ID}
    for needs, periods, status in ((both, False, 200), ({IdentityType.EMAIL}, False, 409), (both, True, 200)):
        headers = {"Authorization": f"Bearer {key}", "DSR-Claim": await claim(intake, path, needs, periods=periods)}
        answer = await intake.channel.get(FETCH, headers=headers)
        assert (answer.status_code, "victim@example.org" in answer.text) == (status, periods)
