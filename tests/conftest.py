"""Fixtures of all tests: a database for each, and a shared broker."""

import gc
import os
import secrets
import shutil
import signal
from collections import Counter
from collections.abc import AsyncIterator, Generator, Iterator, Mapping, Sequence
from pathlib import Path

import psutil
import pytest
from hypothesis import configuration, settings
from hypothesis.database import DirectoryBasedExampleDatabase
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from deploy.local import postgres_databases as databases
from deploy.local import process
from deploy.local.paths import CACHE, LOCAL
from deploy.local.platform import ExistingServers, Platform
from deploy.local.postgres import Postgres
from deploy.local.unprivileged import become_unprivileged
from shared.storage import keyring
from shared.storage.migrate import migrate
from tests.fixtures import groups, preforked
from tests.fixtures.databases import Databases
from tests.fixtures.memory import forget_runs, in_memory

RUNS = LOCAL / "test"
pytest_plugins = [f"tests.fixtures.{name}" for name in ("wire", "brokers", "live", "roundup", "tryton")]

configuration.set_hypothesis_home_dir(CACHE / "hypothesis")
settings.register_profile("repository", database=DirectoryBasedExampleDatabase(CACHE / "hypothesis"), deadline=None)
settings.load_profile("repository")


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def pytest_configure(config: pytest.Config) -> None:
    """As root, go on as another user: PostgreSQL refuses root. Nothing that is imported is garbage."""
    gc.disable()
    pytest.MonkeyPatch().setattr(process, "start_keeper", preforked.start_keeper)
    os.environ.setdefault("PGSSLMODE", "disable")  # else each connection makes a TLS context first
    signal.signal(signal.SIGINT, _interrupt)  # else each loop sets its own, which formats the task that it runs
    if os.geteuid() == 0:
        config.pluginmanager.getplugin("capturemanager").stop_global_capturing()
        become_unprivileged("setuid", "setgid", "kill")  # without a container engine an image is built by root


def pytest_collection_finish() -> None:
    """Let the garbage collector pass over what stays: all tests, and what they import."""
    gc.collect()
    gc.freeze()
    gc.enable()


_LAST_LINES, _LINE = 12, 400
"""Lines of a log that a failure shows, and characters of each."""
_TOGETHER: Mapping[str, Sequence[str]] = {
    "acceptance": ("acceptance/",),
    "chaos": ("chaos/",),
    "broker": (
        *(f"integration/test_{name}.py" for name in ("consumer", "dispatcher", "frozen", "operations_page")),
        *(f"integration/test_{name}.py" for name in ("outbox_parked", "schema", "service", "up")),
        "contract/test_compose.py",
    ),
    "CRM and ticketing": (
        *(f"integration/test_{name}.py" for name in ("adapters_of_real_systems", "nightly", "register")),
        *(f"integration/test_{name}" for name in ("roundup", "tryton_erasure", "withdrawn_midway")),
    ),
    "demonstration": ("deploy/test_demo.py",),
    "broker of the image": (*(f"deploy/test_{name}.py" for name in ("image", "mail_servers", "team_in_java")),),
    "watched platform": (*(f"deploy/test_{name}.py" for name in ("at_rest", "panels", "user_event_examples")),),
    "MariaDB": ("deploy/test_mariadb",),
}
"""The tests that share a server or a platform run in one process, where the first that needs it starts it."""
_PLATFORMS = ("acceptance", "chaos")
"""Tests that need the whole machine: one process runs both."""
_SERVERS = {"kafka_bootstrap", "killable", "live", "platform", "roundup", "tryton"}
"""Fixtures of servers, which separate files would start again."""
_FIRST = ("platform", "evidence", "portal", "retention_sweep")
"""Slow files, by the number of their tests."""
_DEPLOY = ("request_tracker", "console_in_a_browser", "sites_in_a_browser", "k8s_pods", "report_page")
"""The slowest of the other files of tests/deploy, in this order."""


def _scope(nodeid: str) -> str:
    """The tests that one process runs, one after the other: a file, or several that share servers."""
    file = nodeid.removeprefix("tests/").partition("::")[0]
    return next((name for name, files in _TOGETHER.items() if file.startswith(tuple(files))), file)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Runs the slowest tests first."""
    number = Counter(_scope(item.nodeid) for item in items)
    named = [*_TOGETHER, *(f"deploy/test_{name}.py" for name in _DEPLOY)]
    named += [f"integration/test_{name}.py" for name in _FIRST]

    def place(item: pytest.Item) -> tuple[int, bool, int, str]:
        scope = _scope(item.nodeid)
        first = named.index(scope) if scope in named else len(named)
        return first, not scope.startswith("integration/"), -number[scope], scope

    items.sort(key=place)
    for item in items:
        alone = _scope(item.nodeid) not in _TOGETHER and not item.nodeid.startswith("tests/deploy/")
        if alone and _SERVERS & set(getattr(item, "fixturenames", ())):
            raise pytest.UsageError(f"{item.nodeid} needs a server: list its file in tests/conftest.py, _TOGETHER")


class ByFile(LoadScopeScheduling):  # type: ignore[misc]  # the plugin is untyped
    """Gives each process one file after the other, in the order of the tests."""

    def _split_scope(self, nodeid: str) -> str:
        scope = _scope(nodeid)
        return "platforms" if scope in _PLATFORMS else scope


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFile:
    """Tells the plugin which tests belong together."""
    config.option.loadscopereorder = False
    return ByFile(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None, None, None]:
    """Ends what the tests of a scope share, after the last of them; what one of them left open fails that one."""
    yield
    if nextitem is None or _scope(nextitem.nodeid) != _scope(item.nodeid):
        groups.end()
        gc.collect()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(call: pytest.CallInfo[None]) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Adds the last log lines of this run's processes to a failure."""
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
def kafka_bootstrap(request: pytest.FixtureRequest) -> str:
    """A broker for tests whose topics and groups have names of their own."""
    existing = ExistingServers().kafka_bootstrap
    return existing or str(request.getfixturevalue("killable").bootstrap)


@pytest.fixture(scope="session")
def template(postgres_dsn: str) -> Iterator[str]:
    """Name of a database with every migration, from which a test's own is copied."""
    name = f"template_{secrets.token_hex(6)}"
    databases.wait_for(migrate(databases.wait_for(databases.create(postgres_dsn, name))))
    yield name
    databases.wait_for(databases.drop(postgres_dsn, name))


@pytest.fixture(scope="session")
def migrated(postgres_dsn: str, template: str) -> Databases:
    """Databases with every migration, for one test after the other."""
    return Databases(postgres_dsn, template)


@pytest.fixture
async def database(migrated: Databases) -> AsyncIterator[str]:
    """DSN of a database of this test alone, with every migration and nothing in it."""
    dsn = await migrated.take()
    yield dsn
    await migrated.give_back(dsn)


@pytest.fixture
async def empty_database(postgres_dsn: str) -> AsyncIterator[str]:
    """DSN of a database of this test alone, with nothing in it."""
    name = f"test_{secrets.token_hex(6)}"
    yield await databases.create(postgres_dsn, name)
    await databases.drop(postgres_dsn, name)
