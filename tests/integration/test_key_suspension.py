"""A suspended API key: erasures beyond the hourly limit are accepted and dated, and wait for its release (S3)."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import orjson
import pytest
from uuid_utils.compat import uuid7

from services.intake.jobs import resuming
from shared.runtime.metrics import PEOPLE
from shared.storage.keyring import Keyring
from tests.fixtures.engine import SetClock
from tests.fixtures.intake import PROOF, Intake, running
from tests.integration.test_api import is_problem

ONE = "/v1/requests"
ERASURE = {"right": "erasure", **PROOF}


@pytest.fixture
async def intake(
    monkeypatch: pytest.MonkeyPatch, database: str, clock: SetClock, keys: Keyring
) -> AsyncIterator[Intake]:
    """Intake, where a key may ask for three erasures in an hour."""
    monkeypatch.setenv("DSR_INTAKE_ERASURES_PER_HOUR", "3")
    async with running(database, clock, keys) as intake:
        yield intake


async def batch(intake: Intake, number: int, **changed: Any) -> list[str]:
    people = [{"email": f"{uuid7().hex}@example.org", "country": "DE"} for _ in range(number)]
    body = {"requests": [{**ERASURE, "subject": who, **changed} for who in people]}
    answer = (await intake.channel.post(f"{ONE}/batch", json=body)).raise_for_status()
    return [f"{ONE}/{each['request_id']}" for each in answer.json()["requests"]]


async def release(intake: Intake) -> None:
    (await intake.officer.post(f"/v1/suspended-keys/{key_of(intake)}/actions/release")).raise_for_status()
    while await resuming.begin_suspended(intake.unit_of_work):
        pass


def key_of(intake: Intake) -> str:
    return str(intake.channel.headers["Authorization"].split("_")[1])


async def waits(intake: Intake, path: str) -> bool:
    return "releases the key" in str((await intake.view(path))["blocked_by"])


async def test_one_more_is_accepted_and_dated_and_waits_until_the_key_is_released(intake: Intake) -> None:
    paths = await batch(intake, 4)
    assert {(await intake.view(path))["due_on"] for path in paths} == {"2026-04-01"}
    assert [await waits(intake, path) for path in paths] == [True] * 4
    assert await intake.types() == ["received"] * 4
    access = await intake.submit()
    assert not await waits(intake, access)
    [key] = (await intake.officer.get("/v1/suspended-keys")).json()["data"]
    assert (key["key_id"], key["waiting"]) == (key_of(intake), 4)
    await intake.count()
    figures = [PEOPLE.get_sample_value(name) for name in ("dsr_api_keys_suspended", "dsr_erasures_suspended")]
    assert figures == [1, 4]


async def test_what_is_within_the_limit_goes_on_and_what_comes_later_waits_in_whatever_minute(intake: Intake) -> None:
    begun = await batch(intake, 3)
    intake.clock.at += timedelta(minutes=59)
    [beyond] = await batch(intake, 1)
    intake.clock.at += timedelta(hours=5)
    [later] = await batch(intake, 1)
    assert [await waits(intake, path) for path in (*begun, beyond, later)] == [False] * 3 + [True] * 2


async def test_an_hour_later_the_key_may_ask_for_as_many_again(intake: Intake) -> None:
    await batch(intake, 3)
    intake.clock.at += timedelta(minutes=62)
    assert [await waits(intake, path) for path in await batch(intake, 3)] == [False] * 3


async def test_one_approval_releases_the_whole_queue_of_the_key(intake: Intake) -> None:
    paths = await batch(intake, 4)
    path = f"/v1/suspended-keys/{key_of(intake)}/actions/release"
    await release(intake)
    assert [await waits(intake, each) for each in paths] == [False] * 4
    assert await intake.types() == ["received"] * 4 + ["verified"] * 4
    found = await intake.unit_of_work.pool.fetch("SELECT detail FROM evidence.entry WHERE action = 'key.released'")
    assert [orjson.loads(row[0]) for row in found] == [{"key": key_of(intake), "by": "officer-1"}]
    assert is_problem(await intake.officer.post(path), 404, "not_found")
    [after] = await batch(intake, 1)
    assert not await waits(intake, after)


async def test_who_holds_a_key_does_not_release_it(intake: Intake) -> None:
    key = str(intake.officer.headers["Authorization"].split("_")[1])
    add = "INSERT INTO suspended_key (key_id, suspended_at) VALUES ($1, $2)"
    await intake.unit_of_work.pool.execute(add, key, intake.clock.now())
    path = f"/v1/suspended-keys/{key}/actions/release"
    assert is_problem(await intake.officer.post(path), 409, "same_person")
    assert (await intake.colleague.post(path)).status_code == 200


async def test_a_proof_does_not_get_past_a_suspension(intake: Intake) -> None:
    [unproved] = await batch(intake, 1, assurance=None)
    await batch(intake, 4)
    (await intake.channel.post(f"{unproved}/actions/verify", json=PROOF)).raise_for_status()
    assert await waits(intake, unproved)
    assert "verified" not in await intake.types()
    await release(intake)
    assert (await intake.types()).count("verified") == 5


async def test_what_is_withdrawn_or_refused_meanwhile_never_begins(intake: Intake) -> None:
    withdrawn, refused, *_ = await batch(intake, 4)
    (await intake.channel.post(f"{withdrawn}/actions/withdraw")).raise_for_status()
    await intake.decide(refused, "refuse")
    await release(intake)
    assert (await intake.view(withdrawn))["state"] == "closed"
    assert (await intake.types()).count("verified") == 2
