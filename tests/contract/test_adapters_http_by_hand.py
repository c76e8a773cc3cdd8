"""What an interface cannot erase: a person is told how, by ids alone, and it is looked for again when they have."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.domain.errors import AnswerMalformed, NotSupported
from shared.domain.operations import Operation, TaskOutcome
from shared.downstreams.contract import Receipt
from tests.contract.http_stands import ADA, Declared, declared, task
from tests.fixtures.engine import SetClock

DECLARATION = """
auth = { kind = "api_key", header = "Authorization", prefix = "token ", key_env = "HUBSPOT_TOKEN" }
check = { get = "/me" }
[resource.user]
category = "contact"
find = { get = "/users", query = { email = "{email}" }, by = ["email"], records = "users" }
owner = { email = "email" }
fields = { id = "T", email = "A" }
by_hand = [{ do = "shred user {id}" }]
verify = { ask = [{ get = "/users/{id}", gone = [{ status = 404 }] }] }
[resource.ticket]
category = "ticket"
of = "user"
find = { get = "/tickets", query = { user = "{user.id}" }, records = "tickets" }
owner = { "people.*.id" = "user.id" }
fields = { id = "T", people = "T" }
by_hand = [
    { when = [{ path = "people.1" }], do = "read ticket {id} of user {user.id}" },
    { do = "shred '{each}'", each = "Ticket,{id}", between = ";" },
]
verify = { ask = [{ get = "/tickets/{id}", gone = [{ status = 404 }] }] }
[resource.message]
category = "message"
of = "ticket"
find = { get = "/messages", query = { ticket = "{ticket.id}" }, records = "messages", foreign = "count" }
owner = { by = "user.id" }
fields = { id = "T", by = "T", ticket = "T" }
by_hand = [{ do = "shred {each}", each = "Message,{id}" }]
verify = { search = true }
"""
Records = dict[str, dict[str, dict[str, Any]]]


class Tracker:
    """Users, tickets and messages, which only its administrator can take out."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.records: Records = {"users": {}, "tickets": {}, "messages": {}}

    def add(self, kind: str, number: str, **said: Any) -> None:
        self.records[kind][number] = {"id": number, **said}

    def answer(self, request: httpx.Request) -> httpx.Response:
        assert request.headers["authorization"] == "token secret"
        assert request.method == "GET"
        self.calls.append(request.url.path)
        _, _, kind, *number = request.url.path.split("/")
        if number:
            found = self.records[kind].get(number[0])
            return httpx.Response(200, json=found) if found else httpx.Response(404)
        asked = dict(request.url.params)
        return httpx.Response(200, json={kind: [r for r in self.records[kind].values() if _is(r, asked)]})


def _is(record: dict[str, Any], asked: dict[str, str]) -> bool:
    if "user" in asked:
        return asked["user"] in [each["id"] for each in record["people"]]
    return all(record[name] == value for name, value in asked.items())


@pytest.fixture
def tracker() -> Tracker:
    tracker = Tracker()
    tracker.add("users", "7", email=ADA)
    tracker.add("users", "8", email="ben@example.com")
    for number in ("1", "2"):
        tracker.add("tickets", number, people=[{"id": "7"}])
    tracker.add("tickets", "3", people=[{"id": "8"}, {"id": "7"}])
    tracker.add("messages", "11", ticket="1", by="7")
    tracker.add("messages", "12", ticket="1", by="9")
    tracker.add("messages", "13", ticket="3", by="7")
    return tracker


@pytest.fixture
async def engine(tracker: Tracker, tmp_path: Path) -> AsyncIterator[Declared]:
    (tmp_path / "tracker.toml").write_text(DECLARATION)
    async with declared(tmp_path / "tracker.toml", httpx.MockTransport(tracker.answer), SetClock()) as engine:
        yield engine


async def test_a_person_is_told_by_ids_what_to_do_and_what_is_below_comes_first(engine: Declared) -> None:
    [told] = await engine.once([task()])
    assert isinstance(told, NotSupported)
    assert told.manual_steps == (
        "shred Message,11,Message,13",
        "read ticket 3 of user 7",
        "shred 'Ticket,1;Ticket,2'",
        "shred user 7",
    )
    assert "7" not in str(told)
    assert "says how" in str(told)


async def test_what_has_gone_is_not_told_again_and_when_all_has_it_is_erased(
    engine: Declared, tracker: Tracker
) -> None:
    erasing = task()
    await engine.once([erasing])
    for kind, number in (("messages", "11"), ("tickets", "1"), ("tickets", "2")):
        del tracker.records[kind][number]
    tracker.add("tickets", "4", people=[{"id": "7"}])
    [told] = await engine.once([erasing])
    assert isinstance(told, NotSupported)
    assert told.manual_steps == ("shred Message,13", "read ticket 3 of user 7", "shred 'Ticket,4'", "shred user 7")

    tracker.records["tickets"] = tracker.records["messages"] = {}
    del tracker.records["users"]["7"]
    [done] = await engine.once([erasing])
    assert isinstance(done, Receipt), done
    assert (done.outcome, done.by_category) == (TaskOutcome.ERASED, {"contact": 1, "ticket": 4, "message": 2})


async def test_an_id_that_is_none_gets_into_no_command(engine: Declared, tracker: Tracker) -> None:
    tracker.add("tickets", "1'; rm -rf /; '", people=[{"id": "7"}])
    [told] = await engine.once([task()])
    assert isinstance(told, AnswerMalformed)


async def test_what_others_have_written_is_counted_and_not_handed_out(engine: Declared) -> None:
    [copied] = await engine.adapter.export([task(Operation.EXPORT)], engine.save_progress)
    assert isinstance(copied, Receipt)
    assert (copied.by_category, copied.written_by_others) == ({"contact": 1, "ticket": 3, "message": 2}, 1)


async def test_what_neither_says_makes_no_record_theirs(tracker: Tracker, tmp_path: Path) -> None:
    unsaid = DECLARATION.replace('by = "user.id"', 'account = "user.account"')
    (tmp_path / "tracker.toml").write_text(unsaid)
    async with declared(tmp_path / "tracker.toml", httpx.MockTransport(tracker.answer), SetClock()) as engine:
        [copied] = await engine.adapter.export([task(Operation.EXPORT)], engine.save_progress)
    assert isinstance(copied, Receipt)
    assert copied.by_category == {"contact": 1, "ticket": 3}
