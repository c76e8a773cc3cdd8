"""Previews an erasure for the deciding officer: a dry run in every system that changes nothing."""

from collections.abc import Sequence
from functools import partial

from uuid_utils.compat import uuid7

from services.erasure import keys
from shared.app.service import Service
from shared.domain.errors import NotSupported
from shared.domain.events import ErasurePlanned, PreviewRequested
from shared.domain.operations import Operation, TaskReport
from shared.domain.rights import Right
from shared.fulfilment.fulfilments import Fulfilments, system_state
from shared.fulfilment.store import FulfilmentResult, NewFulfilment
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage.systems import REQUIRED_STATES, read_systems

# Tasks that a worker already runs end without effect.
_OLD = """
WITH old AS (
    UPDATE fulfilment SET state = 'cancelled' WHERE request_id = ANY($1) AND operation = 'plan' AND state = 'open'
    RETURNING fulfilment_id
)
UPDATE task t SET state = 'cancelled' FROM old
WHERE t.fulfilment_id = old.fulfilment_id AND t.state IN ('waiting', 'ready')
"""
_OPEN = "SELECT request_id FROM fulfilment WHERE request_id = ANY($1) AND operation = 'plan' AND state = 'open'"
_CANNOT_SAY = "it has no way to say beforehand what it would erase"


def join(service: Service) -> None:
    """Subscribes the handlers of previews."""
    service.on(PreviewRequested, partial(plan, service.fulfilments), right=Right.ERASURE)
    service.add_worker(Operation.PLAN, concludes=partial(planned, service.fulfilments))


async def plan(fulfilments: Fulfilments, events: Sequence[PreviewRequested], tx: UnitOfWork) -> None:
    """Opens a dry run in every system; the latest one of a request replaces any other."""
    latest = {event.request_id: event for event in events}
    await tx.connection.execute(_OLD, list(latest))
    promised = await keys.promised_periods(tx, list(latest))
    new_fulfilments = [
        NewFulfilment(
            *(e.request_id, e.subject, e.right, Operation.PLAN, e.due_on),
            {**promised.get(e.request_id, {}), "plan_id": str(e.plan_id)},
            tenant=e.tenant,
        )
        for e in latest.values()
    ]
    await fulfilments.open_all(tx, new_fulfilments)
    opened = {row[0] for row in await tx.connection.fetch(_OPEN, list(latest))}
    if left := [event for event in latest.values() if event.request_id not in opened]:
        silent = await _cannot_say(fulfilments, tx)
        for event in left:
            known = {"request_id": event.request_id, "occurred_at": tx.now, "right": event.right}
            tx.publish(ErasurePlanned.model_validate({**known, "plan_id": event.plan_id, "tasks": silent}))


async def planned(fulfilments: Fulfilments, completed: Sequence[FulfilmentResult], tx: UnitOfWork) -> None:
    """Publishes the preview, including the systems that cannot preview."""
    silent = await _cannot_say(fulfilments, tx)
    for done in completed:
        asked = [report for report in done.reports if report.operation == Operation.PLAN or report.failure]
        tx.publish(ErasurePlanned.about(done, plan_id=done.details["plan_id"], tasks=(*asked, *silent)))


async def _cannot_say(fulfilments: Fulfilments, tx: UnitOfWork) -> list[TaskReport]:
    """Returns reports of the active systems that erase but cannot preview."""
    known = await read_systems(tx.connection)
    erasing, planning = (
        {step.system for stage in fulfilments.stages_of.get(verb, ()) for step in stage if step.operation is verb}
        for verb in (Operation.ERASE, Operation.PLAN)
    )
    said = {"operation": Operation.PLAN, "outcome": None, "failure": NotSupported.code, "sentence": _CANNOT_SAY}
    return [
        TaskReport.model_validate({"task_id": uuid7(), "system": system, **said})
        for system in sorted(erasing - planning)
        if system_state(known, system) in REQUIRED_STATES
    ]
