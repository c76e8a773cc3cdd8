"""Computes deadlines (Art. 12(3)) as Reg. 1182/71 counts: in local dates, never in hours.

Two clocks: the *commitment* of the privacy notice never moves and never pauses. The *statutory* limit moves over
weekends, holidays and suspensions, and only shows how bad a miss is.
"""

from calendar import monthrange
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from shared.domain.rights import Right, Role
from shared.domain.time_limit_policy import Question, Span, TimeLimitPolicy
from shared.domain.working_days import calendar, holidays_version, last_common_working_day

RULES_VERSION = "1"
ONE_MONTH = 1
EXTENSION_MONTHS = 2  # both from Art. 12(3)
ONE_DAY = timedelta(days=1)


class Timeliness(StrEnum):
    """The timeliness of an answer."""

    ON_TIME = "on_time"
    LATE_COMMITMENT = "late_commitment"
    BREACH = "breach"


@dataclass(frozen=True, slots=True)
class Arrival:
    """When and where a request arrived; ``received_at`` is an aware time in any zone."""

    received_at: datetime
    zones: tuple[str, ...]
    calendar: str | None = None
    paused_days: int = 0


@dataclass(frozen=True, slots=True)
class Deadlines:
    """All dates that follow from one receipt; an instant is the exclusive end of its day, UTC.

    Computed once and stored with ``calc_version``; only an explicit event recalculates them.
    """

    arrival_date: date
    end_of_days: date
    end_of_month: date
    commit_due: date
    commit_due_instant: datetime
    work_by: date
    statutory_due: date
    end_of_three_months: date
    commit_due_extended: date
    statutory_due_extended: date
    calc_version: str


@dataclass(frozen=True, slots=True)
class Target:
    """An internal limit: due before ``instant`` (UTC, exclusive), shown as ``day``."""

    day: date
    instant: datetime
    escalate_to: str


@lru_cache(maxsize=1024)
def zone_infos(zones: tuple[str, ...]) -> tuple[ZoneInfo, ...]:
    """Returns time zones by name; raises ``ValueError`` for none, or an unknown one."""
    if not zones:
        raise ValueError("a receipt needs at least one time zone")
    try:
        return tuple(map(ZoneInfo, zones))
    except (ZoneInfoNotFoundError, OSError) as unknown:
        raise ValueError("a time zone of the receipt is not known") from unknown


def arrival_date(received_at: datetime, zones: tuple[str, ...]) -> date:
    """Returns the earliest local date of the receipt, which is not counted (Art. 3(1))."""
    if received_at.tzinfo is None:
        raise ValueError("a receipt must say its offset from UTC")
    return min([received_at.astimezone(zone).date() for zone in zone_infos(zones)])


def add_months(day: date, months: int) -> date:
    """Returns the same day of a later month, or its last day (Art. 3(2)(c)); never chained."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


@lru_cache(maxsize=8192)
def commitment(received_on: date, days: int) -> date:
    """Returns the earlier of so many days and one month, which is shorter in February."""
    return min(received_on + timedelta(days=days), add_months(received_on, ONE_MONTH))


def commit_due(received_at: datetime, zones: tuple[str, ...], policy: TimeLimitPolicy) -> date:
    """Returns the day by which the privacy notice promises an answer."""
    return commitment(arrival_date(received_at, zones), policy.commitment.days)


@lru_cache(maxsize=8192)
def end_of(day: date, zones: tuple[str, ...]) -> datetime:
    """Returns the time (UTC) at which a day ends in the easternmost zone."""
    following = day + ONE_DAY
    return min(
        datetime(following.year, following.month, following.day, tzinfo=zone).astimezone(UTC)
        for zone in zone_infos(zones)
    )


def limits(arrival: Arrival, policy: TimeLimitPolicy) -> Deadlines:
    """Returns both clocks of a request, plain and extended; cached by day, zones and calendar."""
    received_on = arrival_date(arrival.received_at, arrival.zones)
    given = (policy.commitment.days, policy.commitment.staff_calendar, calc_version(policy))
    return _limits(received_on, arrival.zones, arrival.calendar, arrival.paused_days, *given)


@lru_cache(maxsize=8192)
def _limits(
    received_on: date,
    zones: tuple[str, ...],
    calendar_name: str | None,
    paused_days: int,
    days: int,
    staff_calendar: str,
    version: str,
) -> Deadlines:
    holidays = calendar(calendar_name)
    commit = commitment(received_on, days)
    month, three_months = add_months(received_on, ONE_MONTH), add_months(received_on, ONE_MONTH + EXTENSION_MONTHS)
    commit_extended = min(three_months, add_months(commit, EXTENSION_MONTHS))
    paused = timedelta(days=paused_days)
    statutory, statutory_extended = holidays.roll_forward(month + paused), holidays.roll_forward(three_months + paused)
    return Deadlines(
        arrival_date=received_on,
        end_of_days=received_on + timedelta(days=days),
        end_of_month=month,
        commit_due=commit,
        commit_due_instant=end_of(commit, zones),
        work_by=last_common_working_day(commit, (holidays, calendar(staff_calendar))),
        statutory_due=statutory,
        end_of_three_months=three_months,
        commit_due_extended=commit_extended,
        statutory_due_extended=statutory_extended,
        calc_version=version,
    )


def calc_version(policy: TimeLimitPolicy) -> str:
    """Returns the versions of rules, policy and holidays that a date was computed with."""
    return f"rules-{RULES_VERSION}/policy-{policy.version}/holidays-{holidays_version()}"


def timeliness(responded_at: datetime, commit_due_at: datetime, statutory_due_at: datetime) -> Timeliness:
    """Returns the timeliness of an answer, by the exclusive ends of both clocks."""
    if responded_at < commit_due_at:
        return Timeliness.ON_TIME
    return Timeliness.LATE_COMMITMENT if responded_at < statutory_due_at else Timeliness.BREACH


def target(span: Span, arrival: Arrival, policy: TimeLimitPolicy) -> Target:
    """Returns the end of an internal limit; days are local dates that end in the easternmost zone."""
    if span.hours is not None:
        instant = arrival.received_at.astimezone(UTC) + timedelta(hours=span.hours)
        return Target(arrival_date(instant, arrival.zones), instant, span.escalate_to)
    received_on = arrival_date(arrival.received_at, arrival.zones)
    return _target(span, received_on, arrival.zones, arrival.calendar, policy.commitment.days)


@lru_cache(maxsize=8192)
def _target(span: Span, received_on: date, zones: tuple[str, ...], calendar_name: str | None, days: int) -> Target:
    if span.working_days is not None:
        day = calendar(calendar_name).add_working_days(received_on, span.working_days)
    elif span.days is not None:
        day = received_on + timedelta(days=span.days)
    else:
        day = commitment(received_on, days) - timedelta(days=span.days_before_due or 0)
    return Target(day, end_of(day, zones), span.escalate_to)


def due_on(
    arrival: Arrival, right: Right, scope: str | None, policy: TimeLimitPolicy, role: Role = "controller"
) -> date:
    """Returns the due date of a request: the commitment, or a shorter internal limit."""
    commit = commit_due(arrival.received_at, arrival.zones, policy)
    shorter = policy.override_for(right, scope, role)
    return commit if shorter is None else min(commit, target(shorter, arrival, policy).day)


def due_at(
    day: date, arrival: Arrival, right: Right, scope: str | None, policy: TimeLimitPolicy, role: Role = "controller"
) -> datetime:
    """Returns the exclusive end of the due date (UTC), or of a shorter limit in hours on that day."""
    shorter = policy.override_for(right, scope, role)
    if shorter is not None and (limit := target(shorter, arrival, policy)).day == day:
        return min(limit.instant, end_of(commit_due(arrival.received_at, arrival.zones, policy), arrival.zones))
    return end_of(day, arrival.zones)


class NotCounted(StrEnum):
    """Reasons why a suspension does not stop the statutory clock."""

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
    """Returns why a question does not stop the statutory clock; None if it does."""
    rules = policy.suspension
    if suspension.question not in rules.scope.get(regime, frozenset()):
        return NotCounted.OUT_OF_SCOPE
    if not suspension.condition_recorded:
        return NotCounted.CONDITION_NOT_RECORDED
    return None if asked_in_time(suspension.asked_at, arrival, policy) else NotCounted.ASKED_TOO_LATE


def asked_in_time(asked_at: datetime, arrival: Arrival, policy: TimeLimitPolicy) -> bool:
    """Returns whether a question was sent within the working days of the policy (REQ-T8)."""
    received_on = arrival_date(arrival.received_at, arrival.zones)
    latest = calendar(arrival.calendar).add_working_days(received_on, policy.suspension.window_working_days)
    return max(asked_at.astimezone(zone).date() for zone in zone_infos(arrival.zones)) <= latest


def paused_days(counted: Iterable[Suspension], zones: tuple[str, ...]) -> int:
    """Counts the local days between questions and answers, each once, in the zone with the fewest."""
    periods = [(each.asked_at, each.answered_at) for each in counted if each.answered_at is not None]
    return min(len(_days(periods, zone)) for zone in zone_infos(zones))


def silence(asked_at: datetime, arrival: Arrival, due_on: date, policy: TimeLimitPolicy) -> tuple[list[date], date]:
    """Returns when to remind a requester of a question, and when to close it as unanswered (Art. 12(4)).

    ``due_on``: the end of the current commitment. Our shorter limit must not reduce the time to answer, and a
    reminder and the closing never fall on one day: a late question waits as long as for a reminder.
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
    remaining = max(due_on - arrival_date(asked_at, zones), timedelta(0))
    return min(arrival_date(answered_at, zones) + remaining, commit_due(answered_at, zones, policy))


def _days(periods: Iterable[tuple[datetime, datetime]], zone: ZoneInfo) -> set[int]:
    """The ordinals of the local days on which a period begins or goes on; the day on which it ends is not counted."""
    local = [(start.astimezone(zone).toordinal(), end.astimezone(zone).toordinal()) for start, end in periods]
    return {day for start, end in local for day in range(start, end)}
