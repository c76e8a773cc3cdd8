"""The legal scenarios of the requirements that need no other day than today, one or more each."""

from datetime import UTC, date, datetime, timedelta

from deploy.demo.company import Phone
from deploy.demo.traces import Seeker
from tests.acceptance.client import RIGHTS, Case, tasks
from tests.acceptance.platforms import Platform
from tests.acceptance.scenario import scenario
from tests.acceptance.systems import NOTHING, SINCE, away

WHY = {"reason": "SYSTEM_UNAVAILABLE", "article": "12(4)", "explanation": "What is missing follows."}
CALLED = "+493024000001"
"""A number that is nobody's."""
UNTIL, SINCE_THEN = datetime(2026, 1, 10, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)


def days(calls: list[dict[str, str]]) -> list[str]:
    """The days of calls, as a table of a package or the store has them."""
    return sorted(each["began"][:10] for each in calls)


@scenario()
async def test_erasure_waits_until_the_copy_is_answered(platform: Platform) -> None:
    """One message asks for access and erasure (Art. 15, 17): nothing is erased before the person has their copy."""
    person = platform.somebody()
    await platform.helpdesk.hold(person)
    await platform.shop.hold(person)
    platform.helpdesk.says[person.email] = away
    access, erasure = await platform.ask_jointly(person, "access", "erasure")
    waiting = await erasure.until(lambda view: view["awaits"] == [access.request_id])
    assert "We answer that first" in waiting["answer"]
    assert (await platform.shop.held(person)).rows == 1
    del platform.helpdesk.says[person.email]
    assert (await access.closed())["outcome"] == "fulfilled"
    assert (await erasure.closed())["outcome"] == "fulfilled"
    assert [await platform.systems[each].held(person) for each in ("shop", "helpdesk")] == [NOTHING] * 2
    assert "erasure.begun" in await erasure.seen_by(platform.officer).actions()
    view, other = await access.view(), await erasure.view()
    assert view["received_at"] == other["received_at"]
    assert view["case"]["case_number"] == other["case"]["case_number"]


@scenario()
async def test_erasure_before_the_copy_takes_two_persons(platform: Platform) -> None:
    """Two of ours may let an erasure begin before the copy of the same message; one alone may not."""
    person = platform.somebody()
    await platform.helpdesk.hold(person)
    await platform.shop.hold(person)
    platform.helpdesk.says[person.email] = away
    access, erasure = await platform.ask_jointly(person, "access", "erasure")
    await erasure.until(lambda view: view["awaits"] == [access.request_id])
    officer, colleague = erasure.seen_by(platform.officer), erasure.seen_by(platform.colleague)
    await officer.act("decision", decision="begin")
    assert await officer.refused("decision", decision="begin")
    assert (await platform.shop.held(person)).rows == 1
    await colleague.act("decision", decision="begin")
    await erasure.until(lambda view: "shop" in tasks(view) and tasks(view)["shop"]["outcome"] == "erased")
    assert await platform.shop.held(person) == NOTHING
    del platform.helpdesk.says[person.email]
    assert (await erasure.closed())["outcome"] == "fulfilled"


@scenario()
async def test_restriction_opposes_an_erasure_until_two_have_decided(platform: Platform) -> None:
    """Who asked to keep data for a claim and then to erase them is asked which holds (Art. 18(1)(c), 17)."""
    person = platform.somebody()
    await platform.shop.hold(person)
    restriction = await platform.ask(person, "restriction", ground="needed_for_claims")
    await restriction.closed()
    erasure = await platform.ask(person, "erasure")
    waiting = await erasure.until("awaiting_decision")
    assert waiting["awaits"] == [restriction.request_id]
    assert "which of the two you want" in waiting["answer"]
    assert "We need to know whether you" in await erasure.letter("erasure_opposed")
    held = await platform.shop.held(person)
    assert (held.rows, held.restricted) == (1, True)
    await erasure.seen_by(platform.officer).act("decision", decision="begin")
    assert (await erasure.view())["state"] == "awaiting_decision"
    await erasure.seen_by(platform.colleague).act("decision", decision="begin")
    assert (await erasure.closed())["outcome"] == "fulfilled"
    assert await platform.shop.held(person) == NOTHING
    assert "restriction" in await restriction.seen_by(platform.officer).letter("lifting")


@scenario()
async def test_signed_in_person_is_asked_nothing(platform: Platform) -> None:
    """Who is signed in with a second factor and asks for their calls is not asked who they are (Art. 12(6))."""
    person = platform.somebody()
    await platform.crm.hold(person)
    await platform.shop.hold_call(person.phone, CALLED, datetime(2026, 4, 1, tzinfo=UTC))
    case = await platform.ask(person, "access")
    assert (await case.closed())["outcome"] == "fulfilled"
    assert days((await case.package()).table("call")) == ["2026-04-01"]
    assert {letter["kind"] for letter in await case.letters()} == {"acknowledgement", "completion"}
    assert not [each for each in await case.actions() if "question" in each or "identity" in each]


@scenario()
async def test_claimed_number_gives_nothing(platform: Platform) -> None:
    """An unknown address that claims somebody's number is asked for proof, and gets nothing of theirs (Art. 11)."""
    owner, stranger = platform.somebody(), platform.somebody()
    await platform.crm.hold(owner)
    await platform.shop.hold_call(owner.phone, CALLED, datetime(2026, 4, 1, tzinfo=UTC))
    claim = {"email": stranger.email, "phones": [{"number": owner.phone}], "country": "DE"}
    linked = [{"identity": "email", "method": "email_link"}]
    case = await platform.channel.ask({"right": "access", "subject": claim, "proofs": linked})
    view = await case.until("awaiting_identity")
    assert (view["package"], view["outcome"]) == (False, None)
    assert "a telephone number" in await case.letter("proof_question")
    assert owner.phone not in str(view)
    assert owner.phone not in str(await case.letters())
    assert len(await platform.shop.calls(owner.phone)) == 1


@scenario()
async def test_number_that_changed_hands_gives_each_holder_their_own_calls(platform: Platform) -> None:
    """A number was one person's until 10 January and is another's from 1 March: calls between go to nobody."""
    former, holder = platform.somebody(), platform.somebody()
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
    await erasure.closed()
    left = [f"{began:%Y-%m-%d}" for began, caller, _ in await platform.shop.calls(number)]
    assert left == calls[2:]


@scenario()
async def test_withheld_number_is_in_no_copy(platform: Platform) -> None:
    """A caller withheld their number and the network stored it: the called person's copy has it nowhere."""
    called, hidden, open_caller = platform.somebody(), platform.somebody(), platform.somebody()
    await platform.crm.hold(called)
    moment = datetime(2026, 4, 1, tzinfo=UTC)
    await platform.shop.hold_call("", called.phone, moment, withheld=hidden.phone, noted=f"from {hidden.phone[1:]}")
    await platform.shop.hold_call(open_caller.phone, called.phone, moment + timedelta(days=1))
    for right in ("access", "portability"):
        case = await platform.ask(called, right)
        await case.closed()
        package = await case.package()
        assert package.mentions(hidden.phone, hidden.phone[1:], f"0{hidden.phone[3:]}") == []
        if right == "access":
            shown = {each["began"][:10]: each["caller"] for each in package.table("call")}
            assert shown == {"2026-04-01": "withheld", "2026-04-02": open_caller.phone}
        assert hidden.phone[1:] not in str(await case.letters())


@scenario()
async def test_absent_system_is_named_in_the_answer_and_owed(platform: Platform) -> None:
    """Two persons answer without a system that is away: the letter names it, and its part follows (Art. 12(3))."""
    person = platform.somebody()
    await platform.shop.hold(person)
    await platform.helpdesk.hold(person)
    platform.helpdesk.says[person.email] = away
    case = await platform.ask(person, "access")
    view = await case.until(lambda view: tasks(view).get("shop", {}).get("outcome") == "exported")
    assert (view["state"], view["package"]) == ("in_progress", False)
    await case.seen_by(platform.officer).act("decision", decision="answer_in_part", **WHY)
    assert await case.seen_by(platform.officer).refused("decision/approval")
    assert (await case.view())["outcome"] is None
    await case.seen_by(platform.colleague).act("decision/approval")
    view = await case.closed()
    assert view["outcome"] == "partially_fulfilled"
    assert "helpdesk" in await case.letter("partial")
    package = await case.package()
    assert (package.of("helpdesk"), len(package.of("shop"))) == ([], 1)
    del platform.helpdesk.says[person.email]
    assert "A part of it was done after" in await case.letter("completion")
    assert [each["name"] for each in (await case.package()).of("helpdesk")] == [person.name]


@scenario()
async def test_invoice_is_kept_for_its_years_in_part_and_no_longer(platform: Platform) -> None:
    """An erasure leaves what tax law wants of an invoice, until its own day, and names law and day (Art. 17(3)(b))."""
    person = platform.somebody()
    await platform.crm.hold(person)
    [(today,)] = await platform.shop.rows("SELECT current_date")
    await platform.shop.hold_invoice(person, date(today.year - 9, 1, 15))
    await platform.shop.hold_invoice(person, date(today.year - 2, 1, 15))
    case = await platform.ask(person, "erasure")
    view = await case.closed()
    assert view["outcome"] == "partially_fulfilled"
    query = "SELECT ended, cents, note, kept, restricted FROM invoice WHERE email = $1"
    assert await platform.shop.rows(query, person.email) == [(date(today.year - 2, 1, 15), 4200, "", True, True)]
    task = tasks(view)["shop"]
    assert (task["outcome"], task["ground"], task["remaining"]) == ("retained", "invoices_84m", 1)
    assert date.fromisoformat(task["until"]).year == today.year + 5
    assert str(today.year + 5) in await platform.answered(case)


@scenario()
async def test_objection_by_an_address_alone_stops_marketing(platform: Platform) -> None:
    """Who objects to marketing with nothing but an address proves nothing, and gets none any more (Art. 21(2), (3))."""
    person, other = platform.somebody(), platform.somebody()
    await platform.shop.hold(person)
    await platform.shop.hold(other)
    case = await platform.channel.ask(person.submission("objection", "email", proved=False))
    view = await case.closed()
    assert view["outcome"] == "fulfilled"
    assert [(await platform.shop.held(each)).marketing for each in (person, other)] == [False, True]
    assert await platform.channel.suppressed(person.email.upper(), other.email) == ["suppressed", "not_suppressed"]
    assert not [each for each in await case.actions() if "question" in each]


@scenario()
async def test_message_of_31_january_is_due_with_february(platform: Platform) -> None:
    """In February a month ends before thirty days, and the earlier of the two is promised (Art. 12(3))."""
    person = platform.somebody()
    [(today,)] = await platform.shop.rows("SELECT current_date")
    came = f"{today.year}-01-31T12:00:00+00:00"
    case = await platform.ask(person, "access", received_at=came, proved=False)
    view = await case.until("awaiting_identity")
    assert (view["received_at"][:10], view["due_on"][5:7]) == (f"{today.year}-01-31", "02")


@scenario()
async def test_request_of_a_customers_data_is_forwarded_unopened(platform: Platform) -> None:
    """What a customer of ours decides about goes to that customer, and no system of ours is opened (Art. 28)."""
    person = platform.somebody()
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


@scenario()
async def test_log_heard_twice_more_changes_nothing(platform: Platform) -> None:
    """The whole log of each right, sent twice more, writes no letter, no entry and touches no row (Art. 5(1)(f))."""
    people = {right: platform.somebody() for right in RIGHTS}
    cases = [await platform.ask(person, right) for right, person in people.items()]
    for case in cases:
        await case.closed()
        await platform.answered(case)
    officer = [case.seen_by(platform.officer) for case in cases]
    await platform.bus.heard()
    before = [(await case.view(), await case.letters(), await case.actions()) for case in officer]
    await platform.shop.hold(people["erasure"])
    log = await platform.bus.said_of(*(case.request_id for case in cases))
    assert len(log) > 2 * len(cases)
    for _ in range(2):
        await platform.bus.say_again(log)
    await platform.bus.heard()
    assert [(await case.view(), await case.letters(), await case.actions()) for case in officer] == before
    assert (await platform.shop.held(people["erasure"])).rows == 1, "a second deletion would have taken it"


@scenario()
async def test_personal_data_are_on_no_topic_and_in_no_log(platform: Platform) -> None:
    """Of people with a request of each right nothing is on the bus or in a log, in any form (Art. 5(1)(f))."""
    values, requests = [], []
    for right in RIGHTS:
        person = platform.somebody()
        await platform.shop.hold(person)
        submission = person.submission(right)
        submission["subject"]["name"] = person.name
        values += [person.name, person.email, person.phone[1:], person.account_id]
        case = Case(platform.channel, await platform.channel.submit(submission, traceparent=person.email))
        await case.closed()
        requests.append(case.request_id)
    bad = platform.somebody()
    await platform.channel.refused({"right": "erasure", "subject": {"email": f"{bad.email}@@"}})
    seeker = Seeker({"somebody": [*values, bad.email], "request": requests}, encoded=True)
    for topic, content in await platform.bus.whole():
        seeker.in_bytes(topic, content, b"\n")
    seeker.in_files(*(child.log for child in platform.services.children.values()))
    assert "dsr.status" in seeker.found["request"]
    assert seeker.found["somebody"] == {}
