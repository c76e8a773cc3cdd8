"""What seeding made is kept below `.local/cache`, under a digest of everything that decides what it looks like."""

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.local.paths import CACHE, ROOT

_FOLDERS = ("demo/company", "demo/seed", "downstreams/tryton", "local/tryton")
_SUFFIXES = (".py", ".toml", ".sql", ".cfg", ".xml", ".lock")


def digest() -> str:
    """Changes when a source file of the company, of the seeding or of the CRM does."""
    found = (path for folder in _FOLDERS for path in (ROOT / "deploy" / folder).rglob("*") if path.suffix in _SUFFIXES)
    seen = hashlib.sha256()
    for path in sorted(found):
        seen.update(str(path.relative_to(ROOT)).encode())
        seen.update(path.read_bytes())
    return seen.hexdigest()[:12]


def folder(name: str) -> Path:
    """Where the seeded state of one system is kept; what an earlier digest left there is removed."""
    kept, of = CACHE / "seed" / name, digest()
    for stale in kept.glob("*"):
        if stale.name != of:
            shutil.rmtree(stale, ignore_errors=True)
    return kept / of


@contextmanager
def whole(place: Path) -> Iterator[Path]:
    """A folder to fill that becomes ``place`` once it is complete: one that was cut short does not count."""
    partial = place.with_name(f"{place.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    yield partial
    partial.rename(place)
