"""The company's calendar: fixed dates, so that it is the same company whenever it is founded."""

from datetime import UTC, datetime, timedelta

OPENED = datetime(2023, 3, 1, tzinfo=UTC)
CALLS_FROM = datetime(2025, 5, 1, tzinfo=UTC)
CALLS_TO = datetime(2026, 11, 1, tzinfo=UTC)
AGEING = timedelta(days=45)
"""A number rests at least this long before somebody else gets it (47 CFR 52.15(f))."""


def between(earliest: datetime, latest: datetime, fraction: float) -> datetime:
    """The moment, to the second, at ``fraction`` in [0, 1) of the way."""
    return earliest + timedelta(seconds=int((latest - earliest).total_seconds() * fraction))


def morning(moment: datetime) -> datetime:
    """Half past eight UTC of that day, when numbers are switched over."""
    return moment.replace(hour=8, minute=30, second=0, microsecond=0)
