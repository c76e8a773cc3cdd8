"""The local ticketing system: Roundup behind gunicorn's sync workers on 127.0.0.1."""

import contextlib
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from deploy.local.ports import HOST, answers, free_port
from deploy.local.process import Child
from deploy.local.progress import Progress
from deploy.local.roundup.install import AGENT_PASSWORD, PASSWORD, SECRETS, Installation, copy, prepare
from deploy.local.server import Server

WORKERS = 4


class Roundup(Server):
    """A tracker of its own in ``directory``, the same after a stop or a crash.

    ``user`` and ``password`` are the privacy team's, ``agent`` and ``agent_password`` those of an ordinary user.
    ``database`` is the SQLite file, ``files`` the folder with the contents of messages and files.
    """

    title = "the ticketing system (Roundup)"
    user = "privacy"
    agent = "agent"

    def __init__(self, directory: Path, progress: Progress | None = None) -> None:
        super().__init__(directory, progress)
        self.home = directory / "tracker"
        self.database = self.home / "db" / "db"
        self.files = self.home / "db" / "files"
        self.password = ""
        self.agent_password = ""
        self._port = free_port()
        self.url = f"http://{HOST}:{self._port}/"
        self._installation: Installation | None = None

    def prepare(self) -> Child:
        """Install and initialise what is missing."""
        installation = self._ready()
        # The tracker refuses calls whose Origin is not its own address.
        config = self.home / "config.ini"
        config.write_text(re.sub(r"(?m)^web = .*$", f"web = {self.url}", config.read_text()))
        return Child(
            "roundup",
            [
                *(installation.bin / "gunicorn", "--bind", f"{HOST}:{self._port}", "--workers", WORKERS),
                *("--worker-class", "sync", "--preload", "--limit-request-line", 0, "--no-control-socket"),
                *("--log-level", "warning", "wsgi:application"),
            ],
            log=self.directory / "roundup.log",
            ready=answers(f"{self.url}@@file/style.css"),
            env=installation.environment(self.home),
            cwd=self.home,
        )

    def load(
        self,
        records: Iterable[Mapping[str, object]],
        *,
        keep: bool = False,
        loaded: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Begin anew with these records, while the tracker was not yet started; ``load.py`` says what they look like.

        ``keep``: a later load of the same records restores a copy in a moment instead. ``loaded`` is told how many were
        taken.
        """
        installation = self._ready()
        lines = [json.dumps(record).encode() + b"\n" for record in records]
        kept = installation.fresh.parent / f"loaded-{hashlib.sha256(b''.join(lines)).hexdigest()[:16]}"
        if not keep or not kept.exists():
            copy(installation.fresh, self.home)
            installation.feed(self.home, lines, loaded)
            if keep:
                with contextlib.suppress(OSError):  # somebody else has kept the same at the same moment
                    self.home.rename(kept)
        if keep and kept.exists():
            copy(kept, self.home)
        self._learn_passwords()

    def _ready(self) -> Installation:
        if self._installation is None:
            self._installation = prepare(self.directory)
            if not (self.home / SECRETS).exists():
                copy(self._installation.fresh, self.home)
            self._learn_passwords()
        return self._installation

    def _learn_passwords(self) -> None:
        secrets = json.loads((self.home / SECRETS).read_text())
        self.password, self.agent_password = secrets[PASSWORD], secrets[AGENT_PASSWORD]
