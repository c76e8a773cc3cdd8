"""The one place that reads the time; everything else is given a clock or a time."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Protocol

from pydantic import AfterValidator, AwareDatetime, BeforeValidator


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


_FIRST_YEAR, _LAST_YEAR = 1900, 2100


def _written_out(value: object) -> object:
    """Refuses a number of seconds, which says nothing about when it was meant to be."""
    if (isinstance(value, str) and value[4:5] != "-") or isinstance(value, int | float):
        raise ValueError("write it out, as 2026-03-02T09:00:00+01:00")
    return value


def _of_our_times(value: datetime) -> datetime:
    if not _FIRST_YEAR <= value.year <= _LAST_YEAR:
        raise ValueError(f"give a year from {_FIRST_YEAR} to {_LAST_YEAR}, or leave it out")
    return value


Day = Annotated[date, BeforeValidator(_written_out)]
Moment = Annotated[AwareDatetime, BeforeValidator(_written_out), AfterValidator(_of_our_times)]
