"""Where requests stand: told on the bus whenever it changes, and listed by page for whoever submitted them."""

import json
from datetime import date, timedelta
from typing import Any

import httpx
import pytest

from services.intake import expiry
from services.intake.auth import create
from services.intake.grant import Grant, Power
from services.intake.retention import retention
from shared.domain.rights import Outcome
from tests.fixtures.intake import Intake, id_of
from tests.fixtures.user_events import emitting

MONTHS = timedelta(days=40 * 31)


async def told(intake: Intake, path: str) -> list[dict[str, Any] | None]:
    """Every record of a request on the topic; None is a tombstone."""
    query = "SELECT value FROM outbox WHERE topic = 'dsr.status' AND key = $1 ORDER BY position"
    return [
        json.loads(row[0]) if row[0] else None
        for row in await intake.unit_of_work.pool.fetch(query, id_of(path).encode())
    ]


async def listed(client: httpx.AsyncClient, **query: Any) -> list[str]:
    """The ids on all pages, each of two requests."""
    found, cursor = list[str](), None
    while True:
        more: dict[str, Any] = {"cursor": cursor} if cursor else {}
        page = (await client.get("/v1/requests", params={"limit": 2, **query, **more})).raise_for_status().json()
        assert len(page["requests"]) <= 2
        found += [each["request_id"] for each in page["requests"]]
        if not (cursor := page["cursor"]):
            return found


async def test_each_change_of_where_a_request_stands_is_told_whole_and_its_end_by_a_tombstone(intake: Intake) -> None:
    path = await intake.submit()
    await intake.complete(path, outcome=Outcome.FULFILLED)
    received, closed = await told(intake, path)
    assert received
    assert closed
    assert received | {"state": "closed", "outcome": "fulfilled", "closed_at": closed["closed_at"]} == closed
    assert received == {
        "type": "dsr.request.status.v1",
        "request_id": id_of(path),
        "right": "access",
        "state": "in_progress",
        "received_at": received["received_at"],
        "due_on": (await intake.view(path))["due_on"],
        "outcome": None,
        "closed_at": None,
    }
    assert "ada" not in json.dumps([received, closed])
    for _ in range(2):  # letters and identities first, then the register
        intake.clock.at += MONTHS
        await expiry.end_all(intake.unit_of_work, retention(), lambda: None)
    assert (await told(intake, path))[2:] == [None]


async def test_what_changes_nothing_of_where_a_request_stands_is_not_told(intake: Intake) -> None:
    path = await intake.submit(right="erasure")
    await intake.extend(path)
    assert len(await told(intake, path)) == 2  # received, and due later


async def test_a_channel_lists_its_own_requests_by_page_and_the_privacy_team_all(intake: Intake, database: str) -> None:
    mine = [id_of(await intake.submit()) for _ in range(5)]
    grant = Grant.of("L3", *Power)
    other = {"Authorization": f"Bearer {await create(database, 'channel', 'shop', intake.clock.now(), grant)}"}
    body = {"right": "erasure", "subject": {"email": "eve@example.org"}}
    answer = await intake.channel.post("/v1/requests", json=body, headers=other)
    theirs = answer.raise_for_status().json()["request_id"]
    assert await listed(intake.channel) == mine
    assert await listed(intake.officer) == [*mine, theirs]
    page = await intake.channel.get("/v1/requests", headers=other)
    assert [each["request_id"] for each in page.json()["requests"]] == [theirs]


async def test_a_list_is_narrowed_by_state_right_and_due_day_and_a_page_stays_what_it_was(intake: Intake) -> None:
    paths = [await intake.submit(right=right) for right in ("access", "erasure", "access", "access")]
    ids = [id_of(path) for path in paths]
    await intake.complete(paths[0])
    due = date.fromisoformat((await intake.view(paths[3]))["due_on"])
    assert await listed(intake.channel, right="access") == [ids[0], *ids[2:]]
    assert await listed(intake.channel, state="closed") == [ids[0]]
    assert await listed(intake.channel, due_before=due) == []
    assert await listed(intake.channel, due_before=due + timedelta(days=1)) == ids
    first = (await intake.channel.get("/v1/requests", params={"limit": 2})).json()
    await intake.complete(paths[1])  # what changes meanwhile moves nothing from page to page
    following = {"limit": 2, "cursor": first["cursor"]}
    assert [
        each["request_id"] for each in (await intake.channel.get("/v1/requests", params=following)).json()["requests"]
    ] == ids[2:]


@pytest.mark.parametrize(
    "query",
    [{"cursor": "1.0"}, {"limit": 501}, {"limit": 0}, {"state": "lost"}, {"due_before": "1775000000"}, {"cursor": "2"}],
)
async def test_a_list_that_cannot_be_asked_for_is_refused_with_the_field(intake: Intake, query: dict[str, Any]) -> None:
    answer = await intake.channel.get("/v1/requests", params=query)
    assert answer.status_code == 422
    [fault] = answer.json()["errors"]
    assert fault["field"].endswith(next(iter(query)))


async def test_a_key_of_a_tenant_lists_what_was_submitted_for_that_tenant_alone(intake: Intake, database: str) -> None:
    await intake.submit()
    keys = []
    for tenant in ("northwind", "contoso"):
        grant = Grant("L3", tenant=tenant)
        keys.append(await create(database, "channel", "customers", intake.clock.now(), grant))
    # a key of one tenant that shares the channel of another's
    await intake.unit_of_work.pool.execute(
        "UPDATE api_key SET channel = (SELECT channel FROM api_key WHERE tenant = 'northwind') WHERE tenant = 'contoso'"
    )
    ids = []
    for key in keys:
        body = {"right": "access", "subject": {"email": "u@example.org"}, "instruction_id": "I-1"}
        answer = await intake.channel.post("/v1/requests", json=body, headers={"Authorization": f"Bearer {key}"})
        ids.append(answer.raise_for_status().json()["request_id"])
    own = {"Authorization": f"Bearer {keys[1]}"}
    page = (await intake.channel.get("/v1/requests", headers=own)).json()
    assert [each["request_id"] for each in page["requests"]] == [ids[1]]


async def test_a_parameter_that_is_none_or_comes_twice_is_refused_and_not_left_unheeded(intake: Intake) -> None:
    path = await intake.submit()
    for address in ("/v1/requests?due-before=2026-05-01", "/v1/requests?state=closed&state=received", f"{path}?x=1"):
        answer = await intake.channel.get(address)
        assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (400, "bad_request")
    assert (
        "it takes cursor, due_before, limit, right, state"
        in ((await intake.channel.get("/v1/requests?due-before=2026-05-01")).json()["detail"])
    )


async def test_what_is_accepted_later_comes_later_whatever_its_id(intake: Intake, database: str) -> None:
    selfcare = await emitting(intake, database, "selfcare")
    early = await selfcare.post(subject={"email": "eve@example.org"})
    first = id_of(await intake.submit())
    page = (await intake.officer.get("/v1/requests", params={"limit": 1})).json()
    assert [each["request_id"] for each in page["requests"]] == [first]
    intake.clock.at += timedelta(minutes=1)
    await selfcare.says("user.requested.access", early)
    last = id_of(await intake.submit())
    assert early < first
    assert await listed(intake.officer) == [first, early, last]
