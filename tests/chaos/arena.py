"""The whole platform with everything that can be struck: five services, three brokers, two databases, five proxies."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from deploy.demo.client import DsrClient
from deploy.local import postgres_databases as databases
from deploy.local.platform import ExistingServers, Platform
from deploy.local.ports import HOST
from deploy.local.postgres import Postgres
from deploy.local.services import Servers, Services
from shared.domain.topics import ServiceName
from shared.messaging import admin
from tests.chaos import ledger
from tests.fixtures import stores
from tests.fixtures.cluster import REPLICAS, Node, nodes
from tests.fixtures.proxy import Proxy
from tests.fixtures.stores import Stores

CALLS_EACH = 10
PROBE = "chaos.probe"
"""A topic to which one record is sent to see whether the brokers take any."""
_OF_THE_STORES = "stores"
_OF_THE_PLATFORM = "platform"


@dataclass
class Arena:
    """What runs, and where it is reached past all proxies."""

    services: Services
    brokers: dict[str, Node]
    databases: dict[str, Postgres]
    links: dict[str, Proxy]
    """By what is behind: a broker or a database."""
    stores: Stores
    dsn: str
    client: DsrClient
    officer: DsrClient

    @property
    def bootstrap(self) -> str:
        """All brokers."""
        return ",".join(node.bootstrap for node in self.brokers.values())


@asynccontextmanager
async def arena(directory: Path, people: int) -> AsyncIterator[Arena]:
    """All of it, with so many people in the stores, which keep their ledgers."""
    async with AsyncExitStack() as stack:
        servers = {name: Postgres(directory / name) for name in (_OF_THE_PLATFORM, _OF_THE_STORES)}
        brokers = {f"broker {node.number}": node for node in nodes(directory / "kafka")}
        links: dict[str, Proxy] = {}
        for name, node in brokers.items():
            links[name] = await stack.enter_async_context(Proxy(node.behind))
            node.proxy = links[name].port
        for server in (*servers.values(), *brokers.values()):
            stack.callback(server.stop)
        await asyncio.gather(*(asyncio.to_thread(each.start) for each in (*servers.values(), *brokers.values())))
        for name, server in servers.items():
            links[name] = await stack.enter_async_context(Proxy(int(urlsplit(server.dsn).port or 0)))

        existing = ExistingServers(postgres_dsn=servers[_OF_THE_STORES].dsn, kafka_bootstrap=f"{HOST}:1")
        there = Platform(directory / "unused", existing=existing)
        seeded = await stores.seed(there, "store", people, directory / "stores", calls_each=CALLS_EACH)
        await ledger.keep(seeded)
        reached = {store: _through(links[_OF_THE_STORES], dsn) for store, dsn in seeded.dsns.items()}

        dsn = await databases.create(servers[_OF_THE_PLATFORM].dsn, "chaos")
        bootstrap = ",".join(node.bootstrap for node in brokers.values())
        await admin.create_topics(bootstrap, [*admin.declared(), PROBE], replicas=REPLICAS)
        proxied = ",".join(f"{HOST}:{links[name].port}" for name in brokers)
        on = Servers(_through(links[_OF_THE_PLATFORM], dsn), proxied)
        env = {"PYTHONFAULTHANDLER": "1", **replace(seeded, dsns=reached).env}
        services = Services(directory, on, seeded.downstreams, env)
        stack.callback(services.stop)
        await asyncio.to_thread(services.start)
        clients = [
            await stack.enter_async_context(DsrClient(services.url, await asyncio.to_thread(services.key, role), timeout=10))
            for role in ("channel", "privacy")
        ]
        yield Arena(services, brokers, servers, links, seeded, dsn, *clients)


def _through(link: Proxy, dsn: str) -> str:
    """The same database, by way of the proxy."""
    parts = urlsplit(dsn)
    return parts._replace(netloc=f"{parts.netloc.rpartition(':')[0]}:{link.port}").geturl()


PARTS = (*ServiceName, *(f"broker {n}" for n in range(1, REPLICAS + 1)), _OF_THE_PLATFORM, _OF_THE_STORES)
"""Everything that can be killed and frozen."""
LINKS = PARTS[len(ServiceName) :]
"""Everything with a proxy before it."""
