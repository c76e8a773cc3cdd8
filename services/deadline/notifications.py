"""What people see in other systems: tickets for the privacy team, a flag on the CRM's contact, what is said daily."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any
from uuid import NAMESPACE_URL, uuid5
from zoneinfo import ZoneInfo

from pydantic import JsonValue

from services.deadline import repository
from services.deadline.clock import FLAG, STEPS, Clock, Due
from services.deadline.forwarding import ESCALATION
from shared.domain.events import Concerned
from shared.domain.operations import Operation
from shared.domain.rights import Right
from shared.domain.time_limit import end_of
from shared.domain.time_limit_policy import TimeLimitPolicy
from shared.fulfilment import store as fulfilment
from shared.fulfilment.fulfilments import Fulfilments
from shared.fulfilment.store import Completed, NewFulfilment
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage.systems import findings, to_announce

SOON = timedelta(days=7)
LISTED = 100
"""So many requests stand in one daily alert, the longest due first; the others are counted."""

Details = Mapping[str, Any]


async def tell(fulfilments: Fulfilments, tx: UnitOfWork, dues: Sequence[tuple[Clock, Due]]) -> None:
    """Opens a ticket for what has a level, or comments on it; whoever talks to a flagged subject may know of it."""
    warnings = [(clock, clock.due_on, _warning(clock, due)) for clock, due in dues if due.level]
    await _open(fulfilments, tx, Operation.ESCALATE, warnings)
    flags = [(clock, clock.due_on, {"open": True}) for clock, due in dues if due.name == FLAG]
    await _open(fulfilments, tx, Operation.FLAG, flags)


async def release(fulfilments: Fulfilments, tx: UnitOfWork, stopped: Sequence[Clock]) -> None:
    """The requests are answered: resolve the tickets that they have, and take their flags away."""
    if not stopped:
        return
    requests = [clock.request_id for clock in stopped]
    await fulfilment.cancel(tx, requests)
    for operation in (Operation.ESCALATE, Operation.FLAG):
        begun = await fulfilment.begun(tx, requests, operation)
        ended = [clock for clock in stopped if clock.request_id in begun]
        ends = [(clock, clock.due_on, _end(operation, clock)) for clock in ended]
        await _open(fulfilments, tx, operation, ends)


async def told(fulfilments: Fulfilments, completed: Sequence[Completed], tx: UnitOfWork) -> None:
    """The privacy team has the warning before it, or the flag is set or gone: put on record where.

    What has ended is ended once more where another worker may have begun it meanwhile: it claimed its task before the
    answer.
    """
    for done in completed:
        if done.operation is Operation.FLAG:
            action, how, ended = "deadline.flagged", "open", done.details["open"] is False
            systems: JsonValue = {report.system: report.outcome for report in done.reports}
        else:
            action, how, ended = "deadline.escalated", "level", done.details["level"] == "resolved"
            systems = [report.system for report in done.reports]
        tx.log_evidence(done.request_id, action, {how: done.details[how], "systems": systems})
        if ended and await fulfilment.in_hand(tx, [done.request_id], done.operation):
            await _open(fulfilments, tx, done.operation, [(done, tx.now.date(), done.details)])


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
    rules, zones = policy.milestones, (policy.commitment.controller_zone,)
    last = day + timedelta(days=rules.daily_page_days)
    # Whatever is due by the last day ends by its midnight here, since the controller's zone is one of every request's.
    given = (list(Right), end_of(last, zones), last)
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
    if kind == "digest":
        details = {**details, "lines": [*details["lines"], *await _switched_on(tx)]}
    # Ticket and evidence are found by this in place of a request's id. A task names a right; this is about all of them.
    about = uuid5(NAMESPACE_URL, f"urn:dsr:{kind.replace('_', '-')}:{day.isoformat()}")
    details = {"level": kind, **details}
    ticket = NewFulfilment(about, about, Right.ACCESS, Operation.ESCALATE, day, details, searches=False)
    await fulfilments.open_all(tx, [ticket])
    return True


async def _switched_on(tx: UnitOfWork) -> list[str]:
    """Of whom systems that were switched on had something while they only observed, by request alone."""
    lines = []
    for system in await to_announce(tx.connection):
        had = [each for each in await findings(tx.connection, system) if each.found]
        listed = ", ".join(str(each.request_id) for each in had[-LISTED:])
        more = f" and {len(had) - LISTED} more" if len(had) > LISTED else ""
        lines.append(f"{system} was switched on; before, it had something of: {listed or 'nobody'}{more}")
    return lines


async def _open(
    fulfilments: Fulfilments, tx: UnitOfWork, operation: Operation, about: Iterable[tuple[Concerned, date, Details]]
) -> None:
    # Only a flag that is set searches for the subject; it is found by the request when it is taken away.
    opened = [
        NewFulfilment(
            *(each.request_id, each.subject_ref, each.right, operation, due_on, details),
            searches=bool(details.get("open")),
        )
        for each, due_on, details in about
    ]
    if opened and fulfilments.plans[operation]:
        await fulfilments.open_all(tx, opened)


def _warning(clock: Clock, due: Due) -> Details:
    details: dict[str, JsonValue] = {"level": due.level, "due_on": clock.due_on.isoformat()}
    if due.name in {*STEPS, ESCALATION}:
        details["target_on"] = due.day.isoformat()
    return details | ({"escalate_to": [*due.escalate_to]} if due.escalate_to else {})


def _end(operation: Operation, clock: Clock) -> Details:
    return {"open": False} if operation is Operation.FLAG else {"level": "resolved", "outcome": clock.outcome}
