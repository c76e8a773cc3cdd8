"""Whoever asks by e-mail or by post comes to the same question to the contact on file, and reads in the portal then."""

from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from shared.domain.levels import Level
from tests.fixtures.intake import Intake
from tests.fixtures.portal import URL, Opened, Visitor, code_in, opened
from tests.integration.test_contact_on_file import (
    ACCOUNT,
    CONTACT,
    CRM,
    NEW,
    OLD,
    looked_up,
    steps_in,
    to_contacts,
    types_code,
)
from tests.integration.test_portal import EXPORTED
from tests.integration.test_unsearched import COPIED, blocked

SUBJECT = {"name": "Ada Quarzfels", "email": NEW, "account_id": ACCOUNT, "country": "DE"}
WINDOW = {"lines": ["Ada Quarzfels", "Musterstraße 1", "50667 Köln"], "on_file_in": "crm"}


@pytest.fixture
async def door(intake: Intake, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Opened]:
    async with opened(intake, monkeypatch) as door:
        yield door


async def entered(door: Opened, visitor: Visitor, way: str, *, level: Level = "L1") -> str:
    """Somebody has written, a person has entered it, and what the address proves is not enough for all of it."""
    said = {"right": "access", "language": "en", "channel": way, "subject": SUBJECT}
    answer = await door.intake.officer.post("/v1/requests", json=said)
    reference: str = answer.raise_for_status().json()["request_id"]
    await steps_in(door, visitor, reference)
    await blocked(door.intake, f"/v1/requests/{reference}", COPIED, CRM.model_copy(update={"level": level}))
    return reference


async def on_their_way(intake: Intake, reference: str) -> list[tuple[str, str]]:
    """The letters of a request that go somewhere by themselves: of which kind, and by which way."""
    query = "SELECT kind, way FROM delivery WHERE request_id = $1 ORDER BY letter_id"
    return [tuple(row) for row in await intake.unit_of_work.pool.fetch(query, UUID(reference))]


@pytest.mark.parametrize("way", ["email", "post"])
async def test_whoever_wrote_types_the_code_where_they_follow_it_and_what_it_opens_goes_to_no_address(
    door: Opened, way: str
) -> None:
    ada, later, intake = door.visitor(), door.visitor(), door.intake
    reference = await entered(door, ada, way)
    path = f"/v1/requests/{reference}"
    assert f"at {URL}/portal/en/follow:" in (await door.letters("proof_question"))[-1]["html"]
    await looked_up(door, reference, OLD)
    assert (await to_contacts(door))[-1]["to"] == [OLD]
    before = await on_their_way(intake, reference)
    assert ("proof_question", way) in before
    await types_code(ada, code_in((await to_contacts(door))[-1]))
    assert (ada.path, "counts as yours" in ada.text) == ("/portal/en/request", True)
    await intake.complete(path, tasks=(EXPORTED,))
    assert (await on_their_way(intake, reference))[len(before) :] == [("portal_news", "email")]
    assert (await intake.types())[-1] == "closed", "it can be read there"
    assert "contact data" in (await ada.open("/portal/en/request")).text
    await steps_in(door, later, reference)
    assert (later.path, (await later.open("/portal/en/request")).status) == (CONTACT, 403), "by their mailbox alone"


async def test_nobody_is_asked_where_what_the_contact_proves_would_not_be_enough(door: Opened) -> None:
    await entered(door, door.visitor(), "email", level="L2")
    assert "contact_sought" not in await door.intake.types()
    assert f"{URL}/portal/en/follow" not in (await door.letters("proof_question"))[-1]["html"]
