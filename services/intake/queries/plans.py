"""Previews an erasure: systems are asked by a dry run, and their answers are kept for a while."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from pydantic import TypeAdapter
from uuid_utils.compat import uuid7

from services.intake.access.auth import Caller
from services.intake.core.errors import NotFound
from services.intake.request import deferrals
from services.intake.request.aggregate import Request
from shared.domain import events
from shared.domain.errors import IllegalTransition, Shredded
from shared.domain.operations import TaskReport
from shared.domain.rights import Right
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage.postgres import Connection

REUSED_FOR: Final = timedelta(minutes=10)
"""For how long a preview is shown again; after that the systems are asked again."""
_LOST: Final = timedelta(minutes=5)
"""So long a dry run is waited for before it is asked for again."""
_TASKS = TypeAdapter(tuple[TaskReport, ...])

_READ = "SELECT plan_id, asked_at, made_at, tasks, policy_version FROM plan WHERE request_id = $1 FOR UPDATE"
_KNOWN = "SELECT asked_at, made_at, tasks FROM plan WHERE request_id = $1 AND plan_id = $2"
_ASK = """
INSERT INTO plan (request_id, plan_id, asked_at, policy_version) VALUES ($1, $2, $3, $4)
ON CONFLICT (request_id) DO UPDATE
SET plan_id = $2, asked_at = $3, policy_version = $4, made_at = NULL, tasks = NULL
"""
_KEEP = "UPDATE plan SET made_at = $3, tasks = $4 WHERE request_id = $1 AND plan_id = $2"


@dataclass(frozen=True, slots=True)
class ErasurePreview:
    """A dry run: when it was asked for, and what came of it, once it is there."""

    plan_id: UUID
    asked_at: datetime
    made_at: datetime | None = None
    tasks: tuple[TaskReport, ...] = ()


async def request_preview(tx: UnitOfWork, request: Request, caller: Caller) -> ErasurePreview:
    """Returns the preview of a request; asks systems if there is none, or it is old or by another policy.

    Of what had to be kept it says until when, for as long as it is: the subject's key is kept with it.

    Raises ``IllegalTransition``, ``Shredded``.
    """
    if request.right is not Right.ERASURE:
        raise IllegalTransition(f"only an erasure has a plan, and this is {request.right}: it removes nothing")
    request.require_controller()
    scheduled = any(map(deferrals.is_retained, request.tasks or ()))
    if request.forgets_its_subject and not scheduled and not request.may_be_done_later:
        raise Shredded("it is done, and its subject is known no more")
    row = await tx.connection.fetchrow(_READ, request.request_id)
    if row is not None and row["policy_version"] == tx.policy.version:
        known = ErasurePreview(
            row["plan_id"], row["asked_at"], row["made_at"], _TASKS.validate_python(row["tasks"] or ())
        )
        since = tx.now - (known.made_at or known.asked_at)
        if since < (REUSED_FOR if known.made_at else _LOST):
            return known
    plan_id = uuid7()
    await tx.connection.execute(_ASK, request.request_id, plan_id, tx.now, tx.policy.version)
    tx.publish(events.PreviewRequested.about(request, plan_id=plan_id))
    tx.log_evidence(request.request_id, "plan.asked", {"plan_id": str(plan_id)}, caller.actor)
    return ErasurePreview(plan_id, tx.now)


async def read(connection: Connection, request_id: UUID, plan_id: UUID) -> ErasurePreview:
    """Returns a dry run, as far as it is there; raises ``NotFound`` if another has taken its place."""
    row = await connection.fetchrow(_KNOWN, request_id, plan_id)
    if row is None:
        raise NotFound("there is no such preview any more: ask for another (POST …/previews)")
    return ErasurePreview(plan_id, row["asked_at"], row["made_at"], _TASKS.validate_python(row["tasks"] or ()))


async def store_previews(tx: UnitOfWork, planned: Sequence[events.ErasurePlanned]) -> None:
    """Keeps the answers of the systems, unless a newer preview was asked for."""
    for event in planned:
        reports = [task.model_dump(mode="json", exclude_none=True) for task in event.tasks]
        kept = await tx.connection.execute(_KEEP, event.request_id, event.plan_id, tx.now, reports)
        if kept == "UPDATE 1":
            systems = sorted({task.system for task in event.tasks})
            tx.log_evidence(event.request_id, "plan.made", {"plan_id": str(event.plan_id), "systems": [*systems]})
