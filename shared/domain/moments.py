"""Days and instants as others state them: written out, with an offset, and of our times."""

from datetime import date, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BeforeValidator

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
