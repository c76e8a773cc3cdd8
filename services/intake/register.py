"""The register of requests: reading them back, and moving them on."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg
import orjson
from pydantic import JsonValue

from services.intake.request import Request, State
from shared.domain.events import QuestionAnswered, RequestClosed, TaskReport
from shared.domain.rights import Outcome, Right
from shared.messaging.unit_of_work import UnitOfWork
from shared.runtime.metrics import CLOSED, OPEN_SECONDS
from shared.storage.postgres import Connection

_READ = (
    'SELECT request_id, subject_ref, "right", state, scope, channel, received_at, accepted_at, due_on,'
    " outcome, responded_at, closed_at, role, calc_version, key_id, package_id, tasks, warning,"
    " zones, calendar, extended, question_id, finished,"
    " COALESCE(asked_at, accepted_at) AS asked_at, last_notice_at, resumable, resumed FROM request"
)
_WRITE = """
UPDATE request r SET state = w.state, outcome = w.outcome, responded_at = w.responded_at, closed_at = w.closed_at,
                     package_id = COALESCE(w.package_id, r.package_id), tasks = COALESCE(w.tasks::jsonb, r.tasks),
                     due_on = w.due_on, extended = w.extended, question_id = w.question_id, finished = w.finished,
                     asked_at = w.asked_at, last_notice_at = w.last_notice_at, resumable = w.resumable,
                     resumed = w.resumed, warning = w.warning
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[], $5::timestamptz[], $6::uuid[], $7::text[],
            $8::date[], $9::boolean[], $10::uuid[], $11::text[], $12::timestamptz[], $13::timestamptz[],
            $14::boolean[], $15::boolean[], $16::text[])
     AS w (request_id, state, outcome, responded_at, closed_at, package_id, tasks, due_on, extended, question_id,
           finished, asked_at, last_notice_at, resumable, resumed, warning)
WHERE r.request_id = w.request_id
"""


@dataclass(frozen=True, slots=True)
class OpenQuestion:
    """A question to the requester that has no answer; ``last_notice_at``: they were told that we go on without."""

    question_id: UUID
    asked_at: datetime
    last_notice_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Filed:
    """A request as it is on file, with who submitted it and what its downstreams reported.

    ``question``: what the requester has yet to answer; ``finished``: the work ended meanwhile, with that outcome;
    ``resumed``: a late answer has reopened it, and its due date follows from that.
    """

    request: Request
    key_id: str
    package_id: UUID | None = None
    tasks: list[dict[str, object]] | None = None
    warning: str | None = None
    zones: tuple[str, ...] = ()
    calendar: str = ""
    extended: bool = False
    question: OpenQuestion | None = None
    finished: Outcome | None = None
    calc_version: str = ""
    resumed: bool = False

    @property
    def given_up(self) -> bool:
        """Whether the requester was told that we go on without their answer, and that they may resume at any time."""
        return self.question is not None and self.question.last_notice_at is not None

    @property
    def awaits_reply(self) -> bool:
        """Whether an answer about what the requester means is still of use."""
        over = self.request.state is State.CLOSED and not self.request.resumable
        return self.question is not None and not self.request.lacks_identity and not over

    def comes_to(self, work: Outcome) -> Outcome:
        """What finished work amounts to: a part of the whole, where a question stays without an answer."""
        return Outcome.PARTIALLY_FULFILLED if self.given_up else work


async def read(connection: Connection, request_id: UUID) -> Filed | None:
    """The request with that id, if there is one."""
    row = await connection.fetchrow(f"{_READ} WHERE request_id = $1", request_id)
    return _filed(row) if row else None


async def hold(tx: UnitOfWork, request_ids: Iterable[UUID]) -> dict[UUID, Filed]:
    """These requests, locked in one order until the transaction ends."""
    rows = await tx.connection.fetch(
        f"{_READ} WHERE request_id = ANY($1) ORDER BY request_id FOR UPDATE", list(set(request_ids))
    )
    return {row[0]: _filed(row) for row in rows}


async def write(tx: UnitOfWork, filed: Sequence[Filed]) -> None:
    """Puts back what was held and has moved on; of a request that moved twice, where it came to."""
    filed = list({f.request.request_id: f for f in filed}.values())
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
        [f.question.question_id if f.question else None for f in filed],
        [f.finished for f in filed],
        [f.question.asked_at if f.question else None for f in filed],
        [f.question.last_notice_at if f.question else None for f in filed],
        [f.request.resumable for f in filed],
        [f.resumed for f in filed],
        [f.warning for f in filed],
    )


async def warn(tx: UnitOfWork, warnings: Mapping[UUID, str]) -> None:
    """Shows a milestone of the deadline with each of these requests that is still open."""
    await tx.connection.execute(
        "UPDATE request r SET warning = w.warning FROM unnest($1::uuid[], $2::text[]) AS w (request_id, warning)"
        " WHERE r.request_id = w.request_id AND r.state <> 'closed'",
        list(warnings),
        list(warnings.values()),
    )


async def warn_of_target(tx: UnitOfWork, targets: Mapping[UUID, str]) -> None:
    """Shows a missed target with each of these requests that is still open and has no warning of its deadline."""
    await tx.connection.execute(
        "UPDATE request r SET warning = 'target_' || t.target FROM unnest($1::uuid[], $2::text[]) AS t (id, target)"
        r" WHERE r.request_id = t.id AND r.state <> 'closed' AND (r.warning IS NULL OR r.warning LIKE 'target\_%')",
        list(targets),
        list(targets.values()),
    )


def close(tx: UnitOfWork, filed: Filed, outcome: Outcome, actor: str | None = None) -> Request:
    """The request with its answer given; says so on the bus and on record.

    Whoever was told that they may resume it at any time may do so, however it ended; not if they withdrew it, nor if a
    customer of ours is to answer.
    """
    resumable = filed.given_up and outcome not in {Outcome.WITHDRAWN, Outcome.FORWARDED}
    request = filed.request.answered(outcome, tx.now, resumable=resumable)
    detail: dict[str, JsonValue] = {"right": request.right, "outcome": outcome}
    tx.log_evidence(request.request_id, "request.closed", detail | ({"resumable": True} if resumable else {}), actor)
    tx.publish(
        RequestClosed(
            request_id=request.request_id,
            occurred_at=tx.now,
            right=request.right,
            subject=request.subject_ref,
            outcome=outcome,
            responded_at=tx.now,
            resumable=resumable,
        )
    )
    CLOSED.labels(request.right, outcome).inc()
    OPEN_SECONDS.labels(request.right).observe((tx.now - request.accepted_at).total_seconds())
    return request


def answered(tx: UnitOfWork, filed: Filed, actor: str, received_at: datetime | None = None) -> None:
    """Says that the open question of a request was answered, if one is open."""
    if filed.question is None:
        return
    request, received_at = filed.request, received_at or tx.now
    tx.log_evidence(request.request_id, "question.answered", {"received_at": received_at.isoformat()}, actor)
    tx.publish(
        QuestionAnswered(
            request_id=request.request_id,
            occurred_at=tx.now,
            right=request.right,
            question_id=filed.question.question_id,
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
        resumable=row["resumable"],
        role=row["role"],
    )
    question_id: UUID | None = row["question_id"]
    return Filed(
        request,
        row["key_id"],
        row["package_id"],
        row["tasks"],
        row["warning"],
        tuple(row["zones"]),
        row["calendar"],
        row["extended"],
        OpenQuestion(question_id, row["asked_at"], row["last_notice_at"]) if question_id else None,
        Outcome(row["finished"]) if row["finished"] else None,
        calc_version=row["calc_version"],
        resumed=row["resumed"],
    )
