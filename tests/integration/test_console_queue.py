"""The queue and the story of a request, as whoever has signed in sees them."""

import re
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from services.intake.console import queue
from shared.domain.events import FulfilmentBlocked
from tests.fixtures.console import OpenedConsole, opened_console
from tests.fixtures.events import a
from tests.fixtures.intake import Intake, beyond, id_of
from tests.fixtures.portal import Visitor

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture
async def console(intake: Intake, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[OpenedConsole]:
    async with opened_console(intake, monkeypatch, traces="https://traces.example/{trace}") as console:
        yield console


def listed(visitor: Visitor) -> list[str]:
    return re.findall(r'href="/console/requests/([0-9a-f-]{36})"', visitor.html)


async def test_the_queue_shows_what_is_due_first_by_page_and_filter(
    console: OpenedConsole, monkeypatch: pytest.MonkeyPatch
) -> None:
    intake, paths = console.intake, list[str]()
    for said in ({"assurance": None}, {"right": "erasure"}, {"assurance": None}):
        paths.append(await intake.submit(**said))
        intake.clock.at += timedelta(days=1)
    hanna = await console.member("hanna")
    first, erasure, last = map(id_of, paths)
    await intake.consume(a(FulfilmentBlocked, about=erasure, tasks=(beyond(3_000),)))
    await hanna.open("/console/")
    assert listed(hanna) == [first, erasure, last]
    assert "billing" in hanna.text, "what it waits for is said"
    assert "POST" not in hanna.text
    for query, found in (
        ("waits=proof", [first, last]),
        ("waits=person", [erasure]),
        ("right=erasure", [erasure]),
        ("state=awaiting_identity&right=erasure", []),
        ("system=billing", [erasure]),
        ("system=crm", []),
        ("state=closed", []),
        ("due=overdue", []),
    ):
        assert listed(await hanna.open(f"/console/?{query}")) == found, query
    assert (await hanna.open(f"/console/?reference={last.upper()}")).path == f"/console/requests/{last}"
    for query in ("waits=godot", "sort=name", "after=1", "due=tomorrow", "reference=ada"):
        assert (await hanna.open(f"/console/?{query}")).status == 400, query
    monkeypatch.setattr(queue, "ROWS", 2)
    await hanna.open("/console/?right=")
    (following,) = re.findall(r'href="/console/(\?[^"]*after=[^"]+)"', hanna.html)
    assert listed(await hanna.open(f"/console/{following}")) == [last]
    intake.clock.at += timedelta(days=60)
    hanna = await console.member("hanna")
    assert listed(await hanna.open("/console/?due=overdue")) == [first, erasure]
    for path in paths:
        (await intake.officer.post(f"{path}/withdraw")).raise_for_status()
    assert listed(await hanna.open("/console/")) == []
    assert len(listed(await hanna.open("/console/?state=closed"))) == 2
    (following,) = re.findall(r'href="/console/(\?[^"]*after=[^"]+)"', hanna.html)
    assert listed(await hanna.open(f"/console/{following.replace('&amp;', '&')}")) == [first]


async def test_a_request_is_told_on_one_page_and_whoever_looks_is_on_record(console: OpenedConsole) -> None:
    intake, hanna = console.intake, await console.member("hanna")
    intake.channel.headers["traceparent"] = f"00-{TRACE}-00f067aa0ba902b7-01"
    path = await intake.submit(right="erasure")
    await intake.consume(a(FulfilmentBlocked, about=id_of(path), tasks=(beyond(3_000),)))
    await intake.decide(path, "refuse")
    await hanna.open(f"/console/requests/{id_of(path)}")
    for said in ("erasure", "billing", "3,000 are found", "request received", "decision made", "Acknowledgement"):
        assert said.lower() in hanna.text.lower(), said
    assert "example.org" not in hanna.text, "who has asked stands in the letters alone"
    assert f'href="https://traces.example/{TRACE}"' in hanna.html
    await hanna.open(f"/console/requests/{id_of(path)}/letters")
    assert "ada@example.org" in hanna.text
    looked = [each for each in await intake.evidence(path) if each["actor"] == "person:hanna"]
    assert [each["action"] for each in looked] == ["request.viewed", "letters.read"]
    ugo = await console.member("ugo")
    assert (await ugo.open(f"/console/requests/{id_of(path)}")).status == 200
    assert (await ugo.open(f"/console/requests/{id_of(path)}/letters")).status == 403
    for wrong in ("nothing", "00000000-0000-0000-0000-000000000000"):
        assert (await hanna.open(f"/console/requests/{wrong}")).status == 404
