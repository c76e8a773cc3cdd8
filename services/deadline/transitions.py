"""What moves the dates of a clock, one pure function for each cause.

===================  ===========  =========================  ==============================================
cause                function     due date                   statutory limit
===================  ===========  =========================  ==============================================
received             ``start``    as the event says          a month from the receipt, to a working day
question, answer     ``recount``  stays                      later by the days of questions that count
extended             ``extend``   as the event says          two months further
extension returned   ``shorten``  as before                  as before
redated              ``redate``   as the event says          from the receipt of the event
reopened             ``resume``   as the event says          never before the due date
closed               ``stop``     judged; what is owed runs  judged
part answered        ``part``     judged again               judged again
===================  ===========  =========================  ==============================================
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

from services.deadline.clock import AskedQuestion, Clock, milestones_of, next_at, targets_of
from shared.domain.events import (
    Event,
    LetterReturned,
    PartAnswered,
    RequestClosed,
    RequestExtended,
    RequestReceived,
    RequestRedated,
    RequestReopened,
)
from shared.domain.rights import Outcome
from shared.domain.suspension import not_counted, paused_days
from shared.domain.time_limit import Arrival, Timeliness, due_at, due_on, end_of, limits, timeliness
from shared.domain.time_limit_policy import TimeLimitPolicy
from shared.domain.working_days import calendar, last_common_working_day


def start(event: RequestReceived, policy: TimeLimitPolicy, traceparent: str | None) -> Clock:
    """The clock of a request that was received; what was found late is not judged before it was known."""
    arrival = Arrival(event.received_at, event.zones, event.calendar)
    clock = Clock(
        request_id=event.request_id,
        subject_ref=event.subject,
        right=event.right,
        role=event.role,
        scope=event.scope,
        received_at=event.received_at,
        zones=event.zones,
        calendar=event.calendar,
        due_on=event.due_on,
        traceparent=traceparent,
        **_dates(event, arrival, policy),
    )
    first_target = next_at(targets_of(clock, policy), None)
    return replace(
        clock,
        next_milestone_at=next_at(milestones_of(clock, policy), None),
        next_target_at=first_target and max(first_target, event.occurred_at),
    )


def verify(clock: Clock, now: datetime, policy: TimeLimitPolicy) -> Clock:
    """It is proven who asks: what is open after some minutes is shown to whoever talks to the subject."""
    flag_at = now + timedelta(minutes=policy.milestones.flag_after_minutes)
    return replace(clock, flag_at=flag_at, next_milestone_at=min(flag_at, clock.next_milestone_at or flag_at))


def recount(clock: Clock, _event: Event, policy: TimeLimitPolicy) -> Clock:
    """A question was asked or answered; whatever else has moved, the dates that follow from it are counted again."""
    return _planned(clock, _dated(clock, policy), policy)


def extend(clock: Clock, event: RequestExtended, policy: TimeLimitPolicy) -> Clock:
    """Two persons have extended the time limit to the day of the event; told later than by law, it is none (12(3))."""
    if event.told_at >= limits(clock.arrival, policy).commit_due_instant:
        return clock
    return recount(replace(clock, due_on=event.due_on, extended=True), event, policy)


def shorten(clock: Clock, before: date, event: LetterReturned, policy: TimeLimitPolicy) -> Clock:
    """The subject does not know of the extension: it is due as ``before``, or as the receipt says by now."""
    by_receipt = due_on(clock.arrival, clock.right, clock.scope, policy, clock.role) if clock.watched else before
    return recount(replace(clock, due_on=min(before, by_receipt), extended=False), event, policy)


def resume(clock: Clock, event: RequestReopened, policy: TimeLimitPolicy) -> Clock:
    """An answer came after the closure: it runs again until that day, and what came before the answer is not said."""
    stopped: dict[str, Any] = dict.fromkeys(("responded_at", "outcome", "timeliness"))
    running = replace(clock, **stopped, outstanding=(), notified_until=event.answered_at)
    return recount(replace(running, due_on=event.due_on), event, policy)


def run_on(clock: Clock, event: LetterReturned, policy: TimeLimitPolicy) -> Clock:
    """The answer has come back: the clock runs by the same dates as before, and says what it has not said."""
    stopped: dict[str, Any] = dict.fromkeys(("responded_at", "outcome", "timeliness"))
    return recount(replace(clock, **stopped, outstanding=()), event, policy)


def redate(clock: Clock, event: RequestRedated, policy: TimeLimitPolicy) -> Clock:
    """The arrival, the policy or a holiday has changed; what the old dates had not come to must still be said."""
    arrived = replace(clock, received_at=event.received_at, zones=event.zones, calendar=event.calendar)
    new = _dated(replace(arrived, due_on=event.due_on), policy)
    if (until := clock.notified_until) is not None:
        said = {each.name for each in milestones_of(clock, policy) if each.at <= until}
        missed = next((each.at for each in milestones_of(new, policy) if each.name not in said), None)
        if missed is not None and missed <= until:
            new = replace(new, notified_until=missed - timedelta.resolution)
    return _planned(clock, new, policy)


def stop(clock: Clock, event: RequestClosed, policy: TimeLimitPolicy) -> Clock:
    """The request was answered: whether in time, and nothing more is to be said of it but for what is still owed."""
    _, ended_at = judged_by(clock, event.outcome, policy)
    stopped = replace(
        clock,
        responded_at=event.responded_at,
        outcome=event.outcome,
        timeliness=timeliness(event.responded_at, ended_at, clock.statutory_due_at),
        role="processor" if event.outcome is Outcome.FORWARDED else clock.role,
        watched=False,
        flag_at=None,
        next_milestone_at=None,
        next_target_at=None,
        outstanding=event.outstanding,
    )
    if not stopped.outstanding:
        return stopped
    return replace(stopped, next_milestone_at=next_at(milestones_of(stopped, policy), clock.notified_until))


def part(clock: Clock, event: PartAnswered, policy: TimeLimitPolicy) -> Clock:
    """Something that was owed is done: with the last of it the clock stops, and the answer is as late as that was.

    What is owed again, since a package is made anew, runs by the same dates as before.
    """
    if event.outstanding:
        owed = replace(clock, outstanding=event.outstanding)
        return (
            owed
            if clock.outstanding
            else replace(owed, next_milestone_at=next_at(milestones_of(owed, policy), clock.notified_until))
        )
    how = timeliness(event.occurred_at, clock.due_at, clock.statutory_due_at)
    worst = max(how, clock.timeliness or how, key=[*Timeliness].index)
    return replace(clock, outstanding=(), next_milestone_at=None, timeliness=worst)


def judged_by(clock: Clock, outcome: Outcome, policy: TimeLimitPolicy) -> tuple[date, datetime]:
    """By when the request was due; what was taken for ours and passed on, by when it was to be passed on."""
    if outcome is not Outcome.FORWARDED or clock.role == "processor":
        return clock.due_on, clock.due_at
    day = due_on(clock.arrival, clock.right, clock.scope, policy, "processor")
    return day, due_at(day, clock.arrival, clock.right, clock.scope, policy, "processor")


def _dated(clock: Clock, policy: TimeLimitPolicy) -> Clock:
    dates = _dates(clock, clock.arrival, policy, clock.questions, extended=clock.extended)
    return replace(clock, **dates)


def _dates(
    of: Clock | RequestReceived,
    arrival: Arrival,
    policy: TimeLimitPolicy,
    questions: Sequence[AskedQuestion] = (),
    *,
    extended: bool = False,
) -> dict[str, Any]:
    """What follows from arrival, due date and questions; while one is open, nobody knows the law's end."""
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


def _planned(old: Clock, new: Clock, policy: TimeLimitPolicy) -> Clock:
    """With the instants at which to look at it again, after its dates have moved."""
    next_target_at = new.next_target_at
    # Targets that were said stay said: it is safe to look at all of them again, and needless unless their days moved.
    if new.watched and (old.arrival, old.calc_version) != (new.arrival, new.calc_version):
        next_target_at = next_at(targets_of(new, policy), None) or next_target_at
    next_milestone_at = next_at(milestones_of(new, policy), new.notified_until)
    return replace(new, next_milestone_at=next_milestone_at, next_target_at=next_target_at)
