"""The queue and the story of a request, as whoever has signed in sees them."""

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import pytest

from services.intake.console import queue
from shared.domain.events import FulfilmentBlocked
from shared.domain.operations import Operation
from tests.fixtures.console import OpenedConsole, opened_console
from tests.fixtures.events import a
from tests.fixtures.handed_out import GIVEN
from tests.fixtures.intake import Intake, beyond, id_of
from tests.fixtures.letters_sent import send
from tests.fixtures.mail_server import MailServer
from tests.fixtures.portal import Visitor

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture
async def console(intake: Intake, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[OpenedConsole]:
    async with opened_console(intake, monkeypatch, traces="https://traces.example/{trace}") as console:
        yield console


def listed(visitor: Visitor) -> list[str]:
    return re.findall(r'href="/console/requests/([0-9a-f-]{36})"', visitor.html)


async def test_queue_shows_earliest_due_first(console: OpenedConsole, monkeypatch: pytest.MonkeyPatch) -> None:
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
    for query in ("waits=godot", "sort=name", "after=1", "due=tomorrow", "system=%00", "reference=ada"):
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


async def test_closed_request_is_open_until_its_answer_arrived(console: OpenedConsole, server: MailServer) -> None:
    intake = console.intake
    path = await intake.submit()
    await intake.unit_of_work.pool.execute("UPDATE request SET channel = 'email'")
    await intake.complete(path, operation=Operation.EXPORT, tasks=(GIVEN,))
    visitor = await _shown_as_overdue(console, path, "has not reached the person")
    assert await send(intake, server)
    assert listed(await visitor.open("/console/?due=overdue")) == []


async def test_outstanding_part_of_an_answered_request_is_open_and_overdue(console: OpenedConsole) -> None:
    intake = console.intake
    path = await intake.submit()
    await intake.complete(path, operation=Operation.EXPORT, tasks=(GIVEN,))
    owed = GIVEN.model_dump(mode="json", exclude_none=True) | {"failure": "refused", "system": "billing"}
    execute = intake.unit_of_work.pool.execute
    await execute("UPDATE request SET outcome = 'partially_fulfilled', owed = true, tasks = $1", [owed])
    visitor = await _shown_as_overdue(console, path, "of billing the rest is still owed")
    owed.pop("failure")
    now = intake.clock.now()
    done = "UPDATE request SET tasks = $1, responded_at = $2, due_on = $3"
    await execute(done, [owed], now, now.date() + timedelta(days=1))
    intake.clock.pass_by(minutes=2)
    assert "100 %" in (await visitor.open("/console/sla")).text, "done in time"
    intake.clock.pass_by(days=4)
    async with intake.unit_of_work.begin() as tx:
        tx.log_evidence(UUID(id_of(path)), "part.completed", {}, "service:intake")
    visitor = await console.member("ugo")
    shown = (await visitor.open("/console/sla")).text
    assert re.search(r"\b0 %", shown), "what was owed was done late"
    assert listed(await visitor.open("/console/?due=overdue")) == []


async def _shown_as_overdue(console: OpenedConsole, path: str, why: str) -> Visitor:
    """What is closed and unfinished, sixty days later, on each page."""
    console.intake.clock.pass_by(days=60)
    visitor = await console.member("ugo")
    for query in ("", "?due=overdue", "?right=access", "?state=closed"):
        assert listed(await visitor.open(f"/console/{query}")) == [id_of(path)], query
        assert why in visitor.text
    assert "days late" in (await visitor.open("/console/?due=overdue")).text
    assert listed(await visitor.open("/console/?state=in_progress")) == []
    await visitor.open(f"/console/requests/{id_of(path)}")
    assert why in visitor.text
    assert "Was due" not in visitor.text
    shown = (await visitor.open("/console/sla")).text
    assert "Nothing is open" not in shown
    assert "nothing is overdue" not in shown
    assert re.search(r"\b0 %", shown)
    return visitor
