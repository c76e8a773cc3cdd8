"""The jars of the broker, fetched once from Maven's repository; `kafka.sha256` lists what must come."""

import hashlib
import sys
import tempfile
from pathlib import Path

from deploy.local import certificates
from deploy.local.certificates import DownloadFailedError
from deploy.local.process import Child
from deploy.local.progress import Progress, Step
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
_LOOK_EVERY = 0.3
_EXPECTED = Path(__file__).with_name("kafka.sha256")


class JarsMissingError(DownloadFailedError):
    """The broker's jars could not be fetched, or are not the expected ones."""


def fetch(cache: Path, progress: Progress, download: str = _DOWNLOAD) -> Path:
    """The folder with the broker's jars below the cache; a download that was cut short does not count.

    Raises:
        JarsMissingError: They could not be had, or are not the expected ones.
    """
    with alone("kafka"):
        return _fetched(cache / f"kafka-{VERSION}" / "libs", progress, download)


def _fetched(libs: Path, progress: Progress, download: str) -> Path:
    if libs.is_dir():
        return libs
    libs.parent.mkdir(parents=True, exist_ok=True)
    with (
        progress.step(f"Fetching Apache Kafka {VERSION}", total=len(_expected())) as step,
        tempfile.TemporaryDirectory(dir=libs.parent) as folder,
    ):
        workplace = Path(folder)
        fetched = workplace / "libs"
        fetched.mkdir()
        _run(download, workplace, fetched, step)
        _check(fetched)
        fetched.rename(libs)
    return libs


def _run(download: str, workplace: Path, fetched: Path, step: Step) -> None:
    """Run the download, showing how many jars have come."""
    caches = {"M2_REPO": str(workplace / "repository"), "JGO_CACHE_DIR": str(workplace / "jgo")}
    env = {**certificates.environment(), **caches}
    command: list[str | Path] = [sys.executable, "-c", download, f"{BROKER}+{LOGGING}", fetched]
    names = _expected().keys()
    with Child("the download", command, log=workplace / "log", env=env) as running:
        while (status := running.wait(_LOOK_EVERY)) is None:
            step.reach(len(names & {jar.name for jar in workplace.rglob("*.jar")}))
    if status:
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
