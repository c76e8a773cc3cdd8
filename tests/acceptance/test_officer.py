"""An officer's day by hand: what the privacy team reads and decides on the pages of the console, by HTTP alone."""

import json
import re
from datetime import datetime, timedelta

import httpx

from tests.acceptance.client import Case, Person
from tests.acceptance.mails import mail, proposed
from tests.acceptance.platforms import Platform
from tests.acceptance.scenario import scenario
from tests.acceptance.systems import NOTHING
from tests.acceptance.visitor import Visitor
from tests.fixtures.live import eventually


async def step(visitor: Visitor, path: str, **form: str) -> Visitor:
    """Opens the page of a step, fills it in, and confirms what the page says that it will do."""
    await visitor.open(path)
    assert visitor.status == httpx.codes.OK, visitor.text
    if form:
        await visitor.send(step="check", **form)
        assert visitor.status == httpx.codes.OK, visitor.text
    return await visitor.send(step="confirm", **form)


async def undecided(platform: Platform, owner: Person) -> Case:
    """Returns a request that waits for a decision, since another person states the owner's account."""
    person = platform.new_person()
    await platform.shop.hold(owner)
    stated = {"email": person.email, "account_id": owner.account_id}
    case = await platform.ask(person, "restriction", "email", subject=stated)
    await case.until("awaiting_decision")
    return case


@scenario()
async def test_sign_in_needs_second_factor_and_role(platform: Platform) -> None:
    """Without a second factor or a role no page is shown; a handler sees it until signing out everywhere."""
    async with platform.visitor() as hanna, platform.visitor() as nemo, platform.member("hanna") as elsewhere:
        await hanna.sign_in("hanna", once="yes")
        assert (hanna.status, "second factor" in hanna.text) == (403, True)
        await nemo.sign_in("nemo")
        assert (nemo.status, "roles:" in nemo.text) == (403, True)
        for visitor in (hanna, nemo):
            assert (await visitor.open("/console/mail")).path == "/console/sign-in"
        assert (await elsewhere.open("/console/")).status == httpx.codes.OK
        assert (await elsewhere.open("/console/me")).status == httpx.codes.OK
        await elsewhere.send("/console/sign-out", where="here")
        assert (await elsewhere.open("/console/")).path == "/console/sign-in"


@scenario()
async def test_role_limits_what_is_read_and_decided(platform: Platform) -> None:
    """An auditor sees states, plots and the case file, and reads no letters; a handler approves nothing."""
    case = await platform.ask(platform.new_person(), "access", proved=False)
    page = f"/console/requests/{case.request_id}"
    async with platform.member("ugo") as ugo, platform.member("hanna") as hanna:
        assert (await ugo.open(page)).status == httpx.codes.OK
        assert (await ugo.open(f"{page}/letters")).status == httpx.codes.FORBIDDEN
        assert (await ugo.open(f"{page}/case-file")).content.startswith(b"PK")
        await ugo.open("/console/sla")
        assert (ugo.status, ugo.html.count("<svg") > 0, "<script" in ugo.html) == (200, True, False)
        assert (await hanna.open(f"{page}/case-file")).status == httpx.codes.FORBIDDEN
        assert (await hanna.open(f"{page}/decide/exceed-limit")).status == httpx.codes.FORBIDDEN


@scenario()
async def test_search_and_worklist_find_a_request(platform: Platform) -> None:
    """A request is found by an address; its page is anonymous, its letters are not, and each look is logged."""
    person = platform.new_person()
    case = await platform.ask(person, "access", proved=False)
    async with platform.member("hanna") as hanna:
        await hanna.open("/console/")
        await hanna.send("/console/search", text=person.email)
        assert f"/console/requests/{case.request_id}" in hanna.html
        await hanna.open("/console/?waits=proof&right=access&state=awaiting_identity")
        assert hanna.status == httpx.codes.OK
        await hanna.open(f"/console/requests/{case.request_id}")
        assert person.email not in hanna.text
        await hanna.open(f"/console/requests/{case.request_id}/letters")
        assert person.email in hanna.text
    actions = await case.seen_by(platform.officer).actions("letters.read")
    assert "request.viewed" in actions


@scenario()
async def test_identity_entered_by_two_officers_begins_a_copy(platform: Platform) -> None:
    """A person identified in person is entered by two officers, and then gets a copy (Art. 12(6))."""
    person = platform.new_person()
    await platform.shop.hold(person)
    case = await platform.ask(person, "access", "account_id", proved=False)
    proof = {"assurance.level": "L2", "assurance.method": "in_person"}
    async with platform.member("hanna") as hanna, platform.member("anton") as anton:
        await hanna.decide(case.request_id, "verify", **proof)
        assert (await case.view())["state"] == "awaiting_identity", "one officer is not enough for a copy"
        await hanna.open(f"/console/requests/{case.request_id}")
        await anton.decide(case.request_id, "verify", **proof)
    assert (await case.until(lambda view: view["state"] != "awaiting_identity"))["state"] != "closed"


@scenario()
async def test_mail_becomes_a_request_or_is_dismissed(platform: Platform) -> None:
    """The mail page proposes what a mail says; an officer makes a request of one, and dismisses another."""
    person, seller = platform.new_person(), platform.new_person()
    platform.mailbox.put(mail(person, f"Ich bitte um Auskunft über meine Daten, Kundennummer {person.account_id}."))
    platform.mailbox.put(mail(seller, "Buy now! Never delete my data.", subject="Offer"))
    found = [await proposed(platform, each) for each in (person, seller)]
    assert [each["content"]["proposal"]["rights"] for each in found] == [["access"], []]
    asks, offer = [each["mail_id"] for each in found]
    async with platform.member("hanna") as hanna:
        await hanna.open(f"/console/mail/{asks}")
        assert "Auskunft über meine Daten" in hanna.text
        said = {"rights": "access", "subject.email": person.email, "subject.country": "DE", "language": "de"}
        await step(hanna, f"/console/mail/{asks}/confirm", **said)
        case = Case(platform.officer, hanna.path.rpartition("/")[2])
        await step(hanna, f"/console/mail/{offer}/dismiss", reason="advertising")
        assert (await hanna.open(f"/console/mail/{offer}")).status == httpx.codes.GONE
    assert (await case.view())["received_at"].startswith("2026-03-02T08:00:00")
    assert not [each for each in platform.mail.taken if each.to == seller.email]


@scenario()
async def test_question_and_extension_go_out_once_confirmed(platform: Platform) -> None:
    """A question is checked, then sent, and its answer proves nothing; an extension takes two officers (Art. 12(3))."""
    person = platform.new_person()
    case = await platform.officer.ask(person.submission("access", "email", proved=False, channel="email"))
    asked = {"question": "identity", "text": "Since when is that mailbox yours?"}
    seen = await platform.officer.version(case.request_id)
    async with platform.member("hanna") as hanna:
        await hanna.open(f"/console/requests/{case.request_id}/decide/ask")
        assert "Ask for no identity document" in hanna.text
        await hanna.send(step="check", **asked)
        assert "question.sent" not in await case.seen_by(platform.officer).actions(), "what is checked is not done"
        await hanna.send(step="confirm", **asked)
        mails = await platform.mails(person, 2)
        assert [each for each in mails if asked["text"] in each.as_string()]
        await hanna.decide(case.request_id, "record-reply", text="Since last year.")
    assert await platform.officer.decided_at(seen, case.request_id, "withdraw") == httpx.codes.PRECONDITION_FAILED
    before = await case.view()
    assert before["state"] == "awaiting_identity"
    later = (datetime.fromisoformat(before["due_on"]) + timedelta(days=20)).date().isoformat()
    said = {"reason": "REDACTION_THIRD_PARTY", "explanation": "The calls of others are taken out.", "new_due": later}
    async with platform.member("anton") as anton, platform.member("berta") as berta:
        await anton.decide(case.request_id, "extend", **said)
        assert anton.path == f"/console/requests/{case.request_id}", anton.text
        assert (await case.view())["due_on"] == before["due_on"]
        await (await berta.open_approval(case.request_id)).send(step="confirm")
    await case.until(lambda view: view["due_on"] == later)  # once its letter has left
    assert said["explanation"] in await case.seen_by(platform.officer).letter("extension")


@scenario()
async def test_refusal_takes_a_second_person_who_reads_it(platform: Platform) -> None:
    """Another officer reads and agrees to a refusal; the letter has reason, authority and remedy (Art. 12(4))."""
    person = platform.new_person()
    case = await undecided(platform, person)
    why = {"reason": "EXCESSIVE", "article": "12(5)(b)", "explanation": "It comes every day."}
    async with platform.member("anton") as anton, platform.member("berta") as berta:
        await anton.decide(case.request_id, "refuse", **why)
        await anton.open_approval(case.request_id)
        assert (anton.status, "Confirm: " in anton.text) == (422, False), "the same person does not agree"
        await berta.open("/console/approvals")
        assert f"/console/requests/{case.request_id}" in berta.html
        await berta.open_approval(case.request_id)
        assert why["explanation"] in berta.text
        await berta.send(step="confirm")
    assert (await case.closed())["outcome"] == "refused"
    letter = await platform.answered(case)
    for said in (why["explanation"], "complain", "court"):
        assert said in letter, letter
    assert (await platform.shop.held(person)).restricted is False


@scenario()
async def test_command_decides_with_two_keys(platform: Platform) -> None:
    """``dsr act`` shows a refusal before it is proposed; another officer's key approves it."""
    case = await undecided(platform, platform.new_person())
    refuse = (
        "act",
        "refuse",
        case.request_id,
        "reason=EXCESSIVE",
        "article=12(5)(b)",
        "explanation=It comes every day.",
    )
    status, printed = await platform.dsr(*refuse, "--dry-run", door=platform.officer)
    assert (status, "It comes every day." in printed) == (0, True), printed
    assert "decision.proposed" not in await case.seen_by(platform.officer).actions()
    assert (await platform.dsr(*refuse, "--yes", door=platform.officer))[0] == 0
    _, listed = await platform.dsr("list", "approvals", "--json", door=platform.colleague)
    [waits] = [each for each in map(json.loads, listed.splitlines()) if each["subject"] == case.request_id]
    approve = ("act", "approve", f"approvals/{waits['approval_id']}", "--yes")
    status, printed = await platform.dsr(*approve, door=platform.officer)
    assert (status, "second person" in printed) == (1, True), printed
    status, printed = await platform.dsr(*approve, door=platform.colleague)
    assert status == 0, printed
    assert (await case.closed())["outcome"] == "refused"


@scenario()
async def test_hold_keeps_an_erasure_until_two_lift_it(platform: Platform) -> None:
    """A legal hold keeps the data of an erasure until two officers lift it in the console (Art. 17(3)(e))."""
    person = platform.new_person()
    await platform.shop.hold(person)
    number = f"LEG-{person.number}"
    review = (await (await platform.ask(platform.new_person(), "access", proved=False)).view())["due_on"]
    placed = {"case_number": number, "reason": "LITIGATION", "review_on": review, "subject.email": person.email}
    async with platform.member("hanna") as hanna, platform.member("anton") as anton, platform.member("berta") as berta:
        await step(hanna, "/console/holds/place", **placed)
        await hanna.open("/console/holds")
        hold_id = re.findall(r"/console/holds/([0-9a-f-]{36})", hanna.html.partition(number)[2])[0]
        case = await platform.ask(person, "erasure")
        await case.until(lambda view: view["state"] in {"closed", "awaiting_decision"})
        assert (await platform.shop.held(person)).rows == 1
        await step(anton, f"/console/holds/{hold_id}/lift")
        assert (await platform.shop.held(person)).rows == 1, "one officer lifts no hold"
        await step(berta, f"/console/holds/{hold_id}/lift")
        assert number not in (await berta.open("/console/holds")).text

    async def erased() -> bool:
        return await platform.shop.held(person) == NOTHING

    await eventually(erased, within=90)


@scenario()
async def test_incident_is_recorded_decided_by_two_and_closed(platform: Platform) -> None:
    """An incident is entered, two officers decide on its risk, notices are noted, and it closes (Art. 33, 34)."""
    case = await platform.ask(platform.new_person(), "access", "email", language="de")
    received = datetime.fromisoformat((await case.view())["received_at"])
    found_at = f"{received - timedelta(hours=30):%Y-%m-%d %H:%M}"
    facts = {"facts": f"A list was public until {case.request_id[:8]}.", "effects": "Calls.", "measures": "It is gone."}
    facts |= {"people": "40", "records": "1200", "categories": "call_record", "nature": "confidentiality"}
    words = {"happened": "Eine Liste war öffentlich.", "consequences": "Anrufe.", "measures": "Sie ist fort."}
    letter = {f"words.de.{name}": text for name, text in words.items()}
    async with platform.member("hanna") as hanna, platform.member("anton") as anton:
        await step(hanna, "/console/incidents/new", found_at=found_at, controllers="us", **facts)
        page = hanna.path
        assert "h left" in hanna.text
        said = {"risk": "high", "reasons": "Whom she calls is known.", "concerned": case.request_id}
        await step(hanna, f"{page}/decide", **said, **letter)
        await anton.open(page)
        await step(anton, re.findall(r'href="(/console/approvals/[^"]+/approve)"', anton.html)[0])
        notified = {"whom": "authority", "to": "BlnBDI 521.12", "complete": "yes", "what": "By its form."}
        await step(hanna, f"{page}/notified", notified_at=found_at, **notified)
        await step(hanna, f"{page}/close", explanation="All were notified.")
        assert "All were notified." in hanna.text
    assert words["happened"] in await case.seen_by(platform.officer).letter("breach")
