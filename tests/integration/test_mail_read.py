"""Mail that comes to our mailbox: each is read once, proposed to a person, and proves nothing."""

import asyncio
import io
import re
import zipfile
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime
from email.message import EmailMessage
from html import unescape
from typing import Any
from urllib.parse import quote
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from services.correspondence.mail import parser_process
from services.correspondence.mail.incoming import read
from services.correspondence.mail.reading import ImapConnection, MailboxReader, run, store
from services.correspondence.settings import SmtpSettings
from services.intake.letters import sealed_letters
from services.intake.letters.sealed_letters import MASK
from shared.app.service import Running
from shared.domain import notices as tokens
from shared.domain.mail_content import Incoming, OurMail
from shared.domain.topics import ServiceName
from shared.messaging.unit_of_work import UnitOfWorkFactory
from shared.runtime.liveness import Heartbeats
from shared.runtime.settings import Settings
from shared.storage.postgres import connect_pool
from tests.fixtures import letters_sent
from tests.fixtures.console import OpenedConsole, opened_console
from tests.fixtures.databases import in_process
from tests.fixtures.engine import TRACING
from tests.fixtures.intake import Intake, id_of, reference_of
from tests.fixtures.letters_sent import send
from tests.fixtures.mail_server import SENDER, Taken, mail_server
from tests.fixtures.mailbox_server import MailboxServer, mailbox_server
from tests.fixtures.metrics import Count, metric
from tests.fixtures.portal import Opened, code_in, link_in, opened
from tests.integration.test_portal import asked

ARRIVED = datetime(2026, 3, 2, 8, 30, tzinfo=UTC)
MAIL = """\
Received: from imap.example.org by imap.example.org with LMTP; Mon, 02 Mar 2026 08:20:00 +0000
Received: from mx-of-ada.example ([192.0.2.1]) by mx.example.org with ESMTPS; Sat, 28 Feb 2026 23:59:00 +0100
Received: from laptop by mx.example.org; Thu, 01 Jan 2026 00:00:00 +0000
From: Ada Quarzfels <ada@mail.example>
To: {to}
Date: Mon, 02 Mar 2026 08:19:00 +0000
Subject: {subject}
Message-ID: <{id}@mail.example>
{more}Content-Type: text/plain; charset=utf-8

{text}
"""
ASKS = "Guten Tag, ich bitte um Auskunft über meine Daten. Meine Kundennummer ist C-4711. Mit freundlichen Grüßen, Ada"


def ours(intake: Intake) -> OurMail:
    secret = intake.unit_of_work.vault.keyring.lookup
    return OurMail(secret, frozenset({SENDER}), frozenset({"mx.example.org"}))


def mail(
    text: str = ASKS, to: str = "support@example.org", name: str = "1", subject: str = "Datenschutz", more: str = ""
) -> bytes:
    return MAIL.format(text=text, to=to, id=name, subject=subject, more=more).replace("\n", "\r\n").encode()


async def take(intake: Intake, raw: bytes) -> str | None:
    async with intake.correspondence.unit_of_work.begin() as tx:
        await store(tx, raw, read(raw, ARRIVED, ours(intake)))
    [taken] = await intake.correspondence.report()
    return taken


async def waiting(intake: Intake, state: str = "proposed") -> list[dict[str, Any]]:
    await intake.correspondence.report()
    answer = await intake.officer.get("/v1/mail")
    return [each for each in answer.raise_for_status().json()["data"] if each["state"] == state]


MX = "mx.example.org; dkim=pass header.d=mail.example; dmarc=pass"


async def test_mail_is_proposed_with_its_arrival_day_and_confirmed_as_a_request(
    intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Count("dsr_mail_read_total", kind="proposed")
    assert await take(intake, mail(more=f"Authentication-Results: {MX}\n")) == "proposed"
    assert before.added == 1
    monkeypatch.setattr(parser_process, "_COMMAND", ("false",))
    [listed] = await waiting(intake)
    path = f"/v1/mail/{listed['mail_id']}"
    content = listed["content"]
    assert (listed["received_at"], listed["by_mx"]) == ("2026-02-28T22:59:00+00:00", True)
    assert (content["sender"], content["subject"]) == (f"a{MASK}@mail.example", "Datenschutz")
    assert (content["language"], content["authenticated"]) == ("de", True)
    assert (content["proposal"]["rights"], content["proposal"]["email"]) == (["access"], None)
    shown = (await intake.officer.get(path)).raise_for_status().json()["content"]
    assert (shown["checks"], shown["authenticated"]) == ({"dkim": "pass", "dmarc": "pass"}, True)
    assert shown["proposal"] == {
        "rights": ["access"],
        "mentioned": [],
        "no_subject": None,
        "email": "ada@mail.example",
        "name": "Ada Quarzfels",
        "account_id": "C-4711",
        "phones": [],
        "urgent": [],
    }
    subject = {"email": "ada@mail.example", "account_id": "C-4711", "country": "DE"}
    asked = {"rights": ["access"], "language": "de", "subject": subject}
    proof = {"assurance": {"level": "L1", "method": "account"}}
    refused = await intake.officer.post(f"{path}/actions/confirm", json=asked | proof)
    assert (refused.status_code, "assurance" in refused.text) == (422, True), "a mail proves nothing"
    confirmed = await intake.officer.post(f"{path}/actions/confirm", json=asked)
    assert confirmed.status_code == 200, confirmed.text
    [request] = confirmed.json()["requests"]
    stored = (await intake.officer.get(f"/v1/requests/{request}")).json()
    assert stored["state"] == "awaiting_identity"
    assert stored["received_at"] == "2026-02-28T22:59:00+00:00"
    assert await waiting(intake) == []
    assert (await intake.officer.post(f"{path}/actions/confirm", json=asked)).status_code == 409
    async with mail_server() as server:
        assert await send(intake, server) == 1
        [taken] = server.taken
    assert (taken.to, taken.mail["In-Reply-To"]) == ("ada@mail.example", "<1@mail.example>")
    assert (await said(intake, listed))["subject"] == "Datenschutz", "it lies with the correspondence"
    looks = await intake.unit_of_work.pool.fetchval("SELECT count(*) FROM evidence.entry WHERE action = 'mail.read'")
    assert looks == 2, "each look is on record"


async def test_a_mail_is_one_however_often_and_at_which_address_it_is_read(intake: Intake) -> None:
    assert await take(intake, mail()) == "proposed"
    assert await take(intake, mail()) is None
    copy = mail().replace(b"imap.example.org with LMTP", b"other.example.org with LMTP")
    assert await take(intake, b"Delivered-To: privacy@example.org\r\n" + copy) is None
    assert await take(intake, mail(text="Something else.")) == "proposed"
    nameless = mail().replace(b"Message-ID: <1@mail.example>\r\n", b"")
    assert await take(intake, nameless) == "proposed"
    assert await take(intake, nameless.replace(b"Auskunft", b"Einsicht")) == "proposed"


async def test_of_what_is_no_request_nothing_is_kept_but_that_and_who_has_said_so(intake: Intake) -> None:
    await take(intake, mail())
    [listed] = await waiting(intake)
    path = f"/v1/mail/{listed['mail_id']}"
    assert (await intake.officer.post(f"{path}/actions/dismiss", json={"reason": "advertising"})).status_code == 200
    assert (await intake.officer.get(path)).status_code == 410
    sealed = "SELECT count(*) FROM vault.sealed WHERE subject_ref = $1"
    assert await intake.unit_of_work.pool.fetchval(sealed, UUID(listed["mail_id"])) == 0
    [kept] = await intake.unit_of_work.pool.fetch("SELECT state, reason, decided_by FROM mail")
    assert [*kept[:2]] == ["dismissed", "advertising"]
    assert kept[2].startswith("key:")
    assert await take(intake, mail()) is None, "and it is not read again"


async def test_automatic_mail_waits_for_a_person_and_a_bounce_does_not(intake: Intake) -> None:
    assert await take(intake, mail(more="Auto-Submitted: auto-replied\nReturn-Path: <>\n")) == "proposed"
    token = tokens.token(intake.unit_of_work.vault.keyring.lookup, uuid7())
    back = mail(name="2").replace(b"<2@mail.example>", f"<{token}@example.org>".encode())
    assert await take(intake, back.replace(b"ada@mail.example", SENDER.encode())) == "ours"
    assert len(await waiting(intake)) == 1
    await intake.count()
    assert metric("dsr_mail_waiting", state="proposed") == 1
    assert metric("dsr_mail_wait_seconds") == 0


def with_all(text: str) -> bytes:
    """A mail with a page, a file, and another mail that has one in it."""
    written, inner, innermost = (EmailMessage() for _ in range(3))
    for each, subject in ((written, "C-1"), (inner, "Inner"), (innermost, "Innermost")):
        each["From"], each["Subject"] = "Ada <ada@mail.example>", subject
        each.set_content(text if each is written else f"Delete my data: {subject}.")
    written.add_alternative(f"<p>{text}</p><p style='display:none'>Unseen</p><p>Another</p>", subtype="html")
    written.add_attachment(b"%PDF-1.7\n", maintype="image", subtype="png", filename="../a\u202egnp.fdp")
    written.add_attachment("Noted", filename="notes.txt")
    inner.add_attachment(innermost)
    written.add_attachment(inner)
    return written.as_bytes()


async def test_page_of_a_mail_shows_every_part_and_no_data_subject_of_what_is_forwarded(console: OpenedConsole) -> None:
    hanna, intake = await console.member("hanna"), console.intake
    await take(intake, with_all("Please see what he wrote, he threatens me: I go to the police."))
    await hanna.open("/console/mail")
    [row] = re.findall(r'<tr><th scope="row".*?</tr>', hanna.html, re.DOTALL)
    cells = [unescape(re.sub(r"<[^>]+>", "", each)) for each in re.findall(r"<t[hd].*?</t[hd]>", row, re.DOTALL)]
    assert [*cells[:2], *cells[3:]] == ["C-1", f"a{MASK}@mail.example", "–", "English", "no", "police, threatens", "–"]
    await hanna.open(unescape(re.findall(r'href="(/console/mail/[^"]+)"', row)[0]))
    for shown in (
        "Please see what he wrote",
        "The same as a page",
        "[not visible] Unseen",
        "Another",
        "agnp.fdp (application/pdf, 9 bytes)",
        "File: notes.txt",
        "Noted",
        "Forwarded mail: Inner",
        "Delete my data: Inner.",
        "Forwarded mail: Innermost",
        "It passes on what another person has written",
    ):
        assert shown in hanna.text, shown
    await hanna.open(f"{hanna.path}/confirm")
    assert "checked" not in hanna.html
    assert 'value="ada@mail.example"' not in hanna.html


async def test_number_stays_as_it_is_written_and_its_country_is_asked(console: OpenedConsole) -> None:
    hanna, intake = await console.member("hanna"), console.intake
    await take(intake, mail("Bonjour, veuillez supprimer mes données. Mon numéro est le 06 12 34 56 78. Merci."))
    [listed] = await waiting(intake)
    path = f"/console/mail/{listed['mail_id']}/confirm"
    await hanna.open(path)
    assert re.findall(r'value="(\w+)" checked', hanna.html) == ["erasure"]
    assert "A telephone number lacks its country code" in hanna.text
    said = {"rights": ["erasure"], "subject.email": "ada@mail.example", "subject.phones": "06 12 34 56 78"}
    await hanna.send(step="check", **said)
    assert "give it as + and country code" in hanna.text
    await hanna.send(step="check", **said, **{"subject.country": "FR"})
    await hanna.send(step="confirm", **said, **{"subject.country": "FR"})
    statement = (await intake.officer.get(f"/v1/requests/{hanna.path.rpartition('/')[2]}/statement")).json()
    assert "+33612345678" in [each["value"] for each in statement["identities"]]


async def test_a_mail_of_the_person_themselves_cannot_be_confirmed_without_an_address(intake: Intake) -> None:
    await take(intake, mail())
    [listed] = await waiting(intake)
    asked = {"rights": ["access"], "subject": {"account_id": "C-4711"}}
    refused = await intake.officer.post(f"/v1/mail/{listed['mail_id']}/actions/confirm", json=asked)
    assert (refused.status_code, "subject.email is needed" in refused.text) == (400, True)


async def test_reply_is_filed_with_its_request_and_a_guessed_one_is_not(intake: Intake) -> None:
    path = await intake.submit()
    secret = intake.unit_of_work.vault.keyring.lookup
    letter_id = await intake.unit_of_work.pool.fetchval("SELECT letter_id FROM letter")
    token = tokens.token(secret, letter_id)
    assert await take(intake, mail(more=f"In-Reply-To: <{token}@example.org>\n")) == "reply"
    forged = tokens.token(b"guess" * 8, letter_id)
    assert await take(intake, mail(name="2", more=f"In-Reply-To: <{forged}@example.org>\n")) == "proposed"
    [reply] = await waiting(intake, "reply")
    assert reply["request_id"] == id_of(path)
    assert (await said(intake, reply))["parts"] == [{"kind": "text", "title": "", "text": ASKS}]
    assert len(await intake.details(path, "mail.answers")) == 1
    theirs = mail(name="3", more=f"In-Reply-To: <{token}@example.org>\n").replace(
        b"ada@mail.example", b"ada@example.org"
    )
    assert await take(intake, theirs) == "reply"
    shown = [(await intake.officer.get(f"/v1/mail/{m['mail_id']}")).json() for m in await waiting(intake, "reply")]
    assert [each["stranger"] for each in shown] == [True, False]
    read = await intake.officer.post(
        f"/v1/mail/{reply['mail_id']}/actions/dismiss", json={"reason": "answered_otherwise"}
    )
    assert read.status_code == 200
    assert (await intake.officer.get(f"/v1/mail/{reply['mail_id']}")).status_code == 200, "it belongs to the request"


async def test_a_mailbox_is_read_as_it_is_and_again_after_its_server_was_away(
    intake: Intake, factory: UnitOfWorkFactory
) -> None:
    stopping = asyncio.Event()
    running = Running(Settings.__new__(Settings), factory, TRACING, Heartbeats(), stopping)
    async with mailbox_server() as mailbox:
        mailbox.put(mail())
        mailbox.put(mail(name="long", text="x" * 2**17))
        reading_on = asyncio.create_task(run(running, mailbox.settings, SmtpSettings()))
        await mailbox.listening.wait()
        assert len(await waiting(intake)) == 2
        assert metric("dsr_mailbox_read_timestamp_seconds") == intake.clock.now().timestamp()
        mailbox.listening.clear()
        mailbox.meanwhile = [mail(name="3")]
        mailbox.put(mail(name="2"))
        await mailbox.listening.wait()
        assert len(await waiting(intake)) == 4, "mail that comes during a fetch is not announced"
        mailbox.hang_up()
        mailbox.put(mail(name="4"))
        await mailbox.listening.wait()
        mails = await waiting(intake)
        assert len(mails) == 5
        assert {each["by_mx"] for each in mails} == {True}
        [long] = [each for each in [await said(intake, each) for each in mails] if "Only the head" in str(each)]
        assert long["subject"] == "Datenschutz"
        mailbox.hang_up()
        mailbox.validity = 2
        await mailbox.listening.wait()
        assert len(await waiting(intake)) == 5, "the mailbox has other numbers, and the same mails"
        stopping.set()
        await reading_on
        first_words = {command.partition(" ")[0] for command in mailbox.asked}
    assert first_words <= {
        "LOGIN",
        "CAPABILITY",
        "EXAMINE",
        "UID",
        "IDLE",
        "NOOP",
        "LOGOUT",
        "ID",
        "ENABLE",
        "NAMESPACE",
    }
    assert not [each for each in mailbox.asked if "BODY[" in each], "BODY.PEEK sets no flag"


class EndedError(BaseException):
    """The process ends while it reads a mail, as when it takes too much memory."""


@pytest.fixture
async def factory(intake: Intake, database: str) -> AsyncIterator[UnitOfWorkFactory]:
    """A process of correspondence."""
    async with await connect_pool(in_process(database, 2), ServiceName.CORRESPONDENCE) as pool:
        known = intake.unit_of_work
        yield UnitOfWorkFactory(pool, ServiceName.CORRESPONDENCE, known.clock, known.vault, known.policy)


async def read_once(intake: Intake, factory: UnitOfWorkFactory, mailbox: MailboxServer) -> int:
    """One process reads what is new; how many mails that were."""
    running = Running(Settings.__new__(Settings), factory, TRACING, Heartbeats(), asyncio.Event())
    connection = await asyncio.to_thread(ImapConnection, mailbox.settings)
    reader = MailboxReader(running, mailbox.settings, ours(intake))
    try:
        return await reader.read_new(connection)
    finally:
        await asyncio.to_thread(connection.close)


async def test_mail_that_kills_its_reader_twice_is_manual(
    intake: Intake, factory: UnitOfWorkFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    parse, tried = parser_process.read, list[bytes]()

    async def ends(raw: bytes, arrived_at: datetime, known: OurMail) -> Incoming:
        if b"poison" in raw:
            tried.append(raw)
            raise EndedError
        return await parse(raw, arrived_at, known)

    monkeypatch.setattr(parser_process, "read", ends)
    async with mailbox_server() as mailbox:
        mailbox.put(mail(text="poison"))
        mailbox.put(mail(name="2"))
        for _ in range(4):
            with suppress(EndedError):
                await read_once(intake, factory, mailbox)
            intake.clock.pass_by(minutes=5)
    assert len(tried) == 2
    monkeypatch.undo()
    mails = await waiting(intake)
    [unread] = [each for each in mails if not each["content"]["readable"]]
    raw = (await intake.officer.get(f"/v1/mail/{unread['mail_id']}/raw")).content
    assert (b"Only the head" in raw, b"poison" in raw, len(mails)) == (True, False, 2)


async def test_mailbox_is_read_by_one_process_at_a_time(
    intake: Intake, factory: UnitOfWorkFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    parse, reading, go_on = parser_process.read, asyncio.Event(), asyncio.Event()

    async def slow(raw: bytes, arrived_at: datetime, known: OurMail) -> Incoming:
        reading.set()
        await go_on.wait()
        return await parse(raw, arrived_at, known)

    monkeypatch.setattr(parser_process, "read", slow)
    async with mailbox_server() as mailbox:
        mailbox.put(mail())
        first = asyncio.create_task(read_once(intake, factory, mailbox))
        await reading.wait()
        assert await read_once(intake, factory, mailbox) == 0
        first.cancel()
        await asyncio.wait([first])
        assert await read_once(intake, factory, mailbox) == 0, "it may still be at it"
        intake.clock.pass_by(minutes=5)
        go_on.set()
        assert await read_once(intake, factory, mailbox) == 1
        assert await read_once(intake, factory, mailbox) == 0
    assert len(await waiting(intake)) == 1


async def said(intake: Intake, listed: dict[str, Any]) -> dict[str, Any]:
    answer = await intake.officer.get(f"/v1/mail/{listed['mail_id']}")
    content: dict[str, Any] = answer.raise_for_status().json()["content"]
    return content


async def test_link_in_the_thread_proves_a_mail_by_address(intake: Intake, monkeypatch: pytest.MonkeyPatch) -> None:
    await take(intake, mail())
    [listed] = await waiting(intake)
    asked = {"rights": ["access", "portability"], "language": "de", "subject": {"email": "ada@mail.example"}}
    async with opened(intake, monkeypatch) as door, mail_server() as server:
        confirmed = await door.officer.post(f"/v1/mail/{listed['mail_id']}/actions/confirm", json=asked)
        paths = [f"/v1/requests/{each}" for each in confirmed.raise_for_status().json()["requests"]]
        await send(intake, server)
        assert server.taken[0].mail["In-Reply-To"] == "<1@mail.example>"
        assert "<1@mail.example>" in server.taken[-1].mail["References"], "the link comes in the same thread"
        [letter] = await door.letters()
        visitor = await door.visitor().open(link_in(letter))
        await visitor.send()
        assert (visitor.status, visitor.path) == (200, "/portal/de/request")
        states = [(await intake.officer.get(each)).json()["state"] for each in paths]
        assert states == ["in_progress", "in_progress"]
        await visitor.open("/portal/de/request/letters")
        assert visitor.status == 200
        stranger = await door.visitor().open("/portal/de/request")
        assert stranger.status == 403


async def acknowledged(intake: Intake) -> Taken:
    """Returns the acknowledgement of a request that came by e-mail, as the server took it."""
    await letters_sent.asked(intake)
    async with mail_server() as server:
        await send(intake, server)
        return server.taken[0]


# Reports that a letter has not arrived: which letter, whether it is believed, and that it is kept.
async def test_bounce_is_recognised_by_its_token_and_a_delay_is_none(intake: Intake) -> None:
    taken = await acknowledged(intake)
    assert await take(intake, report(taken.sender, "delayed", "4.0.0", "1")) == "delayed"
    assert (await intake.officer.get("/v1/letters")).json()["data"] == []
    assert await take(intake, report(taken.sender, "failed", "5.1.1", "2")) == "bounce"
    [task] = (await intake.officer.get("/v1/letters")).json()["data"]
    assert (task["kind"], task["fault"]) == ("acknowledgement", "returned")
    assert await take(intake, report("privacy+unknown@example.org", "failed", "5.1.1", "3")) == "proposed"
    entries = (await intake.officer.get(f"/v1/requests/{task['request_id']}/timeline")).json()["data"]
    [kept] = [each["detail"] for each in entries if each["action"] == "mail.reports"]
    assert b"Action: failed" in (await intake.officer.get(f"/v1/mail/{kept['mail_id']}/raw")).content


@pytest.mark.parametrize("why", ["it has a sender", "its sender is unknown", "it comes late", "they have answered"])
async def test_bounce_that_the_recipient_may_have_forged_is_manual(intake: Intake, why: str) -> None:
    taken = await acknowledged(intake)
    if why == "they have answered":
        await take(intake, mail(more=f"In-Reply-To: {taken.mail['Message-ID']}\n"))
    intake.clock.pass_by(days=11 if why == "it comes late" else 1)
    written = report(taken.sender, "failed", "5.1.1", "1", "<eve@example.org>" if why == "it has a sender" else "<>")
    if why == "its sender is unknown":
        written = written.removeprefix(b"Return-Path: <>\r\n")
    assert await take(intake, written) == "reply"
    assert (await intake.officer.get("/v1/letters")).json()["data"] == [], "nothing is taken back"
    assert len(await waiting(intake, "reply")) == (2 if why == "they have answered" else 1)


def report(to: str, action: str, status: str, name: str, sender: str = "<>") -> bytes:
    """A report as a mail server writes it (RFC 3464); it names another address than the letter went to."""
    return f"""\
Return-Path: {sender}
From: Mail Delivery System <MAILER-DAEMON@mail.example>
To: {to}
Subject: Delivery report
Message-ID: <report-{name}@mail.example>
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="=="

--==
Content-Type: text/plain

Your message could not be delivered.

--==
Content-Type: message/delivery-status

Reporting-MTA: dns; mail.example

Original-Recipient: rfc822; another@mail.example
Final-Recipient: rfc822; another@mail.example
Action: {action}
Status: {status}

--==--
""".replace("\n", "\r\n").encode()


# The privacy team never reads an unused link or code of a letter, since it proves the person.
@pytest.fixture
async def door(intake: Intake, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Opened]:
    async with opened(intake, monkeypatch) as door:
        yield door


async def test_link_and_code_are_in_no_view(door: Opened, intake: Intake, monkeypatch: pytest.MonkeyPatch) -> None:
    reference = await asked(door.visitor())
    (letter,) = await door.letters()
    secrets = {link_in(letter).rpartition("/")[2], code_in(letter)}
    path = f"/v1/requests/{reference}"
    listed = await intake.officer.get(f"{path}/letters")
    [shown] = [each for each in listed.json()["data"] if each["kind"] == "proof_link"]
    assert MASK in shown["body"], "the letter is shown, without them"
    case = zipfile.ZipFile(io.BytesIO((await intake.officer.get(f"{path}/case-file")).content))
    async with opened_console(intake, monkeypatch) as console:
        hanna = await console.member("hanna")
        await hanna.open(f"/console/requests/{reference}/letters")
    assert MASK in hanna.text
    views = [listed.text, hanna.html, *(case.read(name).decode() for name in case.namelist())]
    assert not [secret for secret in secrets for view in views if secret in view]
    async with door.intake.unit_of_work.pool.acquire() as connection:
        known = await connection.fetchval("SELECT string_agg(detail::text, '') FROM evidence.entry")
    assert not [secret for secret in secrets if secret in known]
    await (await door.visitor().open(link_in(letter))).send()  # and is good for whom it was sent to
    assert "verified" in await intake.types()


async def test_a_letter_on_paper_opens_nothing(intake: Intake) -> None:
    asked_by_post = {"right": "access", "channel": "post", "subject": {"account_id": "C-1001", "country": "DE"}}
    submitted = (await intake.officer.post("/v1/requests", json=asked_by_post)).raise_for_status().json()
    path = f"/v1/requests/{submitted['request_id']}"
    address = {"lines": ["Ada Quarzfels", "Musterstraße 1", "50667 Köln"], "on_file_in": "crm"}
    (await intake.officer.post(f"{path}/actions/record-address", json=address)).raise_for_status()
    printed = (await intake.officer.get("/v1/letters/print")).raise_for_status().text
    assert "Musterstraße 1" in printed
    secret = intake.unit_of_work.vault.keyring
    code = sealed_letters.letter_code(secret, UUID(submitted["request_id"]))
    assert code not in printed.replace(" ", "")
    assert "/portal/" not in printed
    assert (await intake.channel.get(f"{path}/letters", headers={"Letter-Code": code})).status_code == 404
    said = (await intake.officer.get(f"{path}/timeline")).json()["data"]
    assert "letter.printed" in [each["action"] for each in said], "the reading is on record"


async def test_a_mail_that_names_a_reference_leads_to_its_request(intake: Intake) -> None:
    path = await intake.submit()
    assert await take(intake, mail(subject=f"Re: {reference_of(path).lower()}")) == "proposed"
    [listed] = await waiting(intake)
    shown = (await intake.officer.get(f"/v1/mail/{listed['mail_id']}")).json()
    assert (shown["names"], shown["request_id"]) == (id_of(path), None)


async def test_a_mail_that_quotes_a_letter_shows_no_link_and_its_original_ends_it(door: Opened, intake: Intake) -> None:
    await asked(door.visitor())
    async with mail_server() as server:
        await send(intake, server)
        [taken] = server.taken
    quoted = taken.mail.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    (letter,) = await door.letters()
    link = link_in(letter)
    assert link in quoted
    code = "0524 4597"  # it might be a telephone number
    reply = mail(
        f"What is this?\n\n{quoted.replace(code_in(letter), code)}", more=f"In-Reply-To: {taken.mail['Message-ID']}\n"
    )
    assert await take(intake, reply) == "reply"
    [listed] = await waiting(intake, "reply")
    shown = (await intake.officer.get(f"/v1/mail/{listed['mail_id']}")).text
    assert "What is this?" in shown
    assert not [secret for secret in (link.rpartition("/")[2], code) if secret in shown]
    assert (await door.visitor().open(link)).status == 200
    assert link.encode() in (await intake.officer.get(f"/v1/mail/{listed['mail_id']}/raw")).content
    assert "not good any more" in (await door.visitor().open(link)).text


@pytest.mark.parametrize("spelled", ["subject", "alone", "rewritten", "html", "broken"])
async def test_no_spelling_of_a_link_that_is_good_is_read_in_a_mail(door: Opened, intake: Intake, spelled: str) -> None:
    await asked(door.visitor())
    (letter,) = await door.letters()
    link = link_in(letter)
    base, _, token = link.rpartition("/")
    filtered = f"https://filter.example/?url={quote(quote(link, safe=''), safe='')}&data=1"
    texts = {"alone": token, "rewritten": filtered, "broken": f"> {base}/{token[:8]}\n> {token[8:]}"}
    raw = mail(texts.get(spelled, "See above."), subject=f"Re: {link}" if spelled == "subject" else "Re: yours")
    if spelled == "html":
        raw = raw.replace(b"text/plain", b"text/html").replace(b"See above.", f"<p>My <b>{token}</b></p>".encode())
    await take(intake, raw)
    [listed] = await waiting(intake, "proposed")
    assert "not good any more" not in (await door.visitor().open(link)).text
    assert token not in str(listed)
    shown = (await intake.officer.get(f"/v1/mail/{listed['mail_id']}")).raise_for_status().text
    assert token not in shown
    still = "not good any more" not in (await door.visitor().open(link)).text
    assert still is (spelled == "subject"), "as a letter has it, it is masked whole"
