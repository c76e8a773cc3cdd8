"""Who comes from the customer portal with a token: who vouches, for whom, for how long, and for what."""

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet, OKPKey
from uuid_utils.compat import uuid7

from services.intake.errors import BadRequest
from services.intake.portal.sign_in import SignInTokens
from shared.domain import reference as references
from shared.domain.events import FulfilmentBlocked
from shared.domain.operations import TaskReport
from tests.fixtures.engine import SetClock
from tests.fixtures.events import a
from tests.fixtures.intake import Intake
from tests.fixtures.portal import URL, Opened, Visitor, link_in, opened
from tests.integration.test_portal import asked, at_the_check

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
def test_an_address_counts_only_where_the_token_says_that_it_is_verified(
    clock: SetClock, verified: object, email: str | None
) -> None:
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
def test_a_token_that_is_not_of_now_or_not_for_us_lets_nobody_in(clock: SetClock, wrong: dict[str, Any]) -> None:
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
    (received, *_) = (await door.intake.officer.get(f"/v1/requests/{reference}/timeline")).json()["entries"]
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
    assert "One more step" in ada.text, "nothing is written to an address that nobody has proved"
    view = (await door.intake.officer.get(f"/v1/requests/{reference}")).json()
    assert view["state"] == "in_progress"
    await (await again.open(link_in((await door.letters())[0]))).send()
    assert "sign in again" in again.text, "on another device nobody can tell that it is the same person"
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


async def test_what_somebody_is_writing_goes_on_when_the_link_of_another_request_is_used(door: Opened) -> None:
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
