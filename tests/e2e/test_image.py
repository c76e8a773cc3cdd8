"""The image is built from the Dockerfile, and each service becomes ready from it as a cluster would run it.

The five run on a real database and a real broker; no container engine is needed, but root on Linux is.
"""

import dataclasses
import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import psutil
import pytest

from deploy.local import postgres_databases as databases
from deploy.local.container import SETTINGS, Containers
from deploy.local.image import Base, Builder, Image
from deploy.local.paths import ROOT
from deploy.local.platform import Platform
from deploy.local.ports import answers, free_port
from deploy.local.services import Servers, Services
from shared.domain.topics import ServiceName
from tests.fixtures import stores

USER = 10001
INSTALLERS = {"apt", "apt-get", "dpkg", "dpkg-deb", "pip", "pip3", "uv", "easy_install", "conda", "npm"}
COMPILERS = {"cc", "c++", "gcc", "g++", "clang", "as", "ld", "make", "cmake", "cargo", "rustc", "go", "javac"}


@pytest.fixture(scope="module")
def image(run_folder: Path) -> Image:
    """The image, built from the Dockerfile as it stands."""
    return Builder(run_folder / "image").build(version="1.2.3", revision="0123abc")


@pytest.fixture(scope="module")
def settings(run_folder: Path) -> Path:
    """The folder that every container finds at the place of its settings."""
    folder = run_folder / "image" / "settings"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture(scope="module")
def containers(image: Image, settings: Path) -> Containers:
    """Containers of the image."""
    return Containers(image, settings)


@pytest.fixture(scope="module")
def services(platform: Platform, containers: Containers) -> Iterator[Services]:
    """All five services, each from the image, ready."""
    dsn = platform.database("image")
    seeded = databases.wait_for(stores.seed(platform, "image_seed", subjects=1))
    copied = databases.wait_for(stores.copy(platform, seeded, "image", containers.settings))
    services = Services(containers.settings, Servers(dsn, platform.kafka_bootstrap), copied.downstreams, copied.env)
    services.prepare()
    os.chown(services.keyring, USER, USER)
    inside = {
        **services.env,
        "DSR_VAULT_KEYRING": str(SETTINGS / services.keyring.name),
        "DSR_WORK_DOWNSTREAMS": str(SETTINGS / copied.downstreams.name),
    }
    for name, child in services.children.items():
        command = containers.service(name, {**inside, "DSR_HTTP_PORT": str(services.ports[name])})
        services.children[name] = dataclasses.replace(child, command=command, env={}, cwd=None)
    with services:
        yield services


def run(containers: Containers, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(containers.command(words, environment), capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", ServiceName)
def test_a_service_becomes_ready_from_the_image(services: Services, name: ServiceName) -> None:
    assert answers(f"{services.url_of(name)}/readyz")()


@pytest.mark.parametrize("name", ServiceName)
def test_a_service_runs_as_the_numeric_user_without_a_power(services: Services, name: ServiceName) -> None:
    process = psutil.Process(services.children[name].pid)
    assert set(process.uids()) | set(process.gids()) == {USER}
    status = dict(re.findall(r"^(\w+):[ \t]*(.*)$", Path(f"/proc/{process.pid}/status").read_text(), re.MULTILINE))
    assert status["Groups"].strip() in {"", str(USER)}
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == int(status["CapAmb"], 16) == 0
    assert status["NoNewPrivs"] == "1"


@pytest.mark.parametrize("name", ServiceName)
def test_the_health_command_says_that_a_service_is_well(
    services: Services, containers: Containers, name: ServiceName
) -> None:
    assert run(containers, *containers.image.health, DSR_HTTP_PORT=str(services.ports[name])).returncode == 0


def test_the_health_command_says_that_nobody_is_there(containers: Containers) -> None:
    assert run(containers, *containers.image.health, DSR_HTTP_PORT=str(free_port())).returncode == 1


def test_an_argument_that_names_no_service_is_refused(containers: Containers) -> None:
    ran = run(containers, *containers.image.entrypoint, "billing")
    assert ran.returncode != 0
    assert "intake" in ran.stderr


@pytest.mark.parametrize("folder", ["/tmp", "/opt/dsr/app", "/etc/dsr", "/var/tmp", "/run/lock"])  # noqa: S108  # nobody writes
def test_nothing_can_be_written(containers: Containers, folder: str) -> None:
    ran = run(containers, "python", "-c", f"open('{folder}/written', 'w')")
    assert ran.returncode != 0
    assert re.search("Read-only file system|Permission denied", ran.stderr), ran.stderr


def test_the_root_is_read_only_also_where_everybody_may_write(containers: Containers) -> None:
    ran = run(containers, "python", "-c", "open('/tmp/written', 'w')")
    assert "Read-only file system" in ran.stderr


def test_nothing_in_it_compiles_or_installs(image: Image) -> None:
    programs = {path.name for folder in ("bin", "sbin", "libexec") for path in image.root.rglob(f"{folder}/*")}
    assert "python3" in programs
    assert programs & (INSTALLERS | COMPILERS) == set()
    assert not [path for path in image.root.rglob("pip") if path.is_dir()]
    assert not list(image.root.rglob("ensurepip"))


def test_no_program_in_it_gives_its_user_another_ones_powers(image: Image) -> None:
    assert not [p for p in image.root.rglob("*") if p.is_file() and not p.is_symlink() and p.stat().st_mode & 0o6000]


def test_its_python_is_of_the_version_that_the_dockerfile_names(containers: Containers) -> None:
    ran = run(containers, "python", "-c", "import sys; print('%d.%d' % sys.version_info[:2])")
    assert ran.stdout.strip() == Base.of_dockerfile().python


def test_it_holds_the_packages_of_its_lock_and_no_others(containers: Containers) -> None:
    ran = run(
        containers,
        "python",
        "-c",
        dedent("""
            import json
            from importlib.metadata import distributions
            print(json.dumps({d.name.lower().replace("_", "-"): d.version for d in distributions()}))
        """),
    )
    locked = re.findall(r"^([a-z0-9-]+)==([^ ;]+)(.*)\\$", (ROOT / "requirements.image.lock").read_text(), re.MULTILINE)
    installed = json.loads(ran.stdout)
    assert installed.items() <= {(name, version) for name, version, _ in locked}
    assert {name for name, _, condition in locked if not condition.strip()} <= set(installed)


def test_its_labels_say_what_it_is(image: Image) -> None:
    assert {name.removeprefix("org.opencontainers.image."): value for name, value in image.labels.items()}.items() >= {
        "title": "Data subject requests",
        "version": "1.2.3",
        "revision": "0123abc",
    }.items()


def test_its_user_is_a_number_that_a_cluster_can_check(image: Image) -> None:
    assert image.user == f"{USER}:{USER}"


def test_it_holds_neither_tests_nor_this_machines_way_to_its_packages(image: Image) -> None:
    assert sorted(path.name for path in (image.root / "opt" / "dsr" / "app").iterdir()) == ["services", "shared"]
    assert not list((image.root / "etc").glob("pip*"))
    assert not (image.root / "run" / "secrets").exists()


def test_a_service_drains_and_ends_when_it_is_asked_to(services: Services) -> None:
    child = services.children[ServiceName.DEADLINE]
    assert child.stop() == 0
    child.start()
