"""Schedules deferred erasures (Art. 17(3)): publishes when a system may no longer retain data.

Each row has its own day, so the first of them is scheduled. A shorter rule moves that day immediately. A longer rule
never does, since the letter named the earlier day (REQ-R7).
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from functools import partial
from itertools import groupby
from operator import itemgetter
from uuid import UUID

from pydantic import JsonValue

from services.deadline import repository
from services.deadline.clock import Timer
from shared.domain.events import FulfilmentBlocked, FulfilmentCompleted, RetryRequested, TimerFired, TimerKind
from shared.domain.holds import LEGAL_HOLD
from shared.domain.operations import Kept, Operation, TaskOutcome, TaskReport
from shared.domain.policy import Policy, release
from shared.domain.rights import Outcome, Right
from shared.domain.time_limit import end_of
from shared.messaging.unit_of_work import UnitOfWork

log = logging.getLogger(__name__)

INCIDENT = timedelta(hours=24)
"""The time after which an overdue deferred erasure is an incident (REQ-R8)."""

_DONE = ("done",)


async def track(events: Sequence[FulfilmentCompleted | FulfilmentBlocked], tx: UnitOfWork) -> None:
    """Records what each system retains and until when, and what was erased later."""
    reports = [
        (event.request_id, report)
        for event in events
        if event.right is Right.ERASURE and event.operation == Operation.ERASE
        for report in event.tasks
        if report.operation == Operation.ERASE and report.outcome
    ]
    requests = list({request_id for request_id, _ in reports})
    if not requests:
        return
    found = await repository.timers_of(tx.connection, requests, [TimerKind.RETENTION])
    known = {(about, timer.ref): timer for about, timer in found}
    clocks = await repository.of(tx.connection, requests)
    dropped = {about for about, clock in clocks.items() if clock.outcome in {Outcome.WITHDRAWN, Outcome.REFUSED}}
    for request_id, report in reports:
        timer = known.get((request_id, report.system))
        if request_id in dropped or (timer and str(report.task_id) <= (timer.detail or {})["task_id"]):
            continue
        if report.outcome == TaskOutcome.RETAINED:
            known[request_id, report.system] = await _keep(tx, request_id, report, again=timer is not None)
        elif timer and timer.reported != _DONE:
            done = replace(timer, due_at=None, reported=_DONE)
            await repository.put_timers(tx.connection, [(request_id, done)])
            tx.log_evidence(request_id, "erasure.executed", {"system": report.system, "outcome": report.outcome})


async def _keep(tx: UnitOfWork, request_id: UUID, report: TaskReport, *, again: bool) -> Timer:
    """Schedules the erasure; leaves it to an officer if no day is known, or if the day has passed before."""
    due_at = _due_at(report, tx.policy, tx.policy.today(tx.now))
    open_ended = due_at is None or (again and due_at <= tx.now)
    kept = [each.model_dump(mode="json", exclude_none=True) for each in report.kept or ()]
    detail = {"task_id": str(report.task_id), "kept": kept, "policy": tx.policy.version}
    timer = Timer(TimerKind.RETENTION, report.system, None if open_ended else due_at, (), detail)
    await repository.put_timers(tx.connection, [(request_id, timer)])
    ground, until = report.ground or "not_named", report.until.isoformat() if report.until else None
    state = "held" if open_ended else "scheduled"
    said: dict[str, JsonValue] = {"system": report.system, "ground": ground, "until": until, "state": state}
    tx.log_evidence(request_id, "erasure.deferred", said | ({"kept": [*kept]} if kept else {}))
    if open_ended:
        waits = (request_id, report.system)
        tx.after_commit(partial(log.warning, "retained data needs a decision request_id=%s system=%s", *waits))
    return timer


def _due_at(report: TaskReport, policy: Policy, today: date) -> datetime | None:
    """Returns the end of the first day on which some of the data may go; None if no day is known.

    Data under a legal hold are asked for again when the hold ends. Data without a day do not delay the others.
    """
    if not report.kept:
        return end_of(report.until, (policy.controller.zone,)) if report.until else None
    ruled = [each for each in report.kept if each.rule != LEGAL_HOLD]
    ends = (_end_of(each, policy, today) for each in ruled or report.kept)
    return min((end for end in ends if end is not None), default=None)


def _end_of(kept: Kept, policy: Policy, today: date) -> datetime | None:
    """Returns the end of the first day on which the data go or are reduced, in our zone and the rule's zone.

    The day is the earlier one of the letter and today's policy. An unsigned rule does not shorten it. What stays while
    a state lasts is searched again on the review day of its rule.
    """
    rule, days = policy.rule(kept.rule), [each for each in (kept.first, kept.reduced) if each]
    if rule and rule.review and kept.first is None:
        days.append(release(rule.review, today, policy.zone_of(rule)).last_day)
    if rule and rule.period and kept.anchor and rule.signed(today):
        days.append(release(rule.period, kept.anchor, policy.zone_of(rule)).last_day)
    zones = {policy.controller.zone} | ({policy.zone_of(rule)} if rule else set())
    return max(end_of(min(days), (each,)) for each in zones) if days else None


async def redate(tx: UnitOfWork) -> int:
    """Moves up to a thousand timers that a shorter rule of a new policy ends earlier, at the earliest to now."""
    version, today = tx.policy.version, tx.policy.today(tx.now)
    moved = []
    for about, timer in await repository.of_other_policies(tx.connection, version):
        due_at, detail = timer.due_at or tx.now, {**(timer.detail or {}), "policy": version}
        ends = [_end_of(Kept.model_validate(each), tx.policy, today) for each in detail["kept"]]
        earliest = min((each for each in ends if each is not None), default=due_at)
        moved.append((about, replace(timer, due_at=min(due_at, max(earliest, tx.now)), detail=detail)))
        if earliest < due_at:
            tx.log_evidence(about, "erasure.redated", {"system": timer.ref, "policy": version})
    await repository.put_timers(tx.connection, moved)
    return len(moved)


async def let_go(events: Sequence[RetryRequested], tx: UnitOfWork) -> None:
    """Releases data without a day after an officer's decision, if the request was answered."""
    clocks = await repository.of(tx.connection, [event.request_id for event in events])
    answered = [about for about, clock in clocks.items() if clock.responded_at]
    found = await repository.timers_of(tx.connection, answered, [TimerKind.RETENTION])
    freed = [(about, replace(each, due_at=tx.now)) for about, each in found if not each.due_at and not each.reported]
    await repository.put_timers(tx.connection, freed)
    for about, timer in freed:
        tx.log_evidence(about, "erasure.let_go", {"system": timer.ref})


async def fire(tx: UnitOfWork, due: Sequence[tuple[UUID, Timer]]) -> list[tuple[UUID, Timer]]:
    """Publishes for each request the systems that may no longer retain data of its subject."""
    clocks = await repository.of(tx.connection, [about for about, _ in due])
    ordered = sorted(due, key=lambda each: (each[0], each[1].ref))
    for about, group in groupby(ordered, key=itemgetter(0)):
        timers = [timer for _, timer in group]
        systems, due_at = [timer.ref for timer in timers], min(timer.due_at or tx.now for timer in timers)
        due_on = tx.policy.today(due_at)
        detail: dict[str, JsonValue] = {"systems": [*systems], "due_on": due_on.isoformat()}
        tx.traces[about] = clocks[about].traceparent
        tx.log_evidence(about, "erasure.due", detail | {"late": due_at + INCIDENT < tx.now})
        kept = {"kind": TimerKind.RETENTION, "step": "released", "due_on": due_on, "systems": tuple(systems)}
        tx.publish(TimerFired.about(clocks[about], **kept))
    return [(about, replace(timer, reported=("released",))) for about, timer in due]
