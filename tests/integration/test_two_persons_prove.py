"""Two people each prove a part of one request: it goes on by the first, and neither sees anything of the other."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from joserfc.jwk import KeySet

from shared.domain.identities import Identity, IdentityType
from shared.storage.subject_data import encode_identities
from shared.storage.vault import Sealing
from tests.fixtures.console import OpenedConsole
from tests.fixtures.intake import PROOF, Intake, id_of
from tests.fixtures.portal import Opened, Visitor, code_in, link_in, opened, waiting
from tests.integration.test_console_decisions import decided
from tests.integration.test_portal import EXPORTED, asked
from tests.integration.test_portal_sign_in import ISSUER, KEY, token
from tests.integration.test_proof_in_part import LINKED, UNPROVED
from tests.integration.test_unsearched import COPIED, blocked

ADA, EVE = "ada@example.org", "eve@example.org"
ADAS, EVES = "CU-17", "CU-669"
SIGNED_IN = {"identity": "account_id", "method": "signed_in_mfa"}
SUBJECT = {"email": ADA, "account_id": ADAS, "country": "DE"}


@pytest.fixture
async def door(intake: Intake, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Opened]:
    keys = tmp_path / "keys.json"
    keys.write_bytes(orjson.dumps(KeySet([KEY]).as_dict(private=False)))
    settings = {"sign_in_url": f"{ISSUER}/privacy", "sign_in_issuer": ISSUER, "sign_in_keys": str(keys)}
    async with opened(intake, monkeypatch, **settings) as door:
        yield door


async def signs_in(door: Opened, visitor: Visitor, account: str, **more: Any) -> Visitor:
    said = {"sub": account, "jti": account, "amr": ["pwd", "otp"], **more}
    return await (await visitor.open(f"/portal/en/signed-in?token={token(door.intake.clock, **said)}")).send()


async def presses(door: Opened, visitor: Visitor) -> Visitor:
    return await (await visitor.open(link_in((await door.letters())[-1]))).send(answer="mine")


async def levels(intake: Intake, path: str) -> dict[str, str]:
    """How well each identity that the requester has stated is proved."""
    async with intake.unit_of_work.begin() as tx:
        ref = await tx.connection.fetchval("SELECT subject_ref FROM request WHERE request_id = $1", id_of(path))
        known = (await tx.vault.subject_data(tx.connection, [ref]))[ref].identities
    return {each.type.value: each.level for each in known if each.source == "requester"}


async def finds(intake: Intake, path: str, *identities: Identity) -> None:
    """A system yields these of whoever is found by what is proved."""
    async with intake.unit_of_work.begin() as tx:
        ref = await tx.connection.fetchval("SELECT subject_ref FROM request WHERE request_id = $1", id_of(path))
        content = encode_identities(replace(each, source="crm", level="L1") for each in identities)
        await tx.vault.seal(tx.connection, [Sealing(ref, "identities", "crm", content)], tx.now)


async def test_whose_address_a_stranger_has_typed_gives_the_stranger_nothing_by_the_button(door: Opened) -> None:
    eve, ada, intake = door.visitor(), door.visitor(), door.intake
    path = f"/v1/requests/{await asked(eve, email=ADA, account=EVES)}"
    await signs_in(door, eve, EVES)
    assert (eve.path, await levels(intake, path)) == (
        "/portal/en/request",
        {"account_id": "L2", "email": "L0", "phone": "L0", "name": "L0"},
    )
    await blocked(intake, path, COPIED, UNPROVED)
    before = await intake.types()
    await presses(door, ada)
    assert "belong to the same person" in ada.text
    assert path.rpartition("/")[2] not in ada.html
    assert (await ada.open("/portal/en/request")).status == 403
    assert (await ada.open("/portal/en/request/letters")).status == 403
    assert (await levels(intake, path))["email"] == "L0"
    assert await intake.types() == before, "nothing is searched by it"
    assert (await eve.open("/portal/en/request")).status == 200
    assert await waiting(door) == [], "nobody of ours need look"


async def test_whoever_signs_in_at_a_strangers_request_proves_nothing_of_it(door: Opened) -> None:
    eve, ada, intake = door.visitor(), door.visitor(), door.intake
    path = f"/v1/requests/{await asked(eve, email=EVE, account=ADAS)}"
    (letter,) = await door.letters()
    await presses(door, ada)  # the stranger has passed the link on
    assert ada.path == "/portal/en/request"
    await blocked(intake, path, COPIED, UNPROVED)
    await signs_in(door, ada, ADAS)
    assert all(each in ada.text for each in ("belong to the same person", "ask again"))
    await (await eve.open("/portal/en/code")).send(code=code_in(letter))
    await (await eve.open("/portal/en/follow")).send(reference=path.rpartition("/")[2])
    await eve.send(code=code_in((await door.letters())[-1]))
    assert eve.path == "/portal/en/request"
    assert (await levels(intake, path))["account_id"] == "L0"
    assert "retry_decided" not in await intake.types()


async def test_whoever_has_signed_in_before_they_open_a_strangers_link_proves_nothing_of_it(door: Opened) -> None:
    eve, ada = door.visitor(), door.visitor()
    await signs_in(door, ada, ADAS)
    path = f"/v1/requests/{await asked(eve, email=EVE, account=ADAS)}"
    await presses(door, ada)
    assert (await levels(door.intake, path))["account_id"] == "L0"


async def test_stranger_cannot_sign_in_after_another_person_proved_the_request(door: Opened) -> None:
    eve, ada = door.visitor(), door.visitor()
    path = f"/v1/requests/{await asked(eve, email=ADA, account=EVES)}"
    await presses(door, ada)
    assert ada.path == "/portal/en/request"
    await signs_in(door, eve, EVES)
    assert "belong to the same person" in eve.text
    assert [(await eve.open(f"/portal/en/request{each}")).status for each in ("", "/letters", "/answer")] == [403] * 3
    assert (await levels(door.intake, path))["account_id"] == "L0"
    assert (await ada.open("/portal/en/request")).status == 200


async def test_where_a_system_has_filed_both_under_one_person_the_sign_in_counts(door: Opened) -> None:
    ada, intake = door.visitor(), door.intake
    path = f"/v1/requests/{await asked(ada, account=ADAS)}"
    await presses(door, ada)
    await finds(intake, path, Identity(IdentityType.ACCOUNT_ID, ADAS))
    await blocked(intake, path, COPIED, UNPROVED)
    await signs_in(door, ada, ADAS)
    assert (ada.path, "belong to the same person" in ada.text) == ("/portal/en/request", False)
    assert (await levels(intake, path))["account_id"] == "L2"
    assert (await intake.officer.get(path)).json()["state"] == "in_progress"


async def test_another_persons_proof_is_refused_with_a_clear_answer_and_changes_nothing(intake: Intake) -> None:
    path = await intake.submit(subject=SUBJECT, assurance=None, proofs=[LINKED])
    await blocked(intake, path, COPIED, UNPROVED)
    before = await intake.view(path)
    by_hand = {**SIGNED_IN, "method": "in_person"}
    for caller, proof in ((intake.channel, SIGNED_IN), (intake.officer, by_hand)):
        refused = await caller.post(f"{path}/verify", json={"proofs": [proof]})
        assert (refused.status_code, "is the same person's" in refused.text) == (409, True)
    assert (await levels(intake, path))["account_id"] == "L0"
    assert await intake.view(path) == before
    (await intake.officer.post(f"{path}/proof-withdrawal", json={"identity": "email"})).raise_for_status()
    (await intake.channel.post(f"{path}/verify", json={"proofs": [SIGNED_IN]})).raise_for_status()
    assert (await levels(intake, path))["account_id"] == "L2", "the first accepted proof determines who asks"


async def test_what_a_channel_proves_in_one_call_is_one_persons(intake: Intake) -> None:
    path = await intake.submit(subject=SUBJECT, assurance=None, proofs=[LINKED])
    await blocked(intake, path, COPIED, UNPROVED)
    (await intake.channel.post(f"{path}/verify", json={"proofs": [LINKED, SIGNED_IN]})).raise_for_status()
    assert (await levels(intake, path))["account_id"] == "L2"


async def test_a_proof_that_comes_while_systems_are_at_work_is_refused(intake: Intake) -> None:
    path = await intake.submit(subject=SUBJECT, assurance=None, proofs=[LINKED])
    late = await intake.channel.post(f"{path}/verify", json={"proofs": [LINKED, SIGNED_IN]})
    assert (late.status_code, (await levels(intake, path))["account_id"]) == (409, "L0")


async def test_whoever_signs_in_at_an_answered_request_is_told_that_it_changes_nothing(door: Opened) -> None:
    ada = door.visitor()
    path = f"/v1/requests/{await asked(ada, account=ADAS)}"
    await presses(door, ada)
    await door.intake.complete(path, tasks=(EXPORTED,))
    await signs_in(door, ada, ADAS)
    assert (ada.path, "waits for no more proof" in ada.text) == ("/portal/en/request", True)


async def test_a_session_ends_at_what_it_has_shown_once_that_proves_the_request_no_more(door: Opened) -> None:
    eve, ada = door.visitor(), door.visitor()
    path = f"/v1/requests/{await asked(eve, email=ADA, account=EVES)}"
    await signs_in(door, eve, EVES)
    wrong = await door.intake.officer.post(f"{path}/proof-withdrawal", json={"identity": "account_id"})
    assert wrong.status_code == 200
    await blocked(door.intake, path, COPIED, UNPROVED.model_copy(update={"level": "L1"}))
    await presses(door, ada)
    assert [(await each.open("/portal/en/request")).status for each in (ada, eve)] == [200, 403]


# Proof that a person enters by hand: only by what people can observe, and by two where it opens or erases data.
IN_PERSON = {"assurance": {"level": "L2", "method": "in_person"}}
SUBJECT_BY_HAND = {"email": "ada@example.org", "account_id": "C-17", "country": "DE"}


async def unproved(intake: Intake, right: str = "access", **more: object) -> str:
    return await intake.submit(right=right, subject=SUBJECT_BY_HAND, assurance=None, **more)


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
    submission = {"right": "erasure", "subject": SUBJECT_BY_HAND, **IN_PERSON}
    assert (await intake.officer.post("/v1/requests", json=submission)).status_code == 403
    path = await intake.submit(subject=SUBJECT_BY_HAND)
    await intake.ask(path, "clarification")
    proofs = [{"identity": "account_id", "method": "in_person"}]
    reply = {"text": "All of it.", "subject": SUBJECT_BY_HAND, "proofs": proofs}
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
