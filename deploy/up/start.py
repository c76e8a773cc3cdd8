"""The two commands: what an engineer types, and what they read."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from deploy.local.paths import LOCAL, ROOT
from deploy.local.unprivileged import become_unprivileged
from deploy.up import environment, sample
from deploy.up.environment import Lock
from shared.domain.errors import Misconfigured
from shared.systems.check import check, emitter_faults, with_unset_faults
from shared.systems.registry import Wiring

HERE = LOCAL / "up"
READY = "ready"

_DEMONSTRATION = LOCAL / "cache" / "demo.lock"
_PATIENCE = 90

Folder = Annotated[Path, typer.Option(help="Where its data, logs and environment.json lie.")]


def up(
    downstreams: Annotated[
        Path | None, typer.Option(help="The file with your own systems; a sample store, if left out.")
    ] = None,
    *,
    keep: Annotated[bool, typer.Option("--keep", help="Go on with the data of the last time.")] = False,
    folder: Folder = HERE,
) -> None:
    """Start broker, database and the six services on an empty platform; returns when all are ready."""
    become_unprivileged()
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    declared = (downstreams or sample.DOWNSTREAMS).resolve()
    if (running := Lock(folder).holder) is not None:
        _say_what_runs(folder, declared, running)
        return
    wrong, by_person = _mistakes(declared) if downstreams else ([], [])
    if wrong:
        sys.exit("\n".join([*wrong, "Nothing was started."]))
    typer.echo("".join(f"{each}\n" for each in by_person), nl=False)
    _start(folder, declared, keep=keep)
    _show(folder)


def down(folder: Folder = HERE) -> None:
    """End what `up` has started."""
    become_unprivileged()
    folder = folder.resolve()
    lock = Lock(folder)
    pid = lock.holder
    if pid is None:
        environment.remove(folder)
        other = Lock.is_held(_DEMONSTRATION)
        hint = " A demonstration runs: Ctrl-C where it was started ends it." if other else ""
        typer.echo(f"Nothing of `make up` runs here.{hint}")
        return
    typer.echo("Stopping …")
    if not _end(lock, pid):
        sys.exit(f"Process {pid} belongs to another user: let that user, or root, end it.")
    environment.remove(folder)
    typer.echo("Stopped. What it held stays until the next `make up`; `make up KEEP=1` goes on with it.")


def _mistakes(declared: Path) -> tuple[list[str], list[str]]:
    """Returns the mistakes that would stop the services, and what a person must do in a system."""
    wiring = Wiring.of_command()
    try:
        checked = asyncio.run(check(declared, wiring, live=False))
    except Misconfigured as error:
        return [str(fault) for fault in error.faults], []
    used = [with_unset_faults(each) for each in checked if each.declared is None or each.declared.enabled]
    emitters = os.environ.get("DSR_INTAKE_EMITTERS")
    mistakes = emitter_faults(Path(emitters), checked) if emitters else ()
    wrong = [f"[{each.name}]: {fault}" if not fault.file else str(fault) for each in used for fault in each.faults]
    return [*wrong, *map(str, mistakes)], [str(fault) for each in used for fault in each.manual_parts]


def _start(folder: Path, declared: Path, *, keep: bool) -> None:
    """Run the supervisor in a session of its own until it says that all is ready; ends it if we are interrupted."""
    read_end, write_end = os.pipe()
    command = [sys.executable, "-m", "deploy.up.supervisor", str(folder), str(declared), str(write_end)]
    command += ["--keep"] if keep else []
    supervisor = subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, start_new_session=True, pass_fds=[write_end]
    )
    os.close(write_end)
    try:
        with os.fdopen(read_end) as answer:
            said = answer.read()
    except KeyboardInterrupt:
        supervisor.send_signal(signal.SIGTERM)
        supervisor.wait()
        sys.exit("Stopped before it was ready.")
    if said != READY:
        supervisor.wait()
        sys.exit(said or f"It ended before it was ready; the end of its log is in {_shown(folder / 'up.log')}")


def _end(lock: Lock, pid: int) -> bool:
    """Ask the supervisor to end, after a while by force, and wait until it is gone; whether we may."""
    try:
        os.kill(pid, signal.SIGTERM)
        if not lock.wait_until_free(_PATIENCE):
            os.kill(pid, signal.SIGKILL)  # whatever it has started ends with it
            lock.wait_until_free(_PATIENCE)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return True


def _say_what_runs(folder: Path, declared: Path, pid: int) -> None:
    known = environment.read(folder)
    if known is None:
        sys.exit(f"It is being started, or stopped, by process {pid}; try again when that is done.")
    if known["downstreams"] != str(declared):
        sys.exit(f"It is up with {known['downstreams']}: `make down` first.")
    typer.echo("It is up already; a changed downstreams file is read after `make down` and `make up`.\n")
    _show(folder)


def _show(folder: Path) -> None:
    """Yields what runs where, and what to type next."""
    known = environment.read(folder)
    if known is None:
        sys.exit(f"It ended again; see {_shown(folder / 'up.log')}")
    console = Console(highlight=False, soft_wrap=True)

    def say(what: str, words: str) -> None:
        console.print(f"  [dim]{what}[/]")
        console.print(f"    {words}", markup=False)

    console.print("\n[bold]The platform is up.[/]\n")
    for what, address in known["sites"].items():
        say(what, address)
    say("the systems that are connected", _shown(Path(known["downstreams"])))
    say("the policy (`dsr policy check`)", _policy(known["policy"]))
    say("every address, key, log and process id", _shown(folder / environment.FILE))
    say("submit a request", environment.curl(known["api"], known["keys"]["channel"]))
    say("follow it, by the ID of the answer", f"{_shown(folder / environment.COMMAND)} request follow REQUEST_ID")
    say("API documentation", known["docs"])
    for name, process in known["processes"].items():
        if not _runs(process["pid"]):
            say(f"{name} has ended", f"see {_shown(Path(process['log']))}; `make down` and `make up` start it again")
    console.print("\n`make down` ends it.", markup=False)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _policy(overlay: str | None) -> str:
    """Names the policy in use."""
    if overlay is None:
        return "as shipped and unsigned: packages wait, and erasures by rule (yours: DSR_POLICY_OVERLAY=FOLDER)"
    return f"{_shown(Path(overlay))}{': its signature is invented' if Path(overlay) == sample.POLICY else ''}"


def _shown(path: Path) -> str:
    return environment.shown(path)
