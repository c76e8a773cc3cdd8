"""The clock of a request: what moves its dates, and when to report which step of it; pure.

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

Each timer has a list of steps in the order of time. A step is reported once, by its name, however often its instant is
computed again.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from shared.domain.events import (
    Event,
    LetterReturned,
    PartAnswered,
    RequestClosed,
    RequestExtended,
    RequestForwarded,
    RequestReceived,
    RequestRedated,
    RequestReopened,
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
"""Kinds of timers that publish nothing: the flag in the CRM, and the daily tickets."""

STEPPING = frozenset(TimerKind) - {TimerKind.RETENTION}
"""Kinds of timers of one request that report steps."""

REMINDER, LAST_NOTICE, ESCALATION = "reminder", "last_notice", "controller_silent"
WATCHED = (TargetName.TRIAGE, TargetName.QUESTION_SENT, TargetName.COLLECTION, TargetName.REVIEW)
"""The staff's targets; an answer meets all of them. ``extend_or_answer`` is a milestone."""


_FACTS = ("request_id", "right", "role", "scope", "received_at", "zones", "calendar", "due_on")
"""The fields of a clock that the receipt says."""


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


@dataclass(frozen=True, slots=True)
class Clock:
    """The dates of one request; ``due_at`` and ``statutory_due_at`` are the exclusive ends of the days, UTC.

    ``promised_on``: the day before it was extended. ``pausing``: an open question stops the statutory clock. ``met``:
    targets whose step was taken. ``outstanding``: systems whose part is still owed although it was answered.
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
        """When and where the request arrived."""
        return Arrival(self.received_at, self.zones, self.calendar)

    @property
    def extended(self) -> bool:
        """Whether two people have extended the time limit."""
        return self.promised_on is not None

    @property
    def dates(self) -> dict[str, str]:
        """The dates that go on record when they move."""
        names = ("received_at", "due_on", "work_by", "statutory_due_on")
        return {name: getattr(self, name).isoformat() for name in names}

    def timer(self, kind: TimerKind) -> Timer | None:
        """Its timer of a kind of which it has at most one."""
        return next((each for each in self.timers if each.kind == kind), None)

    def without(self, *kinds: TimerKind) -> tuple[Timer, ...]:
        """Its timers but those of these kinds."""
        return tuple(each for each in self.timers if each.kind not in kinds)


def start(event: RequestReceived, policy: TimeLimitPolicy, traceparent: str | None) -> Clock:
    """The clock of a received request; a request that was found late is not judged before it was known."""
    arrival = Arrival(event.received_at, event.zones, event.calendar)
    facts = {name: getattr(event, name) for name in _FACTS}
    clock = Clock(subject_ref=event.subject, traceparent=traceparent, **facts, **_dates(event, arrival, policy))
    milestone = next_of(milestones_of(clock, policy), ())
    target = next_of(targets_of(clock, policy), ())
    target = target and max(target, event.occurred_at)
    return replace(clock, timers=(Timer(TimerKind.MILESTONE, "", milestone), Timer(TimerKind.TARGET, "", target)))


def recount(clock: Clock, _event: Event, policy: TimeLimitPolicy) -> Clock:
    """Computes the dates that follow from arrival, due date and questions, and when to look at the request next."""
    dates = _dates(clock, clock.arrival, policy, clock.questions, extended=clock.extended)
    new = replace(clock, **dates)
    timers = (replace(each, due_at=next_of(schedule(new, each, policy), each.reported)) for each in new.timers)
    return replace(new, timers=tuple(timers))


def forward(clock: Clock, event: RequestForwarded, policy: TimeLimitPolicy) -> Clock:
    """A customer has the request: they are reminded until they reply."""
    timers = (*clock.without(TimerKind.CUSTOMER), Timer(TimerKind.CUSTOMER))
    return recount(replace(clock, forwarded_at=event.forwarded_at, timers=timers), event, policy)


def extend(clock: Clock, event: RequestExtended, policy: TimeLimitPolicy) -> Clock:
    """Extends the time limit to the day of the event; a letter later than the law allows extends nothing (12(3))."""
    if event.told_at >= limits(clock.arrival, policy).commit_due_instant:
        return clock
    extended = replace(clock, due_on=event.due_on, promised_on=clock.promised_on or clock.due_on)
    return recount(_reported(extended), event, policy)


def shorten(clock: Clock, event: LetterReturned, policy: TimeLimitPolicy) -> Clock:
    """The letter of the extension came back: due as before, or by now as the receipt says."""
    before = clock.promised_on
    if before is None:
        return clock
    if clock.timer(TimerKind.TARGET):  # a reopened request has none, and is due later than by its receipt
        before = min(before, due_on(clock.arrival, clock.right, clock.scope, policy, clock.role))
    return recount(_reported(replace(clock, due_on=before, promised_on=None)), event, policy)


def resume(clock: Clock, event: RequestReopened, policy: TimeLimitPolicy) -> Clock:
    """An answer came after the closure: the clock runs until that day; what came before the answer is not reported."""
    running = recount(replace(_running(clock), due_on=event.due_on), event, policy)
    return recount(_watched(running, policy, event.answered_at), event, policy)


def run_on(clock: Clock, event: LetterReturned, policy: TimeLimitPolicy) -> Clock:
    """The answer has come back: the clock runs by the same dates, and reports what has come since."""
    return recount(_watched(_running(clock), policy, clock.responded_at), event, policy)


def redate(clock: Clock, event: RequestRedated, policy: TimeLimitPolicy) -> Clock:
    """The arrival, the policy or a holiday has changed; steps that were reported stay reported."""
    arrived = replace(clock, received_at=event.received_at, zones=event.zones, calendar=event.calendar)
    return recount(replace(arrived, due_on=event.due_on), event, policy)


def stop(clock: Clock, event: RequestClosed, policy: TimeLimitPolicy) -> Clock:
    """The request was answered: judged, and no longer watched but for what is still owed."""
    _, ended_at = judged_by(clock, event.outcome, policy)
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


def part(clock: Clock, event: PartAnswered, policy: TimeLimitPolicy) -> Clock:
    """Something that was owed is done, and the answer is as late as the last of it; or something is owed again."""
    if event.outstanding:
        owed = replace(clock, outstanding=event.outstanding)
        return owed if clock.outstanding else _watched(owed, policy, clock.responded_at)
    how = timeliness(event.occurred_at, clock.due_at, clock.statutory_due_at)
    worst = max(how, clock.timeliness or how, key=[*Timeliness].index)
    return replace(clock, outstanding=(), timeliness=worst, timers=clock.without(TimerKind.MILESTONE))


def judged_by(clock: Clock, outcome: Outcome, policy: TimeLimitPolicy) -> tuple[date, datetime]:
    """Returns the due date; for a request forwarded although it was taken for ours, the date to forward it by."""
    if outcome is not Outcome.FORWARDED or clock.role == "processor":
        return clock.due_on, clock.due_at
    day = due_on(clock.arrival, clock.right, clock.scope, policy, "processor")
    return day, due_at(day, clock.arrival, clock.right, clock.scope, policy, "processor")


def _running(clock: Clock) -> Clock:
    stopped: dict[str, Any] = dict.fromkeys(("responded_at", "outcome", "timeliness"))
    return replace(clock, **stopped, outstanding=())


def _watched(clock: Clock, policy: TimeLimitPolicy, until: datetime | None) -> Clock:
    """Watched again; what had come by then counts as reported."""
    dues = milestones_of(clock, policy)
    reported = tuple(each.name for each in dues if until is not None and each.at <= until)
    timer = Timer(TimerKind.MILESTONE, "", next_of(dues, reported), reported)
    return replace(clock, timers=(*clock.without(TimerKind.MILESTONE), timer))


def _reported(clock: Clock) -> Clock:
    """Its milestones are all to be reported again: another due date holds."""
    return replace(clock, timers=(*clock.without(TimerKind.MILESTONE), Timer(TimerKind.MILESTONE)))


def _dates(
    of: Clock | RequestReceived,
    arrival: Arrival,
    policy: TimeLimitPolicy,
    questions: Sequence[AskedQuestion] = (),
    *,
    extended: bool = False,
) -> dict[str, Any]:
    """Returns the dates that follow from arrival, due date and questions; while one is open, the law's is unknown."""
    regime = policy.regime_of(of.calendar)
    counted = [each for each in questions if not_counted(each, arrival, regime, policy) is None]
    paused = replace(arrival, paused_days=paused_days(counted, arrival.zones)) if counted else arrival
    found = limits(paused, policy)
    # A request that was reopened may be due after what its receipt alone would give.
    statutory = max(found.statutory_due_extended if extended else found.statutory_due, of.due_on)
    if of.due_on <= found.commit_due:
        work_by = min(found.work_by, of.due_on)
    else:
        staff = calendar(policy.commitment.staff_calendar)
        work_by = last_common_working_day(of.due_on, (calendar(of.calendar), staff))
    return {
        "due_at": due_at(of.due_on, arrival, of.right, of.scope, policy, of.role),
        "work_by": work_by,
        "statutory_due_on": statutory,
        "statutory_due_at": end_of(statutory, arrival.zones),
        "pausing": any(each.answered_at is None for each in counted),
        "calc_version": found.calc_version,
    }


def schedule(clock: Clock, timer: Timer, policy: TimeLimitPolicy) -> list[Due]:
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


def milestones_of(clock: Clock, policy: TimeLimitPolicy) -> list[Due]:
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


def targets_of(clock: Clock, policy: TimeLimitPolicy) -> list[Due]:
    """The staff's targets, but those that end no sooner than the request itself."""
    found = [
        Due(ends.instant, name, ends.day, 0, f"target_{name}", (ends.escalate_to,))
        for name in WATCHED
        if (span := policy.targets.get(name)) and (ends := target(span, clock.arrival, policy)).instant < clock.due_at
    ]
    return sorted(found, key=lambda each: each.at)


def notices_of(question: AskedQuestion, clock: Clock, policy: TimeLimitPolicy) -> list[Due]:
    """The reminders and the last notice of an open question, each from the start of the controller's day."""
    zone = ZoneInfo(policy.commitment.controller_zone)
    asked_on = arrival_date(question.asked_at, clock.zones)
    days, last = silence(question.asked_at, clock.arrival, clock.due_on, policy)
    steps = [*((day, f"{REMINDER}_{(day - asked_on).days}") for day in days), (last, LAST_NOTICE)]
    return [Due(start_of(day, zone), name, day, (day - asked_on).days) for day, name in steps]


def customer_notices(clock: Clock, policy: TimeLimitPolicy) -> list[Due]:
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


def tickets_for(clock: Clock, kind: str, fresh: Sequence[Due], now: datetime) -> list[Due]:
    """Returns the last of simultaneous steps; of missed targets the last per role, until the request is due."""
    if kind != TimerKind.TARGET:
        return list(fresh[-1:])
    return [*{each.escalate_to: each for each in fresh}.values()] if now < clock.due_at else []


def start_of(day: date, zone: ZoneInfo) -> datetime:
    """The instant (UTC) at which a day begins there."""
    return datetime.combine(day, time(), zone).astimezone(UTC)
