"""When to report which step of a request; pure, as ``clock``.

Each timer has a list of steps in the order of time. A step is reported once, by its name, however often its instant is
computed again.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from shared.domain.events import TimerKind
from shared.domain.suspension import Suspension, silence
from shared.domain.time_limit import arrival_date, end_of, target
from shared.domain.time_limit_policy import TargetName, TimeLimitPolicy
from shared.domain.working_days import calendar

if TYPE_CHECKING:
    from services.deadline.clock import Clock

FLAG, DAILY = "flag", "daily"
"""Kinds of timers that publish nothing: the flag in the CRM, and the daily tickets."""

STEPPING = frozenset(TimerKind) - {TimerKind.RETENTION}
"""Kinds of timers of one request that report steps."""

REMINDER, LAST_NOTICE, ESCALATION = "reminder", "last_notice", "controller_silent"
WATCHED = (TargetName.TRIAGE, TargetName.QUESTION_SENT, TargetName.COLLECTION, TargetName.REVIEW)
"""The staff's targets; an answer meets all of them. ``extend_or_answer`` is a milestone."""


@dataclass(frozen=True, slots=True)
class Timer:
    """When to look at a request next; ``ref``: a question or system; ``reported``: the steps that were reported."""

    kind: str
    ref: str = ""
    due_at: datetime | None = None
    reported: tuple[str, ...] = ()
    detail: dict[str, Any] | None = None


class Due(NamedTuple):
    """An instant (UTC) at which a step is reported once; ``day`` is the date to show.

    ``days``: before it is due, or since it waits. A ticket is opened under the name ``level``, if there is one.
    """

    at: datetime
    name: str
    day: date
    days: int = 0
    level: str | None = None
    escalate_to: tuple[str, ...] = ()

    @property
    def step(self) -> str:
        """The name without its number of days."""
        return self.name.removesuffix(f"_{self.days}")


@dataclass(frozen=True, slots=True)
class AskedQuestion(Suspension):
    """A question to the requester; ``in_time``: asked without undue delay; ``None`` if the clock did not run."""

    question_id: UUID
    request_id: UUID
    in_time: bool | None = None


def schedule(clock: "Clock", timer: Timer, policy: TimeLimitPolicy) -> list[Due]:
    """The steps of a timer, in the order of time."""
    match timer.kind:
        case TimerKind.MILESTONE:
            return milestones_of(clock, policy)
        case TimerKind.TARGET:
            return targets_of(clock, policy)
        case TimerKind.QUESTION:
            asked = next((each for each in clock.questions if str(each.question_id) == timer.ref), None)
            return notices_of(asked, clock, policy) if asked and asked.answered_at is None else []
        case TimerKind.CUSTOMER:
            return customer_notices(clock, policy)
    return []


def milestones_of(clock: "Clock", policy: TimeLimitPolicy) -> list[Due]:
    """The milestones of an open request; none that came before its receipt."""
    rules, prompt, found = policy.milestones, policy.prompt, []
    for days in rules.approaching_days:
        at = end_of(clock.due_on - timedelta(days=days + 1), clock.zones)
        if clock.received_at < at < clock.due_at:
            level = f"approaching_{days}d" if days <= rules.escalate_days else None
            escalate_to: tuple[str, ...] = ()
            if prompt and not clock.extended and prompt.days_before_due == days:
                level, escalate_to = TargetName.EXTEND_OR_ANSWER, (prompt.escalate_to,)
            found.append(Due(at, f"approaching_{days}", clock.due_on, days, level, escalate_to))
    ends = [("overdue_commitment", clock.due_at, clock.due_on)]
    if not clock.pausing:
        ends.append(("overdue_statutory", clock.statutory_due_at, clock.statutory_due_on))
    found += [Due(at, name, day, 0, name) for name, at, day in ends]
    return sorted(found, key=lambda each: each.at)


def targets_of(clock: "Clock", policy: TimeLimitPolicy) -> list[Due]:
    """The staff's targets, but those that end no sooner than the request itself."""
    found = [
        Due(ends.instant, name, ends.day, 0, f"target_{name}", (ends.escalate_to,))
        for name in WATCHED
        if (span := policy.targets.get(name)) and (ends := target(span, clock.arrival, policy)).instant < clock.due_at
    ]
    return sorted(found, key=lambda each: each.at)


def notices_of(question: AskedQuestion, clock: "Clock", policy: TimeLimitPolicy) -> list[Due]:
    """The reminders and the last notice of an open question, each from the start of the controller's day."""
    zone = ZoneInfo(policy.commitment.controller_zone)
    asked_on = arrival_date(question.asked_at, clock.zones)
    days, last = silence(question.asked_at, clock.arrival, clock.due_on, policy)
    steps = [*((day, f"{REMINDER}_{(day - asked_on).days}") for day in days), (last, LAST_NOTICE)]
    return [Due(start_of(day, zone), name, day, (day - asked_on).days) for day, name in steps]


def customer_notices(clock: "Clock", policy: TimeLimitPolicy) -> list[Due]:
    """The reminders of a customer until they reply, and the ticket for our own staff."""
    if clock.forwarded_at is None:
        return []
    zone, rules, working = ZoneInfo(policy.commitment.controller_zone), policy.forwarding, calendar(clock.calendar)
    since = arrival_date(clock.forwarded_at, (zone.key,))
    days = {number: working.add_working_days(since, number) for number in rules.reminder_working_days}
    last = working.add_working_days(since, rules.escalation_working_days)
    reminders = [Due(start_of(day, zone), f"{REMINDER}_{number}", day, number) for number, day in days.items()]
    end = Due(start_of(last, zone), "escalation", last, rules.escalation_working_days, ESCALATION, rules.escalate_to)
    return [*reminders, end]


def due_by(dues: Sequence[Due], reported: Collection[str], now: datetime) -> list[Due]:
    """Those that have come by ``now`` and were not reported."""
    return [each for each in dues if each.at <= now and each.name not in reported]


def next_of(dues: Sequence[Due], reported: Collection[str]) -> datetime | None:
    """When to look again; ``None`` when every step was reported."""
    return next((each.at for each in dues if each.name not in reported), None)


def tickets_for(clock: "Clock", kind: str, fresh: Sequence[Due], now: datetime) -> list[Due]:
    """Of steps that came at once the last opens a ticket; of missed targets the last for each role, until it is due."""
    if kind != TimerKind.TARGET:
        return list(fresh[-1:])
    return [*{each.escalate_to: each for each in fresh}.values()] if now < clock.due_at else []


def start_of(day: date, zone: ZoneInfo) -> datetime:
    """The instant (UTC) at which a day begins there."""
    return datetime.combine(day, time(), zone).astimezone(UTC)
