"""The one place that reads the time; everything else is given a clock or a time."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol


class Clock(Protocol):
    """Tells the time as an aware UTC datetime."""

    def now(self) -> datetime: ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """The present instant, UTC."""
        return datetime.now(UTC)


class AheadClock(SystemClock):
    """The machine's clock, ahead by as many seconds as the file holds; read at each call, for tests that skip days."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def now(self) -> datetime:
        """The shifted instant, UTC."""
        return super().now() + timedelta(seconds=float(self._file.read_text()))
