"""The clock of a request: its dates, and the instants at which something must be said of it; pure."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from shared.domain.rights import Outcome, Right, Role
from shared.domain.suspension import Suspension, silence
from shared.domain.time_limit import Arrival, Timeliness, end_of, target
from shared.domain.time_limit_policy import TargetName, TimeLimitPolicy

FLAG = "flag"
REMINDER, LAST_NOTICE = "reminder", "last_notice"


class Step(StrEnum):
    """What is done with a request on the way to its answer."""

    TRIAGED = "triaged"
    COLLECTED = "collected"
    ANSWERED = "answered"


STEPS = {
    TargetName.TRIAGE: Step.TRIAGED,
    TargetName.QUESTION_SENT: Step.TRIAGED,
    TargetName.COLLECTION: Step.COLLECTED,
    TargetName.REVIEW: Step.ANSWERED,
}
"""The step that each target waits for.

An acknowledgement is no target: it is the very answer that accepts the request. Nobody reports a review: it is done
when the request is answered. ``extend_or_answer`` is a milestone.
"""


class Due(NamedTuple):
    """An instant (UTC) at which something must be said once.

    ``day`` is the date that people are told; ``days_left`` is given while the request is not due yet. A ticket is
    opened under the name ``level``; none: no person is brought in.
    """

    at: datetime
    name: str
    day: date
    level: str | None = None
    escalate_to: tuple[str, ...] = ()
    days_left: int | None = None


@dataclass(frozen=True, slots=True)
class AskedQuestion(Suspension):
    """A question that was put to the requester, and how far they were reminded of it.

    ``in_time``: whether it was asked without undue delay; ``None`` if the clock did not run.
    """

    question_id: UUID
    request_id: UUID
    in_time: bool | None = None
    next_notice_at: datetime | None = None
    reminded_until: datetime | None = None
    last_notice_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Clock:
    """The dates of one request; ``due_at`` and ``statutory_due_at`` are the exclusive ends of the days, UTC.

    ``pausing``: a question is open that stops the statutory clock, so nobody knows yet when that one ends.
    ``watched``: the staff's targets hold for it; not for a request that was reopened. ``outstanding``: the systems
    whose part is still owed though it was answered: for them the clock runs on.
    """

    request_id: UUID
    subject_ref: UUID
    right: Right
    role: Role
    scope: str | None
    received_at: datetime
    zones: tuple[str, ...]
    calendar: str
    due_on: date
    due_at: datetime
    work_by: date
    statutory_due_on: date
    statutory_due_at: datetime
    calc_version: str
    traceparent: str | None = None
    extended: bool = False
    pausing: bool = False
    watched: bool = True
    flag_at: datetime | None = None
    notified_until: datetime | None = None
    next_milestone_at: datetime | None = None
    next_target_at: datetime | None = None
    responded_at: datetime | None = None
    outcome: Outcome | None = None
    timeliness: Timeliness | None = None
    outstanding: tuple[str, ...] = ()
    questions: tuple[AskedQuestion, ...] = ()

    @property
    def arrival(self) -> Arrival:
        """When and where the request arrived."""
        return Arrival(self.received_at, self.zones, self.calendar)

    @property
    def dates(self) -> dict[str, str]:
        """What goes on record when it moves."""
        names = ("received_at", "due_on", "work_by", "statutory_due_on")
        return {name: getattr(self, name).isoformat() for name in names}


def milestones_of(clock: Clock, policy: TimeLimitPolicy) -> list[Due]:
    """What is to be said of an open request, in the order of time; nothing that came before its receipt."""
    rules, prompt, found = policy.milestones, policy.prompt, []
    if clock.flag_at is not None:
        found.append(Due(clock.flag_at, FLAG, clock.due_on))
    for days in rules.approaching_days:
        at = end_of(clock.due_on - timedelta(days=days + 1), clock.zones)
        if clock.received_at < at < clock.due_at:
            level = f"approaching_{days}d" if days <= rules.escalate_days else None
            escalate_to: tuple[str, ...] = ()
            if prompt and not clock.extended and prompt.days_before_due == days:
                level, escalate_to = TargetName.EXTEND_OR_ANSWER, (prompt.escalate_to,)
            found.append(Due(at, f"approaching_{days}d", clock.due_on, level, escalate_to, days))
    found.append(Due(clock.due_at, "overdue_commitment", clock.due_on, "overdue_commitment"))
    if not clock.pausing:
        found.append(Due(clock.statutory_due_at, "overdue_statutory", clock.statutory_due_on, "overdue_statutory"))
    return sorted(found, key=lambda each: each.at)


def targets_of(clock: Clock, policy: TimeLimitPolicy) -> list[Due]:
    """The staff's targets, in the order of time; one that ends no sooner than the request itself is none."""
    arrival = clock.arrival
    found = [
        Due(ends.instant, name, ends.day, f"target_{name}", (ends.escalate_to,))
        for name in STEPS
        if (span := policy.targets.get(name)) and (ends := target(span, arrival, policy)).instant < clock.due_at
    ]
    return sorted(found, key=lambda each: each.at)


def missed_targets(dues: Sequence[Due], taken: Collection[str], said: Collection[str], until: datetime) -> list[Due]:
    """Those that have passed by ``until`` without their step and were not said before."""
    passed = (each for each in dues if each.at <= until and each.name not in said)
    return [each for each in passed if STEPS[TargetName(each.name)] not in taken]


def notices_of(question: AskedQuestion, clock: Clock, policy: TimeLimitPolicy) -> list[Due]:
    """What is still to be said of a question without an answer, from the start of the day where the controller is."""
    zone = ZoneInfo(policy.commitment.controller_zone)
    days, last_notice = silence(question.asked_at, clock.arrival, clock.due_on, policy)
    reminders, until = [Due(start_of(day, zone), REMINDER, day) for day in days], question.reminded_until
    to_come = [each for each in reminders if until is None or each.at > until]
    return [*to_come, Due(start_of(last_notice, zone), LAST_NOTICE, last_notice)]


def latest_for_each(dues: Sequence[Due]) -> list[Due]:
    """Of those missed at one look, the latest for each who is to be told."""
    return list({each.escalate_to: each for each in dues}.values())


def due_by(dues: Sequence[Due], notified_until: datetime | None, now: datetime) -> list[Due]:
    """Those that have come by ``now`` and were not said before; a clock that jumps back says none again."""
    return [each for each in dues if each.at <= now and (notified_until is None or each.at > notified_until)]


def next_at(dues: Sequence[Due], after: datetime | None) -> datetime | None:
    """When to look again; ``None`` when everything has been said."""
    return next((each.at for each in dues if after is None or each.at > after), None)


def start_of(day: date, zone: ZoneInfo) -> datetime:
    """The instant (UTC) at which a day begins there."""
    return datetime.combine(day, time(), zone).astimezone(UTC)
