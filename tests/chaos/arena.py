"""The whole platform with everything that can be struck: five services, three brokers, two databases, five proxies."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from deploy.demo.client import DsrClient
from deploy.local import postgres_databases as databases
from deploy.local.platform import ExistingServers, Platform
from deploy.local.ports import HOST, free_port
from deploy.local.postgres import Postgres
from deploy.local.process import Child
from deploy.local.server import Server
from deploy.local.services import Servers, Services
from shared.domain.topics import ServiceName
from shared.messaging import admin
from shared.messaging.producer import KafkaProducer
from shared.runtime.settings import KafkaSettings
from tests.chaos import ledger, resolved
from tests.chaos.crowd import ERASURES_ALLOWED, ERASURES_OF_A_KEY
from tests.chaos.emitter import EMITTER, Emitter
from tests.chaos.post import PostOffice, post_office
from tests.fixtures import stores
from tests.fixtures.brokers import PROBE
from tests.fixtures.cluster import REPLICAS, Node, nodes
from tests.fixtures.memory import in_memory
from tests.fixtures.policy import NOTHING_KEPT
from tests.fixtures.proxy import Link, proxies
from tests.fixtures.stores import Stores

CALLS_EACH = 10
_OF_THE_STORES = "stores"
_OF_THE_PLATFORM = "platform"


@dataclass
class Arena:
    """The running parts, with their addresses behind the proxies."""

    services: Services
    brokers: dict[str, Node]
    databases: dict[str, Postgres]
    links: dict[str, Link]
    """Links by broker or database."""
    stores: Stores
    dsn: str
    channels: list[DsrClient]
    customer: DsrClient
    officers: list[DsrClient]
    emitter: Emitter
    post: PostOffice

    @property
    def bootstrap(self) -> str:
        """All brokers."""
        return ",".join(node.bootstrap for node in self.brokers.values())


@asynccontextmanager
async def arena(directory: Path, people: int) -> AsyncIterator[Arena]:
    """All of it, with so many people in the stores, which keep their ledgers; a key may erase no more than a few."""
    async with AsyncExitStack() as stack:

        async def start(*what: Server | Child | Services) -> None:
            for each in what:
                stack.push_async_callback(asyncio.to_thread, each.stop)
            await asyncio.gather(*(asyncio.to_thread(each.start) for each in what))

        servers = {name: Postgres(directory / name) for name in (_OF_THE_PLATFORM, _OF_THE_STORES)}
        for name in servers:
            stack.enter_context(in_memory(directory / name))
        brokers = {f"broker {node.number}": node for node in nodes(directory / "kafka")}
        await start(*servers.values(), *brokers.values())
        behind = {node.proxy: node.behind for node in brokers.values()}
        at = {name: node.proxy for name, node in brokers.items()}
        for name, server in servers.items():
            at[name] = free_port()
            behind[at[name]] = int(urlsplit(server.dsn).port or 0)
        process, by_port = proxies(behind, directory / "proxies.log")
        await start(process)
        links = {name: by_port[port] for name, port in at.items()}

        existing = ExistingServers(postgres_dsn=servers[_OF_THE_STORES].dsn, kafka_bootstrap=f"{HOST}:1")
        there = Platform(directory / "unused", existing=existing)
        seeded = await stores.seed(there, "store", people, directory / "stores", calls_each=CALLS_EACH)
        await ledger.keep(seeded)
        await resolved.prepare(seeded)
        reached = {store: _through(links[_OF_THE_STORES], dsn) for store, dsn in seeded.dsns.items()}

        dsn = await databases.create(servers[_OF_THE_PLATFORM].dsn, "chaos")
        bootstrap = ",".join(node.bootstrap for node in brokers.values())
        await admin.create_topics(bootstrap, [*admin.declared(), PROBE], replicas=REPLICAS)
        on = Servers(_through(links[_OF_THE_PLATFORM], dsn), ",".join(f"{HOST}:{links[name].port}" for name in brokers))
        env = {"DSR_INTAKE_ERASURES_PER_HOUR": str(ERASURES_ALLOWED), **replace(seeded, dsns=reached).env}
        env["DSR_WORK_SWEEP_SECONDS"] = "0.5"
        post = await stack.enter_async_context(post_office(random.Random(people)))  # noqa: S311  # no secret
        services = Services(directory, on, seeded.downstreams, {**env, **NOTHING_KEPT, **post.env})
        await start(services)

        async def clients(
            role: str, number: int, tenant: str | None = None, holder: str | None = None
        ) -> list[DsrClient]:
            keys = [await asyncio.to_thread(services.key, role, holder, tenant) for _ in range(number)]
            return [await stack.enter_async_context(DsrClient(services.url, key, timeout=30)) for key in keys]

        channels, officers = await clients("channel", 1 + people // ERASURES_OF_A_KEY), await clients("privacy", 2)
        [customer] = await clients("channel", 1, "acme")
        [tells] = await clients("channel", 1, holder=EMITTER)
        producer = KafkaProducer(KafkaSettings(bootstrap=bootstrap))
        stack.push_async_callback(producer.stop)
        emitter = Emitter(tells, producer.send)
        yield Arena(services, brokers, servers, links, seeded, dsn, channels, customer, officers, emitter, post)


def _through(link: Link, dsn: str) -> str:
    """The same database, by way of the proxy."""
    parts = urlsplit(dsn)
    return parts._replace(netloc=f"{parts.netloc.rpartition(':')[0]}:{link.port}").geturl()


PARTS = (*ServiceName, *(f"broker {n}" for n in range(1, REPLICAS + 1)), _OF_THE_PLATFORM, _OF_THE_STORES)
"""Everything that can be killed and frozen."""
LINKS = PARTS[len(ServiceName) :]
"""Everything behind a proxy."""
