"""Access to the portal by token or link: issuer, person, duration and scope."""

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet, OKPKey
from uuid_utils.compat import uuid7

from services.intake.core.errors import BadRequest
from services.portal.sign_in import SignInTokens
from shared.domain import reference as references
from shared.domain.events import FulfilmentBlocked
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import TaskReport
from shared.storage.subject_data import encode_identities
from shared.storage.vault import Sealing
from tests.fixtures.console import OpenedConsole
from tests.fixtures.engine import SetClock
from tests.fixtures.events import a
from tests.fixtures.intake import PROOF, Intake, id_of
from tests.fixtures.portal import URL, Opened, Visitor, code_in, link_in, opened, waiting
from tests.integration.test_console_decisions import approval, decided
from tests.integration.test_portal import EXPORTED, asked, at_the_check
from tests.integration.test_proof_in_part import LINKED, UNPROVED
from tests.integration.test_unsearched import COPIED, blocked

KEY = OKPKey.generate_key("Ed25519", {"kid": "k1"})
ISSUER = "https://my.example"


def token(clock: SetClock, key: OKPKey = KEY, **changed: Any) -> str:
    now = int(clock.now().timestamp())
    said = {"iss": ISSUER, "aud": URL, "iat": now, "exp": now + 120, "jti": "one", "sub": "CU-17", "amr": ["pwd"]}
    said |= {"email_verified": True} if "email" in changed else {}
    known = {name: value for name, value in {**said, **changed}.items() if value is not None}
    return jwt.encode({"alg": "Ed25519", "kid": "k1"}, known, key, algorithms=["Ed25519"])


def reads(clock: SetClock, text: str) -> Any:
    return SignInTokens(KeySet([OKPKey.import_key(KEY.as_dict(private=False))]), ISSUER, URL).read(text, clock.now())


@pytest.mark.parametrize(
    ("amr", "method"),
    [
        (["pwd"], "account"),
        ([], "account"),
        (["otp"], "account"),
        (["hwk", "user"], "account"),
        (["otp", "sc"], "account"),
        ("mfa", "account"),
        (["mfa"], "signed_in_mfa"),
        *((["pwd", second], "signed_in_mfa") for second in ("otp", "hwk", "sc", "swk")),
    ],
)
def test_a_second_factor_proves_more(clock: SetClock, amr: list[str] | str, method: str) -> None:
    who, token_id = reads(clock, token(clock, amr=amr))
    assert (who.account_id, who.method, token_id) == ("CU-17", method, "one")


@pytest.mark.parametrize(
    ("verified", "email"), [(True, "ada@example.org"), (False, None), (None, None), ("true", None), (1, None)]
)
def test_address_counts_only_if_verified_by_the_token(clock: SetClock, verified: object, email: str | None) -> None:
    who, _ = reads(clock, token(clock, email="ada@example.org", email_verified=verified))
    assert (who.account_id, who.email) == ("CU-17", email)


@pytest.mark.parametrize(
    "wrong",
    [
        {"iss": "https://elsewhere.example"},
        {"aud": "https://elsewhere.example"},
        {"jti": None},
        {"sub": None},
        {"exp": None},
        {"iat": 0},
        {"exp": 9_999_999_999},
        {"key": OKPKey.generate_key("Ed25519", {"kid": "k1"})},
    ],
)
def test_expired_or_foreign_sign_in_token_is_refused(clock: SetClock, wrong: dict[str, Any]) -> None:
    with pytest.raises(BadRequest):
        reads(clock, token(clock, **wrong))
    made_up = token(clock).rpartition(".")[0] + "."
    with pytest.raises(BadRequest):
        reads(clock, made_up)
    late = token(clock)
    clock.at += timedelta(minutes=5)
    with pytest.raises(BadRequest):
        reads(clock, late)


@pytest.fixture
async def door(intake: Intake, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Opened]:
    keys = tmp_path / "keys.json"
    keys.write_bytes(orjson.dumps(KeySet([KEY]).as_dict(private=False)))
    settings = {"sign_in_url": f"{ISSUER}/privacy", "sign_in_issuer": ISSUER, "sign_in_keys": str(keys)}
    async with opened(intake, monkeypatch, **settings) as door:
        yield door


async def test_a_sign_in_is_good_once_and_proves_what_the_request_states(door: Opened) -> None:
    clock, ada, eve = door.intake.clock, door.visitor(), door.visitor()
    text = token(clock, email="ada@example.org", amr=["pwd", "otp"])
    for visitor in (ada, eve):
        await visitor.open(f"/portal/en/signed-in?token={text}")
        await visitor.send()
    assert (ada.path, eve.status) == ("/portal/en/ask/right", 400)
    reference = await asked(ada)
    assert "One more step" not in ada.text
    assert references.of(UUID(reference)) in (await ada.open("/portal/en/request")).text, "nothing more is to be proved"
    view = (await door.intake.officer.get(f"/v1/requests/{reference}")).json()
    assert view["state"] == "in_progress"
    (received, *_) = (await door.intake.officer.get(f"/v1/requests/{reference}/timeline")).json()["data"]
    assert {(each["type"], each["level"]) for each in received["detail"]["proofs"]} == {
        ("account_id", "L2"),
        ("email", "L2"),
    }


async def test_second_factor_is_offered_during_review_and_then_searched(door: Opened) -> None:
    clock, ada = door.intake.clock, door.visitor()
    await (await ada.open(f"/portal/en/signed-in?token={token(clock, email='ada@example.org')}")).send()
    reference = await asked(ada)
    known = {"operation": "export", "outcome": None}
    failed = {"task_id": uuid7(), "system": "crm", **known, "failure": "system_refused"}
    unproved = {"task_id": uuid7(), "system": "cdr", **known, "outcome": "not_searched"}
    unproved |= {"not_searched": "not_proved", "level": "L2"}
    tasks = tuple(TaskReport.model_validate(each) for each in (failed, unproved))
    await door.intake.consume(a(FulfilmentBlocked, about=reference, operation="export", tasks=tasks))
    assert (await door.intake.officer.get(f"/v1/requests/{reference}")).json()["state"] == "awaiting_decision"
    await ada.open("/portal/en/request")
    assert f"{ISSUER}/privacy" in ada.html
    assert ("with a second factor" in ada.text, "You need do nothing" in ada.text) == (True, False)
    second = token(clock, jti="two", email="ada@example.org", amr=["pwd", "otp"])
    await (await ada.open(f"/portal/en/signed-in?token={second}")).send()
    assert ada.path == "/portal/en/request"
    assert (await door.intake.officer.get(f"/v1/requests/{reference}")).json()["state"] == "in_progress"


async def test_a_sign_in_opens_the_request_that_states_it_and_no_other(door: Opened) -> None:
    ada, clock = door.visitor(), door.intake.clock
    reference = await asked(ada)
    await (await ada.open(f"/portal/en/signed-in?token={token(clock, email='eve@example.org')}")).send()
    assert ada.path == "/portal/en/ask/right"
    assert (await ada.open("/portal/en/request")).status == 403
    await (await ada.open(f"/portal/en/signed-in?token={token(clock, jti='two', email='ada@example.org')}")).send()
    assert ada.path == "/portal/en/request"
    assert references.of(UUID(reference)) in ada.text
    assert (await door.intake.officer.get(f"/v1/requests/{reference}")).json()["state"] == "in_progress"


async def test_a_sign_in_proves_no_request_that_another_channel_has_submitted(door: Opened) -> None:
    ada, clock = door.visitor(), door.intake.clock
    partners = await door.intake.submit(subject={"account_id": "CU-17"}, assurance=None, proofs=[])
    await (await ada.open("/portal/en/follow")).send(reference=partners.rpartition("/")[2])
    await ada.open(f"/portal/en/signed-in?token={token(clock)}")
    assert "What was asked for" not in ada.text
    await ada.send()
    assert ada.path == "/portal/en/ask/right"
    assert (await door.intake.officer.get(partners)).json()["state"] == "awaiting_identity"


async def test_a_sign_in_shows_what_was_asked_and_counts_for_it_once_that_is_confirmed(door: Opened) -> None:
    ada, clock = door.visitor(), door.intake.clock
    reference = await asked(ada)
    for jti, answer, path, state in (
        ("no", {"mine": ""}, "/portal/en/ask/right", "awaiting_identity"),
        ("yes", {}, "/portal/en/request", "in_progress"),
    ):
        await ada.open(f"/portal/en/signed-in?token={token(clock, jti=jti, email='ada@example.org')}")
        assert ("Give me a copy of my data" in ada.text, "What was asked for" in ada.text) == (True, True)
        assert (await ada.send(**answer)).path == path
        assert (await door.intake.officer.get(f"/v1/requests/{reference}")).json()["state"] == state


async def test_sign_in_with_another_address_proves_both(door: Opened) -> None:
    clock, ada, again = door.intake.clock, door.visitor(), door.visitor()
    signed: dict[str, Any] = {"email": "ada@example.org", "amr": ["pwd", "otp"]}
    await (await ada.open(f"/portal/en/signed-in?token={token(clock, **signed)}")).send()
    reference = await asked(ada, email="ada@elsewhere.example", account="C-9")
    assert "One more step" in ada.text, "nothing is sent to an unproved address"
    view = (await door.intake.officer.get(f"/v1/requests/{reference}")).json()
    assert view["state"] == "in_progress"
    await (await again.open(link_in((await door.letters())[0]))).send()
    assert "sign in again" in again.text, "another device may belong to another person"
    assert (await again.open("/portal/en/request")).status == 403
    await (await again.open(f"/portal/en/signed-in?token={token(clock, jti='two', **signed)}")).send()
    assert (again.path, references.of(UUID(reference)) in again.text) == ("/portal/en/request", True)


async def test_who_has_signed_in_sees_as_whom_before_they_send_and_can_ask_for_another_account(door: Opened) -> None:
    ada = door.visitor()
    await (await ada.open(f"/portal/en/signed-in?token={token(door.intake.clock)}")).send()
    await at_the_check(ada, account="C-9")
    assert ("CU-17, as which you have signed in" in ada.text, "C-9" in ada.text) == (True, False)
    shown = Visitor(ada.client, ada.path, ada.status, ada.html)
    await ada.open("/portal/en/ask/details")
    await ada.send("/portal/en/signed-in/forget")
    await shown.send()
    assert (shown.status, "CU-17" in shown.text) == (422, False), "what is sent is what was shown"


async def test_draft_survives_the_link_of_another_request(door: Opened) -> None:
    ada = door.visitor()
    await asked(ada)
    await ada.open("/portal/en/ask/right")
    await ada.send(right="rectification")
    await ada.send(field="name", asserted="Ada Quarz")
    await ada.send(whom="me")
    window = Visitor(ada.client, ada.path, ada.status, ada.html)
    await (await ada.open(link_in((await door.letters())[0]))).send()
    assert ada.path == "/portal/en/request"
    await window.send(email="ada@example.org")
    assert (window.status, "another window" in window.text) == (403, True)
    await window.open("/portal/en/ask/check")
    assert window.path == "/portal/en/ask/contact", "it goes on where it was"
    await (await window.send(email="ada@example.org")).send()
    assert "Ada Quarz" in window.text
    await window.send()
    due = re.findall(r"We answer by (.*?)\.", window.text)
    assert due
    assert due[0] not in (await window.open("/portal/de/sent")).text, "a day is said in the language of the page"


# A link shows what it confirms; it can be repudiated, which needs a person.


async def test_before_the_button_the_letter_and_the_page_say_what_was_asked_for(door: Opened) -> None:
    await asked(door.visitor())
    (letter,) = await door.letters()
    assert "What was asked for: access." in letter["html"]
    page = await door.visitor().open(link_in(letter))
    assert "Give me a copy of my data" in page.text
    assert page.html.index("Give me a copy") < page.html.index("Yes, I have asked for this")
    assert "Ada" not in page.html, "no one is named"
    await page.send(answer="")
    assert (page.path, await door.intake.types()) == (link_in(letter), ["received"]), "no button has sent that"


async def test_disowned_request_is_not_worked_and_sends_no_more_mail(door: Opened) -> None:
    eve, ada = door.visitor(), door.visitor()
    reference = await asked(eve)
    await (await eve.open("/portal/en/follow")).send(reference=reference)
    first, second = await door.letters()
    await (await ada.open(link_in(first))).send(answer="not_me")
    assert "nothing is done" in ada.text
    for link in map(link_in, (first, second)):
        assert "not good any more" in (await door.visitor().open(link)).text
        assert "not good any more" in (await (await door.visitor().open("/portal/en/follow")).open(link)).text
    await (await eve.open("/portal/en/follow")).send(reference=reference)
    assert eve.path == "/portal/en/code", "who asks sees no difference"
    assert len(await door.letters()) == 2
    assert await waiting(door) == [(reference, "disowned")]
    assert (await door.intake.channel.get("/v1/stopped-proofs")).status_code == 403
    assert await door.intake.types() == ["received"]


# Staff ask an account's contact on file whether a request is theirs; the answer goes to the person who confirms.
NEW, OLD, ACCOUNT = "ada.new@example.net", "Ada@Example.org", "CU-17"
ASKED = {"question": "identity", "text": "Is this account yours?", "contact_on_file": OLD}


async def test_contact_on_file_that_confirms_gets_the_answer_alone(door: Opened) -> None:
    intake, eve, ada = door.intake, door.visitor(), door.visitor()
    reference = await asked(eve, email=NEW, account=ACCOUNT)
    path = f"/v1/requests/{reference}"
    assert (await intake.officer.post(f"{path}/actions/ask", json=ASKED)).status_code == 202
    assert len(await door.letters()) == 1, "one person might enter an address of their own"
    assert (await intake.officer.post(f"{path}/actions/ask", json=ASKED)).status_code == 409
    assert (await intake.colleague.post(f"{path}/actions/ask", json=ASKED)).status_code == 200
    theirs, contacts = await door.letters()
    assert (theirs["to"], contacts["to"]) == ([NEW], ["ada@example.org"])
    assert NEW not in contacts["html"]
    await (await ada.open(link_in(contacts))).send(answer="mine")
    assert ada.path == "/portal/en/request"
    assert {kind: level for kind, level in (await levels(intake, path)).items() if level > "L0"} == {
        "account_id": "L1",
        "email": "L1",
    }
    sheet = (await intake.officer.get(f"{path}/statement")).json()
    assert NEW not in [each["value"] for each in sheet["identities"]], "the asker's address counts for nothing"
    assert sheet["letters_go_to"] == ["ada@example.org"]
    assert "verified" in await intake.types()
    await (await eve.open(link_in(theirs))).send(answer="mine")
    assert eve.path != "/portal/en/request", "a later proof of another address does not count"
    await intake.complete(path, tasks=(EXPORTED,))
    assert [each["to"] for each in await door.letters("portal_news")][-1] == ["ada@example.org"]
    await (await door.visitor().open("/portal/en/follow")).send(reference=reference)
    assert (await door.letters())[-1]["to"] == ["ada@example.org"]


async def test_a_contact_on_file_is_asked_only_where_its_proof_would_count(door: Opened) -> None:
    intake, eve = door.intake, door.visitor()
    unnamed = f"/v1/requests/{await asked(door.visitor(), email=NEW)}/actions/ask"
    named = f"/v1/requests/{await asked(eve, email=NEW, account=ACCOUNT)}/actions/ask"
    for path, changed, status in (
        (unnamed, {}, 400),
        (named, {"contact_on_file": "no one"}, 400),
        (named, {"question": "clarification"}, 422),
    ):
        assert (await intake.officer.post(path, json={**ASKED, **changed})).status_code == status, changed
    await (await eve.open(link_in((await door.letters())[-1]))).send(answer="mine")
    refused = await intake.officer.post(named, json=ASKED)
    assert (refused.status_code, "revoke that proof first" in refused.text) == (409, True)
    assert len(await door.letters()) == 2, "nothing went to the contact"


# Two people each prove a part of one request: it goes on by the first, and neither sees anything of the other.

ADA, EVE = "ada@example.org", "eve@example.org"
ADAS, EVES = "CU-17", "CU-669"
SIGNED_IN = {"identity": "account_id", "method": "signed_in_mfa"}
SUBJECT = {"email": ADA, "account_id": ADAS, "country": "DE"}


async def signs_in(door: Opened, visitor: Visitor, account: str, **more: Any) -> Visitor:
    said = {"sub": account, "jti": account, "amr": ["pwd", "otp"], **more}
    return await (await visitor.open(f"/portal/en/signed-in?token={token(door.intake.clock, **said)}")).send()


async def presses(door: Opened, visitor: Visitor) -> Visitor:
    return await (await visitor.open(link_in((await door.letters())[-1]))).send(answer="mine")


async def levels(intake: Intake, path: str) -> dict[str, str]:
    """Returns the level of each stated identity."""
    async with intake.unit_of_work.begin() as tx:
        ref = await tx.connection.fetchval("SELECT subject_ref FROM request WHERE request_id = $1", id_of(path))
        known = (await tx.vault.subject_data(tx.connection, [ref]))[ref].identities
    return {each.type.value: each.level for each in known if each.source == "requester"}


async def finds(intake: Intake, path: str, *identities: Identity) -> None:
    """Yields these identities for the person found by proved ones."""
    async with intake.unit_of_work.begin() as tx:
        ref = await tx.connection.fetchval("SELECT subject_ref FROM request WHERE request_id = $1", id_of(path))
        content = encode_identities(replace(each, source="crm", level="L1") for each in identities)
        await tx.vault.seal(tx.connection, [Sealing(ref, "identities", "crm", content)], tx.now)


async def test_confirming_a_strangers_request_gives_the_stranger_nothing(door: Opened) -> None:
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
    assert await waiting(door) == [], "no officer needs to look"


async def test_sign_in_proves_no_request_of_a_stranger(door: Opened) -> None:
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
    assert "retry_requested" not in await intake.types()


async def test_earlier_sign_in_proves_no_request_of_a_stranger(door: Opened) -> None:
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


async def test_proof_of_another_person_is_refused_with_a_clear_answer_and_changes_nothing(intake: Intake) -> None:
    path = await intake.submit(subject=SUBJECT, assurance=None, proofs=[LINKED])
    await blocked(intake, path, COPIED, UNPROVED)
    before = await intake.view(path)
    by_hand = {**SIGNED_IN, "method": "in_person"}
    for caller, proof in ((intake.channel, SIGNED_IN), (intake.officer, by_hand)):
        refused = await caller.post(f"{path}/actions/verify", json={"proofs": [proof]})
        assert (refused.status_code, "is the same person's" in refused.text) == (409, True)
    assert (await levels(intake, path))["account_id"] == "L0"
    assert await intake.view(path) == before
    (await intake.officer.post(f"{path}/actions/revoke-proof", json={"identity": "email"})).raise_for_status()
    (await intake.channel.post(f"{path}/actions/verify", json={"proofs": [SIGNED_IN]})).raise_for_status()
    assert (await levels(intake, path))["account_id"] == "L2", "the first accepted proof determines who asks"


async def test_proofs_of_one_call_belong_to_one_person(intake: Intake) -> None:
    path = await intake.submit(subject=SUBJECT, assurance=None, proofs=[LINKED])
    await blocked(intake, path, COPIED, UNPROVED)
    (await intake.channel.post(f"{path}/actions/verify", json={"proofs": [LINKED, SIGNED_IN]})).raise_for_status()
    assert (await levels(intake, path))["account_id"] == "L2"


async def test_a_proof_that_comes_while_systems_are_at_work_is_refused(intake: Intake) -> None:
    path = await intake.submit(subject=SUBJECT, assurance=None, proofs=[LINKED])
    late = await intake.channel.post(f"{path}/actions/verify", json={"proofs": [LINKED, SIGNED_IN]})
    assert (late.status_code, (await levels(intake, path))["account_id"]) == (409, "L0")


async def test_sign_in_after_the_answer_says_that_nothing_changes(door: Opened) -> None:
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
    wrong = await door.intake.officer.post(f"{path}/actions/revoke-proof", json={"identity": "account_id"})
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
    answer = await getattr(intake, by).post(f"{path}/actions/verify", json=said or IN_PERSON)
    return answer.status_code, (await intake.view(path))["state"]


async def test_a_person_states_no_method_that_only_a_machine_observes(intake: Intake) -> None:
    path = await unproved(intake)
    for method in ("portal", "signed_in_mfa", "two_contact_points", "account", "contact_link"):
        refused = await intake.officer.post(
            f"{path}/actions/verify", json={"assurance": {"level": "L1", "method": method}}
        )
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (400, "assurance.method")
        assert "in_person, post" in refused.text


async def test_a_person_states_no_proof_with_a_request_or_an_answer(intake: Intake) -> None:
    submission = {"right": "erasure", "subject": SUBJECT_BY_HAND, **IN_PERSON}
    assert (await intake.officer.post("/v1/requests", json=submission)).status_code == 403
    path = await intake.submit(subject=SUBJECT_BY_HAND)
    await intake.ask(path, "clarification")
    proofs = [{"identity": "account_id", "method": "in_person"}]
    reply = {"text": "All of it.", "subject": SUBJECT_BY_HAND, "proofs": proofs}
    assert (await intake.officer.post(f"{path}/actions/record-reply", json=reply)).status_code == 403


CORRECTED = {"changes": [{"field": "email", "asserted": "mallory@example.org"}]}


@pytest.mark.parametrize("right", ["access", "portability", "erasure", "rectification"])
async def test_proof_by_hand_for_export_erasure_or_correction_needs_dual_approval(intake: Intake, right: str) -> None:
    path = await unproved(intake, right, **(CORRECTED if right == "rectification" else {}))
    assert await verified(intake, path, "officer") == (202, "awaiting_identity")
    assert await verified(intake, path, "officer") == (409, "awaiting_identity")
    other = {"assurance": {"level": "L2", "method": "post"}}
    assert await verified(intake, path, "colleague", **other) == (202, "awaiting_identity"), "that is not the same"
    assert await verified(intake, path, "officer", **other) == (200, "in_progress")
    proposed = await intake.details(path, "proof.proposed")
    assert [each["holder"] for each in proposed] == ["officer-1", "officer-2"]


async def test_proof_by_hand_for_a_restriction_needs_one_person(intake: Intake) -> None:
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
    assert all(each in anton.text for each in ("Verify identity", "hanna"))
    await anton.open(f"{await approval(intake, path)}/approve")
    assert "in_person" in anton.text
    await anton.send(step="confirm")
    assert (await intake.view(path))["state"] == "in_progress"
    assert "hanna" not in (await anton.open("/console/approvals")).text


async def test_the_privacy_team_fetches_no_package(intake: Intake) -> None:
    path = await intake.submit()
    for what in ("package", "report"):
        refused = await intake.officer.post(f"{path}/downloads", json={"what": what})
        assert (refused.status_code, "role channel" in refused.text) == (403, True)
