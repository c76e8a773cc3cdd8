"""Child processes that never outlive us: servers, services and downstream systems on this machine."""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Self, cast

_KEEPER = Path(__file__).with_name("keeper.py")
_PROBE_EVERY = 0.05
_TAIL = 20


class ChildFailedError(RuntimeError):
    """A child process did not start, was not ready in time, or ended unexpectedly."""


def start_keeper(order: Mapping[str, Any], log: IO[bytes], env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Starts the keeper of a process, whose output goes to that log."""
    command = [sys.executable, "-I", "-S", str(_KEEPER), json.dumps(order)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=log, env=env, start_new_session=True)


@dataclass
class Child:
    """One process that we start, watch and stop.

    Whatever happens to us, also `kill -9`, it is stopped with everything that it started. Ctrl-C in the terminal does
    not reach it: we stop it when we are done. No two processes with the same log file run at a time; the later one
    waits for the earlier one to end. All methods block: in a coroutine use `asyncio.to_thread(child.start)`.

        crm = Child("crm", [python, "-m", "crm", "--port", port], log=LOCAL / "crm.log", ready=answers(url))
        with crm: ...            # or crm.start() ... crm.stop()
        crm.kill(); crm.start()  # dies as by `kill -9`, and comes back

    `env`: variables in addition to our own. `ready`: asked until it says yes (`ports.accepts`, `ports.answers`), for
    at most `ready_within` seconds. `grace`: seconds between `stop_signal` and SIGKILL.
    """

    name: str
    command: Sequence[str | Path | int]
    log: Path
    ready: Callable[[], bool] | None = None
    ready_within: float = 120
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    grace: float = 15
    _keeper: subprocess.Popen[bytes] | None = field(default=None, init=False, repr=False)
    _pid: int | None = field(default=None, init=False)

    @property
    def pid(self) -> int:
        """Process id of the process itself."""
        if self._pid is None:
            message = f"{self.name} is not running"
            raise ChildFailedError(message)
        return self._pid

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._keeper is not None and self._keeper.poll() is None

    def start(self) -> None:
        """Start the process and wait until it is ready; without effect while it runs."""
        if not self.running:
            self.spawn()
        self.wait_ready()

    def spawn(self) -> None:
        """Start the process without waiting until it is ready, so that several can start side by side."""
        self._close_control_pipe()
        self.log.parent.mkdir(parents=True, exist_ok=True)
        order = {
            "command": [str(word) for word in self.command],
            "lock": f"{self.log}.lock",
            "cwd": str(self.cwd) if self.cwd else None,
            "stop_signal": int(self.stop_signal),
            "grace": self.grace,
        }
        with self.log.open("ab") as log:
            self._keeper = start_keeper(order, log, {**os.environ, **self.env})
        self._pid = self._read_pid(self._keeper)

    def wait_ready(self) -> None:
        """Wait until the process is ready; if it ends before or takes too long, raise with the end of its log."""
        deadline = time.monotonic() + self.ready_within
        while self.ready is not None and not self.ready():
            if self.wait(_PROBE_EVERY) is not None:
                raise self._failure(f"ended with status {self.wait()} before it was ready")
            if time.monotonic() > deadline:
                self.stop()
                raise self._failure(f"was not ready within {self.ready_within:g} seconds")

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait for the process to end: its exit status (128 + the signal's number if killed), None when time is up."""
        if self._keeper is None:
            return None
        try:
            status = self._keeper.wait(timeout)
        except subprocess.TimeoutExpired:
            return None
        self._close_control_pipe()
        return status

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process."""
        if self.running and self._keeper is not None and self._keeper.stdin is not None:
            with contextlib.suppress(BrokenPipeError):  # it has just ended
                os.write(self._keeper.stdin.fileno(), bytes([number]))

    def kill(self) -> None:
        """Kill the process and all that it started, as `kill -9` does, and wait until they are gone."""
        self.signal(signal.SIGKILL)
        self.wait()

    def stop(self) -> int | None:
        """Ask the process to end, insist after the grace period; its exit status, None if it was never started."""
        self._close_control_pipe()
        return self.wait()

    def tail(self, lines: int = _TAIL) -> str:
        """The last lines of the log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _read_pid(self, keeper: subprocess.Popen[bytes]) -> int:
        with cast("IO[bytes]", keeper.stdout) as output, selectors.DefaultSelector() as selector:
            selector.register(output, selectors.EVENT_READ)
            in_time = selector.select(self.ready_within)
            line = output.readline() if in_time else b""
        if not line:
            self.stop()
            raise self._failure("could not be started" if in_time else "is still running since an earlier start")
        return int(line)

    def _failure(self, what: str) -> ChildFailedError:
        return ChildFailedError(f"{self.name} {what}; the end of {self.log}:\n{self.tail()}")

    def _close_control_pipe(self) -> None:
        if self._keeper is not None and self._keeper.stdin is not None:
            self._keeper.stdin.close()


@contextmanager
def step(title: str) -> Iterator[None]:
    """Shows a step while the block runs, also from several threads at a time."""
    began = time.monotonic()
    sys.stderr.write(f"-> {title}\n")
    yield
    sys.stderr.write(f"   {title}: {time.monotonic() - began:.1f} s\n")
