"""A fresh Tryton database: a copy of a template, restored from a dump, made once by Tryton itself."""

import hashlib
import json
import os
import secrets
import subprocess
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from deploy.local.paths import CACHE
from deploy.local.postgres_binaries import find_postgres
from deploy.local.postgres_databases import create, drop, fetch, named, rename, wait_for
from deploy.local.tryton.install import Installation, environment
from deploy.local.venv import alone

MODULES = ("party", "number_assignment")
_PARTIAL = "tryton_template_partial"
_EXISTS = "SELECT FROM pg_database WHERE datname = $1"


class Template:
    """The template of one server: ``password`` is that of its user ``admin``."""

    def __init__(self, installation: Installation, postgres: str, log: Path) -> None:
        self._installation = installation
        self._postgres = postgres
        self._log = log
        major = wait_for(fetch(postgres, "SELECT current_setting('server_version_num')::int / 10000"))[0][0]
        stem = CACHE / "tryton" / f"{installation.digest}-{major}"
        self._dump = stem.with_suffix(".dump")
        self._secret = stem.with_suffix(".json")

    def copy(self, database: str) -> str:
        """Put a fresh copy in the place of the database; its DSN."""
        with alone("tryton-database"):
            template = self._made()
            wait_for(drop(self._postgres, database))
            return wait_for(create(self._postgres, database, template=template))

    @property
    def password(self) -> str:
        """The password of the user ``admin`` in every copy."""
        return str(json.loads(self._secret.read_text())["admin"])

    def _made(self) -> str:
        """The name of the template, which is made first where it is not there; it belongs to one dump and no other."""
        if not self._dump.exists():
            self._initialise()
        mark = hashlib.sha256(self.password.encode()).hexdigest()[:8]
        name = f"tryton_template_{self._installation.digest}_{mark}"
        if not wait_for(fetch(self._postgres, _EXISTS, name)):
            dsn = self._empty()
            self._postgres_tool("pg_restore", dsn, "--no-owner", "--exit-on-error", str(self._dump))
            wait_for(rename(self._postgres, _PARTIAL, name))
        return name

    def _initialise(self) -> None:
        """Let Tryton make a database, and keep a dump of it."""
        dsn = self._empty()
        password = secrets.token_urlsafe(18)
        self._dump.parent.mkdir(parents=True, exist_ok=True)
        file = self._secret.with_suffix(".password")
        _write_private(file, password)
        words = ("-d", _PARTIAL, "--email", "admin@crm.invalid", "-l", "en", "-u", *MODULES, "--activate-dependencies")
        try:
            self._run(
                [self._installation.python, "-m", "trytond.cli.admin", *words],
                {**environment(server(dsn), self._log.parent), "TRYTONPASSFILE": str(file)},
            )
        finally:
            file.unlink()
        partial = self._dump.with_suffix(".partial")
        self._postgres_tool("pg_dump", dsn, "--format=custom", "--compress=1", f"--file={partial}")
        wait_for(drop(self._postgres, _PARTIAL))
        _write_private(self._secret, json.dumps({"admin": password}))
        partial.rename(self._dump)

    def _empty(self) -> str:
        wait_for(drop(self._postgres, _PARTIAL))
        return wait_for(create(self._postgres, _PARTIAL))

    def _postgres_tool(self, program: str, dsn: str, *words: str) -> None:
        parts = urlsplit(dsn)
        without = urlunsplit(parts._replace(netloc=parts.netloc.replace(f":{parts.password}@", "@")))
        self._run(
            [find_postgres()[program], f"--dbname={without}", *words], {"PGPASSWORD": unquote(parts.password or "")}
        )

    def _run(self, command: list[str | Path], more: dict[str, str]) -> None:
        with self._log.open("ab") as log:
            subprocess.run(command, stdout=log, stderr=log, env={**os.environ, **more}, check=True)


def server(dsn: str) -> str:
    """The DSN of the server alone, as Tryton wants it."""
    return named(dsn, "")


def _write_private(file: Path, text: str) -> None:
    file.touch(mode=0o600)
    file.write_text(text)
