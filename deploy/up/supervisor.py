"""The process that keeps the platform up until SIGTERM.

Started by ``make up`` with the folder, the downstreams file, and the pipe on which it says that all is ready.
"""

import logging
import os
import secrets
import shutil
import signal
import sys
import threading
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from types import FrameType

import asyncpg
import typer
from aiokafka.errors import KafkaError

from deploy.local import postgres_databases as databases
from deploy.local.platform import ExistingServers, Platform
from deploy.local.ports import free_port
from deploy.local.process import Child, step
from deploy.local.services import Servers, Services
from deploy.local.sites import Sites
from deploy.up import environment, sample
from shared.domain.errors import DsrError, Misconfigured
from shared.domain.topics import ServiceName
from shared.systems.bus.settings import BusSettings
from shared.systems.file import read

_DATABASE = "dsr_up"


class Supervisor:
    """The platform of one folder, from its start to its end."""

    def __init__(self, folder: Path, downstreams: Path, *, keep: bool) -> None:
        self._folder = folder
        self._keep = keep
        self._downstreams = downstreams
        self._is_sample = downstreams == sample.DOWNSTREAMS
        declared = read(downstreams, os.environ)
        self._on_the_bus = [each.name for each in declared if isinstance(each.settings, BusSettings)]
        self._stopping = threading.Event()

    def run(self, ready: int) -> None:
        """Starts everything, says so on the pipe, and keeps it up until SIGTERM."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._stop)
        with environment.Lock(self._folder).held(), ExitStack() as stack:
            stack.callback(environment.remove, self._folder)
            if not self._keep:  # on an empty platform every system is enabled immediately
                for left in ("servers/kafka", "services"):
                    shutil.rmtree(self._folder / left, ignore_errors=True)
            platform = stack.enter_context(Platform(self._folder / "servers", ExistingServers()))
            servers = Servers(self._database(platform), platform.kafka_bootstrap)
            env = self._sample(platform, servers.postgres_dsn, stack)
            services = Services(
                *(self._folder / "services", servers, self._downstreams, env),
                bus_systems=self._on_the_bus,
                policy=self._policy,
            )
            stack.callback(services.stop)
            self.prepare(services)
            # Real people's data may be shown: no other user of this machine may sign in.
            password = None if self._is_sample else secrets.token_urlsafe(12)
            sites = stack.enter_context(Sites(self._folder, services, password, self._sign_in_port()))
            with step("Starting the six services"):
                services.start_prepared()
            ours = {"postgres": platform.postgres, "kafka": platform.kafka}
            children = {name: server.child for name, server in ours.items() if server}
            children |= {**sites.children, **{str(name): child for name, child in services.children.items()}}
            self._write(services, servers, sites, children)
            self._go_to_the_background(ready)
            self._stopping.wait()

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        if self._stopping.is_set():
            return
        self._stopping.set()
        if not (self._folder / environment.FILE).exists():
            raise KeyboardInterrupt  # it is still starting

    def _database(self, platform: Platform) -> str:
        """Returns the DSN of the platform's database; on an existing server, the one that was named."""
        if platform.postgres is None:
            return platform.postgres_dsn
        if not self._keep:
            databases.wait_for(databases.drop(platform.postgres_dsn, _DATABASE))
        return databases.wait_for(databases.create(platform.postgres_dsn, _DATABASE))

    @property
    def _policy(self) -> Path | None:
        """The policy that the environment names, else that of the sample store."""
        if named := os.environ.get("DSR_POLICY_OVERLAY"):
            return Path(named).resolve()
        return sample.POLICY if self._is_sample else None

    def _sample(self, platform: Platform, dsn: str, stack: ExitStack) -> Mapping[str, str]:
        """Creates the sample store, where it is declared; on a server that is not ours nothing of it stays."""
        if not self._is_sample:
            return {}
        if platform.postgres is None:
            stack.callback(lambda: databases.wait_for(sample.drop(dsn)))
        return {sample.DSN_VARIABLE: databases.wait_for(sample.create(dsn, keep=self._keep))}

    def prepare(self, services: Services) -> None:
        """Creates schema and topics.

        Raises:
            Misconfigured: the database that is kept has another schema.
        """
        try:
            services.prepare()
        except (Misconfigured, asyncpg.PostgresError) as error:
            if not self._keep:
                raise
            raise Misconfigured(f"{error} (`make up` without KEEP=1 starts empty)") from error

    def _sign_in_port(self) -> int:
        """Returns the identity provider's port; with KEEP=1 the previous one, since accounts belong to its address."""
        file = self._folder / "sign-in.port"
        if not (self._keep and file.exists()):
            file.write_text(str(free_port()))
        return int(file.read_text())

    def _go_to_the_background(self, ready: int) -> None:
        """Says that all is ready, and from now on writes into the log.

        Raises:
            BrokenPipeError: the process that has started us is gone.
        """
        with (self._folder / "up.log").open("a") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        os.write(ready, b"ready")
        os.close(ready)

    def _write(self, services: Services, servers: Servers, sites: Sites, children: Mapping[str, Child]) -> None:
        """Makes the keys of this run, of a channel, the privacy team, each team on the bus and each emitter."""
        keys = {role: services.key(role) for role in ("channel", "privacy")}
        keys |= {role: services.key(role) for role in (f"downstream:{name}" for name in self._on_the_bus)}
        for name, emitter in services.emitters.items():
            keys[f"emitter:{name}"] = services.key("channel", name, emitter.tenant)
        urls = {str(name): {"url": services.url_of(name)} for name in ServiceName}
        content = {
            "api": services.url,
            "docs": f"{services.url}/docs",
            "sites": dict(sites.shown()),
            "broker": servers.kafka_bootstrap,
            "database": servers.postgres_dsn,
            "downstreams": str(self._downstreams),
            "policy": services.env.get("DSR_POLICY_OVERLAY"),
            "keys": keys,
            "topics": {"prefix": "dsr.", "names": services.topics},
            "processes": {
                name: {"pid": child.pid, "log": str(child.log), **urls.get(name, {})}
                for name, child in children.items()
            },
            "supervisor": {"pid": os.getpid(), "log": str(self._folder / "up.log")},
            "settings": services.env,
        }
        environment.write(self._folder, content)


def main(folder: Path, downstreams: Path, ready: int, *, keep: bool = False) -> None:
    """Run until SIGTERM; what is wrong before all is ready is said on the pipe."""
    logging.basicConfig(format="%(asctime)s %(message)s")
    try:
        Supervisor(folder, downstreams, keep=keep).run(ready)
    except KeyboardInterrupt:
        sys.exit(1)
    except (DsrError, RuntimeError, OSError, KafkaError, asyncpg.PostgresError) as error:
        with suppress(OSError):
            os.write(ready, f"{error}".encode())
        sys.exit(1)


if __name__ == "__main__":
    typer.run(main)
