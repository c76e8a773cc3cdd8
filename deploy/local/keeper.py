"""Runs one process, and ends it with its descendants as soon as the parent is gone.

`process.Child` starts this file as a separate program, since a process killed with -9 cannot clean up. Standard input
is the control pipe: a byte is the number of a signal to pass on; its end means stop. The process ID goes to standard
output, the process's output to standard error. Needs only the standard library.
"""

import contextlib
import ctypes
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36
_SIGNALLED = 128


class Supervisor:
    """The process that is kept, and the order that it was started by."""

    def __init__(self, order: Mapping[str, object]) -> None:
        self.stop_signal = int(str(order["stop_signal"]))
        self.grace = float(str(order["grace"]))
        self.ended = threading.Event()
        self.process: subprocess.Popen[bytes] | None = None

    def follow_control_pipe(self) -> None:
        """Pass signals on until the control pipe ends, then stop the process, after the grace period by force."""
        while signals := os.read(0, 1):
            if self.process is None:
                continue
            if signals[0] == signal.SIGKILL:
                self.kill_group()
            else:
                self.process.send_signal(signals[0])
        if self.process is None:
            os._exit(0)
        self.process.send_signal(self.stop_signal)
        if not self.ended.wait(self.grace):
            self.kill_group()

    def kill_group(self) -> None:
        """Kill the process and what shares its process group."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def reap(self) -> None:
        """Kill and reap what the process left behind, also what left its process group."""
        self.kill_group()
        with contextlib.suppress(ChildProcessError):
            while True:
                for pid in _children():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                os.waitpid(-1, 0)


def _adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends (Linux; elsewhere the process group must do)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _children() -> list[int]:
    """Our children and adopted orphans, which belong to the main thread; none where the system lists none."""
    listed = Path(f"/proc/self/task/{os.getpid()}/children")
    return [int(pid) for pid in listed.read_text().split()] if listed.exists() else []


def main(order: Mapping[str, object], start: Callable[[], subprocess.Popen[bytes]]) -> int:
    """Starts the ordered process once no other keeper runs it; returns its status."""
    supervisor = Supervisor(order)
    threading.Thread(target=supervisor.follow_control_pipe, daemon=True).start()
    _adopt_orphans()
    with Path(str(order["lock"])).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        supervisor.process = start()
        sys.stdout.write(f"{supervisor.process.pid}\n")
        sys.stdout.flush()
        code = supervisor.process.wait()
        supervisor.ended.set()
        supervisor.reap()
    return code if code >= 0 else _SIGNALLED - code


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    run = {"stdin": subprocess.DEVNULL, "stdout": 2, "cwd": given["cwd"], "process_group": 0}
    sys.exit(main(given, lambda: subprocess.Popen(given["command"], **run)))
