"""Working days of a jurisdiction: no public holiday, Saturday or Sunday (Reg. 1182/71, Art. 2(2))."""

import sys
import warnings
from collections.abc import Callable, Collection, Iterable
from datetime import date, timedelta
from functools import cache, lru_cache, partial
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec, module_from_spec
from itertools import count
from types import ModuleType

SATURDAY = 5


@cache
def holidays_version() -> str:
    """Returns the version of the holiday data; part of every ``calc_version``."""
    return version("holidays")


class Calendar:
    """The public holidays of a country ("DE"), a subdivision ("DE-BE") or a financial market ("ECB").

    An unknown calendar has working days only, so no date moves: the earlier date is the safe one.
    """

    def __init__(self, name: str) -> None:
        code, _, subdivision = name.partition("-")
        countries, markets = _codes()
        self.known = name in markets or name in countries or (code in countries and subdivision in _divisions(code))
        if name in markets:
            source = partial(_library().financial_holidays, name)
        else:
            source = partial(_library().country_holidays, code, subdivision or None)
        self._holidays = cache(partial(_read, source))

    def is_working_day(self, day: date) -> bool:
        """Returns whether the day is a working day."""
        return not self.known or (day.weekday() < SATURDAY and day not in self._holidays(day.year))

    def roll_forward(self, day: date) -> date:
        """The day itself, or the next working day (Art. 3(4))."""
        while not self.is_working_day(day):
            day += timedelta(days=1)
        return day

    def add_working_days(self, day: date, working_days: int) -> date:
        """The n-th working day after a day (before it, if negative); the day itself is not counted (Art. 3(1))."""
        step = timedelta(days=1 if working_days > 0 else -1)
        for _ in range(abs(working_days)):
            day += step
            while not self.is_working_day(day):
                day += step
        return day

    def working_days_between(self, day: date, until: date) -> int:
        """Counts the working days after a day, up to and including another (Art. 3(1)); none before it."""
        days = (day + timedelta(days=each) for each in range(1, (until - day).days + 1))
        return sum(map(self.is_working_day, days))


@cache
def _library() -> ModuleType:
    """Returns the package, which takes a tenth of a second to import: services that need no calendar do without.

    A calendar is imported without the 250 others of its folder, which the folder's own code imports in half a second.
    """
    library = import_module("holidays")
    for name in ("holidays.countries", "holidays.financial"):
        if name not in sys.modules and (spec := find_spec(name)):
            sys.modules[name] = module_from_spec(spec)
    return library


def _read(source: Callable[..., Iterable[date]], year: int) -> frozenset[date]:
    with warnings.catch_warnings():  # some calendars end early and say so: beyond that, only weekends are known
        warnings.simplefilter("ignore")
        return frozenset(source(years=year, expand=False))


@cache
def _codes() -> tuple[frozenset[str], frozenset[str]]:
    """Returns the codes of countries and markets; loading the calendars would take half a second."""
    loader = _library().registry.EntityLoader
    return frozenset(loader.get_country_codes()), frozenset(loader.get_financial_codes())


def _divisions(country: str) -> Collection[str]:
    return tuple(getattr(_library(), country).subdivisions)


@lru_cache(maxsize=2048)
def calendar(name: str | None) -> Calendar:
    """The calendar of this name, read once per process; ``None`` and unknown names give one without holidays."""
    return Calendar((name or "").strip())


def last_common_working_day(until: date, calendars: tuple[Calendar, ...]) -> date:
    """The last day up to and including ``until`` that is a working day in every calendar."""
    days = (until - timedelta(days=back) for back in count())
    return next(day for day in days if all(each.is_working_day(day) for each in calendars))
