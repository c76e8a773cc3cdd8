"""Who comes from the customer portal with a token: who vouches, for whom, for how long, and for what."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet, OKPKey

from services.intake.errors import BadRequest
from services.intake.portal.sign_in import SignInTokens
from tests.fixtures.engine import SetClock
from tests.fixtures.intake import Intake
from tests.fixtures.portal import URL, Opened, opened
from tests.integration.test_portal import asked

KEY = OKPKey.generate_key("Ed25519", {"kid": "k1"})
ISSUER = "https://my.example"


def token(clock: SetClock, key: OKPKey = KEY, **changed: Any) -> str:
    now = int(clock.now().timestamp())
    said = {"iss": ISSUER, "aud": URL, "iat": now, "exp": now + 120, "jti": "one", "sub": "CU-17", "amr": ["pwd"]}
    known = {name: value for name, value in {**said, **changed}.items() if value is not None}
    return jwt.encode({"alg": "Ed25519", "kid": "k1"}, known, key, algorithms=["Ed25519"])


def reads(clock: SetClock, text: str) -> Any:
    return SignInTokens(KeySet([OKPKey.import_key(KEY.as_dict(private=False))]), ISSUER, URL).read(text, clock.now())


@pytest.mark.parametrize(
    ("amr", "method"),
    [(["pwd"], "account"), (["pwd", "otp"], "signed_in_mfa"), (["mfa"], "signed_in_mfa"), ([], "account")],
)
def test_a_second_factor_proves_more(clock: SetClock, amr: list[str], method: str) -> None:
    who, token_id = reads(clock, token(clock, amr=amr))
    assert (who.account_id, who.method, token_id) == ("CU-17", method, "one")


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
async def door(intake: Intake, database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Opened]:
    keys = tmp_path / "keys.json"
    keys.write_bytes(orjson.dumps(KeySet([KEY]).as_dict(private=False)))
    settings = {"sign_in_url": f"{ISSUER}/privacy", "sign_in_issuer": ISSUER, "sign_in_keys": str(keys)}
    async with opened(intake, database, monkeypatch, **settings) as door:
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
    assert reference in (await ada.open("/portal/en/request")).text, "nothing more is to be proved"
    view = (await door.intake.officer.get(f"/v1/requests/{reference}")).json()
    assert view["state"] == "in_progress"
    (received, *_) = (await door.intake.officer.get(f"/v1/requests/{reference}/timeline")).json()["entries"]
    assert {(each["type"], each["level"]) for each in received["detail"]["proofs"]} == {
        ("account_id", "L2"),
        ("email", "L2"),
    }


async def test_a_sign_in_opens_the_request_that_states_it_and_no_other(door: Opened) -> None:
    ada, clock = door.visitor(), door.intake.clock
    reference = await asked(ada)
    await (await ada.open(f"/portal/en/signed-in?token={token(clock, email='eve@example.org')}")).send()
    assert ada.path == "/portal/en/ask/right"
    assert (await ada.open("/portal/en/request")).status == 403
    await (await ada.open(f"/portal/en/signed-in?token={token(clock, jti='two', email='ada@example.org')}")).send()
    assert ada.path == "/portal/en/request"
    assert reference in ada.text
    assert (await door.intake.officer.get(f"/v1/requests/{reference}")).json()["state"] == "in_progress"
