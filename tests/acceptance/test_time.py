"""Timers: warnings, notices, reminders and ends, each on its day and once, however the clock jumps."""

from datetime import date, timedelta
from functools import partial

from tests.acceptance.client import MORE_TIME, Case, Person
from tests.acceptance.platforms import Platform
from tests.acceptance.scenario import TIMED, scenario
from tests.acceptance.systems import NOTHING
from tests.fixtures.live import eventually

UNHEARD = ("acknowledgement", "question", "last_notice")
WEIGHED = {"scope": "legitimate_interests"}
"""An objection that people weigh (Art. 21(1)), so that it is open for as long as a scenario wants."""


async def opposed(platform: Platform, **more: str) -> Case:
    """An objection that waits for people."""
    person = platform.new_person()
    await platform.shop.hold(person)
    return await platform.ask(person, "objection", **WEIGHED, **more)


async def ticketed(platform: Platform, case: Case, state: str) -> None:
    """Waits until the one ticket about a request is in that state."""

    async def look() -> list[str]:
        states = await platform.tickets.about(case.request_id)
        return states if state in states else []

    assert await eventually(look, within=240, every=0.5) == [state]


@scenario(on=TIMED)
async def test_overdue_request_is_warned_of_once_with_one_ticket_until_its_answer(platform: Platform) -> None:
    """An unanswered request is overdue, with one ticket that its answer resolves (Art. 12(3))."""
    case = await opposed(platform)
    await platform.clock.reaches(45)
    await case.until(lambda view: view["warning"] == "overdue_statutory")
    await case.did("deadline.overdue", "statutory")
    await ticketed(platform, case, "open")
    came = platform.clock.today() - timedelta(days=40)
    later = await opposed(platform, received_at=f"{came}T09:00:00Z")
    await later.did("deadline.overdue", "statutory")  # so due steps were looked for once more
    await case.seen_by(platform.officer).act("balancing", finding="upheld", explanation="Nothing outweighs it.")
    await case.seen_by(platform.colleague).act("balancing/approval")
    await case.closed()
    await ticketed(platform, case, "resolved")
    await case.did("deadline.overdue", "statutory")


@scenario(on=TIMED)
async def test_open_request_is_flagged_in_the_crm_until_its_answer(platform: Platform) -> None:
    """Staff see that a customer's request is open; a missed target is shown with the request."""
    person, neighbour = platform.new_person(), platform.new_person()
    for each in (person, neighbour):
        await platform.crm.hold(each)
    case = await platform.ask(person, "objection", **WEIGHED)
    silent = await platform.ask(platform.new_person(), "access", proved=False)
    await platform.clock.reaches(8)

    async def flagged(*requests: str) -> bool:
        return await platform.crm.flags(person) == [*requests]

    await eventually(partial(flagged, case.request_id), within=240)
    assert await platform.crm.flags(neighbour) == []
    await silent.until(lambda view: view["warning"] == "target_question_sent")
    await case.seen_by(platform.officer).act("balancing", finding="upheld", explanation="Nothing outweighs it.")
    await case.seen_by(platform.colleague).act("balancing/approval")
    await case.closed()
    await eventually(flagged, within=240)


@scenario(on=TIMED)
async def test_extension_after_the_month_is_refused_and_the_dates_stand(platform: Platform) -> None:
    """A requester who learns of it after the month gets no extension (Art. 12(3))."""
    case = (await opposed(platform)).seen_by(platform.officer)
    due = (await case.view())["due_on"]
    new = (date.fromisoformat(due) + timedelta(days=58)).isoformat()
    await platform.clock.reaches(22)
    await case.act("extension", **MORE_TIME, new_due=new)
    await platform.clock.reaches(45)
    assert await case.seen_by(platform.colleague).refused("extension/approval") == "extension_refused"
    sooner = (date.fromisoformat(due) + timedelta(days=57)).isoformat()
    assert await case.refused("extension", **MORE_TIME, new_due=sooner) == "extension_refused"
    assert (await case.view())["due_on"] == due
    assert "extension" not in [step[1] for step in await case.steps() if step[0] == "letter.written"]


@scenario(on=TIMED)
async def test_request_found_late_keeps_the_day_on_which_it_came(platform: Platform) -> None:
    """The month runs from the receipt, not from when people find the message (Art. 12(3))."""
    came = platform.clock.today() - timedelta(days=20)
    case = await opposed(platform, received_at=f"{came}T09:00:00Z")
    in_time = await opposed(platform)
    assert (await case.view())["due_on"] <= (came + timedelta(days=34)).isoformat()
    await platform.clock.reaches(22)
    await case.until(lambda view: str(view["warning"]).startswith("overdue"))
    assert not str((await in_time.view())["warning"]).startswith("overdue")


@scenario(on=TIMED)
async def test_objection_to_marketing_is_never_extended(platform: Platform) -> None:
    """It takes effect immediately, so it is late after two days and cannot be extended (Art. 21(3))."""
    person = platform.new_person()
    await platform.helpdesk.hold(person)
    platform.helpdesk.lies.add(person.email)
    case = (await platform.ask(person, "objection")).seen_by(platform.officer)
    view = await case.until("awaiting_decision")
    new = (date.fromisoformat(view["due_on"]) + timedelta(days=58)).isoformat()
    assert await case.refused("extension", **MORE_TIME, new_due=new) == "extension_refused"
    await platform.clock.reaches(3)
    await case.until(lambda view: str(view["warning"]).startswith("overdue"))


@scenario(on=TIMED)
async def test_unanswered_question_over_a_long_jump_has_one_notice(platform: Platform) -> None:
    """Writes only the last of notices that are due together: no reminder of an abandoned question."""
    await platform.clock.reaches(95)
    case = await platform.ask(platform.new_person(), "access", proved=False)
    await case.until("awaiting_identity")
    await case.seen_by(platform.officer).question("identity")
    await platform.clock.reaches(400)
    assert (await case.closed())["outcome"] == "unidentified"
    await case.wrote(*UNHEARD)


@scenario(on=TIMED)
async def test_clarification_unanswered_is_answered_in_part_and_resumes_with_the_answer(platform: Platform) -> None:
    """The work goes on meanwhile; silence ends with what was found and with the remedies (Art. 12(4), Recital 63)."""
    person = platform.new_person()
    await platform.shop.hold(person)
    async with platform.without("billing"):
        case = await platform.ask(person, "access")
        await case.until("in_progress")
        await case.seen_by(platform.officer).question("clarification")
    await platform.clock.reaches(29)
    silent = await case.closed()
    assert (silent["outcome"], silent["resumable"]) == ("partially_fulfilled", True)
    assert "judicial remedy" in await case.letter("last_notice")
    await platform.clock.reaches(32)
    await case.act("reply", text="All of them.")
    again = await case.until(lambda view: view["state"] == "closed" and not view["resumable"])
    assert again["outcome"] == "fulfilled"


@scenario(on=TIMED)
async def test_recipient_who_never_answers_is_reminded_once_and_shown_as_overdue(platform: Platform) -> None:
    """The recipient is notified of the objection, and the person sees its state (Art. 19)."""
    person = platform.new_person()
    await platform.shop.hold(person)
    case = await platform.ask(person, "objection")
    await case.closed()
    await platform.clock.reaches(3)
    await eventually(lambda: _mailer(case, "notified_at"), within=240, every=0.5)
    await platform.clock.reaches(22)
    await eventually(lambda: _mailer(case, "reminded_at"), within=240, every=0.5)
    assert not await _mailer(case, "overdue")
    await platform.clock.reaches(62)
    await eventually(lambda: _mailer(case, "overdue"), within=240, every=0.5)


async def _mailer(case: Case, what: str) -> bool:
    return bool((await case.recipients())["mailer"][what])


@scenario(on=TIMED)
async def test_restriction_that_is_lifted_is_announced_first(platform: Platform) -> None:
    """The person is informed before a restriction is lifted (Art. 18(3))."""
    person = platform.new_person()
    await platform.shop.hold(person)
    case = await platform.ask(person, "restriction")
    await case.closed()
    assert (await platform.shop.held(person)).restricted
    await platform.clock.reaches(8)
    await case.seen_by(platform.officer).act("lift")
    await eventually(lambda: _free(platform, person), within=240, every=0.2)
    actions = await case.actions("restriction.lift_completed")
    assert actions.index("restriction.lift_completed") > actions.index("letter.written")
    await case.did("letter.written", "update")


async def _free(platform: Platform, person: Person) -> bool:
    return (await platform.shop.held(person)).restricted is False


@scenario(on=TIMED)
async def test_what_a_team_kept_is_erased_on_its_day_once(platform: Platform) -> None:
    """Data kept by law are named with their day, and erased then without a new request (Art. 17(3)(b))."""
    person, other = platform.new_person(), platform.new_person()
    until = platform.clock.today() + timedelta(days=10)
    await platform.billing.hold(person, until.isoformat())
    await platform.billing.hold(other, (until + timedelta(days=300)).isoformat())
    case, later = [await platform.ask(each, "erasure") for each in (person, other)]
    for each in (case, later):
        assert (await each.closed())["outcome"] == "partially_fulfilled"
    await platform.clock.reaches(8)
    assert (await platform.billing.held(person)).rows == 1
    assert "key.shredded" not in await case.actions()
    await platform.clock.reaches(15)
    await case.did("erasure.deferred_completed")
    await case.did("key.shredded")
    assert await platform.billing.held(person) == NOTHING
    assert "has been erased" in (await case.view())["answer"]
    await platform.clock.reaches(95)
    await case.did("erasure.due")
    assert (await platform.billing.held(other)).rows == 1


@scenario(on=TIMED)
async def test_services_started_after_the_clock_jumped_do_what_came_due_once(platform: Platform) -> None:
    """Services that were down on a due day do its work once they run again."""
    person = platform.new_person()
    until = platform.clock.today() + timedelta(days=50)
    await platform.billing.hold(person, until.isoformat())
    case = await platform.ask(person, "erasure")
    assert (await case.closed())["outcome"] == "partially_fulfilled"
    await platform.clock.reaches(45)
    await platform.clock.others_wait()  # for none of them the services may be away
    async with platform.stopped("deadline", "erasure"):
        await platform.clock.reaches(62)
    await case.did("erasure.deferred_completed")
    await case.did("erasure.due")
    assert await platform.billing.held(person) == NOTHING


@scenario(on=TIMED)
async def test_customer_who_never_replies_is_reminded_twice_and_then_people_look(platform: Platform) -> None:
    """A customer's request is forwarded, and never decided for them (Art. 28(3)(e))."""
    case = (await platform.ask(platform.new_person(), "access", role="processor")).seen_by(platform.officer)
    await case.act("forward", controller="Harbour Cranes Ltd")
    letters = [step[1] for step in await case.steps() if step[0] == "letter.written"]
    for day, reminders in ((8, 1), (15, 2)):
        await platform.clock.reaches(day)
        await case.wrote(*letters, *["controller_reminder"] * reminders)
    await platform.clock.reaches(22)
    await ticketed(platform, case, "open")
    assert (await case.view())["outcome"] == "forwarded"
