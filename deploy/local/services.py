"""The six services as processes of this machine, on real servers, with keys of their own."""

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from deploy.local.paths import ROOT
from deploy.local.ports import HOST, answers, free_ports
from deploy.local.postgres_databases import wait_for
from deploy.local.process import Child
from services.intake.access import auth
from services.intake.access.grant import Grant, Power
from shared.domain.clock import SystemClock
from shared.domain.topics import ServiceName
from shared.domain.user_events import EMITTERS, Emitter, read_emitters
from shared.messaging import admin
from shared.storage import keyring
from shared.storage.migrate import migrate


@dataclass(frozen=True)
class Servers:
    """The database and the broker that the services stand on."""

    postgres_dsn: str
    kafka_bootstrap: str


OVERLAY = ROOT / "deploy" / "demo" / "policy"
"""A policy with a fictitious signature."""


class Services:
    """All services, ready when each is.

    ``env``: further variables, such as the secrets of the downstreams file; ``env_of``: by service. ``bus_systems``:
    downstreams on the bus, which need their own topics. ``policy``: the company's files of the policy of processing;
    None: as the environment says, else as shipped.
    """

    def __init__(
        self,
        directory: Path,
        servers: Servers,
        downstreams: Path,
        env: Mapping[str, str] | None = None,
        bus_systems: Sequence[str] = (),
        env_of: Mapping[ServiceName, Mapping[str, str]] | None = None,
        policy: Path | None = OVERLAY,
    ) -> None:
        self.directory = directory
        self.keyring = directory / "keyring.json"
        self.prometheus = directory / "prometheus.json"
        self._servers = servers
        self._bus_systems = bus_systems
        self._env_of = env_of or {}
        self.ports = dict(zip(ServiceName, free_ports(len(ServiceName)), strict=True))
        self.metrics_token = secrets.token_urlsafe(32)
        self.env = {
            "DSR_POSTGRES_DSN": self._servers.postgres_dsn,
            "DSR_KAFKA_BOOTSTRAP": servers.kafka_bootstrap,
            "DSR_VAULT_KEYRING": str(self.keyring),
            "DSR_WORK_DOWNSTREAMS": str(downstreams),
            **({"DSR_POLICY_OVERLAY": str(policy)} if policy else {}),
            "DSR_TELEMETRY_PRIVACY_TOKEN": self.metrics_token,
            "DSR_INTAKE_ERASURES_PER_HOUR": "1000000",  # a key of tests, demo and bench asks for all of them
            "DSR_HTTP_LINGER_SECONDS": "0",  # no load balancer has to notice first
            **(env or {}),
        }
        self.children = {name: self._child(name, self.ports[name], name) for name in ServiceName}

    @property
    def url(self) -> str:
        """Returns the address of the API."""
        return self.url_of(ServiceName.INTAKE)

    @property
    def public_key(self) -> bytes:
        """Returns the key that verifies their signatures."""
        return keyring.load(self.keyring).signing.public_key().public_bytes_raw()

    def url_of(self, service: ServiceName) -> str:
        """Returns the address of a service's health and metrics."""
        return f"http://{HOST}:{self.ports[service]}"

    def prepare(self) -> None:
        """Makes what the services find when they start: the keyring, the schemas, the topics.

        For a Prometheus that wants to watch them, ``prometheus`` is a configuration with the committed rules.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        self.prometheus.touch(mode=0o600)
        self.prometheus.write_text(json.dumps(self._scraping(), indent=2))
        if not self.keyring.exists():
            keyring.create(self.keyring)
        wait_for(migrate(self._servers.postgres_dsn))
        wait_for(admin.create_topics(self._servers.kafka_bootstrap, self.topics))

    @property
    def emitters(self) -> Mapping[str, Emitter]:
        """The emitters of user events, from the file that intake reads."""
        named = self.env.get("DSR_INTAKE_EMITTERS") or os.environ.get("DSR_INTAKE_EMITTERS")
        return read_emitters(Path(named) if named else EMITTERS)

    @property
    def topics(self) -> list[str]:
        """The topics of the platform, of teams on the bus, and of emitters."""
        return admin.declared(self._bus_systems, self.emitters)

    def key(self, role: str, holder: str | None = None, tenant: str | None = None) -> str:
        """A new API key with that role, for that holder or for one of its own; a channel's may do all that any may.

        ``tenant``: the customer whose channel it is.
        """
        grant = Grant("L3", powers=frozenset(Power), tenant=tenant) if role == "channel" else None
        who = holder or f"{role.split(':', maxsplit=1)[0]}-{secrets.token_hex(4)}"
        return wait_for(auth.create(self._servers.postgres_dsn, role, who, SystemClock().now(), grant))

    def open_sites(self, issuer: str, settings: Mapping[str, str] | None = None) -> None:
        """Gives intake a portal, and a console that trusts this identity provider; ``settings``: more of them."""
        urls = {"DSR_PORTAL_URL": self.url, "DSR_CONSOLE_URL": self.url, "DSR_CONSOLE_ISSUER": issuer}
        self.set(ServiceName.INTAKE, {**urls, **(settings or {})})

    def set(self, name: str, settings: Mapping[str, str]) -> None:
        """Gives one service more settings, before it starts."""
        child = self.children[ServiceName(name)]
        child.env = {**child.env, **settings}

    def command(self, *words: str) -> str:
        """Runs a command of ``dsr`` with the settings of the services and returns its output; raises if it fails."""
        command = [sys.executable, "-m", "services", *words]
        done = subprocess.run(
            command, cwd=ROOT, env={**os.environ, **self.env}, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"dsr {' '.join(words)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def start(self) -> None:
        """Starts all side by side and waits until each is ready."""
        self.prepare()
        self.start_prepared()

    def start_prepared(self) -> None:
        """Starts all services on a prepared platform, which their own rights do not suffice to prepare."""
        for child in self.children.values():
            child.spawn()
        for child in self.children.values():
            child.wait_ready()

    def stop(self) -> None:
        """Asks all to drain and end."""
        for child in self.children.values():
            child.signal(child.stop_signal)
        for child in self.children.values():
            child.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def instance(self, name: ServiceName, version: str) -> tuple[Child, str]:
        """One more instance of a service, not started, that tells collectors of this version; and where it answers."""
        port = free_ports(1)[0]
        return self._child(name, port, f"{name}-{version}", version), f"http://{HOST}:{port}"

    def _scraping(self) -> dict[str, object]:
        scrape = {
            "job_name": "dsr",
            "metrics_path": "/metrics/privacy",
            "authorization": {"type": "Bearer", "credentials": self.metrics_token},
            "static_configs": [
                {"targets": [f"{HOST}:{port}"], "labels": {"instance": name}} for name, port in self.ports.items()
            ],
        }
        return {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s", "scrape_timeout": "1s"},
            "rule_files": [str(ROOT / "deploy" / "prometheus" / "rules" / "*.yml")],
            "scrape_configs": [scrape],
        }

    def _child(self, name: ServiceName, port: int, log: str, version: str = "local") -> Child:
        return Child(
            name,
            [sys.executable, "-m", "services", "run", name],
            log=self.directory / f"{log}.log",
            ready=answers(f"http://{HOST}:{port}/readyz"),
            env={
                **self.env,
                **self._env_of.get(name, {}),
                "OTEL_RESOURCE_ATTRIBUTES": f"service.version={version}",
                "DSR_HTTP_PORT": str(port),
            },
            cwd=ROOT,
        )
