"""Which milestones of a request have come: each is told once, however long the service was away."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal

from shared.domain.time_limit import end_of
from shared.domain.time_limit_policy import Span

ClockName = Literal["commitment", "statutory"]


@dataclass(frozen=True, slots=True)
class Clock:
    """The stored dates of one open request; instants are the exclusive ends of the days, UTC.

    ``pausing``: a question is open that stops the statutory clock, so nobody knows yet when that one ends.
    """

    received_at: datetime
    zones: tuple[str, ...]
    due_on: date
    due_at: datetime
    statutory_due_on: date
    statutory_due_at: datetime
    pausing: bool = False


@dataclass(frozen=True, slots=True)
class Approaching:
    """From ``at`` on, the request is due in ``days_left`` days."""

    at: datetime
    days_left: int

    @property
    def level(self) -> str:
        """How a ticket names it."""
        return f"approaching_{self.days_left}d"


@dataclass(frozen=True, slots=True)
class Overdue:
    """From ``at`` on, the commitment is broken, or the law."""

    at: datetime
    clock: ClockName
    due_on: date

    @property
    def level(self) -> str:
        """How a ticket names it."""
        return f"overdue_{self.clock}"


Milestone = Approaching | Overdue


def schedule(clock: Clock, approaching_days: Sequence[int]) -> list[Milestone]:
    """Every milestone of a request in the order of time; one before its receipt is none."""
    warnings = [
        Approaching(end_of(clock.due_on - timedelta(days=days + 1), clock.zones), days) for days in approaching_days
    ]
    overdue = [Overdue(clock.due_at, "commitment", clock.due_on)]
    if not clock.pausing:
        overdue.append(Overdue(clock.statutory_due_at, "statutory", clock.statutory_due_on))
    milestones: list[Milestone] = [*(each for each in warnings if clock.received_at < each.at < clock.due_at), *overdue]
    return sorted(milestones, key=lambda each: each.at)


def due(milestones: Sequence[Milestone], told_until: datetime | None, now: datetime) -> list[Milestone]:
    """Those that have come by ``now`` and were not told by ``told_until``; a clock that jumps back tells none again."""
    return [each for each in milestones if each.at <= now and (told_until is None or each.at > told_until)]


def next_at(milestones: Sequence[Milestone], told_until: datetime | None) -> datetime | None:
    """When to look at the request again; ``None`` when everything has been told."""
    return next((each.at for each in milestones if told_until is None or each.at > told_until), None)


def told_of(told: Sequence[Milestone], anew: Sequence[Milestone], told_until: datetime | None) -> datetime | None:
    """How far a request was told of when its dates have changed: a milestone that never was must still come.

    ``told`` are those that were, by the dates before. One that moves into the future is told anew.
    """
    levels = {each.level for each in told}
    missed = next((each.at for each in anew if each.level not in levels), None)
    if told_until is None or missed is None or missed > told_until:
        return told_until
    return missed - timedelta.resolution


def prompts(milestone: Milestone, prompt: Span) -> bool:
    """Whether it is the time to extend the request or to answer it."""
    return isinstance(milestone, Approaching) and milestone.days_left == prompt.days_before_due


def escalates(milestone: Milestone, escalate_days: int) -> bool:
    """Whether a person must be brought in."""
    return isinstance(milestone, Overdue) or milestone.days_left <= escalate_days
