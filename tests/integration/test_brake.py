"""The brake of a key: erasures beyond what the policy allows in an hour are dated, and wait for two persons (S3)."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest
from uuid_utils.compat import uuid7

from services.intake import held, repository
from shared.domain.events import FulfilmentBlocked
from shared.runtime.metrics import PEOPLE
from shared.storage.keyring import Keyring
from tests.fixtures.engine import SetClock
from tests.fixtures.intake import PROOF, Intake, id_of, running
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


async def sweep(intake: Intake) -> None:
    while await held.stop(intake.unit_of_work) or await held.let_go(intake.unit_of_work):
        pass


async def release(intake: Intake) -> None:
    path = f"/v1/brakes/{key_of(intake)}/release"
    for person in (intake.officer, intake.colleague):
        (await person.post(path)).raise_for_status()
    query = "SELECT detail FROM evidence.entry WHERE action = 'brake.release_agreed' ORDER BY seq"
    found = [orjson.loads(row[0]) for row in await intake.unit_of_work.pool.fetch(query)][-2:]
    said = [(each["key"], each["by"], each["released"]) for each in found]
    assert said == [(key_of(intake), "officer-1", False), (key_of(intake), "officer-2", True)], "both are on record"
    await sweep(intake)


def key_of(intake: Intake) -> str:
    return str(intake.channel.headers["Authorization"].split("_")[1])


async def test_as_many_as_the_policy_allows_begin_at_once(intake: Intake) -> None:
    paths = await batch(intake, 3)
    assert [(await intake.view(path))["state"] for path in paths] == ["in_progress"] * 3
    assert (await intake.officer.get("/v1/brakes")).json() == {"brakes": []}


async def test_one_more_is_accepted_and_dated_and_nothing_is_erased_for_the_key(intake: Intake) -> None:
    paths = await batch(intake, 4)
    views = [await intake.view(path) for path in paths]
    assert {(view["state"], view["due_on"]) for view in views} == {("awaiting_decision", "2026-04-01")}
    assert all("two persons" in view["waits_for"] for view in views)
    assert await intake.types() == ["received"] * 4
    access = await intake.submit()
    assert (await intake.view(access))["state"] == "in_progress"


async def test_what_had_begun_is_stopped_and_what_comes_later_waits_in_whatever_minute(intake: Intake) -> None:
    begun = await batch(intake, 3)
    intake.clock.at += timedelta(minutes=59)
    [beyond] = await batch(intake, 1)
    await sweep(intake)
    assert [(await intake.view(path)).get("waits_for") is not None for path in (*begun, beyond)] == [True] * 4
    assert (await intake.types()).count("held") == 3
    intake.clock.at += timedelta(hours=5)
    [later] = await batch(intake, 1)
    assert (await intake.view(later))["state"] == "awaiting_decision"


async def test_an_hour_later_the_key_may_ask_for_as_many_again(intake: Intake) -> None:
    await batch(intake, 3)
    intake.clock.at += timedelta(minutes=62)
    paths = await batch(intake, 3)
    assert [(await intake.view(path))["state"] for path in paths] == ["in_progress"] * 3


async def test_two_persons_release_it_and_what_waited_begins(intake: Intake) -> None:
    paths = await batch(intake, 4)
    path = f"/v1/brakes/{key_of(intake)}/release"
    assert is_problem(await intake.channel.post(path), 403, "forbidden")
    first = (await intake.officer.post(path)).json()
    assert (first["released_by"], first["released_at"], first["held"]) == (["officer-1"], None, 4)
    assert is_problem(await intake.officer.post(path), 409, "illegal_transition")
    await sweep(intake)
    assert {(await intake.view(each))["state"] for each in paths} == {"awaiting_decision"}
    second = (await intake.colleague.post(path)).json()
    assert second["released_by"] == ["officer-1", "officer-2"]
    await sweep(intake)
    assert {(await intake.view(each))["state"] for each in paths} == {"in_progress"}
    assert await intake.types() == ["received"] * 4 + ["verified"] * 4
    assert await intake.details(paths[0], "erasure.released") == [{"released_by": ["officer-1", "officer-2"]}]
    assert is_problem(await intake.officer.post(path), 404, "not_found")
    [after] = await batch(intake, 1)
    assert (await intake.view(after))["state"] == "in_progress"


async def test_nobody_alone_gets_past_it_by_a_proof_or_a_decision(intake: Intake) -> None:
    [unproved] = await batch(intake, 1, assurance=None)
    stopped, *_ = await batch(intake, 4)
    (await intake.channel.post(f"{unproved}/verify", json=PROOF)).raise_for_status()
    (await intake.officer.post(f"{stopped}/decision", json={"decision": "retry"})).raise_for_status()
    for path in (unproved, stopped):
        view = await intake.view(path)
        assert (view["state"], view["waits_for"] is not None) == ("awaiting_decision", True)
    assert not {"verified", "retry_decided"} & set(await intake.types())
    await release(intake)
    assert (await intake.types()).count("verified") == 5


async def test_what_was_stopped_midway_goes_on_where_it_stopped(intake: Intake) -> None:
    [begun] = await batch(intake, 1)
    await batch(intake, 4)
    await sweep(intake)
    await intake.consume(FulfilmentBlocked.about(await _read(intake, begun), operation="erase", tasks=()))
    assert (await intake.view(begun))["state"] == "awaiting_decision"
    await release(intake)
    assert (await intake.view(begun))["state"] == "in_progress"
    about = [e["type"].split(".")[2] for e in await intake.published() if e["request_id"] == id_of(begun)]
    assert about == ["received", "verified", "held", "retry_decided"]


async def test_what_is_withdrawn_meanwhile_never_begins(intake: Intake) -> None:
    path, *_ = await batch(intake, 4)
    (await intake.channel.post(f"{path}/withdraw")).raise_for_status()
    await release(intake)
    assert (await intake.view(path))["state"] == "closed"
    assert (await intake.types()).count("verified") == 3


async def test_keys_that_are_braked_and_what_waits_for_them_are_counted(intake: Intake) -> None:
    await batch(intake, 4)
    async with intake.unit_of_work.pool.acquire() as connection:
        await held.count(connection)
    assert [PEOPLE.get_sample_value(name) for name in ("dsr_brakes_on", "dsr_erasures_held")] == [1, 4]


async def _read(intake: Intake, path: str) -> Any:
    async with intake.unit_of_work.pool.acquire() as connection:
        return await repository.read(connection, UUID(id_of(path)))
