"""Decides what a retention run does about one ceiling in one table; pure."""

from bisect import bisect_right
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Self
from uuid import UUID

from shared.domain.policy import Policy, parse_period, release
from shared.domain.policy.rules import Ceiling
from shared.domain.policy_files import SweepPolicy
from shared.systems.sweepable import DueCount

APPROVERS = 2
"""The approvals needed to remove more than the policy's share in one night."""


class State(StrEnum):
    """The result of a night."""

    UNSIGNED = "unsigned"  # the ceiling has no valid sign-off: nothing is changed
    NO_COUNTRY = "no_country"  # the ceiling is one country's law, and rows do not name theirs: nothing is changed
    DRY_RUN = "dry_run"  # new or shortened: counted tonight, deleted from the next night on
    STOPPED = "stopped"  # more than the policy's share: dual approval is needed
    SWEEPING = "sweeping"
    SWEPT = "swept"
    FAILED = "failed"  # the system refused, or the subject of a hold is unknown


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms of a ceiling for one column, as text that is stored with the result.

    ``anchor``: the start of the period, its column, and the country if the ceiling is one country's law.
    """

    period: str
    zone: str
    anchor: str

    @classmethod
    def of(cls, policy: Policy, ceiling: Ceiling, column: str) -> Self:
        """Returns the terms of a ceiling for a table with its anchor in that column."""
        anchor = "/".join(filter(None, [ceiling.anchor, column, policy.country_of(ceiling)]))
        return cls(str(ceiling.period), policy.zone_of(ceiling), anchor)

    def first_kept(self, today: date) -> date:
        """Returns the first day whose records are kept today; earlier records are past.

        A period ends with its last day (``release``), so a record may go from the next day on.
        """
        period = parse_period(self.period)
        ordinals = range(today.toordinal() + 1)

        def purged_from(ordinal: int) -> date:
            return release(period, date.fromordinal(ordinal), self.zone).purge_from

        return date.fromordinal(bisect_right(ordinals, today, lo=1, key=purged_from))


@dataclass(frozen=True, slots=True)
class Known:
    """The result of the last night; ``counted_on``: the night of the dry run."""

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
        """Returns whether a stopped deletion has dual approval; it may have begun."""
        return self.state in {State.STOPPED, State.SWEEPING} and len(self.confirmed_by) >= APPROVERS


def is_over(known: Known | None, night: date) -> bool:
    """Returns whether nothing is left to do this night; a stopped deletion continues after dual approval."""
    if known is None or known.night < night or known.state is State.SWEEPING:
        return False
    return not known.is_confirmed


def runs_dry(known: Known | None, terms: Terms, night: date) -> bool:
    """Returns whether this night only counts, because the ceiling is new or shorter."""
    if known is None or known.counted_on is None or known.terms.anchor != terms.anchor:
        return True
    return known.terms.first_kept(night) < terms.first_kept(night)


def goes_up_to(known: Known | None, terms: Terms, night: date) -> date:
    """Returns the first day that is kept; after an approval, that of the night which asked for it."""
    if known and known.is_confirmed and known.terms == terms:
        return known.first_kept
    return terms.first_kept(night)


def is_stopped(known: Known | None, terms: Terms, policy: SweepPolicy, counted: DueCount) -> bool:
    """Returns whether the deletion needs dual approval that it does not have yet."""
    if known and known.is_confirmed and known.terms == terms and counted.due <= known.due:
        return False
    return policy.is_too_much(counted.due, counted.rows)
