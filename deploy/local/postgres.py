"""A real PostgreSQL server as our child process."""

import secrets
import shutil
import signal
import sys
from pathlib import Path
from typing import Self

from deploy.local import postgres_databases as databases
from deploy.local.ports import HOST, free_port
from deploy.local.postgres_account import RunAs, choose
from deploy.local.postgres_binaries import Binaries, find_postgres
from deploy.local.process import Child
from deploy.local.progress import Progress

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


class Postgres:
    """The server; `directory` holds its data and its log, and the next start finds them again.

    The port stays the same for the life of this object, so clients reconnect after `kill()` and `start()`.
    """

    def __init__(self, directory: Path, progress: Progress | None = None, binaries: Binaries | None = None) -> None:
        self._directory = directory
        self._progress = progress or Progress()
        self._binaries = binaries
        self._port = free_port()
        self._child: Child | None = None
        self._password: str | None = None

    @property
    def dsn(self) -> str:
        """Where the database `dsr` is, for its superuser `dsr`."""
        if self._password is None:
            message = "PostgreSQL was never started"
            raise RuntimeError(message)
        return f"postgresql://{USER}:{self._password}@{HOST}:{self._port}/{DATABASE}"

    @property
    def child(self) -> Child:
        """The server's process; made by the first `start()`."""
        if self._child is None:
            message = "PostgreSQL was never started"
            raise RuntimeError(message)
        return self._child

    def start(self) -> None:
        """Start the server and wait until it takes connections; makes its data directory and database first."""
        with self._progress.step("Starting PostgreSQL"):
            if self._child is None:
                self._child = self._prepare()
            self._child.start()
            databases.wait_for(databases.create(databases.named(self.dsn, "postgres"), DATABASE))

    def database(self, name: str) -> str:
        """Create a database of this server if it is not there yet; its DSN."""
        return databases.wait_for(databases.create(self.dsn, name))

    def stop(self) -> None:
        """Stop the server cleanly, whoever is connected."""
        if self._child is not None:
            self._child.stop()

    def kill(self) -> None:
        """Kill the server as `kill -9` does."""
        self.child.kill()

    def restart(self) -> None:
        """Stop and start again, on the same port with the same data."""
        self.stop()
        self.start()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _prepare(self) -> Child:
        self._directory.mkdir(parents=True, exist_ok=True)
        binaries = self._binaries or find_postgres()
        log = self._directory / "postgres.log"
        run_as = choose(binaries, self._directory, log)
        cluster = self._directory / f"cluster-{binaries.major}"
        if not cluster.is_dir():
            _initialise(binaries, run_as, cluster, log)
        self._password = (cluster / "password").read_text()
        settings = {**_SETTINGS, "port": str(self._port)}
        return Child(
            "PostgreSQL",
            [
                *run_as.prefix,
                binaries["postgres"],
                *("-D", cluster / "data"),
                *(word for name, value in settings.items() for word in ("-c", f"{name}={value}")),
            ],
            log=log,
            ready=lambda: self._says_ready(cluster / "data" / "postmaster.pid"),
            account=run_as.account,
            stop_signal=signal.SIGINT,
        )

    def _says_ready(self, status: Path) -> bool:
        """Whether the server has written that it takes connections, in the file where pg_ctl looks too."""
        try:
            lines = status.read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) > _STATUS_LINE and int(lines[0]) == self.child.pid and lines[_STATUS_LINE].strip() == "ready"


def _initialise(binaries: Binaries, run_as: RunAs, cluster: Path, log: Path) -> None:
    """Make a cluster beside its place and move it there whole: one that was cut short does not count."""
    fresh = cluster.with_name(f"{cluster.name}.partial")
    shutil.rmtree(fresh, ignore_errors=True)
    run_as.make_folder(fresh)
    password = fresh / "password"
    run_as.write(password, secrets.token_urlsafe(24))
    options = [
        "--encoding=UTF8",
        "--auth=scram-sha-256",
        f"--username={USER}",
        f"--pwfile={password}",
        *_locale(binaries),
    ]
    run_as.run([binaries["initdb"], "-D", fresh / "data", *options], log)
    fresh.rename(cluster)


def _locale(binaries: Binaries) -> tuple[str, ...]:
    """Sort by code point, know the letters of all languages."""
    if binaries.major >= _OWN_PROVIDER:
        return ("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
    return ("--locale=C", f"--lc-ctype={'en_US.UTF-8' if sys.platform == 'darwin' else 'C.UTF-8'}")
