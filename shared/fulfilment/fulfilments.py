"""Fans a request out into tasks for every system, and fans their results in."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Final
from uuid import UUID

from pydantic import JsonValue
from uuid_utils.compat import uuid7

from shared.domain.errors import Misconfigured, NotSupported
from shared.domain.operations import ANSWERING, NOTIFICATIONS, PREPARING, Operation, Stages, Step
from shared.fulfilment import immediate_stop
from shared.fulfilment.failures import failure_details
from shared.fulfilment.queue import TaskState
from shared.fulfilment.store import (
    FULFILMENT,
    Conclude,
    FulfilmentState,
    NewFulfilment,
    Postpone,
    block,
    complete_all,
    wait_for_others,
)
from shared.messaging.unit_of_work import UnitOfWork
from shared.runtime.loops import Wakeup
from shared.storage.postgres import insert_rows
from shared.storage.systems import REQUIRED_STATES, SystemState, SystemStatus, read_systems
from shared.systems.capabilities import Legend
from shared.systems.downstream import Downstream
from shared.systems.plan import restricted_stages
from shared.systems.relations import state_reporters

_UNSEARCHED = """
UPDATE fulfilment f SET state = 'open', held = false
WHERE f.request_id = ANY($1) AND f.state = 'blocked' AND EXISTS (
    SELECT 1 FROM task t WHERE t.fulfilment_id = f.fulfilment_id AND t.state = 'done' AND t.receipt ? 'not_searched'
       AND NOT t.immediate)
RETURNING f.fulfilment_id, f.request_id, f.operation, f.due_on,
          (SELECT max(t.stage) + 1 FROM task t WHERE t.fulfilment_id = f.fulfilment_id),
          (SELECT array_agg(DISTINCT t.system) FROM task t WHERE t.fulfilment_id = f.fulfilment_id AND NOT t.observes),
          (SELECT array_agg(DISTINCT t.system) FROM task t WHERE t.fulfilment_id = f.fulfilment_id AND NOT t.observes
              AND NOT t.immediate AND t.operation = f.operation
              AND (t.state IN ('waiting', 'failed') OR t.receipt ? 'not_searched')),
          (SELECT bool_and(t.receipt ->> 'not_searched' = 'not_proved') FROM task t
           WHERE t.fulfilment_id = f.fulfilment_id AND t.state = 'done' AND t.receipt ? 'not_searched'
              AND NOT t.immediate),
          f.tenant
"""
# What was done in part stays on the report; what it left unsearched is now the matter of the task that follows it.
_SUPERSEDED = """
UPDATE task SET receipt = receipt - 'not_searched' - 'level',
                state = CASE WHEN state = 'done' AND receipt ->> 'outcome' <> 'not_searched' THEN 'done'
                             ELSE 'cancelled' END
WHERE fulfilment_id = $1 AND NOT immediate AND (state IN ('waiting', 'failed') OR receipt ? 'not_searched')
"""
_RETRIED = """
UPDATE fulfilment SET state = 'open', held = false
WHERE request_id = ANY($1) AND (state = 'blocked' OR state = 'open' AND held) RETURNING fulfilment_id
"""
# A dry run is never stopped: it reports what could not be searched. An owed part stops no later stage, as long as every
# search has ended: systems that yield identities may erase then, since the vault keeps those while a part is owed.
_STAGE_PROGRESS = """
SELECT f.fulfilment_id, count(*) FILTER (WHERE t.state IN ('ready', 'leased')) AS open,
       count(*) FILTER (WHERE f.operation <> 'plan' AND (t.state = 'failed' OR t.state = 'waiting' AND f.held
                        OR t.state = 'done' AND t.receipt ? 'not_searched')) AS stuck,
       count(*) FILTER (WHERE t.state = 'waiting') AS waiting,
       f.details ? 'owed' AND NOT f.held AND bool_and(CASE t.state WHEN 'done' THEN NOT t.receipt ? 'not_searched'
           WHEN 'failed' THEN t.operation <> 'locate' ELSE true END)
       AS passes
FROM fulfilment f JOIN task t USING (fulfilment_id)
WHERE f.fulfilment_id = ANY($1) AND f.state = 'open' AND NOT t.observes AND NOT t.immediate GROUP BY f.fulfilment_id
"""
# What a person does by hand stays with them, unless the system shows whether they have.
_READY = """
UPDATE task t SET state = CASE WHEN theirs THEN 'failed' ELSE 'ready' END,
                  failure = CASE WHEN theirs THEN t.failure END,
                  why = CASE WHEN theirs THEN t.why END, not_before = $2
FROM (SELECT task_id, stage, min(stage) OVER (PARTITION BY fulfilment_id) AS next,
             coalesce(failure = 'not_supported', false) AND NOT coalesce(why ? 'looks_again', false) AS theirs
      FROM task WHERE fulfilment_id = ANY($1) AND state = $3) stuck
WHERE t.task_id = stuck.task_id AND stuck.stage = stuck.next AND t.state = $3
RETURNING t.system, t.operation, t.state = 'failed'
"""
# What was confirmed, and whose instruction it is, holds for the request, whatever is done about it later.
_EARLIER_FULFILMENTS = """
SELECT request_id, max(opened_at) + interval '1 microsecond', (array_agg(confirmed ORDER BY opened_at DESC))[1],
       max(tenant)
FROM fulfilment WHERE request_id = ANY($1) GROUP BY 1
"""
_OWED = """
UPDATE fulfilment f SET details = details || '{"owed": true}', state = CASE WHEN NOT held AND EXISTS (
    SELECT FROM task t WHERE t.fulfilment_id = f.fulfilment_id AND t.state = 'waiting') THEN 'open' ELSE state END
WHERE request_id = ANY($1) AND operation = $2 AND state IN ('open', 'blocked')
  AND NOT details ?| ARRAY['deferred', 'repair']
RETURNING fulfilment_id
"""
_TaskRow = tuple[object, ...]
_TASK: Final = (
    *("task_id", "fulfilment_id", "system", "operation", "stage", "due_on"),
    *("state", "attempt", "not_before", "progress", "observes", "failure", "why"),
    "immediate",
)
"""The columns of a ``_TaskRow``."""


class Fulfilments:
    """Opens fulfilments, moves them on, and wakes the workers of tasks that become ready.

    ``stages_of``: the stages of each operation, if all systems are enabled; others are left out. A worker works one
    step, (system, operation). ``observers``: systems that can be searched while they observe. ``by_hand``: by
    operation, the systems in which it is a manual step. ``systems``: the declaration of each system. ``one_flag``:
    those that restrict a person by one flag. ``categories_of``: the categories of each system. ``legends``: the meaning
    of its fields. ``must_wait``: decides which erasures wait for other requests.
    """

    def __init__(
        self, plans: Mapping[Operation, Stages] | None = None, observers: Collection[str] = frozenset()
    ) -> None:
        self.stages_of, self.observers = plans or {}, observers
        self.by_hand: Mapping[Operation, Collection[str]] = {}
        self.systems: Mapping[str, Downstream] = {}
        self.one_flag: Collection[str] = ()
        self.categories_of: Mapping[str, Collection[str]] = {}
        self.must_wait: Postpone | None = None
        self.legends: dict[str, Legend] = {}
        self._wakeups: dict[tuple[str, str], Wakeup] = {}

    def register(self, downstreams: Collection[Downstream]) -> None:
        """Stores the declarations and capabilities of the systems."""
        self.systems = {each.name: each for each in downstreams}
        self.one_flag = {each.name for each in downstreams if each.capabilities.one_flag}
        self.categories_of = {each.name: each.categories for each in downstreams}
        self.legends.update((each.name, each.capabilities.legend) for each in downstreams)

    @property
    def steps(self) -> set[Step]:
        """Every step of every plan that a worker works."""
        return {step for step in self._all_steps if not self._is_by_hand(step)}

    @property
    def _all_steps(self) -> set[Step]:
        return {step for stages in self.stages_of.values() for stage in stages for step in stage}

    def _is_by_hand(self, step: Step, tenant: str | None = None) -> bool:
        return step.system in self.by_hand.get(step.operation, ()) or not self._can_ask(step.system, tenant)

    def _can_ask(self, system: str, tenant: str | None) -> bool:
        return tenant is None or (system in self.systems and self.systems[system].separates_tenant(tenant))

    def wakeup(self, step: tuple[str, str]) -> Wakeup:
        """Returns the event that the worker of that step waits for."""
        return self._wakeups.setdefault(step, Wakeup())

    def wake(self, tx: UnitOfWork, step: tuple[str, str]) -> None:
        """Wakes the worker of that step once the transaction has committed."""
        tx.after_commit(self.wakeup(step).wake)

    async def systems_holding(
        self, tx: UnitOfWork, operation: Operation, categories: Collection[str]
    ) -> frozenset[str]:
        """The systems that are asked for that operation and hold any of these categories."""
        known = await read_systems(tx.connection)
        planned = (step for stage in self._planned(operation, known) for step in stage)
        asked = {step.system for step in planned if step.operation is operation}
        return frozenset(each for each in asked if not {*categories}.isdisjoint(self.categories_of.get(each, ())))

    async def open_all(self, tx: UnitOfWork, new_fulfilments: Sequence[NewFulfilment]) -> None:
        """Opens one task for each system and stage; the first stage is ready immediately."""
        fulfilments: list[tuple[object, ...]] = []
        tasks: list[_TaskRow] = []
        ids: list[UUID] = []
        all_manual: list[UUID] = []
        # A downstream lets the later of two operations of a request stand: no clock may put it before the other.
        requests = [new.request_id for new in new_fulfilments]
        earlier = {row[0]: row[1:] for row in await tx.connection.fetch(_EARLIER_FULFILMENTS, requests)}
        known = await read_systems(tx.connection)
        for new in new_fulfilments:
            after, confirmed, tenant = earlier.get(new.request_id, (tx.now, {}, None))
            tenant = new.tenant or tenant
            stages, repair = self._planned(new.operation, known, new.systems, tenant), bool(new.details.get("repair"))
            is_preview = new.operation is Operation.PLAN
            if repair or is_preview:
                stages = self._workable(stages, tenant)
            if not new.searches:  # nothing is left to search for anybody by
                stages = _without(Operation.LOCATE, stages)
            if not stages and (repair or is_preview or new.operation in NOTIFICATIONS):
                continue
            if not stages:
                raise Misconfigured(f"no downstream system can {new.operation}: declare one")
            ids.append(fulfilment_id := uuid7())
            fulfilments.append(
                (
                    *(fulfilment_id, new.request_id, new.subject_ref, new.right, new.operation, dict(new.details)),
                    *(new.due_on, new.searches, FulfilmentState.OPEN, tx.traces.get(new.request_id)),
                    *(max(tx.now, after), confirmed, tenant),
                )
            )
            tasks += self._unstaged_tasks(tx, fulfilment_id, replace(new, tenant=tenant), stages, known)
            tasks += self._tasks(tx, fulfilment_id, stages, new.due_on, tenant=tenant)
            if not self._workable(stages[:1], tenant):
                all_manual.append(fulfilment_id)
            if not repair:
                detail: dict[str, JsonValue] = {"operation": new.operation, "stages": _stage_names(stages)}
                if new.operation in ANSWERING:
                    detail["policy"] = tx.policy.version
                tx.log_evidence(new.request_id, "fulfilment.opened", detail)
        await insert_rows(tx.connection, "fulfilment", FULFILMENT, fulfilments)
        await insert_rows(tx.connection, "task", _TASK, tasks)
        postponed = await wait_for_others(tx, self.must_wait, ids)
        if all_manual:
            await self._block_if_stuck(tx, {*all_manual} - postponed)

    async def fan_in(self, tx: UnitOfWork, ids: Collection[UUID], conclude: Mapping[Operation, Conclude]) -> None:
        """Moves on fulfilments whose stage has ended: to blocked, to the next stage, or to complete.

        The caller has locked them: of two workers that conclude the last two tasks, the second sees both.
        """
        blocked: list[UUID] = []
        onward: list[UUID] = []
        complete: list[UUID] = []
        for fulfilment_id, still_open, stuck, waiting, passes in await tx.connection.fetch(_STAGE_PROGRESS, list(ids)):
            if not still_open:
                stops = stuck and not (waiting and passes)
                (blocked if stops else onward if waiting else complete).append(fulfilment_id)
        if blocked:
            await block(tx, blocked)
        onward = list({*onward} - await wait_for_others(tx, self.must_wait, onward))
        replaced = await immediate_stop.take_over(
            tx, self.systems, onward if immediate_stop.IMMEDIATE_OPERATIONS & self.stages_of.keys() else ()
        )
        if onward and await self._make_ready(tx, onward, TaskState.WAITING):
            await self._block_if_stuck(tx, onward)
        if replaced:
            await self.fan_in(tx, replaced, conclude)
        if complete:
            await complete_all(tx, complete, conclude)

    async def retry(self, tx: UnitOfWork, requests: Sequence[UUID]) -> Mapping[UUID, Collection[str]]:
        """Retries blocked fulfilments; returns the systems that are searched again, by request.

        Failed tasks are tried again. If a system could not be searched, new tasks search all systems again, since more
        may be known of the subject by now. What was done before stays on the report.
        If only proof was missing, new tasks work only what was not done.

        Raises:
            Misconfigured: none of the systems is declared any more.
        """
        unsearched = await tx.connection.fetch(_UNSEARCHED, requests)
        known = await read_systems(tx.connection) if unsearched else {}
        searched: dict[UUID, Collection[str]] = {}
        for fulfilment_id, request_id, operation, due_on, first, systems, undone, for_proof, tenant in unsearched:
            again = searched[request_id] = undone if for_proof else systems
            retired = {name for name in again if system_state(known, name) not in REQUIRED_STATES}
            planned = chosen(self._planned(Operation(operation), known, tenant=tenant), systems)
            stages = chosen(planned, {*again} - retired, located=True) + _steps_of_retired(
                Operation(operation), retired
            )
            if not stages:
                raise Misconfigured(f"no downstream system of a blocked request can {operation} any more: declare one")
            await tx.connection.execute(_SUPERSEDED, fulfilment_id)
            tasks = self._tasks(tx, fulfilment_id, stages, due_on, first, tenant)
            await insert_rows(tx.connection, "task", _TASK, tasks)
            tx.log_evidence(
                request_id, "fulfilment.restarted", {"operation": operation, "stages": _stage_names(stages)}
            )
        failed = await tx.connection.fetch(_RETRIED, requests)
        stopped = [row[0] for row in (*failed, *unsearched)]
        postponed = await wait_for_others(tx, self.must_wait, stopped)
        await self._make_ready(tx, [row[0] for row in failed if row[0] not in postponed], TaskState.FAILED)
        await self.fan_in(tx, [row[0] for row in (*failed, *unsearched)], {})
        return searched

    async def continue_without(self, tx: UnitOfWork, requests: Sequence[UUID], operation: Operation) -> None:
        """Starts the stages after an owed part of these requests; the owed part follows when it can."""
        owed = [row[0] for row in await tx.connection.fetch(_OWED, requests, operation)] if requests else []
        await self.fan_in(tx, owed, {})

    async def _make_ready(self, tx: UnitOfWork, ids: Sequence[UUID], state: TaskState) -> bool:
        """Makes the tasks ready that are in that state, of the first such stage; returns whether any is manual."""
        ready = set(map(tuple, await tx.connection.fetch(_READY, ids, tx.now, state)))
        for system, operation, by_hand in ready:
            if not by_hand:
                self.wake(tx, (system, operation))
        return any(by_hand for *_, by_hand in ready)

    async def _block_if_stuck(self, tx: UnitOfWork, ids: Collection[UUID]) -> None:
        """Blocks those whose stage has only manual steps left."""
        progress = await tx.connection.fetch(_STAGE_PROGRESS, list(ids))
        if stuck := [row[0] for row in progress if not row[1] and row[2]]:
            await block(tx, stuck)

    def _planned(
        self,
        operation: Operation,
        known: Mapping[str, SystemStatus],
        systems: Collection[str] | None = None,
        tenant: str | None = None,
    ) -> Stages:
        """Returns the stages over all counting systems, or over these; a step of a retired one is manual."""
        if systems is None:
            counting = {step.system for step in self._all_steps if system_state(known, step.system) in REQUIRED_STATES}
            planned = if_it_does(operation, chosen(self.stages_of[operation], counting))
            return _manual_last(planned, {s for s in counting if self._can_ask(s, tenant)}) if tenant else planned
        retired = {name for name in systems if system_state(known, name) not in REQUIRED_STATES}
        of = [self.systems[name] for name in systems if name in self.systems]
        asked = {
            t.name for t in state_reporters(self.systems.values(), of) if system_state(known, t.name) in REQUIRED_STATES
        }
        return restricted_stages(
            self.stages_of[operation], frozenset(systems) - retired, operation, asked
        ) + _steps_of_retired(operation, retired)

    def _workable(self, stages: Stages, tenant: str | None = None) -> Stages:
        """Leaves out the manual steps."""
        workable = (tuple(step for step in stage if not self._is_by_hand(step, tenant)) for stage in stages)
        return tuple(stage for stage in workable if stage)

    def _tasks(
        self,
        tx: UnitOfWork,
        fulfilment_id: UUID,
        stages: Stages,
        due_on: date,
        first: int = 0,
        tenant: str | None = None,
    ) -> list[_TaskRow]:
        """Returns one row per task, numbered from stage ``first`` on; the first stage is ready immediately."""
        for step in stages[0]:
            self.wake(tx, step)
        rows: list[_TaskRow] = []
        for number, stage in enumerate(stages):
            for step in stage:
                manual = None
                if self._is_by_hand(step, tenant):
                    manual = _manual_details(step, can_ask=self._can_ask(step.system, tenant))
                row = (fulfilment_id, step, first + number, due_on, tx.now)
                rows.append(_task_row(*row, ready=number == 0, manual=manual))
        return rows

    def _unstaged_tasks(
        self, tx: UnitOfWork, fulfilment_id: UUID, new: NewFulfilment, stages: Stages, known: Mapping[str, SystemStatus]
    ) -> list[_TaskRow]:
        """Returns tasks outside the stages: immediate ones, and searches of observing systems."""
        steps = immediate_stop.immediate_steps(self.systems, new, stages)
        early = [
            s for s in steps if system_state(known, s.system) in REQUIRED_STATES and not self._is_by_hand(s, new.tenant)
        ]
        about = (new.due_on, tx.now)
        rows = [_task_row(fulfilment_id, step, 0, *about, ready=True, immediate=True) for step in early]
        observing = new.systems is None and new.searches and not new.details.get("repair") and new.tenant is None
        if observing and new.operation in ANSWERING:  # once everything is known that the others yield
            stage = next(n for n, each in enumerate(stages) if any(s.operation is new.operation for s in each))
            asked = [each for each in self.observers if system_state(known, each) is SystemState.OBSERVE]
            located = [Step(system, Operation.LOCATE) for system in asked]
            rows += [_task_row(fulfilment_id, s, stage, *about, ready=stage == 0, observes=True) for s in located]
        for _, _, system, operation, *_ in rows:
            self.wake(tx, (str(system), str(operation)))
        return rows


def _task_row(  # noqa: PLR0913  # the columns of a row
    fulfilment_id: UUID,
    step: Step,
    stage: int,
    due_on: date,
    now: datetime,
    *,
    ready: bool,
    observes: bool = False,
    immediate: bool = False,
    manual: Mapping[str, JsonValue] | None = None,
) -> _TaskRow:
    """Returns the row of a task that is due once its stage is reached; ``manual``: why it is manual."""
    now_due = TaskState.FAILED if manual else TaskState.READY
    state, code = now_due if ready else TaskState.WAITING, NotSupported.code if manual else None
    return (uuid7(), fulfilment_id, *step, stage, due_on, state, 0, now, {}, observes, code, manual, immediate)


def _manual_details(step: Step, *, can_ask: bool) -> Mapping[str, JsonValue]:
    """Returns why a step is manual: the system cannot do it, or cannot tell customers' data apart."""
    if can_ask:
        return failure_details(
            NotSupported(f"{step.system} has no way to {step.operation}: do it there by hand, and enter what was done")
        )
    return failure_details(
        NotSupported(
            f"{step.system} does not tell the data of our customers apart: {step.operation} there by hand what is that"
            " customer's, and enter what was done"
        )
    ) | {"not_asked": True}


def system_state(known: Mapping[str, SystemStatus], system: str) -> SystemState:
    """Returns the state of a system; one that comes from no file is on."""
    return known[system].state if system in known else SystemState.ON


def chosen(stages: Stages, systems: Collection[str], *, located: bool = False) -> Stages:
    """Keeps the steps of these systems; ``located``: and every search."""

    def of_these(step: Step) -> bool:
        return step.system in systems or (located and step.operation is Operation.LOCATE)

    return _without_empty(tuple(filter(of_these, stage)) for stage in stages)


def if_it_does(operation: Operation, stages: Stages) -> Stages:
    """Returns these stages if any step does the operation; else none, since a search alone does nothing."""
    return stages if any(step.operation is operation for stage in stages for step in stage) else ()


def _without(operation: Operation, stages: Stages) -> Stages:
    """Returns the stages without the steps of an operation."""
    return _without_empty(tuple(step for step in stage if step.operation is not operation) for stage in stages)


def _manual_last(stages: Stages, asked: Collection[str]) -> Stages:
    """Returns the stages of the systems that are asked, then the manual steps of the others."""
    others = (step for stage in stages for step in stage if step.system not in asked)
    manual = tuple(step for step in others if step.operation not in PREPARING)
    return _without_empty((*chosen(stages, asked), manual))


def _steps_of_retired(operation: Operation, systems: Collection[str]) -> Stages:
    """Returns a manual step for each retired system."""
    return (tuple(Step(system, operation) for system in sorted(systems)),) if systems else ()


def _stage_names(stages: Stages) -> JsonValue:
    """Returns the stages as the evidence has them."""
    return [[f"{step.system}:{step.operation}" for step in stage] for stage in stages]


def _without_empty(stages: Iterable[tuple[Step, ...]]) -> Stages:
    return tuple(filter(None, stages))
