"""Computes the dates of a request, and when to report which step; pure.

One function for each cause:

===================  ===========  =========================  ==============================================
cause                function     due date                   statutory limit
===================  ===========  =========================  ==============================================
received             ``start``    as the event says          a month from the receipt, to a working day
question, answer     ``recount``  stays                      later by the days of questions that count
extended             ``extend``   as the event says          two months further
extension returned   ``shorten``  as before                  as before
redated              ``redate``   as the event says          from the receipt of the event
reopened             ``resume``   as the event says          never before the due date
answer returned      ``run_on``   stays                      stays
closed               ``stop``     judged; what is owed runs  judged
part answered        ``part``     judged again               judged again
===================  ===========  =========================  ==============================================

Each timer has a list of steps in chronological order. A step is reported once, by name, even if its time changes.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from shared.domain.events import (
    ArrivalFacts,
    Event,
    LetterReturned,
    PartAnswered,
    RequestClosed,
    RequestExtended,
    RequestForwarded,
    RequestReceived,
    RequestRedated,
    RequestReopened,
    RequestVerified,
    TimerKind,
)
from shared.domain.rights import Outcome, Right, Role
from shared.domain.time_limit import (
    Arrival,
    Suspension,
    Timeliness,
    arrival_date,
    due_at,
    due_on,
    end_of,
    limits,
    not_counted,
    paused_days,
    silence,
    target,
    timeliness,
)
from shared.domain.time_limit_policy import TargetName, TimeLimitPolicy
from shared.domain.working_days import calendar, last_common_working_day

FLAG, DAILY = "flag", "daily"
"""Timers that publish no event: the flag in the CRM, and the daily ticket."""

STEPPING = frozenset(TimerKind) - {TimerKind.RETENTION}
"""Timers that report steps of one request."""

REMINDER, LAST_NOTICE, ESCALATION = "reminder", "last_notice", "controller_silent"
WATCHED = (TargetName.TRIAGE, TargetName.QUESTION_SENT, TargetName.COLLECTION, TargetName.REVIEW)
"""The staff's targets; an answer meets all of them. ``extend_or_answer`` is a milestone."""
TRIAGED = (TargetName.TRIAGE, TargetName.QUESTION_SENT)
"""The targets that are met once the requester is verified or was asked."""

_FACTS = ("request_id", "right", "scope", "zones", "due_on")
"""The fields of a clock that are copied from the event with which the request came."""


@dataclass(frozen=True, slots=True)
class Timer:
    """The next time to check a request; ``ref``: a question or system; ``reported``: steps already reported."""

    kind: str
    ref: str = ""
    due_at: datetime | None = None
    reported: tuple[str, ...] = ()
    detail: dict[str, Any] | None = None


class ClockStep(NamedTuple):
    """A step and the time (UTC) to report it; ``day`` is the date to show.

    ``days``: days left, or days of waiting. ``level``: the name of the ticket to open, if any.
    """

    at: datetime
    name: str
    day: date
    days: int = 0
    level: str | None = None
    escalate_to: tuple[str, ...] = ()

    @property
    def step(self) -> str:
        """Returns the name without its number of days."""
        return self.name.removesuffix(f"_{self.days}")


@dataclass(frozen=True, slots=True)
class AskedQuestion(Suspension):
    """A question to the requester; ``in_time``: whether it was asked without undue delay; None if the clock stood."""

    question_id: UUID
    request_id: UUID
    in_time: bool | None = None


@dataclass(frozen=True, slots=True)
class RequestClock:
    """The dates of one request; ``due_at`` and ``statutory_due_at`` are the exclusive ends of the days, UTC.

    ``promised_on``: the due date before an extension. ``pausing``: an open question stops the statutory clock.
    ``met``: targets whose step was taken. ``outstanding``: systems that still owe their part of the answer.
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
    promised_on: date | None = None
    pausing: bool = False
    met: tuple[str, ...] = ()
    forwarded_at: datetime | None = None
    responded_at: datetime | None = None
    outcome: Outcome | None = None
    timeliness: Timeliness | None = None
    outstanding: tuple[str, ...] = ()
    questions: tuple[AskedQuestion, ...] = ()
    timers: tuple[Timer, ...] = ()

    @property
    def arrival(self) -> Arrival:
        """Returns when and where the request arrived."""
        return Arrival(self.received_at, self.zones, self.calendar)

    @property
    def extended(self) -> bool:
        """Returns whether the time limit was extended."""
        return self.promised_on is not None

    @property
    def dates(self) -> dict[str, str]:
        """Returns the dates that are recorded in the evidence when they move."""
        names = ("received_at", "due_on", "work_by", "statutory_due_on")
        return {name: getattr(self, name).isoformat() for name in names}

    def timer(self, kind: TimerKind) -> Timer | None:
        """Returns the timer of a kind that occurs at most once."""
        return next((each for each in self.timers if each.kind == kind), None)

    def without(self, *kinds: TimerKind) -> tuple[Timer, ...]:
        """Returns the timers except those of these kinds."""
        return tuple(each for each in self.timers if each.kind not in kinds)


def start(
    event: RequestReceived | RequestVerified,
    arrived: RequestReceived | ArrivalFacts,
    policy: TimeLimitPolicy,
    traceparent: str | None,
) -> RequestClock:
    """Starts the clock of a received request; a target is not missed before the request was known."""
    arrival = Arrival(arrived.received_at, event.zones, arrived.calendar)
    facts = {name: getattr(event, name) for name in _FACTS}
    facts |= {"received_at": arrived.received_at, "calendar": arrived.calendar, "role": arrived.role}
    clock = RequestClock(
        subject_ref=event.subject,
        traceparent=traceparent,
        met=TRIAGED if isinstance(event, RequestVerified) else (),
        **facts,
        **_dates(event, arrived, arrival, policy),
    )
    milestone = next_of(milestones_of(clock, policy), ())
    target = next_of(targets_of(clock, policy), ())
    target = target and max(target, event.occurred_at)
    return replace(clock, timers=(Timer(TimerKind.MILESTONE, "", milestone), Timer(TimerKind.TARGET, "", target)))


def recount(clock: RequestClock, _event: Event, policy: TimeLimitPolicy) -> RequestClock:
    """Computes the dates from arrival, due date and questions, and the next time to check the request."""
    dates = _dates(clock, clock, clock.arrival, policy, clock.questions, extended=clock.extended)
    new = replace(clock, **dates)
    timers = (replace(each, due_at=next_of(schedule(new, each, policy), each.reported)) for each in new.timers)
    return replace(new, timers=tuple(timers))


def forward(clock: RequestClock, event: RequestForwarded, policy: TimeLimitPolicy) -> RequestClock:
    """Starts reminders to the customer who has the request."""
    timers = (*clock.without(TimerKind.CUSTOMER), Timer(TimerKind.CUSTOMER))
    return recount(replace(clock, forwarded_at=event.forwarded_at, timers=timers), event, policy)


def extend(clock: RequestClock, event: RequestExtended, policy: TimeLimitPolicy) -> RequestClock:
    """Extends the time limit to the day of the event, unless the letter came too late (Art. 12(3))."""
    if event.notified_at >= limits(clock.arrival, policy).commit_due_instant:
        return clock
    extended = replace(clock, due_on=event.due_on, promised_on=clock.promised_on or clock.due_on)
    return recount(_reported(extended), event, policy)


def shorten(clock: RequestClock, event: LetterReturned, policy: TimeLimitPolicy) -> RequestClock:
    """Undoes an extension whose letter was returned."""
    before = clock.promised_on
    if before is None:
        return clock
    if clock.timer(TimerKind.TARGET):  # a reopened request has none, and a later due date
        before = min(before, due_on(clock.arrival, clock.right, clock.scope, policy, clock.role))
    return recount(_reported(replace(clock, due_on=before, promised_on=None)), event, policy)


def resume(clock: RequestClock, event: RequestReopened, policy: TimeLimitPolicy) -> RequestClock:
    """Restarts the clock after a late reply, until the new due date; earlier steps are not reported."""
    running = recount(replace(_running(clock), due_on=event.due_on), event, policy)
    return recount(_watched(running, policy, event.answered_at), event, policy)


def run_on(clock: RequestClock, event: LetterReturned, policy: TimeLimitPolicy) -> RequestClock:
    """Restarts the clock, with the same dates, after the answer was returned."""
    return recount(_watched(_running(clock), policy, clock.responded_at), event, policy)


def redate(clock: RequestClock, event: RequestRedated, policy: TimeLimitPolicy) -> RequestClock:
    """Applies a changed arrival, policy or holiday; reported steps stay reported."""
    arrived = replace(clock, received_at=event.received_at, zones=event.zones, calendar=event.calendar)
    return recount(replace(arrived, due_on=event.due_on), event, policy)


def stop(clock: RequestClock, event: RequestClosed, policy: TimeLimitPolicy) -> RequestClock:
    """Stops the clock of an answered request, and judges its timeliness; only owed parts are still watched."""
    _, ended_at = timeliness_of(clock, event.outcome, policy)
    over = (TimerKind.TARGET, TimerKind.QUESTION, *(() if event.outstanding else (TimerKind.MILESTONE,)))
    return replace(
        clock,
        responded_at=event.responded_at,
        outcome=event.outcome,
        timeliness=timeliness(event.responded_at, ended_at, clock.statutory_due_at),
        role="processor" if event.outcome is Outcome.FORWARDED else clock.role,
        outstanding=event.outstanding,
        timers=clock.without(*over),
    )


def part(clock: RequestClock, event: PartAnswered, policy: TimeLimitPolicy) -> RequestClock:
    """Records a part that was owed; the last part decides the timeliness. A part may also be owed again."""
    if event.outstanding:
        owed = replace(clock, outstanding=event.outstanding)
        return owed if clock.outstanding else _watched(owed, policy, clock.responded_at)
    how = timeliness(event.occurred_at, clock.due_at, clock.statutory_due_at)
    worst = max(how, clock.timeliness or how, key=[*Timeliness].index)
    return replace(clock, outstanding=(), timeliness=worst, timers=clock.without(TimerKind.MILESTONE))


def timeliness_of(clock: RequestClock, outcome: Outcome, policy: TimeLimitPolicy) -> tuple[date, datetime]:
    """Returns the due date; for a request that was forwarded to a customer, the date to forward it by."""
    if outcome is not Outcome.FORWARDED or clock.role == "processor":
        return clock.due_on, clock.due_at
    day = due_on(clock.arrival, clock.right, clock.scope, policy, "processor")
    return day, due_at(day, clock.arrival, clock.right, clock.scope, policy, "processor")


def _running(clock: RequestClock) -> RequestClock:
    stopped: dict[str, Any] = dict.fromkeys(("responded_at", "outcome", "timeliness"))
    return replace(clock, **stopped, outstanding=())


def _watched(clock: RequestClock, policy: TimeLimitPolicy, until: datetime | None) -> RequestClock:
    """Restarts the milestones; steps due by ``until`` count as reported."""
    dues = milestones_of(clock, policy)
    reported = tuple(each.name for each in dues if until is not None and each.at <= until)
    timer = Timer(TimerKind.MILESTONE, "", next_of(dues, reported), reported)
    return replace(clock, timers=(*clock.without(TimerKind.MILESTONE), timer))


def _reported(clock: RequestClock) -> RequestClock:
    """Resets the milestones after a new due date."""
    return replace(clock, timers=(*clock.without(TimerKind.MILESTONE), Timer(TimerKind.MILESTONE)))


def _dates(
    of: RequestClock | RequestReceived | RequestVerified,
    arrived: RequestClock | RequestReceived | ArrivalFacts,
    arrival: Arrival,
    policy: TimeLimitPolicy,
    questions: Sequence[AskedQuestion] = (),
    *,
    extended: bool = False,
) -> dict[str, Any]:
    """Returns the dates computed from arrival, due date and questions."""
    regime = policy.regime_of(arrived.calendar)
    counted = [each for each in questions if not_counted(each, arrival, regime, policy) is None]
    paused = replace(arrival, paused_days=paused_days(counted, arrival.zones)) if counted else arrival
    found = limits(paused, policy)
    # A reopened request may be due later than its receipt alone would give.
    statutory = max(found.statutory_due_extended if extended else found.statutory_due, of.due_on)
    if of.due_on <= found.commit_due:
        work_by = min(found.work_by, of.due_on)
    else:
        staff = calendar(policy.commitment.staff_calendar)
        work_by = last_common_working_day(of.due_on, (calendar(arrived.calendar), staff))
    return {
        "due_at": due_at(of.due_on, arrival, of.right, of.scope, policy, arrived.role),
        "work_by": work_by,
        "statutory_due_on": statutory,
        "statutory_due_at": end_of(statutory, arrival.zones),
        "pausing": any(each.answered_at is None for each in counted),
        "calc_version": found.calc_version,
    }


def schedule(clock: RequestClock, timer: Timer, policy: TimeLimitPolicy) -> list[ClockStep]:
    """Returns the steps of a timer in chronological order."""
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


def milestones_of(clock: RequestClock, policy: TimeLimitPolicy) -> list[ClockStep]:
    """Returns the milestones of an open request after its receipt."""
    rules, prompt, found = policy.milestones, policy.prompt, []
    for days in rules.approaching_days:
        at = end_of(clock.due_on - timedelta(days=days + 1), clock.zones)
        if clock.received_at < at < clock.due_at:
            level = f"approaching_{days}d" if days <= rules.escalate_days else None
            escalate_to: tuple[str, ...] = ()
            if prompt and not clock.extended and prompt.days_before_due == days:
                level, escalate_to = TargetName.EXTEND_OR_ANSWER, (prompt.escalate_to,)
            found.append(ClockStep(at, f"approaching_{days}", clock.due_on, days, level, escalate_to))
    ends = [("overdue_commitment", clock.due_at, clock.due_on)]
    if not clock.pausing:
        ends.append(("overdue_statutory", clock.statutory_due_at, clock.statutory_due_on))
    found += [ClockStep(at, name, day, 0, name) for name, at, day in ends]
    return sorted(found, key=lambda each: each.at)


def targets_of(clock: RequestClock, policy: TimeLimitPolicy) -> list[ClockStep]:
    """Returns the staff's targets that end before the request is due."""
    found = [
        ClockStep(ends.instant, name, ends.day, 0, f"target_{name}", (ends.escalate_to,))
        for name in WATCHED
        if (span := policy.targets.get(name)) and (ends := target(span, clock.arrival, policy)).instant < clock.due_at
    ]
    return sorted(found, key=lambda each: each.at)


def notices_of(question: AskedQuestion, clock: RequestClock, policy: TimeLimitPolicy) -> list[ClockStep]:
    """Returns the reminders and the last notice of an open question, each at the start of the controller's day."""
    zone = ZoneInfo(policy.commitment.controller_zone)
    asked_on = arrival_date(question.asked_at, clock.zones)
    days, last = silence(question.asked_at, clock.arrival, clock.due_on, policy)
    steps = [*((day, f"{REMINDER}_{(day - asked_on).days}") for day in days), (last, LAST_NOTICE)]
    return [ClockStep(start_of(day, zone), name, day, (day - asked_on).days) for day, name in steps]


def customer_notices(clock: RequestClock, policy: TimeLimitPolicy) -> list[ClockStep]:
    """Returns the reminders to a customer, and the escalation to our staff."""
    if clock.forwarded_at is None:
        return []
    zone, rules, working = ZoneInfo(policy.commitment.controller_zone), policy.forwarding, calendar(clock.calendar)
    since = arrival_date(clock.forwarded_at, (zone.key,))
    days = {number: working.add_working_days(since, number) for number in rules.reminder_working_days}
    last = working.add_working_days(since, rules.escalation_working_days)
    reminders = [ClockStep(start_of(day, zone), f"{REMINDER}_{number}", day, number) for number, day in days.items()]
    end = ClockStep(
        start_of(last, zone), "escalation", last, rules.escalation_working_days, ESCALATION, rules.escalate_to
    )
    return [*reminders, end]


def due_by(dues: Sequence[ClockStep], reported: Collection[str], now: datetime) -> list[ClockStep]:
    """Returns the steps that are due by ``now`` and not reported."""
    return [each for each in dues if each.at <= now and each.name not in reported]


def next_of(dues: Sequence[ClockStep], reported: Collection[str]) -> datetime | None:
    """Returns the time of the next step; None if every step was reported."""
    return next((each.at for each in dues if each.name not in reported), None)


def tickets_for(clock: RequestClock, kind: str, fresh: Sequence[ClockStep], now: datetime) -> list[ClockStep]:
    """Returns the last of simultaneous steps; for targets, the last per role while the request is not due."""
    if kind != TimerKind.TARGET:
        return list(fresh[-1:])
    return [*{each.escalate_to: each for each in fresh}.values()] if now < clock.due_at else []


def start_of(day: date, zone: ZoneInfo) -> datetime:
    """Returns the time (UTC) at which a day begins in a zone."""
    return datetime.combine(day, time(), zone).astimezone(UTC)
