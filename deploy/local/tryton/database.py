"""A fresh Tryton database: restored from a dump, which Tryton itself makes once."""

import os
import secrets
import subprocess
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from deploy.local.paths import CACHE
from deploy.local.postgres_binaries import find_postgres
from deploy.local.postgres_databases import create, drop, fetch, named, wait_for
from deploy.local.tryton.install import Installation, environment
from deploy.local.venv import alone

MODULES = ("party", "number_assignment")
_MAJOR = "SELECT current_setting('server_version_num')::int / 10000"


def lay(installation: Installation, postgres: str, database: str, log: Path) -> tuple[str, str]:
    """Put a fresh database of that name in the place of what is there; its DSN, and its user ``admin``'s password."""
    major = wait_for(fetch(postgres, _MAJOR))[0][0]
    kept = CACHE / "tryton" / f"{installation.digest}-{major}"
    dump, password = kept / "dump", kept / "password"
    with alone("tryton-database"):
        wait_for(drop(postgres, database))
        dsn = wait_for(create(postgres, database))
        if dump.exists():
            _postgres_tool("pg_restore", dsn, log, "--no-owner", "--exit-on-error", dump)
        else:
            kept.mkdir(parents=True, exist_ok=True)
            _initialise(installation, dsn, password, log)
            partial = dump.with_suffix(".partial")
            _postgres_tool("pg_dump", dsn, log, "--format=custom", "--compress=1", f"--file={partial}")
            partial.rename(dump)
    return dsn, password.read_text()


def _initialise(installation: Installation, dsn: str, password: Path, log: Path) -> None:
    """Let Tryton fill an empty database, with a new password of ``admin`` that it reads from that file."""
    password.touch(mode=0o600)
    password.write_text(secrets.token_urlsafe(18))
    database = urlsplit(dsn).path.removeprefix("/")
    words = ("-d", database, "--email", "admin@crm.invalid", "-l", "en", "-u", *MODULES, "--activate-dependencies")
    settings = {**environment(named(dsn, ""), log.parent), "TRYTONPASSFILE": str(password)}
    _run([installation.python, "-m", "trytond.cli.admin", *words], log, settings)


def _postgres_tool(program: str, dsn: str, log: Path, *words: str | Path) -> None:
    parts = urlsplit(dsn)
    without = urlunsplit(parts._replace(netloc=parts.netloc.replace(f":{parts.password}@", "@")))
    command = [find_postgres()[program], f"--dbname={without}", *words]
    _run(command, log, {"PGPASSWORD": unquote(parts.password or "")})


def _run(command: list[str | Path], log: Path, more: Mapping[str, str]) -> None:
    with log.open("ab") as output:
        subprocess.run(command, stdout=output, stderr=output, env={**os.environ, **more}, check=True)
