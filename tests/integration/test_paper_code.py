"""A letter on paper that went to another address opens nothing any more, and a person sends its code anew."""

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.fixtures.console import OpenedConsole
from tests.fixtures.intake import Intake
from tests.fixtures.portal import Opened, Visitor, opened
from tests.integration.test_console_decisions import decided

SUBJECT = {"name": "Ada Quarzfels", "email": "ada@example.org", "country": "DE"}
WRONG = {"lines": ["Ada Quarzfels", "Musterstraße 1", "50667 Köln"], "on_file_in": "crm"}
RIGHT = {"lines": ["Ada Quarzfels", "Neue Gasse 2", "50667 Köln"], "on_file_in": "crm"}
FOLLOW = "/portal/en/follow/letter"


@pytest.fixture
async def door(intake: Intake, database: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Opened]:
    async with opened(intake, database, monkeypatch) as door:
        yield door


async def posts(intake: Intake) -> str:
    """Prints all letters and posts them; the code that stands in the last one."""
    printed = (await intake.officer.get("/v1/letters/print")).raise_for_status().text
    for each in (await intake.officer.get("/v1/letters")).json()["letters"]:
        (await intake.officer.post(f"/v1/letters/{each['letter_id']}/posted", json={})).raise_for_status()
    return str(re.findall(r"(?:[A-Z2-7]{4} ){5}[A-Z2-7]{4}", printed)[-1])


async def posted(intake: Intake) -> tuple[str, str]:
    """The reference of a request that came by post, and the code that went to an address that is wrong."""
    said: dict[str, Any] = {"right": "access", "language": "en", "channel": "post", "subject": SUBJECT}
    reference: str = (await intake.officer.post("/v1/requests", json=said)).raise_for_status().json()["request_id"]
    (await intake.officer.post(f"/v1/requests/{reference}/postal-address", json=WRONG)).raise_for_status()
    return reference, await posts(intake)


async def follows(visitor: Visitor, reference: str, code: str) -> bool:
    await (await visitor.open(FOLLOW)).send(reference=reference, code=code)
    return visitor.path == "/portal/en/request"


async def test_after_the_address_was_corrected_a_new_code_goes_there_and_the_old_one_is_void(
    door: Opened, console: OpenedConsole
) -> None:
    intake, eve, hanna = door.intake, door.visitor(), await console.member("hanna")
    reference, old = await posted(intake)
    assert await follows(eve, reference, old)
    assert not await follows(door.visitor(), reference, "AAAA" * 6)
    intake.clock.pass_by(minutes=1)
    assert (await intake.officer.post(f"/v1/requests/{reference}/postal-address", json=RIGHT)).status_code == 200
    assert (await eve.open("/portal/en/request")).status == 403
    await decided(hanna, reference, "paper-code")
    assert hanna.path == f"/console/requests/{reference}", hanna.text
    page = (await intake.officer.get("/v1/letters/print")).text
    assert "Neue Gasse 2" in page
    assert "Musterstraße" not in page
    assert old not in page
    new = await posts(intake)
    assert (await eve.open("/portal/en/request")).status == 403, "she has shown the old one alone"
    assert not await follows(door.visitor(), reference, old)
    failed = "SELECT failures FROM paper_code_failure"
    assert await intake.unit_of_work.pool.fetchval(failed) == 2, "they are counted on"
    assert await follows(door.visitor(), reference, new)
    letters = f"/v1/requests/{reference}/letters"
    by_code = [
        (await intake.channel.get(letters, headers={"Letter-Code": each.replace(" ", "")})).status_code
        for each in (old, new)
    ]
    assert by_code == [404, 200]


async def test_of_several_codes_on_paper_the_newest_alone_is_good(door: Opened) -> None:
    intake = door.intake
    reference, first = await posted(intake)
    codes = [first]
    for _ in range(2):
        (await intake.officer.post(f"/v1/requests/{reference}/paper-code")).raise_for_status()
        assert not await follows(door.visitor(), reference, codes[-1]), "void before the next is posted"
        codes.append(await posts(intake))
    assert len({*codes}) == 3
    assert [await follows(door.visitor(), reference, each) for each in codes] == [False, False, True]


async def test_no_new_code_is_printed_where_none_is_of_use_and_it_is_said_what_to_do(door: Opened) -> None:
    intake = door.intake
    reference, _ = await posted(intake)
    again = f"/v1/requests/{reference}/paper-code"
    assert (await intake.channel.post(again)).status_code == 403
    (await intake.officer.post(again)).raise_for_status()
    waiting = await intake.officer.post(again)
    assert (waiting.status_code, "post that" in waiting.json()["detail"]) == (409, True)
    said = {"right": "access", "channel": "post", "subject": SUBJECT}
    other = (await intake.officer.post("/v1/requests", json=said)).raise_for_status().json()["request_id"]
    nowhere = await intake.officer.post(f"/v1/requests/{other}/paper-code")
    assert (nowhere.status_code, "enter it first" in nowhere.json()["detail"]) == (409, True)
    by_api = await intake.submit()
    assert (await intake.officer.post(f"{by_api}/paper-code")).status_code == 409
