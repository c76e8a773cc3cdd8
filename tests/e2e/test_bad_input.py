"""Bad input gets a problem (RFC 9457) that says what to do, and has no effect; what was sent is never quoted back."""

import asyncpg
import httpx
import pytest

from tests.fixtures.live import Live

VALID = {"level": "L2", "method": "signed_in_mfa"}
SOMEBODY = {"email": "mistaken@example.com"}


async def stored(live: Live) -> int:
    connection = await asyncpg.connect(live.dsn)
    try:
        return int(await connection.fetchval("SELECT count(*) FROM intake.request"))
    finally:
        await connection.close()


def is_problem(answer: httpx.Response, status: int, code: str) -> bool:
    problem = answer.json()
    return (
        answer.status_code == problem["status"] == status
        and answer.headers["content-type"] == "application/problem+json"
        and problem["type"] == f"urn:dsr:problem:{code}"
        and bool(problem["title"] and problem["detail"])
    )


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"right": "oblivion", "subject": SOMEBODY}, "right"),
        ({"right": "erasure", "subject": {}}, "subject"),
        ({"right": "erasure", "subject": {"name": "Only A. Name"}}, "subject"),
        ({"right": "erasure"}, "subject"),
        ({"right": "erasure", "subject": SOMEBODY, "colour": "green"}, "colour"),
        ({"right": "rectification", "subject": SOMEBODY}, ""),
        ({"right": "restriction", "subject": SOMEBODY}, ""),
        ({"right": "objection", "subject": SOMEBODY}, ""),
        ({"right": "erasure", "subject": SOMEBODY, "received_at": "2026-01-01T00:00:00"}, "received_at"),
    ],
)
async def test_a_body_that_is_not_valid_is_refused_with_the_field_that_is_wrong(
    live: Live, body: dict[str, object], field: str
) -> None:
    before = await stored(live)
    async with live.api() as client:
        answer = await client.post("/v1/requests", json=body)

    assert is_problem(answer, 422, "invalid")
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert "mistaken" not in answer.text
    assert "Only A. Name" not in answer.text
    assert await stored(live) == before


@pytest.mark.parametrize(
    "subject",
    [
        {"phones": [{"number": "911", "region": "US"}]},
        {"phones": [{"number": "+49"}]},
        {"phones": [{"number": "anonymous"}]},
        {"phones": [{"number": "00034688886392", "region": "ES"}]},
        {"email": "nobody-at-example"},
    ],
)
async def test_a_malformed_identity_is_refused_without_being_quoted(live: Live, subject: dict[str, object]) -> None:
    before = await stored(live)
    async with live.api() as client:
        answer = await client.post("/v1/requests", json={"right": "erasure", "subject": subject, "assurance": VALID})

    assert is_problem(answer, 422, "malformed_identity")
    assert "688886392" not in answer.text
    assert "nobody-at" not in answer.text
    assert await stored(live) == before


async def test_a_body_that_is_no_json_is_refused(live: Live) -> None:
    async with live.api() as client:
        answer = await client.post("/v1/requests", content=b"{right: erasure")

    assert is_problem(answer, 422, "invalid")


async def test_a_batch_of_more_than_a_thousand_is_refused_as_a_whole(live: Live) -> None:
    before = await stored(live)
    one = {"right": "erasure", "subject": SOMEBODY, "assurance": VALID}
    async with live.api() as client:
        answer = await client.post("/v1/requests/batch", json={"requests": [one] * 1001})
        empty = await client.post("/v1/requests/batch", json={"requests": []})

    assert is_problem(answer, 422, "invalid")
    assert is_problem(empty, 422, "invalid")
    assert await stored(live) == before


async def test_one_bad_request_in_a_batch_refuses_all_of_it(live: Live) -> None:
    before = await stored(live)
    good = live.somebody().submission()
    bad = {**good, "subject": {"phones": [{"number": "12"}]}}
    async with live.api() as client:
        answer = await client.post("/v1/requests/batch", json={"requests": [good, bad]})

    assert is_problem(answer, 422, "malformed_identity")
    assert await stored(live) == before


async def test_a_body_of_more_than_four_mebibytes_is_refused(live: Live) -> None:
    async with live.api() as client:
        answer = await client.post("/v1/requests/batch", content=b" " * (4 * 1024 * 1024 + 1))

    assert is_problem(answer, 413, "too_large")


@pytest.mark.parametrize("authorization", [None, "Bearer nonsense", f"Bearer dsr_{'0' * 12}_{'x' * 43}", "Basic abc"])
async def test_without_a_valid_key_nothing_is_told_and_nothing_is_stored(live: Live, authorization: str | None) -> None:
    before = await stored(live)
    headers = {"Authorization": authorization} if authorization else {}
    async with httpx.AsyncClient(base_url=live.services.url, headers=headers) as client:
        posted = await client.post("/v1/requests", json=live.somebody().submission())
        read = await client.get("/v1/requests/00000000-0000-0000-0000-000000000000")

    assert is_problem(posted, 401, "unauthorised")
    assert is_problem(read, 401, "unauthorised")
    assert await stored(live) == before


async def test_a_key_does_only_what_its_role_allows(live: Live) -> None:
    async with live.api() as client:
        request_id = await client.submit(live.somebody().submission())
        decided = await client.post(f"/v1/requests/{request_id}/decision", json={"decision": "retry"})
    async with live.api(live.services.key("downstream:billing")) as system:
        submitted = await system.post("/v1/requests", json=live.somebody().submission())

    assert is_problem(decided, 403, "forbidden")
    assert is_problem(submitted, 403, "forbidden")


async def test_a_replay_of_an_idempotency_key_gives_the_first_answer_and_stores_nothing(live: Live) -> None:
    body, headers = live.somebody().submission(), {"Idempotency-Key": "replay-1"}
    async with live.api() as client:
        first = await client.post("/v1/requests", json=body, headers=headers)
        before = await stored(live)
        second = await client.post("/v1/requests", json=body, headers=headers)
        other = await client.post("/v1/requests", json={**body, "right": "access"}, headers=headers)

    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["request_id"] == second.json()["request_id"]
    assert is_problem(other, 422, "idempotency_key_reused")
    assert await stored(live) == before


async def test_an_unknown_request_or_somebody_elses_is_not_found(live: Live) -> None:
    async with live.api() as client:
        request_id = await client.submit(live.somebody().submission())
        unknown = await client.get("/v1/requests/00000000-0000-0000-0000-000000000000")
        nonsense = await client.get("/v1/requests/7")
    async with live.api(live.services.key("channel")) as somebody_else:
        foreign = await somebody_else.get(f"/v1/requests/{request_id}/timeline")

    assert is_problem(unknown, 404, "not_found")
    assert is_problem(foreign, 404, "not_found")
    assert is_problem(nonsense, 422, "invalid")
