"""What comes with time: warnings, notices, reminders and ends, each on its day and once, however the clock jumps."""

from datetime import date, timedelta

from tests.acceptance.client import MORE_TIME, Case, Person
from tests.acceptance.platforms import Platform
from tests.acceptance.scenario import TIMED, scenario
from tests.fixtures.live import eventually

UNHEARD = ("acknowledgement", "identity_question", "identity_last_notice")


@scenario(on=TIMED)
async def test_objection_to_marketing_is_never_extended(platform: Platform) -> None:
    """It is done at once, so that it is late after two days and no month is left to extend (Art. 21(3))."""
    person = platform.somebody()
    await platform.helpdesk.hold(person)
    platform.helpdesk.lies.add(person.email)
    case = (await platform.ask(person, "objection")).seen_by(platform.officer)
    view = await case.until("awaiting_decision")
    new = (date.fromisoformat(view["due_on"]) + timedelta(days=58)).isoformat()
    assert await case.refused("extension", **MORE_TIME, new_due=new) == "extension_refused"
    await platform.clock.reaches(3)
    await case.until(lambda view: str(view["warning"]).startswith("overdue"))


@scenario(on=TIMED)
async def test_question_that_nobody_answers_over_a_long_jump_has_one_notice(platform: Platform) -> None:
    """Of notices that come due together only the last is written: no reminder of a question that is given up."""
    await platform.clock.reaches(95)
    case = await platform.ask(platform.somebody(), "access", proved=False)
    await case.until("awaiting_identity")
    await case.seen_by(platform.officer).question("identity")
    await platform.clock.reaches(400)
    assert (await case.closed())["outcome"] == "unidentified"
    await case.wrote(*UNHEARD)


@scenario(on=TIMED)
async def test_clarification_unanswered_is_answered_in_part_and_resumes_with_the_answer(platform: Platform) -> None:
    """The work goes on meanwhile; silence ends with what was found and with the remedies (Art. 12(4), Recital 63)."""
    person = platform.somebody()
    await platform.shop.hold(person)
    async with platform.without("billing"):
        case = await platform.ask(person, "access")
        await case.until("in_progress")
        await case.seen_by(platform.officer).question("clarification")
    await platform.clock.reaches(29)
    silent = await case.closed()
    assert (silent["outcome"], silent["resumable"]) == ("partially_fulfilled", True)
    assert "judicial remedy" in await case.letter("clarification_last_notice")
    await platform.clock.reaches(32)
    await case.act("reply", text="All of them.")
    again = await case.until(lambda view: view["state"] == "closed" and not view["resumable"])
    assert again["outcome"] == "fulfilled"


@scenario(on=TIMED)
async def test_recipient_who_never_answers_is_reminded_twice_and_shown_as_overdue(platform: Platform) -> None:
    """Who got the data is told of the objection, and the person reads how far that is (Art. 19)."""
    person = platform.somebody()
    await platform.shop.hold(person)
    case = await platform.ask(person, "objection")
    await case.closed()
    await platform.clock.reaches(3)
    assert (await case.recipients())["mailer"]["state"] == "told"
    await platform.clock.reaches(22)
    await platform.clock.reaches(32)
    assert (await case.recipients())["mailer"]["overdue"] is False
    await platform.clock.reaches(62)
    await eventually(lambda: _overdue(case), within=120, every=0.5)
    assert (await case.recipients())["mailer"]["reminders"] == 2


async def _overdue(case: Case) -> bool:
    return bool((await case.recipients())["mailer"]["overdue"])


@scenario(on=TIMED)
async def test_restriction_that_is_lifted_is_announced_first(platform: Platform) -> None:
    """Who obtained a restriction is told before it is lifted (Art. 18(3))."""
    person = platform.somebody()
    await platform.shop.hold(person)
    case = await platform.ask(person, "restriction")
    await case.closed()
    assert (await platform.shop.held(person)).restricted
    await platform.clock.reaches(8)
    await case.seen_by(platform.officer).act("lift")
    await eventually(lambda: _free(platform, person), within=120, every=0.2)
    await case.did("letter.written", "lifting")


async def _free(platform: Platform, person: Person) -> bool:
    return (await platform.shop.held(person)).restricted is False
