"""Roundup's own virtual environment and the copy of a fresh tracker, both made once below `.local/`."""

import contextlib
import fcntl
import hashlib
import json
import os
import pwd
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from deploy.local.paths import CACHE, LOCAL
from deploy.local.process import Account
from shared.domain.errors import Misconfigured

HERE = Path(__file__).parent
LOCK = HERE / "requirements.lock"
TEMPLATE = HERE / "tracker"
SECRETS = "secrets.json"
"""The file in a tracker's home that holds the passwords of its two users."""
CONFIG = """\
[main]
database = db
templates = html
admin_email = admin@telco.invalid
dispatcher_email = admin@telco.invalid
password_pbkdf2_default_rounds = 1000
indexer = native

[tracker]
name = Tickets
web = http://127.0.0.1/

[web]
enable_rest = yes
secret_key = {key}

[rdbms]
backend = sqlite
name = roundup

[mail]
domain = telco.invalid
host = 127.0.0.1
"""


@dataclass(frozen=True, slots=True)
class Installation:
    """What is ready to use: the programs, a fresh tracker to copy, and as whom to run (``None``: as we are)."""

    bin: Path
    fresh: Path
    account: Account | None

    def environment(self, home: Path, **more: str) -> dict[str, str]:
        """Variables for the tracker's processes: the tracker is their home, bytecode stands beside the programs."""
        ours = {"HOME": str(home), "LANG": "C.UTF-8", "PYTHONPYCACHEPREFIX": "", "PYTHONDONTWRITEBYTECODE": "1"}
        return {**ours, **more}

    def feed(self, home: Path, lines: Iterable[bytes], taken: Callable[[int], None]) -> None:
        """Run the tracker's loader over JSON lines."""
        with self._open([self.bin / "python", "load.py"], home) as loader:
            if loader.stdin is not None:
                with contextlib.suppress(BrokenPipeError), loader.stdin as pipe:
                    for count, line in enumerate(lines, 1):
                        pipe.write(line)
                        taken(count)
        self._must_have_succeeded(loader, "loading records", b"")

    def initialise(self, home: Path, **passwords: str) -> None:
        """Create the tracker's database with its first records."""
        command: list[str | Path] = [self.bin / "roundup-admin", "-i", home, "initialise", secrets.token_urlsafe(18)]
        with self._open(command, home, **passwords) as admin:
            output, _ = admin.communicate()
        self._must_have_succeeded(admin, "roundup-admin initialise", output)

    def _open(self, command: list[str | Path], home: Path, **more: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command,
            cwd=home,
            env={**os.environ, **self.environment(home, **more)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE if more else None,
            stderr=subprocess.STDOUT if more else None,
            user=self.account.uid if self.account else None,
            group=self.account.gid if self.account else None,
            extra_groups=[] if self.account else None,
        )

    def _must_have_succeeded(self, process: subprocess.Popen[bytes], what: str, output: bytes) -> None:
        if process.returncode:
            raise Misconfigured(f"{what} ended with {process.returncode}: {output.decode(errors='replace')[-500:]}")


def prepare(directory: Path) -> Installation:
    """Make what is missing of the environment and the fresh tracker; ours will stand in ``directory``."""
    directory.mkdir(parents=True, exist_ok=True)
    CACHE.mkdir(parents=True, exist_ok=True)
    python, account = _interpreter(directory)
    venv = LOCAL / "roundup" / "venv"
    sources = [LOCK, Path(__file__), *sorted(TEMPLATE.rglob("*.py"))]
    state = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    installation = Installation(venv / "bin", CACHE / "roundup" / state / "fresh", account)
    with (CACHE / "roundup.lock").open("w") as alone:
        fcntl.flock(alone, fcntl.LOCK_EX)
        _install(venv, python)
        if not installation.fresh.exists():
            _initialise(
                installation, directory / "first", venv / "share" / "roundup" / "templates" / "classic" / "html"
            )
    return installation


def copy(tracker: Path, home: Path, account: Account | None) -> None:
    """Lay a copy of a tracker, and give it to the user as whom it runs."""
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(tracker, home, copy_function=_link_or_copy)
    _own(home, account)


def _link_or_copy(source: str, target: str) -> None:
    """Link the contents of messages and files, thousands of them: Roundup replaces such files, it never edits one."""
    if f"{os.sep}db{os.sep}files{os.sep}" in source:
        with contextlib.suppress(OSError):
            os.link(source, target)
            return
    shutil.copy2(source, target)


def _own(home: Path, account: Account | None) -> None:
    if account is not None:
        for path in (home, *home.rglob("*")):
            os.chown(path, account.uid, account.gid)


def _interpreter(directory: Path) -> tuple[Path, Account | None]:
    """The first interpreter that the user without rights can reach; else the one that runs us, as whoever we are.

    Only Roundup's own server refuses root, and we use another; so a checkout that nobody else may enter still works.
    """
    ours = Path(sys.executable).resolve()
    if os.geteuid() != 0:
        return ours, None
    nobody = pwd.getpwnam("nobody")
    for candidate in (ours, *_on_path()):
        probe = "import sys, sqlite3, os; os.chdir(sys.argv[1]); sys.exit(sys.version_info < (3, 11))"
        try:
            code = subprocess.run(
                [candidate, "-c", probe, directory],
                user=nobody.pw_uid,
                group=nobody.pw_gid,
                capture_output=True,
                check=False,
            ).returncode
        except PermissionError:
            continue
        if code == 0:
            return candidate, Account(nobody.pw_uid, nobody.pw_gid)
    return ours, None


def _on_path() -> Iterator[Path]:
    folders = dict.fromkeys(["/usr/bin", "/usr/local/bin", *os.environ.get("PATH", "").split(os.pathsep)])
    for folder in folders:
        for version in ("3", "3.13", "3.12", "3.11"):
            path = Path(folder) / f"python{version}"
            if path.exists():
                yield path


def _install(venv: Path, python: Path) -> None:
    stamp = venv / ".stamp"
    wanted = hashlib.sha256(LOCK.read_bytes()).hexdigest() + f" {python}\n"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    uv = Path(sys.executable).parent / "uv"
    if not uv.exists():
        raise Misconfigured("uv is missing beside this interpreter; run `make setup`")
    # Where uv builds a package it leaves a lock in the folder for temporary files.
    temporary = CACHE / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    environment = {"UV_CACHE_DIR": str(CACHE / "uv"), **os.environ, "PYTHONPYCACHEPREFIX": "", "TMPDIR": str(temporary)}
    shutil.rmtree(venv, ignore_errors=True)
    subprocess.run([uv, "--quiet", "venv", "--python", python, venv], check=True, env=environment)
    subprocess.run(
        [
            uv,
            "--quiet",
            "pip",
            "sync",
            "--compile-bytecode",
            "--python",
            venv / "bin" / "python",
            "--require-hashes",
            LOCK,
        ],
        check=True,
        env=environment,
    )
    stamp.write_text(wanted)


def _initialise(installation: Installation, home: Path, html: Path) -> None:
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(TEMPLATE, home, ignore=shutil.ignore_patterns("__init__.py", "__pycache__"))
    shutil.copytree(html, home / "html")
    (home / "db").mkdir()
    (home / "config.ini").write_text(CONFIG.format(key=secrets.token_urlsafe(32)))
    _own(home, installation.account)
    passwords = {"privacy": secrets.token_urlsafe(18), "agent": secrets.token_urlsafe(18)}
    installation.initialise(
        home, DSR_ROUNDUP_PASSWORD=passwords["privacy"], DSR_ROUNDUP_AGENT_PASSWORD=passwords["agent"]
    )
    (home / SECRETS).touch(mode=0o600)
    (home / SECRETS).write_text(json.dumps(passwords))
    for outdated in installation.fresh.parents[1].glob("*"):
        shutil.rmtree(outdated, ignore_errors=True)
    installation.fresh.parent.mkdir(parents=True)
    shutil.move(home, installation.fresh)
