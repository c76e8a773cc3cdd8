"""Each right in a kind of system, extended, or waiting for an answer."""

from datetime import date, timedelta

from tests.acceptance.client import MORE_TIME
from tests.acceptance.pairs import Pair, fulfilled, rows, untouched
from tests.acceptance.platforms import Platform
from tests.acceptance.scenario import TIMED, scenario

IDENTIFIED = ("access", "portability", "erasure", "rectification", "restriction")
"""Objections to marketing and withdrawals of consent need no proof and never wait (Art. 21(3), 7(3))."""
REMINDED = ("acknowledgement", "question", "question", "question")


@scenario(on=TIMED, together=rows("extended", rights=IDENTIFIED))
async def test_extended(platform: Platform, pair: Pair) -> None:
    """Two people extend within the month, the person reads why, and nothing is overdue until then (Art. 12(3))."""
    person = platform.new_person()
    system = platform.systems[pair.kind]
    await system.hold(person)
    before = await system.held(person)
    case = await platform.ask(person, pair.right, proved=False)
    first = await case.until("awaiting_identity")
    await case.seen_by(platform.officer).question("identity")
    await platform.clock.reaches(22)
    due = (date.fromisoformat(first["due_on"]) + timedelta(days=58)).isoformat()
    await case.seen_by(platform.officer).act("extension", **MORE_TIME, new_due=due)
    assert (await case.view())["due_on"] == first["due_on"]
    await case.seen_by(platform.colleague).act("extension/approval")
    assert (await case.view())["due_on"] == due
    assert MORE_TIME["explanation"] in await case.letter("extension")
    await platform.clock.reaches(32)
    await case.verify(person)
    view = await fulfilled(platform, pair, person, before, case)
    assert not str(view["warning"]).startswith("overdue")
    assert "deadline.overdue" not in await case.actions()


@scenario(on=TIMED, together=rows("question unanswered", rights=IDENTIFIED))
async def test_question_unanswered(platform: Platform, pair: Pair) -> None:
    """Silence is reminded twice and ends with a notice; a late answer reopens and fulfils (Art. 12(4), 12(6))."""
    person = platform.new_person()
    system = platform.systems[pair.kind]
    await system.hold(person)
    before = await system.held(person)
    case = await platform.ask(person, pair.right, proved=False)
    await case.until("awaiting_identity")
    await case.seen_by(platform.officer).question("identity")
    for day, letters in ((8, REMINDED[:3]), (15, REMINDED), (22, REMINDED)):
        await platform.clock.reaches(day)
        await case.wrote(*letters)
    await platform.clock.reaches(29)
    silent = await case.closed()
    assert (silent["outcome"], silent["resumable"]) == ("unidentified", True)
    assert "judicial remedy" in await case.letter("last_notice")
    await untouched(platform, pair, person, before)
    await platform.clock.reaches(45)
    await case.verify(person)
    view = await fulfilled(platform, pair, person, before, case)
    assert (view["resumable"], view["due_on"] > silent["due_on"]) == (False, True)
    assert (await case.actions()).count("request.closed") == 2
