"""Tryton's own virtual environment below `.local/`, made once from its lock, with our module in it."""

import hashlib
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.local.paths import ROOT
from deploy.local.venv import alone, locked_venv

LOCK = Path(__file__).with_name("requirements.lock")
MODULE = ROOT / "deploy" / "downstreams" / "tryton" / "number_assignment"


@dataclass(frozen=True, slots=True)
class Installation:
    """The interpreter that has Tryton, and a digest of all that decides what a fresh database of it looks like."""

    python: Path
    digest: str


def install() -> Installation:
    """Make what is missing or out of date, and nothing otherwise."""
    python = locked_venv("tryton", LOCK) / "python"
    sources = [LOCK, *sorted(path for path in MODULE.iterdir() if path.is_file())]
    digest = hashlib.sha256(b"".join((*(path.read_bytes() for path in sources), sys.executable.encode()))).hexdigest()
    (modules,) = python.parents[1].glob("lib/python*/site-packages/trytond/modules")
    copied = modules / MODULE.name
    with alone("tryton-module"):
        stamp = copied / ".stamp"
        if not stamp.exists() or stamp.read_text() != digest:
            shutil.rmtree(copied, ignore_errors=True)
            shutil.copytree(MODULE, copied, ignore=shutil.ignore_patterns("__pycache__"))
            stamp.write_text(digest)
    return Installation(python, digest[:12])


def environment(uri: str, directory: Path) -> Mapping[str, str]:
    """Tryton's settings. No default database is named: for that one it would open a new connection per request.

    Bytecode is next to its programs, where the installation has put it.
    """
    return {
        "TRYTOND_DATABASE__URI": uri,
        "TRYTOND_DATABASE__PATH": str(directory / "files"),
        "TRYTOND_SESSION__AUTHENTICATIONS": "password",
        "PYTHONPYCACHEPREFIX": "",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
