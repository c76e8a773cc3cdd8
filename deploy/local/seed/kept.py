"""What seeding made is kept below `.local/cache`, under a digest of everything that decides what it looks like."""

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.local.paths import CACHE, ROOT

_SOURCES = ("*.py", "*.toml", "*.sql", "*.cfg", "*.xml", "*.lock")


def digest(*places: Path) -> str:
    """Changes when a source file below one of the places does, the generator's own and ours included."""
    here = ROOT / "deploy" / "local"
    folders = (here / "company", here / "seed", *places)
    files = {path for folder in folders for name in _SOURCES for path in folder.rglob(name)}
    files |= {place for place in places if place.is_file()}
    seen = hashlib.sha256()
    for path in sorted(files):
        seen.update(str(path.relative_to(ROOT)).encode())
        seen.update(path.read_bytes())
    return seen.hexdigest()[:12]


def folder(name: str, of: str) -> Path:
    """Where the seeded state of one system with this digest is kept; what an earlier digest left there is removed."""
    kept = CACHE / "seed" / name
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
