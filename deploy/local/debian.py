"""Debian's packages, downloaded and unpacked beside the other downloads; nothing is installed by it."""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

_MERGED = ("bin", "lib", "sbin")


class PackageMissingError(RuntimeError):
    """A package of Debian's could not be had; the message says what was tried."""


@contextmanager
def alone(cache: Path) -> Iterator[None]:
    """Nobody else fetches packages into this cache for as long as the block lasts: apt would refuse the second one."""
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "debian.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def download(package: str, folder: Path) -> Path:
    """One package alone, into the folder."""
    _apt_get(["download", package], folder)
    return next(folder.glob(f"{package}_*.deb"))


def download_missing(packages: Sequence[str], folder: Path) -> list[Path]:
    """The packages and all that they need and this machine lacks, into the folder."""
    (folder / "partial").mkdir()
    options = ["-o", f"Dir::Cache::archives={folder}", "-o", "Debug::NoLocking=true"]
    _apt_get(["install", "--yes", "--no-install-recommends", "--download-only", *options, *packages], folder)
    return sorted(folder.glob("*.deb"))


def unpack(archives: Sequence[Path], root: Path) -> None:
    """Unpack them over one another as Debian lays out a machine: what lies in `/bin` and `/lib` is in `/usr`."""
    for name in _MERGED:
        (root / "usr" / name).mkdir(parents=True, exist_ok=True)
        (root / name).symlink_to(f"usr/{name}")
    for archive in archives:
        files = root / "files.tar"
        with files.open("wb") as tar:
            _run(["dpkg-deb", "--fsys-tarfile", str(archive)], root, tar.fileno())
        _run(["tar", "--extract", "--keep-directory-symlink", f"--file={files}"], root)
        files.unlink()


def mirrors() -> list[str]:
    """Where this machine has Debian's packages from; none where it never asked."""
    words = [
        "apt-get",
        "indextargets",
        "--format",
        "$(SITE)",
        "Created-By: Packages",
        "Origin: Debian",
        "Label: Debian",
    ]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()


def _apt_get(words: list[str], folder: Path) -> None:
    """Runs apt-get; where the lists of packages are missing or old they are fetched first."""
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise PackageMissingError("no apt-get here")
    command = ["apt-get", "-q", "-o", "APT::Sandbox::User=root", *words]
    try:
        _run(command, folder)
    except PackageMissingError:
        if os.geteuid() != 0:
            raise
        _run(["apt-get", "-q", "update"], folder)
        _run(command, folder)


def _run(command: list[str], folder: Path, output: int = subprocess.PIPE) -> None:
    ran = subprocess.run(command, cwd=folder, stdout=output, stderr=subprocess.PIPE, text=True, check=False)
    if ran.returncode:
        raise PackageMissingError(f"`{' '.join(command)}` failed: {ran.stderr.strip()}")
