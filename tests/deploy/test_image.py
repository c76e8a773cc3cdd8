"""The image is built from the Dockerfile, and each service becomes ready from it as a cluster would run it."""

import dataclasses
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local import postgres_databases as databases
from deploy.local.kafka import Kafka
from deploy.local.paths import ROOT
from deploy.local.platform import ExistingServers, Platform
from deploy.local.ports import answers, free_port
from deploy.local.services import Servers, Services
from shared.domain.topics import ServiceName
from tests.fixtures import stores
from tests.fixtures.image import BASE, SETTINGS, Image, build
from tests.fixtures.policy import NOTHING_KEPT

USER = 10001
INSTALLERS = {"apt", "apt-get", "dpkg", "dpkg-deb", "pip", "pip3", "uv", "easy_install", "conda", "npm"}
COMPILERS = {"cc", "c++", "gcc", "g++", "clang", "as", "ld", "make", "cmake", "cargo", "rustc", "go", "javac"}

LIST_PACKAGES = """
import json, re
from importlib.metadata import distributions
print(json.dumps({re.sub("[-_.]+", "-", d.name).lower(): d.version for d in distributions()}))
"""


@pytest.fixture(scope="module")
def image(run_folder: Path) -> Image:
    """The image, built from the Dockerfile as it stands."""
    (run_folder / "settings").mkdir()
    return build(run_folder / "image", run_folder / "settings", version="1.2.3", revision="0123abc")


@pytest.fixture(scope="module")
def services(postgres_dsn: str, broker: Kafka, image: Image) -> Iterator[Services]:
    """Starts every service from the image."""
    existing = ExistingServers(postgres_dsn=postgres_dsn, kafka_bootstrap=broker.bootstrap)
    platform = Platform(image.settings, existing=existing)
    dsn = databases.wait_for(databases.create(platform.postgres_dsn, "image"))
    seeded = databases.wait_for(stores.seed(platform, "image", 1, image.settings))
    services = Services(image.settings, Servers(dsn, broker.bootstrap), seeded.downstreams, seeded.env)
    shutil.copytree(NOTHING_KEPT["DSR_POLICY_OVERLAY"], image.settings / "policy")
    services.prepare()
    services.keyring.chmod(0o644)  # for the numeric user
    inside = {
        **services.env,
        "DSR_POLICY_OVERLAY": f"{SETTINGS}/policy",
        "DSR_VAULT_KEYRING": f"{SETTINGS}/{services.keyring.name}",
        "DSR_WORK_DOWNSTREAMS": f"{SETTINGS}/{seeded.downstreams.name}",
    }
    for name, child in services.children.items():
        environment = {**inside, "DSR_HTTP_PORT": str(services.ports[name])}
        command = image.command([*image.config["Entrypoint"], name], environment)
        services.children[name] = dataclasses.replace(child, command=command, env={}, cwd=None)
    with services:
        yield services


def run(image: Image, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(image.command(words, environment), capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", ServiceName)
def test_a_service_becomes_ready_from_the_image(services: Services, name: ServiceName) -> None:
    assert answers(f"{services.url_of(name)}/readyz")()


@pytest.mark.parametrize("name", ServiceName)
def test_a_service_runs_as_the_numeric_user_without_a_power(
    services: Services, image: Image, name: ServiceName
) -> None:
    own = Path(f"/proc/{services.children[name].pid}/status")
    status_file = run(image, "cat", "/proc/self/status").stdout if image.engine else own.read_text()
    status = dict(re.findall(r"^(\w+):[ \t]*(.*)$", status_file, re.MULTILINE))
    assert {int(number) for who in ("Uid", "Gid") for number in status[who].split()} == {USER}
    assert status["Groups"].strip() in {"", str(USER)}
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == int(status["CapAmb"], 16) == 0
    assert status["NoNewPrivs"] == "1"


@pytest.mark.parametrize("name", ServiceName)
def test_the_health_command_says_that_a_service_is_well(services: Services, image: Image, name: ServiceName) -> None:
    assert run(image, *image.config["Healthcheck"]["Test"][1:], DSR_HTTP_PORT=str(services.ports[name])).returncode == 0


def test_health_command_reports_an_absent_service(image: Image) -> None:
    assert run(image, *image.config["Healthcheck"]["Test"][1:], DSR_HTTP_PORT=str(free_port())).returncode == 1


def test_an_argument_that_names_no_service_is_refused(image: Image) -> None:
    ran = run(image, *image.config["Entrypoint"], "billing")
    assert ran.returncode != 0
    assert "intake" in ran.stderr


@pytest.mark.parametrize("folder", ["/tmp", "/opt/dsr/services", "/etc/dsr", "/var/tmp", "/run/lock"])  # noqa: S108  # read-only
def test_nothing_can_be_written(image: Image, folder: str) -> None:
    ran = run(image, "python", "-c", f"open('{folder}/written', 'w')")
    assert ran.returncode != 0
    anybody_may = folder == "/tmp"  # noqa: S108  # so that only a read-only root keeps them from it
    assert re.search("Read-only file system" + "|Permission denied" * (not anybody_may), ran.stderr), ran.stderr


def test_nothing_in_it_compiles_or_installs(image: Image) -> None:
    programs = {path.name for folder in ("bin", "sbin", "libexec") for path in image.root.rglob(f"{folder}/*")}
    assert "python3" in programs
    assert programs & (INSTALLERS | COMPILERS) == set()
    assert not [path for path in image.root.rglob("pip") if path.is_dir()]
    assert not list(image.root.rglob("ensurepip"))


def test_no_program_in_it_gives_its_user_another_ones_powers(image: Image) -> None:
    assert not [p for p in image.root.rglob("*") if p.is_file() and not p.is_symlink() and p.stat().st_mode & 0o6000]


def test_its_python_is_of_the_version_that_the_dockerfile_names(image: Image) -> None:
    ran = run(image, "python", "-c", "import sys; print('%d.%d' % sys.version_info[:2])")
    assert ran.stdout.strip() == BASE.search((ROOT / "Dockerfile").read_text())["python"]  # type: ignore[index]


def test_it_holds_the_packages_of_its_lock_and_no_others(image: Image) -> None:
    ran = run(image, "python", "-c", LIST_PACKAGES)
    locked = re.findall(r"^([a-z0-9-]+)==([^ ;]+)(.*)\\$", (ROOT / "requirements.image.lock").read_text(), re.MULTILINE)
    installed = json.loads(ran.stdout)
    assert installed.items() <= {(name, version) for name, version, _ in locked}
    assert {name for name, _, condition in locked if not condition.strip()} <= set(installed)


def test_its_labels_say_what_it_is_and_its_user_is_a_number_that_a_cluster_can_check(image: Image) -> None:
    assert image.config["User"] == f"{USER}:{USER}"
    labels = {"title": "Data subject requests", "version": "1.2.3", "revision": "0123abc"}
    assert image.config["Labels"].items() >= {f"org.opencontainers.image.{n}": v for n, v in labels.items()}.items()


def test_it_holds_neither_tests_nor_this_machines_way_to_its_packages(image: Image) -> None:
    assert sorted(path.name for path in (image.root / "opt" / "dsr").iterdir()) == ["services", "shared", "venv"]
    assert not list((image.root / "etc").glob("pip*"))
    assert not (image.root / "run" / "secrets").exists()


def test_a_service_drains_and_ends_when_it_is_asked_to(services: Services) -> None:
    child = services.children[ServiceName.DEADLINE]
    assert child.stop() == 0
    child.start()
