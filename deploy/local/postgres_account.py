"""Whom PostgreSQL runs as: it refuses root, so root lends it a user that the machine has already."""

import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from deploy.local.postgres_binaries import Binaries
from deploy.local.process import Account

_EXISTING = ("postgres", "nobody", "daemon")

# Lets one program, not root, pass folders that are closed to its user, so that data and programs stay where they are.
# Without the secure bit access(2), by which PostgreSQL looks for its own programs, would ignore the capability.
_SETPRIV = "setpriv --reuid {uid} --regid {gid} --clear-groups --securebits +no_setuid_fixup"
_CAPABILITY = "--inh-caps +dac_override --ambient-caps +dac_override"


class UnreachableFolderError(RuntimeError):
    """PostgreSQL refuses root, and no other user may enter the folder: move the folder, or set DSR_POSTGRES_DSN."""


@dataclass(frozen=True)
class RunAs:
    """How PostgreSQL's programs are run: as whom, and behind which words."""

    owner: Account | None = None
    prefix: tuple[str, ...] = ()

    @property
    def account(self) -> Account | None:
        """The user to change to; none where the words in front do it, or where we stay who we are."""
        return None if self.prefix else self.owner

    def make_folder(self, folder: Path) -> None:
        """Make a folder that they alone can read."""
        folder.mkdir(mode=0o700)
        self._give(folder)

    def write(self, file: Path, text: str) -> None:
        """Write a file that they alone can read."""
        file.touch(mode=0o600)
        file.write_text(text)
        self._give(file)

    def _give(self, path: Path) -> None:
        if self.owner is not None:
            os.chown(path, self.owner.uid, self.owner.gid)

    def run(self, command: list[str | Path], log: Path) -> None:
        """Run a program to its end, with its output in the log."""
        with log.open("ab") as output:
            subprocess.run(
                [*self.prefix, *command],
                stdout=output,
                stderr=output,
                check=True,
                user=self.account.uid if self.account else None,
                group=self.account.gid if self.account else None,
                extra_groups=[] if self.account else None,
            )


def choose(binaries: Binaries, folder: Path, log: Path) -> RunAs:
    """A way to run the programs in which they reach the folder and one another."""
    if os.geteuid() != 0:
        return RunAs()
    for candidate in _candidates():
        try:
            candidate.run(["/bin/sh", "-c", 'cd "$1" && test -x "$2"', "sh", folder, binaries["postgres"]], log)
        except subprocess.CalledProcessError:
            continue
        return candidate
    raise UnreachableFolderError(UnreachableFolderError.__doc__)


def _candidates() -> list[RunAs]:
    owner = _existing_user()
    plain = RunAs(owner)
    if shutil.which("setpriv") is None:
        return [plain]
    words = f"{_SETPRIV} {_CAPABILITY}".format(uid=owner.uid, gid=owner.gid).split()
    return [plain, RunAs(owner, tuple(words))]


def _existing_user() -> Account:
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    for name in _EXISTING:
        if name in known:
            return Account(known[name].pw_uid, known[name].pw_gid)
    raise UnreachableFolderError(UnreachableFolderError.__doc__)
