"""Fan-out and fan-in: one request becomes tasks for every downstream, and whatever becomes ready wakes its worker."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date
from uuid import UUID

from pydantic import JsonValue
from uuid_utils.compat import uuid7

from shared.domain.errors import Misconfigured
from shared.domain.events import FulfilmentBlocked
from shared.domain.operations import ACCOMPANYING, Operation, Stages
from shared.downstreams.plan import only
from shared.fulfilment.store import Conclude, NewFulfilment, end
from shared.messaging.unit_of_work import UnitOfWork
from shared.runtime.loops import Wakeup

_UNSEARCHED = """
SELECT f.fulfilment_id, f.request_id, f.operation, f.due_on, f.stages,
       (SELECT array_agg(DISTINCT t.system) FROM task t WHERE t.fulfilment_id = f.fulfilment_id) AS systems
FROM fulfilment f
WHERE f.request_id = ANY($1) AND f.state = 'blocked' AND EXISTS (
    SELECT 1 FROM task t WHERE t.fulfilment_id = f.fulfilment_id AND t.operation = f.operation
                           AND t.receipt ? 'not_searched' AND t.state = 'done')
ORDER BY f.fulfilment_id FOR UPDATE
"""
# What was done in part stays on the report; what it left unsearched is now the matter of the task that follows it.
_SUPERSEDED = """
UPDATE task SET receipt = receipt - 'not_searched',
                state = CASE WHEN state = 'done' AND receipt ->> 'outcome' <> 'not_searched' THEN 'done'
                             ELSE 'cancelled' END
WHERE fulfilment_id = $1 AND (state IN ('waiting', 'failed') OR receipt ? 'not_searched')
"""
_ANEW = """
UPDATE fulfilment SET state = 'open', stages = $2 + $3::int, stage = $2, open_tasks = $4, failed_tasks = 0
WHERE fulfilment_id = $1
"""
_FULFILMENT = [
    "fulfilment_id",
    "request_id",
    "subject_ref",
    "right",
    "operation",
    "details",
    "due_on",
    "stages",
    "stage",
    "open_tasks",
    "failed_tasks",
    "state",
    "traceparent",
    "opened_at",
]
_TASK = (
    *("task_id", "fulfilment_id", "system", "operation", "stage"),
    *("due_on", "state", "attempt", "not_before", "progress"),
)


class Fulfilments:
    """Opens fulfilments, moves them on, and wakes the workers of whatever becomes ready.

    ``plans``: by operation, in which stages the downstreams work. A step, (system, operation), is what a worker works.
    """

    def __init__(self, plans: Mapping[Operation, Stages] | None = None) -> None:
        self.plans = plans or {}
        self._wakeups: dict[tuple[str, str], Wakeup] = {}

    @property
    def steps(self) -> set[tuple[str, str]]:
        """Every step of every plan."""
        return {(s.system, s.operation.value) for stages in self.plans.values() for stage in stages for s in stage}

    def wakeup(self, step: tuple[str, str]) -> Wakeup:
        """What the worker of that step waits for."""
        return self._wakeups.setdefault(step, Wakeup())

    def wake(self, tx: UnitOfWork, step: tuple[str, str]) -> None:
        """Wakes the worker of that step once the transaction has committed."""
        tx.after_commit(self.wakeup(step).wake)

    async def open_all(self, tx: UnitOfWork, new_fulfilments: Sequence[NewFulfilment]) -> None:
        """Opens one task per downstream and stage of each opening; the first stage is ready at once."""
        fulfilments: list[tuple[object, ...]] = []
        tasks: list[tuple[object, ...]] = []
        for new in new_fulfilments:
            stages = self.plans[new.operation]
            if new.systems is not None:
                stages = only(stages, new.systems, new.operation)
            if not stages:
                raise Misconfigured(f"no downstream system can {new.operation}: declare one")
            fulfilment_id = uuid7()
            fulfilments.append(
                (
                    *(fulfilment_id, new.request_id, new.subject_ref, new.right, new.operation, dict(new.details)),
                    *(new.due_on, len(stages), 0, len(stages[0]), 0, "open", tx.traces.get(new.request_id), tx.now),
                )
            )
            tasks += self._tasks(tx, fulfilment_id, stages, new.due_on)
            tx.log_evidence(new.request_id, "fulfilment.opened", {"operation": new.operation, "stages": _named(stages)})
        await tx.connection.copy_records_to_table("fulfilment", records=fulfilments, columns=_FULFILMENT)
        await tx.connection.copy_records_to_table("task", records=tasks, columns=_TASK)

    async def fan_in(
        self, tx: UnitOfWork, concluded: Mapping[UUID, Counter[str]], conclude: Mapping[Operation, Conclude]
    ) -> None:
        """Counts concluded tasks (``done``/``failed`` per fulfilment); moves on what has none left in its stage."""
        ids = sorted(concluded)
        await tx.connection.execute(
            "SELECT 1 FROM fulfilment WHERE fulfilment_id = ANY($1) ORDER BY fulfilment_id FOR UPDATE", ids
        )
        ended = await tx.connection.fetch(
            "UPDATE fulfilment f"
            " SET open_tasks = f.open_tasks - c.done - c.failed, failed_tasks = f.failed_tasks + c.failed"
            " FROM unnest($1::uuid[], $2::int[], $3::int[]) AS c (fulfilment_id, done, failed)"
            " WHERE f.fulfilment_id = c.fulfilment_id AND f.state = 'open'"
            " RETURNING f.fulfilment_id, f.open_tasks, f.failed_tasks, f.stage, f.stages",
            ids,
            [concluded[i]["done"] for i in ids],
            [concluded[i]["failed"] for i in ids],
        )
        blocked, onward, complete = [], [], []
        for fulfilment_id, open_tasks, failed_tasks, stage, stages in ended:
            if open_tasks:
                continue
            if failed_tasks:
                blocked.append(fulfilment_id)
            elif stage + 1 < stages:
                onward.append(fulfilment_id)
            else:
                complete.append(fulfilment_id)
        if blocked:
            await _block(tx, blocked)
        if onward:
            await self._next_stage(tx, onward)
        if complete:
            await _complete(tx, complete, conclude)

    async def retry(self, tx: UnitOfWork, requests: Sequence[UUID]) -> set[UUID]:
        """Goes on with what is blocked; returns the requests that begin anew.

        What failed is tried again; where a system could not be searched, all begins anew. More may be known of the
        subject by now, and what one system yields reaches every other: so everything is searched again, by tasks of its
        own, and what was done before stays on the report.
        """
        unsearched = await tx.connection.fetch(_UNSEARCHED, requests)
        for fulfilment_id, request_id, operation, due_on, first, systems in unsearched:
            planned = self.plans[Operation(operation)]
            asked = (tuple(step for step in stage if step.system in systems) for stage in planned)
            stages = tuple(stage for stage in asked if stage)
            if not stages:
                raise Misconfigured(f"no downstream system of a blocked request can {operation} any more: declare one")
            await tx.connection.execute(_SUPERSEDED, fulfilment_id)
            await tx.connection.execute(_ANEW, fulfilment_id, first, len(stages), len(stages[0]))
            tasks = self._tasks(tx, fulfilment_id, stages, due_on, first)
            await tx.connection.copy_records_to_table("task", records=tasks, columns=_TASK)
            tx.log_evidence(request_id, "fulfilment.begun_anew", {"operation": operation, "stages": _named(stages)})
        rows = await tx.connection.fetch(
            "UPDATE task t SET state = 'ready', failure = NULL, not_before = $2"
            " FROM fulfilment f WHERE f.request_id = ANY($1) AND f.state = 'blocked'"
            " AND t.fulfilment_id = f.fulfilment_id AND t.state = 'failed'"
            " RETURNING t.fulfilment_id, t.system, t.operation",
            requests,
            tx.now,
        )
        again = Counter(row[0] for row in rows)
        await tx.connection.execute(
            "UPDATE fulfilment f SET state = 'open', open_tasks = a.n, failed_tasks = 0"
            " FROM unnest($1::uuid[], $2::int[]) AS a (fulfilment_id, n) WHERE f.fulfilment_id = a.fulfilment_id",
            list(again),
            list(again.values()),
        )
        for _, system, operation in rows:
            self.wake(tx, (system, operation))
        return {row[1] for row in unsearched}

    async def _next_stage(self, tx: UnitOfWork, ids: Sequence[UUID]) -> None:
        rows = await tx.connection.fetch(
            "UPDATE task t SET state = 'ready' FROM fulfilment f WHERE f.fulfilment_id = ANY($1)"
            " AND t.fulfilment_id = f.fulfilment_id AND t.stage = f.stage + 1 AND t.state = 'waiting'"
            " RETURNING t.fulfilment_id, t.system, t.operation",
            ids,
        )
        ready = Counter(row[0] for row in rows)
        await tx.connection.execute(
            "UPDATE fulfilment f SET stage = f.stage + 1, open_tasks = r.n"
            " FROM unnest($1::uuid[], $2::int[]) AS r (fulfilment_id, n) WHERE f.fulfilment_id = r.fulfilment_id",
            list(ready),
            list(ready.values()),
        )
        for _, system, operation in rows:
            self.wake(tx, (system, operation))

    def _tasks(
        self, tx: UnitOfWork, fulfilment_id: UUID, stages: Stages, due_on: date, first: int = 0
    ) -> list[tuple[object, ...]]:
        """One row per task, numbered from stage ``first`` on; those of the first stage are ready at once."""
        for step in stages[0]:
            self.wake(tx, (step.system, step.operation))
        return [
            (
                *(uuid7(), fulfilment_id, step.system, step.operation, first + number, due_on),
                *("waiting" if number else "ready", 0, tx.now, {}),
            )
            for number, stage in enumerate(stages)
            for step in stage
        ]


def _named(stages: Stages) -> JsonValue:
    return [[f"{step.system}:{step.operation}" for step in stage] for stage in stages]


async def _complete(tx: UnitOfWork, ids: Sequence[UUID], conclude: Mapping[Operation, Conclude]) -> None:
    done = await end(tx, ids, "complete")
    for operation in {completed.operation for completed in done}:
        await conclude[operation]([completed for completed in done if completed.operation is operation], tx)


async def _block(tx: UnitOfWork, ids: Sequence[UUID]) -> None:
    for blocked in await end(tx, ids, "blocked"):
        reasons = {report.system: report.failure or report.not_searched for report in blocked.reports}
        failures: JsonValue = {system: reason for system, reason in reasons.items() if reason}
        tx.log_evidence(
            blocked.request_id, "fulfilment.blocked", {"operation": blocked.operation, "failures": failures}
        )
        if blocked.operation in ACCOMPANYING:
            continue  # what only goes along with a request does not stop it
        tx.publish(
            FulfilmentBlocked(
                request_id=blocked.request_id,
                occurred_at=tx.now,
                right=blocked.right,
                operation=blocked.operation,
                tasks=blocked.reports,
                deferred=blocked.deferred,
            )
        )
