"""The status of requests: published on every change, and listed by page for its submitter."""

import json
import logging
from collections.abc import Mapping
from dataclasses import fields, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import httpx
import orjson
import pytest

from services.intake.access.auth import create, staff_evidence_id
from services.intake.access.grant import Grant, Power
from services.intake.core.instants import retention
from services.intake.jobs import expiry
from services.intake.jobs.expiry import end_all
from services.intake.letters.letter_facts import LetterFacts
from services.intake.queries import worklist
from services.intake.queries.worklist import Filters
from services.intake.request.aggregate import Transition
from services.intake.request.lifecycle import State
from services.intake.store import lookup, repository
from services.intake.store.repository import Requests
from shared.domain import reference
from shared.domain.rights import Outcome
from tests.fixtures.console import OpenedConsole
from tests.fixtures.handed_out import GIVEN
from tests.fixtures.intake import Intake, id_of
from tests.fixtures.requests import open_question
from tests.fixtures.user_events import emitting

MONTHS = timedelta(days=40 * 31)


async def published(intake: Intake, path: str) -> list[dict[str, Any] | None]:
    """Returns every record of a request on the topic; None is a tombstone."""
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
        assert len(page["data"]) <= 2
        found += [each["request_id"] for each in page["data"]]
        if not (cursor := page["next_cursor"]):
            return found


async def test_each_change_of_status_is_published_whole_and_its_end_as_a_tombstone(intake: Intake) -> None:
    path = await intake.submit()
    await intake.complete(path, outcome=Outcome.FULFILLED)
    received, closed = await published(intake, path)
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
    assert (await published(intake, path))[2:] == [None]


async def test_unchanged_status_is_not_published(intake: Intake) -> None:
    path = await intake.submit(right="erasure")
    await intake.extend(path)
    assert len(await published(intake, path)) == 2  # received, and due later


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
    assert [each["request_id"] for each in page.json()["data"]] == [theirs]


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
    following = {"limit": 2, "cursor": first["next_cursor"]}
    assert [
        each["request_id"] for each in (await intake.channel.get("/v1/requests", params=following)).json()["data"]
    ] == ids[2:]


async def test_a_list_that_cannot_be_asked_for_is_refused_with_the_field(intake: Intake) -> None:
    texts: list[dict[str, Any]] = [{"cursor": "1.0"}, {"cursor": "2"}, {"state": "lost"}, {"due_before": "1775000000"}]
    for query in [*texts, {"limit": 1001}, {"limit": 0}]:
        answer = await intake.channel.get("/v1/requests", params=query)
        assert answer.status_code == (400 if "cursor" in query else 422)
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
    assert [each["request_id"] for each in page["data"]] == [ids[1]]


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
    assert [each["request_id"] for each in page["data"]] == [first]
    intake.clock.at += timedelta(minutes=1)
    await selfcare.publishes("user.requested.access", early)
    last = id_of(await intake.submit())
    assert early < first
    assert await listed(intake.officer) == [first, early, last]


NOW: Final = datetime(2026, 3, 5, 9, tzinfo=UTC)
PACKAGE: Final = UUID(int=7)
CHANGED: Final[Mapping[str, Any]] = {
    **dict.fromkeys(("responded_at", "closed_at", "lift_notified_at", "lifted_at"), NOW),
    **dict.fromkeys(("received_at", "forwarded_at", "controller_replied_at"), NOW),
    **dict.fromkeys(("anonymous", "resumable", "resumed", "owed", "suspended", "postponed", "opposed"), True),
    **dict.fromkeys(("extended", "renewing"), True),
    **dict.fromkeys(("outcome", "finished", "decided"), Outcome.PARTIALLY_FULFILLED),
    "state": State.CLOSED,
    "role": "processor",
    "due_on": NOW.date(),
    "zones": ("UTC",),
    "calendar": "ES",
    "calc_version": "1",
    "country": "ES",
    "language": "es",
    "warning": "overdue_commitment",
    "package_id": PACKAGE,
    "package_fault": "not_proved",
    "tasks": (GIVEN,),
    "question": open_question(),
    "instruction_id": "INS-1",
    "purposes": ("marketing",),
    "consent_text": "newsletter-4",
}
FIXED: Final = {"request_id", "subject_ref", "right", "scope", "channel", "key_id", "tenant", "case_id", "accepted_at"}


async def test_every_field_of_a_request_is_stored(intake: Intake) -> None:
    key = UUID(id_of(await intake.submit()))
    async with intake.unit_of_work.begin() as tx:
        requests = await Requests.locked(tx, LetterFacts(), [key])
        changed = replace(requests[key], **CHANGED)
        requests.apply_delivery(Transition(changed))
        await requests.save()
        assert await repository.read(tx.connection, key) == replace(changed, version=2)
    known = {each.name for each in fields(changed)} - FIXED - {"version", "package_gone"}
    assert known == CHANGED.keys(), "a new field is tested here, too"


# An index finds the open requests of a rare system.
_FILL = """
INSERT INTO request (request_id, subject_ref, "right", channel, key_id, accepted_at, state, received_at, due_on,
                     closed_at, responded_at, tasks, open)
SELECT gen_random_uuid(), gen_random_uuid(), 'access', 'api', 'key', now(),
       CASE WHEN n % 2 = 0 THEN 'closed' ELSE 'in_progress' END, now(), current_date + n % 90,
       CASE WHEN n % 2 = 0 THEN now() - n * interval '1 minute' END, now(),
       jsonb_build_array(jsonb_build_object('system', CASE WHEN n > 19996 THEN 'archive' ELSE 'crm' END, 'found', 1)),
       n % 2 = 1 OR n > 19996
FROM generate_series(1, 20000) AS n
"""


@pytest.mark.parametrize("state", [None, State.CLOSED])
async def test_page_of_a_rare_system_reads_its_own_rows(intake: Intake, state: State | None) -> None:
    async with intake.unit_of_work.pool.acquire() as connection:
        await connection.execute(_FILL)
        await connection.execute("ANALYZE request")
        query, values = worklist.ids(Filters(state=state, system="archive"), 50)
        [(plan,)] = await connection.fetch(f"EXPLAIN (ANALYZE, FORMAT JSON) {query}", *values)
        found = await connection.fetch(query, *values)
    assert len(found) == (2 if state else 4)
    assert read(orjson.loads(plan)[0]["Plan"]) < 100, plan


def read(node: dict[str, object]) -> float:
    """Counts the rows that a plan read and dropped."""
    parts = node.get("Plans", [])
    assert isinstance(parts, list)
    return float(str(node.get("Rows Removed by Filter", 0))) + sum(read(each) for each in parts)


# A request is found again by what its requester states, by keyed hashes, and by its short reference.
ADA: Mapping[str, Any] = {
    "email": "ada@example.org",
    "account_id": "C-4711",
    "phones": [{"number": "+13072248409"}],
    "country": "US",
}
NAME: Final = "requests.searched"
SAID: Final = ("Ada@Example.org", "C-4711", "+1 307 224 8409", "(307) 224-8409")


async def search(intake: Intake, text: str, client: httpx.AsyncClient | None = None, **more: str) -> list[str]:
    said = {"text": text, **more}
    answer = await (client or intake.officer).post("/v1/requests/search", json=said)
    assert answer.status_code == 200, answer.text
    return [each["request_id"] for each in answer.json()["data"]]


async def test_a_request_is_found_by_whatever_its_requester_states_and_no_other_is(intake: Intake) -> None:
    await intake.submit(subject={"email": "eve@example.org", "account_id": "C-4712", "country": "US"})
    mine = id_of(await intake.submit(subject=ADA))
    short = reference.of(UUID(mine))
    for said in (*SAID, mine, short, short.lower().replace("-", " ")):
        assert await search(intake, said) == [mine], said
    assert await search(intake, "307 224 8409", region="ES") == []
    for unknown in ("ada@example.com", "C-471", "CCP-7K2M-94QP", short[:-1] + ("2" if short[-1] != "2" else "3")):
        assert await search(intake, unknown) == [], unknown
    intake.clock.at += timedelta(minutes=1)
    later = id_of(await intake.submit(subject={**ADA, "phones": []}, right="erasure"))
    assert await search(intake, "ada@example.org") == [later, mine]
    assert await search(intake, SAID[2]) == [mine]


async def test_search_is_on_record_without_its_terms(intake: Intake, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    mine = await intake.submit(subject=ADA)
    for said in SAID:
        await search(intake, said)
    entries = await intake.unit_of_work.pool.fetch(
        "SELECT request_id, detail FROM evidence.entry WHERE action = $1", NAME
    )
    assert [(row["request_id"], json.loads(row["detail"])) for row in entries] == [
        (staff_evidence_id("officer-1"), {"holder": "officer-1", "found": 1})
    ] * len(SAID)
    kept = await intake.unit_of_work.pool.fetch("SELECT kind, hash FROM request_lookup")
    assert {row["kind"] for row in kept} == {"reference", "email", "account_id", "phone"}
    logged = f"{caplog.text} {await intake.published()} {kept} {await intake.evidence(mine)}".lower()
    for personal in ("ada@example.org", "c-4711", "2248409", "224-8409", "224 8409"):
        assert personal not in logged, personal


async def test_after_the_key_is_destroyed_the_reference_alone_finds_it_and_unproved_hashes_go(intake: Intake) -> None:
    mine = id_of(await intake.submit(subject=ADA))
    await intake.shred(mine)
    for said in SAID:
        assert await search(intake, said) == []
    assert await search(intake, reference.of(UUID(mine))) == [mine]
    ended = await end_all(intake.unit_of_work, retention(), lambda: None)
    left = await intake.unit_of_work.pool.fetch("SELECT kind, proved FROM request_lookup ORDER BY kind")
    assert (ended["lookups"], [tuple(row) for row in left]) == (
        1,
        [("account_id", True), ("email", True), ("reference", False)],
    )


async def test_path_takes_the_reference_from_permitted_readers(intake: Intake, database: str) -> None:
    path = await intake.submit(subject=ADA)
    short = reference.of(UUID(id_of(path)))
    for said in (short, short.lower()):
        assert (await intake.channel.get(f"/v1/requests/{said}")).json()["request_id"] == id_of(path)
    stranger = await create(database, "channel", "stranger", intake.clock.now())
    hidden = await intake.channel.get(f"/v1/requests/{short}", headers={"Authorization": f"Bearer {stranger}"})
    unknown = await intake.channel.get("/v1/requests/CCP-7K2M-94QP")
    mistyped = await intake.channel.get(f"/v1/requests/{short[:-1]}{'3' if short[-1] == '2' else '2'}")
    assert {(each.status_code, each.json()["detail"]) for each in (hidden, unknown, mistyped)} == {
        (404, "no such request for this key")
    }
    version = (await intake.officer.get(path)).headers["ETag"]
    done = await intake.officer.post(f"/v1/requests/{short}/actions/withdraw", headers={"If-Match": version})
    assert (done.status_code, done.json()["id"]) == (200, id_of(path))


async def test_the_reference_stands_in_answers_letters_and_on_pages(console: OpenedConsole) -> None:
    intake, hanna = console.intake, await console.member("hanna")
    path = await intake.submit(subject=ADA)
    short = reference.of(UUID(id_of(path)))
    for client in (intake.channel, intake.officer):
        assert (await client.get(path)).json()["reference"] == short
        assert [each["reference"] for each in (await client.get("/v1/requests")).json()["data"]] == [short]
    letter = (await intake.channel.get(f"{path}/letters")).json()["data"][0]
    assert short in letter["body"]
    assert id_of(path) not in letter["body"]
    assert short in (await hanna.open("/console/")).text
    assert short in (await hanna.open(f"/console/requests/{id_of(path)}")).text
    assert short in (await hanna.open(f"/console/requests/{id_of(path)}/decide/refuse")).text


async def test_the_console_searches_by_a_form_and_goes_to_the_one_that_is_found(console: OpenedConsole) -> None:
    intake = console.intake
    hanna, ugo = await console.member("hanna"), await console.member("ugo")
    path = await intake.submit(subject=ADA)
    for said in SAID:
        await hanna.open("/console/")
        await hanna.send("/console/search", text=said)
        assert hanna.path == f"/console/requests/{id_of(path)}", said
    await hanna.open("/console/")
    await hanna.send("/console/search", text="unknown@example.org")
    assert (hanna.path, hanna.status) == ("/console/search", 200)
    assert "No request was found" in hanna.text
    await intake.submit(subject=ADA, right="erasure")
    await hanna.send("/console/search", text=SAID[0])
    assert hanna.html.count("/console/requests/") == 2
    assert (await hanna.open("/console/search")).path == "/console/", "what was searched for is in no address"
    await ugo.open("/console/")
    await ugo.send("/console/search", text=SAID[0])
    assert "No request was found" in ugo.text, "an auditor finds requests by reference alone"
    await ugo.send("/console/search", text=reference.of(UUID(id_of(path))))
    assert ugo.path == f"/console/requests/{id_of(path)}"


async def test_shared_reference_is_ambiguous(intake: Intake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "of", lambda _request_id: reference.EXAMPLE)
    first, second = id_of(await intake.submit()), id_of(await intake.submit())
    async with intake.unit_of_work.begin() as tx:
        assert await lookup.find_by_reference(tx.connection, reference.EXAMPLE) is None
        assert str(await lookup.find_by_reference(tx.connection, first)) == first
    found = (await intake.officer.post("/v1/requests/search", json={"text": reference.EXAMPLE})).json()
    assert {each["request_id"] for each in found["data"]} == {first, second}
