"""The legal scenarios of the requirements that need no other day than today, one or more each."""

import json
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx

from deploy.demo.company import Phone
from tests.acceptance.client import LONG_AGO, MORE_TIME, RIGHTS, Case, failure, tasks
from tests.acceptance.platforms import Platform
from tests.acceptance.scenario import scenario
from tests.acceptance.systems import NOTHING, SINCE, away
from tests.fixtures.live import eventually

WHY = {"reason": "SYSTEM_UNAVAILABLE", "article": "12(4)", "explanation": "What is missing follows."}
LINKED = {"identity": "email", "method": "email_link", "on_file_since": LONG_AGO}
CALLED = "+493024000001"
"""An unassigned number."""
UNTIL, SINCE_THEN = datetime(2026, 1, 10, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)


def days(calls: list[dict[str, str]]) -> list[str]:
    """The days of calls, as a table of a package or the store has them."""
    return sorted(each["began"][:10] for each in calls)


@scenario()
async def test_restriction_opposes_an_erasure_until_it_is_withdrawn(platform: Platform) -> None:
    """A person who wanted data kept for a claim, and now erased, is asked which applies (Art. 18(1)(c), 17)."""
    person = platform.new_person()
    await platform.shop.hold(person)
    restriction = await platform.ask(person, "restriction", ground="needed_for_claims")
    await restriction.closed()
    erasure = await platform.ask(person, "erasure")
    waiting = await erasure.until("awaiting_decision")
    assert waiting["awaits"] == [restriction.request_id]
    assert "which of the two you want" in waiting["answer"]
    assert "So we ask you which of the two you want" in await erasure.letter("update")
    held = await platform.shop.held(person)
    assert (held.rows, held.restricted) == (1, True)
    await restriction.act("withdraw")
    assert (await erasure.closed())["outcome"] == "fulfilled"
    assert await platform.shop.held(person) == NOTHING
    assert "restriction" in await restriction.seen_by(platform.officer).letter("update")


@scenario()
async def test_number_that_changed_hands_gives_each_holder_their_own_calls(platform: Platform) -> None:
    """A number changed hands between 10 January and 1 March: calls between belong to no one."""
    former, holder = platform.new_person(), platform.new_person()
    number = former.phone
    await platform.crm.hold(former, phones=[Phone(number, SINCE, UNTIL)])
    await platform.crm.hold(holder, phones=[Phone(number, SINCE_THEN)])
    calls = ["2025-12-24", "2026-01-09", "2026-01-10", "2026-02-14", "2026-03-01", "2026-04-01"]
    for day in calls:
        await platform.shop.hold_call(number, CALLED, datetime.fromisoformat(f"{day}T12:00:00+00:00"))
    first, second = [await platform.ask(each, "access", "email", "account_id") for each in (former, holder)]
    await first.closed()
    await second.closed()
    assert days((await first.package()).table("call")) == calls[:2]
    assert days((await second.package()).table("call")) == calls[4:]
    erasure = await platform.ask(former, "erasure", "email", "account_id")
    erased = tasks(await erasure.closed())["crm"]["by_category"]
    shown = Counter(each["category"] for each in (await first.package()).records if each["system"] == "crm")
    assert (erased["assignment"], Counter(erased) - shown) == (1, {})
    left = [f"{began:%Y-%m-%d}" for began, caller, _ in await platform.shop.calls(number)]
    assert left == calls[2:]


@scenario()
async def test_objection_by_an_address_alone_stops_marketing(platform: Platform) -> None:
    """An objection by an address alone stops marketing and is on the list of objectors (Art. 21(2), (3))."""
    person, other = platform.new_person(), platform.new_person()
    await platform.shop.hold(person)
    await platform.shop.hold(other)
    case = await platform.channel.ask(person.submission("objection", "email", proved=False))
    view = await case.closed()
    assert view["outcome"] == "fulfilled"
    assert [(await platform.shop.held(each)).marketing for each in (person, other)] == [False, True]
    asked = (other.email, person.email, f" {person.email.upper()}", "no address")
    said = await platform.channel.suppressed(*asked)
    assert said == ["not_suppressed", "suppressed", "suppressed", "unreadable"]
    assert (await platform.officer.checked(person.email)).status_code == httpx.codes.FORBIDDEN
    assert not [each for each in await case.actions() if "question" in each]


@scenario()
async def test_request_of_a_customers_data_is_forwarded_unopened(platform: Platform) -> None:
    """A request about a customer's data is forwarded, and no system is searched (Art. 28)."""
    person = platform.new_person()
    await platform.shop.hold(person)
    case = await platform.ask(person, "access", role="processor")
    view = await case.until(lambda view: view["forwarding"] is not None)
    received = datetime.fromisoformat(view["received_at"])
    assert 1 <= (date.fromisoformat(view["forwarding"]["due_on"]) - received.date()).days <= 8
    assert await case.refused("verify", assurance={"level": "L2", "method": "signed_in_mfa"})
    assert await case.seen_by(platform.officer).refused("decision", decision="retry")
    await case.seen_by(platform.officer).act("forward", controller="Harbour Cranes Ltd")
    view = await case.closed()
    assert (view["outcome"], view["tasks"], view["package"]) == ("forwarded", [], False)
    assert (await platform.shop.held(person)).rows == 1
    assert "Harbour Cranes Ltd" not in await platform.answered(case), "unless the customer may be named"


@scenario(together=("answered", "overridden"))
async def test_erasure_waits_for_the_copy_unless_two_people_let_it_begin(platform: Platform, copy: str) -> None:
    """One message asks for both (Art. 15, 17): the copy is answered first, unless two officers decide otherwise."""
    person = platform.new_person()
    await platform.shop.hold(person)
    access, erasure = await platform.ask_jointly(person, "access", "erasure", proved=False, language="en")
    await erasure.verify(person)
    await erasure.until(lambda view: view["awaits"] == [access.request_id])
    officer, colleague = erasure.seen_by(platform.officer), erasure.seen_by(platform.colleague)
    if copy == "answered":
        assert "We answer that first" in (await erasure.view())["answer"]
        assert (await platform.shop.held(person)).rows == 1
        await access.verify(person)
        assert (await access.closed())["outcome"] == "fulfilled"
        assert len((await access.package()).of("shop")) == 1
    else:
        await officer.act("decision", decision="begin")
        assert "erasure.begin_proposed" in await officer.actions()
        assert await officer.refused("decision", decision="begin") == "same_person"
        assert (await platform.shop.held(person)).rows == 1
        await colleague.act("decision", decision="begin")
    assert (await erasure.closed())["outcome"] == "fulfilled"
    assert await platform.shop.held(person) == NOTHING
    if copy == "answered":
        assert "erasure.begun" in await officer.actions()


@scenario()
async def test_claimed_number_gives_nothing(platform: Platform) -> None:
    """An unknown address that claims another person's number must prove it, and gets nothing of theirs (Art. 11)."""
    owner, stranger = platform.new_person(), platform.new_person()
    await platform.crm.hold(owner, since=SINCE)
    await platform.shop.hold_call(owner.phone, CALLED, datetime(2026, 4, 1, tzinfo=UTC))
    await platform.register_read()
    claim = {"email": stranger.email, "phones": [{"number": owner.phone}], "country": "DE"}
    asked = {"right": "access", "language": "en", "subject": claim}
    case = await platform.channel.ask({**asked, "proofs": [LINKED]})
    view = await case.until("awaiting_identity")
    assert (view["package"], view["outcome"]) == (False, None)
    assert "For what archive and shop may hold about you we need more" in await case.letter("question")
    assert owner.phone not in str(view)
    assert owner.phone not in str(await case.letters())
    typed = {"identity": "phones.0", "method": "sms_code", "on_file_since": LONG_AGO}
    case = await platform.channel.ask({**asked, "proofs": [LINKED, typed]})
    view = await case.until("awaiting_decision")
    assert (tasks(view)["shop"]["found"], view["package"]) == (0, False)
    assert [task["failure"] for task in view["tasks"] if "failure" in task] == ["wrong_person_match"]


@scenario()
async def test_customer_number_alone_is_asked_for_more_and_then_found(platform: Platform) -> None:
    """A customer number that finds nothing leads to a question, a proof, and then the copy (Art. 12(6))."""
    person = platform.new_person()
    for system in (platform.shop, platform.helpdesk):
        await system.hold(person)
    case = await platform.ask(person, "access", "account_id")
    view = await case.until("awaiting_clarification")
    lacking = {name: task["not_searched"] for name, task in tasks(view).items() if "not_searched" in task}
    assert (lacking["shop"], lacking["helpdesk"]) == ("nothing_to_search_by", "no_identifier")
    signed_in = {"identity": "account_id", "method": "signed_in_mfa"}  # once more: all of it is one person's
    proofs = [signed_in, LINKED, *person.proof()["proofs"]]
    await case.act("reply", text="These are mine.", subject=person.identities(), proofs=proofs)
    view = await case.until("awaiting_identity")
    assert {each["level"] for each in view["tasks"] if each.get("not_searched") == "not_proved"} == {"L2"}
    await case.verify(person)
    assert (await case.closed())["outcome"] == "fulfilled"
    assert await case.refused("verify", **person.proof()) == "illegal_transition"
    package = await case.package()
    assert [len(package.of(name)) for name in ("shop", "helpdesk")] == [1, 1]


@scenario()
async def test_signed_in_person_is_asked_nothing_and_reads_no_withheld_number(platform: Platform) -> None:
    """A second factor is proof enough (Art. 12(6)); a number that its caller withheld is nowhere in the copy."""
    called, hidden, caller = platform.new_person(), platform.new_person(), platform.new_person()
    await platform.crm.hold(called, since=SINCE)
    moment = datetime(2026, 4, 1, tzinfo=UTC)
    await platform.shop.hold_call("", called.phone, moment, withheld=hidden.phone, noted=f"from {hidden.phone[1:]}")
    await platform.shop.hold_call(caller.phone, called.phone, moment + timedelta(days=1))
    for right in ("access", "portability"):
        case = await platform.ask(called, right)
        assert (await case.closed())["outcome"] == "fulfilled"
        assert {letter["kind"] for letter in await case.letters()} == {"acknowledgement", "answer"}
        assert not [each for each in await case.actions() if "question" in each or "identity" in each]
        package = await case.package()
        assert package.mentions(hidden.phone, hidden.phone[1:], f"0{hidden.phone[3:]}") == []
        assert hidden.phone[1:] not in str(await case.letters())
        shown = {each["began"][:10]: each["caller"].lstrip("'") for each in package.table("call")}
        assert shown == {"2026-04-01": "withheld", "2026-04-02": caller.phone}


@scenario()
async def test_absent_system_is_named_in_the_answer_and_owed(platform: Platform) -> None:
    """Two people answer without an unavailable system: the letter names it, and its part follows (Art. 12(3))."""
    person = platform.new_person()
    await platform.shop.hold(person)
    await platform.helpdesk.hold(person)
    platform.helpdesk.says[person.email] = away
    case = await platform.ask(person, "access")
    await case.did("task.concluded", "shop")
    await case.did("task.postponed", "helpdesk")
    view = await case.view()
    assert (view["state"], view["package"]) == ("in_progress", False)
    await case.seen_by(platform.officer).act("decision", decision="answer_in_part", **WHY)
    assert await case.seen_by(platform.officer).refused("decision/approval") == "same_person"
    assert (await case.view())["outcome"] is None
    await case.seen_by(platform.colleague).act("decision/approval")
    assert (await case.closed())["outcome"] == "partially_fulfilled"
    assert "helpdesk" in await case.letter("answer")
    package = await case.package()
    assert (package.of("helpdesk"), len(package.of("shop"))) == ([], 1)
    del platform.helpdesk.says[person.email]
    assert "A part of it was done after" in await case.letter("answer", number=2)
    assert [each["name"] for each in (await case.package()).of("helpdesk")] == [person.name]


@scenario()
async def test_invoice_is_kept_for_its_years_in_part_and_no_longer(platform: Platform) -> None:
    """An erasure leaves what tax law wants of an invoice, until its own day, and names law and day (Art. 17(3)(b))."""
    person = platform.new_person()
    await platform.crm.hold(person)
    year = platform.clock.today().year
    for ended in (date(year - 9, 1, 15), date(year - 2, 1, 15)):
        await platform.shop.hold_invoice(person, ended)
    case = await platform.ask(person, "erasure")
    view = await case.closed()
    task = tasks(view)["shop"]
    assert (view["outcome"], task["outcome"], task["ground"]) == ("partially_fulfilled", "retained", "invoices_84m")
    assert (task["until"], task["remaining"]) == (f"{year + 5}-01-15", 1)
    assert [row[:3] for row in await platform.shop.invoices(person)] == [(date(year - 2, 1, 15), 4200, None)]
    assert f"15 January {year + 5}" in await platform.answered(case)


@scenario(together=("shop", "archive", "helpdesk"))
async def test_state_that_no_rule_covers_refuses_the_erasure(platform: Platform, kind: str) -> None:
    """An account under dispute, which no rule of the policy keeps, stays until a person has decided (Art. 17(3)(e))."""
    person = platform.new_person()
    system: Any = platform.systems[kind]
    await system.hold(person, contract="disputed")
    before = await system.held(person)
    view = await (await platform.ask(person, "erasure")).judged()
    assert (failure(view, kind), view["outcome"]) == ("erasure_refused", None)
    assert await system.held(person) == before


@scenario()
async def test_month_is_promised_and_extended_by_two_people_within_it(platform: Platform) -> None:
    """February's earlier day is promised; no extension beyond three months, by one, or after the month (Art. 12(3))."""
    [(today,)] = await platform.shop.rows("SELECT current_date")
    came = f"{today.year}-01-31T12:00:00+00:00"
    january = await platform.ask(platform.new_person(), "access", received_at=came, proved=False)
    view = await january.until("awaiting_identity")
    assert (view["received_at"][:10], view["due_on"][5:7]) == (f"{today.year}-01-31", "02")
    case = (await platform.ask(platform.new_person(), "access", proved=False)).seen_by(platform.officer)
    due = (await case.view())["due_on"]
    latest, beyond = [str(date.fromisoformat(due) + timedelta(days=days)) for days in (58, 75)]
    assert await case.refused("extension", **MORE_TIME, new_due=beyond) == "extension_refused"
    await case.act("extension", **MORE_TIME, new_due=latest)
    assert await case.refused("extension/approval") == "same_person"
    assert (await case.view())["due_on"] == due
    await case.seen_by(platform.colleague).act("extension/approval")
    assert (await case.view())["due_on"] == latest
    came = f"{platform.clock.today() - timedelta(days=40)}T09:00:00Z"
    late = (await platform.ask(platform.new_person(), "access", proved=False, received_at=came)).seen_by(
        platform.officer
    )
    view = await late.until("awaiting_identity")
    later = str(platform.clock.today() + timedelta(days=30))
    assert await late.refused("extension", **MORE_TIME, new_due=later) == "extension_refused"
    assert (await late.view())["due_on"] == view["due_on"]


@scenario()
async def test_replayed_log_changes_nothing(platform: Platform) -> None:
    """The whole log of each right, sent twice more, writes no letter, no entry and touches no row (Art. 5(1)(f))."""
    people = {right: platform.new_person() for right in RIGHTS}
    cases = [(await platform.ask(person, right)).seen_by(platform.officer) for right, person in people.items()]
    for case in cases:
        await case.closed()
        await platform.answered(case)
    await platform.bus.drained()
    before = await settled(platform, cases)
    await platform.shop.hold(people["erasure"])
    log = await platform.bus.said_of(*(case.request_id for case in cases))
    assert len(log) > 2 * len(cases)
    for _ in range(2):
        await platform.bus.say_again(log)
    await platform.bus.drained()
    assert [await seen(case) for case in cases] == before
    assert (await platform.shop.held(people["erasure"])).rows == 1, "a second deletion would have taken it"


@scenario()
async def test_erased_person_in_a_restored_store_is_found(platform: Platform) -> None:
    """`dsr reconcile` lists the erasures whose people a backup has brought back, and changes nothing."""
    person, other = platform.new_person(), platform.new_person()
    await platform.archive.hold(other)
    await platform.archive.hold(person)
    case = await platform.ask(person, "erasure")
    moment = (await case.view())["received_at"]
    kept = await platform.ask(other, "access")
    await case.closed()
    command = ("reconcile", "archive", "--restored-to", moment, "--json")
    assert case.request_id not in json.loads((await platform.dsr(*command))[1])["requests"]
    await platform.archive.hold(person)
    status, printed = await platform.dsr(*command)
    listed = json.loads(printed)["requests"]
    assert (status, case.request_id in listed, kept.request_id in listed) == (3, True, False)
    assert (await platform.archive.held(person)).rows == 1


async def settled(platform: Platform, cases: Sequence[Case]) -> list[tuple[object, ...]]:
    """Returns what is seen of these requests once it changes no more."""

    async def same() -> list[tuple[object, ...]]:
        before = [await seen(case) for case in cases]
        await platform.bus.drained()
        return before if [await seen(case) for case in cases] == before else []

    return list(await eventually(same, within=240))


async def seen(case: Case) -> tuple[object, ...]:
    """Returns what an officer sees of a closed request, except for later looks and deliveries."""
    kinds = [each["kind"] for each in await case.letters()]
    return await case.view(), kinds, [action for action in await case.actions() if action != "letters.read"]


@scenario()
async def test_copy_has_what_was_deleted_after_it_was_asked_for(platform: Platform) -> None:
    """Data deleted by a retention run after the access request are in the package (Art. 15)."""
    person = platform.new_person()
    await platform.shop.hold(person)
    case = await platform.ask(person, "access")
    await case.did("task.concluded", "shop")
    await platform.shop.rows("DELETE FROM customer WHERE account_id = $1", person.account_id)
    await case.closed()
    assert [each["name"] for each in (await case.package()).of("shop")] == [person.name]


FOUND = {
    "shop": {"account": 2, "billing": 1, "call": 1},
    "archive": {"account": 1, "call": 1},
    "helpdesk": {"contact": 1},
    "crm": {"account": 1, "address": 1, "contact": 1, "identifier": 1},
    "tickets": {"file": 1, "history": 14, "message": 2, "requester": 1, "saved_search": 1, "ticket": 2},
    "billing": {"account": 1},
}
"""Counts what an erasure finds of a person of whom each system holds every kind of record."""


@scenario()
async def test_what_an_erasure_finds_the_access_before_it_has_shown(platform: Platform) -> None:
    """Everything that is erased was in the earlier copy, by system and category (Art. 15(3))."""
    person = platform.new_person()
    for system in platform.systems.values():
        await system.hold(person)
    for store in (platform.shop, platform.archive):
        await store.hold_call(person.phone, CALLED, SINCE)
    await platform.shop.hold_deliveries(person, 1)
    await platform.shop.hold_invoice(person, date(2010, 3, 31))
    await platform.crm.hold_identifier(person, "BE0897290877")
    await platform.tickets.hold_all(person, "A former title")
    assert platform.tickets.remembers("A former title") is True
    await platform.register_read()
    access = await platform.ask(person, "access")
    assert (await access.closed())["outcome"] == "fulfilled"
    package = await access.package()
    assert package.mentions("A former title", "Nothing is missing") == ["A former title", "Nothing is missing"]
    erasure = await platform.ask(person, "erasure")
    view = await erasure.closed()
    assert view["outcome"] == "fulfilled", view["answer"]
    erased = {task["system"]: task for task in view["tasks"] if task["operation"] == "erase"}
    found = {name: task["by_category"] or {"account": task["found"]} for name, task in erased.items()}
    assert found == FOUND
    shown = Counter((each["system"], each["category"]) for each in package.records)
    wanted = Counter({(name, kind): rows for name, kinds in found.items() for kind, rows in kinds.items()})
    assert wanted - shown == {}
    assert platform.tickets.remembers("A former title") is False
