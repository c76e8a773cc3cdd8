"""What deadline does with what it hears; each handler gets a batch and leaves commit and retry to the engine."""

from collections.abc import Sequence
from datetime import date, datetime
from uuid import UUID

from services.deadline import clocks, company, deferrals, questions, steps, targets
from services.deadline.clocks import Started, Stopped, Stopping
from services.deadline.milestones import Clock, next_at, schedule
from services.deadline.recomputation import recompute, running
from services.deadline.targets import Step
from shared.domain.events import (
    FulfilmentCompleted,
    QuestionAnswered,
    QuestionSent,
    RequestClosed,
    RequestExtended,
    RequestReceived,
    RequestRedated,
    RequestReopened,
    RequestVerified,
)
from shared.domain.rights import Outcome, Right, Role
from shared.domain.suspension import asked_in_time, not_counted
from shared.domain.time_limit import Arrival, Timeliness, due_at, due_on, limits, timeliness
from shared.domain.time_limit_policy import TimeLimitPolicy
from shared.messaging.unit_of_work import UnitOfWork


async def start(events: Sequence[RequestReceived], tx: UnitOfWork, *, policy: TimeLimitPolicy) -> None:
    """Compute the dates of a request, once, and start its clock."""
    started = [compute(event, policy, tx.traces.get(event.request_id)) for event in events]
    await clocks.start(tx.connection, started)
    for each in started:
        tx.log_evidence(
            each.request_id,
            "deadline.computed",
            {
                "due_on": each.clock.due_on.isoformat(),
                "work_by": each.work_by.isoformat(),
                "statutory_due_on": each.clock.statutory_due_on.isoformat(),
                "calc_version": each.calc_version,
            },
        )


async def verified(events: Sequence[RequestVerified], tx: UnitOfWork) -> None:
    """The request is triaged, and whoever talks to the subject may know of it."""
    await steps.take(tx.connection, Step.TRIAGED, events)
    await company.flag(events, tx)


async def collected(events: Sequence[FulfilmentCompleted], tx: UnitOfWork) -> None:
    """Every downstream has done its part of the request."""
    await steps.take(tx.connection, Step.COLLECTED, events)


async def asked(events: Sequence[QuestionSent], tx: UnitOfWork, *, policy: TimeLimitPolicy) -> None:
    """A question opens a suspension; whether it stops the statutory clock, or why not, is put on record."""
    await steps.take(tx.connection, Step.TRIAGED, events)
    in_time: dict[UUID, bool] = {}
    for dated in await running(tx.connection, [event.request_id for event in events]):
        regime = policy.regime_of(dated.calendar)
        for event in (event for event in events if event.request_id == dated.request_id):
            suspension = questions.suspension(event)
            reason = not_counted(suspension, dated.arrival, regime, policy)
            tx.log_evidence(
                dated.request_id, "deadline.question_sent", {"question": event.question, "not_counted": reason}
            )
            in_time[event.question_id] = asked_in_time(event.asked_at, dated.arrival, policy)
    await questions.ask(tx.connection, events, in_time)
    await recompute(tx, [event.request_id for event in events], "question_sent", policy)


async def answered(events: Sequence[QuestionAnswered], tx: UnitOfWork, *, policy: TimeLimitPolicy) -> None:
    """An answer closes a suspension: the statutory limit moves by the whole days between the two."""
    await questions.answer(tx.connection, events)
    for request_id in await recompute(tx, [event.request_id for event in events], "question_answered", policy):
        tx.log_evidence(request_id, "deadline.question_answered", {})


async def extend(events: Sequence[RequestExtended], tx: UnitOfWork, *, policy: TimeLimitPolicy) -> None:
    """Two persons have extended the time limit: from now on the new day counts, and two further months by law."""
    extended_to = {event.request_id: event.due_on for event in events}
    moved = await recompute(tx, list(extended_to), "extended", policy, extended_to)
    reason_of = {event.request_id: event.reason for event in events}
    for request_id in moved:
        tx.log_evidence(request_id, "deadline.extended", {"reason": reason_of[request_id]})


async def redate(events: Sequence[RequestRedated], tx: UnitOfWork, *, policy: TimeLimitPolicy) -> None:
    """The receipt was corrected, or the policy or a calendar has changed: every date is computed anew."""
    for cause in dict.fromkeys(event.cause for event in events):
        redated = {event.request_id: event for event in events if event.cause == cause}
        await recompute(tx, list(redated), cause, policy, redated=redated)


async def stop(events: Sequence[RequestClosed], tx: UnitOfWork, *, policy: TimeLimitPolicy) -> None:
    """Stop the clock of an answered request, say so if it was late, and warn nobody of it any more."""
    event_of = {event.request_id: event for event in events}
    if unanswered := await questions.end(tx.connection, events):
        await recompute(tx, unanswered, "closed_with_a_question", policy)
    stopped, answers = [], []
    for clock in await clocks.running(tx.connection, list(event_of)):
        event = event_of[clock.request_id]
        day, end = _due(clock, event, policy)
        how = timeliness(event.responded_at, end, clock.statutory_due_at)
        answers.append(clock)
        stopped.append(Stopped(clock.request_id, event.responded_at, event.outcome, how))
        tx.log_evidence(clock.request_id, "deadline.stopped", {"timeliness": how, "due_on": day.isoformat()})
        if how is not Timeliness.ON_TIME:
            tx.log_evidence(clock.request_id, "deadline.missed", {"timeliness": how})
    if stopped:
        await clocks.stop(tx.connection, stopped)
        await company.release(tx, answers, event_of)
    await deferrals.drop(tx.connection, {event.request_id: event.outcome for event in events})


async def reopen(events: Sequence[RequestReopened], tx: UnitOfWork, *, policy: TimeLimitPolicy) -> None:
    """An answer came after the last notice: the clock runs again, until the day that the subject was told."""
    due_on_of = {event.request_id: event.due_on for event in events}
    await clocks.resume(tx.connection, {event.request_id: event.answered_at for event in events})
    await questions.answer_late(tx.connection, events)
    for request_id in await recompute(tx, list(due_on_of), "reopened", policy, resumed_to=due_on_of):
        tx.log_evidence(request_id, "deadline.reopened", {"due_on": due_on_of[request_id].isoformat()})


def _due(clock: Stopping, event: RequestClosed, policy: TimeLimitPolicy) -> tuple[date, datetime]:
    """By when the request was due; what was taken for ours and passed on, by when it was to be passed on."""
    if event.outcome != Outcome.FORWARDED or clock.role == "processor":
        return clock.due_on, clock.due_at
    what: tuple[Right, str | None, TimeLimitPolicy, Role] = (clock.right, clock.scope, policy, "processor")
    return due_on(clock.arrival, *what), due_at(clock.arrival, *what)


def compute(event: RequestReceived, policy: TimeLimitPolicy, traceparent: str | None) -> Started:
    """The clock of a request: the commitment, or a shorter limit of our own for what it is, and the law's."""
    arrival = Arrival(event.received_at, event.zones, event.calendar)
    found = limits(arrival, policy)
    what = (event.right, event.scope, policy, event.role)
    day, end = due_on(arrival, *what), due_at(arrival, *what)
    # What was found late is not judged before it was known.
    first_target_at = targets.first_at(arrival, end, policy)
    clock = Clock(event.received_at, event.zones, day, end, found.statutory_due, found.statutory_due_instant)
    return Started(
        request_id=event.request_id,
        subject_ref=event.subject,
        right=event.right,
        calendar=event.calendar,
        clock=clock,
        work_by=min(found.work_by, day),
        calc_version=found.calc_version,
        next_milestone_at=next_at(schedule(clock, policy.milestones.approaching_days), None),
        next_target_at=first_target_at and max(first_target_at, event.occurred_at),
        traceparent=traceparent,
        role=event.role,
        scope=event.scope,
    )
