"""Shows how far a long step has come: a bar on a terminal, plain lines elsewhere."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars


@dataclass(frozen=True)
class Step:
    """One step on its way; a step that counts nothing never needs to be told."""

    bars: Bars
    task: TaskID

    def advance(self, count: int = 1) -> None:
        """Say that `count` more units are done."""
        self.bars.advance(self.task, count)

    def reach(self, count: int) -> None:
        """Say that `count` units are done altogether."""
        self.bars.update(self.task, completed=count)


class Progress:
    """The steps of a run, also of several threads at a time: `with progress.step("Starting the broker"): ...`."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        self._bars = Bars(*columns, console=self._console, transient=True, disable=not self._console.is_terminal)
        self._lock = threading.Lock()

    @contextmanager
    def step(self, title: str, total: int | None = None) -> Iterator[Step]:
        """Show a step while the block runs; `total` in units of your choice, none if it cannot be known."""
        terminal, began = self._console.is_terminal, time.monotonic()
        if not terminal:
            self._console.print(f"-> {title}")
        with self._lock:
            task = self._bars.add_task(title, total=total)
            self._bars.start()
        try:
            yield Step(self._bars, task)
            took = f"{time.monotonic() - began:.1f} s"
            self._console.print(f"[green]✓[/] {title} [dim]{took}[/]" if terminal else f"   {title}: {took}")
        finally:
            with self._lock:
                self._bars.remove_task(task)
                if not self._bars.task_ids:
                    self._bars.stop()
