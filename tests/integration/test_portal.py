"""The portal: asked page by page, proved by a link or a code, and followed; the same for known and unknown."""

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, cast
from uuid import UUID

import pytest
from starlette.responses import Response
from starlette.routing import Mount

from services.intake import lookup
from services.intake.identity.proof_links import ProofLinks
from services.intake.portal.settings import PortalSettings
from services.intake.web.guard import HEADERS
from shared.domain import reference as references
from shared.domain.operations import Operation, TaskOutcome, TaskReport
from tests.fixtures.intake import Intake
from tests.fixtures.portal import Opened, Visitor, code_in, link_in, opened
from tests.fixtures.told import Count

EMAIL = "ada@example.org"
EXPORTED = TaskReport.model_validate(
    {
        "task_id": "019c0000-0000-7000-8000-000000000001",
        "system": "crm",
        "operation": Operation.EXPORT,
        "outcome": TaskOutcome.EXPORTED,
        "found": 7,
        "by_category": {"contact": 7},
    }
)


@pytest.fixture
async def door(intake: Intake, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Opened]:
    async with opened(intake, monkeypatch) as door:
        yield door


async def asked(visitor: Visitor, language: str = "en", email: str = EMAIL, account: str = "") -> str:
    """Asks for a copy, page by page; returns the id of the request, whose reference the last page shows."""
    await visitor.open(f"/portal/{language}/")
    await visitor.open(f"/portal/{language}/ask/right")
    await visitor.send(right="access")
    await visitor.send(whom="me")
    await visitor.send(email=email, name="Ada Quarzfels", country="DE")
    await visitor.send(account=account, number1="030 901820", since1="2021-03-31")
    assert visitor.path == f"/portal/{language}/ask/check"
    await visitor.send()
    assert visitor.path == f"/portal/{language}/sent", visitor.text
    (shown,) = re.findall(r'class="reference">(CCP-[0-9A-Z-]{9})<', visitor.html)
    return str(await lookup.named(visitor.pool, shown)) if visitor.pool else str(shown)


async def test_a_right_is_asked_for_page_by_page_proved_by_the_link_and_followed(door: Opened) -> None:
    ada = door.visitor()
    reference = await asked(ada, "de")
    assert "Wir antworten bis zum" in ada.text
    (letter,) = await door.letters()
    assert letter["to"] == [EMAIL]
    assert letter["language"] == "de"
    other_device = door.visitor()
    await other_device.open(link_in(letter))
    await other_device.open(link_in(letter))  # a mail scanner looks too
    await other_device.send()
    assert (other_device.path, other_device.status) == ("/portal/de/request", 200)
    assert references.of(UUID(reference)) in other_device.text
    assert await door.intake.types() == ["received", "verified"]
    await door.intake.complete(f"/v1/requests/{reference}", tasks=(EXPORTED,))
    await other_device.open("/portal/en/request")
    assert "contact data 7" in other_device.text.replace("Kind of data ", "").replace("Records ", "")
    await other_device.open("/portal/en/request/letters")
    assert (
        "We have received your request" in other_device.text or "Wir haben Ihren Antrag erhalten" in other_device.text
    )
    assert code_in(letter) not in other_device.html


async def test_the_portal_promises_the_days_of_the_privacy_notice(door: Opened) -> None:
    visitor = door.visitor()
    for page in ("", "for-somebody-else"):
        await visitor.open(f"/portal/en/{page}")
        assert "We answer within 30 days" in visitor.text


async def test_a_link_is_good_once_and_for_its_time(door: Opened) -> None:
    await asked(door.visitor())
    (letter,) = await door.letters()
    first, second = door.visitor(), await door.visitor().open(link_in(letter))
    await (await first.open(link_in(letter))).send()
    await second.send()
    assert first.path == "/portal/en/request"
    assert "not good any more" in second.text
    await first.send("/portal/en/sign-out", where="everywhere")
    assert (await first.open("/portal/en/request")).status == 403
    await asked(door.visitor(), email="ben@example.org")
    late = (await door.letters())[-1]
    door.intake.clock.at += timedelta(hours=72, seconds=1)
    assert "not good any more" in (await door.visitor().open(link_in(late))).text


async def test_five_wrong_codes_of_a_request_end_its_codes_and_are_on_record(door: Opened) -> None:
    ada = door.visitor()
    reference = await asked(ada)
    (letter,) = await door.letters()
    wrong = "0000 0000" if code_in(letter) != "0000 0000" else "1111 1111"
    await ada.open("/portal/en/code")
    failed = Count("dsr_requests_total", right="access", event="identity_failed")
    for _ in range(5):
        await ada.send(code=wrong)
    assert failed.added == 1
    assert "Please write to us" in (await ada.open("/portal/en/code")).text
    again = door.visitor()
    await (await again.open("/portal/en/follow")).send(reference=reference)
    newest = (await door.letters())[-1]
    assert "is wrong" in (await again.send(code=code_in(letter))).text, "no code is good any more"
    assert (await door.intake.officer.get(f"/v1/requests/{reference}/timeline")).text.count("proof.stopped") == 1
    await (await again.open(link_in(newest))).send()
    assert again.path == "/portal/en/request", "a link cannot be guessed"


async def test_a_code_is_good_in_the_browser_that_asked_and_for_its_minutes(door: Opened) -> None:
    ada, eve = door.visitor(), door.visitor()
    reference = await asked(ada)
    (letter,) = await door.letters()
    await (await eve.open("/portal/en/follow")).send(reference="019c0000-0000-7000-8000-000000000009")
    assert "is wrong" in (await eve.send(code=code_in(letter))).text
    await (await ada.open("/portal/en/code")).send(code=code_in(letter).replace(" ", "-"))
    assert (ada.path, references.of(UUID(reference)) in ada.text) == ("/portal/en/request", True)
    late = door.visitor()
    await asked(late, email="ben@example.org")
    code = code_in((await door.letters())[-1])
    door.intake.clock.at += timedelta(minutes=15, seconds=1)
    assert "is wrong" in (await (await late.open("/portal/en/code")).send(code=code)).text


async def test_before_proof_every_page_says_the_same_of_a_request_that_exists_and_of_none(door: Opened) -> None:
    reference = await asked(door.visitor())
    seen = []
    for each in (reference, "019c0000-0000-7000-8000-000000000009"):
        visitor = door.visitor()
        pages = [await visitor.open("/portal/en/follow"), await visitor.send(reference=each)]
        pages.append(await visitor.send(code="12345678"))
        pages.append(await visitor.send("/portal/en/code/again"))
        seen.append([(page.status, re.sub(r'value="([0-9a-f]{64}|[\w-]{22})"', "", page.html)) for page in pages])
    assert seen[0] == seen[1]
    assert len(await door.letters()) == 3, "and who is reached by it gets a letter each time"


async def test_to_one_address_go_so_many_links_an_hour(door: Opened) -> None:
    reference = await asked(door.visitor())
    for _ in range(6):
        visitor = door.visitor()
        await (await visitor.open("/portal/en/follow")).send(reference=reference)
        assert visitor.path == "/portal/en/code"
    assert len(await door.letters()) == 5


async def test_the_portal_calls_by_no_key_that_the_api_accepts(door: Opened) -> None:
    reference = await asked(door.visitor())
    pool = door.intake.unit_of_work.pool
    assert await pool.fetchval("SELECT key_id FROM request") == "portal"
    assert await pool.fetchval("SELECT count(*) FROM api_key WHERE key_id = 'portal'") == 0
    assert (
        await pool.fetchval("SELECT DISTINCT actor FROM evidence.entry WHERE action = 'request.received'") == "portal"
    )
    bearer = {"Authorization": "Bearer portal"}
    assert (await door.intake.channel.get(f"/v1/requests/{reference}", headers=bearer)).status_code == 401
    assert not [name for name, field in PortalSettings.model_fields.items() if "Secret" in str(field.annotation)]


async def test_a_request_of_another_channel_is_not_followed(door: Opened) -> None:
    path = await door.intake.submit(assurance=None, proofs=[])
    visitor = door.visitor()
    await (await visitor.open("/portal/en/follow")).send(reference=path.rpartition("/")[2])
    assert await door.letters() == []


async def test_the_same_form_sent_twice_is_one_request(door: Opened) -> None:
    ada = door.visitor()
    await asked(ada)
    before = await door.intake.unit_of_work.pool.fetchval("SELECT count(*) FROM request")
    await ada.open("/portal/en/ask/check")
    assert ada.path == "/portal/en/sent", "nothing is left to send"
    assert await door.intake.unit_of_work.pool.fetchval("SELECT count(*) FROM request") == before == 1


async def test_a_form_without_the_token_of_its_session_does_nothing(door: Opened) -> None:
    ada, eve = door.visitor(), door.visitor()
    await ada.open("/portal/en/ask/right")
    answer = await eve.client.post("/portal/en/ask/right", data={"right": "access"})
    assert (answer.status_code, "open for too long" in answer.text) == (403, True)
    await eve.open("/portal/en/ask/right")
    foreign = re.findall(r'name="csrf" value="([0-9a-f]{64})"', ada.html)[0]
    answer = await eve.client.post("/portal/en/ask/right", data={"right": "access", "csrf": foreign})
    assert answer.status_code == 403
    for origin in ("https://elsewhere.example", "http://["):
        answer = await ada.client.post("/portal/en/ask/right", data={"right": "access"}, headers={"Origin": origin})
        assert answer.status_code == 403, "it is no page of ours that has sent it"


WRONG: tuple[tuple[str, dict[str, str], str], ...] = (
    ("contact", {"email": "nobody"}, "Write an e-mail address"),
    ("contact", {"email": ""}, "Write your e-mail address"),
    ("contact", {"email": EMAIL, "country": "XX"}, "Choose one"),
    ("details", {"number1": "12"}, "with the code of its country"),
    ("details", {"since2": "2021-01-01"}, "Write the number"),
    ("details", {"number1": "+4930901820", "since1": "31.3.2021"}, "as 2021-03-31"),
    ("details", {"number1": "+4930901820", "since1": "2021-03-31", "until1": "2021-03-30"}, "must not come before"),
)


async def test_what_is_wrong_stands_at_its_field_and_in_the_summary(door: Opened) -> None:
    ada = door.visitor()
    for page, fields, error in WRONG:
        await ada.open(f"/portal/en/ask/{page}")
        await ada.send(**fields)
        assert ada.status == 422, error
        assert "<title>Error: " in ada.html, error
        assert ada.text.count(error) == 2, error
        field = re.findall(r'<li><a href="#([^"]+)"', ada.html)[0]
        assert f'id="{field}"' in ada.html, error


async def test_what_somebody_writes_is_shown_as_text(door: Opened) -> None:
    ada = door.visitor()
    await ada.open("/portal/en/ask/right")
    await ada.send(right="rectification")
    await ada.send(field="name", asserted="<script>alert(1)</script>{{ 7 * 7 }}", contested="yes")
    await ada.send(whom="me")
    await ada.send(email=EMAIL, name="<b>Ada</b>")
    await ada.send(account="")
    assert ada.path == "/portal/en/ask/check"
    assert "<script>alert(1)</script>{{ 7 * 7 }}" in ada.text.replace("→", " ")
    assert "<script" not in ada.html
    assert "<b>Ada" not in ada.html


async def test_nothing_is_looked_up_before_the_answer_is_on_its_way(
    door: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference, asks = await asked(door.visitor()), list[str]()
    visitor = door.visitor()
    await visitor.open("/portal/en/follow")
    sent = Response.__call__

    async def answering(self: Response, *args: Any) -> None:
        asks.append("answered" if self.background else "")
        await sent(self, *args)

    async def looking(self: ProofLinks, *args: Any) -> None:
        asks.append("looked")
        await send(self, *args)

    send = ProofLinks.send
    monkeypatch.setattr(Response, "__call__", answering)
    monkeypatch.setattr(ProofLinks, "send", looking)
    await visitor.send(reference=reference)
    assert [each for each in asks if each] == ["answered", "looked"]


async def test_every_page_carries_the_headers(door: Opened) -> None:
    mounts = [each for each in door.application._app.routes if isinstance(each, Mount)]  # noqa: SLF001
    (site,) = [cast("Any", each.app) for each in mounts if each.path == "/portal"]
    paths = ["", "/de/static/site.css", *(each.path for each in site.app.routes)]
    assert len(paths) >= 20
    visitor = door.visitor()
    for path in paths:
        filled = path.replace("{language}", "de").replace("{token}", "x" * 22)
        for answer in (await visitor.client.get(f"/portal{filled}"), await visitor.client.post(f"/portal{filled}")):
            assert {name: answer.headers.get(name) for name in HEADERS} == dict(HEADERS), path
            assert path == "/static" or answer.headers["Cache-Control"] == "no-store", path
            for cookie in answer.headers.get_list("set-cookie"):
                assert cookie.startswith("__Host-dsr-portal="), path
                assert {"HttpOnly", "Path=/", "Secure"} <= set(cookie.split("; ")), path


async def test_every_page_is_there_in_every_language(door: Opened) -> None:
    for language in ("en", "de", "fr", "es"):
        visitor = door.visitor()
        for name in ("", "notice", "complain", "port-my-number", "for-somebody-else", "follow", "ask/right"):
            page = await visitor.open(f"/portal/{language}/{name}")
            assert (page.status, f'<html lang="{language}">' in page.html) == (200, True), (language, name)
            assert "support@cloudcontactpro.net" in page.text, (language, name)
    accepts = door.visitor(**{"Accept-Language": "es-MX,es;q=0.9"})
    assert (await accepts.open("/portal")).path == "/portal/es/"
    assert (await accepts.open("/portal/it/")).status == 404


async def test_whoever_asks_for_another_is_told_how_to_write_to_us_and_nobody_is_searched(door: Opened) -> None:
    eve = door.visitor()
    await eve.open("/portal/de/ask/right")
    await eve.send(right="access")
    await eve.send(whom="other")
    assert (eve.path, eve.status) == ("/portal/de/for-somebody-else", 200)
    assert all(each in eve.text for each in ("eine Vollmacht", "keine Ausweiskopien", "support@cloudcontactpro.net"))
    assert "<form" not in eve.html
    assert await door.intake.types() == []


async def test_an_address_sends_so_many_requests_an_hour(intake: Intake, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(intake, monkeypatch, sendings_an_hour="1") as door:
        await asked(door.visitor())
        ada = door.visitor()
        with pytest.raises(AssertionError, match="Too many"):
            await asked(ada)
        assert ada.status == 429
