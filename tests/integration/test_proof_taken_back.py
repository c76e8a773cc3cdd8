"""A proof that was wrong is taken back: nothing more is found by it, and what it has opened is withheld or a breach."""

import pytest

from shared.domain.identities import IdentityType
from shared.domain.operations import Operation, TaskOutcome, TaskReport
from shared.domain.release import Match
from tests.fixtures.handed_out import ADA, GIVEN, MARCH, answered, register
from tests.fixtures.intake import Intake, id_of
from tests.integration.test_proof_in_part import CODED, LINKED, SUBJECT, UNPROVED
from tests.integration.test_unsearched import blocked

EMAIL = IdentityType.EMAIL
NOTE = "The code was sent to Ben Quarzfels, who has the number now."


async def levels(intake: Intake, path: str) -> dict[str, str]:
    """How well each identity is proved by now."""
    async with intake.unit_of_work.begin() as tx:
        ref = await tx.connection.fetchval("SELECT subject_ref FROM request WHERE request_id = $1", id_of(path))
        known = (await tx.vault.subject_data(tx.connection, [ref]))[ref]
    return {each.type.value: each.level for each in known.identities}


async def taken_back(intake: Intake, path: str, field: str = "email", by: str = "officer") -> int:
    answer = await getattr(intake, by).post(f"{path}/proof-withdrawal", json={"identity": field, "note": NOTE})
    return int(answer.status_code)


async def test_of_an_open_request_one_word_is_enough_and_what_was_proved_together_is_proved_less(
    intake: Intake,
) -> None:
    path = await intake.submit(subject=SUBJECT, assurance=None, proofs=[LINKED, CODED])
    assert await levels(intake, path) == {"email": "L2", "phone": "L2"}
    assert await taken_back(intake, path, "phones.0", by="channel") == 200
    assert await levels(intake, path) == {"email": "L1", "phone": "L0"}
    assert [await taken_back(intake, path, field) for field in ("phones.0", "account_id", "phones.7")] == [400] * 3
    [detail] = await intake.details(path, "proof.taken_back")
    assert (detail["identity"], detail["holder"]) == ("phones.0", "portal")
    assert "Quarzfels" not in str(await intake.evidence(path))
    assert await intake.unit_of_work.pool.fetchval("SELECT proved_account FROM request") is None


async def test_what_is_proved_once_more_after_that_counts_again(intake: Intake) -> None:
    path = await intake.submit(subject=SUBJECT, assurance=None, proofs=[LINKED])
    await taken_back(intake, path)
    again = {**LINKED, "identity": "email"}
    assert await levels(intake, path) == {"email": "L0", "phone": "L0"}
    await blocked(intake, path, UNPROVED.model_copy(update={"level": "L1"}))
    assert (await intake.view(path))["state"] == "awaiting_identity", "it is asked for"
    (await intake.channel.post(f"{path}/verify", json={"proofs": [again]})).raise_for_status()
    assert (await levels(intake, path))["email"] == "L1"


async def test_of_an_answered_request_it_takes_two_and_its_package_is_withheld_from_the_first_word_on(
    intake: Intake,
) -> None:
    await register(intake.unit_of_work, (ADA, MARCH, None))
    path = await answered(intake, [Match(EMAIL, "ada@example.org")])
    assert (await intake.channel.get(f"{path}/package")).status_code == 200
    assert [await taken_back(intake, path, by=by) for by in ("officer", "officer")] == [200, 409]
    assert (await intake.view(path))["package_withheld"]
    assert (await intake.channel.get(f"{path}/package")).status_code == 409
    assert (await intake.officer.get("/v1/breaches")).json()["breaches"] == [], "nobody else has said so"
    assert (await levels(intake, path))["email"] == "L2"
    assert await taken_back(intake, path, by="colleague") == 200
    assert (await levels(intake, path))["email"] == "L0"
    [breach] = (await intake.officer.get("/v1/breaches")).json()["breaches"]
    assert (breach["fault"], breach["downloads"]) == ("not_proved", 1)
    assert (await intake.channel.get(f"{path}/package")).status_code == 409
    assert await intake.actions(path)
    assert [letter["kind"] for letter in await intake.letters(path)] == ["completion", "package_withheld"]


@pytest.mark.parametrize("changed", [0, 3])
async def test_what_was_changed_in_a_system_by_it_is_a_breach_with_nothing_to_withhold(
    intake: Intake, changed: int
) -> None:
    path = await intake.submit(right="erasure")
    outcome = TaskOutcome.ERASED if changed else TaskOutcome.NO_MATCH
    task = GIVEN.model_copy(update={"operation": Operation.ERASE, "outcome": outcome, "changed": changed})
    await intake.complete(path, operation=Operation.ERASE, tasks=(TaskReport.model_validate(task),))
    assert [await taken_back(intake, path, by=by) for by in ("officer", "colleague")] == [200, 200]
    breaches = (await intake.officer.get("/v1/breaches")).json()["breaches"]
    assert [(each["request_id"], each["downloads"]) for each in breaches] == [(id_of(path), 0)] * bool(changed)
