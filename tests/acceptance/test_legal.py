"""The legal scenarios of the requirements that need no other day than today, one or more each."""

from datetime import UTC, date, datetime

from deploy.demo.company import Phone
from tests.acceptance.platforms import Platform
from tests.acceptance.scenario import scenario
from tests.acceptance.systems import NOTHING, SINCE

WHY = {"reason": "SYSTEM_UNAVAILABLE", "article": "12(4)", "explanation": "What is missing follows."}
CALLED = "+493024000001"
"""A number that is nobody's."""
UNTIL, SINCE_THEN = datetime(2026, 1, 10, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)


def days(calls: list[dict[str, str]]) -> list[str]:
    """The days of calls, as a table of a package or the store has them."""
    return sorted(each["began"][:10] for each in calls)


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
