"""Prometheus and promtool: the machine's own, or out of Debian's package, unpacked beside the other downloads.

The package is not installed: that would start a server that nobody asked for.
"""

import shutil
import subprocess
import tempfile
from pathlib import Path

from deploy.local import debian
from deploy.local.paths import CACHE
from deploy.local.progress import Progress

PROGRAMS = ("prometheus", "promtool")


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
    with debian.alone(cache), (progress or Progress()).step("Fetching Prometheus"):
        return kept if complete(kept) else _fetch(kept)


def complete(folder: Path) -> bool:
    """Whether both programs are there and run."""
    return all(
        (folder / name).is_file()
        and subprocess.run([folder / name, "--version"], capture_output=True, check=False).returncode == 0
        for name in PROGRAMS
    )


def _fetch(kept: Path) -> Path:
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent) as workplace:
        unpacked, ready = Path(workplace, "unpacked"), Path(workplace, "ready")
        try:
            debian.unpack([debian.download("prometheus", Path(workplace))], unpacked)
        except debian.PackageMissingError as error:
            message = f"{error}: install Prometheus 2.42 or later, with promtool, on the PATH"
            raise PrometheusMissingError(message) from error
        ready.mkdir()
        for name in PROGRAMS:
            shutil.move(unpacked / "usr" / "bin" / name, ready / name)
        if not complete(ready):
            raise PrometheusMissingError("the programs of the Debian package do not run on this machine")
        shutil.rmtree(kept, ignore_errors=True)
        ready.rename(kept)
    return kept
