"""What the platform holds of a request ends tier by tier: nothing before its period is over, and nothing after it."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from services.intake import expiry, orphans
from services.intake.retention import retention
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation, TaskOutcome, TaskReport
from shared.domain.precedence import Kind, Marks
from shared.runtime.metrics import PEOPLE
from shared.storage import evidence, open_requests
from shared.storage.vault import Sealing
from tests.fixtures.databases import tables_with
from tests.fixtures.intake import PROOF, Intake, id_of

PERIODS = retention()
YEAR, REGISTER = timedelta(days=367), timedelta(days=3 * 366)
KEPT = TaskReport.model_validate(
    {
        "task_id": "019c0000-0000-7000-8000-000000000001",
        "system": "billing",
        "operation": Operation.ERASE,
        "outcome": TaskOutcome.RETAINED,
        "ground": "tax_law",
    }
)


async def end(intake: Intake) -> dict[str, int]:
    """Ends what is past its period, and counts it by tier; of lookups see ``test_lookup``."""
    ended = await expiry.end_all(intake.unit_of_work, PERIODS, lambda: None)
    async with intake.unit_of_work.pool.acquire() as connection:
        assert await expiry.past(connection, PERIODS, intake.clock.now()) == dict.fromkeys(expiry.DUE, 0)
    return {tier: count for tier, count in ended.items() if count and tier != "lookups"}


async def keys(intake: Intake) -> int:
    found: int = await intake.unit_of_work.pool.fetchval(
        "SELECT count(*) FROM vault.subject WHERE wrapped_key IS NOT NULL"
    )
    return found


async def closed(intake: Intake, **said: Any) -> str:
    path = await intake.submit(**{key: value for key, value in said.items() if key != "tasks"})
    await intake.complete(path, tasks=said.get("tasks", ()))
    return path


async def test_letters_and_identities_end_a_year_after_the_closure_and_the_register_later(
    intake: Intake, database: str
) -> None:
    path, open_one = await closed(intake), await intake.submit()
    assert await end(intake) == {}
    intake.clock.at += YEAR
    assert await end(intake) == {"letters": 1, "identities": 1}
    assert await keys(intake) == 2  # of the open one
    assert (await intake.officer.get(f"{path}/letters")).status_code == 410
    assert (await intake.officer.get(path)).status_code == 200
    assert [entry["tier"] for entry in await intake.details(path, "evidence.tier_expired")] == ["letters", "identities"]
    assert await end(intake) == {}

    intake.clock.at += REGISTER
    assert await end(intake) == {"register": 1}
    assert (await intake.officer.get(path)).status_code == 404
    assert await tables_with(intake.unit_of_work.pool, UUID(id_of(path))) == set()
    assert len(await intake.letters(open_one)) == 0
    assert (await evidence.verify(database))["intake"] is None


@pytest.mark.parametrize(
    "said",
    [
        {"right": "restriction", "ground": "unlawful"},
        {"right": "erasure", "tasks": (KEPT,)},
    ],
)
async def test_what_a_restriction_in_force_or_a_deferred_erasure_needs_is_kept(
    intake: Intake, said: dict[str, Any]
) -> None:
    await closed(intake, **said)
    intake.clock.at += YEAR
    assert await end(intake) == {}
    assert await keys(intake) == 2


async def test_whom_an_objection_in_force_is_about_is_kept_and_its_letters_end(intake: Intake) -> None:
    await closed(intake, right="objection", scope="direct_marketing")
    intake.clock.at += YEAR
    assert await end(intake) == {}, "the notice to a recipient has yet to go"
    (notice,) = (await intake.officer.get("/v1/letters")).json()["letters"]
    given_up = {"explanation": "The mailer was told by telephone."}
    (await intake.officer.post(f"/v1/letters/{notice['letter_id']}/given-up", json=given_up)).raise_for_status()
    assert await end(intake) == {"letters": 1}


async def test_a_restriction_ends_a_year_after_it_was_lifted(intake: Intake) -> None:
    path = await closed(intake, right="restriction", ground="unlawful")
    intake.clock.at += YEAR
    (await intake.officer.post(f"{path}/lift")).raise_for_status()
    await intake.complete(path, operation=Operation.LIFT)
    assert await end(intake) == {}
    intake.clock.at += YEAR
    assert await end(intake) == {"letters": 1, "identities": 1}


async def test_letters_end_a_year_after_the_last_of_them_though_it_was_written_after_the_closure(
    intake: Intake,
) -> None:
    await closed(intake)
    intake.clock.at += YEAR - timedelta(days=30)
    await intake.unit_of_work.pool.execute("UPDATE letter SET written_at = $1", intake.clock.at)
    intake.clock.at += timedelta(days=40)
    assert await end(intake) == {"identities": 1}
    intake.clock.at += YEAR - timedelta(days=30)
    assert await end(intake) == {"letters": 1}


async def test_who_may_resume_their_request_is_still_known(intake: Intake, unidentified: str) -> None:
    intake.clock.at += YEAR
    assert await end(intake) == {}
    assert len(await intake.letters(unidentified)) == 2


async def test_what_systems_gave_ends_a_week_after_the_answer(intake: Intake) -> None:
    path = await intake.submit()
    async with intake.unit_of_work.begin() as tx:
        subject = await tx.connection.fetchval("SELECT subject_ref FROM request WHERE request_id = $1", id_of(path))
        await tx.vault.seal(tx.connection, [Sealing(subject, "records", "crm", b"[]")], tx.now)
    await intake.complete(path)
    intake.clock.at += timedelta(days=7)
    assert await end(intake) == {}
    intake.clock.at += timedelta(seconds=1)
    assert await end(intake) == {"collected": 1}


async def test_an_idempotency_key_is_stored_keyed_and_ends_after_a_month(intake: Intake) -> None:
    body = {"right": "access", "subject": {"email": "ada@example.org"}}
    for key in ("ada@example.org", "another"):
        answer = await intake.channel.post("/v1/requests", json=body, headers={"Idempotency-Key": key})
        assert answer.status_code == 201
    rows = await intake.unit_of_work.pool.fetch("SELECT idempotency_key, body_hash FROM idempotency")
    assert len({row["body_hash"] for row in rows}) == 1
    assert not [row for row in rows if b"ada" in row["idempotency_key"]]
    intake.clock.at += timedelta(days=PERIODS.idempotency_days, seconds=1)
    assert await end(intake) == {"idempotency": 2}


async def test_what_outlives_its_period_by_two_hours_is_counted(intake: Intake) -> None:
    await closed(intake)
    intake.clock.at += YEAR

    async def overdue() -> float | None:
        async with intake.unit_of_work.pool.acquire() as connection:
            await orphans.count(connection, intake.clock.now(), timedelta(days=14), PERIODS)
        return PEOPLE.get_sample_value("dsr_vault_orphans", {"what": "expired"})

    intake.clock.at += timedelta(hours=3)
    assert await overdue() == 2
    await end(intake)
    assert await overdue() == 0


async def subjects(intake: Intake) -> set[str]:
    """The paths of the requests of which it is still known whom they are about."""
    known = (
        "SELECT request_id FROM request JOIN vault.subject v ON v.subject_ref = request.subject_ref"
        " WHERE wrapped_key IS NOT NULL AND \"right\" <> 'erasure'"
    )
    return {f"/v1/requests/{row[0]}" for row in await intake.unit_of_work.pool.fetch(known)}


async def test_an_erasure_ends_what_was_left_under_another_address_that_was_located(intake: Intake) -> None:
    earlier = await closed(intake, subject={"email": "ada.l@example.org"})
    strangers = await closed(intake, subject={"email": "ada.l@example.org", "account_id": "C-9"})
    intake.clock.pass_by(hours=1)
    erasure = await intake.submit(right="erasure", subject={"email": "ada@example.org"})
    located = (Identity(IdentityType.EMAIL, "ada.l@example.org"), Identity(IdentityType.ACCOUNT_ID, "C-1"))
    marks = Marks.of(intake.unit_of_work.vault.keyring, located)
    async with intake.unit_of_work.begin() as tx:
        await open_requests.enter(tx.connection, [(UUID(id_of(erasure)), Kind.ERASURE, marks)])
    await intake.complete(erasure)
    intake.clock.pass_by(hours=1)
    assert await end(intake) == {"erased": 1}
    assert await subjects(intake) == {strangers}
    assert earlier != strangers


async def test_an_erasure_ends_what_earlier_requests_of_the_same_person_have_left_but_their_letters(
    intake: Intake,
) -> None:
    ada = {"subject": {"email": "ada@example.org"}}
    earlier, others = await closed(intake, **ada), await closed(intake, subject={"email": "bob@example.org"})
    in_force = await closed(intake, right="restriction", ground="unlawful", **ada)
    with_package = await intake.submit(**ada)
    await intake.complete(with_package, package_id="019c0000-0000-7000-8000-000000000002")
    intake.clock.pass_by(hours=1)
    await closed(intake, right="erasure", **ada)
    intake.clock.pass_by(hours=1)
    later = await closed(intake, **ada)

    assert await end(intake) == {"erased": 1}
    assert await subjects(intake) == {others, in_force, with_package, later}
    assert [letter["kind"] for letter in await intake.letters(earlier)] == ["completion"]

    (await intake.officer.post(f"{in_force}/lift")).raise_for_status()
    await intake.complete(in_force, operation=Operation.LIFT)
    intake.clock.pass_by(days=15)
    assert await end(intake) == {"erased": 2}
    assert await subjects(intake) == {others, later}


@pytest.mark.parametrize("waived_at", ["submission", "open", "closed"])
async def test_a_package_within_its_days_goes_with_an_erasure_that_waives_them_and_nobody_elses_does(
    intake: Intake, waived_at: str
) -> None:
    ada, bob = {"subject": {"email": "ada@example.org"}}, {"subject": {"email": "bob@example.org"}}
    mine, others = await intake.submit(**ada), await intake.submit(**bob)
    for number, path in enumerate((mine, others), 2):
        await intake.complete(path, package_id=f"019c0000-0000-7000-8000-00000000000{number}")
    intake.clock.pass_by(hours=1)
    erasure = await intake.submit(right="erasure", packages_waived=waived_at == "submission", **ada)
    if waived_at == "open":
        (await intake.channel.post(f"{erasure}/packages-waiver")).raise_for_status()
    await intake.complete(erasure)
    if waived_at == "closed":
        intake.clock.pass_by(hours=1)
        assert await end(intake) == {}
        (await intake.channel.post(f"{erasure}/packages-waiver")).raise_for_status()
    intake.clock.pass_by(hours=1)
    assert await end(intake) == {"erased": 1}
    assert await subjects(intake) == {others}
    assert (await intake.channel.get(f"{mine}/package")).status_code == 410


async def test_only_an_erasure_waives_the_days_of_packages_and_once(intake: Intake) -> None:
    said = {"right": "access", "subject": {"email": "ada@example.org"}, "packages_waived": True, **PROOF}
    assert (await intake.channel.post("/v1/requests", json=said)).status_code == 422
    access, erasure = await intake.submit(), await intake.submit(right="erasure")
    assert (await intake.channel.post(f"{access}/packages-waiver")).status_code == 409
    answers = [(await intake.channel.post(f"{erasure}/packages-waiver")).status_code for _ in range(2)]
    assert answers == [200, 409]
    assert await intake.details(erasure, "packages.waived") == [{}]
