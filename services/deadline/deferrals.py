"""Deferred erasures (Art. 17(3)): what a system had to keep, until when, and that it may go once that day is over."""

import logging
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from uuid import UUID

from services.deadline import repository
from shared.domain.events import FulfilmentBlocked, FulfilmentCompleted, RetryDecided
from shared.domain.operations import Operation, TaskOutcome, TaskReport
from shared.domain.time_limit import end_of
from shared.messaging.unit_of_work import UnitOfWork

log = logging.getLogger(__name__)

INCIDENT = timedelta(hours=24)
"""A deferred erasure that is due for longer and not executed is an incident (REQ-R8)."""


async def track(zone: str, events: Sequence[FulfilmentCompleted | FulfilmentBlocked], tx: UnitOfWork) -> None:
    """Keeps in mind what each system had to keep, and until when; what was erased after all is done.

    A day ends where the controller is: ``zone``.
    """
    reports = [
        (event.request_id, report)
        for event in events
        if event.operation == Operation.ERASE
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
    due_at = end_of(report.until, (zone,)) if report.until else None
    state = "held" if due_at is None or (again and due_at <= tx.now) else "scheduled"
    ground = report.ground or "not_named"
    await repository.put_deferral(tx.connection, request_id, report, ground, due_at, state)
    until = report.until.isoformat() if report.until else None
    detail = {"system": report.system, "ground": ground, "until": until, "state": state}
    tx.log_evidence(request_id, "erasure.deferred", detail)
    if state == "held":
        waits = (request_id, Operation.ERASE, report.system, state)
        tx.after_commit(partial(log.warning, "request %s waits for a person: %s in %s: %s", *waits))
    return state


async def let_go(events: Sequence[RetryDecided], tx: UnitOfWork) -> None:
    """A person has decided that what is held without a day may go now; only once the request was answered."""
    for request_id, system in await repository.let_go(tx.connection, [event.request_id for event in events], tx.now):
        tx.log_evidence(request_id, "erasure.let_go", {"system": system})
