"""Reports that a letter has not arrived: which letter, whether it is believed, and that it is kept."""

import pytest

from services.intake.letters.rendering import Letters
from services.intake.mail.sending import Sender
from shared.runtime.liveness import Heartbeats
from tests.fixtures.intake import Intake
from tests.fixtures.mail_server import mail_server
from tests.integration.test_mail_read import mail, take, waiting


async def test_a_report_that_a_letter_has_not_arrived_is_told_by_its_token_and_a_delay_is_none(intake: Intake) -> None:
    subject = {"email": "ada@example.org", "country": "DE"}
    asked = {"right": "access", "channel": "email", "subject": subject}
    (await intake.officer.post("/v1/requests", json=asked)).raise_for_status()
    async with mail_server() as server:
        await Sender(intake.unit_of_work, server.settings, Letters(), Heartbeats()).send_due()
        [taken] = server.taken
    assert await take(intake, report(taken.sender, "delayed", "4.0.0", "1")) == "delayed"
    assert (await intake.officer.get("/v1/letters")).json()["letters"] == []
    assert await take(intake, report(taken.sender, "failed", "5.1.1", "2")) == "bounce"
    [task] = (await intake.officer.get("/v1/letters")).json()["letters"]
    assert (task["kind"], task["fault"]) == ("acknowledgement", "returned")
    assert await take(intake, report("privacy+nobody@example.org", "failed", "5.1.1", "3")) == "proposed"
    entries = (await intake.officer.get(f"/v1/requests/{task['request_id']}/timeline")).json()["entries"]
    [kept] = [each["detail"] for each in entries if each["action"] == "mail.reports"]
    assert b"Action: failed" in (await intake.officer.get(f"/v1/mail/{kept['mail_id']}/raw")).content


@pytest.mark.parametrize("why", ["it has a sender", "its sender is unknown", "it comes late", "they have answered"])
async def test_a_report_that_whoever_has_the_letter_may_have_written_is_a_persons_to_believe(
    intake: Intake, why: str
) -> None:
    subject = {"email": "ada@example.org", "country": "DE"}
    asked = {"right": "access", "channel": "email", "subject": subject}
    (await intake.officer.post("/v1/requests", json=asked)).raise_for_status()
    async with mail_server() as server:
        await Sender(intake.unit_of_work, server.settings, Letters(), Heartbeats()).send_due()
        [taken] = server.taken
    if why == "they have answered":
        await take(intake, mail(more=f"In-Reply-To: {taken.mail['Message-ID']}\n"))
    intake.clock.pass_by(days=11 if why == "it comes late" else 1)
    written = report(taken.sender, "failed", "5.1.1", "1", "<eve@example.org>" if why == "it has a sender" else "<>")
    if why == "its sender is unknown":
        written = written.removeprefix(b"Return-Path: <>\r\n")
    assert await take(intake, written) == "reply"
    assert (await intake.officer.get("/v1/letters")).json()["letters"] == [], "nothing is taken back"
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
