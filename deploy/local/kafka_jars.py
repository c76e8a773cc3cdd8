"""The jars of the broker, fetched once from Maven's repository; `kafka.sha256` lists what must come."""

import hashlib
import sys
import tempfile
from pathlib import Path

from deploy.local import certificates
from deploy.local.certificates import DownloadFailedError
from deploy.local.process import Child
from deploy.local.progress import step
from deploy.local.venv import alone

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
