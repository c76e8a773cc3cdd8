"""The local ticketing system: Roundup behind gunicorn on 127.0.0.1, in a virtual environment of its own."""

import hashlib
import json
import os
import re
import secrets
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from deploy.local.paths import CACHE, ROOT
from deploy.local.ports import HOST, answers, free_port
from deploy.local.process import Child
from deploy.local.server import Server
from deploy.local.venv import alone, locked_venv
from shared.domain.errors import Misconfigured

_WORKERS = 4
_LOCK, _LOADER, _CONFIG = (Path(__file__).with_name(name) for name in ("requirements.lock", "load.py", "config.ini"))
_TEMPLATE = ROOT / "deploy" / "downstreams" / "roundup" / "tracker"
_PASSWORD, _AGENT_PASSWORD = "DSR_ROUNDUP_PASSWORD", "DSR_ROUNDUP_AGENT_PASSWORD"
_SECRETS = "secrets.json"
"""The file in a tracker's home with the passwords of its two users, by those variables of ``initial_data.py``."""


class Roundup(Server):
    """A tracker of its own in ``directory``, the same after a stop or a crash.

    ``user`` and ``password`` are the privacy team's, ``agent`` and ``agent_password`` those of an ordinary user.
    ``database`` is the SQLite file, ``files`` the folder with the contents of messages and files.
    """

    title = "the ticketing system (Roundup)"
    user = "privacy"
    agent = "agent"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.home = directory / "tracker"
        self.database = self.home / "db" / "db"
        self.files = self.home / "db" / "files"
        self.password = ""
        self.agent_password = ""
        self._port = free_port()
        self.url = f"http://{HOST}:{self._port}/"
        self._installed: tuple[Path, Path] | None = None

    def prepare(self) -> Child:
        """Installs and initialises what is missing."""
        programs, _ = self._ready()
        # The tracker refuses calls whose Origin is not its own address.
        config = self.home / "config.ini"
        config.write_text(re.sub(r"(?m)^web = .*$", f"web = {self.url}", config.read_text()))
        return Child(
            "roundup",
            [
                *(programs / "gunicorn", "--bind", f"{HOST}:{self._port}", "--workers", _WORKERS),
                *("--worker-class", "sync", "--preload", "--limit-request-line", 0, "--no-control-socket"),
                *("--log-level", "warning", "wsgi:application"),
            ],
            log=self.directory / "roundup.log",
            ready=answers(f"{self.url}@@file/style.css"),
            env=_environment(self.home),
            cwd=self.home,
        )

    def load(self, records: Iterable[Mapping[str, object]]) -> None:
        """Begins with these records, while the tracker was not yet started; ``load.py`` says what they look like.

        Raises:
            Misconfigured: Roundup refuses them.
        """
        programs, fresh = self._ready()
        _copy(fresh, self.home)
        lines = b"".join(json.dumps(record).encode() + b"\n" for record in records)
        loader = subprocess.run(
            [programs / "python", _LOADER], cwd=self.home, env=_environment(self.home), input=lines, check=False
        )
        if loader.returncode:
            raise Misconfigured(f"loading records ended with status {loader.returncode}")
        self._learn_passwords()

    def _ready(self) -> tuple[Path, Path]:
        if self._installed is None:
            self._installed = prepare(self.directory)
            if not (self.home / _SECRETS).exists():
                _copy(self._installed[1], self.home)
            self._learn_passwords()
        return self._installed

    def _learn_passwords(self) -> None:
        known = json.loads((self.home / _SECRETS).read_text())
        self.password, self.agent_password = known[_PASSWORD], known[_AGENT_PASSWORD]


def prepare(directory: Path) -> tuple[Path, Path]:
    """Makes what is missing, in ``directory``; returns the folder of programs, and a fresh tracker to copy.

    Raises:
        Misconfigured: Roundup refused to initialise the tracker.
    """
    directory.mkdir(parents=True, exist_ok=True)
    programs = locked_venv("roundup", _LOCK)
    sources = [_LOCK, _LOADER, _CONFIG, Path(__file__), *sorted(_TEMPLATE.rglob("*.py"))]
    state = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    fresh = CACHE / "roundup" / state / "fresh"
    with alone("roundup"):
        if not fresh.exists():
            _initialise(programs, directory / "first", fresh)
    return programs, fresh


def _initialise(programs: Path, home: Path, fresh: Path) -> None:
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(_TEMPLATE, home, ignore=shutil.ignore_patterns("__init__.py", "__pycache__"))
    shutil.copytree(programs.parent / "share" / "roundup" / "templates" / "classic" / "html", home / "html")
    (home / "db").mkdir()
    (home / "config.ini").write_text(_CONFIG.read_text().format(key=secrets.token_urlsafe(32)))
    passwords = {variable: secrets.token_urlsafe(18) for variable in (_PASSWORD, _AGENT_PASSWORD)}
    command = [str(programs / "roundup-admin"), "-i", str(home), "initialise", secrets.token_urlsafe(18)]
    environment = {**_environment(home), **passwords}
    admin = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, check=False)
    if admin.returncode:
        said = f"{admin.stdout}{admin.stderr}"[-500:]
        raise Misconfigured(f"roundup-admin initialise ended with status {admin.returncode}: {said}")
    (home / _SECRETS).touch(mode=0o600)
    (home / _SECRETS).write_text(json.dumps(passwords))
    for outdated in fresh.parents[1].glob("*"):
        shutil.rmtree(outdated, ignore_errors=True)
    fresh.parent.mkdir(parents=True)
    shutil.move(home, fresh)


def _environment(home: Path) -> dict[str, str]:
    """Variables for the tracker's processes: the tracker is their home, bytecode stays next to the programs."""
    return {**os.environ, "HOME": str(home), "LANG": "C.UTF-8", "PYTHONPYCACHEPREFIX": ""}


def _copy(tracker: Path, home: Path) -> None:
    """Puts a copy of a tracker in the place of what is there."""
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(tracker, home)
