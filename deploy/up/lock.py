"""Who keeps the platform up in a folder: a file that the supervisor locks, with its process id in it."""

import fcntl
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType


class Lock:
    """The lock of a folder; it is free as soon as its holder is gone, however it went."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "up.pid"

    @property
    def holder(self) -> int | None:
        """The process that holds it, None where none does."""
        return int(self._file.read_text() or 0) if self.is_held(self._file) else None

    @staticmethod
    def is_held(file: Path) -> bool:
        """Whether a process has locked that file."""
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
        """Hold it while the block runs.

        Raises:
            BlockingIOError: Another process holds it.
        """
        with self._file.open("a+") as opened:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            opened.truncate(0)
            opened.write(str(os.getpid()))
            opened.flush()
            yield

    def wait_until_free(self, seconds: int) -> bool:
        """Wait for its holder to let go, for so long at most; whether it did."""

        def too_long(_number: int, _frame: FrameType | None) -> None:
            raise TimeoutError

        before = signal.signal(signal.SIGALRM, too_long)
        signal.alarm(seconds)
        try:
            with self._file.open("r+") as opened:
                fcntl.flock(opened, fcntl.LOCK_EX)
        except TimeoutError:
            return False
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, before)
        return True
