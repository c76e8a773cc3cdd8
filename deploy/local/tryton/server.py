"""The local CRM: Tryton behind gunicorn on 127.0.0.1."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from deploy.local.ports import HOST, accepts, free_port
from deploy.local.postgres_databases import named, wait_for
from deploy.local.process import Child
from deploy.local.progress import Progress
from deploy.local.server import Server
from deploy.local.tryton.database import lay
from deploy.local.tryton.install import environment, install
from shared.systems.http_client import connect
from shared.systems.tryton.rpc import TrytonRpc

_WORKERS: Final = 2
_THREADS: Final = 4
_APPLICATION: Final = "trytond.modules.number_assignment.application:application"


class Tryton(Server):
    """A CRM of its own: log in ``directory``, a database of this name on the server of the DSN ``postgres``.

    The first start lays a fresh database; later ones serve it again. ``login`` and ``password`` are the privacy team's;
    ``agent`` and ``agent_password`` belong to somebody who may look up customers. ``dsn`` is where the CRM's own
    database is.
    """

    title = "the CRM (Tryton)"
    login = "privacy"
    agent = "agent"

    def __init__(
        self, directory: Path, postgres: str, *, database: str = "tryton", progress: Progress | None = None
    ) -> None:
        super().__init__(directory, progress)
        self.database = database
        self.dsn = ""
        self.password = secrets.token_urlsafe(18)
        self.agent_password = secrets.token_urlsafe(18)
        self._admin_password = ""
        self._postgres = postgres
        self._port = free_port()

    @property
    def url(self) -> str:
        """Where it listens; the database's name comes after it."""
        return f"http://{HOST}:{self._port}"

    @asynccontextmanager
    async def rpc(self, login: str = login) -> AsyncIterator[TrytonRpc]:
        """Its API as one of its users; ``admin`` is the administrator."""
        passwords = {self.login: self.password, self.agent: self.agent_password, "admin": self._admin_password}
        async with connect(base_url=self.url, timeout=60, trust_env=False) as client:
            yield TrytonRpc(client, self.database, login, passwords[login], _WORKERS * _THREADS)

    def prepare(self) -> Child:
        """Install Tryton and lay a fresh database."""
        self.directory.mkdir(parents=True, exist_ok=True)
        installation = install()
        log = self.directory / "tryton.log"
        self.dsn, self._admin_password = lay(installation, self._postgres, self.database, log)
        return Child(
            "Tryton",
            [
                *(installation.python, "-m", "gunicorn", "--bind", f"{HOST}:{self._port}"),
                *("--config", Path(__file__).with_name("cheap_passwords.py"), "--workers", _WORKERS),
                *("--threads", _THREADS, "--timeout", 120, "--keep-alive", 75),
                *("--no-control-socket", "--log-level", "warning", _APPLICATION),
            ],
            log=log,
            ready=accepts(self._port),
            env={**environment(named(self.dsn, ""), self.directory), "TRYTOND_DATABASE_NAMES": self.database},
            cwd=self.directory,
        )

    def complete(self) -> None:
        """Add the users that others log in as."""
        wait_for(self._add_people())

    async def _add_people(self) -> None:
        async with self.rpc("admin") as rpc:
            groups = {row["name"]: row["id"] for row in await rpc.search("res.group", [], ("name",))}
            team = [["add", [groups["Privacy"], groups["Party Administration"]]]]
            privacy = {"name": "Privacy", "login": self.login, "password": self.password, "groups": team}
            agent = {"name": "Agent", "login": self.agent, "password": self.agent_password}
            await rpc.call("model.res.user.create", [privacy, agent])
