"""Virtual environments of their own for what must not share ours, each made once from its lock."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.local import certificates
from deploy.local.certificates import DownloadFailedError
from deploy.local.paths import CACHE, LOCAL


@contextmanager
def alone(name: str, *, busy: str | None = None) -> Iterator[None]:
    """Hold a lock while the block runs, since several runs in a checkout may make the same thing.

    Raises:
        SystemExit: Another process holds it, and ``busy`` is the message for that; without one we wait.
    """
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{name}.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (fcntl.LOCK_NB if busy else 0))
        except BlockingIOError:
            sys.exit(busy)
        yield


def locked_venv(name: str, lock: Path) -> Path:
    """Returns the programs folder of an environment with exactly the packages of a lock, and makes it if missing.

    Raises:
        DownloadFailedError: `uv` is missing next to the interpreter, or could not install the packages.
    """
    venv = LOCAL / name / "venv"
    stamp = venv / ".stamp"
    wanted = f"{hashlib.sha256(lock.read_bytes()).hexdigest()} {sys.executable}\n"
    with alone(f"{name}-venv"):
        if not stamp.exists() or stamp.read_text() != wanted:
            _make(venv, lock)
            stamp.write_text(wanted)
    return venv / "bin"


def _make(venv: Path, lock: Path) -> None:
    # Where uv builds a package it leaves a lock in the folder for temporary files.
    temporary = CACHE / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    cache = {"UV_CACHE_DIR": str(CACHE / "uv")}
    own = {"PYTHONPYCACHEPREFIX": "", "TMPDIR": str(temporary)}
    environment = {**cache, **os.environ, **certificates.environment(), **own}
    shutil.rmtree(venv, ignore_errors=True)
    for words in (
        ("venv", "--python", sys.executable, venv),
        ("pip", "sync", "--python", venv / "bin" / "python", "--require-hashes", lock),
    ):
        command = [sys.executable, "-m", "uv", "--quiet", *words]
        done = subprocess.run(command, check=False, env=environment, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            raise DownloadFailedError(f"what {lock.parent.name} needs", done.stderr)
