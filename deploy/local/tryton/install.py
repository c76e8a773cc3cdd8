"""Tryton's own virtual environment below `.local/`, made once from its lock, with the company's module in it."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.local.paths import CACHE, LOCAL
from shared.domain.errors import Misconfigured

HERE = Path(__file__).parent
LOCK = HERE / "requirements.lock"
MODULE = HERE / "number_assignment"


@dataclass(frozen=True, slots=True)
class Installation:
    """The interpreter that has Tryton, and a digest of all that decides what a fresh database of it looks like."""

    python: Path
    digest: str


def install() -> Installation:
    """Make what is missing or out of date, and nothing otherwise."""
    contents = [path.read_bytes() for path in (LOCK, *sorted(MODULE.iterdir())) if path.is_file()]
    digest = hashlib.sha256(b"".join((*contents, sys.executable.encode()))).hexdigest()
    venv = LOCAL / "tryton" / "venv"
    python = venv / "bin" / "python"
    stamp = venv / ".stamp"
    with alone("install"):
        if not stamp.exists() or stamp.read_text() != digest:
            _make(venv, python)
            stamp.write_text(digest)
    return Installation(python, digest[:12])


@contextmanager
def alone(step: str) -> Iterator[None]:
    """Hold a lock while the block runs: tests and a demonstration may start a CRM at the same time."""
    folder = LOCAL / "tryton"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{step}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def environment(uri: str, directory: Path) -> Mapping[str, str]:
    """Tryton's settings. No default database is named: for that one it would open a new connection per request."""
    return {
        "TRYTOND_DATABASE__URI": uri,
        "TRYTOND_DATABASE__PATH": str(directory / "files"),
        "TRYTOND_SESSION__AUTHENTICATIONS": "password",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _make(venv: Path, python: Path) -> None:
    uv = Path(sys.executable).parent / "uv"
    if not uv.exists():
        raise Misconfigured("uv is missing beside this interpreter; run `make setup`")
    # Where uv builds a package it leaves a lock in the folder for temporary files.
    temporary = CACHE / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    cache = {"UV_CACHE_DIR": str(CACHE / "uv"), **os.environ, "TMPDIR": str(temporary)}
    shutil.rmtree(venv, ignore_errors=True)
    for words in (
        ("venv", "--python", sys.executable, venv),
        ("pip", "sync", "--compile-bytecode", "--python", python, "--require-hashes", LOCK),
    ):
        subprocess.run([uv, "--quiet", *words], check=True, env=cache)
    (modules,) = venv.glob("lib/python*/site-packages/trytond/modules")
    shutil.copytree(MODULE, modules / MODULE.name, ignore=shutil.ignore_patterns("__pycache__"))
