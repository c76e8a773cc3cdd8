"""The portal: asked page by page, proved by a link or a code, and followed; the same for known and unknown."""

import asyncio
import base64
import hashlib
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, cast
from uuid import UUID

import pytest
from starlette.responses import Response
from starlette.routing import Mount

from services.export.pieces import Piece
from services.intake.delivery import outcomes
from services.intake.identity.proof_links import ProofLinks
from services.intake.letters.letter_facts import LetterFacts
from services.intake.packages import unpacking
from services.intake.store import lookup
from services.portal.settings import PortalSettings
from services.web.guard import HEADERS
from shared.domain import reference as references
from shared.domain.languages import LANGUAGES
from shared.domain.operations import Operation, TaskOutcome, TaskReport
from shared.domain.release import Match, ReleaseRow
from shared.domain.rights import Right
from shared.storage import chunks
from tests.fixtures.handed_out import seal_package
from tests.fixtures.intake import Intake
from tests.fixtures.metrics import Count, metric
from tests.fixtures.packages import made_of, unpacked
from tests.fixtures.portal import Opened, Visitor, code_in, link_in, opened, waiting

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
    return str(await lookup.find_by_reference(visitor.pool, shown)) if visitor.pool else str(shown)


async def test_the_portal_promises_the_days_of_the_privacy_notice(door: Opened) -> None:
    visitor = door.visitor()
    for page in ("", "for-another"):
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
    assert (failed.added, await waiting(door)) == (1, [(reference, "wrong_codes")])
    await door.intake.count()
    assert metric("dsr_proofs_stopped", reason="wrong_codes") == 1
    assert "Please write to us" in (await ada.open("/portal/en/code")).text
    again = door.visitor()
    await (await again.open("/portal/en/follow")).send(reference=reference)
    newest = (await door.letters())[-1]
    assert "<strong>" not in newest["html"], "no letter tells a code that is not good"
    assert "is wrong" in (await again.send(code=code_in(letter))).text, "no code is good any more"
    assert (await door.intake.officer.get(f"/v1/requests/{reference}/timeline")).text.count("proof.stopped") == 1
    await (await again.open(link_in(newest))).send()
    assert (again.path, await waiting(door)) == ("/portal/en/request", []), "a link cannot be guessed"


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


async def test_api_refuses_the_identity_of_the_portal(door: Opened) -> None:
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
        assert answer.status_code == 403, "the form is not from our page"


WRONG: tuple[tuple[str, dict[str, str], str], ...] = (
    ("detail", {"field": "email", "asserted": "ada@new,example"}, "Write an e-mail address"),
    ("detail", {"field": "phone", "asserted": "12"}, "with the code of its country"),
    ("detail", {"field": "name", "asserted": "a" * 201}, "Write the name in one line"),
    ("contact", {"email": "no-address"}, "Write an e-mail address"),
    ("contact", {"email": ""}, "Write your e-mail address"),
    ("contact", {"email": EMAIL, "country": "XX"}, "Choose one"),
    ("details", {"number1": "12"}, "with the code of its country"),
    ("details", {"since2": "2021-01-01"}, "Write the number"),
    ("details", {"number1": "+4930901820", "since1": "31.3.2021"}, "as 2021-03-31"),
    ("details", {"number1": "+4930901820", "since1": "2021-03-31", "until1": "2021-03-30"}, "must not come before"),
)


async def test_error_is_shown_at_its_field_and_in_the_summary(door: Opened) -> None:
    ada = door.visitor()
    await ada.open("/portal/en/ask/right")
    await ada.send(right="rectification")
    for page, fields, error in WRONG:
        await ada.open(f"/portal/en/ask/{page}")
        await ada.send(**fields)
        assert ada.status == 422, error
        assert "<title>Error: " in ada.html, error
        assert ada.text.count(error) == 2, error
        field = re.findall(r'<li><a href="#([^"]+)"', ada.html)[0]
        assert f'id="{field}"' in ada.html, error


async def test_entered_text_is_escaped(door: Opened) -> None:
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


async def test_reference_is_looked_up_after_the_response(door: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
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
    mounts = [each for each in door.application.inner._app.routes if isinstance(each, Mount)]  # noqa: SLF001
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
    for language in LANGUAGES:
        visitor = door.visitor()
        for name in ("", "notice", "complain", "port-my-number", "for-another", "follow", "ask/right"):
            page = await visitor.open(f"/portal/{language}/{name}")
            assert (page.status, f'<html lang="{language}">' in page.html) == (200, True), (language, name)
            assert "support@cloudcontactpro.net" in page.text, (language, name)
    accepts = door.visitor(**{"Accept-Language": "es-MX,es;q=0.9"})
    assert (await accepts.open("/portal")).path == "/portal/es/"
    assert (await accepts.open("/portal/xx/")).status == 404


async def test_request_for_another_person_shows_how_to_write_to_us(door: Opened) -> None:
    eve = door.visitor()
    await eve.open("/portal/de/ask/right")
    await eve.send(right="access")
    await eve.send(whom="other")
    assert (eve.path, eve.status) == ("/portal/de/for-another", 200)
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


# Limits of letters with a link; no requester can exhaust those of another.
OTHERS = """
INSERT INTO proof_link (link_id, request_id, token_hash, code_hash, address, sent_at, code_until, expires_at, mailbox)
SELECT gen_random_uuid(), request_id, uuid_send(gen_random_uuid()), code_hash, address, sent_at, code_until,
       expires_at, mailbox FROM proof_link, generate_series(1, 29)
"""
"""As many letters to one mailbox as go there in an hour, but one."""
STRANGER, ADA = "198.51.100.7", "203.0.113.9"


async def again(door: Opened, reference: str, at: str) -> None:
    await (await door.visitor(at).open("/portal/en/follow")).send(reference=reference)


async def test_stranger_does_not_use_up_the_links_of_an_address(door: Opened) -> None:
    strangers = [await asked(door.visitor(STRANGER)) for _ in range(6)]
    assert len(await door.letters()) == 5, "so many first ones, by one who asks"
    for reference in strangers * 2:
        await again(door, reference, STRANGER)
    assert len(await door.letters()) == 10, "and so many others"
    ada = door.visitor(ADA)
    reference = await asked(ada)
    mine = (await door.letters())[10:]
    assert len(mine) == 1
    await (await ada.open(link_in(mine[0]))).send()
    assert (ada.path, references.of(UUID(reference)) in ada.text) == ("/portal/en/request", True)


async def test_addresses_of_one_mailbox_are_counted_as_one(door: Opened) -> None:
    for number in range(6):
        await asked(door.visitor(STRANGER), email=f"ada+{number}@example.org")
    assert len(await door.letters()) == 5


async def test_links_to_one_mailbox_are_limited_and_withheld_ones_are_manual(door: Opened) -> None:
    await asked(door.visitor(STRANGER))
    await door.intake.unit_of_work.pool.execute(OTHERS)
    reference = await asked(door.visitor(ADA))
    assert len(await door.letters()) == 1
    assert await waiting(door) == [(reference, "withheld")]
    await door.intake.count()
    assert metric("dsr_proofs_stopped", reason="withheld") == 1
    door.intake.clock.at += timedelta(hours=1, seconds=1)
    await again(door, reference, ADA)
    assert len(await door.letters()) == 2, "after the wait that the page names"
    assert await waiting(door) == []


# Sending in the portal, as people do it: twice, from two windows, after a long time, and once more.
SESSIONS = "SELECT count(*) FROM web_session"


async def at_the_check(visitor: Visitor, **details: str) -> None:
    """Answers every question but the last."""
    await visitor.open("/portal/en/ask/right")
    await visitor.send(right="access")
    await visitor.send(whom="me")
    await visitor.send(email="ada@example.org", country="DE")
    await visitor.send(**details)
    assert visitor.path == "/portal/en/ask/check", visitor.text


async def test_the_button_sends_what_its_page_has_shown_and_nothing_else(door: Opened) -> None:
    ada = door.visitor()
    await at_the_check(ada)
    window = Visitor(ada.client)
    await window.open("/portal/en/ask/right")
    await window.send(right="erasure")
    await ada.send()
    assert (ada.status, "changed since this page was shown" in ada.text) == (422, True)
    assert await door.intake.unit_of_work.pool.fetchval("SELECT count(*) FROM request") == 0
    assert "Erase my data" in ada.text
    await ada.send()
    assert ada.path == "/portal/en/sent"


async def test_second_submission_shows_the_first(door: Opened) -> None:
    ada = door.visitor()
    await at_the_check(ada)
    again = Visitor(ada.client, ada.path, ada.status, ada.html)
    await ada.send()
    for other in (await again.send(), await again.open("/portal/en/ask/check")):
        assert (other.path, "We have your request" in other.text) == ("/portal/en/sent", True)
    assert await door.intake.unit_of_work.pool.fetchval("SELECT count(*) FROM request") == 1


async def test_double_click_makes_one_request_and_one_mail(door: Opened) -> None:
    ada = door.visitor()
    await at_the_check(ada)
    again = Visitor(ada.client, ada.path, ada.status, ada.html)
    await asyncio.gather(ada.send(), again.send())
    assert await door.intake.unit_of_work.pool.fetchval("SELECT count(*) FROM request") == 1
    (letter,) = await door.letters()
    await (await ada.open("/portal/en/code")).send(code=code_in(letter))
    assert ada.path == "/portal/en/request"


@pytest.mark.parametrize("page", ["follow", "again"])
async def test_double_click_sends_one_link(door: Opened, page: str) -> None:
    ada = door.visitor()
    reference = await asked(ada)
    await ada.open("/portal/en/follow" if page == "follow" else "/portal/en/code")
    twin = Visitor(ada.client, ada.path, ada.status, ada.html)
    to, said = ("", {"reference": reference}) if page == "follow" else ("/portal/en/code/again", {})
    await asyncio.gather(*(each.send(to, **said) for each in (ada, twin)))
    _, letter = await door.letters()
    await (await ada.open("/portal/en/code")).send(code=code_in(letter))
    assert ada.path == "/portal/en/request"


async def test_invalid_day_is_shown_at_its_field(door: Opened) -> None:
    for since in ("20240101", "2024-W10", "2024-W10-1", "2090-01-01"):
        ada = door.visitor()
        with pytest.raises(AssertionError):
            await at_the_check(ada, number1="030 901820", since1=since)
        assert (ada.status, 'href="#since1"' in ada.html) == (422, True)


async def test_number_is_asked_again_when_its_country_changes(door: Opened) -> None:
    ada = door.visitor()
    await at_the_check(ada, number1="030 901820")
    await (await ada.open("/portal/en/ask/contact")).send(email="ada@example.org", country="")
    assert (ada.path, ada.status) == ("/portal/en/ask/details", 422)
    assert 'value="030 901820"' in ada.html
    await ada.send(number1="+49 30 901820")
    await ada.send()
    assert ada.path == "/portal/en/sent"


async def test_draft_and_typed_text_survive_a_long_pause(door: Opened) -> None:
    ada, ben = door.visitor(), door.visitor()
    await at_the_check(ada)
    door.intake.clock.at += timedelta(hours=20)
    await ada.send()
    assert ada.path == "/portal/en/sent"
    reference = await asked(ben)
    await (await ben.open(link_in((await door.letters())[-1]))).send()
    await door.intake.ask(f"/v1/requests/{reference}", "clarification")
    await ben.open("/portal/en/request/answer")
    door.intake.clock.at += timedelta(minutes=31)
    await ben.send(text="The account in Berlin, <i>not</i> the other.")
    assert (ben.status, "What you had written" in ben.text) == (403, True)
    assert "The account in Berlin, <i>not</i> the other." in ben.text
    assert 'href="/portal/en/follow"' in ben.html


async def test_an_answer_to_a_question_that_is_no_longer_open_is_given_back(door: Opened) -> None:
    ada, there = door.visitor(), "/portal/en/request/answer"
    reference = await asked(ada)
    await (await ada.open(link_in((await door.letters())[-1]))).send()
    await door.intake.ask(f"/v1/requests/{reference}", "clarification")
    first = (await ada.open(there)).html
    await ada.send(text="The account in Berlin.")
    ada.path, ada.html = there, first
    await ada.send(text="The account in Berlin.")
    assert (ada.path, ada.status) == ("/portal/en/request", 200), "a second click is no second answer"
    await door.intake.ask(f"/v1/requests/{reference}", "clarification")
    ada.path, ada.html = there, first
    await ada.send(text="No, Cologne.")
    assert (ada.status, "Our question has changed" in ada.text, "No, Cologne." in ada.text) == (412, True, True)
    assert (await door.intake.types()).count("question_answered") == 1


async def test_page_without_a_form_stores_no_session(door: Opened) -> None:
    ada, pool = door.visitor(), door.intake.unit_of_work.pool
    await ada.open("/portal/en/ask/right")
    await ada.client.head("/portal/en/ask/contact")
    assert await pool.fetchval(SESSIONS) == 0
    await ada.send(right="access")
    assert await pool.fetchval(SESSIONS) == 1


async def test_another_request_leaves_the_one_that_was_proved_open_in_this_session(door: Opened) -> None:
    ada = door.visitor()
    first = await asked(ada)
    await (await ada.open(link_in((await door.letters())[0]))).send()
    second = await asked(ada, email="ben@example.org")
    assert "See your request" not in ada.text, "it is not proved"
    await ada.open("/portal/en/request")
    assert [references.of(UUID(each)) in ada.text for each in (first, second)] == [True, False]


async def test_a_stale_page_says_what_was_not_done(door: Opened) -> None:
    ada = door.visitor()
    reference = await asked(ada)
    await (await ada.open(link_in((await door.letters())[0]))).send()
    await ada.open("/portal/en/request/withdraw")
    stale = Visitor(ada.client, ada.path, ada.status, ada.html)
    assert (await ada.send(version="9" * 5000)).status == 400
    await door.intake.complete(f"/v1/requests/{reference}", tasks=(EXPORTED,))
    assert "could not be withdrawn any more" in (await stale.send()).text
    await ada.open("/portal/en/request")
    assert "contact data 7" in ada.text.replace("Kind of data ", "").replace("Records ", "")


async def packed(door: Opened, ada: Visitor) -> str:
    """The reference of a request of hers that is answered with a package, and that she follows."""
    intake, reference = door.intake, await asked(ada)
    await (await ada.open(link_in((await door.letters())[0]))).send()
    async with intake.unit_of_work.begin() as tx:
        subject = await tx.connection.fetchval("SELECT subject_ref FROM request WHERE request_id = $1", UUID(reference))
        row = ReleaseRow("ticket", [Match("email", "ada@example.org")])
        package_id = await seal_package(tx, subject, b"everything", row)
    await intake.complete(f"/v1/requests/{reference}", operation=Operation.EXPORT, package_id=package_id)
    return reference


async def package_link(ada: Visitor) -> str:
    """The link of a tab in which she opens the page of her request."""
    await ada.open("/portal/en/request")
    (link,) = re.findall(r'href="([^"]+/package\?link=[^"]+)"', ada.html)
    return str(link)


async def downloads(intake: Intake, reference: str) -> int:
    return (await intake.officer.get(f"/v1/requests/{reference}/timeline")).text.count("package.downloaded")


async def test_link_of_one_tab_ends_no_other_and_each_is_counted_once(door: Opened) -> None:
    ada, intake = door.visitor(), door.intake
    reference = await packed(door, ada)
    first, second = await package_link(ada), await package_link(ada)
    for link in (second, first):
        assert (await ada.client.get(link)).content == b"everything"
    for link in (first, second):
        assert (await ada.client.get(link)).status_code == 303
    assert await downloads(intake, reference) == 2, "each is counted once"
    other = await package_link(ada)
    assert (await ada.client.get(f"{other}x")).status_code == 303
    eve = await door.visitor().open("/portal/en/request")
    assert (await eve.client.get(other)).status_code == 403
    assert await downloads(intake, reference) == 2
    assert (await ada.client.get(other)).content == b"everything"


async def test_withdrawal_on_a_stale_page_is_refused(door: Opened) -> None:
    ada = door.visitor()
    reference = await asked(ada)
    await (await ada.open(link_in((await door.letters())[0]))).send()
    await ada.open("/portal/en/request/withdraw")
    await door.intake.ask(f"/v1/requests/{reference}", "clarification")
    assert "has changed meanwhile" in (await ada.send()).text
    assert (await door.intake.officer.get(f"/v1/requests/{reference}")).json()["outcome"] is None


async def test_session_shows_only_the_request_that_it_proved(door: Opened) -> None:
    ada, ben = door.visitor(), door.visitor()
    mine = references.of(UUID(await asked(ada)))
    theirs = references.of(UUID(await asked(ben, email="ben@example.org")))
    await (await ada.open(link_in((await door.letters())[0]))).send()
    for path in ("request", "request/letters", "request/withdraw"):
        page = await ada.open(f"/portal/en/{path}")
        assert theirs not in page.html, path
        assert "ben@example.org" not in page.html, path
        assert (await ben.open(f"/portal/en/{path}")).status == 403, path
    assert mine in (await ada.open("/portal/en/request")).html


async def test_portal_requester_with_a_proved_address_is_notified_of_news(door: Opened) -> None:
    visitor = door.visitor()
    path = f"/v1/requests/{await asked(visitor, language='de')}"
    assert await door.letters("portal_news") == [], "the page has said it"
    await visitor.open(link_in((await door.letters())[0]))
    await visitor.send()
    await door.intake.complete(path, tasks=(EXPORTED,))
    [news] = await door.letters("portal_news")
    assert (news["to"], news["language"]) == ([EMAIL], "de")
    assert "/portal/de/follow" in news["html"]
    assert "crm" not in news["html"]
    waits = "SELECT state FROM delivery WHERE kind = 'portal_news'"
    assert await door.intake.unit_of_work.pool.fetchval(waits) == "waiting"
    await visitor.open("/portal/de/request/letters")
    assert "etwas Neues" not in visitor.text
    back = door.visitor()
    await (await back.open("/portal/de/follow")).send(reference=path.rpartition("/")[2])
    first, again = await door.letters()
    assert "dieser Antrag von Ihnen ist" in first["subject"]
    assert "dieser Antrag von Ihnen verfolgt" in again["subject"], "it is answered, and not to be confirmed any more"
    await back.open(link_in(again))
    assert ("Dann beginnen wir" in back.text, "wie es um diesen Antrag steht" in back.text) == (False, True)


async def test_unannounced_answer_is_not_given_and_needs_review(door: Opened) -> None:
    ada, intake = door.visitor(), door.intake
    path = f"/v1/requests/{await asked(ada)}"
    await (await ada.open(link_in((await door.letters())[0]))).send()
    await intake.complete(path, tasks=(EXPORTED,))
    responded = "SELECT responded_at FROM request"
    assert await intake.unit_of_work.pool.fetchval(responded) == intake.clock.now(), "it can be read"
    news = await intake.unit_of_work.pool.fetchval("SELECT letter_id FROM delivery WHERE kind = 'portal_news'")
    async with intake.unit_of_work.begin() as tx:
        await outcomes.record_failed(tx, LetterFacts(), news, "refused")
    assert await intake.unit_of_work.pool.fetchval(responded) is None
    assert (await intake.types())[-2:] == ["closed", "letter_returned"]
    tasks = (await door.officer.get("/v1/letters")).json()["data"]
    [task] = [each for each in tasks if each["state"] == "needs_attention"]
    assert (task["kind"], task["fault"]) == ("portal_news", "refused")
    (await door.officer.post(f"/v1/letters/{news}/actions/deliver", json={"way": "email"})).raise_for_status()
    intake.clock.at += timedelta(days=2)
    async with intake.unit_of_work.begin() as tx:
        await outcomes.record_sent(tx, LetterFacts(), news)
    assert await intake.unit_of_work.pool.fetchval(responded) == intake.clock.now()
    assert (await intake.types())[-1] == "closed"


async def test_report_is_read_and_counted_once_a_day(door: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    for each in (chunks, unpacking):
        monkeypatch.setattr(each, "CHUNK", 4096)
    ada, intake = door.visitor(), door.intake
    reference = await asked(ada)
    await (await ada.open(link_in((await door.letters())[0]))).send()
    notes = [hashlib.sha256(bytes([each])).hexdigest() * 4 for each in range(99)]
    pieces = [Piece("helpdesk", "ticket", f"ticket/{place}", {"note": note}) for place, note in enumerate(notes)]
    package = await made_of(pieces, Right.ACCESS, intake.clock.now())
    async with intake.unit_of_work.begin() as tx:
        subject = await tx.connection.fetchval("SELECT subject_ref FROM request WHERE request_id = $1", UUID(reference))
        package_id = await seal_package(tx, subject, package, ReleaseRow("ticket", [Match("email", EMAIL)]))
    assert (await ada.client.get("/portal/en/request/report")).status_code == 409, "it is still made"
    path = f"/v1/requests/{reference}"
    await intake.complete(path, operation=Operation.EXPORT, package_id=package_id)
    assert "/portal/en/request/report" in (await ada.open("/portal/en/request")).html
    for later, counted in ((timedelta(), 1), (timedelta(hours=23), 1), (timedelta(hours=2), 2)):
        intake.clock.at += later
        await (await ada.open("/portal/en/follow")).send(reference=reference)
        await (await ada.open(link_in((await door.letters())[-1]))).send(answer="mine")
        assert (await ada.client.get("/portal/en/request/report")).content == unpacked(package)["report.html"]
        timeline = await intake.officer.get(f"{path}/timeline")
        assert timeline.text.count("package.read") == counted
    page = await ada.client.get("/portal/en/request/report")
    assert page.headers["Cache-Control"] == "no-store"
    (style,) = re.findall(r"<style>(.*?)</style>", page.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert page.headers["Content-Security-Policy"].split("; ")[-1] == f"style-src 'sha256-{digest}'"
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'; ")
    for fetched in (5, 2):
        await intake.unit_of_work.pool.execute("UPDATE package SET downloads = $1", fetched)
        shown = await ada.open("/portal/en/request")
        assert ("as often as it can be" in shown.text, "/request/report" in shown.html) == (fetched == 5, fetched == 2)
    before = len(await door.letters("portal_news"))
    await intake.officer.post(f"{path}/actions/revoke-proof", json={"identity": "email"})
    assert (await ada.client.get("/portal/en/request/report")).status_code == 409, "its proof is in doubt"
    assert len(await door.letters("portal_news")) == before + 1, "the requester is notified that it is withheld"
    downloads = "SELECT downloads FROM package WHERE request_id = $1"
    assert await intake.unit_of_work.pool.fetchval(downloads, UUID(reference)) == 2, "as a download does"
    assert (await door.visitor().client.get("/portal/en/request/report")).status_code == 403


# A question counts as asked once it can be read: what cannot be known of stops no clock, and no link answers it.
WORDS = "Which of the two offices have you written from?"
DOUBTED = {"question": "identity", "text": WORDS, "condition_recorded": True}


async def test_question_to_an_unproved_address_waits_and_the_link_only_shows_it(door: Opened) -> None:
    ada, intake = door.visitor(), door.intake
    path = f"/v1/requests/{await asked(ada)}"
    (await intake.officer.post(f"{path}/actions/ask", json=DOUBTED)).raise_for_status()
    assert "question_sent" not in await intake.types(), "it cannot be known"
    assert "does not count as asked" in (await intake.officer.get(path)).json()["blocked_by"][0]["message"]
    assert await door.letters("portal_news") == []
    intake.clock.pass_by(days=2)
    (letter,) = await door.letters()
    await (await ada.open(link_in(letter))).send()
    assert (ada.path, WORDS in ada.text) == ("/portal/en/request", True)
    types = await intake.types()
    assert (types.count("question_sent"), "question_answered" in types, "verified" in types) == (1, False, True)
    [sent] = [each for each in await intake.published() if "question_sent" in each["type"]]
    assert sent["asked_at"].startswith(intake.clock.now().date().isoformat()), "and from then on"
    assert (sent["question"], sent["condition_recorded"]) == ("clarification", False), "work goes on meanwhile"
    await ada.open("/portal/en/request")
    await (await ada.open("/portal/en/request/answer")).send(text="The one in Cologne.")
    assert ada.path == "/portal/en/request"
    types = await intake.types()
    assert (types.count("question_sent"), types.count("question_answered")) == (1, 1)
    assert WORDS not in (await ada.open("/portal/en/request")).text
