"""Fan-out and fan-in: one request becomes tasks for every downstream, and whatever becomes ready wakes its worker."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import date
from uuid import UUID

from pydantic import JsonValue
from uuid_utils.compat import uuid7

from shared.domain.errors import Misconfigured
from shared.domain.operations import ANSWERING, NOTIFICATIONS, Operation
from shared.domain.stages import Stages, Step
from shared.fulfilment import at_once, planning
from shared.fulfilment.planning import TASK, TaskRow, chosen, missing, named, only_on, row_by_hand, stands, task_row
from shared.fulfilment.queue import Due, TaskState
from shared.fulfilment.statements import (
    EARLIER,
    OWED,
    READY,
    STANDING,
    SUPERSEDED,
    TRIED_AGAIN,
    UNSEARCHED,
)
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
from shared.storage.systems import COUNTING, Standing, SystemState, standings
from shared.systems.capabilities import Legend
from shared.systems.downstream import Downstream
from shared.systems.plan import only
from shared.systems.relations import tellers


class Fulfilments:
    """Opens fulfilments, moves them on, and wakes the workers of whatever becomes ready.

    ``plans``: by operation, in which stages the downstreams work, if all of them are switched on; where one is not, it
    is left out. A step, (system, operation), is what a worker works. ``observers``: systems that can be asked while
    they observe. ``by_hand``: by operation, the systems in which a person does it: nobody works those steps, and their
    tasks wait until it is entered what was done. ``one_flag``: systems that restrict a person by one flag.
    ``holds``: by system, the categories that it holds; ``tellers``: who tells the states on which that rests.
    ``tenants``: by system, the tenants that it tells apart (None: any); for any other tenant, a person looks there.
    ``legends``: by system, what its fields mean. ``postpone``: who says which erasures wait for other requests.
    """

    def __init__(
        self, plans: Mapping[Operation, Stages] | None = None, observers: Collection[str] = frozenset()
    ) -> None:
        self.plans, self.observers = plans or {}, observers
        self.by_hand: Mapping[Operation, Collection[str]] = {}
        self.one_flag: Collection[str] = ()
        self.holds: Mapping[str, Collection[str]] = {}
        self.tellers: Mapping[str, Collection[str]] = {}
        self.tenants: Mapping[str, Collection[str] | None] = {}
        self.postpone: Postpone | None = None
        self.legends: dict[str, Legend] = {}
        self.declared = at_once.Declared()
        self._wakeups: dict[tuple[str, str], Wakeup] = {}
        self.due = Due()

    def know(self, downstreams: Collection[Downstream]) -> None:
        """Takes down what systems say of themselves."""
        self.tenants = {each.name: each.tenants for each in downstreams}
        self.declared = at_once.Declared.of(downstreams)
        self.one_flag = {each.name for each in downstreams if each.capable.one_flag}
        self.holds = {each.name: each.categories for each in downstreams}
        self.legends.update((each.name, each.capable.legend) for each in downstreams)
        self.tellers = {each.name: {t.name for t in tellers(downstreams, [each])} for each in downstreams}

    @property
    def steps(self) -> set[Step]:
        """Every step of every plan that a worker works."""
        return {step for step in self._all_steps if not self._is_by_hand(step)}

    @property
    def _all_steps(self) -> set[Step]:
        return {step for stages in self.plans.values() for stage in stages for step in stage}

    def _is_by_hand(self, step: Step, tenant: str | None = None) -> bool:
        return step.system in self.by_hand.get(step.operation, ()) or not self._asks(step.system, tenant)

    def _asks(self, system: str, tenant: str | None) -> bool:
        known = self.tenants.get(system, ())
        return tenant is None or known is None or tenant in known

    def wakeup(self, step: tuple[str, str]) -> Wakeup:
        """What the worker of that step waits for."""
        return self._wakeups.setdefault(step, Wakeup())

    def wake(self, tx: UnitOfWork, step: tuple[str, str]) -> None:
        """Wakes the worker of that step once the transaction has committed."""
        tx.after_commit(self.wakeup(step).wake)

    async def holding(self, tx: UnitOfWork, operation: Operation, categories: Collection[str]) -> frozenset[str]:
        """The systems that are asked for that operation and hold any of these categories."""
        known = await standings(tx.connection)
        planned = (step for stage in self._planned(operation, known) for step in stage)
        asked = {step.system for step in planned if step.operation is operation}
        return frozenset(each for each in asked if not {*categories}.isdisjoint(self.holds.get(each, ())))

    async def open_all(self, tx: UnitOfWork, new_fulfilments: Sequence[NewFulfilment]) -> None:
        """Opens one task per downstream and stage of each opening; the first stage is ready at once."""
        fulfilments: list[tuple[object, ...]] = []
        tasks: list[TaskRow] = []
        ids: list[UUID] = []
        idle: list[UUID] = []
        # A downstream lets the later of two operations of a request stand: no clock may put it before the other.
        requests = [new.request_id for new in new_fulfilments]
        earlier = {row[0]: row[1:] for row in await tx.connection.fetch(EARLIER, requests)}
        known = await standings(tx.connection)
        for new in new_fulfilments:
            after, confirmed, tenant = earlier.get(new.request_id, (tx.now, {}, None))
            tenant = new.tenant or tenant
            stages, repair = self._planned(new.operation, known, new.systems, tenant), bool(new.details.get("repair"))
            looks = new.operation is Operation.PLAN
            if repair or looks:
                stages = self._workable(stages, tenant)
            if not new.searches:  # nothing is left to search for anybody by
                stages = _without(Operation.LOCATE, stages)
            if not stages and (repair or looks or new.operation in NOTIFICATIONS):
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
            tasks += self._beside(tx, fulfilment_id, replace(new, tenant=tenant), stages, known)
            tasks += self._tasks(tx, fulfilment_id, stages, new.due_on, tenant=tenant)
            if not self._workable(stages[:1], tenant):
                idle.append(fulfilment_id)
            if not repair:
                detail: dict[str, JsonValue] = {"operation": new.operation, "stages": named(stages)}
                if new.operation in ANSWERING:
                    detail["policy"] = tx.policy.version
                tx.log_evidence(new.request_id, "fulfilment.opened", detail)
        await tx.connection.copy_records_to_table("fulfilment", records=fulfilments, columns=FULFILMENT)
        await tx.connection.copy_records_to_table("task", records=tasks, columns=TASK)
        postponed = await wait_for_others(tx, self.postpone, ids)
        if idle:
            await self._block_if_stuck(tx, {*idle} - postponed)

    async def fan_in(self, tx: UnitOfWork, ids: Collection[UUID], conclude: Mapping[Operation, Conclude]) -> None:
        """Moves on those that have nothing left in their stage: they are blocked, go to the next, or are complete.

        The caller holds them, so that of two workers who conclude the last tasks of one, one sees that all are.
        """
        blocked: list[UUID] = []
        onward: list[UUID] = []
        complete: list[UUID] = []
        for fulfilment_id, still_open, stuck, waiting, passes in await tx.connection.fetch(STANDING, list(ids)):
            if not still_open:
                stops = stuck and not (waiting and passes)
                (blocked if stops else onward if waiting else complete).append(fulfilment_id)
        if blocked:
            await block(tx, blocked)
        onward = list({*onward} - await wait_for_others(tx, self.postpone, onward))
        taken = await self.declared.take_over(tx, onward if at_once.STOPS & self.plans.keys() else ())
        if onward and await self._make_ready(tx, onward, TaskState.WAITING):
            await self._block_if_stuck(tx, onward)
        if taken:
            await self.fan_in(tx, taken, conclude)
        if complete:
            await complete_all(tx, complete, conclude)

    async def retry(self, tx: UnitOfWork, requests: Sequence[UUID]) -> Mapping[UUID, Collection[str]]:
        """Goes on with what is blocked; returns the systems that are searched anew, by request.

        What failed is tried again; where a system could not be searched, all begins anew. More may be known of the
        subject by now, and what one system yields reaches every other: so everything is searched again, by tasks of its
        own, and what was done before stays on the report. Where it was for want of proof alone, only what was not done
        is searched, by what is located anew: what is proved better now is located as such.

        Raises:
            Misconfigured: none of the systems is declared any more.
        """
        unsearched = await tx.connection.fetch(UNSEARCHED, requests)
        known = await standings(tx.connection) if unsearched else {}
        anew: dict[UUID, Collection[str]] = {}
        for fulfilment_id, request_id, operation, due_on, first, systems, undone, for_proof, tenant in unsearched:
            again = anew[request_id] = undone if for_proof else systems
            gone = {name for name in again if stands(known, name) not in COUNTING}
            planned = chosen(self._planned(Operation(operation), known, tenant=tenant), systems)
            stages = only_on({*again} - gone, planned) + missing(Operation(operation), gone)
            if not stages:
                raise Misconfigured(f"no downstream system of a blocked request can {operation} any more: declare one")
            await tx.connection.execute(SUPERSEDED, fulfilment_id)
            tasks = self._tasks(tx, fulfilment_id, stages, due_on, first, tenant)
            await tx.connection.copy_records_to_table("task", records=tasks, columns=TASK)
            tx.log_evidence(request_id, "fulfilment.begun_anew", {"operation": operation, "stages": named(stages)})
        failed = await tx.connection.fetch(TRIED_AGAIN, requests)
        stopped = [row[0] for row in (*failed, *unsearched)]
        postponed = await wait_for_others(tx, self.postpone, stopped)
        await self._make_ready(tx, [row[0] for row in failed if row[0] not in postponed], TaskState.FAILED)
        await self.fan_in(tx, [row[0] for row in (*failed, *unsearched)], {})
        return anew

    async def go_on_without(self, tx: UnitOfWork, requests: Sequence[UUID], operation: Operation) -> None:
        """Lets what waits behind a part that is owed of these requests begin: the part is done when it can be."""
        owed = [row[0] for row in await tx.connection.fetch(OWED, requests, operation)] if requests else []
        await self.fan_in(tx, owed, {})

    async def _make_ready(self, tx: UnitOfWork, ids: Sequence[UUID], state: TaskState) -> bool:
        """Makes the tasks of these fulfilments ready that are in that state, those of the first such stage.

        Returns whether a person must do any of them.
        """
        ready = set(map(tuple, await tx.connection.fetch(READY, ids, tx.now, state)))
        for system, operation, by_hand in ready:
            if not by_hand:
                self.wake(tx, (system, operation))
        return any(by_hand for *_, by_hand in ready)

    async def _block_if_stuck(self, tx: UnitOfWork, ids: Collection[UUID]) -> None:
        """Blocks those of which nobody works anything: all that is left of their stage is done by hand."""
        standing = await tx.connection.fetch(STANDING, list(ids))
        if stuck := [row[0] for row in standing if not row[1] and row[2]]:
            await block(tx, stuck)

    def _planned(
        self,
        operation: Operation,
        known: Mapping[str, Standing],
        systems: Collection[str] | None = None,
        tenant: str | None = None,
    ) -> Stages:
        """The stages over all systems that count, or over these alone; what a retired one should do, nobody does."""
        if systems is None:
            counting = {step.system for step in self._all_steps if stands(known, step.system) in COUNTING}
            planned = planning.doing(operation, chosen(self.plans[operation], counting))
            return planning.asked_first(planned, {s for s in counting if self._asks(s, tenant)}) if tenant else planned
        gone = {name for name in systems if stands(known, name) not in COUNTING}
        asked = {t for name in systems for t in self.tellers.get(name, ()) if stands(known, t) in COUNTING}
        return only(self.plans[operation], frozenset(systems) - gone, operation, asked) + missing(operation, gone)

    def _workable(self, stages: Stages, tenant: str | None = None) -> Stages:
        """What of these stages is not done by hand."""
        left = (tuple(step for step in stage if not self._is_by_hand(step, tenant)) for stage in stages)
        return tuple(stage for stage in left if stage)

    def _tasks(
        self,
        tx: UnitOfWork,
        fulfilment_id: UUID,
        stages: Stages,
        due_on: date,
        first: int = 0,
        tenant: str | None = None,
    ) -> list[TaskRow]:
        """One row per task, numbered from stage ``first`` on; those of the first stage are ready at once."""
        for step in stages[0]:
            self.wake(tx, step)
        return [
            self._row_of(step, tenant)(fulfilment_id, step, first + number, due_on, tx.now, ready=number == 0)
            for number, stage in enumerate(stages)
            for step in stage
        ]

    def _row_of(self, step: Step, tenant: str | None) -> Callable[..., TaskRow]:
        if not self._asks(step.system, tenant):
            return planning.row_not_asked
        return row_by_hand if self._is_by_hand(step) else task_row

    def _beside(
        self, tx: UnitOfWork, fulfilment_id: UUID, new: NewFulfilment, stages: Stages, known: Mapping[str, Standing]
    ) -> list[TaskRow]:
        """Tasks that no other waits for: what is stopped at once, and what is asked of systems which only observe."""
        steps = [s for s in self.declared.steps(new, stages) if stands(known, s.system) in COUNTING]
        early = [step for step in steps if not self._is_by_hand(step, new.tenant)]
        rows = [planning.row_at_once(fulfilment_id, step, new.due_on, tx.now) for step in early]
        if new.systems is None and new.searches and not new.details.get("repair") and new.tenant is None:
            asked = [each for each in self.observers if stands(known, each) is SystemState.OBSERVE]
            rows += planning.rows_observing(fulfilment_id, new, stages, asked, tx.now)
        for _, _, system, operation, *_ in rows:
            self.wake(tx, (str(system), str(operation)))
        return rows


def _without(operation: Operation, stages: Stages) -> Stages:
    """These stages without the steps of an operation."""
    left = (tuple(step for step in stage if step.operation is not operation) for stage in stages)
    return tuple(stage for stage in left if stage)
