"""The three platforms on which scenarios run, each with a system of every kind, doors for people, and a mailbox."""

import asyncio
import itertools
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx

from deploy.local import postgres_databases as databases
from deploy.local.identity_provider import IdentityProvider, Member
from deploy.local.kafka import ADMIN, Kafka
from deploy.local.paths import ROOT
from deploy.local.ports import HOST, free_ports
from deploy.local.roundup import Roundup
from deploy.local.services import Servers, Services
from deploy.local.tryton import Tryton
from tests.acceptance.bus import Bus
from tests.acceptance.client import Case, Door, Person
from tests.acceptance.events import Emitter, emitter
from tests.acceptance.scenario import FRAGILE, SHARED, TIMED
from tests.acceptance.systems import (
    API,
    DATASET,
    INVOICES,
    SHOP_TABLES,
    TABLES,
    Archive,
    Crm,
    Helpdesk,
    Shop,
    System,
    Team,
    Tickets,
)
from tests.acceptance.visitor import Visitor
from tests.fakes.collector import Collector, collecting
from tests.fixtures import preforked
from tests.fixtures.confined import Confined, confined
from tests.fixtures.live import eventually
from tests.fixtures.mail_server import MailServer, mail_server
from tests.fixtures.mailbox_server import MailboxServer, mailbox_server
from tests.fixtures.mariadb import MariaDb
from tests.fixtures.proxy import Link, Toxic, proxies
from tests.fixtures.serving import served
from tests.fixtures.wire import checked

STOPS = (3, 8, 15, 22, 29, 32, 45, 62, 95, 400)
"""The days after the start at which the clock of the third platform stops."""
POLICY = Path(__file__).with_name("policy")
TIME_LIMITS = ROOT / "shared" / "policy" / "time_limits.toml"
MEMBERS = (
    Member("hanna", "Hanna Handler", ("dsr-handler",)),
    Member("anton", "Anton Approver", ("dsr-approver",)),
    Member("berta", "Berta Approver", ("dsr-approver",)),
    Member("ugo", "Ugo Auditor", ("dsr-auditor",)),
    Member("nemo", "Nemo Norole", ("something-else",)),
)
"""Accounts of the console, with their roles."""
_numbers = itertools.count(1)
Server = TypeVar("Server", bound=Any)


class Grounds:
    """Servers that the platforms share, each started once, by the first that needs it."""

    def __init__(self, folder: Path, postgres_dsn: str) -> None:
        self.folder, self.postgres_dsn = folder, postgres_dsn
        self._started: dict[str, asyncio.Task[Any]] = {}
        self._servers: list[Any] = []

    async def tryton(self) -> Tryton:
        return await self._once("crm", lambda: Tryton(self.folder / "crm", self.postgres_dsn, database="net_crm"))

    async def roundup(self) -> Roundup:
        return await self._once("tickets", lambda: Roundup(self.folder / "tickets"))

    async def mariadb(self) -> MariaDb:
        return await self._once("mariadb", lambda: MariaDb(self.folder / "mariadb"))

    async def _once(self, name: str, made: Callable[[], Server]) -> Server:
        def started() -> Server:
            server = made()
            self._servers.append(server)
            server.start()
            return server

        if name not in self._started:
            self._started[name] = asyncio.create_task(asyncio.to_thread(started))
        server: Server = await self._started[name]
        return server

    def stop(self) -> None:
        """Stops what was started."""
        for server in self._servers:
            server.stop()


@dataclass(frozen=True)
class Open:
    """A broker that everybody may use."""

    kafka: Kafka
    env_of: Mapping[Any, Mapping[str, str]] = field(default_factory=dict)

    @property
    def bootstrap(self) -> str:
        return self.kafka.bootstrap

    def as_user(self, _user: str) -> dict[str, Any]:
        return {"bootstrap_servers": self.bootstrap}

    def start(self, services: Services) -> None:
        services.start()


Broker = Open | Confined


@dataclass
class Clock:
    """The clock of the third platform: it moves to the next stop once all scenarios there wait for one."""

    file: Path
    playing: int = 0
    day: int = 0
    _waiting: list[tuple[int, "asyncio.Future[None]"]] = field(default_factory=list)

    def today(self) -> date:
        """The day that the platform believes it is."""
        return datetime.now(UTC).date() + timedelta(days=self.day)  # noqa: TID251  # a clock of its own

    async def reaches(self, day: int) -> None:
        """Waits until so many days have passed since the start; ``day`` is one of the stops."""
        assert day in STOPS, f"the clock stops at {STOPS}"
        if day <= self.day:
            raise AssertionError(f"day {day} is over: it is day {self.day}")
        future = asyncio.get_running_loop().create_future()
        self._waiting.append((day, future))
        self.move()
        await future

    async def others_wait(self) -> None:
        """Waits until all other scenarios wait for a stop."""

        async def waiting() -> bool:
            return len(self._waiting) >= self.playing - 1

        await eventually(waiting, within=240)

    def move(self) -> None:
        """Goes to the next stop once no scenario has anything left to do before it."""
        self._waiting = [(day, future) for day, future in self._waiting if not future.cancelled()]
        if not self._waiting or len(self._waiting) < self.playing:
            return
        self.day = min(day for day, _ in self._waiting)
        new = self.file.with_suffix(".new")
        new.write_text(str(self.day * 86_400))
        new.replace(self.file)
        here = [future for day, future in self._waiting if day == self.day]
        self._waiting = [(day, future) for day, future in self._waiting if day != self.day]
        for future in here:
            future.set_result(None)


@dataclass
class Platform:
    """One platform, running: ask with ``ask``, decide as ``officer`` and ``colleague``, look into its systems."""

    services: Services
    broker: Broker
    shop: Shop
    archive: Archive
    helpdesk: Helpdesk
    crm: Crm
    tickets: Tickets
    billing: Team
    mail: MailServer
    mailbox: MailboxServer
    channel: Door
    officer: Door
    colleague: Door
    clock: Clock
    links: Mapping[str, Link]
    collector: Collector

    @property
    def systems(self) -> dict[str, System]:
        """The systems by their names."""
        all_of: tuple[System, ...] = (self.shop, self.archive, self.helpdesk, self.crm, self.tickets, self.billing)
        return {each.name: each for each in all_of}

    @property
    def kafka(self) -> Kafka:
        """Goes to the next stop once no scenario has anything left to do before it."""
        assert isinstance(self.broker, Open)
        return self.broker.kafka

    @property
    def bus(self) -> Bus:
        """Returns the bus as other teams see it."""
        return Bus(self.kafka.bootstrap)

    async def command(self, *words: str) -> str:
        """Returns the output of a ``dsr`` command that succeeds."""
        done = await self._run(words)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def new_person(self) -> Person:
        """Returns a person whom no other scenario has."""
        return Person(next(_numbers))

    @asynccontextmanager
    async def visitor(self) -> AsyncIterator[Visitor]:
        """Returns a visitor with a separate browser."""
        limits = httpx.Limits(keepalive_expiry=2)  # the server closes what waits for five seconds
        async with httpx.AsyncClient(base_url=self.services.url, timeout=60, trust_env=False, limits=limits) as client:
            yield Visitor(client)

    @asynccontextmanager
    async def member(self, account: str) -> AsyncIterator[Visitor]:
        """One of the privacy team who has signed in to the console."""
        async with self.visitor() as visitor:
            await visitor.sign_in(account)
            assert visitor.status == httpx.codes.OK, visitor.text
            yield visitor

    async def ask(self, person: Person, right: str, *names: str, **more: Any) -> Case:
        """Submits a request of theirs, stating all of their identities or those named."""
        return await self.channel.ask(person.submission(right, *names, **more))

    async def ask_jointly(self, person: Person, *rights: str, **more: Any) -> list[Case]:
        """Submits one message of theirs that asks for several rights."""
        said = person.submission(rights[0], **more)
        del said["right"]
        return await self.channel.ask_jointly({**said, "rights": rights})

    @asynccontextmanager
    async def door(self, role: str, holder: str | None = None, tenant: str | None = None) -> AsyncIterator[Door]:
        """The API with a key of its own."""
        key = await asyncio.to_thread(self.services.key, role, holder, tenant)
        async with Door(self.services.url, key) as door:
            yield door

    @asynccontextmanager
    async def emitter(self, name: str) -> AsyncIterator[Emitter]:
        """A service that sends user events."""
        async with self.door("channel", name) as door, emitter(name, door, self.kafka.bootstrap) as emitting:
            yield emitting

    async def dsr(self, *words: str, door: Door | None = None, said: str = "") -> tuple[int, str]:
        """Runs a command of ``dsr`` with the key of that door and that input; its status and what it prints."""
        key = (door or self.channel).headers["Authorization"].removeprefix("Bearer ")
        done = await self._run(words, said, DSR_API_URL=self.services.url, DSR_API_KEY=key)
        return done.returncode, done.stdout + done.stderr

    async def _run(self, words: Sequence[str], said: str = "", **env: str) -> "subprocess.CompletedProcess[str]":
        return await asyncio.to_thread(preforked.run, words, {**os.environ, **self.services.env, **env}, said)

    async def restart(self, service: str) -> None:
        """Ends a service and starts it, as a roll-out does; it reads its files again."""
        child = next(each for each in self.services.children.values() if each.name == service)
        await asyncio.to_thread(child.stop)
        await asyncio.to_thread(child.start)

    @asynccontextmanager
    async def killed(self, *services: str) -> AsyncIterator[None]:
        """Kills services without a word, and starts them when the block ends."""
        children = [each for each in self.services.children.values() if each.name in services]
        for child in children:
            child.signal(signal.SIGKILL)
        for child in children:
            await asyncio.to_thread(child.wait)
        try:
            yield
        finally:
            for child in children:
                await asyncio.to_thread(child.spawn)
            for child in children:
                await asyncio.to_thread(child.wait_ready)

    @property
    def urls(self) -> dict[str, str]:
        """Returns the address of each service's health and metrics."""
        return {str(name): self.services.url_of(name) for name in self.services.ports}

    async def metrics(self, service: str, path: str = "/metrics/privacy") -> dict[str, float]:
        """The figures of a service, as the privacy team reads them."""
        headers = {"Authorization": f"Bearer {self.services.metrics_token}"}
        async with httpx.AsyncClient(timeout=60, headers=headers) as client:
            text = (await client.get(f"{self.urls[service]}{path}")).raise_for_status().text
        lines = [line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#")]
        return {name: float(value) for name, _, value in lines}

    async def mail_with(self, subject: str) -> dict[str, Any]:
        """The mail in our mailbox with that subject, once it was read."""
        found: dict[str, Any] = await eventually(lambda: self.officer.mail_with(subject), within=240)
        return found

    async def mails(self, person: Person, number: int) -> list[EmailMessage]:
        """Returns a person's mails, once there are so many."""

        async def come() -> list[EmailMessage]:
            got = [each.mail for each in self.mail.taken if each.to == person.email]
            return got if len(got) >= number else []

        found: list[EmailMessage] = await eventually(come, within=240)
        return found

    async def register_read(self) -> None:
        """Waits until the register of numbers was read from the CRM, with what stands there now."""
        now = time.time()  # noqa: TID251  # the platform's clock is the machine's

        async def read() -> bool:
            figures = await self.metrics("deadline")
            read_at = [at for name, at in figures.items() if name.startswith("dsr_assignments_read_timestamp_seconds{")]
            return any(at > now for at in read_at)

        await eventually(read, within=240)

    async def answered(self, case: Case) -> str:
        """The letter that follows the acknowledgement; an officer may read it, also after an erasure."""

        async def written() -> str:
            letters = await case.seen_by(self.officer).letters()
            return str(letters[-1]["body"]) if letters and letters[-1]["kind"] != "acknowledgement" else ""

        return " ".join(str(await eventually(written, within=240)).split())

    @asynccontextmanager
    async def playing(self) -> AsyncIterator[None]:
        """Counts a scenario, so that the clock knows for whom it waits."""
        self.clock.playing += 1
        try:
            yield
        finally:
            self.clock.playing -= 1
            self.clock.move()

    @asynccontextmanager
    async def without(self, system: str) -> AsyncIterator[None]:
        """Takes one of the systems of the second platform away, until the block ends."""
        link = self.links.get(system)
        await (link.suffer(Toxic.CUT) if link else self.billing.end())
        try:
            yield
        finally:
            if link:
                await link.suffer(Toxic.NONE)
            else:
                self.billing.begin()

    @asynccontextmanager
    async def stopped(self, *names: str) -> AsyncIterator[None]:
        """Stops these services until the block ends."""
        children = [child for name, child in self.services.children.items() if name in names]
        for child in children:
            await asyncio.to_thread(child.stop)
        try:
            yield
        finally:
            for child in children:
                await asyncio.to_thread(child.start)


@asynccontextmanager
async def opened(grounds: Grounds, name: str) -> AsyncIterator[Platform]:
    """Starts a platform, and stops it."""
    folder = grounds.folder / name
    folder.mkdir(parents=True)
    async with AsyncExitStack() as stack:
        dsn = await databases.create(grounds.postgres_dsn, f"net_{name}")
        shop, archive, helpdesk, crm, tickets, broker = await asyncio.gather(
            _shop(grounds, name),
            _archive(grounds, name),
            stack.enter_async_context(Helpdesk().serving()),
            _crm(grounds),
            _tickets(grounds),
            _broker(stack, folder / "kafka", dsn, guarded=name == TIMED),
        )
        stack.push_async_callback(checked, broker.as_user(ADMIN))
        clock = Clock(folder / "clock")
        clock.file.write_text("0")
        billing = Team(folder / "billing.sqlite", lambda: clock.day)
        links: Mapping[str, Link] = {}
        if name == FRAGILE:
            links = await _behind_proxies(stack, folder, shop, archive, helpdesk, crm, tickets)
        systems: list[System] = [shop, archive, helpdesk, crm, tickets, billing]
        mail = await stack.enter_async_context(mail_server())
        mailbox = await stack.enter_async_context(mailbox_server())
        settings = {variable: value for each in systems for variable, value in each.env.items()}
        settings |= {"DSR_WORK_QUARANTINE_SECONDS": "2", "DSR_CONSOLE_PAGES_A_SECOND": "1000"}
        settings |= {"DSR_POSTGRES_IDLE_SECONDS": "30"}  # where much is under way a process may stand still for seconds
        collector = stack.enter_context(collecting())
        settings |= {"DSR_TELEMETRY_OTLP_ENDPOINT": collector.url, "DSR_TELEMETRY_SAMPLE_RATIO": "0"}
        if name == SHARED:
            settings |= {"DSR_DEADLINE_ASSIGNMENTS_SECONDS": "5"}
        if name == FRAGILE:
            settings |= {"DSR_POLICY_TIME_LIMITS": str(shutil.copy(TIME_LIMITS, folder))}
        if name == TIMED:
            settings |= {"DSR_CLOCK_FILE": str(clock.file), "DSR_ENVIRONMENT": "test"}
        services = Services(
            folder,
            Servers(dsn, broker.bootstrap),
            _declared(folder, systems),
            settings,
            ["billing"],
            broker.env_of,
            policy=_policy(folder / "policy"),
        )
        services.set("correspondence", {"DSR_SMTP_POLL_SECONDS": "0.5", **_mail_settings(mail, mailbox)})
        portal = {"DSR_PORTAL_PAGES_A_SECOND": "1000", "DSR_PORTAL_SENDINGS_AN_HOUR": "10000"}
        services.open_sites(await _provider(stack, services.url), portal)
        stack.push_async_callback(asyncio.to_thread, services.stop)
        await asyncio.to_thread(broker.start, services)
        keys = [await asyncio.to_thread(services.key, role) for role in ("channel", "privacy", "privacy")]
        channel, officer, colleague = [await stack.enter_async_context(Door(services.url, key)) for key in keys]
        key = await asyncio.to_thread(services.key, "downstream:billing")
        billing.begin(services.url, key, broker.as_user("dsr-team-billing"))
        stack.push_async_callback(billing.end)
        yield Platform(
            services=services,
            broker=broker,
            shop=shop,
            archive=archive,
            helpdesk=helpdesk,
            crm=crm,
            tickets=tickets,
            billing=billing,
            mail=mail,
            mailbox=mailbox,
            channel=channel,
            officer=officer,
            colleague=colleague,
            clock=clock,
            links=links,
            collector=collector,
        )


async def _broker(stack: AsyncExitStack, folder: Path, dsn: str, *, guarded: bool) -> Broker:
    """Starts a broker that everybody may use, or one that asks all who they are."""
    if guarded:
        guard = confined(folder, dsn, "billing")
        stack.push_async_callback(asyncio.to_thread, guard.__exit__, None, None, None)
        return await asyncio.to_thread(guard.__enter__)
    kafka = Kafka(folder)
    stack.push_async_callback(asyncio.to_thread, kafka.stop)
    await asyncio.to_thread(kafka.start)
    return Open(kafka)


async def _provider(stack: AsyncExitStack, console: str) -> str:
    """Starts an identity provider that the console trusts; its issuer."""
    listener = socket.create_server((HOST, 0))
    issuer = f"http://{HOST}:{listener.getsockname()[1]}"
    await stack.enter_async_context(served(IdentityProvider(issuer, console, people=MEMBERS).application(), listener))
    return issuer


async def _shop(grounds: Grounds, name: str) -> Shop:
    role = f"net_{name}"
    script = TABLES.format(flag="boolean", on="true", off="false", moment="timestamptz")
    script += SHOP_TABLES.format(role=role)
    return Shop(*await databases.create_store(grounds.postgres_dsn, f"net_{name}_shop", role, script))


async def _archive(grounds: Grounds, name: str) -> Archive:
    server = await grounds.mariadb()
    ours = await server.store(f"net_{name}", TABLES.format(flag="tinyint(1)", on="1", off="0", moment="datetime"))
    return Archive(server, f"net_{name}", ours)


async def _crm(grounds: Grounds) -> Crm:
    tryton = await grounds.tryton()
    return Crm(tryton, tryton.url)


async def _tickets(grounds: Grounds) -> Tickets:
    roundup = await grounds.roundup()
    return Tickets(roundup, roundup.url)


async def _behind_proxies(
    stack: AsyncExitStack, folder: Path, shop: Shop, archive: Archive, helpdesk: Helpdesk, crm: Crm, tickets: Tickets
) -> Mapping[str, Link]:
    """Lets the services reach each system over a proxy, whose connections can be cut."""
    named = {
        "shop": shop.ours,
        "archive": archive.ours,
        "helpdesk": helpdesk.url,
        "crm": crm.url,
        "tickets": tickets.url,
    }
    ports = dict(zip(named, free_ports(len(named)), strict=True))
    targets = {ports[system]: urlsplit(url).port or 0 for system, url in named.items()}
    child, links = proxies(targets, folder / "proxies.log")
    await asyncio.to_thread(child.start)
    stack.push_async_callback(asyncio.to_thread, child.stop)
    through = {system: url.replace(f":{urlsplit(url).port}", f":{ports[system]}", 1) for system, url in named.items()}
    shop.ours, archive.ours, helpdesk.url = through["shop"], through["archive"], through["helpdesk"]
    crm.url, tickets.url = through["crm"], through["tickets"]
    return {system: links[port] for system, port in ports.items()}


def _policy(folder: Path) -> Path:
    """Writes the policy, in which the rule of consents is unsigned; returns its folder."""
    shutil.copytree(POLICY, folder)
    signed = (rules := folder / "retention.toml").read_text()
    rules.write_text(re.sub(r"\[rules\.consents_36m\.sign_off\]\n(\w.*\n)+", "", signed))
    return folder


def _declared(folder: Path, systems: list[System]) -> Path:
    """Writes the downstreams file, and what it names."""
    (folder / "shop.toml").write_text(DATASET.format(name="shop") + INVOICES)
    (folder / "archive.toml").write_text(DATASET.format(name="archive"))
    (folder / "helpdesk-api.toml").write_text(API)
    declared = folder / "downstreams.toml"
    declared.write_text("".join(each.declaration for each in systems))
    return declared


def _mail_settings(mail: MailServer, mailbox: MailboxServer) -> dict[str, str]:
    return dict(
        _settings(
            DSR_SMTP={"host": "127.0.0.1", "port": mail.port, "tls": "none", "sender": "privacy@company.example"},
            DSR_IMAP={
                "host": "127.0.0.1",
                "port": mailbox.port,
                "tls": "none",
                "username": "support",
                "password": "x",
                "exchangers": "mx.company.example",
            },
        )
    )


def _settings(**groups: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for prefix, group in groups.items():
        yield from ((f"{prefix}_{name.upper()}", str(value)) for name, value in group.items())
