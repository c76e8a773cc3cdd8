"""Starts again what ended although nobody asked it to: later and later while it does not stay, and never silently."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping

from deploy.local.process import Child, ChildFailedError

log = logging.getLogger(__name__)

_SOONEST, _LATEST = 1.0, 60.0
_STAYS = 60.0


class Watch:
    """A thread for each child that waits for its end; ``changed`` is told how often each was started again."""

    def __init__(self, children: Mapping[str, Child], changed: Callable[[Mapping[str, int]], None]) -> None:
        self._changed = changed
        self._restarts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._threads = [
            threading.Thread(target=self._keep, args=(name, child), daemon=True) for name, child in children.items()
        ]

    def begin(self) -> None:
        """Watch from now on."""
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Start nothing again any more."""
        with self._lock:
            self._ending.set()

    def _keep(self, name: str, child: Child) -> None:
        pause = _SOONEST
        while True:
            began = time.monotonic()
            status = child.wait()
            if self._ending.is_set():
                return
            pause = _SOONEST if time.monotonic() - began > _STAYS else pause
            log.warning("%s ended with status %s; it is started again in %g s: see %s", name, status, pause, child.log)
            self._tell()
            if self._ending.wait(pause) or not self._start(name, child):
                return
            pause = min(2 * pause, _LATEST)

    def _start(self, name: str, child: Child) -> bool:
        """Start it once more, whatever comes of it; False if all is ending."""
        with self._lock:
            if self._ending.is_set():
                return False
            self._restarts[name] += 1
            try:
                child.spawn()
            except ChildFailedError as failure:
                log.warning("%s", failure)
                return True
        try:
            child.wait_ready()
        except ChildFailedError as failure:
            if not self._ending.is_set():
                log.warning("%s", failure)
            return True
        log.warning("%s is up again", name)
        self._tell()
        return True

    def _tell(self) -> None:
        with self._lock:
            if not self._ending.is_set():
                self._changed(dict(self._restarts))
