"""Shows how far a long step has come: a bar on a terminal, plain lines elsewhere."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars


class Step:
    """One step on its way; a step that counts nothing never needs to be told."""

    def __init__(self, bars: Bars | None, task: TaskID | None) -> None:
        self._bars = bars
        self._task = task

    def advance(self, count: int = 1) -> None:
        """Say that `count` more units are done."""
        if self._bars is not None and self._task is not None:
            self._bars.advance(self._task, count)

    def reach(self, count: int) -> None:
        """Say that `count` units are done altogether."""
        if self._bars is not None and self._task is not None:
            self._bars.update(self._task, completed=count)


class Progress:
    """The steps of a run, also of several threads at a time: `with progress.step("Starting the broker"): ...`."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._lock = threading.Lock()
        self._bars: Bars | None = None
        self._open = 0

    @contextmanager
    def step(self, title: str, total: int | None = None) -> Iterator[Step]:
        """Show a step while the block runs; `total` in units of your choice, none if it cannot be known."""
        if not self._console.is_terminal:
            with self._lines(title):
                yield Step(None, None)
            return
        bars = self._begin()
        task = bars.add_task(title, total=total)
        began = time.monotonic()
        try:
            yield Step(bars, task)
            bars.console.print(f"[green]✓[/green] {title} [dim]{time.monotonic() - began:.1f} s[/dim]")
        finally:
            bars.remove_task(task)
            self._end()

    @contextmanager
    def _lines(self, title: str) -> Iterator[None]:
        self._console.print(f"-> {title}")
        began = time.monotonic()
        yield
        self._console.print(f"   {title}: {time.monotonic() - began:.1f} s")

    def _begin(self) -> Bars:
        with self._lock:
            if self._bars is None:
                self._bars = Bars(
                    SpinnerColumn(),
                    TextColumn("{task.description}"),
                    BarColumn(),
                    MofNCompleteColumn(),
                    TimeElapsedColumn(),
                    console=self._console,
                    transient=True,
                )
                self._bars.start()
            self._open += 1
            return self._bars

    def _end(self) -> None:
        with self._lock:
            self._open -= 1
            if self._open == 0 and self._bars is not None:
                self._bars.stop()
                self._bars = None
