"""Roundup's own virtual environment and the copy of a fresh tracker, both made once below `.local/`."""

import contextlib
import hashlib
import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from deploy.local.paths import CACHE, ROOT
from deploy.local.venv import alone, locked_venv
from shared.domain.errors import Misconfigured

LOCK = Path(__file__).with_name("requirements.lock")
LOADER = Path(__file__).with_name("load.py")
TEMPLATE = ROOT / "deploy" / "downstreams" / "roundup" / "tracker"
PASSWORD, AGENT_PASSWORD = "DSR_ROUNDUP_PASSWORD", "DSR_ROUNDUP_AGENT_PASSWORD"
SECRETS = "secrets.json"
"""The file in a tracker's home that holds the passwords of its two users, by those variables of ``initial_data.py``."""
CONFIG = Path(__file__).with_name("config.ini")


@dataclass(frozen=True, slots=True)
class Installation:
    """What is ready to use: the folder of programs, and a fresh tracker to copy."""

    bin: Path
    fresh: Path

    def environment(self, home: Path, **more: str) -> dict[str, str]:
        """Variables for the tracker's processes: the tracker is their home, bytecode stands beside the programs."""
        ours = {"HOME": str(home), "LANG": "C.UTF-8", "PYTHONPYCACHEPREFIX": "", "PYTHONDONTWRITEBYTECODE": "1"}
        return {**os.environ, **ours, **more}

    def feed(self, home: Path, lines: Iterable[bytes], taken: Callable[[int], None]) -> None:
        """Run the loader over JSON lines, in a tracker that does not run.

        Raises:
            Misconfigured: It did not take them.
        """
        command = [self.bin / "python", LOADER]
        with subprocess.Popen(command, cwd=home, env=self.environment(home), stdin=subprocess.PIPE) as loader:
            if loader.stdin is not None:
                with contextlib.suppress(BrokenPipeError), loader.stdin as pipe:
                    for count, line in enumerate(lines, 1):
                        pipe.write(line)
                        taken(count)
        if loader.returncode:
            raise Misconfigured(f"loading records ended with status {loader.returncode}")


def prepare(directory: Path) -> Installation:
    """Make what is missing of the environment and the fresh tracker, working in ``directory``.

    Raises:
        Misconfigured: Roundup refused to initialise the tracker.
    """
    directory.mkdir(parents=True, exist_ok=True)
    programs = locked_venv("roundup", LOCK)
    sources = [LOCK, LOADER, CONFIG, Path(__file__), *sorted(TEMPLATE.rglob("*.py"))]
    state = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    installation = Installation(programs, CACHE / "roundup" / state / "fresh")
    with alone("roundup"):
        if not installation.fresh.exists():
            _initialise(installation, directory / "first")
    return installation


def copy(tracker: Path, home: Path) -> None:
    """Lay a copy of a tracker in the place of what is there."""
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(tracker, home, copy_function=_link_or_copy)


def _link_or_copy(source: str, target: str) -> None:
    """Link the contents of messages and files, thousands of them: Roundup replaces such files, it never edits one."""
    if f"{os.sep}db{os.sep}files{os.sep}" in source:
        with contextlib.suppress(OSError):
            os.link(source, target)
            return
    shutil.copy2(source, target)


def _initialise(installation: Installation, home: Path) -> None:
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(TEMPLATE, home, ignore=shutil.ignore_patterns("__init__.py", "__pycache__"))
    classic = installation.bin.parent / "share" / "roundup" / "templates" / "classic"
    shutil.copytree(classic / "html", home / "html")
    (home / "db").mkdir()
    (home / "config.ini").write_text(CONFIG.read_text().format(key=secrets.token_urlsafe(32)))
    passwords = {variable: secrets.token_urlsafe(18) for variable in (PASSWORD, AGENT_PASSWORD)}
    command = [str(installation.bin / "roundup-admin"), "-i", str(home), "initialise", secrets.token_urlsafe(18)]
    environment = installation.environment(home, **passwords)
    admin = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, check=False)
    if admin.returncode:
        said = f"{admin.stdout}{admin.stderr}"[-500:]
        raise Misconfigured(f"roundup-admin initialise ended with status {admin.returncode}: {said}")
    (home / SECRETS).touch(mode=0o600)
    (home / SECRETS).write_text(json.dumps(passwords))
    for outdated in installation.fresh.parents[1].glob("*"):
        shutil.rmtree(outdated, ignore_errors=True)
    installation.fresh.parent.mkdir(parents=True)
    shutil.move(home, installation.fresh)
