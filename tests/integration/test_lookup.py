"""A request is found again by what its requester states, by keyed hashes, and by its short reference."""

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import httpx
import pytest

from services.intake import lookup
from services.intake.actors import of_person
from services.intake.auth import create
from services.intake.expiry import end_all
from services.intake.grant import Grant, Power
from services.intake.retention import retention
from shared.domain import reference
from tests.fixtures.console import OpenedConsole
from tests.fixtures.intake import Intake, id_of

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
    return [each["request_id"] for each in answer.json()["requests"]]


async def test_a_request_is_found_by_whatever_its_requester_states_and_no_other_is(intake: Intake) -> None:
    await intake.submit(subject={"email": "eve@example.org", "account_id": "C-4712", "country": "US"})
    mine = id_of(await intake.submit(subject=ADA))
    short = reference.of(UUID(mine))
    for said in (*SAID, mine, short, short.lower().replace("-", " ")):
        assert await search(intake, said) == [mine], said
    assert await search(intake, "307 224 8409", region="ES") == []
    for nobody in ("ada@example.com", "C-471", "CCP-7K2M-94QP", short[:-1] + ("2" if short[-1] != "2" else "3")):
        assert await search(intake, nobody) == [], nobody
    intake.clock.at += timedelta(minutes=1)
    later = id_of(await intake.submit(subject={**ADA, "phones": []}, right="erasure"))
    assert await search(intake, "ada@example.org") == [later, mine]
    assert await search(intake, SAID[2]) == [mine]


async def test_only_the_privacy_team_searches(intake: Intake, database: str) -> None:
    """A channel, the portal and a customer of ours find nobody, not even what is their own."""
    await intake.submit(subject=ADA)
    tenant = replace(Grant.of("L3", *Power), tenant="acme")
    key = await create(database, "channel", "acme", intake.clock.now(), tenant)
    for headers in (intake.channel.headers, {"Authorization": f"Bearer {key}"}):
        answer = await intake.officer.post("/v1/requests/search", json={"text": SAID[0]}, headers=dict(headers))
        assert answer.status_code == 403
        assert "ada" not in answer.text


async def test_a_search_is_on_record_without_its_terms_and_stands_in_no_log(
    intake: Intake, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    mine = await intake.submit(subject=ADA)
    for said in SAID:
        await search(intake, said)
    entries = await intake.unit_of_work.pool.fetch(
        "SELECT request_id, detail FROM evidence.entry WHERE action = $1", NAME
    )
    assert [(row["request_id"], json.loads(row["detail"])) for row in entries] == [
        (of_person("officer-1"), {"holder": "officer-1", "found": 1})
    ] * len(SAID)
    kept = await intake.unit_of_work.pool.fetch("SELECT kind, hash FROM request_lookup")
    assert {row["kind"] for row in kept} == {"reference", "email", "account_id", "phone"}
    told = f"{caplog.text} {await intake.published()} {kept} {await intake.evidence(mine)}".lower()
    for personal in ("ada@example.org", "c-4711", "2248409", "224-8409", "224 8409"):
        assert personal not in told, personal


async def test_after_the_key_is_destroyed_the_reference_alone_finds_it_and_the_hashes_go(intake: Intake) -> None:
    mine = id_of(await intake.submit(subject=ADA))
    async with intake.unit_of_work.begin() as tx:
        ref = await tx.connection.fetchval("SELECT subject_ref FROM request")
        await tx.vault.shred(tx.connection, [ref], tx.now)
    for said in SAID:
        assert await search(intake, said) == []
    assert await search(intake, reference.of(UUID(mine))) == [mine]
    ended = await end_all(intake.unit_of_work, retention(), lambda: None)
    assert ended["lookups"] == 3
    assert await intake.unit_of_work.pool.fetchval("SELECT array_agg(kind) FROM request_lookup") == ["reference"]


async def test_a_path_of_the_api_takes_the_reference_for_whoever_may_see_the_request(
    intake: Intake, database: str
) -> None:
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
    done = await intake.officer.post(f"/v1/requests/{short}/withdraw", headers={"If-Match": version})
    assert (done.status_code, done.json()["reference"]) == (200, short)


async def test_the_reference_stands_in_answers_letters_and_on_pages(console: OpenedConsole) -> None:
    intake, hanna = console.intake, await console.member("hanna")
    path = await intake.submit(subject=ADA)
    short = reference.of(UUID(id_of(path)))
    for client in (intake.channel, intake.officer):
        assert (await client.get(path)).json()["reference"] == short
        assert [each["reference"] for each in (await client.get("/v1/requests")).json()["requests"]] == [short]
    letter = (await intake.channel.get(f"{path}/letters")).json()["letters"][0]
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
    await hanna.send("/console/search", text="nobody@example.org")
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


async def test_a_reference_that_two_requests_share_names_neither_and_the_search_finds_both(
    intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reference, "of", lambda _request_id: reference.EXAMPLE)
    first, second = id_of(await intake.submit()), id_of(await intake.submit())
    async with intake.unit_of_work.begin() as tx:
        assert await lookup.named(tx.connection, reference.EXAMPLE) is None
        assert str(await lookup.named(tx.connection, first)) == first
    found = (await intake.officer.post("/v1/requests/search", json={"text": reference.EXAMPLE})).json()
    assert {each["request_id"] for each in found["requests"]} == {first, second}
