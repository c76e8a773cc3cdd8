"""The programs that render and check the manifests, in an environment of their own below .local/cache."""

import fcntl
import hashlib
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.local.paths import CACHE, ROOT

LOCK = ROOT / "deploy" / "k8s" / "tools.lock"


def installed() -> Path:
    """The environment that deploy/k8s/tools.lock describes; made the first time, and anew when the lock changes."""
    state = hashlib.sha256(LOCK.read_bytes() + sys.version.encode()).hexdigest()[:16]
    folder = CACHE / "k8s" / f"tools-{state}"
    with alone_in(folder):
        venv, made = folder / "venv", folder / "made"
        if not made.is_file():
            subprocess.run(uv("venv", "--clear", "--python", sys.executable, venv), check=True)
            subprocess.run(uv("pip", "sync", "--python", venv / "bin/python", "--require-hashes", LOCK), check=True)
            made.touch()
    return venv


def kustomize(kubectl: Path, overlay: Path) -> str:
    """The objects of an overlay as YAML, as `kubectl apply -k` would send them."""
    done = subprocess.run([kubectl, "kustomize", overlay], check=True, capture_output=True, text=True)
    return done.stdout


def uv(*arguments: str | Path) -> list[str | Path]:
    """The command line of uv with these arguments."""
    return [sys.executable, "-m", "uv", "--quiet", *arguments]


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Holds a folder, made if need be, against others of this machine who fetch the same."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as alone:
        fcntl.flock(alone, fcntl.LOCK_EX)
        yield
