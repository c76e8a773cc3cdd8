"""Other work in a real Roundup: find, copy, amend, escalate, and report outages."""

import sqlite3
from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from itertools import chain
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from uuid_utils.compat import uuid7

from deploy.demo.company import Company, Size, found
from deploy.demo.seed.tickets import Record as Loaded
from deploy.demo.seed.tickets import people, tickets
from deploy.local.roundup import Roundup
from shared.domain.errors import DataStillPresent, LimitExceeded, NotSupported, Refused, Unavailable
from shared.domain.identities import IdentityType
from shared.domain.operations import Operation, TaskOutcome, Unsearched
from shared.domain.release import WITHHELD
from shared.systems.contract import CopiedRecord, NotSearched, Receipt
from shared.systems.protocols import ExportableInParts
from shared.systems.roundup.adapter import RoundupAdapter
from shared.systems.roundup.system import TicketSystem
from shared.systems.sweepable import DueCount, DueRecords, SweepResult
from tests.fixtures.analytics import nothing
from tests.fixtures.downstream import email, name, phone, receipt, task
from tests.fixtures.roundup import PRIVACY, Customer, Line, Lying, Ticketing, route, worked

FORBIDDEN = 403
OK = 200


def unique(prefix: str) -> str:
    """Returns a unique address."""
    return f"{prefix}.{uuid7().hex}@example.org"


def a_number() -> str:
    """Returns a unique number."""
    return f"+3461{int(uuid7().hex[-12:], 16) % 10**7:07d}"


async def test_subject_is_found_by_any_spelling_and_yields_the_rest(ticketing: Ticketing) -> None:
    address, second, number = unique("Marta.Soler"), unique("marta"), a_number()
    written = f"00{number[1:3]} {number[3:6]} {number[6:]}"
    ticketing.person("Marta Soler", address.upper(), written, alternate_addresses=f"{unique('old')}\n{second.upper()}")
    tasks = [task(Operation.LOCATE, one) for one in (email(address), email(second), phone(number))]
    for one in map(receipt, await ticketing.run(*tasks)):
        assert (one.outcome, one.found) == (TaskOutcome.LOCATED, 1)
        assert {IdentityType.EMAIL, IdentityType.NAME} <= {identity.type for identity in one.identities}
        assert all(identity.source == "ticketing" for identity in one.identities)


async def test_more_users_than_one_subject_may_be_stop_the_task(ticketing: Ticketing) -> None:
    addresses = [unique(f"many{n}") for n in range(3)]
    for address in addresses:
        ticketing.person("Many Faces", address)
    result = await ticketing.over(max_people=2).one(task(Operation.LOCATE, *map(email, addresses)))
    assert isinstance(result, LimitExceeded)


def counted(export: Receipt) -> dict[str, int]:
    """Counts what was found, by category, without its history."""
    return {name: rows for name, rows in export.by_category.items() if name != "history"}


async def test_an_access_package_holds_account_tickets_messages_and_files(ticketing: Ticketing) -> None:
    address = unique("Pau.Vidal")
    user = ticketing.person("Pau Vidal", address, a_number())
    ticketing.retire("issue", ticketing.ticket(user, "An old case", "it was solved"))
    ticketing.ticket(user, "Roaming", "no data in Lisbon", "bill.pdf")
    export = await ticketing.receipt(task(Operation.EXPORT, email(address)))
    assert counted(export) == {"requester": 1, "file": 1, "message": 4, "ticket": 2}
    by_category = {record.category: record for record in reversed(export.records)}
    assert by_category["requester"].data["address"] == address
    assert by_category["ticket"].data["title"] == "An old case"
    assert b64decode(str(by_category["file"].data["content_base64"])) == b"contents of bill.pdf"
    messages = [record for record in export.records if record.category == "message"]
    assert {(record.data["author"], record.portable) for record in messages} == {("you", True), ("service desk", False)}
    assert "no data in Lisbon" in [record.data["content"] for record in messages]


async def test_copy_shows_the_history_of_the_subject_alone(ticketing: Ticketing) -> None:
    former, customer = Customer(ticketing), Customer(ticketing)
    ticketing.change("issue", former.ticket, requester=customer.user)
    ticketing.change("issue", former.ticket, title="Passed on")
    with sqlite3.connect(ticketing.roundup.database) as connection:  # a link from what the schema no longer has
        copied = "select nodeid, date, tag, 'link', ? from issue__journal where nodeid = ? and action = 'create'"
        connection.execute(f"insert into issue__journal {copied}", (repr(("gone", "1", "on")), customer.ticket))
    connection.close()
    asked = task(Operation.EXPORT, email(customer.address), phone(customer.phone))
    copy = await ticketing.receipt(asked)
    rows = [record for record in copy.records if record.category == "history"]
    assert {record.portable for record in rows} == {False}
    assert all(record.matched for record in rows)
    said: dict[tuple[Any, ...], list[Any]] = {}
    for record in rows:
        said.setdefault((record.data["record"], record.data["id"]), []).append(record.data["former"])
    assert {"title": customer.title} in said["ticket", customer.ticket]
    assert {"address": customer.former} in said["requester", customer.user]
    assert said["ticket", former.ticket][0] == {"title": f"{former.title}!"}, "the latest first"
    assert {"title": WITHHELD} in said["ticket", former.ticket], "what it said while it was another's"
    assert former.name not in str(rows)
    assert not [name for name in (former.title, former.former) if f"'{name}'" in str(rows)]
    erased = (await ticketing.receipt(customer.erasure())).by_category
    assert erased == copy.by_category


async def test_history_is_no_part_of_what_they_gave(ticketing: Ticketing) -> None:
    customer = Customer(ticketing)
    known = (email(customer.address), phone(customer.phone))
    copies = [
        await ticketing.receipt(task(Operation.EXPORT, *known, right=right)) for right in ("access", "portability")
    ]
    assert ["history" in copy.by_category for copy in copies] == [True, False]


async def test_copy_of_many_files_is_streamed_in_parts(ticketing: Ticketing, monkeypatch: pytest.MonkeyPatch) -> None:
    address = unique("Pau.Vidal")
    user = ticketing.person("Pau Vidal", address, a_number())
    for n in range(2):
        ticketing.ticket(user, f"Roaming {n}", "no data in Lisbon", f"bill {n}.pdf")
    monkeypatch.setattr(TicketSystem, "part", 1)
    given: list[CopiedRecord] = []

    async def hand_over(_: object, records: Sequence[CopiedRecord]) -> None:
        given.extend(records)

    asked = task(Operation.EXPORT, email(address))
    assert isinstance(ticketing.adapter, ExportableInParts)
    [result] = await ticketing.adapter.export_in_parts([asked], ticketing.save_progress, hand_over)
    assert isinstance(result, Receipt)
    assert (result.parts > 1, result.records, result.found) == (True, (), len(given))
    whole = await ticketing.receipt(task(Operation.EXPORT, email(address)))
    assert [record.data for record in given] == [record.data for record in whole.records]


async def with_a_neighbours_words(ticketing: Ticketing, customer: Customer) -> tuple[Customer, tuple[str, str, str]]:
    """Adds a neighbour's message with a file to the customer's ticket, and the customer's message to the neighbour's.

    Returns both customers and the texts: the neighbour's message, the file, and the customer's message.
    """
    neighbour = Customer(ticketing)
    said = (f"I am {neighbour.name}, and {customer.name} has the same trouble", f"bill of {neighbour.name}")
    paper = ticketing.create("file", name="theirs.txt", type="text/plain", content=said[1])
    theirs = ticketing.create("msg", content=said[0], author=neighbour.user, files=paper)
    ticket = ticketing.get("issue", customer.ticket)
    for kind, added in (("messages", theirs), ("files", paper)):
        ticketing.change(
            "issue", customer.ticket, **{kind: ",".join([*(str(one["id"]) for one in ticket[kind]), added])}
        )
    own = f"{customer.name} has it too"
    mine = ticketing.create("msg", content=own, author=customer.user)
    before = ",".join(str(one["id"]) for one in ticketing.get("issue", neighbour.ticket)["messages"])
    ticketing.change("issue", neighbour.ticket, messages=f"{before},{mine}")
    return neighbour, (*said, own)


async def test_text_of_third_parties_is_withheld_and_counted(ticketing: Ticketing) -> None:
    customer = Customer(ticketing)
    neighbour, (words, paper, own) = await with_a_neighbours_words(ticketing, customer)
    export = await ticketing.receipt(task(Operation.EXPORT, email(customer.address), phone(customer.phone)))
    assert counted(export) == {"requester": 1, "file": 1, "message": 3, "ticket": 1}
    assert export.written_by_others == 2
    assert neighbour.name not in str(export.records)
    texts = {record.data["content"] for record in export.records if record.category == "message"}
    assert texts == {customer.text, f"We looked into it: {customer.text}", own}
    done = await ticketing.receipt(customer.erasure())
    assert (done.outcome, done.written_by_others) == (TaskOutcome.ERASED, 2)
    assert ticketing.holds(customer.text, own) == []
    assert sorted(ticketing.comments(customer.ticket)) == sorted(["[erased]", "[erased]", words])
    assert "[erased]" in ticketing.comments(neighbour.ticket)
    assert neighbour.text in ticketing.comments(neighbour.ticket)
    [attached] = [one for one in ticketing.get("issue", customer.ticket)["files"] if _content(ticketing, one) == paper]
    assert attached


async def test_undeclared_staff_counts_as_third_parties(ticketing: Ticketing) -> None:
    customer = Customer(ticketing)
    unaware = ticketing.over(staff_roles=())
    done = await unaware.receipt(customer.erasure())
    assert done.written_by_others == 2, "the service desk's message, and the file that it has uploaded"
    assert sorted(ticketing.comments(customer.ticket)) == sorted(["[erased]", f"We looked into it: {customer.text}"])


def _content(ticketing: Ticketing, file: Mapping[str, Any]) -> str:
    return str(ticketing.get("file", str(file["id"]))["content"])


async def test_a_restricted_subject_is_hidden_from_ordinary_agents_until_it_is_lifted(ticketing: Ticketing) -> None:
    address = unique("restricted")
    user = ticketing.person("Rita Quiet", address)
    ticket = ticketing.ticket(user, "Please wait", "do not touch", "contract.txt")
    (message, *_), (file,) = ticketing.get("issue", ticket)["messages"], ticketing.get("issue", ticket)["files"]
    parts = [("user", user), ("issue", ticket), ("msg", message["id"]), ("file", file["id"])]
    assert [ticketing.seen_by_agent(*part) for part in parts] == [OK] * 4
    restrict = task(Operation.RESTRICT, email(address), ground="accuracy")
    done = await ticketing.one(restrict)
    amended = Receipt(restrict.task_id, TaskOutcome.AMENDED, found=1, changed=1, by_category={"requester": 1})
    assert done == replace(amended, categories=("requester",))
    assert await ticketing.one(restrict) == done
    assert [ticketing.seen_by_agent(*part) for part in parts] == [FORBIDDEN] * 4
    listed = ticketing.http.get("issue", auth=ticketing.agent).json()
    assert ticket not in [item["id"] for item in listed["data"]["collection"]]
    assert (await ticketing.receipt(task(Operation.RESTRICT, email(address), repair=True))).changed == 0
    await ticketing.run(task(Operation.LIFT, email(address)))
    assert [ticketing.seen_by_agent(*part) for part in parts] == [OK] * 4
    assert (await ticketing.receipt(task(Operation.RESTRICT, email(address), repair=True))).changed == 1
    assert (await ticketing.receipt(task(Operation.LIFT, repair=True, marked=True))).outcome is TaskOutcome.NO_MATCH
    assert [ticketing.seen_by_agent(*part) for part in parts] == [FORBIDDEN] * 4


async def test_flag_set_by_an_agent_outlasts_our_lift(ticketing: Ticketing) -> None:
    agents, ours = (unique(name) for name in ("agents", "ours"))
    users = {address: ticketing.person("Rita Quiet", address) for address in (agents, ours)}
    await ticketing.run(task(Operation.RESTRICT, email(agents), ground="accuracy"))  # as if an agent had
    await ticketing.run(task(Operation.SUPPRESS, email(ours)))
    for address, bore in ((agents, True), (ours, False)):
        restrict = task(Operation.RESTRICT, email(address), ground="accuracy")
        await ticketing.one(restrict)
        await ticketing.one(ticketing.again(restrict))
        assert ticketing.notes[restrict.task_id]["flags"] == {users[address]: bore}
    for address in (agents, ours):
        await ticketing.run(task(Operation.LIFT, email(address), left={"system": [users[agents]]}))
    assert [bool(ticketing.get("user", users[each])["restricted"]) for each in (agents, ours)] == [True, False]
    assert ticketing.get("user", users[ours])["marketing_opt_out"]


@pytest.mark.parametrize(
    ("operation", "changes"),
    [(Operation.RESTRICT, ()), (Operation.SUPPRESS, ()), (Operation.RECTIFY, [("name", None, "Joana Mas")])],
)
async def test_a_tracker_that_ignores_a_change_is_found_out(
    ticketing: Ticketing, operation: Operation, changes: Sequence[tuple[str, None, str]]
) -> None:
    address = unique("ignored")
    ticketing.person("Ignored", address)
    result = await ticketing.over(Lying("PATCH", 1, {})).one(task(operation, email(address), changes=changes))
    assert isinstance(result, DataStillPresent)


async def test_rectification_can_be_repeated_although_the_old_address_finds_no_one(ticketing: Ticketing) -> None:
    wrong, right = unique("wrong"), unique("right")
    user = ticketing.person("Joan Mas", wrong)
    changes = [("email", wrong, right), ("name", None, "Joana Mas")]
    rectify = task(Operation.RECTIFY, email(wrong), changes=changes)
    done = await ticketing.receipt(rectify)
    assert await ticketing.one(ticketing.again(rectify)) == done
    assert (ticketing.get("user", user)["address"], ticketing.get("user", user)["realname"]) == (right, "Joana Mas")


async def test_alternate_address_is_corrected_where_it_stands_in_any_spelling(ticketing: Ticketing) -> None:
    address, old, right, kept = (unique(name) for name in ("own", "Old", "new", "kept"))
    user = ticketing.person("Eva Sol", address, "+49 30 1234567", alternate_addresses=f"{old}\n{kept}")
    changes = [("email", old.upper(), right), ("phone", "+49301234567", "+49309999999"), ("name", "Luis", "Ana")]
    done = await ticketing.receipt(task(Operation.RECTIFY, email(address), changes=changes))
    assert (done.changed, done.corrected) == (1, (1, 1, 0))
    shown = ticketing.get("user", user)
    assert shown["alternate_addresses"] == f"{right}\n{kept}"
    assert [shown[name] for name in ("address", "phone", "realname")] == [address, "+49309999999", "Eva Sol"]


async def test_a_request_has_one_ticket_that_is_commented_on_once_for_each_task(ticketing: Ticketing) -> None:
    request = uuid7()
    approaching, overdue = (
        task(Operation.ESCALATE, request=request, level=level, due_on="2026-12-24", right="erasure")
        for level in ("approaching", "overdue")
    )
    results = [await ticketing.receipt(each) for each in (approaching, approaching, overdue, overdue)]
    assert {result.outcome for result in results} == {TaskOutcome.ESCALATED}
    (ticket,) = {str(result.reference) for result in results}
    assert str(request) in str(ticketing.get("issue", ticket)["title"])
    assert [comment.partition(":")[0] for comment in ticketing.comments(ticket)] == ["approaching", "overdue"]


async def test_concurrent_change_is_retried_without_overwriting(ticketing: Ticketing) -> None:
    address = unique("busy")
    user = ticketing.person("Busy Body", address)

    def meanwhile(request: httpx.Request) -> None:
        if request.method == "PATCH" and line.calls["PATCH"] == 1:
            ticketing.change("user", user, organisation="Another user's change")

    line = Line(meanwhile)
    await ticketing.over(line).receipt(task(Operation.RESTRICT, email(address)))
    assert ticketing.get("user", user)["organisation"] == "Another user's change"
    assert ticketing.get("user", user)["restricted"]


@pytest.mark.parametrize("route", PRIVACY)
async def test_the_privacy_routes_are_closed_to_ordinary_agents(ticketing: Ticketing, route: str) -> None:
    body = {"addresses": [], "phones": [], "people": [], "records": {"user": ["1"]}}
    url = f"{ticketing.roundup.url}rest/privacy/{route}"
    answer = ticketing.http.post(url, json=body, auth=ticketing.agent)
    assert answer.status_code == FORBIDDEN


async def test_name_alone_is_not_searched_by(ticketing: Ticketing) -> None:
    ticketing.person("Common Name", unique("common"))
    named = task(Operation.EXPORT, name("Common Name"))
    assert await ticketing.one(named) == NotSearched(named.task_id, Unsearched.NOTHING_TO_SEARCH_BY)


async def test_a_wrong_password_is_refused_and_not_retried(ticketing: Ticketing) -> None:
    with pytest.raises(Refused, match="role Privacy"):
        await ticketing.over(user="unknown-user").one(task(Operation.LOCATE, email(unique("x"))))


async def test_a_tracker_that_is_away_is_unavailable_and_keeps_its_records_when_it_comes_back(run_folder: Path) -> None:
    tracker = Roundup(run_folder / "roundup-restarted")
    tracker.load([{"person": {"username": "c1", "realname": "Kept", "address": "kept@example.org"}}])
    search = task(Operation.LOCATE, email("kept@example.org"))
    async with worked(tracker) as ticketing:
        tracker.kill()
        with pytest.raises(Unavailable):
            await ticketing.one(search)
        tracker.start()
        assert (await ticketing.receipt(search)).found == 1


# Warnings in a real Roundup: each once, for the roles concerned, until the ticket is resolved.
async def test_ticket_is_resolved_with_the_answer_and_none_opened_for_it(ticketing: Ticketing) -> None:
    request = uuid7()
    overdue, resolved, repeated = (
        task(Operation.ESCALATE, request=request, level=level, right="access", outcome="fulfilled")
        for level in ("overdue_commitment", "resolved", "resolved")
    )
    never_warned = task(Operation.ESCALATE, level="resolved", outcome="fulfilled")
    first, *_, last = map(receipt, await ticketing.run(overdue, resolved, repeated, never_warned))
    assert ticketing.is_resolved(str(first.reference))
    assert (last.outcome, last.reference) == (TaskOutcome.NO_MATCH, None)


async def test_a_ticket_that_was_resolved_is_open_again_when_a_customer_says_nothing(ticketing: Ticketing) -> None:
    request, levels = uuid7(), ("overdue_commitment", "resolved", "controller_silent", "resolved")
    said: dict[str, Any] = {"request": request, "right": "access", "outcome": "forwarded", "escalate_to": ["counsel"]}
    resolved, tickets = [], []
    for level in levels:
        tickets.append(str((await ticketing.receipt(task(Operation.ESCALATE, level=level, **said))).reference))
        resolved.append(ticketing.is_resolved(tickets[-1]))
    assert resolved == [False, True, False, True]
    assert "controller_silent for counsel: the customer" in ticketing.comments(tickets[0])[2]


@pytest.mark.parametrize(
    ("level", "more", "named"),
    [
        ("target_triage", {"target_on": "2026-12-03"}, "for team lead: this was to be done"),
        ("extend_or_answer", {}, "for team lead: extend the request"),
    ],
)
async def test_comment_names_the_role(ticketing: Ticketing, level: str, more: dict[str, Any], named: str) -> None:
    details: dict[str, Any] = {"level": level, "right": "access", "escalate_to": ["team_lead"], **more}
    warned = task(Operation.ESCALATE, due_on="2026-12-24", **details)
    done = await ticketing.receipt(warned)
    (comment,) = ticketing.comments(str(done.reference))
    assert comment.startswith(f"{level} {named}")
    assert str(warned.request_id) in comment
    assert "2026-12-24" in comment


PAGE = {"level": "daily_page", "lines": ["one: due on 2026-12-27", "and 7 more"], "escalate_to": ["dpo", "executive"]}
DIGEST = {"level": "digest", "lines": ["access: 3 open", "all: 3 open"]}


@pytest.mark.parametrize(
    ("details", "title", "heading"),
    [
        (PAGE, " nearly due or overdue on 2026-12-24", "daily_page for dpo and executive: to be answered:"),
        (DIGEST, " on 2026-12-24", None),
    ],
)
async def test_daily_page_and_digest_are_one_ticket_each_with_their_lines(
    ticketing: Ticketing, details: dict[str, Any], title: str, heading: str | None
) -> None:
    page = task(Operation.ESCALATE, due_on="2026-12-24", **details)
    (ticket,) = {str((await ticketing.receipt(page)).reference) for _ in range(2)}
    (comment,) = ticketing.comments(ticket)
    assert ticketing.get("issue", ticket)["title"] == f"Data subject requests{title}"
    said, *lines = comment.splitlines()
    assert lines == details["lines"]
    assert heading in {None, said}


# Tickets that were resolved long ago go by night, with all that hangs on them and their history, for everybody.
DUE = DueRecords("issue", "resolved", "delete", date(2020, 3, 2), ZoneInfo("America/New_York"))
OLD, YOUNG = "2020-03-02.04:59:59", "2020-03-02.05:00:00"
"""The last second that is past, and the first that is kept, in UTC."""


def swept(ticketing: Ticketing, line: Line | None = None) -> RoundupAdapter:
    adapter = ticketing.over(line or Line(), resolved_on="resolved_on").adapter
    assert isinstance(adapter, RoundupAdapter)
    return adapter


async def test_tickets_that_are_past_go_whole_and_no_other(ticketing: Ticketing) -> None:
    gone, kept, held, opened = (Customer(ticketing) for _ in range(4))
    for each, moment in ((gone, OLD), (kept, YOUNG), (held, OLD), (opened, OLD)):
        ticketing.change("issue", each.ticket, status="4", resolved_on=moment)
    ticketing.change("issue", opened.ticket, status="2")
    ticketing.retire("issue", gone.ticket)
    adapter = swept(ticketing)
    spared = {"ticket": [task(Operation.ERASE, email(held.address))]}
    [counted] = await adapter.count([DUE], spared)
    assert isinstance(counted, DueCount)
    assert counted.due == 1
    assert await adapter.sweep([DUE], spared, nothing) == [SweepResult(1, 1)]
    assert ticketing.holds(gone.title, gone.text, gone.file) == []
    for each in (kept, held, opened):
        assert each.text in ticketing.comments(each.ticket)[0]
    assert ticketing.get("user", gone.user)["address"] == gone.address, "who asked nothing is still a customer"
    assert await adapter.sweep([DUE], spared, nothing) == [SweepResult(0, 1)]
    assert await adapter.sweep([DUE], {}, nothing) == [SweepResult(1, 0)]


async def test_a_ticket_that_is_opened_again_before_it_goes_stays(ticketing: Ticketing) -> None:
    customer = Customer(ticketing)
    ticketing.change("issue", customer.ticket, status="4", resolved_on=OLD)

    def reopened(request: httpx.Request) -> None:
        if route(request) == "expire":
            ticketing.change("issue", customer.ticket, status="2")

    assert await swept(ticketing, Line(reopened)).sweep([DUE], {}, nothing) == [SweepResult(0, 0)]
    assert customer.text in ticketing.comments(customer.ticket)[0]


async def test_when_a_ticket_was_resolved_is_noted_and_opening_it_again_takes_that_back(ticketing: Ticketing) -> None:
    customer = Customer(ticketing)
    ticketing.change("issue", customer.ticket, status="4")
    resolved = ticketing.get("issue", customer.ticket)["resolved_on"]
    ticketing.change("issue", customer.ticket, status="4", title="still resolved")
    assert ticketing.get("issue", customer.ticket)["resolved_on"] == resolved
    ticketing.change("issue", customer.ticket, status="2")
    assert ticketing.get("issue", customer.ticket)["resolved_on"] is None
    assert resolved


async def test_ticket_whose_history_stays_is_reported_as_overdue(ticketing: Ticketing) -> None:
    customer = Customer(ticketing)
    ticketing.change("issue", customer.ticket, status="4", resolved_on=OLD)
    for lacking in (["past"], ["expire"]):
        [result] = await swept(ticketing, Line(lacks=lacking)).sweep([DUE], {}, nothing)
        assert isinstance(result, NotSupported)
    assert customer.text in ticketing.comments(customer.ticket)[0]
    assert ticketing.adapter.dated == (), "nothing expires in a tracker without a declared date"  # type: ignore[attr-defined]


# The company's people and tickets arrive whole in a real tracker.


def records(company: Company) -> Iterator[Loaded]:
    """Yields everything that a tracker holds of the company."""
    return chain(people(company.customers), tickets(company.tickets))


async def test_loaded_tracker_has_all_tickets(run_folder: Path) -> None:
    company = found(Size(customers=60, calls=0, tickets=120))
    asked = next(part.person for part in company.cast if part.person.emails and part.person.code)
    theirs = [ticket for ticket in company.tickets if ticket.requester_code == asked.code]
    tracker = Roundup(run_folder / "roundup-loaded")
    tracker.load(records(company))
    async with worked(tracker) as loaded:
        export = await loaded.receipt(task(Operation.EXPORT, email(asked.emails[0]), name(asked.name)))
    exported = {
        kind: [record.data for record in export.records if record.category == kind]
        for kind in ("ticket", "message", "file")
    }
    texts = {message["content"] for message in exported["message"]}
    files = {(file["name"], b64decode(str(file["content_base64"]))) for file in exported["file"]}
    assert {ticket["title"] for ticket in exported["ticket"]} == {ticket.title for ticket in theirs}
    assert texts == {message.text for ticket in theirs for message in ticket.messages}
    assert files == {(file.file_name, file.content) for ticket in theirs for file in ticket.attachments}
    assert files
