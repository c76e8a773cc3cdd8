"""A request by e-mail: confirmed by a person, proved by the link in the reply, and gone on with in its thread."""

import asyncio
import re
from collections.abc import Callable
from html import unescape

import httpx

from deploy.demo.client import DsrClient
from deploy.demo.finding import Section
from deploy.demo.mailbox import OURS, WRITER
from deploy.demo.sites import Sites
from deploy.local.mail.box import Box, read, text_of
from deploy.local.services import Services

_ASKS = f"""\
From: Marlene Muster <{WRITER}>
To: {OURS}
Subject: Meine Daten
Message-ID: <asked@post.test>
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit

Guten Tag,
ich bitte um Auskunft über alle Daten, die Sie über mich haben.
Mit freundlichen Grüßen, Marlene Muster
"""
_SUBJECT = {"name": "Marlene Muster", "email": WRITER, "country": "DE"}
_ASKED = {"right": "access", "language": "de", "subject": _SUBJECT}
_ENTERED = {"rights": ["access"], "language": "de", "subject": _SUBJECT}
_WITHIN = 30


async def mail(client: DsrClient, services: Services, sites: Sites) -> Section:
    """Somebody writes; without a mail server the letters to whoever did are printed."""
    section = Section("A request by e-mail, and what we write in its thread")
    if sites.mail is None:
        section.say("no mail server here (it is started by root, on Debian): each letter is printed instead")
        request_id = await client.submit({**_ASKED, "channel": "email"})
        for letter in await client.letters(request_id):
            section.say(f"to {', '.join(letter['to'])}: {letter['subject']}")
            section.say(*(f"│ {line}".rstrip() for line in letter["body"].splitlines()))
        return section
    box = Box(sites.mail, WRITER)
    await asyncio.to_thread(box.write, OURS, _ASKS)
    request_id = await _confirmed(client, section)
    link = read(await _once(lambda: box.with_subject("bestätigen")))
    await _pressed(services.url, re.findall(r"https?://\S+/prove/[\w-]+", text_of(link))[0])
    answer = read(await _once(lambda: next(iter(box.mails()[2:]), None)))
    section.say(f"proved    by the link in the reply: {link['Subject']}", f"asked     {answer['Subject']}")
    actions = [entry["action"] for entry in await client.timeline(request_id)]
    section.find("identity.verified" in actions, "which proves the address; nothing is filed under it, so we ask back")
    section.find("<asked@post.test>" in answer["References"], "all of it stands in the thread of the mail")
    section.find(
        answer["Content-Language"] == "de" and not [*answer.iter_attachments()], "in German, with nothing attached"
    )
    section.find("d=cloudcontactpro.test" in str(answer["DKIM-Signature"]), "signed for the domain that it comes from")
    return section


async def _confirmed(client: DsrClient, section: Section) -> str:
    """The request that a person of the privacy team makes of the mail."""
    async with asyncio.timeout(_WITHIN):
        while not (listed := (await client.get("/v1/mail")).raise_for_status().json()["data"]):  # noqa: ASYNC110
            await asyncio.sleep(0.1)  # the list has no push
    path = f"/v1/mail/{listed[0]['mail_id']}"
    shown = (await client.get(path)).raise_for_status().json()["content"]
    section.say(f"proposed  {', '.join(shown['proposal']['rights'])}, in {shown['language']}, from {shown['sender']}")
    answer = await client.decide(path, "confirm", _ENTERED)
    return str(answer.raise_for_status().json()["requests"][0])


async def _once(look: Callable[[], bytes | None]) -> bytes:
    """What lies in a mailbox at last."""
    async with asyncio.timeout(_WITHIN):
        while (found := await asyncio.to_thread(look)) is None:  # noqa: ASYNC110  # as above
            await asyncio.sleep(0.2)  # a mailbox is looked into again
        return found


async def _pressed(url: str, link: str) -> None:
    """Opens the link, and presses the button that says yes."""
    async with httpx.AsyncClient(base_url=url, trust_env=False) as browser:
        page = (await browser.get(link)).raise_for_status().text
        hidden = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', page)
        said = {name: unescape(value) for name, value in hidden} | {"answer": "mine"}
        await browser.post(link, data=said)
