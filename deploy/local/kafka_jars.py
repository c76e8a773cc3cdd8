"""The jars of the broker, fetched once by Maven where it is there, else by jgo."""

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from deploy.local.progress import Progress, Step

VERSION = "4.3.1"
BROKER = f"org.apache.kafka:kafka_2.13:{VERSION}"
LOGGING = "org.slf4j:slf4j-reload4j:1.7.36"  # without a binding for SLF4J 1.7 the broker logs nothing

_JARS = 47
_REQUIRED = (f"kafka_2.13-{VERSION}.jar", f"kafka-storage-{VERSION}.jar", "slf4j-reload4j-1.7.36.jar")
_POM = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>local</groupId><artifactId>broker</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>{dependencies}</dependencies>
</project>
"""
_DEPENDENCY = "<dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version></dependency>"
_JGO = "import sys, jgo; print(*jgo.build(sys.argv[1]).classpath, sep='\\n')"


class JarsMissingError(RuntimeError):
    """The broker's jars could not be fetched; what was tried stands in the message."""


def fetch(cache: Path, progress: Progress) -> Path:
    """The folder with the broker's jars below the cache; a download that was cut short does not count."""
    libs = cache / f"kafka-{VERSION}" / "libs"
    if libs.is_dir():
        return libs
    libs.parent.mkdir(parents=True, exist_ok=True)
    failures: list[str] = []
    sources = ([_with_maven] if shutil.which("mvn") else []) + [_with_jgo]
    with progress.step(f"Fetching Apache Kafka {VERSION}", total=_JARS) as step:
        for source in sources:
            with tempfile.TemporaryDirectory(dir=libs.parent) as folder:
                workplace = Path(folder)
                fetched = workplace / "libs"
                fetched.mkdir()
                failure = source(workplace, fetched, step) or _fault(fetched)
                if failure is None:
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
    failure = _run([sys.executable, "-c", _JGO, f"{BROKER}+{LOGGING}"], workplace, step)
    if failure is None:
        for jar in (workplace / "jgo").rglob("jars/*.jar"):
            shutil.copy2(jar, fetched)
    return failure


def _run(command: list[str], workplace: Path, step: Step) -> str | None:
    """Run the download, showing how many jars have come; what it said if it failed."""
    env = {**os.environ, "JGO_CACHE_DIR": str(workplace / "jgo"), "M2_REPO": str(workplace / "repository")}
    log = workplace / "log"
    with log.open("wb") as output, subprocess.Popen(command, env=env, stdout=output, stderr=output) as download:
        _watch(download, lambda: step.reach(_count(workplace / "repository")))
    if download.returncode == 0:
        return None
    return f"{Path(command[0]).name} failed: {log.read_text(errors='replace')[-2000:]}"


def _watch(download: subprocess.Popen[bytes], look: Callable[[], None]) -> None:
    while True:
        try:
            download.wait(0.3)
        except subprocess.TimeoutExpired:
            look()
        else:
            return


def _count(repository: Path) -> int:
    return min(_JARS, sum(1 for _ in repository.rglob("*.jar")))


def _fault(libs: Path) -> str | None:
    missing = [name for name in _REQUIRED if not (libs / name).is_file()]
    broken = [jar.name for jar in libs.glob("*.jar") if not zipfile.is_zipfile(jar)]
    return f"incomplete download: missing {missing}, broken {broken}" if missing or broken else None
