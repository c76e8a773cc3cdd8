"""When a question to the requester stops the statutory clock (EDPB 01/2022; Art. 12A UK GDPR); never the commitment."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from shared.domain.time_limit import Arrival, arrival_date, commit_due, zone_infos
from shared.domain.time_limit_policy import Question, TimeLimitPolicy
from shared.domain.working_days import calendar


class NotCounted(StrEnum):
    """Why a suspension leaves the statutory clock running."""

    ASKED_TOO_LATE = "asked_too_late"
    CONDITION_NOT_RECORDED = "condition_not_recorded"
    OUT_OF_SCOPE = "out_of_scope"


@dataclass(frozen=True, slots=True)
class Suspension:
    """One question: open from when it was sent until the answer was received.

    ``condition_recorded``: reasonable doubt about identity (Art. 12(6)), or a large quantity of data (Recital 63).
    """

    question: Question
    asked_at: datetime
    answered_at: datetime | None
    condition_recorded: bool


def not_counted(suspension: Suspension, arrival: Arrival, regime: str, policy: TimeLimitPolicy) -> NotCounted | None:
    """Why this question does not stop the statutory clock; ``None`` if it does."""
    rules = policy.suspension
    if suspension.question not in rules.scope.get(regime, frozenset()):
        return NotCounted.OUT_OF_SCOPE
    if not suspension.condition_recorded:
        return NotCounted.CONDITION_NOT_RECORDED
    return None if asked_in_time(suspension.asked_at, arrival, policy) else NotCounted.ASKED_TOO_LATE


def asked_in_time(asked_at: datetime, arrival: Arrival, policy: TimeLimitPolicy) -> bool:
    """Whether a question was sent without undue delay: within so many working days of the receipt (REQ-T8)."""
    received_on = arrival_date(arrival.received_at, arrival.zones)
    latest = calendar(arrival.calendar).add_working_days(received_on, policy.suspension.window_working_days)
    return max(asked_at.astimezone(zone).date() for zone in zone_infos(arrival.zones)) <= latest


def paused_days(counted: Iterable[Suspension], zones: tuple[str, ...]) -> int:
    """Whole local days between questions and their answers, each day once; the zone with the fewest decides."""
    periods = [(each.asked_at, each.answered_at) for each in counted if each.answered_at is not None]
    return min(len(_days(periods, zone)) for zone in zone_infos(zones))


def silence(asked_at: datetime, arrival: Arrival, due_on: date, policy: TimeLimitPolicy) -> tuple[list[date], date]:
    """When to remind somebody of a question, and when to tell them that it stays unanswered (Art. 12(4)).

    ``due_on``: the end of the commitment as it stands. A shorter limit of our own gives nobody less time to answer, and
    nobody is asked and given up on in one day: a question that comes too late for that waits as long as for a reminder.
    """
    rules = policy.suspension
    asked_on = arrival_date(asked_at, arrival.zones)
    due_on = max(due_on, commit_due(arrival.received_at, arrival.zones, policy))
    last = calendar(arrival.calendar).add_working_days(due_on, -rules.last_notice_working_days)
    if last <= asked_on:
        last = asked_on + timedelta(days=rules.reminder_days[0])
    reminders = (asked_on + timedelta(days=days) for days in rules.reminder_days)
    return [day for day in reminders if day < last], last


def resumed_due(
    asked_at: datetime, answered_at: datetime, zones: tuple[str, ...], due_on: date, policy: TimeLimitPolicy
) -> date:
    """The new end of the commitment after a late answer: the time that was left when asked, at most a fresh commitment.

    ``due_on``: the end of the commitment before the request was closed.
    """
    left = max(due_on - arrival_date(asked_at, zones), timedelta(0))
    return min(arrival_date(answered_at, zones) + left, commit_due(answered_at, zones, policy))


def _days(periods: Iterable[tuple[datetime, datetime]], zone: ZoneInfo) -> set[int]:
    """The ordinals of the local days on which a period begins or goes on; the day on which it ends is not counted."""
    local = [(start.astimezone(zone).toordinal(), end.astimezone(zone).toordinal()) for start, end in periods]
    return {day for start, end in local for day in range(start, end)}
