"""What deadline does with what it hears; each handler gets a batch and leaves commit and retry to the engine."""

from collections.abc import Sequence

from services.deadline import clocks
from services.deadline.clocks import Started, Stopped
from services.deadline.milestones import Clock, next_at, schedule
from shared import fulfilment
from shared.events import RequestClosed, RequestReceived
from shared.fulfilment import Completed
from shared.time_limit import Arrival, Timeliness, due_on, limits, target, timeliness
from shared.time_limit_policy import TimeLimitPolicy
from shared.transaction import Transaction


async def start(events: Sequence[RequestReceived], tx: Transaction, *, policy: TimeLimitPolicy) -> None:
    """Compute the dates of a request, once, and start its clock."""
    started = [compute(event, policy, tx.traces.get(event.request_id)) for event in events]
    await clocks.start(tx.connection, started)
    for each in started:
        tx.record(
            each.request_id,
            "deadline.computed",
            {
                "due_on": each.clock.due_on.isoformat(),
                "work_by": each.work_by.isoformat(),
                "statutory_due_on": each.clock.statutory_due_on.isoformat(),
                "calc_version": each.calc_version,
            },
        )


async def stop(events: Sequence[RequestClosed], tx: Transaction) -> None:
    """Stop the clock of an answered request, say so if it was late, and warn nobody of it any more."""
    event_of = {event.request_id: event for event in events}
    stopped = []
    for request_id, due_at, statutory_due_at in await clocks.running(tx.connection, list(event_of)):
        event = event_of[request_id]
        how = timeliness(event.responded_at, due_at, statutory_due_at)
        stopped.append(Stopped(request_id, event.responded_at, event.outcome, how))
        if how is not Timeliness.ON_TIME:
            tx.record(request_id, "deadline.missed", {"timeliness": how})
    if stopped:
        await clocks.stop(tx.connection, stopped)
        await fulfilment.cancel(tx, [each.request_id for each in stopped])


async def escalated(completed: Sequence[Completed], tx: Transaction) -> None:
    """The privacy team has the warning before it: put on record where."""
    for done in completed:
        systems = [report.system for report in done.reports]
        tx.record(done.request_id, "deadline.escalated", {"level": done.details["level"], "systems": [*systems]})


def compute(event: RequestReceived, policy: TimeLimitPolicy, traceparent: str | None) -> Started:
    """The clock of a request: the commitment, or a shorter limit of our own for this right and scope, and the law's."""
    arrival = Arrival(event.received_at, event.zones, event.calendar)
    found = limits(arrival, policy)
    day, due_at = due_on(arrival, event.right, event.scope, policy), found.commit_due_instant
    if shorter := policy.override_for(event.right, event.scope):
        due_at = min(due_at, target(shorter, arrival, policy).instant)
    clock = Clock(event.received_at, event.zones, day, due_at, found.statutory_due, found.statutory_due_instant)
    return Started(
        request_id=event.request_id,
        subject_ref=event.subject,
        right=event.right,
        calendar=event.calendar,
        clock=clock,
        work_by=min(found.work_by, day),
        calc_version=found.calc_version,
        next_milestone_at=next_at(schedule(clock, policy.milestones.approaching_days), None),
        traceparent=traceparent,
    )
