"""What every test may ask for: a database of its own, and a broker that all share."""

import gc
import os
import secrets
import shutil
from bisect import bisect
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path

import psutil
import pytest
from hypothesis import configuration, settings
from hypothesis.database import DirectoryBasedExampleDatabase
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from deploy.local import postgres_databases as databases
from deploy.local.paths import CACHE, LOCAL
from deploy.local.platform import ExistingServers, Platform
from deploy.local.postgres import Postgres
from deploy.local.unprivileged import become_unprivileged
from shared.storage import keyring
from shared.storage.migrate import migrate
from tests.fixtures.memory import forget_runs, in_memory

RUNS = LOCAL / "test"
pytest_plugins = ["tests.fixtures.live", "tests.fixtures.roundup", "tests.fixtures.tryton"]

configuration.set_hypothesis_home_dir(CACHE / "hypothesis")
settings.register_profile("repository", database=DirectoryBasedExampleDatabase(CACHE / "hypothesis"), deadline=None)
settings.load_profile("repository")


def pytest_configure(config: pytest.Config) -> None:
    """As root, go on as another user: PostgreSQL refuses root."""
    if os.geteuid() == 0:
        config.pluginmanager.getplugin("capturemanager").stop_global_capturing()
        become_unprivileged("setuid", "setgid", "kill")  # without a container engine an image is built by root


def pytest_collection_finish() -> None:
    """Let the garbage collector pass over what stays: all tests, and what they import."""
    gc.collect()
    gc.freeze()


_LAST_LINES, _LINE = 12, 400
"""How much of a log a failure shows: lines, and characters of each."""
_PARTS = ("test_e", "test_n", "test_s")
"""Where the files of integration tests are parted."""
_FIRST = (
    *("chaos/", "e2e/", "integration/", "acceptance/"),
    *(f"deploy/test_{name}.py" for name in ("outages", "demo", "image", "request_tracker", "team_in_java", "panels")),
)
"""What takes longest: none of it begins when all the rest has ended."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest comes first; else the order of the files stays."""
    items.sort(key=lambda item: [not item.nodeid.startswith(f"tests/{first}") for first in _FIRST])


class ByKind(LoadScopeScheduling):  # type: ignore[misc]  # the plugin is untyped
    """Where the tests run in several processes, one kind of tests stays in one: they share what they have started.

    The largest kind is four, by the name of the file, so that no process is left alone with it.
    """

    def _split_scope(self, nodeid: str) -> str:
        folder, _, test = nodeid.removeprefix("tests/").partition("/")
        file = test.partition("::")[0]
        if folder == "integration":
            return f"{folder} {bisect(_PARTS, file.rpartition('/')[2])}"
        return file if folder == "deploy" else folder


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByKind:
    """Tells the plugin which tests belong together; those of tests/deploy share little but their file."""
    config.option.loadscopereorder = False
    return ByKind(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(call: pytest.CallInfo[None]) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What failed says what the processes that this run has started wrote last: their logs go with the run."""
    report = yield
    if report.failed:
        for path in sorted((RUNS / str(os.getpid())).rglob("*.log")):
            if not path.stem.isdigit() and path.stat().st_mtime > call.start:  # a number: a segment of the broker
                lines = path.read_text(errors="replace").splitlines()[-_LAST_LINES:]
                report.sections.append((f"The end of {path.name}", "\n".join(line[:_LINE] for line in lines)))
    return report


@pytest.fixture
def keys(tmp_path: Path) -> keyring.Keyring:
    """A keyring of this test alone, in ``keyring.json``."""
    keyring.create(tmp_path / "keyring.json")
    return keyring.load(tmp_path / "keyring.json")


@pytest.fixture(scope="session")
def run_folder() -> Iterator[Path]:
    """A folder for what this run of the tests leaves, removed at its end."""
    for left_over in RUNS.glob("*"):
        if not psutil.pid_exists(int(left_over.name)):
            shutil.rmtree(left_over, ignore_errors=True)
    forget_runs()
    folder = RUNS / str(psutil.Process().pid)
    folder.mkdir(parents=True)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgres_server(run_folder: Path) -> Iterator[Postgres | None]:
    """A real PostgreSQL, started once; None where an existing one is used."""
    if ExistingServers().postgres_dsn:
        yield None
        return
    folder = run_folder / "platform" / "postgres"
    with in_memory(folder), Postgres(folder) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_dsn(postgres_server: Postgres | None) -> str:
    """The server's own database: tests take `database` or `empty_database` instead."""
    return postgres_server.dsn if postgres_server else str(ExistingServers().postgres_dsn)


@pytest.fixture(scope="session")
def platform(run_folder: Path, postgres_server: Postgres | None, postgres_dsn: str) -> Iterator[Platform]:
    """The same PostgreSQL and a real broker, started once, for the tests that need both."""
    platform = Platform(run_folder / "platform", existing=ExistingServers(postgres_dsn=postgres_dsn))
    platform.postgres = postgres_server
    with platform:
        yield platform


@pytest.fixture(scope="session")
def kafka_bootstrap(platform: Platform) -> str:
    """The broker that all tests share: a test names its topics and groups so that no other has them."""
    return platform.kafka_bootstrap


@pytest.fixture(scope="session")
def template(postgres_dsn: str) -> Iterator[str]:
    """Name of a database with every migration, from which a test's own is copied."""
    name = f"template_{secrets.token_hex(6)}"
    databases.wait_for(migrate(databases.wait_for(databases.create(postgres_dsn, name))))
    yield name
    databases.wait_for(databases.drop(postgres_dsn, name))


@pytest.fixture
async def database(postgres_dsn: str, template: str) -> AsyncIterator[str]:
    """DSN of a database of this test alone, with every migration."""
    name = f"test_{secrets.token_hex(6)}"
    yield await databases.create(postgres_dsn, name, template)
    await databases.drop(postgres_dsn, name)


@pytest.fixture
async def empty_database(postgres_dsn: str) -> AsyncIterator[str]:
    """DSN of a database of this test alone, with nothing in it."""
    name = f"test_{secrets.token_hex(6)}"
    yield await databases.create(postgres_dsn, name)
    await databases.drop(postgres_dsn, name)
