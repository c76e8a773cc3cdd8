"""Staff ask the contact on file of an account whether a request is theirs; the answer goes to whoever confirms."""

from collections.abc import AsyncIterator

import pytest

from tests.fixtures.intake import Intake
from tests.fixtures.portal import Opened, link_in, opened
from tests.integration.test_portal import EXPORTED, asked
from tests.integration.test_two_persons_prove import levels

NEW, OLD, ACCOUNT = "ada.new@example.net", "Ada@Example.org", "CU-17"
ASKED = {"question": "identity", "text": "Is this account yours?", "contact_on_file": OLD}


@pytest.fixture
async def door(intake: Intake, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Opened]:
    async with opened(intake, monkeypatch) as door:
        yield door


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
