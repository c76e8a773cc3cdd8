"""The local CRM: Tryton with our module, behind gunicorn on 127.0.0.1, in a virtual environment of its own."""

import hashlib
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit, urlunsplit

from deploy.local.paths import CACHE, ROOT
from deploy.local.ports import HOST, accepts, free_port
from deploy.local.postgres import find_postgres
from deploy.local.postgres_databases import create, drop, fetch, named, wait_for
from deploy.local.process import Child
from deploy.local.server import Server
from deploy.local.venv import alone, locked_venv
from shared.systems.http_client import connect_http
from shared.systems.tryton.rpc import TrytonRpc

_LOCK = Path(__file__).with_name("requirements.lock")
_MODULE = ROOT / "deploy" / "downstreams" / "tryton" / "number_assignment"
_WORKERS: Final = 2
_THREADS: Final = 4
_APPLICATION: Final = "trytond.modules.number_assignment.application:application"
_MAJOR = "SELECT current_setting('server_version_num')::int / 10000"


class Tryton(Server):
    """A CRM of its own: log in ``directory``, a database of this name on the server of the DSN ``postgres``.

    The first start makes a fresh database; later ones serve it again. ``login`` and ``password`` are the privacy
    team's; ``agent`` and ``agent_password`` are a user's who may look up customers. ``dsn`` is the CRM's own database.
    """

    title = "the CRM (Tryton)"
    login = "privacy"
    agent = "agent"

    def __init__(self, directory: Path, postgres: str, *, database: str = "tryton") -> None:
        super().__init__(directory)
        self.database = database
        self.dsn = ""
        self.password = secrets.token_urlsafe(18)
        self.agent_password = secrets.token_urlsafe(18)
        self._admin_password = ""
        self._sessions: dict[str, str | None] = {}
        self._postgres = postgres
        self._port = free_port()

    @property
    def url(self) -> str:
        """Returns the address without the database's name."""
        return f"http://{HOST}:{self._port}"

    @asynccontextmanager
    async def rpc(self, login: str = login) -> AsyncIterator[TrytonRpc]:
        """Its API as one of its users; ``admin`` is the administrator."""
        passwords = {self.login: self.password, self.agent: self.agent_password, "admin": self._admin_password}
        async with connect_http(base_url=self.url, timeout=60, trust_env=False) as client:
            rpc = TrytonRpc(client, self.database, login, passwords[login], _WORKERS * _THREADS)
            rpc.session = self._sessions.get(login)
            yield rpc
            self._sessions[login] = rpc.session

    def prepare(self) -> Child:
        """Installs Tryton and makes a fresh database."""
        self.directory.mkdir(parents=True, exist_ok=True)
        python, digest = install()
        log = self.directory / "tryton.log"
        self.dsn, self._admin_password = _fresh(python, digest, self._postgres, self.database, log)
        return Child(
            "Tryton",
            [
                *(python, "-m", "gunicorn", "--bind", f"{HOST}:{self._port}"),
                *("--config", Path(__file__).with_name("cheap_passwords.py"), "--workers", _WORKERS),
                *("--threads", _THREADS, "--timeout", 120, "--keep-alive", 75),
                *("--no-control-socket", "--log-level", "warning", _APPLICATION),
            ],
            log=log,
            ready=accepts(self._port),
            env={**_settings(named(self.dsn, ""), self.directory), "TRYTOND_DATABASE_NAMES": self.database},
            cwd=self.directory,
        )

    def complete(self) -> None:
        """Adds the users that others log in as."""
        wait_for(self._add_people())

    async def _add_people(self) -> None:
        async with self.rpc("admin") as rpc:
            groups = {row["name"]: row["id"] for row in await rpc.search("res.group", [], ("name",))}
            team = [["add", [groups["Privacy"], groups["Party Administration"]]]]
            privacy = {"name": "Privacy", "login": self.login, "password": self.password, "groups": team}
            agent = {"name": "Agent", "login": self.agent, "password": self.agent_password}
            await rpc.call("model.res.user.create", [privacy, agent])


def install() -> tuple[Path, str]:
    """Installs what is missing or out of date; returns the interpreter, and a digest of what a fresh database needs."""
    python = locked_venv("tryton", _LOCK) / "python"
    sources = [_LOCK, *sorted(path for path in _MODULE.iterdir() if path.is_file())]
    digest = hashlib.sha256(b"".join((*(path.read_bytes() for path in sources), sys.executable.encode()))).hexdigest()
    (modules,) = python.parents[1].glob("lib/python*/site-packages/trytond/modules")
    copied = modules / _MODULE.name
    with alone("tryton-module"):
        stamp = copied / ".stamp"
        if not stamp.exists() or stamp.read_text() != digest:
            shutil.rmtree(copied, ignore_errors=True)
            shutil.copytree(_MODULE, copied, ignore=shutil.ignore_patterns("__pycache__"))
            stamp.write_text(digest)
    return python, digest[:12]


def _settings(uri: str, directory: Path) -> Mapping[str, str]:
    """Tryton's settings. No default database is named: for that one it would open a new connection per request."""
    return {
        "TRYTOND_DATABASE__URI": uri,
        "TRYTOND_DATABASE__PATH": str(directory / "files"),
        "TRYTOND_SESSION__AUTHENTICATIONS": "password",
        "PYTHONPYCACHEPREFIX": "",  # bytecode stays next to the programs
    }


def _fresh(python: Path, digest: str, postgres: str, database: str, log: Path) -> tuple[str, str]:
    """Makes a fresh database from a dump, which Tryton makes once; returns its DSN and the administrator's password."""
    kept = CACHE / "tryton" / f"{digest}-{wait_for(fetch(postgres, _MAJOR))[0][0]}"
    dump, password = kept / "dump", kept / "password"
    with alone("tryton-database"):
        wait_for(drop(postgres, database))
        dsn = wait_for(create(postgres, database))
        if dump.exists():
            _postgres_tool("pg_restore", dsn, log, "--no-owner", "--exit-on-error", dump)
        else:
            kept.mkdir(parents=True, exist_ok=True)
            password.touch(mode=0o600)
            password.write_text(secrets.token_urlsafe(18))
            words = ("-d", database, "--email", "admin@crm.invalid", "-l", "en", "--activate-dependencies")
            settings = {**_settings(named(dsn, ""), log.parent), "TRYTONPASSFILE": str(password)}
            _run([python, "-m", "trytond.cli.admin", *words, "-u", "party", "number_assignment"], log, settings)
            partial = dump.with_suffix(".partial")
            _postgres_tool("pg_dump", dsn, log, "--format=custom", "--compress=1", f"--file={partial}")
            partial.rename(dump)
    return dsn, password.read_text()


def _postgres_tool(program: str, dsn: str, log: Path, *words: str | Path) -> None:
    parts = urlsplit(dsn)
    without = urlunsplit(parts._replace(netloc=parts.netloc.replace(f":{parts.password}@", "@")))
    command = [find_postgres()[program], f"--dbname={without}", *words]
    _run(command, log, {"PGPASSWORD": unquote(parts.password or "")})


def _run(command: list[str | Path], log: Path, more: Mapping[str, str]) -> None:
    with log.open("ab") as output:
        subprocess.run(command, stdout=output, stderr=output, env={**os.environ, **more}, check=True)
