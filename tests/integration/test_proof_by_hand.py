"""Proof that a person enters by hand: only by what people can observe, and by two where it opens or erases data."""

import pytest

from tests.fixtures.console import OpenedConsole
from tests.fixtures.intake import PROOF, Intake, id_of
from tests.integration.test_console_decisions import decided

IN_PERSON = {"assurance": {"level": "L2", "method": "in_person"}}
SUBJECT = {"email": "ada@example.org", "account_id": "C-17", "country": "DE"}


async def unproved(intake: Intake, right: str = "access", **more: object) -> str:
    return await intake.submit(right=right, subject=SUBJECT, assurance=None, **more)


async def verified(intake: Intake, path: str, by: str, **said: object) -> tuple[int, str]:
    answer = await getattr(intake, by).post(f"{path}/verify", json=said or IN_PERSON)
    return answer.status_code, (await intake.view(path))["state"]


@pytest.mark.parametrize("method", ["portal", "signed_in_mfa", "two_contact_points", "account", "contact_link"])
async def test_a_person_states_no_method_that_only_a_machine_observes(intake: Intake, method: str) -> None:
    path = await unproved(intake)
    refused = await intake.officer.post(f"{path}/verify", json={"assurance": {"level": "L1", "method": method}})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (400, "assurance.method")
    assert "in_person, post" in refused.text


async def test_a_person_states_no_proof_with_a_request_or_an_answer(intake: Intake) -> None:
    submission = {"right": "erasure", "subject": SUBJECT, **IN_PERSON}
    assert (await intake.officer.post("/v1/requests", json=submission)).status_code == 403
    path = await intake.submit(subject=SUBJECT)
    await intake.ask(path, "clarification")
    proofs = [{"identity": "account_id", "method": "in_person"}]
    reply = {"text": "All of it.", "subject": SUBJECT, "proofs": proofs}
    assert (await intake.officer.post(f"{path}/reply", json=reply)).status_code == 403


@pytest.mark.parametrize("right", ["access", "portability", "erasure"])
async def test_what_hands_out_or_erases_data_takes_a_second_person(intake: Intake, right: str) -> None:
    path = await unproved(intake, right)
    assert await verified(intake, path, "officer") == (200, "awaiting_identity")
    assert await verified(intake, path, "officer") == (409, "awaiting_identity")
    other = {"assurance": {"level": "L2", "method": "post"}}
    assert await verified(intake, path, "colleague", **other) == (200, "awaiting_identity"), "that is not the same"
    assert await verified(intake, path, "officer", **other) == (200, "in_progress")
    proposed = await intake.details(path, "proof.proposed")
    assert [each["holder"] for each in proposed] == ["officer-1", "officer-2"]


async def test_what_only_corrects_or_restricts_takes_one_person_and_a_channel_needs_none(intake: Intake) -> None:
    path = await unproved(intake, "restriction", ground="unlawful")
    assert await verified(intake, path, "officer") == (200, "in_progress")
    assert await verified(intake, await unproved(intake), "channel", **PROOF) == (200, "in_progress")


async def test_a_second_person_finds_a_proof_by_hand_among_the_approvals(console: OpenedConsole) -> None:
    intake, hanna, anton = console.intake, await console.member("hanna"), await console.member("anton")
    path = await unproved(intake, "erasure")
    said = {"assurance.level": "L2", "assurance.method": "in_person"}
    await hanna.open(f"/console/requests/{id_of(path)}/decide/verify")
    assert ("in person" in hanna.text, "signed in mfa" in hanna.text) == (True, False)
    await decided(hanna, id_of(path), "verify", **said)
    assert (await intake.view(path))["state"] == "awaiting_identity"
    await anton.open("/console/approvals")
    assert f"/console/requests/{id_of(path)}/decide/verify" in anton.html
    assert all(each in anton.text for each in ("identity", "in person", "hanna"))
    await decided(anton, id_of(path), "verify", **said)
    assert (await intake.view(path))["state"] == "in_progress"
    assert "hanna" not in (await anton.open("/console/approvals")).text


async def test_the_privacy_team_fetches_no_package(intake: Intake) -> None:
    path = await intake.submit()
    for what in ("package", "report"):
        refused = await intake.officer.get(f"{path}/{what}")
        assert (refused.status_code, "role channel" in refused.text) == (403, True)
