"""What people see in other systems: tickets for the privacy team, a flag on the CRM's contact, what is said daily."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from uuid import NAMESPACE_URL, UUID, uuid5
from zoneinfo import ZoneInfo

from pydantic import JsonValue

from services.deadline import repository
from services.deadline.clock import STEPS, Clock, Due, start_of
from shared.domain.events import RequestClosed
from shared.domain.operations import Operation
from shared.domain.rights import Right
from shared.domain.time_limit_policy import TimeLimitPolicy
from shared.fulfilment import store as fulfilment
from shared.fulfilment.fulfilments import Fulfilments
from shared.fulfilment.store import Completed, NewFulfilment
from shared.messaging.unit_of_work import UnitOfWork

SOON = timedelta(days=7)
LISTED = 100
"""So many requests stand in one daily alert, the longest due first; the others are counted."""

Details = Mapping[str, JsonValue]


async def escalate(fulfilments: Fulfilments, tx: UnitOfWork, warned: Iterable[tuple[Clock, Due]]) -> None:
    """Opens a ticket, or comments on it, for each of these; without a system for tickets there is none."""
    await _open(fulfilments, tx, Operation.ESCALATE, [(clock, _warning(clock, due)) for clock, due in warned])


async def flag(fulfilments: Fulfilments, tx: UnitOfWork, clocks: Iterable[Clock]) -> None:
    """Whoever talks to these subjects may know that a request is open."""
    await _open(fulfilments, tx, Operation.FLAG, [(clock, {"open": True}) for clock in clocks])


async def release(
    fulfilments: Fulfilments, tx: UnitOfWork, stopped: Sequence[Clock], events: Mapping[UUID, RequestClosed]
) -> None:
    """The requests are answered: resolve the tickets that they have, and take their flags away."""
    requests = [clock.request_id for clock in stopped]
    await fulfilment.cancel(tx, requests)
    for operation in (Operation.ESCALATE, Operation.FLAG):
        begun = await fulfilment.begun(tx, requests, operation)
        ended = [clock for clock in stopped if clock.request_id in begun]
        await _open(fulfilments, tx, operation, [(clock, _end(operation, events[clock.request_id])) for clock in ended])


async def escalated(fulfilments: Fulfilments, completed: Sequence[Completed], tx: UnitOfWork) -> None:
    """The privacy team has the warning before it: put on record where."""
    for done in completed:
        systems = [report.system for report in done.reports]
        tx.log_evidence(done.request_id, "deadline.escalated", {"level": done.details["level"], "systems": [*systems]})
    await _end_again(fulfilments, tx, [done for done in completed if done.details["level"] == "resolved"])


async def flagged(fulfilments: Fulfilments, completed: Sequence[Completed], tx: UnitOfWork) -> None:
    """The flag is set or gone: put on record where."""
    for done in completed:
        systems: JsonValue = {report.system: report.outcome for report in done.reports}
        tx.log_evidence(done.request_id, "deadline.flagged", {"open": done.details["open"], "systems": systems})
    await _end_again(fulfilments, tx, [done for done in completed if not done.details["open"]])


async def digest(tx: UnitOfWork, day: date, policy: TimeLimitPolicy) -> Details:
    """How many requests are open, due soon and overdue, by right; nobody's data."""
    del day, policy
    rows = await tx.connection.fetch(repository.OPEN_BY_RIGHT, tx.now, tx.now + SOON)
    counted = dict.fromkeys(Right, (0, 0, 0)) | {Right(row[0]): (row[1], row[2], row[3]) for row in rows}
    numbers = [*counted.items(), ("all", tuple(map(sum, zip(*counted.values(), strict=True))))]
    lines = [f"{name}: {n} open, {soon} due in {SOON.days} days, {late} overdue" for name, (n, soon, late) in numbers]
    return {"lines": [*lines]}


async def daily_alert(tx: UnitOfWork, day: date, policy: TimeLimitPolicy) -> Details | None:
    """Which requests are nearly due or overdue, by reference alone; nothing to say on a day without any."""
    rules, zone = policy.milestones, ZoneInfo(policy.commitment.controller_zone)
    last = day + timedelta(days=rules.daily_page_days)
    # Whatever is due by the last day ends by its midnight here, since the controller's zone is one of every request's.
    given = (list(Right), start_of(last + timedelta(days=1), zone), last)
    rows = await tx.connection.fetch(repository.NEAREST, *given, tx.now, LISTED)
    if not rows:
        return None
    lines = [f"{row[0]}: {'was due on' if row[2] else 'due on'} {row[1].isoformat()}" for row in rows]
    if len(rows) == LISTED and (more := await tx.connection.fetchval(repository.NUMBER_DUE, *given) - LISTED):
        lines.append(f"and {more} more")
    return {"lines": [*lines], "escalate_to": [*rules.daily_page_to]}


DAILY = {"digest": digest, "daily_page": daily_alert}
"""What is said once a day, by the level that its ticket names."""


async def say_daily(fulfilments: Fulfilments, tx: UnitOfWork, kind: str, hour: int, policy: TimeLimitPolicy) -> bool:
    """Opens the ticket of this day unless it was, or its hour has not come; after downtime today's alone."""
    local = tx.now.astimezone(ZoneInfo(policy.commitment.controller_zone))
    day = local.date()
    if (
        local.hour < hour
        or not fulfilments.plans[Operation.ESCALATE]
        or await repository.notified(tx.connection, kind, day)
    ):
        return False
    details = await DAILY[kind](tx, day, policy)
    if details is None or not await repository.claim_notification(tx.connection, kind, day):
        return False
    # Ticket and evidence are found by this in place of a request's id. A task names a right; this is about all of them.
    about = uuid5(NAMESPACE_URL, f"urn:dsr:{kind.replace('_', '-')}:{day.isoformat()}")
    opened = _notification((about, about, Right.ACCESS), Operation.ESCALATE, day, {"level": kind, **details})
    await fulfilments.open_all(tx, [opened])
    return True


async def _open(
    fulfilments: Fulfilments, tx: UnitOfWork, operation: Operation, about: Iterable[tuple[Clock, Details]]
) -> None:
    opened = [
        _notification((clock.request_id, clock.subject_ref, clock.right), operation, clock.due_on, details)
        for clock, details in about
    ]
    if opened and fulfilments.plans[operation]:
        await fulfilments.open_all(tx, opened)


async def _end_again(fulfilments: Fulfilments, tx: UnitOfWork, ended: Iterable[Completed]) -> None:
    """Ends once more what another worker may have begun meanwhile: it claimed its task before the answer."""
    for done in ended:
        if await fulfilment.in_hand(tx, [done.request_id], done.operation):
            about = (done.request_id, done.subject_ref, done.right)
            opened = _notification(about, done.operation, tx.now.date(), done.details)
            await fulfilments.open_all(tx, [opened])


def _notification(
    about: tuple[UUID, UUID, Right], operation: Operation, due_on: date, details: Details
) -> NewFulfilment:
    """Only a flag that is set searches for the subject; it is found by the request when it is taken away."""
    return NewFulfilment(*about, operation, due_on, details, searches=bool(details.get("open")))


def _warning(clock: Clock, due: Due) -> Details:
    details: dict[str, JsonValue] = {"level": due.level, "due_on": clock.due_on.isoformat()}
    if due.name in STEPS:
        details["target_on"] = due.day.isoformat()
    return details | ({"escalate_to": [*due.escalate_to]} if due.escalate_to else {})


def _end(operation: Operation, event: RequestClosed) -> Details:
    return {"open": False} if operation is Operation.FLAG else {"level": "resolved", "outcome": event.outcome}
