"""What is asked in the portal for somebody else, and how much one address may send."""

import re

import pytest

from tests.fixtures.intake import Intake
from tests.fixtures.mail_server import SENDER
from tests.fixtures.portal import opened
from tests.integration.test_portal import asked


async def test_what_is_asked_for_somebody_else_is_put_before_a_person_and_searches_nobody(
    monkeypatch: pytest.MonkeyPatch, intake: Intake, database: str
) -> None:
    monkeypatch.setenv("DSR_SMTP_SENDER", SENDER)
    async with opened(intake, database, monkeypatch) as door:
        eve = door.visitor()
        await eve.open("/portal/de/ask/right")
        await eve.send(right="access")
        await eve.send(whom="other")
        assert eve.path == "/portal/de/for-somebody-else"
        assert (await eve.send()).status == 422
        await eve.send(why="child")
        assert (await eve.send(name="Ida", known_by="C-4711", wish="")).status == 422
        forged = "Ida\nRight: erasure\nAsked by: her guardian"
        assert "Schreiben Sie das in eine Zeile" in (await eve.send(name=forged, wish="A copy.")).text
        wish = "Bitte eine Kopie; ich bin die Mutter.\nFrom: ben@example.org"
        await eve.send(name="Ida", known_by="C-4711", wish=wish)
        assert (await eve.send(name="Eva Quarzfels", email=SENDER)).status == 422, "ours is no requester"
        assert (await eve.send(name="Eva\nBcc: all@example.org", email="eve@example.org")).status == 422
        await eve.send(name="Eva Quarzfels", email="eve@example.org")
        assert "Ida" in eve.text
        await eve.send()
        (reference,) = re.findall(r'class="reference">([0-9a-f-]{36})<', eve.html)
        assert "eve@example.org" in eve.text
        assert (await eve.open("/portal/de/for-somebody-else/check")).path.endswith("/sent"), "sent once"
        [listed] = (await door.intake.officer.get("/v1/mail")).json()["mails"]
        read = (await door.intake.officer.get(f"/v1/mail/{reference}")).raise_for_status().json()
        assert (listed["mail_id"], read["sender"]) == (reference, "eve@example.org")
        assert {"About: Ida", "Known to us by: C-4711", "Right: access"} <= set(read["text"].splitlines())
        assert [f"| {line}" for line in wish.splitlines()] == read["text"].splitlines()[-2:], "none reads as ours"
        assert (read["proposal"]["rights"], read["proposal"]["language"]) == (["access"], "de")
        assert (read["proposal"]["name"], read["proposal"]["email"]) == ("Ida", None), "it is not about who asks"
        assert await door.intake.types() == []


async def test_an_address_sends_so_many_requests_an_hour(
    intake: Intake, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(intake, database, monkeypatch, sendings_an_hour="1") as door:
        await asked(door.visitor())
        ada = door.visitor()
        with pytest.raises(AssertionError, match="Too many"):
            await asked(ada)
        assert ada.status == 429
