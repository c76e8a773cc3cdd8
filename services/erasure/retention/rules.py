"""Decides what a night does about one ceiling in one table; pure."""

from bisect import bisect_right
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Self
from uuid import UUID

from shared.domain.policy import Policy, parse_period, release
from shared.domain.policy.rules import Ceiling
from shared.domain.policy_files import SweepPolicy
from shared.systems.sweepable import Counted

PERSONS = 2
"""Approvals for a night that removes more than the policy's share."""


class State(StrEnum):
    """The result of a night."""

    UNSIGNED = "unsigned"  # nobody has signed the ceiling, or no longer: nothing is touched
    NO_COUNTRY = "no_country"  # a maximum of another country's law, and no row says which one's it is under: the same
    DRY_RUN = "dry_run"  # new or shortened: it was counted, and acts from the next night on
    STOPPED = "stopped"  # more than the policy's share: two persons must say that it may go
    SWEEPING = "sweeping"  # at work
    SWEPT = "swept"
    FAILED = "failed"  # the system refused, or whom a hold is about cannot be told


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms of a ceiling for one column as text, kept next to what a night did by them.

    ``anchor``: the beginning, the column in which it stands, and whose law alone it is, if it is not for everybody.
    """

    period: str
    zone: str
    anchor: str

    @classmethod
    def of(cls, policy: Policy, ceiling: Ceiling, column: str) -> Self:
        """Returns the terms of a ceiling for a table that has its anchor in that column."""
        anchor = "/".join(filter(None, [ceiling.anchor, column, policy.country_of(ceiling)]))
        return cls(str(ceiling.period), policy.zone_of(ceiling), anchor)

    def first_kept(self, today: date) -> date:
        """The first day whose records are kept today: what began on an earlier one is past.

        The period of what began then ends with the end of its last day (``release``), so it goes from the next day on.
        """
        period = parse_period(self.period)
        ordinals = range(today.toordinal() + 1)

        def purged_from(ordinal: int) -> date:
            return release(period, date.fromordinal(ordinal), self.zone).purge_from

        return date.fromordinal(bisect_right(ordinals, today, lo=1, key=purged_from))


@dataclass(frozen=True, slots=True)
class Known:
    """The result of the last night; ``counted_on``: the dry run of its terms, before they removed anything."""

    state: State
    night: date
    terms: Terms
    first_kept: date
    sweep_id: UUID
    counted_on: date | None = None
    due: int = 0
    confirmed_by: tuple[str, ...] = ()

    @property
    def is_confirmed(self) -> bool:
        """Whether two people have approved what was stopped; it may be at work since."""
        return self.state in {State.STOPPED, State.SWEEPING} and len(self.confirmed_by) >= PERSONS


def is_over(known: Known | None, night: date) -> bool:
    """Whether nothing is left to do this night; what was stopped goes on once two people have approved it."""
    if known is None or known.night < night or known.state is State.SWEEPING:
        return False
    return not known.is_confirmed


def runs_dry(known: Known | None, terms: Terms, night: date) -> bool:
    """Whether it is new, or removes what it did not remove before: then this night only counts."""
    if known is None or known.counted_on is None or known.terms.anchor != terms.anchor:
        return True
    return known.terms.first_kept(night) < terms.first_kept(night)


def goes_up_to(known: Known | None, terms: Terms, night: date) -> date:
    """Returns the first day that is kept; for what was approved, that of the night on which it was asked."""
    if known and known.is_confirmed and known.terms == terms:
        return known.first_kept
    return terms.first_kept(night)


def is_stopped(known: Known | None, terms: Terms, policy: SweepPolicy, counted: Counted) -> bool:
    """Whether so much needs dual approval, unless it was approved for what is found now."""
    if known and known.is_confirmed and known.terms == terms and counted.due <= known.due:
        return False
    return policy.is_too_much(counted.due, counted.rows)
