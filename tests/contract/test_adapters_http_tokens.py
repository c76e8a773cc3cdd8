"""A declared system's tokens are had when they are needed, and its pauses are kept."""

import json
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from shared.domain.errors import SignInRefused
from shared.downstreams.contract import Pending, Receipt
from tests.contract.http_stands import declared
from tests.contract.one_resource import DECLARATION, ME, OAUTH, Ask, once, people
from tests.fixtures.engine import SetClock


async def test_a_token_is_had_once_and_anew_when_it_is_refused(ask: Ask) -> None:
    given: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/token":
            assert request.content == b"grant_type=client_credentials&client_id=us&client_secret=secret"
            given.append(f"t{len(given)}")
            return httpx.Response(200, json={"access_token": given[-1], "expires_in": 3600})
        fresh = request.headers["authorization"] == "Bearer t1"
        return people(ME) if fresh else httpx.Response(401)

    assert isinstance(await ask(handle, auth=OAUTH), Receipt)
    assert given == ["t0", "t1"]


@pytest.mark.parametrize(
    ("lasts", "seconds", "anew"),
    [(3600, 3_500, False), (3600, 3_590, True), ("3600", 3_500, False), (None, 280, True), (10**40, 200, False)],
)
async def test_a_token_is_had_anew_before_it_expires(
    tmp_path: Path, lasts: object, seconds: float, *, anew: bool
) -> None:
    given: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.path != "/api/token":
            assert request.headers["authorization"] == f"Bearer {given[-1]}"
            return people(ME)
        given.append(f"t{len(given)}")
        return httpx.Response(200, content=json.dumps({"access_token": given[-1], "expires_in": lasts}))

    (tmp_path / "saas.toml").write_text(DECLARATION.format(auth=OAUTH, find="", more=""))
    async with declared(tmp_path / "saas.toml", httpx.MockTransport(handle), SetClock()) as engine:
        await once(engine, erase=False)
        engine.clock.pass_by(seconds=seconds)
        assert isinstance(await once(engine, erase=False), Receipt)
    assert len(given) == 1 + anew


async def test_a_token_that_is_never_taken_ends_with_what_to_check(ask: Ask) -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        token = httpx.Response(200, json={"access_token": "t", "expires_in": 3600})
        return token if request.url.path == "/api/token" else httpx.Response(401)

    result = await ask(handle, auth=OAUTH)
    assert isinstance(result, SignInRefused)
    assert "CLIENT and CLIENT_SECRET" in str(result)
    assert "secret" not in str(result).replace("CLIENT_SECRET", "")


@pytest.mark.parametrize(
    ("header", "after"),
    [
        ("7", timedelta(seconds=7)),
        ("Mon, 02 Mar 2026 09:02:00 GMT", timedelta(minutes=2)),
        ("99999999999999", timedelta(minutes=15)),
        ("Fri, 31 Dec 9999 23:59:59 GMT", timedelta(minutes=15)),
        ("0", timedelta(seconds=1)),
        ("Mon, 02 Mar 2020 09:02:00 GMT", timedelta(seconds=1)),
        ("soon", timedelta(minutes=1)),
        ("-5", timedelta(minutes=1)),
    ],
)
async def test_a_pause_is_kept_and_a_senseless_one_is_bounded(ask: Ask, header: str, after: timedelta) -> None:
    result = await ask(lambda _: httpx.Response(429, headers={"retry-after": header}))
    assert isinstance(result, Pending)
    assert (result.retry_in, result.busy) == (after, True)
