"""A question counts as asked once it can be read: what cannot be known of stops no clock, and no link answers it."""

from collections.abc import AsyncIterator

import pytest

from tests.fixtures.intake import Intake
from tests.fixtures.portal import Opened, link_in, opened
from tests.integration.test_portal import asked

WORDS = "Which of the two offices have you written from?"
DOUBTED = {"question": "identity", "text": WORDS, "condition_recorded": True}


@pytest.fixture
async def door(intake: Intake, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Opened]:
    async with opened(intake, monkeypatch) as door:
        yield door


async def test_a_question_to_an_unproved_address_waits_and_the_link_shows_it_and_does_not_answer_it(
    door: Opened,
) -> None:
    ada, intake = door.visitor(), door.intake
    path = f"/v1/requests/{await asked(ada)}"
    (await intake.officer.post(f"{path}/question", json=DOUBTED)).raise_for_status()
    assert "question_sent" not in await intake.types(), "nobody can know of it"
    assert "does not count as asked" in (await intake.officer.get(path)).json()["waits_for"]
    assert await door.letters("portal_news") == []
    intake.clock.pass_by(days=2)
    (letter,) = await door.letters()
    await (await ada.open(link_in(letter))).send()
    assert (ada.path, WORDS in ada.text) == ("/portal/en/request", True)
    types = await intake.types()
    assert (types.count("question_sent"), "question_answered" in types, "verified" in types) == (1, False, True)
    [sent] = [each for each in await intake.published() if "question_sent" in each["type"]]
    assert sent["asked_at"].startswith(intake.clock.now().date().isoformat()), "and from then on"
    assert (sent["question"], sent["condition_recorded"]) == ("clarification", False), "work goes on beside it"
    await ada.open("/portal/en/request")
    await (await ada.open("/portal/en/request/answer")).send(text="The one in Cologne.")
    assert ada.path == "/portal/en/request"
    types = await intake.types()
    assert (types.count("question_sent"), types.count("question_answered")) == (1, 1)
    assert WORDS not in (await ada.open("/portal/en/request")).text


async def test_a_question_to_a_proved_address_is_asked_at_once_by_the_mail_that_says_so(door: Opened) -> None:
    ada, intake = door.visitor(), door.intake
    path = f"/v1/requests/{await asked(ada)}"
    (letter,) = await door.letters()
    await (await ada.open(link_in(letter))).send()
    await intake.ask(path, "clarification")
    assert (await intake.types()).count("question_sent") == 1
    assert len(await door.letters("portal_news")) == 1
    await ada.open("/portal/en/request")
    assert (await intake.types()).count("question_sent") == 1, "once"
