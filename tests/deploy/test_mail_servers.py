"""OpenSMTPD and Dovecot, the real servers: a mail becomes a request, and its answer arrives in the same thread."""

import asyncio
import re
import subprocess
import sys
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.demo.client import DsrClient
from deploy.local import identity_provider
from deploy.local import postgres_databases as databases
from deploy.local.kafka import Kafka
from deploy.local.platform import ExistingServers, Platform
from deploy.local.ports import HOST, free_port
from deploy.local.services import Servers, Services
from services.correspondence.settings import SmtpSettings
from shared.domain.topics import ServiceName
from tests.fixtures import debian, stores
from tests.fixtures.authority import issue
from tests.fixtures.console import way_back
from tests.fixtures.intake import Intake
from tests.fixtures.live import eventually, recorded
from tests.fixtures.mail_servers.box import Box, read, text_of
from tests.fixtures.mail_servers.servers import SELECTOR, MailServers, NeedsRootError
from tests.fixtures.policy import NOTHING_KEPT
from tests.fixtures.portal import Visitor, link_of
from tests.fixtures.stores import DECLARATION, Subject

ADA = Subject(1)
OURS = "support@example.org"
ASKS = f"""\
From: Ada Quarzfels <{ADA.email}>
To: {OURS}
Subject: Meine Daten
Message-ID: <asked@example.com>
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit

Guten Tag,
ich bitte um Auskunft über alle Daten, die Sie über mich gespeichert haben.
Mit freundlichen Grüßen, Ada Quarzfels
"""
VERIFY = """
import dkim, sys
sys.exit(not dkim.verify(sys.stdin.buffer.read(), dnsfunc=lambda *_, **__: sys.argv[1].encode()))
"""


async def holding(box: Box, subject: str) -> bytes:
    """The mail with such a subject, once it is there."""
    found: bytes = await eventually(partial(asyncio.to_thread, box.with_subject, subject), every=0.3)
    return found


@pytest.fixture(scope="module")
def servers(run_folder: Path) -> Iterator[MailServers]:
    """Both; where this is not root they cannot run, and are not asked for."""
    servers = MailServers(run_folder / "mail", OURS, [ADA.email])
    try:
        servers.start()
    except NeedsRootError as error:
        pytest.skip(str(error))
    yield servers
    servers.stop()


@pytest.fixture(scope="module")
def services(servers: MailServers, postgres_dsn: str, broker: Kafka, run_folder: Path) -> Iterator[Services]:
    """All five, with a portal, over a system that finds people by their address."""
    existing = ExistingServers(postgres_dsn=postgres_dsn, kafka_bootstrap=broker.bootstrap)
    platform = Platform(run_folder, existing=existing)
    dsn = databases.wait_for(databases.create(platform.postgres_dsn, "mail"))
    seeded = databases.wait_for(stores.seed(platform, "mail", 3, run_folder / "mail-stores"))
    seeded.downstreams.write_text(DECLARATION.format("tickets", "email", "TICKETS"))
    env = {**seeded.env, **NOTHING_KEPT, **servers.env, "DSR_SMTP_POLL_SECONDS": "0.2"}
    running = Services(run_folder / "mail-services", Servers(dsn, broker.bootstrap), seeded.downstreams, env)
    running.prepare()
    provider, issuer = identity_provider.child(run_folder / "mail-provider", free_port(), running.url)
    provider.start()
    running.open_sites(issuer)
    running.start_prepared()
    yield running
    running.stop()
    provider.stop()


@asynccontextmanager
async def officer(services: Services) -> AsyncIterator[DsrClient]:
    async with DsrClient(services.url, services.key("privacy")) as client:
        yield client


async def signed_in(services: Services, browser: httpx.AsyncClient) -> Visitor:
    """A handler of the privacy team, at the console."""
    issuer = services.children[ServiceName.INTAKE].env["DSR_CONSOLE_ISSUER"]
    async with httpx.AsyncClient(base_url=issuer, trust_env=False) as provider:
        visitor = Visitor(browser)
        return await visitor.open(await way_back(visitor, provider, "mara.lind"))


async def confirmed(handler: Visitor) -> str:
    """The id of the request that the mail has become in the console, by a person who has read what is proposed."""

    async def listed() -> list[str]:
        return re.findall(r'href="/console(/mail/[0-9a-f-]+)"', (await handler.open("/console/mail")).html)

    [mail] = await eventually(listed, every=1.0)  # the console slows down who asks more often
    assert "ich bitte um Auskunft" in (await handler.open(f"/console{mail}")).text
    assert "our mail exchanger wrote" in handler.text, "it came when OpenSMTPD took it, as that has written"
    await handler.open(f"/console{mail}/confirm")
    for proposed in (r'value="access" checked', r'value="de" selected', f'value="{ADA.email}"'):
        assert re.search(proposed, handler.html), proposed
    said: dict[str, Any] = {"rights": ["access"], "language": "de", "subject.country": "DE"}
    said |= {"subject.name": "Ada Quarzfels", "subject.email": ADA.email}
    await handler.send(step="check", **said)
    await handler.send(step="confirm", **said)
    assert "awaiting identity" in handler.text, "a mail proves nothing"
    return handler.path.rpartition("/")[2]


async def test_a_mail_becomes_a_request_that_is_proved_by_the_link_and_answered_in_its_thread_in_german(
    servers: MailServers, services: Services
) -> None:
    box = Box(servers, ADA.email)
    box.write(OURS, ASKS)
    browsing = partial(httpx.AsyncClient, base_url=services.url, trust_env=False)
    async with officer(services) as client, browsing() as theirs, browsing() as browser:
        request_id = await confirmed(await signed_in(services, theirs))
        link = read(await holding(box, "bestätigen"))
        visitor = await Visitor(browser).open(link_of(link, services.url))
        await visitor.send()
        assert (visitor.status, visitor.path) == (200, "/portal/de/request")
        view = await client.follow(request_id, "closed")
        raw = await holding(box, "Unsere Antwort")

        async def sent() -> list[str]:
            entries = await client.timeline(request_id)
            return [
                each["at"] for each in entries if each["action"] == "letter.sent" and each["detail"]["kind"] == "answer"
            ]

        [accepted] = await eventually(sent)
    when = "SELECT r.responded_at, m.received_at FROM intake.request r JOIN intake.mail m USING (request_id)"
    [row] = await databases.fetch(services.env["DSR_POSTGRES_DSN"], when)
    assert row["responded_at"].isoformat() <= accepted, (
        "it is given when the next server has taken it, which we hear then"
    )
    assert view["received_at"] == row["received_at"].isoformat()
    answered = read(raw)
    assert "<asked@example.com>" in answered["References"]
    assert answered["In-Reply-To"] == link["Message-ID"]
    assert (answered["Content-Language"], "Aktenzeichen" in text_of(answered)) == ("de", True)
    assert [*answered.iter_attachments()] == []
    assert (answered["From"].addresses[0].addr_spec, answered["Auto-Submitted"]) == (OURS, "auto-replied")
    [flags] = Box(servers, OURS).flags()
    assert b"Seen" not in flags, "the mailbox stays as it was"
    assert f"s={SELECTOR};" in answered["DKIM-Signature"]
    assert signed(raw, servers), "the letter carries the signature of the domain that it comes from"
    assert not signed(raw.replace(b"Aktenzeichen", b"Bankleitzahl"), servers)


async def test_returned_letter_needs_a_person(services: Services) -> None:
    subject = {"email": "unknown@example.com", "country": "DE"}
    async with officer(services) as client:
        request_id = await client.submit({"right": "access", "channel": "email", "subject": subject})
        await recorded(client, request_id, "letter.returned")
        [task] = (await client.get("/v1/letters")).raise_for_status().json()["data"]
        assert (task["request_id"], task["state"], task["fault"]) == (request_id, "needs_attention", "returned")
        assert (await client.get("/v1/mail")).json()["data"] == [], "the report is none that a person must read"


async def test_a_letter_goes_only_to_a_server_that_can_show_whose_it_is(
    intake: Intake, servers: MailServers, tmp_path: Path
) -> None:
    subject = {"email": ADA.email, "country": "DE"}
    asked = {"right": "access", "channel": "email", "subject": subject}
    (await intake.officer.post("/v1/requests", json=asked)).raise_for_status()
    known = {"host": HOST, "port": servers.ports["submission"], "tls": "starttls", "username": OURS}
    settings = SmtpSettings.model_validate(
        {**known, "password": servers.passwords[OURS], "sender": OURS, "ca_file": servers.authority}
    )
    others = settings.model_copy(update={"ca_file": issue(tmp_path).authority})
    assert await intake.correspondence.send(others) == 0
    intake.clock.pass_by(hours=1)
    assert await intake.correspondence.send(settings) == 1


def signed(raw: bytes, servers: MailServers) -> bool:
    """Whether a mail's signature holds, by the key that the domain would publish."""
    key = b64encode((servers.directory / "conf" / "dkim.der").read_bytes()).decode()
    command = [sys.executable, "-c", VERIFY, f"v=DKIM1; k=rsa; p={key}"]
    modules = {"PYTHONPATH": str(debian.MAIL_SERVERS.unpacked() / "usr/lib/python3/dist-packages")}
    return subprocess.run(command, input=raw, env=modules, capture_output=True, check=False).returncode == 0
