"""Prometheus and promtool: the machine's own, or out of Debian's package, unpacked beside the other downloads.

The package is not installed: that would start a server that nobody asked for.
"""

import contextlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from deploy.local.paths import CACHE
from deploy.local.progress import Progress

PROGRAMS = ("prometheus", "promtool")
_FETCH = ["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", "prometheus"]


class PrometheusMissingError(RuntimeError):
    """Prometheus is not on the PATH and could not be had from Debian's package; the message says what was tried."""


def find_prometheus(progress: Progress | None = None, cache: Path = CACHE) -> Path:
    """The folder with both programs; fetches them once, and what was cut short does not count."""
    on_path = shutil.which("prometheus")
    if on_path and complete(Path(on_path).parent):
        return Path(on_path).parent
    kept = cache / "prometheus"
    if complete(kept):
        return kept
    with (progress or Progress()).step("Fetching Prometheus"):
        return _fetch(kept)


def complete(folder: Path) -> bool:
    """Whether both programs are there and run."""
    return all(
        (folder / name).is_file()
        and subprocess.run([folder / name, "--version"], capture_output=True, check=False).returncode == 0
        for name in PROGRAMS
    )


def _fetch(kept: Path) -> Path:
    if not shutil.which("apt-get") or not shutil.which("dpkg"):
        raise PrometheusMissingError("no apt-get here: install Prometheus 2.42 or later, with promtool, on the PATH")
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent) as workplace:
        unpacked, ready = Path(workplace, "unpacked"), Path(workplace, "ready")
        package = _package(Path(workplace))
        _run(["dpkg", "-x", str(package), str(unpacked)], Path(workplace))
        ready.mkdir()
        for name in PROGRAMS:
            shutil.move(unpacked / "usr" / "bin" / name, ready / name)
        if not complete(ready):
            raise PrometheusMissingError("the programs of the Debian package do not run on this machine")
        shutil.rmtree(kept, ignore_errors=True)
        with contextlib.suppress(OSError):  # somebody else was faster
            ready.rename(kept)
    return kept


def _package(folder: Path) -> Path:
    """The package, downloaded; where the lists of packages are missing or old they are fetched first."""
    try:
        _run(_FETCH, folder)
    except PrometheusMissingError:
        if os.geteuid() != 0:
            raise
        _run(["apt-get", "-q", "update"], folder)
        _run(_FETCH, folder)
    return next(folder.glob("prometheus_*.deb"))


def _run(command: list[str], folder: Path) -> None:
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise PrometheusMissingError(f"`{' '.join(command)}` failed: {ran.stderr.strip()}")
