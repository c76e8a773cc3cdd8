"""Bad input gets a problem (RFC 9457) that says what to do, and has no effect; what was sent is never quoted back."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import orjson
import pytest
from uuid_utils.compat import uuid7

from services.intake.auth import create
from shared.domain.identities import IdentityType
from shared.downstreams.bus.identity_token import IdentityToken, issue
from tests.fixtures.intake import PROOF, Intake

ONE, MANY, UNKNOWN = "/v1/requests", "/v1/requests/batch", "/v1/requests/00000000-0000-0000-0000-000000000000"
SOMEBODY = {"email": "mistaken@example.com"}
GOOD: dict[str, Any] = {"right": "erasure", "subject": SOMEBODY, **PROOF}
SENT = ("mistaken", "Only A. Name", "688886392", "nobody-at")
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


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"right": "oblivion", "subject": SOMEBODY}, "right"),
        ({"right": "erasure", "subject": {}}, "subject"),
        ({"right": "erasure", "subject": {"name": "Only A. Name"}}, "subject"),
        ({"right": "erasure"}, "subject"),
        ({"right": "erasure", "subject": SOMEBODY, "colour": "green"}, "colour"),
        ({"right": "erasure", "subject": {"phones": [EMPTY_PERIOD]}}, "subject.phones.0"),
        ({"right": "rectification", "subject": SOMEBODY}, ""),
        ({"right": "restriction", "subject": SOMEBODY}, ""),
        ({"right": "objection", "subject": SOMEBODY}, ""),
        ({"right": "erasure", "subject": SOMEBODY, "received_at": "2026-01-01T00:00:00"}, "received_at"),
        (b"{right: erasure", ""),
        ({"requests": [GOOD] * 1001}, "requests"),
        ({"requests": []}, "requests"),
    ],
)
async def test_a_body_that_is_not_valid_is_refused_with_the_field_that_is_wrong(
    intake: Intake, body: dict[str, object] | bytes, field: str
) -> None:
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    answer = await intake.channel.post(MANY if b'"requests"' in content else ONE, content=content)
    assert is_problem(answer, 422, "invalid")
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert await stored(intake) == 0


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
async def test_a_malformed_identity_refuses_all_that_was_submitted_with_it(
    intake: Intake, subject: dict[str, object]
) -> None:
    bad = {**GOOD, "subject": subject}
    for path, body in ((ONE, bad), (MANY, {"requests": [GOOD, bad]})):
        assert is_problem(await intake.channel.post(path, json=body), 422, "malformed_identity")
    assert await stored(intake) == 0


async def test_a_body_of_more_than_four_mebibytes_is_refused_whether_or_not_its_length_is_announced(
    intake: Intake,
) -> None:
    async def in_parts() -> AsyncIterator[bytes]:
        for start in range(0, len(LARGE), 65_536):
            yield LARGE[start : start + 65_536]

    assert is_problem(await intake.channel.post(MANY, content=LARGE), 413, "too_large")
    assert is_problem(await intake.channel.post(MANY, content=in_parts()), 413, "too_large")


@pytest.mark.parametrize("authorization", [None, "Bearer nonsense", f"Bearer dsr_{'0' * 12}_{'x' * 43}", "Basic abc"])
async def test_without_a_valid_key_nothing_is_told_and_nothing_is_stored(
    intake: Intake, authorization: str | None
) -> None:
    del intake.channel.headers["Authorization"]
    headers = {"Authorization": authorization} if authorization else {}
    assert is_problem(await intake.channel.post(ONE, json=GOOD, headers=headers), 401, "unauthorised")
    assert is_problem(await intake.channel.get(UNKNOWN, headers=headers), 401, "unauthorised")
    assert await stored(intake) == 0


async def test_a_key_does_only_what_its_role_allows_and_sees_only_what_it_submitted(
    intake: Intake, database: str
) -> None:
    path = await intake.submit()
    keys = {
        role: await create(database, role, "portal", intake.clock.now()) for role in ("channel", "downstream:billing")
    }
    other, system = ({"Authorization": f"Bearer {key}"} for key in keys.values())
    assert is_problem(await intake.channel.post(ONE, json=GOOD, headers=system), 403, "forbidden")
    assert is_problem(await intake.channel.get(f"{path}/timeline", headers=other), 404, "not_found")
    assert is_problem(await intake.channel.get(UNKNOWN), 404, "not_found")
    assert is_problem(await intake.channel.get(f"{ONE}/7"), 422, "invalid")
    assert is_problem(await intake.channel.delete(ONE), 405, "http")


@pytest.mark.parametrize(
    ("role", "status"), [("downstream:billing", 200), ("downstream:crm", 403), ("channel", 403), ("privacy", 403)]
)
async def test_a_claim_shows_whom_a_task_is_about_to_the_system_that_it_was_made_for_alone(
    intake: Intake, database: str, role: str, status: int
) -> None:
    await intake.submit()
    [(request_id, subject)] = await intake.unit_of_work.pool.fetch("SELECT request_id, subject_ref FROM request")
    now, key = intake.clock.now(), intake.unit_of_work.vault.keyring.claims
    said = IdentityToken(
        task_id=uuid7(),
        request_id=request_id,
        system="billing",
        needs=frozenset({IdentityType.EMAIL}),
        level="L0",
        subject_ref=subject,
        expires_at=now + timedelta(hours=1),
    )
    shown = {
        "DSR-Claim": issue(said, key, now),
        "Authorization": f"Bearer {await create(database, role, 'billing', now)}",
    }
    answer = await intake.channel.get("/v1/tasks/identities", headers=shown)
    assert answer.status_code == status
    assert ("ada@example.org" in answer.text) == (status == 200)


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
