"""The task queue: leases tasks, saves progress and writes results; nearest deadline first."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from uuid import UUID

from pydantic import JsonValue

from shared.domain.errors import DsrError, Withdrawn
from shared.domain.operations import Operation, Step, TaskReport
from shared.runtime.settings import WorkSettings
from shared.storage.postgres import Connection


class TaskState(StrEnum):
    """The state of a task; a task that is ``READY`` and due is claimed, and then ``LEASED``."""

    WAITING = "waiting"  # for an earlier stage
    READY = "ready"
    LEASED = "leased"
    DONE = "done"
    FAILED = "failed"  # a person must look
    CANCELLED = "cancelled"


# A process that read another definition than the accepted one, or an unregistered system, works nothing.
_STATE = """coalesce((SELECT CASE hash WHEN $6 THEN state ELSE 'held' END FROM downstreams.system WHERE name = $1),
                   CASE $6 WHEN '' THEN 'on' ELSE 'held' END)"""
_CLAIM = f"""
WITH due AS (
    SELECT task_id, due_on, reaped >= 2 AS alone FROM task
    WHERE system = $1 AND operation = $2 AND state = 'ready' AND not_before <= $3
      AND {_STATE} IN ('on', 'observe') AND observes = ({_STATE} = 'observe')
      AND EXISTS (SELECT 1 FROM worker_process WHERE process_id = $5)
    ORDER BY due_on, task_id LIMIT $4 FOR UPDATE SKIP LOCKED
), first AS (SELECT * FROM due ORDER BY due_on, task_id LIMIT 1)
UPDATE task
SET state = CASE WHEN f.state = 'cancelled' OR task.immediate AND NOT EXISTS (
                     SELECT FROM task next WHERE next.fulfilment_id = task.fulfilment_id AND next.system = $1
                        AND next.operation = $2 AND next.state = 'waiting')
                 THEN 'cancelled' ELSE 'leased' END,
    attempt = attempt + 1, leased_by = $5, not_before = '-infinity',
    progress = CASE WHEN $7 = '' OR progress ? 'store' THEN progress
               ELSE progress || jsonb_build_object('store', $7::text, 'store_attempt', attempt + 1) END
FROM due, first, fulfilment f
WHERE task.task_id = due.task_id AND f.fulfilment_id = task.fulfilment_id
  AND (due.task_id = first.task_id OR NOT (due.alone OR first.alone))
RETURNING task.state, task.task_id, task.fulfilment_id, task.attempt, task.progress, task.failure, task.due_on,
          f.request_id, f.subject_ref, f."right", f.searches, f.details, f.traceparent,
          (extract(epoch FROM f.opened_at) * 1000000)::bigint, task.stage, f.confirmed,
          f.operation, task.observes, task.immediate
"""  # noqa: S608  # constants

_NOTE = """
UPDATE task SET progress = task.progress || n.progress
FROM unnest($1::uuid[], $2::int[], $3::jsonb[]) AS n (task_id, attempt, progress), fulfilment f
WHERE task.task_id = n.task_id AND task.attempt = n.attempt AND task.state = 'leased'
  AND f.fulfilment_id = task.fulfilment_id
RETURNING f.state = 'cancelled'
"""
# Where nothing is noted nothing is written: an adapter that only asks may ask often.
_CHECK_WITHDRAWN = """
SELECT f.state = 'cancelled'
FROM unnest($1::uuid[], $2::int[], $3::jsonb[]) AS n (task_id, attempt, progress)
JOIN task USING (task_id, attempt) JOIN fulfilment f USING (fulfilment_id) WHERE task.state = 'leased'
"""

# A reply that came while the task was in hand has set its not_before: then it is due again immediately.
_CONCLUDE = """
UPDATE task
SET state = r.state, receipt = r.receipt, failure = r.failure, why = r.why, leased_by = NULL, reaped = 0,
    not_before = CASE WHEN task.not_before = '-infinity' THEN r.not_before ELSE $8::timestamptz END
FROM unnest($1::uuid[], $2::int[], $3::text[], $4::jsonb[], $5::text[], $6::jsonb[], $7::timestamptz[])
     AS r (task_id, attempt, state, receipt, failure, why, not_before)
WHERE task.task_id = r.task_id AND task.attempt = r.attempt AND task.state = 'leased'
RETURNING task.task_id
"""

# What is put back, or waits for a person, follows a due date that moved while it was in hand.
_FOLLOW = """
UPDATE task SET due_on = f.due_on FROM fulfilment f
WHERE task_id = ANY($1) AND f.fulfilment_id = task.fulfilment_id AND f.due_on <> task.due_on
"""

# A process that renews now waits for the deletion, and then finds its lease lost. After a start of the database, every
# process gets time to come back. A task whose process died twice is claimed alone, and then after pauses.
_REAP = """
WITH silent AS (
    DELETE FROM worker_process WHERE alive_until < now() AND pg_postmaster_start_time() < now() - $4::interval
    RETURNING process_id
)
UPDATE task
SET state = 'ready', leased_by = NULL, reaped = reaped + 1,
    not_before = CASE WHEN reaped < 2 THEN not_before ELSE
        $1::timestamptz + least($3::float8, $2::float8 * 2 ^ least(reaped, 30)) * interval '1 second' END
WHERE task_id IN (
    SELECT task_id FROM task t WHERE state = 'leased' AND leased_by IS NOT NULL
       AND (leased_by IN (SELECT process_id FROM silent)
            OR NOT EXISTS (SELECT FROM worker_process p WHERE p.process_id = t.leased_by)) FOR UPDATE SKIP LOCKED
)
RETURNING system, operation
"""


_BACKLOG = """
SELECT s.system, s.operation, r.tasks, r.oldest FROM unnest($1::text[], $2::text[]) AS s (system, operation), LATERAL (
    SELECT count(*) AS tasks, min(task_id::text)::uuid AS oldest FROM (
        SELECT task_id FROM task t WHERE t.system = s.system AND t.operation = s.operation
           AND t.state = 'ready' AND NOT t.observes ORDER BY t.due_on, t.task_id LIMIT $3) AS ready) r
"""


class LeaseLost(DsrError):
    """Another worker has taken the task over, so this one's result does not count."""


@dataclass(slots=True)
class LeasedTask:
    """A leased task with the facts of its fulfilment.

    ``opened``: when its fulfilment was opened, in µs. ``failure``: why the last attempt failed.
    ``confirmed``: approved counts, by system and limit. ``fulfils``: the operation of its fulfilment.
    ``observes``: the system is only searched, without an effect. ``immediate``: it belongs to no stage.
    """

    task_id: UUID
    fulfilment_id: UUID
    attempt: int
    progress: Mapping[str, JsonValue]
    failure: str | None
    due_on: date
    request_id: UUID
    subject_ref: UUID
    right: str
    searches: bool
    details: Mapping[str, JsonValue]
    traceparent: str | None
    opened: int
    stage: int
    confirmed: Mapping[str, Mapping[str, int]]
    fulfils: str
    observes: bool = False
    immediate: bool = False
    step: Step = field(kw_only=True)

    @property
    def repair(self) -> bool:
        """Whether it only repairs a difference that reconciliation found."""
        return bool(self.details.get("repair"))


@dataclass(slots=True)
class Conclusion:
    """The new state of a claimed task; ``READY``: try again, not before ``not_before``.

    ``why``: the sentence of a failure, and the limit that stopped it. ``receipt``: the report as it is stored.
    """

    task: LeasedTask
    state: TaskState
    report: TaskReport | None
    failure: str | None
    not_before: datetime
    why: Mapping[str, JsonValue] | None = None
    receipt: dict[str, JsonValue] | None = field(init=False)

    def __post_init__(self) -> None:
        self.receipt = self.report.model_dump(mode="json", exclude_none=True) if self.report else None


async def claim(
    connection: Connection,
    step: tuple[str, str],
    limit: int,
    now: datetime,
    holder: UUID,
    fingerprint: str = "",
    store: str = "",
) -> list[LeasedTask]:
    """Leases up to ``limit`` tasks of one (system, operation), nearest deadline first; withdrawn ones end here.

    Returns none if the holder has no lease, or if the system is not enabled with that definition (``fingerprint``;
    empty: it comes from no file). Of an observing system, only searches are leased.
    A task whose process died twice comes alone. ``store``: the store to be changed, noted with the first attempt.
    """
    rows = await connection.fetch(_CLAIM, step[0], step[1], now, limit, holder, fingerprint, store)
    typed_step = Step(step[0], Operation(step[1]))
    leased = [LeasedTask(*tuple(row)[1:], step=typed_step) for row in rows if row["state"] == TaskState.LEASED]
    return sorted(leased, key=lambda task: (task.due_on, task.task_id))


async def register(connection: Connection, holder: UUID, lease: timedelta) -> None:
    """Begins the lease of a process."""
    await connection.execute(
        "INSERT INTO worker_process (process_id, alive_until) VALUES ($1, now() + $2)", holder, lease
    )


async def renew(connection: Connection, holder: UUID, lease: timedelta) -> bool:
    """Renews the lease of a process; returns false if it was lost."""
    status = await connection.execute(
        "UPDATE worker_process SET alive_until = now() + $2 WHERE process_id = $1", holder, lease
    )
    return bool(status == "UPDATE 1")


async def unregister(connection: Connection, holder: UUID) -> None:
    """Ends the lease of a process; other processes take over its tasks immediately."""
    await connection.execute("DELETE FROM worker_process WHERE process_id = $1", holder)


async def save_progress(
    connection: Connection, attempts: Mapping[UUID, int], progress: Mapping[UUID, Mapping[str, JsonValue]]
) -> None:
    """Stores the progress of leased tasks before their next step.

    Raises:
        LeaseLost: another worker has taken one of them over.
        Withdrawn: the request of one of them was withdrawn meanwhile.
    """
    withdrawn = await connection.fetch(
        _NOTE if any(progress.values()) else _CHECK_WITHDRAWN,
        list(progress),
        [attempts[task_id] for task_id in progress],
        [dict(noted) for noted in progress.values()],
    )
    if len(withdrawn) != len(progress):
        message = "a task was taken over by another worker before its progress was noted"
        raise LeaseLost(message)
    if any(row[0] for row in withdrawn):
        message = "the request was withdrawn before this step"
        raise Withdrawn(message)


async def store_reply(
    connection: Connection,
    system: str,
    task_id: UUID,
    progress: Mapping[str, JsonValue],
    now: datetime,
    late: tuple[str, int] = ("", 0),
) -> tuple[str, str] | None:
    """Adds a team's answer to its task and makes it due immediately; returns its (system, operation).

    ``late``: a command, and the rows that its erasure found. They count if that command is no longer awaited, since
    the task has failed or was asked again.
    """
    row = await connection.fetchrow(
        "UPDATE task SET progress = progress || $3 || CASE"
        " WHEN $6 > 0 AND (state = 'failed' OR progress #>> '{asked,command}' <> $5)"
        " THEN jsonb_build_object('found', greatest($6, (progress ->> 'found')::int)) ELSE '{}' END, not_before = $4"
        " WHERE task_id = $1 AND system = $2 AND state IN ('ready', 'leased', 'failed')"
        " RETURNING system, operation, state",
        task_id,
        system,
        dict(progress),
        now,
        *late,
    )
    return (row[0], row[1]) if row and row[2] != "failed" else None


async def belongs_to_service(connection: Connection, task_id: UUID) -> bool:
    """Returns whether a task belongs to this service."""
    return bool(await connection.fetchval("SELECT EXISTS (SELECT FROM task WHERE task_id = $1)", task_id))


async def count_malformed(connection: Connection, system: str, task_id: UUID, command_id: UUID) -> None:
    """Counts an unreadable reply to a command of a task; too many fail the task."""
    await connection.execute(
        "UPDATE task SET progress = jsonb_set(progress, '{malformed}', jsonb_build_object('command', $3::text, 'times',"
        " CASE WHEN progress #>> '{malformed,command}' = $3::text THEN (progress #>> '{malformed,times}')::int ELSE 0"
        " END + 1)) WHERE task_id = $1 AND system = $2 AND state IN ('ready', 'leased')",
        task_id,
        system,
        str(command_id),
    )


async def conclude(connection: Connection, conclusions: Sequence[Conclusion], now: datetime) -> set[UUID]:
    """Writes the results of leased tasks; returns the ids of those whose lease still held."""
    rows = await connection.fetch(
        _CONCLUDE,
        [c.task.task_id for c in conclusions],
        [c.task.attempt for c in conclusions],
        [c.state for c in conclusions],
        [c.receipt for c in conclusions],
        [c.failure for c in conclusions],
        [c.why for c in conclusions],
        [c.not_before for c in conclusions],
        now,
    )
    return {row[0] for row in rows}


async def follow_due_dates(connection: Connection, task_ids: Sequence[UUID]) -> None:
    """Gives tasks the due date of their fulfilment, which the caller has locked."""
    if task_ids:
        await connection.execute(_FOLLOW, task_ids)


async def reap(connection: Connection, now: datetime, settings: WorkSettings) -> Counter[tuple[str, str]]:
    """Makes tasks ready again whose process has gone silent; returns how many of each (system, operation)."""
    lease = timedelta(seconds=settings.lease_seconds)
    rows = await connection.fetch(_REAP, now, settings.backoff_seconds, settings.backoff_max_seconds, lease)
    return Counter((row[0], row[1]) for row in rows)


async def backlog(
    connection: Connection, steps: Collection[tuple[str, str]], limit: int = 100_000
) -> dict[tuple[str, str], tuple[int, UUID | None]]:
    """Counts the ready tasks of each (system, operation), up to ``limit``, and returns the oldest."""
    rows = await connection.fetch(_BACKLOG, [each[0] for each in steps], [each[1] for each in steps], limit)
    return {(row[0], row[1]): (row[2], row[3]) for row in rows}


async def failed(connection: Connection) -> dict[tuple[str, str], int]:
    """Counts the failed tasks of each (system, operation)."""
    rows = await connection.fetch("SELECT system, operation, count(*) FROM task WHERE state = 'failed' GROUP BY 1, 2")
    return {(row[0], row[1]): row[2] for row in rows}


def opened_at(task_id: UUID) -> datetime:
    """Returns when a task was opened, from its id (UUIDv7)."""
    return datetime.fromtimestamp((task_id.int >> 80) / 1000, UTC)
