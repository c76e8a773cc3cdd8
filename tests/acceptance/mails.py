"""Mails that people send to the mailbox, and those that they get."""

import re
from collections.abc import Callable
from email.message import EmailMessage
from typing import Any
from uuid import uuid4

from tests.acceptance.client import Person
from tests.acceptance.platforms import Platform
from tests.fixtures.live import eventually

MAIL = """\
Received: from mx-of-sender.example ([192.0.2.1]) by mx.company.example with ESMTPS; Mon, 02 Mar 2026 08:00:00 +0000
From: {name} <{email}>
To: {to}
Date: Mon, 02 Mar 2026 07:59:00 +0000
Subject: {subject}
Message-ID: <{id}@quarzfels.example>
{more}Content-Type: text/plain; charset=utf-8

{text}
"""
BOUNCE = """\
Return-Path: <>
From: Mail Delivery System <MAILER-DAEMON@quarzfels.example>
To: {to}
Subject: Delivery report
Message-ID: <{id}@quarzfels.example>
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="=="

--==
Content-Type: text/plain

Your message could not be delivered.

--==
Content-Type: message/delivery-status

Reporting-MTA: dns; quarzfels.example

Final-Recipient: rfc822; {email}
Action: failed
Status: 5.1.1

--==--
"""


def mail(
    person: Person, text: str, subject: str = "Datenschutz", more: str = "", to: str = "privacy@company.example"
) -> bytes:
    """Returns a mail of a person, as our mail exchanger received it."""
    said = {"name": person.name, "email": person.email, "to": to, "subject": subject, "id": uuid4().hex}
    return MAIL.format(text=text, more=more, **said).replace("\n", "\r\n").encode()


async def proposed(platform: Platform, person: Person, state: str = "proposed") -> dict[str, Any]:
    """Returns a person's mail once it has that state."""

    async def read() -> dict[str, Any]:
        for each in await platform.officer.listed("mail"):
            shown = await platform.officer.mail(each["mail_id"])
            if shown and (shown["state"], shown["content"]["sender"]) == (state, person.email):
                return shown
        return {}

    return dict(await eventually(read, within=240))


async def proof(platform: Platform, person: Person, part: Callable[[EmailMessage], str]) -> str:
    """Returns the link or code in the mail that asks a person to prove their address."""

    async def come() -> str:
        got = [each.mail for each in platform.mail.taken if each.to == person.email]
        return next((part(mail) for mail in got if "/prove/" in text_of(mail)), "")

    return str(await eventually(come, within=240))


def text_of(mail: EmailMessage) -> str:
    """The plain text of a mail."""
    body = mail.get_body(("plain",))
    return body.get_content() if body else ""


def link_in(mail: EmailMessage) -> str:
    """The path of the link with which a requester proves their address."""
    link, *_ = re.findall(r"https?://[^/\s]+(/\S+/prove/[\w-]+)", text_of(mail))
    return str(link)


def code_in(mail: EmailMessage) -> str:
    """The code of a mail, as a person types it."""
    code, *_ = re.findall(r"\b(\d{4} \d{4})\b", text_of(mail))
    return str(code)
