"""Bad input gets a problem (RFC 9457) that says what to do, and has no effect; what was sent is never quoted back."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import httpx
import orjson
import pytest
from prometheus_client import REGISTRY
from starlette.types import Receive, Scope, Send

from deploy.local.ports import HOST, free_port
from deploy.local.postgres_databases import fetch
from services.intake.access import auth
from services.intake.access.auth import create
from services.intake.access.grant import Grant
from services.intake.access.quota import SharedQuota
from services.intake.submission import accepting
from shared.app import http
from shared.domain.rights import Right
from shared.runtime.settings import HttpSettings
from shared.storage.keyring import Keyring
from shared.storage.postgres import connected
from tests.fixtures.engine import SetClock
from tests.fixtures.intake import FREELY, PROOF, Intake, running
from tests.fixtures.live import eventually

ONE, MANY, UNKNOWN = "/v1/requests", "/v1/requests/batch", "/v1/requests/00000000-0000-0000-0000-000000000000"
MISTAKEN = {"email": "mistaken@example.com"}
GOOD: dict[str, Any] = {"right": "erasure", "subject": MISTAKEN, **PROOF}
SENT = ("mistaken", "Only A. Name", "688886392", "no-at")
LARGE = b" " * (4 * 1024 * 1024 + 1)


async def stored(intake: Intake) -> int:
    return int(await intake.unit_of_work.pool.fetchval("SELECT count(*) FROM request"))


def is_problem(answer: httpx.Response, status: int, code: str) -> bool:
    problem = answer.json()
    return (
        answer.status_code == problem["status"] == status
        and answer.headers["content-type"] == "application/problem+json"
        and problem["type"] == f"urn:dsr:problem:{code}"
        and bool(problem["title"] and problem["detail"])
        and not any(each in answer.text for each in SENT)
    )


EMPTY_PERIOD = {"number": "+442079460000", "since": "2025-06-01T00:00:00Z", "until": "2025-06-01T00:00:00Z"}


NOT_VALID: list[tuple[dict[str, object] | bytes, str]] = [
    ({"right": "oblivion", "subject": MISTAKEN}, "right"),
    ({"right": "erasure", "subject": {}}, "subject"),
    ({"right": "erasure", "subject": {"name": "Only A. Name"}}, "subject"),
    ({"right": "erasure"}, "subject"),
    ({"right": "erasure", "subject": MISTAKEN, "colour": "green"}, "colour"),
    ({"right": "erasure", "subject": {"phones": [EMPTY_PERIOD]}}, "subject.phones.0"),
    ({"right": "erasure", "subject": MISTAKEN, "received_at": "2026-01-01T00:00:00"}, "received_at"),
    (b"{right: erasure", ""),
    ({"requests": [GOOD] * 1001}, "requests"),
    ({"requests": []}, "requests"),
]


async def test_invalid_body_names_the_wrong_field(intake: Intake, subtests: pytest.Subtests) -> None:
    for body, field in NOT_VALID:
        with subtests.test(field):
            content = body if isinstance(body, bytes) else orjson.dumps(body)
            answer = await intake.channel.post(MANY if b'"requests"' in content else ONE, content=content)
            assert is_problem(answer, 422, "invalid")
            assert [error["field"] for error in answer.json()["errors"]] == [field]
            assert await stored(intake) == 0


MALFORMED: list[dict[str, object]] = [
    {"phones": [{"number": "911", "region": "US"}]},
    {"phones": [{"number": "+49"}]},
    {"phones": [{"number": "anonymous"}]},
    {"phones": [{"number": "00034688886392", "region": "ES"}]},
    {"email": "no-at-example"},
]


async def test_malformed_identity_refuses_the_whole_submission(intake: Intake, subtests: pytest.Subtests) -> None:
    for subject in MALFORMED:
        with subtests.test(str(subject)):
            bad = {**GOOD, "subject": subject}
            for path, body in ((ONE, bad), (MANY, {"requests": [GOOD, bad]})):
                assert is_problem(await intake.channel.post(path, json=body), 422, "malformed_identity")
            assert await stored(intake) == 0


async def test_body_over_4_mib_is_refused_with_or_without_a_length(intake: Intake) -> None:
    async def in_parts() -> AsyncIterator[bytes]:
        for start in range(0, len(LARGE), 65_536):
            yield LARGE[start : start + 65_536]

    assert is_problem(await intake.channel.post(MANY, content=LARGE), 413, "too_large")
    assert is_problem(await intake.channel.post(MANY, content=in_parts()), 413, "too_large")


async def test_a_replay_of_an_idempotency_key_gives_the_first_answer_and_stores_nothing(intake: Intake) -> None:
    headers = {"Idempotency-Key": "replay-1"}
    first = await intake.channel.post(ONE, json=GOOD, headers=headers)
    second = await intake.channel.post(ONE, json=GOOD, headers=headers)
    other = await intake.channel.post(ONE, json={**GOOD, "right": "access"}, headers=headers)
    unusable = await intake.channel.post(ONE, json=GOOD, headers={"Idempotency-Key": "x" * 201})
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json() == second.json()
    assert is_problem(other, 422, "idempotency_key_reused")
    assert is_problem(unusable, 400, "bad_request")
    assert await stored(intake) == 1


async def test_a_replayed_batch_is_answered_in_the_order_in_which_it_was_submitted(intake: Intake) -> None:
    batch, headers = {"requests": [GOOD, {**GOOD, "assurance": None}] * 10}, {"Idempotency-Key": "replay-2"}
    first, second = [await intake.channel.post(MANY, json=batch, headers=headers) for _ in range(2)]
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json() == second.json()
    assert await stored(intake) == 20


# What may come over a connection, and how long it may take: past each bound, and others go on.
HEAD = b"POST /v1/requests HTTP/1.1\r\nHost: intake\r\n"
LARGE_CONNECTION = 64 * 2**20
GIVEN_UP = asyncio.Event()


async def answers(scope: Scope, receive: Receive, send: Send) -> None:
    """Reads what is sent to it where its path says so, and answers as much as its path says."""
    if scope["path"] == "/reads":
        while (await receive()).get("more_body"):
            pass
    if scope["path"] == "/waits":
        await asyncio.Event().wait()
    if scope["path"] == "/untaken":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x" * LARGE_CONNECTION, "more_body": True})
        await send({"type": "http.response.body", "body": b""})  # returns once it is taken, or the client is gone
        GIVEN_UP.set()
        return
    content = b"x" * (LARGE_CONNECTION if scope["path"] == "/large" else 2)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(content))]})
    await send({"type": "http.response.body", "body": content})


@asynccontextmanager
async def serving(**limits: Any) -> AsyncIterator[int]:
    """A server with these limits, and its port."""
    port, stopping = free_port(), asyncio.Event()
    settings = HttpSettings(host=HOST, port=port, linger_seconds=0, **limits)
    server = asyncio.create_task(http.serve(answers, http.bound(settings), settings, 1.0, stopping))
    try:
        await eventually(lambda: served(port))
        yield port
    finally:
        stopping.set()
        await server


async def served(port: int, path: str = "/") -> int:
    """Returns the status of an answer to another client; 0 if there is none."""
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
            return (await client.get(f"http://{HOST}:{port}{path}")).status_code
    except httpx.TransportError:
        return 0


async def is_answered(port: int, status: int) -> bool:
    return await served(port) == status


async def said(port: int, *parts: bytes | Callable[[], Awaitable[None]]) -> bytes:
    """Returns everything that the server sends for these parts, until it closes."""
    async with asyncio.timeout(60):
        reader, writer = await asyncio.open_connection(HOST, port)
        try:
            for part in parts:
                if isinstance(part, bytes):
                    writer.write(part)
                    await writer.drain()
                else:
                    await part()
            return await reader.read()
        except ConnectionError:
            return b""
        finally:
            writer.close()


async def test_a_head_that_is_too_long_is_refused_however_it_comes() -> None:
    async with serving(head_bytes=4096) as port:
        for head in (
            HEAD + b"X-Long: " + b"a" * 5000 + b"\r\n\r\n",
            HEAD + b"X-Long: " + b"a" * 5000,
            HEAD + b"a: b\r\n" * 1000 + b"\r\n",
            b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\nHost: intake\r\n\r\n",
            b"GET /" + b"a" * 5000,
        ):
            for parts in ((head,), (head[:100], head[100:])):
                answer = await said(port, *parts)
                assert answer.startswith(b"HTTP/1.1 431 ")
                assert b"application/problem+json" in answer
        assert await served(port) == 200


async def test_a_long_body_with_a_short_head_is_no_long_head() -> None:
    async with serving(head_bytes=1024) as port:
        body = b"x" * 100_000
        sent = b"POST /reads HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
        assert (await said(port, sent + body)).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("begun", [b"P", HEAD])
async def test_a_head_that_does_not_come_to_its_end_is_refused_also_if_it_drips(begun: bytes) -> None:
    async def drip() -> None:
        await asyncio.sleep(0.1)  # a client that drips

    async with serving(head_seconds=0.3) as port:
        assert (await said(port, begun)).startswith(b"HTTP/1.1 408 ")
        dripping = [part for _ in range(8) for part in (b"X-A: b\r\n" if begun == HEAD else b"", drip)]
        assert b"200" not in await said(port, begun, *dripping)
        assert await served(port) == 200


async def test_who_never_speaks_is_let_go() -> None:
    async with serving(head_seconds=0.2) as port:
        assert await said(port) == b""
        assert await served(port) == 200


@pytest.mark.parametrize("path", [b"/reads", b"/"])
@pytest.mark.parametrize("kind", [b"Content-Length: 1000", b"Transfer-Encoding: chunked"])
async def test_a_body_that_does_not_come_to_its_end_ends_its_connection(path: bytes, kind: bytes) -> None:
    async with serving(body_seconds=0.3) as port:
        begun = b"POST " + path + b" HTTP/1.1\r\nHost: intake\r\n" + kind + b"\r\n\r\n5\r\nabcde\r\n"
        answer = await said(port, begun)
        assert answer.startswith(b"HTTP/1.1 200 " if path == b"/" else b"HTTP/1.1 408 ")
        assert await served(port) == 200


async def test_a_body_that_goes_on_after_its_answer_is_cut() -> None:
    async with serving(unread_bytes=100_000) as port:
        begun = b"POST / HTTP/1.1\r\nHost: intake\r\nContent-Length: %d\r\n\r\n" % LARGE_CONNECTION
        try:
            answer = await said(port, begun, *[b"x" * 2**16] * (LARGE_CONNECTION // 2**16))
        except ConnectionError:
            answer = b""
        assert answer.count(b"HTTP/1.1") <= 1
        assert await served(port) == 200


async def test_unread_answer_is_given_up() -> None:
    async with serving(answer_seconds=0.3) as port:
        reader, writer = await asyncio.open_connection(HOST, port, limit=1024)
        writer.write(b"GET /untaken HTTP/1.1\r\nHost: intake\r\n\r\n")
        await writer.drain()
        async with asyncio.timeout(60):
            await GIVEN_UP.wait()  # the client takes nothing, which is what is tried
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await reader.readexactly(LARGE_CONNECTION)
        writer.close()
        assert await served(port) == 200


async def test_an_answer_that_is_taken_slowly_is_given_to_its_end() -> None:
    async with serving(answer_seconds=0.4) as port:
        reader, writer = await asyncio.open_connection(HOST, port, limit=2**16)
        writer.write(b"GET /large HTTP/1.1\r\nHost: intake\r\nConnection: close\r\n\r\n")
        taken = 0
        async with asyncio.timeout(60):
            while part := await reader.read(4 * 2**20):
                taken += len(part)
                if taken < LARGE_CONNECTION:
                    await asyncio.sleep(0.002)  # slower than the server can send: it takes longer than answer_seconds
        writer.close()
        assert taken > LARGE_CONNECTION


@pytest.mark.parametrize(
    "begun",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(HEAD, id="a part of a head"),
        pytest.param(HEAD + b"Content-Length: 1000\r\n\r\n{", id="a part of a body whose answer is given"),
    ],
)
async def test_of_more_connections_than_may_be_those_that_wait_for_no_answer_make_room(begun: bytes) -> None:
    async with serving(connections=8, head_seconds=30) as port:
        idle = []
        for _ in range(40):
            reader, writer = await asyncio.open_connection(HOST, port)
            writer.write(begun)
            idle.append((reader, writer))
            if b"Content-Length" in begun:
                assert b"200" in await reader.readline()
        assert [await served(port) for _ in range(5)] == [200] * 5
        for _, writer in idle:
            writer.close()


async def test_busy_server_answers_retry_later_and_serves_probes() -> None:
    async with serving(connections=4) as port:
        busy = [await asyncio.open_connection(HOST, port) for _ in range(4)]
        for _, writer in busy:
            writer.write(b"GET /waits HTTP/1.1\r\nHost: intake\r\n\r\n")
            await writer.drain()
        await eventually(lambda: is_answered(port, 503))
        assert await served(port, "/healthz") == 200
        answer = await said(port, b"GET / HTTP/1.1\r\nHost: intake\r\n\r\n")
        assert b"retry-after: 1\r\n" in answer
        for _, writer in busy:
            writer.close()
        await eventually(lambda: is_answered(port, 200))


@pytest.mark.parametrize("garbage", [b"\x16\x03\x01\x02\x00", b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n", b"\x00"])
async def test_bytes_that_are_no_http_are_refused_unlogged(garbage: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as port:
        assert (await said(port, garbage)).startswith(b"HTTP/1.1 400 ")
        assert await served(port) == 200
    assert not [record for record in caplog.records if record.levelname in {"WARNING", "ERROR"}]


async def test_a_websocket_is_not_spoken_here() -> None:
    async with serving() as port:
        upgrade = (
            b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n"
        )
        answer = await said(port, b"GET / HTTP/1.1\r\nHost: a\r\n" + upgrade + b"\r\n")
        assert b"101" not in answer[:20]


# The door: whose key, how often, how much and in which form; what is refused stores nothing, and others go on.
JSON = {"Content-Type": "application/json"}


def body(**changed: object) -> bytes:
    return orjson.dumps({**GOOD, **changed})


class Unread:
    """A body that must not be read."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        raise AssertionError("the body is read")


async def test_nothing_of_a_body_is_read_for_who_has_no_key(intake: Intake) -> None:
    headers = {**JSON, "Authorization": f"Bearer dsr_{'0' * 12}_{'x' * 43}", "If-Match": '"1"'}
    for path in (ONE, MANY, f"{UNKNOWN}/actions/verify", f"{UNKNOWN}/nothing"):
        answer = await intake.channel.post(path, content=Unread(), headers=headers)
        assert is_problem(answer, 401, "unauthorised"), path
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
        assert (await intake.officer.post(ONE, content=body(assurance=None), headers=once)).status_code == 201
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
            elsewhere = await intake.officer.get("/v1/none/of/these")
        assert elsewhere.status_code == 404
        assert (await held).status_code == 201
        assert (await intake.channel.get("/v1/none/of/these")).status_code == 404


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

    class Noting(SharedQuota):
        def acquire(self, who: str, amount: int) -> None:
            super().acquire(who, amount)
            taken.append(who)
            if len(taken) == 2:
                both.set()

    monkeypatch.setattr(accepting, "SharedQuota", Noting)
    async with running(database, clock, keys) as intake, connected(database) as other:
        transport = intake.channel._transport  # noqa: SLF001
        second, third = (httpx.AsyncClient(transport=transport, base_url="http://intake") for _ in range(2))
        for client, holder in ((second, "shop"), (third, "portal")):
            key = await create(database, "channel", holder, clock.now(), FREELY)
            client.headers["Authorization"] = f"Bearer {key}"
        await asyncio.gather(*(client.get(UNKNOWN) for client in (intake.channel, second, third)))
        async with other.transaction():
            await other.execute("LOCK TABLE intake.request")
            waiting = [asyncio.create_task(submit(intake.channel, "a")), asyncio.create_task(submit(second, "b"))]
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
        await second.aclose()
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
    for path in (ONE, f"{UNKNOWN}/actions/record-reply"):
        assert is_problem(await intake.channel.post(path, content=long, headers=JSON), 413, "too_large")


async def test_errors_of_a_wholly_wrong_body_are_limited(intake: Intake) -> None:
    wrong = {"a" * 500: 1, "b": 2}
    answer = await intake.channel.post(MANY, json={"requests": [wrong] * 1000})
    errors = answer.json()["errors"]
    assert (answer.status_code, len(errors)) == (422, 20)
    assert errors[0]["field"] == "requests.0.right"
    assert max(len(each["field"]) for each in errors) < 100


NOT_AS_IT_SHOULD_BE = [
    ("POST", f"{ONE}/", JSON, body(), 404, "http"),
    ("GET", f"{UNKNOWN}/", {}, b"", 404, "http"),
    ("POST", "/v1%2frequests", JSON, body(), 404, "not_found"),
    ("GET", "/v1/requests/%2e%2e/docs", {}, b"", 404, "not_found"),
    ("POST", "//v1/requests", JSON, body(), 404, "http"),
    ("POST", ONE, {"Content-Type": "text/plain"}, body(), 415, "unsupported_type"),
    ("POST", ONE, {"Content-Type": "application/json; charset=latin-1"}, body(), 415, "unsupported_type"),
    ("POST", f"{UNKNOWN}/actions/verify", {"Content-Type": "application/xml"}, b"<a/>", 415, "unsupported_type"),
    ("POST", ONE, {**JSON, "Content-Encoding": "gzip"}, body(), 415, "unsupported_type"),
    ("POST", ONE, JSON, body()[:-1] + b',"right":"access"}', 422, "invalid"),
    ("POST", f"{UNKNOWN}/actions/verify", JSON, b'{"assurance": {}, "assurance": {}}', 422, "invalid"),
    ("POST", MANY, JSON, b'{"requests":[%s]}' % (body()[:-1] + b',"right":"access"}'), 422, "invalid"),
    ("POST", ONE, JSON, b"[" * 200_000, 422, "invalid"),
    ("POST", ONE, JSON, b'{"right": NaN}', 422, "invalid"),
    ("POST", ONE, JSON, '{"right": "é"}'.encode("latin-1"), 422, "invalid"),
]


async def test_what_is_not_as_it_should_be_is_refused_with_a_problem(intake: Intake, subtests: pytest.Subtests) -> None:
    for method, path, headers, content, status, code in NOT_AS_IT_SHOULD_BE:
        with subtests.test(path):
            answer = await intake.channel.request(method, path, headers=headers, content=content)
            assert is_problem(answer, status, code)
            assert "location" not in answer.headers
            assert await stored(intake) == 0


async def test_json_may_say_so_or_say_nothing(intake: Intake) -> None:
    for headers in ({"Content-Type": "application/json"}, {"Content-Type": "Application/JSON; charset=utf-8"}, {}):
        assert (await intake.channel.post(ONE, content=body(), headers=headers)).status_code == 201
        path = await intake.submit(assurance=None)
        proof = orjson.dumps({"assurance": GOOD["assurance"]})
        assert (await intake.channel.post(f"{path}/actions/verify", content=proof, headers=headers)).status_code == 200


async def test_a_header_that_comes_twice_is_refused(intake: Intake) -> None:
    rest = {**intake.channel.headers, **JSON}
    transport: Any = intake.channel._transport  # noqa: SLF001  # the client would join them
    for name in ("Authorization", "Idempotency-Key", "Content-Type", "traceparent", "If-Match"):
        value = next((value for known, value in rest.items() if known.lower() == name.lower()), "x")
        headers = [*((k, v) for k, v in rest.items() if k.lower() != name.lower()), (name, value), (name, value)]
        request = httpx.Request("POST", f"http://intake{ONE}", headers=headers, content=body())
        answer = await transport.handle_async_request(request)
        await answer.aread()
        assert is_problem(answer, 400, "bad_request"), name
        assert await stored(intake) == 0


async def test_unknown_method_is_reported_with_the_allowed_ones(intake: Intake) -> None:
    for path, allowed in ((ONE, "POST"), (UNKNOWN, "GET"), (f"{UNKNOWN}/actions/lift", "POST")):
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


async def test_a_long_body_that_comes_in_many_parts_is_read_as_one(intake: Intake) -> None:
    whole = orjson.dumps({"requests": [GOOD] * 200})

    async def parts() -> AsyncIterator[bytes]:
        for start in range(0, len(whole), 1000):
            yield whole[start : start + 1000]

    answer = await intake.channel.post(MANY, content=parts(), headers=JSON)
    assert (answer.status_code, len(answer.json()["requests"])) == (201, 200)


# The keys of channels over the API: what they may state and do, how fast, and until when (security review, S3).
SUBJECT = {"email": "ada@example.org", "country": "DE"}
ACCESS = {"right": "access", "subject": SUBJECT}


@pytest.fixture
async def portal(intake: Intake, database: str) -> httpx.AsyncClient:
    """The channel with a key that may ask for access, and state L1."""
    grant = Grant("L1", frozenset({Right.ACCESS}))
    key = await auth.create(database, "channel", "portal", intake.clock.now(), grant)
    intake.channel.headers["Authorization"] = f"Bearer {key}"
    return intake.channel


async def test_a_proof_that_comes_later_is_bounded_as_well(intake: Intake, portal: httpx.AsyncClient) -> None:
    path = await intake.submit(assurance=None)
    assert is_problem(await portal.post(f"{path}/actions/verify", json=PROOF), 403, "forbidden")
    assert (await intake.view(path))["state"] == "awaiting_identity"


async def test_a_key_that_has_expired_is_no_key(intake: Intake, database: str) -> None:
    now = intake.clock.now()
    key = await auth.create(database, "channel", "portal", now, Grant(), now + timedelta(days=1))
    headers = {"Authorization": f"Bearer {key}"}
    assert (await intake.channel.post(ONE, json=ACCESS, headers=headers)).status_code == 201
    intake.clock.at = now + timedelta(days=1)
    other = await auth.create(database, "channel", "portal", now, Grant(), now + timedelta(days=1))
    answer = await intake.channel.post(ONE, json=ACCESS, headers={"Authorization": f"Bearer {other}"})
    assert is_problem(answer, 401, "unauthorised")


async def test_a_key_submits_no_more_in_a_minute_than_it_may(intake: Intake, database: str) -> None:
    key = await auth.create(database, "channel", "portal", intake.clock.now(), Grant(per_minute=2))
    intake.channel.headers["Authorization"] = f"Bearer {key}"
    batch = {"requests": [ACCESS] * 3}
    assert is_problem(await intake.channel.post(f"{ONE}/batch", json=batch), 413, "too_large")
    answers = [await intake.channel.post(ONE, json=ACCESS) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [201, 201, 429]


# What a field cannot hold is refused at the door by its name, and what a channel has submitted stays the channel's.
KNOWN_EMAIL = {"email": "person@example.com"}
CITY = {"field": "address.city", "asserted": "Berlin"}


def subject(**known: object) -> dict[str, Any]:
    return {"subject": {**KNOWN_EMAIL, **known}}


def number(value: str, **more: object) -> dict[str, Any]:
    return subject(phones=[{"number": value, **more}])


SINCE = "2024-03-02T09:00:00Z"


def proof(**said: Any) -> dict[str, Any]:
    proofs = [{"identity": "phones.0", "method": "sms_code", "on_file_since": SINCE, **said}]
    return {**number("+34688886392"), "assurance": None, "proofs": proofs}


REFUSED: list[tuple[dict[str, Any], str]] = [
    *((subject(name=f"Ada{each}Byron"), "subject.name") for each in ("\x00", "\x1b[2J", "\x85", "\u2028", "\u202e")),
    (subject(name="a" * 201), "subject.name"),
    (subject(email=f"{'a' * 250}@b.example"), "subject.email"),
    (subject(email="ada\x00@example.org"), "subject.email"),
    (subject(account_id="C" * 129), "subject.account_id"),
    (subject(sip_uri=f"sip:{'a' * 260}@pbx.example"), "subject.sip_uri"),
    (number("+34" + ";" * 30 + "688886392"), "subject.phones.0.number"),
    (number("688886392\x00", region="ES"), "subject.phones.0.number"),
    (number("688 886", region="ES"), "subject.phones.0.number"),
    (number("+34688886392", since="1899-12-31T23:00:00Z"), "subject.phones.0.since"),
    (number("+34688886392", since="0001-01-01T00:00:00+14:00"), "subject.phones.0.since"),
    (number("+34688886392", since="2999-01-01T00:00:00Z"), "subject.phones.0.since"),
    (number("+34688886392", until="2101-01-01T00:00:00Z"), "subject.phones.0.until"),
    (number("+34688886392", since="1700000000"), "subject.phones.0.since"),
    (proof(method="ada_byron"), "proofs.0.method"),
    (proof(identity="name"), "proofs.0.identity"),
    (proof(identity="phones.1"), "proofs.0.identity"),
    (proof(identity="email"), "proofs.0.method"),
    (proof(proved_at="2026-03-03T09:00:00Z"), "proofs.0.proved_at"),
    (proof(proved_at="2024-03-01T09:00:00Z"), "proofs.0.on_file_since"),
    ({"received_at": 1_700_000_000}, "received_at"),
    ({"received_at": "1700000000"}, "received_at"),
    ({"received_at": "0001-01-01T00:00:00+14:00"}, "received_at"),
    ({"received_at": "9999-12-31T23:59:59-14:00"}, "received_at"),
    ({"received_at": "1900-01-01T00:00:00Z"}, "received_at"),
    ({"received_at": "2024-02-29T00:00:00Z"}, "received_at"),
    ({"received_at": "2026-03-02T09:05:01Z"}, "received_at"),
    ({"assurance": {"level": "L2", "method": "ada_byron"}}, "assurance.method"),
    ({"right": "rectification", "changes": [{**CITY, "asserted": "Ber\x00lin"}]}, "changes.0.asserted"),
    ({"right": "rectification", "changes": [{**CITY, "current": "a" * 2001}]}, "changes.0.current"),
    *(
        ({"right": "rectification", "changes": [{"field": field, "asserted": said}]}, "changes.0.asserted")
        for field, said in (
            ("email", "x@example.org\nBcc: y@example.org"),
            ("email", "ada@new,example"),
            ("phone", "12"),
            ("name", "a" * 201),
            ("address.city", "Ber\nlin"),
            ("address.city", "a" * 201),
        )
    ),
    ({"right": "rectification", "changes": [CITY, {**CITY, "asserted": "Potsdam"}]}, "changes"),
]


async def test_what_a_field_cannot_hold_is_refused_by_its_name_alone_and_in_a_batch(intake: Intake) -> None:
    for changed, field in REFUSED:
        bad = {**GOOD, **changed}
        for path, body, prefix in ((ONE, bad, ""), (MANY, {"requests": [GOOD, bad]}, "requests.1.")):
            answer = await intake.channel.post(path, json=body)
            assert answer.status_code in {400, 422}, (changed, answer.text)
            assert [each["field"] for each in answer.json()["errors"]] == [f"{prefix}{field}"], changed
    assert await stored(intake) == 0


async def test_by_what_a_number_was_proved_is_on_record_and_from_when_on_is_sealed_with_it(intake: Intake) -> None:
    path = await intake.submit(**proof())
    assert (await intake.evidence(path))[0]["detail"]["proofs"] == [
        {"type": "phone", "method": "sms_code", "level": "L1"}
    ]
    async with intake.unit_of_work.begin() as tx:
        ref = await tx.connection.fetchval("SELECT subject_ref FROM request")
        known = (await tx.vault.subject_data(tx.connection, [ref]))[ref]
    assert [each.proved_since for each in known.identities if each.value == "+34688886392"] == [
        datetime.fromisoformat(SINCE)
    ]


async def test_answer_before_its_question_is_refused_beyond_the_clock_tolerance(intake: Intake) -> None:
    path = await intake.submit()
    await intake.ask(path, "clarification")
    for received_at, status, code in (
        ("2026-03-02T08:54:59Z", 400, "bad_request"),
        ("0001-01-01T00:00:00+14:00", 422, "invalid"),
        ("2026-03-02T09:05:01Z", 400, "bad_request"),
        ("yesterday", 422, "invalid"),
    ):
        answer = await intake.channel.post(
            f"{path}/actions/record-reply", json={"text": "the first", "received_at": received_at}
        )
        assert is_problem(answer, status, code)
        assert [each["field"] for each in answer.json()["errors"]] == ["received_at"]
    said = {"text": "the first", "received_at": "2026-03-02T08:56:00Z"}
    assert (await intake.channel.post(f"{path}/actions/record-reply", json=said)).status_code == 200
    answered = (await intake.published())[-1]
    assert (answered["type"], answered["answered_at"]) == ("dsr.request.question_answered.v1", "2026-03-02T09:00:00Z")


async def test_later_method_of_proof_is_a_word_of_the_policy(intake: Intake) -> None:
    path = await intake.submit(assurance=None)
    proof = {"assurance": {**PROOF["assurance"], "method": "ada_byron"}}
    answer = await intake.channel.post(f"{path}/actions/verify", json=proof)
    assert is_problem(answer, 400, "bad_request")
    assert "signed_in_mfa" in answer.json()["detail"]


async def test_replacement_key_sees_and_repeats_submissions_of_the_old_key(intake: Intake, database: str) -> None:
    old_id = intake.channel.headers["Authorization"].split("_")[1]
    replacement = await auth.replace(database, old_id, intake.clock.now())
    assert await auth.replace(database, "0" * 12, intake.clock.now()) is None
    once = {"Idempotency-Key": "across keys"}
    first = await intake.channel.post(ONE, json=GOOD, headers=once)
    path = f"{ONE}/{first.json()['request_id']}"
    stranger = await auth.create(database, "channel", "portal", intake.clock.now(), FREELY)

    async def by(key: str | None, method: str, path: str, **more: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {key}", **more.pop("headers", {})}
        return await intake.channel.request(method, path, headers=headers, **more)

    assert (await by(replacement, "GET", path)).status_code == 200
    assert is_problem(await by(stranger, "GET", path), 404, "not_found")
    again = await by(replacement, "POST", ONE, json=GOOD, headers=once)
    assert (again.status_code, again.json()) == (200, first.json())
    assert (await by(stranger, "POST", ONE, json=GOOD, headers=once)).status_code == 201
    seen = {"If-Match": (await by(replacement, "GET", path)).headers["ETag"]}
    withdrawn = await intake.channel.post(f"{path}/actions/withdraw", headers=seen)
    repeated = await by(replacement, "POST", f"{path}/actions/withdraw", headers=seen)
    assert (withdrawn.status_code, repeated.status_code) == (200, 412)
    assert is_problem(await by(stranger, "POST", f"{path}/actions/withdraw", headers=seen), 404, "not_found")
    await auth.revoke(database, old_id, intake.clock.now())
    assert (await by(replacement, "GET", path)).json()["outcome"] == "withdrawn"


# Fields of a submission that do not go together: the API names the one to change and the words that it takes.
PHONE = {"phones": [{"number": "+493012345678"}]}
WRONG: dict[str, tuple[dict[str, Any], str, str]] = {
    "no ground": ({"right": "restriction"}, "ground", "accuracy_contested or unlawful or needed_for_claims"),
    "no scope": ({"right": "objection"}, "scope", "direct_marketing or legitimate_interests"),
    "no changes": ({"right": "rectification"}, "changes", "needs at least one"),
    "no purpose": ({"right": "consent_withdrawal"}, "purposes", "needs at least one"),
    "another right": ({"right": "access", "ground": "unlawful"}, "ground", "belongs to a restriction"),
    "nowhere to answer": ({"right": "access", "channel": "email"}, "subject.email", "answer goes there"),
}


async def test_the_field_to_change_is_named_alone_and_in_a_batch(intake: Intake, subtests: pytest.Subtests) -> None:
    for wrong, (fields, field, message) in WRONG.items():
        body = {"subject": PHONE, **fields}
        for path, sent, place in (
            ("/v1/requests", body, ""),
            ("/v1/requests/batch", {"requests": [body]}, "requests.0."),
        ):
            answer = await intake.channel.post(path, json=sent)
            first, *_ = answer.json()["errors"]
            with subtests.test(wrong, path=path):
                assert answer.status_code == 422
                assert first["field"] == place + field
                assert message in first["message"]


async def test_a_fault_that_several_rights_share_is_named_once(intake: Intake) -> None:
    body = {"rights": ["access", "portability"], "subject": PHONE, "channel": "email"}
    answer = await intake.channel.post("/v1/requests", json=body)
    assert answer.status_code == 422
    assert [fault["field"] for fault in answer.json()["errors"]] == ["subject.email"]
