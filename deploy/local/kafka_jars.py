"""The jars of the broker, fetched once by Maven where it is there, else by jgo; `kafka.sha256` lists what must come."""

import contextlib
import hashlib
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from deploy.local.process import Child
from deploy.local.progress import Progress, Step

VERSION = "4.3.1"
BROKER = f"org.apache.kafka:kafka_2.13:{VERSION}"
LOGGING = "org.slf4j:slf4j-reload4j:1.7.36"  # without a binding for SLF4J 1.7 the broker logs nothing

_POM = """<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>local</groupId><artifactId>broker</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>{dependencies}</dependencies>
</project>
"""
_DEPENDENCY = "<dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version></dependency>"

# jgo would make an environment too, for which it wants a Java and may fetch one of its own: only its resolver is used.
_JGO = """
import concurrent.futures, shutil, sys, jgo
with concurrent.futures.ThreadPoolExecutor(4) as threads:
    for jar in threads.map(lambda artifact: artifact.resolve(), jgo.resolve(sys.argv[1])):
        shutil.copy2(jar, sys.argv[2])
"""
_LOOK_EVERY = 0.3
_EXPECTED = Path(__file__).with_name("kafka.sha256")


class JarsMissingError(RuntimeError):
    """The broker's jars could not be fetched; what was tried stands in the message."""


Source = Callable[[Path, Path, Step], str | None]
"""Fetches the jars, with the first folder to work in, into the second; says what went wrong, if anything."""


def sources() -> list[Source]:
    """The ways to the jars on this machine, best first."""
    return [_with_maven, _with_jgo] if shutil.which("mvn") else [_with_jgo]


def fetch(cache: Path, progress: Progress, ways: Sequence[Source] | None = None) -> Path:
    """The folder with the broker's jars below the cache; a download that was cut short does not count."""
    libs = cache / f"kafka-{VERSION}" / "libs"
    if libs.is_dir():
        return libs
    libs.parent.mkdir(parents=True, exist_ok=True)
    failures: list[str] = []
    with progress.step(f"Fetching Apache Kafka {VERSION}", total=len(_expected())) as step:
        for source in ways or sources():
            with tempfile.TemporaryDirectory(dir=libs.parent) as folder:
                workplace = Path(folder)
                fetched = workplace / "libs"
                fetched.mkdir()
                failure = source(workplace, fetched, step) or _fault(fetched)
                if failure is None:
                    with contextlib.suppress(OSError):  # somebody else was faster
                        fetched.rename(libs)
                    return libs
                failures.append(failure)
    raise JarsMissingError("\n".join(failures))


def _with_maven(workplace: Path, fetched: Path, step: Step) -> str | None:
    dependencies = "".join(_DEPENDENCY.format(*each.split(":")) for each in (BROKER, LOGGING))
    pom = workplace / "pom.xml"
    pom.write_text(_POM.format(dependencies=dependencies))
    command = ["mvn", "--quiet", "--batch-mode", "--file", str(pom), f"-Dmaven.repo.local={workplace / 'repository'}"]
    command += ["dependency:copy-dependencies", f"-DoutputDirectory={fetched}", "-DincludeScope=runtime"]
    return _run(command, workplace, step)


def _with_jgo(workplace: Path, fetched: Path, step: Step) -> str | None:
    return _run([sys.executable, "-c", _JGO, f"{BROKER}+{LOGGING}", str(fetched)], workplace, step)


def _run(command: list[str], workplace: Path, step: Step) -> str | None:
    """Run the download, showing how many jars have come; what it said if it failed."""
    env = {"M2_REPO": str(workplace / "repository"), "JGO_CACHE_DIR": str(workplace / "jgo")}
    download = Child(Path(command[0]).name, command, log=workplace / "log", env=env)
    names = _expected().keys()
    with download:
        while (status := download.wait(_LOOK_EVERY)) is None:
            step.reach(len(names & {jar.name for jar in workplace.rglob("*.jar")}))
    return f"{download.name} failed: {download.tail()}" if status else None


def _expected() -> dict[str, str]:
    """Digest of each jar, by name."""
    return {name: digest for digest, name in (line.split() for line in _EXPECTED.read_text().splitlines())}


def _fault(libs: Path) -> str | None:
    found = {jar.name: hashlib.sha256(jar.read_bytes()).hexdigest() for jar in libs.glob("*.jar")}
    wrong = sorted(name for name, _ in found.items() ^ _expected().items())
    return f"these jars are missing, strange or not as expected: {', '.join(wrong)}" if wrong else None
