"""The legal scenarios of the requirements that need no other day than today."""

from datetime import date, datetime

from tests.acceptance.platforms import Platform
from tests.acceptance.scenario import scenario
from tests.acceptance.systems import NOTHING


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
