"""Shows requests in other systems: tickets for the privacy team, a flag in the CRM, a daily digest."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import NAMESPACE_URL, uuid5
from zoneinfo import ZoneInfo

from pydantic import JsonValue

from services.deadline import repository
from services.deadline.clock import ESCALATION, WATCHED, ClockStep, RequestClock
from shared.domain.events import Concerned
from shared.domain.operations import Operation
from shared.domain.rights import Right
from shared.domain.time_limit import end_of
from shared.domain.time_limit_policy import TimeLimitPolicy
from shared.fulfilment import store as fulfilment
from shared.fulfilment.fulfilments import Fulfilments
from shared.fulfilment.store import FulfilmentResult, NewFulfilment
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage.systems import findings, to_announce

SOON = timedelta(days=7)
LISTED = 100
"""The most requests that one daily ticket lists, the longest due first."""

Details = Mapping[str, Any]


async def warn(fulfilments: Fulfilments, tx: UnitOfWork, dues: Sequence[tuple[RequestClock, ClockStep]]) -> None:
    """Opens a ticket for each step with a level, or comments on the open one."""
    warnings = [(clock, clock.due_on, _warning(clock, due)) for clock, due in dues if due.level]
    await _open(fulfilments, tx, Operation.ESCALATE, warnings)


async def flag(fulfilments: Fulfilments, tx: UnitOfWork, clocks: Iterable[RequestClock]) -> None:
    """Shows in the CRM that the subject has an open request."""
    flags = [(clock, clock.due_on, {"open": True}) for clock in clocks if clock.responded_at is None]
    await _open(fulfilments, tx, Operation.FLAG, flags)


async def release(fulfilments: Fulfilments, tx: UnitOfWork, stopped: Sequence[RequestClock]) -> None:
    """Resolves the tickets of answered requests, and removes their flags."""
    if not stopped:
        return
    requests = [clock.request_id for clock in stopped]
    await fulfilment.cancel(tx, requests)
    for operation in (Operation.ESCALATE, Operation.FLAG):
        begun = await fulfilment.tried(tx, requests, operation)
        ended = [clock for clock in stopped if clock.request_id in begun]
        ends = [(clock, clock.due_on, _end(operation, clock)) for clock in ended]
        await _open(fulfilments, tx, operation, ends)


async def record(fulfilments: Fulfilments, completed: Sequence[FulfilmentResult], tx: UnitOfWork) -> None:
    """Records in the evidence that a ticket was opened, or a flag set or removed.

    If a worker started a ticket or flag while it was being ended, it is ended again.
    """
    for done in completed:
        flags = done.operation is Operation.FLAG
        how, ended = ("open", False) if flags else ("level", "resolved")
        action = "deadline.flagged" if flags else "deadline.escalated"
        systems: dict[str, JsonValue] = {report.system: report.outcome for report in done.reports}
        tx.log_evidence(done.request_id, action, {how: done.details[how], "systems": systems})
        if done.details[how] == ended and await fulfilment.being_worked(tx, [done.request_id], done.operation):
            await _open(fulfilments, tx, done.operation, [(done, tx.now.date(), done.details)])


async def open_digest(fulfilments: Fulfilments, tx: UnitOfWork, policy: TimeLimitPolicy) -> None:
    """Opens the daily ticket: counts of open requests, and the ids of those that are nearly due or overdue.

    If a request is nearly due, the ticket goes to the people whom the policy names.
    """
    if not fulfilments.stages_of[Operation.ESCALATE]:
        return
    rules, zone = policy.milestones, policy.commitment.controller_zone
    day = tx.now.astimezone(ZoneInfo(zone)).date()
    rows = await tx.connection.fetch(repository.OPEN_BY_RIGHT, tx.now, tx.now + SOON)
    counted = dict.fromkeys(Right, (0, 0, 0)) | {Right(row[0]): (row[1], row[2], row[3]) for row in rows}
    numbers = [*counted.items(), ("all", tuple(map(sum, zip(*counted.values(), strict=True))))]
    lines = [f"{name}: {n} open, {soon} due in {SOON.days} days, {late} overdue" for name, (n, soon, late) in numbers]
    last = day + timedelta(days=rules.daily_page_days)
    # Every request's zones include the controller's, so the last day ends by its midnight here.
    near = await tx.connection.fetch(repository.NEAREST, [*Right], end_of(last, (zone,)), last, tx.now, LISTED + 1)
    lines += [f"{row[0]}: {'was due on' if row[2] else 'due on'} {row[1].isoformat()}" for row in near[:LISTED]]
    lines += ["and more"] * (len(near) > LISTED)
    for system in await to_announce(tx.connection):
        had = [str(each.request_id) for each in await findings(tx.connection, system) if each.found]
        lines.append(
            f"{system} was switched on; before, it had something of: {', '.join(had[-LISTED:]) or 'no request'}"
        )
    details: dict[str, JsonValue] = {"level": "digest", "lines": [*lines]}
    if near:
        details |= {"level": "daily_page", "escalate_to": [*rules.daily_page_to]}
    # This id replaces a request id. A task needs a right, although the digest covers all rights.
    about = uuid5(NAMESPACE_URL, f"urn:dsr:digest:{day.isoformat()}")
    ticket = NewFulfilment(about, about, Right.ACCESS, Operation.ESCALATE, day, details, searches=False)
    await fulfilments.open_all(tx, [ticket])


def hour_of(now: datetime, hour: int, policy: TimeLimitPolicy) -> datetime:
    """Returns the time of today's daily ticket, in the controller's zone."""
    zone = ZoneInfo(policy.commitment.controller_zone)
    return datetime.combine(now.astimezone(zone).date(), time(hour), zone).astimezone(UTC)


async def _open(
    fulfilments: Fulfilments, tx: UnitOfWork, operation: Operation, about: Iterable[tuple[Concerned, date, Details]]
) -> None:
    # Only setting a flag searches for the subject; it is removed by request id.
    opened = [
        NewFulfilment(
            *(each.request_id, each.subject_ref, each.right, operation, due_on, details),
            searches=bool(details.get("open")),
        )
        for each, due_on, details in about
    ]
    if opened and fulfilments.stages_of[operation]:
        await fulfilments.open_all(tx, opened)


def _warning(clock: RequestClock, due: ClockStep) -> Details:
    details: dict[str, JsonValue] = {"level": due.level, "due_on": clock.due_on.isoformat()}
    if due.name in WATCHED or due.level == ESCALATION:
        details["target_on"] = due.day.isoformat()
    return details | ({"escalate_to": [*due.escalate_to]} if due.escalate_to else {})


def _end(operation: Operation, clock: RequestClock) -> Details:
    return {"open": False} if operation is Operation.FLAG else {"level": "resolved", "outcome": clock.outcome}
