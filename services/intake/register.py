"""The register of requests: reading them back, and moving them on."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg
import orjson

from services.intake.request import Request, State
from shared.events import QuestionAnswered, RequestClosed, TaskReport
from shared.metrics import CLOSED, OPEN_SECONDS
from shared.postgres import Connection
from shared.rights import Outcome, Right
from shared.transaction import Transaction

_READ = (
    'SELECT request_id, subject_ref, "right", state, scope, channel, received_at, accepted_at, due_on,'
    " outcome, responded_at, closed_at, key_id, package_id, tasks, warning,"
    " zones, calendar, extended, question_id, finished FROM request"
)
_WRITE = """
UPDATE request r SET state = w.state, outcome = w.outcome, responded_at = w.responded_at, closed_at = w.closed_at,
                     package_id = COALESCE(w.package_id, r.package_id), tasks = COALESCE(w.tasks::jsonb, r.tasks),
                     due_on = w.due_on, extended = w.extended, question_id = w.question_id, finished = w.finished
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[], $5::timestamptz[], $6::uuid[], $7::text[],
            $8::date[], $9::boolean[], $10::uuid[], $11::text[])
     AS w (request_id, state, outcome, responded_at, closed_at, package_id, tasks, due_on, extended, question_id,
           finished)
WHERE r.request_id = w.request_id
"""


@dataclass(frozen=True, slots=True)
class Filed:
    """A request as it is on file, with who submitted it and what its downstreams reported.

    ``question_id``: a question to the requester is open; ``finished``: the work ended meanwhile, with that outcome.
    """

    request: Request
    key_id: str
    package_id: UUID | None = None
    tasks: list[dict[str, object]] | None = None
    warning: str | None = None
    zones: tuple[str, ...] = ()
    calendar: str = ""
    extended: bool = False
    question_id: UUID | None = None
    finished: Outcome | None = None


async def read(connection: Connection, request_id: UUID) -> Filed | None:
    """The request with that id, if there is one."""
    row = await connection.fetchrow(f"{_READ} WHERE request_id = $1", request_id)
    return _filed(row) if row else None


async def hold(tx: Transaction, request_ids: Iterable[UUID]) -> dict[UUID, Filed]:
    """These requests, locked in one order until the transaction ends."""
    rows = await tx.connection.fetch(
        f"{_READ} WHERE request_id = ANY($1) ORDER BY request_id FOR UPDATE", list(set(request_ids))
    )
    return {row[0]: _filed(row) for row in rows}


async def write(tx: Transaction, filed: Sequence[Filed]) -> None:
    """Puts back what was held and has moved on."""
    await tx.connection.execute(
        _WRITE,
        [f.request.request_id for f in filed],
        [f.request.state for f in filed],
        [f.request.outcome for f in filed],
        [f.request.responded_at for f in filed],
        [f.request.closed_at for f in filed],
        [f.package_id for f in filed],
        [orjson.dumps(f.tasks).decode() if f.tasks is not None else None for f in filed],
        [f.request.due_on for f in filed],
        [f.extended for f in filed],
        [f.question_id for f in filed],
        [f.finished for f in filed],
    )


async def warn(tx: Transaction, warnings: Mapping[UUID, str]) -> None:
    """Shows a milestone of the deadline with each of these requests that is still open."""
    await tx.connection.execute(
        "UPDATE request r SET warning = w.warning FROM unnest($1::uuid[], $2::text[]) AS w (request_id, warning)"
        " WHERE r.request_id = w.request_id AND r.state <> 'closed'",
        list(warnings),
        list(warnings.values()),
    )


async def warn_of_target(tx: Transaction, targets: Mapping[UUID, str]) -> None:
    """Shows a missed target with each of these requests that is still open and has no warning of its deadline."""
    await tx.connection.execute(
        "UPDATE request r SET warning = 'target_' || t.target FROM unnest($1::uuid[], $2::text[]) AS t (id, target)"
        r" WHERE r.request_id = t.id AND r.state <> 'closed' AND (r.warning IS NULL OR r.warning LIKE 'target\_%')",
        list(targets),
        list(targets.values()),
    )


def close(tx: Transaction, filed: Filed, outcome: Outcome, actor: str | None = None) -> Request:
    """The request with its answer given; says so on the bus and on record."""
    request = filed.request.answered(outcome, tx.now)
    tx.record(request.request_id, "request.closed", {"right": request.right, "outcome": outcome}, actor)
    tx.publish(
        RequestClosed(
            request_id=request.request_id,
            occurred_at=tx.now,
            right=request.right,
            subject=request.subject_ref,
            outcome=outcome,
            responded_at=tx.now,
        )
    )
    CLOSED.labels(request.right, outcome).inc()
    OPEN_SECONDS.labels(request.right).observe((tx.now - request.accepted_at).total_seconds())
    return request


def answered(tx: Transaction, filed: Filed, actor: str, received_at: datetime | None = None) -> None:
    """Says that the open question of a request was answered, if one is open."""
    if filed.question_id is None:
        return
    request, received_at = filed.request, received_at or tx.now
    tx.record(request.request_id, "question.answered", {"received_at": received_at.isoformat()}, actor)
    tx.publish(
        QuestionAnswered(
            request_id=request.request_id,
            occurred_at=tx.now,
            right=request.right,
            question_id=filed.question_id,
            answered_at=received_at,
        )
    )


def reports(tasks: Sequence[TaskReport]) -> list[dict[str, object]]:
    """Task reports as they are filed."""
    return [report.model_dump(mode="json", exclude_none=True) for report in tasks]


def _filed(row: asyncpg.Record) -> Filed:
    request = Request(
        request_id=row["request_id"],
        subject_ref=row["subject_ref"],
        right=Right(row["right"]),
        state=State(row["state"]),
        scope=row["scope"],
        channel=row["channel"],
        received_at=row["received_at"],
        accepted_at=row["accepted_at"],
        due_on=row["due_on"],
        outcome=Outcome(row["outcome"]) if row["outcome"] else None,
        responded_at=row["responded_at"],
        closed_at=row["closed_at"],
    )
    return Filed(
        request,
        row["key_id"],
        row["package_id"],
        row["tasks"],
        row["warning"],
        tuple(row["zones"]),
        row["calendar"],
        row["extended"],
        row["question_id"],
        Outcome(row["finished"]) if row["finished"] else None,
    )
