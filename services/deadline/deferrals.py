"""Deferred erasures (Art. 17(3)): when what a system had to keep may go, and that it may once that day is over.

What is kept by rule goes row by row, so its day is the first on which any of it may go. A rule that becomes shorter
moves that day at once, and one that becomes longer never: people were told the other (REQ-R7).
"""

import logging
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from functools import partial
from uuid import UUID

from pydantic import JsonValue

from services.deadline import repository
from services.deadline.clock import Clock, Due
from shared.domain.events import FulfilmentBlocked, FulfilmentCompleted, RetryDecided
from shared.domain.holds import LEGAL_HOLD
from shared.domain.operations import Kept, Operation, TaskOutcome, TaskReport
from shared.domain.policy import Policy, release
from shared.domain.rights import Right
from shared.domain.time_limit import end_of
from shared.domain.time_limit_policy import TimeLimitPolicy
from shared.messaging.unit_of_work import UnitOfWork

log = logging.getLogger(__name__)

Told = tuple[Clock, Due]

INCIDENT = timedelta(hours=24)
"""A deferred erasure that is due for longer and not executed is an incident (REQ-R8)."""


async def track(zone: str, events: Sequence[FulfilmentCompleted | FulfilmentBlocked], tx: UnitOfWork) -> None:
    """Keeps in mind what each system had to keep, and until when; what was erased after all is done.

    A day ends where the controller is: ``zone``.
    """
    reports = [
        (event.request_id, report)
        for event in events
        if event.right is Right.ERASURE and event.operation == Operation.ERASE
        for report in event.tasks
        if report.operation == Operation.ERASE
    ]
    if not reports:
        return
    requests = [request_id for request_id, _ in reports]
    known = await repository.known_deferrals(tx.connection, requests)
    withdrawn = await repository.withdrawn(tx.connection, requests)
    for request_id, report in reports:
        place = (request_id, report.system)
        task_id, state = known.get(place, (None, None))
        if request_id in withdrawn or (task_id is not None and report.task_id <= task_id):
            continue
        if report.outcome == TaskOutcome.RETAINED:
            state = await _keep(tx, request_id, report, zone, again=task_id is not None)
            known[place] = (report.task_id, state)
        elif report.outcome and state not in {None, "done"}:
            await repository.set_deferrals(tx.connection, [place], "done")
            tx.log_evidence(request_id, "erasure.executed", {"system": report.system, "outcome": report.outcome})


async def _keep(tx: UnitOfWork, request_id: UUID, report: TaskReport, zone: str, *, again: bool) -> str:
    """Schedules the erasure, or holds it where nobody knows a day: none was named, or again one that is over."""
    due_at = _due_at(report, zone, tx.policy, tx.policy.today(tx.now))
    state = "held" if due_at is None or (again and due_at <= tx.now) else "scheduled"
    ground = report.ground or "not_named"
    await repository.put_deferral(tx.connection, request_id, report, ground, due_at, state, tx.policy.version)
    until = report.until.isoformat() if report.until else None
    detail: dict[str, JsonValue] = {"system": report.system, "ground": ground, "until": until, "state": state}
    if report.kept:
        detail["kept"] = [each.model_dump(mode="json", exclude_none=True) for each in report.kept]
    tx.log_evidence(request_id, "erasure.deferred", detail)
    if state == "held":
        waits = (request_id, Operation.ERASE, report.system, state)
        tx.after_commit(partial(log.warning, "request %s waits for a person: %s in %s: %s", *waits))
    return state


def _due_at(report: TaskReport, zone: str, policy: Policy, today: date) -> datetime | None:
    """When the first day is over on which any of it, or something of a row, may go; None: of nothing anybody knows.

    What a legal hold keeps beside it is asked for again when that is lifted; what says no day is a person's matter, and
    holds up none of the rest.
    """
    if not report.kept:
        return end_of(report.until, (zone,)) if report.until else None
    ruled = [each for each in report.kept if each.rule != LEGAL_HOLD]
    ends = (_end_of(each, policy, today) for each in ruled or report.kept)
    return min((end for end in ends if end is not None), default=None)


def _end_of(kept: Kept, policy: Policy, today: date) -> datetime | None:
    """The end of the first day on which it goes or is reduced, here and where its rule counts, as told or as now.

    A rule that nobody has signed lets nothing go earlier.
    """
    if kept.first is None:
        return None
    rule, days = policy.rule(kept.rule), [kept.first, *((kept.reduced,) if kept.reduced else ())]
    if rule and rule.period and kept.anchor and rule.signed(today):
        days.append(release(rule.period, kept.anchor, policy.zone_of(rule)).last_day)
    zones = {policy.controller.zone} | ({policy.zone_of(rule)} if rule else set())
    return max(end_of(min(days), (each,)) for each in zones)


async def redate(tx: UnitOfWork, _until: datetime, limit: int, _policy: TimeLimitPolicy) -> tuple[int, Sequence[Told]]:
    """Moves what a shorter rule of another version of the policy lets go earlier; of up to so many systems.

    A day that would have been past already is now: nobody was late.
    """
    version, today = tx.policy.version, tx.policy.today(tx.now)
    found = await repository.of_other_policies(tx.connection, version, limit)
    moved = []
    for request_id, system, kept, due_at in found:
        ends = [_end_of(Kept.model_validate(each), tx.policy, today) for each in kept]
        earliest = min((each for each in ends if each is not None), default=due_at)
        moved.append((request_id, system, min(due_at, max(earliest, tx.now))))
        if earliest < due_at:
            tx.log_evidence(request_id, "erasure.redated", {"system": system, "policy": version})
    await repository.move_deferrals(tx.connection, version, moved)
    return len(found), ()


async def let_go(events: Sequence[RetryDecided], tx: UnitOfWork) -> None:
    """A person has decided that what is held without a day may go now; only once the request was answered."""
    for request_id, system in await repository.let_go(tx.connection, [event.request_id for event in events], tx.now):
        tx.log_evidence(request_id, "erasure.let_go", {"system": system})
