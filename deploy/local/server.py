"""Starts, stops and kills a server of this machine, which is prepared once."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

from deploy.local.process import Child, step


def side_by_side(*work: Callable[[], object]) -> None:
    """Run all of this in threads; after Ctrl-C it does not wait for the rest."""
    threads, wait = ThreadPoolExecutor(), True
    try:
        for done in [threads.submit(each) for each in work]:
            done.result()
    except KeyboardInterrupt:
        wait = False
        raise
    finally:
        threads.shutdown(wait=wait, cancel_futures=not wait)


class Server(ABC):
    """A server as our child process; `directory` holds its data and its log, and the next start finds them again.

    It keeps its port for the life of this object, so clients reconnect after `kill()` and `start()`. All methods block.
    """

    title: str
    """Its name while it starts."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._child: Child | None = None

    @abstractmethod
    def prepare(self) -> Child:
        """Make what is missing on this machine; the process to run."""

    def complete(self) -> None:  # noqa: B027  # most have nothing to do
        """Do what only the running server allows, once after its first start."""

    @property
    def child(self) -> Child:
        """The server's process; made by the first `start()`.

        Raises:
            RuntimeError: It was never started.
        """
        if self._child is None:
            raise RuntimeError(f"{self.title} was never started")
        return self._child

    def start(self) -> None:
        """Start the server and wait until it is ready; makes what is missing first."""
        with step(f"Starting {self.title}"):
            if self._child is not None:
                self._child.start()
                return
            self._child = self.prepare()
            try:
                self._child.start()
                self.complete()
            except BaseException:
                self.stop()
                raise

    def stop(self) -> None:
        """Stop the server cleanly, even if clients are connected; its data stays."""
        if self._child is not None:
            self._child.stop()

    def kill(self) -> None:
        """Kill the server as `kill -9` does."""
        self.child.kill()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
