"""The door: whose key, how often, how much and in which form; what is refused stores nothing, and others go on."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import orjson
import pytest
from prometheus_client import REGISTRY

from deploy.local.postgres_databases import fetch
from services.intake import auth, submission
from services.intake.auth import create
from services.intake.quota import Quota
from shared.storage.keyring import Keyring
from shared.storage.postgres import connected
from tests.fixtures.engine import SetClock
from tests.fixtures.intake import FREELY, Intake, running
from tests.fixtures.live import eventually
from tests.integration.test_api import GOOD, MANY, ONE, UNKNOWN, is_problem, stored

JSON = {"Content-Type": "application/json"}


def body(**changed: object) -> bytes:
    return orjson.dumps({**GOOD, **changed})


class Unread:
    """A body that nobody may read."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        raise AssertionError("the body is read")


@pytest.mark.parametrize("path", [ONE, MANY, f"{UNKNOWN}/verify", f"{UNKNOWN}/nothing"])
async def test_nothing_of_a_body_is_read_for_who_has_no_key(intake: Intake, path: str) -> None:
    headers = {**JSON, "Authorization": f"Bearer dsr_{'0' * 12}_{'x' * 43}", "If-Match": '"1"'}
    answer = await intake.channel.post(path, content=Unread(), headers=headers)
    assert is_problem(answer, 401, "unauthorised")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


async def test_guessing_keys_is_slowed_down_and_who_has_one_goes_on_from_the_same_address(intake: Intake) -> None:
    guesses = [{"Authorization": f"Bearer dsr_{number:012x}_{'x' * 43}"} for number in range(300)]
    answers = [await intake.channel.get(UNKNOWN, headers=each) for each in guesses]
    assert {answer.status_code for answer in answers} == {401, 429}
    assert answers[0].status_code == 401
    slowed = next(answer for answer in answers if answer.status_code == 429)
    assert is_problem(slowed, 429, "too_many_calls")
    assert int(slowed.headers["Retry-After"]) >= 1
    assert (await intake.channel.post(ONE, json=GOOD)).status_code == 201


async def test_a_key_that_is_used_too_often_waits_and_the_others_do_not(
    monkeypatch: pytest.MonkeyPatch, database: str, clock: SetClock, keys: Keyring
) -> None:
    monkeypatch.setenv("DSR_INTAKE_CALL_RATE", "0.001")
    async with running(database, clock, keys) as intake:
        before = REGISTRY.get_sample_value("dsr_calls_refused_total", {"problem": "too_many_calls"}) or 0
        once = {**JSON, "If-Match": "*"}  # or the client of the test asks for it first
        answers = [await intake.channel.post(ONE, content=body(), headers=once) for _ in range(2)]
        assert answers[0].status_code == 201
        assert is_problem(answers[1], 429, "too_many_calls")
        assert REGISTRY.get_sample_value("dsr_calls_refused_total", {"problem": "too_many_calls"}) == before + 1
        assert int(answers[1].headers["Retry-After"]) > 1
        assert (await intake.officer.post(ONE, content=body(), headers=once)).status_code == 201
        assert await stored(intake) == 2


async def test_a_channel_has_half_of_what_may_be_under_way_and_another_goes_on(
    monkeypatch: pytest.MonkeyPatch, database: str, clock: SetClock, keys: Keyring
) -> None:
    monkeypatch.setenv("DSR_INTAKE_UNDER_WAY", "2")
    async with running(database, clock, keys) as intake, connected(database) as other:
        async with other.transaction():
            await other.execute("LOCK TABLE intake.request")
            held = asyncio.create_task(intake.channel.post(ONE, json=GOOD))
            refused = await eventually(lambda: refused_get(intake.channel))
            assert is_problem(refused, 429, "too_many_calls")
            assert refused.headers["Retry-After"] == "1"
            elsewhere = await intake.officer.get("/v1/none")
        assert elsewhere.status_code == 404
        assert (await held).status_code == 201
        assert (await intake.channel.get("/v1/none")).status_code == 404


async def refused_get(client: httpx.AsyncClient) -> httpx.Response | None:
    """An answer that refuses; None while there is none."""
    answer = await client.get("/v1/none")
    return answer if answer.status_code == 429 else None


async def test_what_waits_for_its_commit_is_bounded_and_nothing_is_lost(
    monkeypatch: pytest.MonkeyPatch, database: str, clock: SetClock, keys: Keyring
) -> None:
    monkeypatch.setenv("DSR_INTAKE_WAITING", "2000")

    async def submit(client: httpx.AsyncClient, key: str) -> httpx.Response:
        return await client.post(MANY, json={"requests": [GOOD] * 1000}, headers={"Idempotency-Key": key})

    both = asyncio.Event()
    taken: list[str] = []

    class Noting(Quota):
        def take(self, who: str, amount: int) -> None:
            super().take(who, amount)
            taken.append(who)
            if len(taken) == 2:
                both.set()

    monkeypatch.setattr(submission, "Quota", Noting)
    async with running(database, clock, keys) as intake, connected(database) as other:
        third = httpx.AsyncClient(transport=intake.channel._transport, base_url="http://intake")  # noqa: SLF001
        third.headers["Authorization"] = f"Bearer {await create(database, 'channel', 'portal', clock.now(), FREELY)}"
        await asyncio.gather(*(client.get(UNKNOWN) for client in (intake.channel, intake.officer, third)))
        async with other.transaction():
            await other.execute("LOCK TABLE intake.request")
            waiting = [
                asyncio.create_task(submit(intake.channel, "a")),
                asyncio.create_task(submit(intake.officer, "b")),
            ]
            await both.wait()
            refused = await submit(third, "c")
            assert is_problem(refused, 503, "overloaded")
            assert refused.headers["Retry-After"] == "1"
            assert is_problem(await submit(intake.channel, "d"), 429, "too_many_calls")
        assert [(await each).status_code for each in waiting] == [201, 201]
        assert [(await submit(client, key)).status_code for client, key in ((third, "c"), (intake.channel, "d"))] == [
            201,
            201,
        ]
        assert await stored(intake) == 4000
        await third.aclose()


async def test_bodies_that_are_under_way_are_bounded_for_a_channel_and_given_back(
    monkeypatch: pytest.MonkeyPatch, database: str, clock: SetClock, keys: Keyring
) -> None:
    monkeypatch.setenv("DSR_INTAKE_HELD_BYTES", str(2**20))
    async with running(database, clock, keys) as intake:
        for _ in range(3):
            answer = await intake.channel.post(MANY, content=b" " * (2**19 + 1), headers=JSON)
            assert is_problem(answer, 429, "too_many_calls")
        assert (await intake.channel.post(MANY, json={"requests": [GOOD]})).status_code == 201


async def test_a_call_that_is_no_batch_is_held_to_less(intake: Intake) -> None:
    long = b" " * (256 * 1024 + 1)
    for path in (ONE, f"{UNKNOWN}/reply"):
        assert is_problem(await intake.channel.post(path, content=long, headers=JSON), 413, "too_large")


async def test_more_telephone_numbers_than_are_looked_at_for_one_call_are_refused(intake: Intake) -> None:
    many = {**GOOD, "subject": {"phones": [{"number": "030 901820", "region": "DE"}] * 50}}
    answer = await intake.channel.post(MANY, json={"requests": [many] * 101})
    assert is_problem(answer, 413, "too_large")
    assert await stored(intake) == 0


async def test_of_a_body_in_which_everything_is_wrong_a_little_is_told(intake: Intake) -> None:
    wrong = {"a" * 500: 1, "b": 2}
    answer = await intake.channel.post(MANY, json={"requests": [wrong] * 1000})
    told = answer.json()["errors"]
    assert (answer.status_code, len(told)) == (422, 20)
    assert told[0]["field"] == "requests.0.right"
    assert max(len(each["field"]) for each in told) < 100


@pytest.mark.parametrize(
    ("method", "path", "headers", "content", "status", "code"),
    [
        ("POST", f"{ONE}/", JSON, body(), 404, "http"),
        ("GET", f"{UNKNOWN}/", {}, b"", 404, "http"),
        ("POST", "/v1%2frequests", JSON, body(), 404, "not_found"),
        ("GET", "/v1/requests/%2e%2e/docs", {}, b"", 404, "not_found"),
        ("POST", "//v1/requests", JSON, body(), 404, "http"),
        ("POST", ONE, {"Content-Type": "text/plain"}, body(), 415, "unsupported_type"),
        ("POST", ONE, {"Content-Type": "application/json; charset=latin-1"}, body(), 415, "unsupported_type"),
        ("POST", f"{UNKNOWN}/verify", {"Content-Type": "application/xml"}, b"<a/>", 415, "unsupported_type"),
        ("POST", ONE, {**JSON, "Content-Encoding": "gzip"}, body(), 415, "unsupported_type"),
        ("POST", ONE, JSON, body()[:-1] + b',"right":"access"}', 422, "invalid"),
        ("POST", f"{UNKNOWN}/verify", JSON, b'{"assurance": {}, "assurance": {}}', 422, "invalid"),
        ("POST", MANY, JSON, b'{"requests":[%s]}' % (body()[:-1] + b',"right":"access"}'), 422, "invalid"),
        ("POST", ONE, JSON, b"[" * 200_000, 422, "invalid"),
        ("POST", ONE, JSON, b'{"right": NaN}', 422, "invalid"),
        ("POST", ONE, JSON, '{"right": "é"}'.encode("latin-1"), 422, "invalid"),
    ],
)
async def test_what_is_not_as_it_should_be_is_refused_with_a_problem(
    intake: Intake, method: str, path: str, headers: dict[str, str], content: bytes, status: int, code: str
) -> None:
    answer = await intake.channel.request(method, path, headers=headers, content=content)
    assert is_problem(answer, status, code)
    assert "location" not in answer.headers
    assert await stored(intake) == 0


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=utf-8", None])
async def test_json_may_say_so_or_say_nothing(intake: Intake, kind: str | None) -> None:
    headers = {"Content-Type": kind} if kind else {}
    assert (await intake.channel.post(ONE, content=body(), headers=headers)).status_code == 201
    path = await intake.submit(assurance=None)
    proof = orjson.dumps({"assurance": GOOD["assurance"]})
    assert (await intake.channel.post(f"{path}/verify", content=proof, headers=headers)).status_code == 200


@pytest.mark.parametrize("name", ["Authorization", "Idempotency-Key", "Content-Type", "traceparent", "If-Match"])
async def test_a_header_that_comes_twice_is_refused(intake: Intake, name: str) -> None:
    rest = {**intake.channel.headers, **JSON}
    value = next((value for known, value in rest.items() if known.lower() == name.lower()), "x")
    headers = [*((k, v) for k, v in rest.items() if k.lower() != name.lower()), (name, value), (name, value)]
    transport: Any = intake.channel._transport  # noqa: SLF001  # the client would join them
    request = httpx.Request("POST", f"http://intake{ONE}", headers=headers, content=body())
    answer = await transport.handle_async_request(request)
    await answer.aread()
    assert is_problem(answer, 400, "bad_request")
    assert await stored(intake) == 0


async def test_a_method_that_a_path_does_not_have_is_told_with_those_that_it_has(intake: Intake) -> None:
    for path, allowed in ((ONE, "POST"), (UNKNOWN, "GET"), (f"{UNKNOWN}/lift", "POST")):
        answer = await intake.channel.delete(path)
        assert is_problem(answer, 405, "http")
        assert answer.headers["Allow"] == allowed


async def test_a_traceparent_that_is_none_is_neither_kept_nor_passed_on(intake: Intake, database: str) -> None:
    hostile = "ada.lovelace@example.org"
    answer = await intake.channel.post(ONE, json=GOOD, headers={"traceparent": hostile})
    assert answer.status_code == 201
    headers = await fetch(database, "SELECT encode(headers, 'escape') FROM intake.outbox")
    assert headers
    assert not [row for row in headers if hostile in row[0] or "traceparent" in row[0]]


async def test_behind_a_proxy_the_address_is_the_one_that_the_proxy_saw(
    monkeypatch: pytest.MonkeyPatch, database: str, clock: SetClock, keys: Keyring
) -> None:
    monkeypatch.setenv("DSR_INTAKE_PROXIES", "1")
    monkeypatch.setenv("DSR_INTAKE_REFUSALS_RATE", "0.001")

    async def guess(intake: Intake, seen: str) -> int:
        headers = {"Authorization": "Bearer nonsense", "X-Forwarded-For": seen}
        return (await intake.channel.get(UNKNOWN, headers=headers)).status_code

    async with running(database, clock, keys) as intake:
        assert [await guess(intake, "192.0.2.1") for _ in range(2)] == [401, 429]
        assert await guess(intake, "192.0.2.9, 192.0.2.1") == 429
        assert await guess(intake, "192.0.2.1, 192.0.2.9") == 401


async def test_a_key_id_with_another_secret_and_a_revoked_key_are_no_keys(intake: Intake, database: str) -> None:
    made = await create(database, "channel", "portal", intake.clock.now())
    revoked = await create(database, "channel", "portal", intake.clock.now())
    await auth.revoke(database, revoked.split("_")[1], intake.clock.now())
    for key in (f"{made[:-43]}{'x' * 43}", revoked):
        answer = await intake.channel.post(ONE, json=GOOD, headers={"Authorization": f"Bearer {key}"})
        assert is_problem(answer, 401, "unauthorised")
    assert await stored(intake) == 0


async def test_a_channel_decides_nothing_that_the_privacy_team_decides(intake: Intake) -> None:
    path = await intake.submit()
    asked = {"question": "clarification", "text": "which?"}
    for step, said in (("lift", {}), ("question", asked), ("forward", {"controller": "Somebody"})):
        assert is_problem(await intake.channel.post(f"{path}/{step}", json=said), 403, "forbidden")


async def test_a_long_body_that_comes_in_many_parts_is_read_as_one(intake: Intake) -> None:
    whole = orjson.dumps({"requests": [GOOD] * 200})

    async def parts() -> AsyncIterator[bytes]:
        for start in range(0, len(whole), 1000):
            yield whole[start : start + 1000]

    answer = await intake.channel.post(MANY, content=parts(), headers=JSON)
    assert (answer.status_code, len(answer.json()["requests"])) == (201, 200)
