"""Request Tracker, the real server, connected by declaration alone; what its interface cannot erase a person does."""

import json
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.domain.clock import SystemClock
from shared.domain.errors import NotSupported, WrongPersonMatch
from shared.domain.operations import Operation, TaskOutcome
from shared.systems.conformance import live
from shared.systems.conformance.checks import Verdict
from shared.systems.contract import Receipt
from shared.systems.http.adapter import HttpAdapter
from shared.systems.http.settings import DeclaredHttpSettings, path_of
from shared.systems.registry import Wiring, refuse_to_send
from tests.fixtures.downstream import WorkedSystem, email, task
from tests.fixtures.examined import kept
from tests.fixtures.memory import in_memory
from tests.fixtures.policy import signed_policy
from tests.fixtures.request_tracker import RequestTracker

ADA, NEIGHBOUR = "ada_l@example.com", "adaxl@example.com"
BEN, CLEO = "ben@example.com", "cleo@example.com"
TICKETS = (
    ("No sound", ADA),
    ("No sound either", ADA),
    ("Spam, deleted by the agent", ADA),
    ("Neighbour's line", NEIGHBOUR),
    ("A line of two", BEN, CLEO),
)

DOWNSTREAMS = """
[tickets]
adapter = "http"
url = "{url}"
declaration = "request-tracker"
needs = ["email"]
yields = ["phone"]

[tickets.conformance]
rectify = {{ field = "name", asserted = "Ada Byron" }}
seed = {{ command = {seed} }}
"""
SEED = """
import json, sys, httpx
person, url = json.load(sys.stdin), sys.argv[1]
user = {"Name": person["email"], "EmailAddress": person["email"], "RealName": person["name"]}
ticket = {"Queue": "General", "Subject": "A question", "Requestor": person["email"], "Content": "No sound"}
for place, said in (("user", user), ("ticket", ticket)):
    httpx.post(f"{url}/{place}", json=said, headers={"Authorization": sys.argv[2]}).raise_for_status()
print(2)
"""


@pytest.fixture(scope="module")
def tracker(run_folder: Path) -> Iterator[RequestTracker]:
    folder = run_folder / "request-tracker"
    with in_memory(folder), RequestTracker(folder, TICKETS) as started:
        yield started


def connected(tracker: RequestTracker, declaration: str = "request-tracker") -> WorkedSystem:
    settings = DeclaredHttpSettings(url=tracker.url, declaration=declaration)
    environment = {"RT_TOKEN": tracker.token}
    dependencies: dict[str, Any] = {"clock": SystemClock(), "environment": environment, "policy": signed_policy()}
    return WorkedSystem(HttpAdapter("tickets", settings, **dependencies))


@pytest.fixture
async def system(tracker: RequestTracker) -> AsyncIterator[WorkedSystem]:
    system = connected(tracker)
    yield system
    await system.close()


async def test_person_is_located_copied_and_corrected_with_verification(
    system: WorkedSystem,
) -> None:
    change = ("phone", None, "+33612345678")
    assert (await system.receipt(task(Operation.RECTIFY, email(NEIGHBOUR), changes=[change]))).changed == 1
    located = await system.receipt(task(Operation.LOCATE, email(NEIGHBOUR)))
    assert {each.value for each in located.identities} == {"+33612345678"}

    copied = await system.receipt(task(Operation.EXPORT, email(NEIGHBOUR.upper())))
    assert copied.by_category == {"requester": 1, "ticket": 1, "message": 1}
    assert [each.data["Content"] for each in copied.records if each.category == "message"] == [
        f"Neighbour's line, writes {NEIGHBOUR}\n"
    ]
    assert copied.written_by_others
    assert all(each.matched for each in copied.records)
    assert (await system.receipt(task(Operation.EXPORT, email("unknown@example.com")))).outcome == TaskOutcome.NO_MATCH


async def test_manual_erasure_is_verified_after_the_person_has_done_it(
    system: WorkedSystem, tracker: RequestTracker
) -> None:
    erasing = task(Operation.ERASE, email(ADA))
    manual = await system.one(erasing)
    assert isinstance(manual, NotSupported)
    assert "message, ticket, user" in str(manual)
    assert not any(ADA in line or "ada" in line for line in manual.manual_steps)

    again = await system.one(system.again(erasing))
    assert isinstance(again, NotSupported), "it was not done"
    assert again.manual_steps == manual.manual_steps

    *records, person = manual.manual_steps
    for line in records:
        tracker.run(line)
    last = await system.one(system.again(erasing))
    assert isinstance(last, NotSupported)
    assert last.manual_steps == (person,)

    tracker.run(person)
    receipt = await system.one(system.again(erasing))
    assert isinstance(receipt, Receipt), receipt
    assert (receipt.outcome, receipt.by_category) == (
        TaskOutcome.ERASED,
        {"requester": 1, "ticket": 2, "message": 2},
    )
    assert tracker.holds(ADA) == []
    assert tracker.holds(NEIGHBOUR), "to the shredder's own masks the two are one"


async def test_a_ticket_of_two_people_is_not_shredded_for_one(system: WorkedSystem) -> None:
    manual = await system.one(task(Operation.ERASE, email(BEN)))
    assert isinstance(manual, NotSupported)
    message, ticket, _ = manual.manual_steps
    assert "Objects=Attachment," in message
    assert "of several people" in ticket
    assert "rt-shredder" not in ticket
    assert (await system.receipt(task(Operation.EXPORT, email(CLEO)))).by_category == {"requester": 1, "ticket": 1}


async def test_search_that_returns_all_people_changes_nothing(tracker: RequestTracker, tmp_path: Path) -> None:
    field = path_of("request-tracker").read_text().replace('field = "EmailAddress"', 'field = "MobilePhone"')
    (tmp_path / "careless.toml").write_text(field)
    careless = connected(tracker, str(tmp_path / "careless.toml"))
    assert isinstance(await careless.one(task(Operation.EXPORT, email(ADA))), WrongPersonMatch)
    await careless.close()


async def test_conformance_says_what_it_does_and_that_a_person_must_erase(
    tracker: RequestTracker, tmp_path: Path
) -> None:
    file = tmp_path / "downstreams.toml"
    seed = json.dumps([sys.executable, "-c", SEED, tracker.url, f"token {tracker.token}"])
    file.write_text(DOWNSTREAMS.format(url=tracker.url, seed=seed))
    secrets = {"RT_TOKEN": tracker.token}
    found = (await live.examine(file, Wiring(secrets, SystemClock(), refuse_to_send, b"")))["tickets"]
    assert kept("request-tracker", found) == {}
    words = {name: each.verdict for name, each in found.items()}
    assert {name for name, word in words.items() if word is Verdict.YES} >= {"found", "exported", "rectified"}
    assert words["erased"] is Verdict.NOT_DECLARED
    assert "no way to erase ticket, user" in found["erased"].reason
