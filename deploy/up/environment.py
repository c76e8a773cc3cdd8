"""The files of ``make up``: the lock of its supervisor, and ``environment.json`` with every address, key and log."""

import fcntl
import json
import os
import shlex
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deploy.local.paths import ROOT

FILE = "environment.json"
SHELL = "environment.sh"
COMMAND = "dsr"


_LOOK_EVERY = 0.05


class Lock:
    """A file that the supervisor locks, with its process id in it; free as soon as that is gone, however it went."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "up.pid"

    @property
    def holder(self) -> int | None:
        """The process that holds it, None where none does."""
        return int(self._file.read_text() or 0) if self.is_held(self._file) else None

    @staticmethod
    def is_held(file: Path) -> bool:
        """Returns whether a process has locked that file."""
        if not file.exists():
            return False
        with file.open("r+") as opened:
            try:
                fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            return False

    @contextmanager
    def held(self) -> Iterator[None]:
        """Holds it while the block runs; raises ``BlockingIOError`` if another process does."""
        with self._file.open("a+") as opened:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            opened.truncate(0)
            opened.write(str(os.getpid()))
            opened.flush()
            yield

    def wait_until_free(self, seconds: float) -> bool:
        """Waits for its holder to let go, for so long at most; returns whether it did."""
        ends = time.monotonic() + seconds
        while (held := self.is_held(self._file)) and time.monotonic() < ends:
            time.sleep(_LOOK_EVERY)
        return not held


def write(folder: Path, content: Mapping[str, Any]) -> None:
    """Writes the file, readable by this user only.

    Next to it are ``environment.sh``, addresses and keys for a shell, and ``dsr``, which runs a command of the platform
    with its settings and the key of the privacy team: in the shell they would turn the next ``make test`` to these
    servers.
    """
    _replace(folder / FILE, json.dumps(content, indent=2) + "\n", 0o600)
    keys = {f"{role.upper()}_KEY": content["keys"][role] for role in ("channel", "privacy")}
    values = {"API": content["api"], "BROKER": content["broker"], "DATABASE": content["database"], **keys}
    lines = "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())
    _replace(folder / SHELL, f"# Of the platform that `make up` has started.\n{lines}", 0o600)
    called = {"DSR_API_URL": content["api"], "DSR_API_KEY": content["keys"]["privacy"]}
    exported = {**content["settings"], **called}
    settings = "\n".join(f"export {name}={shlex.quote(value)}" for name, value in exported.items())
    run = f"PYTHONPATH={shlex.quote(str(ROOT))} exec {shlex.quote(sys.executable)} -P -m services"
    about = "# dsr with the settings of the platform that `make up` has started."
    _replace(folder / COMMAND, f'#!/bin/sh\n{about}\n{settings}\n{run} "$@"\n', 0o700)


def read(folder: Path) -> dict[str, Any] | None:
    """Returns the written content; None if nothing runs."""
    try:
        known: dict[str, Any] = json.loads((folder / FILE).read_text())
    except FileNotFoundError:
        return None
    return known


def remove(folder: Path) -> None:
    """Removes the files once nothing runs."""
    for name in (FILE, SHELL, COMMAND):
        (folder / name).unlink(missing_ok=True)


def curl(api: str, key: str) -> str:
    """The command that submits a request, ready to paste."""
    body = {
        "right": "access",
        "subject": {"email": "ada@example.org"},
        "assurance": {"level": "L2", "method": "signed_in_mfa"},
    }
    return (
        f"curl -s {api}/v1/requests -H 'Authorization: Bearer {key}' -H 'Idempotency-Key: my-first'"
        f" -H 'Content-Type: application/json' -d '{json.dumps(body)}'"
    )


def shown(path: Path) -> str:
    """A path as one would type it here."""
    return shlex.quote(os.path.relpath(path))


def _replace(file: Path, text: str, mode: int) -> None:
    """Put a file there whole, never readable for others, not even while it is written."""
    fresh = file.with_name(f".{file.name}.new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as opened:
        opened.write(text)
    fresh.replace(file)
