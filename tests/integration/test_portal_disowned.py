"""Whoever gets a link sees what it confirms, may say that they asked for nothing, and a person hears of it."""

from collections.abc import AsyncIterator

import pytest

from services.intake.statistics import count
from tests.fixtures.intake import Intake
from tests.fixtures.portal import Opened, link_in, opened, waiting
from tests.fixtures.told import told
from tests.integration.test_portal import EXPORTED, asked
from tests.integration.test_two_persons_prove import levels


@pytest.fixture
async def door(intake: Intake, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Opened]:
    async with opened(intake, monkeypatch) as door:
        yield door


async def test_before_the_button_the_letter_and_the_page_say_what_was_asked_for(door: Opened) -> None:
    await asked(door.visitor())
    (letter,) = await door.letters()
    assert "What was asked for: access." in letter["html"]
    page = await door.visitor().open(link_in(letter))
    assert "Give me a copy of my data" in page.text
    assert page.html.index("Give me a copy") < page.html.index("Yes, I have asked for this")
    assert "Ada" not in page.html, "nobody is named"
    await page.send(answer="")
    assert (page.path, await door.intake.types()) == (link_in(letter), ["received"]), "no button has sent that"


async def test_what_nobody_has_asked_for_stays_undone_and_no_more_is_sent_for_it(door: Opened) -> None:
    eve, ada = door.visitor(), door.visitor()
    reference = await asked(eve)
    await (await eve.open("/portal/en/follow")).send(reference=reference)
    first, second = await door.letters()
    await (await ada.open(link_in(first))).send(answer="not_me")
    assert "nothing is done" in ada.text
    for link in map(link_in, (first, second)):
        assert "not good any more" in (await door.visitor().open(link)).text
        assert "not good any more" in (await (await door.visitor().open("/portal/en/follow")).open(link)).text
    await (await eve.open("/portal/en/follow")).send(reference=reference)
    assert eve.path == "/portal/en/code", "who asks sees no difference"
    assert len(await door.letters()) == 2
    assert await waiting(door) == [(reference, "disowned")]
    assert (await door.intake.channel.get("/v1/proofs/stopped")).status_code == 403
    assert await door.intake.types() == ["received"]


async def test_five_wrong_codes_are_put_before_a_person_and_no_letter_tells_a_code_that_is_not_good(
    door: Opened,
) -> None:
    ada = door.visitor()
    reference = await asked(ada)
    await ada.open("/portal/en/code")
    assert await waiting(door) == []
    for _ in range(5):
        await ada.send(code="0000 0000")
    assert await waiting(door) == [(reference, "wrong_codes")]
    async with door.intake.unit_of_work.pool.acquire() as connection:
        await count(connection, door.intake.clock.now())
    assert [told("dsr_proofs_stopped", reason=why) for why in ("disowned", "wrong_codes")] == [0, 1]
    await (await door.visitor().open("/portal/en/follow")).send(reference=reference)
    newest = (await door.letters())[-1]
    assert "<strong>" not in newest["html"], "no code is good any more"
    again = door.visitor()
    await (await again.open(link_in(newest))).send(answer="mine")
    assert again.path == "/portal/en/request"
    assert await waiting(door) == []


# Staff ask the contact on file of an account whether a request is theirs; the answer goes to whoever confirms.
NEW, OLD, ACCOUNT = "ada.new@example.net", "Ada@Example.org", "CU-17"
ASKED = {"question": "identity", "text": "Is this account yours?", "contact_on_file": OLD}


async def test_the_contact_on_file_that_confirms_gets_the_answer_and_the_first_asker_nothing(door: Opened) -> None:
    intake, eve, ada = door.intake, door.visitor(), door.visitor()
    reference = await asked(eve, email=NEW, account=ACCOUNT)
    path = f"/v1/requests/{reference}"
    assert (await intake.officer.post(f"{path}/question", json=ASKED)).status_code == 200
    assert len(await door.letters()) == 1, "one person might enter an address of their own"
    assert (await intake.officer.post(f"{path}/question", json=ASKED)).status_code == 409
    assert (await intake.colleague.post(f"{path}/question", json=ASKED)).status_code == 200
    theirs, contacts = await door.letters()
    assert (theirs["to"], contacts["to"]) == ([NEW], ["ada@example.org"])
    assert NEW not in contacts["html"]
    await (await ada.open(link_in(contacts))).send(answer="mine")
    assert ada.path == "/portal/en/request"
    assert {kind: level for kind, level in (await levels(intake, path)).items() if level > "L0"} == {
        "account_id": "L1",
        "email": "L1",
    }
    sheet = (await intake.officer.get(f"{path}/statement")).json()
    assert NEW not in [each["value"] for each in sheet["identities"]], "the asker's address counts for nothing"
    assert sheet["letters_go_to"] == ["ada@example.org"]
    assert "verified" in await intake.types()
    await (await eve.open(link_in(theirs))).send(answer="mine")
    assert eve.path != "/portal/en/request", "a later proof of another address does not count"
    await intake.complete(path, tasks=(EXPORTED,))
    assert [each["to"] for each in await door.letters("portal_news")][-1] == ["ada@example.org"]
    await (await door.visitor().open("/portal/en/follow")).send(reference=reference)
    assert (await door.letters())[-1]["to"] == ["ada@example.org"]


async def test_a_contact_on_file_is_asked_only_where_its_proof_would_count(door: Opened) -> None:
    intake, eve = door.intake, door.visitor()
    unnamed = f"/v1/requests/{await asked(door.visitor(), email=NEW)}/question"
    named = f"/v1/requests/{await asked(eve, email=NEW, account=ACCOUNT)}/question"
    for path, changed, status in (
        (unnamed, {}, 400),
        (named, {"contact_on_file": "nobody"}, 400),
        (named, {"question": "clarification"}, 422),
    ):
        assert (await intake.officer.post(path, json={**ASKED, **changed})).status_code == status, changed
    await (await eve.open(link_in((await door.letters())[-1]))).send(answer="mine")
    refused = await intake.officer.post(named, json=ASKED)
    assert (refused.status_code, "take that proof back first" in refused.text) == (409, True)
    assert len(await door.letters()) == 2, "nothing went to the contact"
