"""Writes the results of tasks in one transaction: states, receipts, sealed data, evidence, and what follows.

Batches that end while a transaction is under way share the next one (``shared.messaging.group_commit``).
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import assert_never
from uuid import UUID

import orjson
from pydantic import JsonValue

from shared.domain.assignments import RegisterConflict
from shared.domain.errors import KeyGone, NotSupported, Refused, Unavailable, Withdrawn
from shared.domain.holds import LEGAL_HOLD, Hold
from shared.domain.operations import ANSWERING, Operation, Step, TaskOutcome, TaskReport
from shared.fulfilment import export_parts, failures, immediate_stop, queue, reports
from shared.fulfilment.fulfilments import Fulfilments
from shared.fulfilment.queue import Conclusion, LeasedTask, TaskState
from shared.fulfilment.store import Conclude, lock_fulfilments
from shared.messaging.group_commit import GroupCommit
from shared.messaging.unit_of_work import UnitOfWork, UnitOfWorkFactory
from shared.runtime.loops import backoff
from shared.runtime.metrics import RETRIES, ROWS, TASK_SECONDS, TASKS
from shared.runtime.settings import WorkSettings
from shared.storage import holds, systems
from shared.storage.register import record_conflicts
from shared.storage.subject_data import encode_identities
from shared.storage.systems import ObservedFinding
from shared.storage.vault import MANUAL_STEPS, Sealing
from shared.systems.contract import NotSearched, Pending, Receipt, Result
from shared.systems.engine.grounds import with_signed_rule

log = logging.getLogger(__name__)

_OPEN = frozenset({TaskState.READY, TaskState.FAILED})
_EVIDENCE_FIELDS = frozenset({"exceeded", "found", "changed", "remaining", "reported"})
"""Fields of a failure that go into the evidence: the exceeded limit, and what was done before."""


@dataclass(frozen=True, slots=True)
class WorkedBatch:
    """A batch with the result of each claim.

    ``disputed``: by task, which numbers it was not searched by in times for which the register is contradicted.
    ``holds``: by subject, which legal holds cover their data.
    """

    tasks: Sequence[LeasedTask]
    results: Sequence[Result]
    disputed: Mapping[UUID, Sequence[RegisterConflict]]
    holds: Mapping[UUID, Hold]


class TaskCompletion:
    """Concludes the tasks of one service in one process."""

    def __init__(
        self,
        unit_of_work: UnitOfWorkFactory,
        fulfilments: Fulfilments,
        conclude: Mapping[Operation, Conclude],
        settings: WorkSettings,
    ) -> None:
        self.unit_of_work, self.fulfilments, self.settings = unit_of_work, fulfilments, settings
        self._on_complete = conclude
        self._group: GroupCommit[WorkedBatch, None] = GroupCommit(self._commit, lambda worked: len(worked.tasks))

    async def write(self, worked: WorkedBatch) -> None:
        """Concludes the tasks that are still leased by us, and moves on fulfilments whose stage has ended."""
        await self._group.commit(worked)

    async def _commit(self, batches: Sequence[WorkedBatch]) -> Sequence[None]:
        holds_by_subject = {subject: each for worked in batches for subject, each in worked.holds.items()}
        disputed = {task_id: each for worked in batches for task_id, each in worked.disputed.items()}
        worked = [pair for each in batches for pair in zip(each.tasks, each.results, strict=True)]
        async with self.unit_of_work.begin() as tx:
            await tx.plan_once(len(worked))
            worked = await _refuse_shredded(tx, worked)
            today = tx.policy.today(tx.now)
            worked = [
                (
                    c,
                    with_signed_rule(tx.policy, today, c.step.system, r)
                    if _has_system_ground(c, r, holds_by_subject)
                    else r,
                )
                for c, r in worked
            ]
            concluded = [(self._conclude(c, r, tx.now), r) for c, r in worked]
            task_ids = await queue.conclude(tx.connection, [c for c, _ in concluded], tx.now)
            written = [(c, r) for c, r in concluded if c.task.task_id in task_ids]
            # No other process writes leased tasks, so fulfilments are locked only here. That is before anything is
            # sealed: what a withdrawn request left in the vault would stay there.
            withdrawn = await lock_fulfilments(tx, {c.task.fulfilment_id for c, _ in written})
            await queue.follow_due_dates(tx.connection, [c.task.task_id for c, _ in written if c.state in _OPEN])
            if withdrawn:
                await reports.publish_again(tx, withdrawn)
            await _note_findings(tx, [(c, r) for c, r in written if c.task.observes and c.state is not TaskState.READY])
            counted = [(c, r) for c, r in written if not c.task.observes]
            reported = [
                (c, r) for c, r in counted if c.task.fulfilment_id not in withdrawn and not _is_left_to_later_task(c)
            ]
            await _seal(tx, reported)
            await _drop_uploads(tx, (c for c, _ in written), withdrawn)
            for conclusion, _ in counted:
                _log_evidence(tx, conclusion)
            if holds_by_subject:
                await _note_kept(tx, [c for c, _ in counted], holds_by_subject)
            if disputed:
                await _note_conflicts(tx, [c.task for c, _ in counted if c.state is not TaskState.READY], disputed)
            ended = {
                c.task.fulfilment_id for c, _ in counted if c.state is not TaskState.READY and not c.task.immediate
            }
            if ended := ended - withdrawn:
                await self.fulfilments.fan_in(tx, ended, self._on_complete)
            if stopped := immediate_stop.fulfilments_stopped(c for c, _ in counted) - withdrawn:
                await reports.publish_so_far(tx, stopped)
        self._report([c for c, _ in written], withdrawn, tx.now)
        return [None] * len(batches)

    def _conclude(self, task: LeasedTask, result: Result, now: datetime) -> Conclusion:
        """Decides the new state of a task."""
        ended = _observed(task, result, now) or failures.dry_run_ended(task, result, now)
        return ended or immediate_stop.cancelled_if_failed(
            self._conclusion(task, failures.without_unsearched(task, result), now)
        )

    def _conclusion(self, task: LeasedTask, result: Result, now: datetime) -> Conclusion:
        result = failures.unreadable_too_often(task, result) or result
        match result:
            case Receipt():
                return Conclusion(task, TaskState.DONE, result.report(*task.step), None, now)
            case NotSearched(task_id, reason, level):
                matters = task.step.operation in ANSWERING or task.fulfils == Operation.PLAN
                why = (reason, level) if matters else (None, None)
                receipt = Receipt(task_id, TaskOutcome.NOT_SEARCHED, not_searched=why[0], level=why[1])
                return self._conclusion(task, receipt, now)
            case Pending():
                return failures.pending(task, result, now)
            case Unavailable():
                return failures.unavailable(task, result, now + backoff(task.attempt, self.settings))
            case Withdrawn():
                return Conclusion(task, TaskState.CANCELLED, None, result.code, now)
            case Refused():
                return Conclusion(task, TaskState.FAILED, None, result.code, now, failures.failure_details(result))
            case _:
                assert_never(result)

    def _report(self, conclusions: Sequence[Conclusion], withdrawn: Collection[UUID], now: datetime) -> None:
        """Counts attempts, retries, how long tasks took and how many rows they reported; logs and wakes what waits."""
        service = self.unit_of_work.service
        ended, rows = Counter[tuple[str, ...]](), Counter[tuple[str, ...]]()
        retries: dict[Step, datetime] = {}
        durations = {step: TASK_SECONDS.labels(service, *step) for step in {each.task.step for each in conclusions}}
        for each in conclusions:
            task, report = each.task, each.report
            labels = (service, *task.step)
            ended[*labels, each.failure or each.state] += 1
            if each.state is TaskState.READY:
                retries[task.step] = min(each.not_before, retries.get(task.step, each.not_before))
                if each.failure:
                    RETRIES.labels(*labels).inc()
                continue
            open_for = now - queue.opened_at(task.task_id)
            durations[task.step].observe(max(0.0, open_for.total_seconds()))
            if task.repair:
                rows[*labels, "repaired"] += getattr(report, "changed", 0)
            else:
                for what in ("found", "changed", "remaining"):
                    rows[*labels, what] += getattr(report, what, 0)
            if each.state is TaskState.FAILED and task.fulfilment_id not in withdrawn:
                place = (task.request_id, task.step.operation, task.step.system, each.failure)
                log.warning("request %s waits for a person: %s in %s: %s: %s", *place, (each.why or {}).get("sentence"))
        for how, tasks in ended.items():
            TASKS.labels(*how).inc(tasks)
        for kind, number in rows.items():
            ROWS.labels(*kind).inc(number)
        for step, moment in retries.items():
            seconds = max(0.0, (moment - now).total_seconds())
            asyncio.get_running_loop().call_later(seconds, self.fulfilments.wakeup(step).wake)
        failures.log_waiting(conclusions)


async def _note_findings(tx: UnitOfWork, observed: Sequence[tuple[Conclusion, Result]]) -> None:
    """Counts what an observing system found; nothing else follows from it."""
    found: dict[str, list[ObservedFinding]] = {}
    for c, r in observed:
        outcome, rows = (r.outcome, r.found) if isinstance(r, Receipt) else (c.failure or TaskOutcome.NOT_SEARCHED, 0)
        found.setdefault(c.task.step.system, []).append(ObservedFinding(c.task.request_id, outcome, rows, tx.now))
    for system, findings in found.items():
        await systems.note_findings(tx.connection, system, findings)


async def _seal(tx: UnitOfWork, concluded: Sequence[tuple[Conclusion, Result]]) -> None:
    """Seals identities, exported records and manual steps under the subject's key."""
    sealings: list[Sealing] = []
    dropped: dict[tuple[str, str], list[UUID]] = {}
    for conclusion, result in concluded:
        subject, (system, operation) = conclusion.task.subject_ref, conclusion.task.step
        if operation is Operation.EXPORT and not (isinstance(result, Receipt) and result.parts):
            dropped.setdefault((export_parts.KIND, system), []).append(
                subject
            )  # of a call that did not come to its end
        if isinstance(result, NotSupported) and result.manual_steps:
            sealings.append(Sealing(subject, MANUAL_STEPS, system, orjson.dumps(result.manual_steps)))
            dropped.setdefault((MANUAL_STEPS, system), []).append(subject)
        if isinstance(result, Receipt) and result.identities:
            sealings.append(Sealing(subject, "identities", system, encode_identities(result.identities)))
        if isinstance(result, Receipt) and result.records:
            sealings.append(export_parts.sealed_records(subject, system, result.records))
    for (kind, system), subjects in dropped.items():
        await tx.vault.drop_of_source(tx.connection, subjects, kind, system)
    await tx.vault.seal(tx.connection, sealings, tx.now)


async def _drop_uploads(tx: UnitOfWork, conclusions: Iterable[Conclusion], withdrawn: Collection[UUID]) -> None:
    """Closes upload places of teams whose tasks have ended."""
    ended_by_system: dict[str, list[UUID]] = {}
    for c in conclusions:
        ended = c.state is not TaskState.READY or c.task.fulfilment_id in withdrawn
        if c.task.step.operation is Operation.EXPORT and "asked" in c.task.progress and ended:
            ended_by_system.setdefault(c.task.step.system, []).append(c.task.subject_ref)
    for system, subjects in ended_by_system.items():
        await tx.vault.drop_of_source(tx.connection, subjects, "upload", system)


def _log_evidence(tx: UnitOfWork, conclusion: Conclusion) -> None:
    """Records a conclusion; of repeated postponements only the first."""
    task = conclusion.task
    tx.traces[task.request_id] = task.traceparent
    named = {"task_id": str(task.task_id), "system": task.step.system, "operation": task.step.operation}
    if conclusion.state is TaskState.READY:
        if why := failures.wait_evidence(conclusion):
            tx.log_evidence(task.request_id, "task.postponed", {**named, **why})
    elif not (
        _is_left_to_later_task(conclusion) or (task.repair and conclusion.report and not conclusion.report.changed)
    ):
        known = {key: value for key, value in (conclusion.why or {}).items() if key in _EVIDENCE_FIELDS}
        log_concluded(tx, task.request_id, named | (conclusion.receipt or {"failure": conclusion.failure, **known}))


def log_concluded(tx: UnitOfWork, request_id: UUID, detail: Mapping[str, JsonValue]) -> None:
    """Records the end of a task, without its sentence."""
    tx.log_evidence(request_id, "task.concluded", {key: value for key, value in detail.items() if key != "sentence"})


async def _note_conflicts(
    tx: UnitOfWork, tasks: Sequence[LeasedTask], disputed: Mapping[UUID, Sequence[RegisterConflict]]
) -> None:
    """Stores contradictions of the register for review, each with the request that met it."""
    found = [(task.request_id, conflict) for task in tasks for conflict in disputed.get(task.task_id, ())]
    for each in await record_conflicts(tx.connection, found, tx.now):
        named: dict[str, JsonValue] = {"system": each.system, "kind": each.kind}
        tx.log_evidence(each.request_id, "assignment.conflict", {**named, "conflict_id": str(each.conflict_id)})
        place = (each.request_id, each.system, each.kind)
        log.warning("request %s: %s contradicts the register of numbers: %s", *place)


async def _note_kept(tx: UnitOfWork, concluded: Sequence[Conclusion], holds_by_subject: Mapping[UUID, Hold]) -> None:
    """Stores which systems kept data under a legal hold, so that lifting the hold repeats the erasure."""
    held_tasks = [
        c.task for c in concluded if c.report and _is_kept_by_hold(c.report) and c.task.subject_ref in holds_by_subject
    ]
    rows = [(c.task_id, c.request_id, c.step.system, holds_by_subject[c.subject_ref].hold_ids) for c in held_tasks]
    await holds.record_retained(tx.connection, rows)


def _has_system_ground(task: LeasedTask, result: Result, holds_by_subject: Mapping[UUID, Hold]) -> bool:
    """Returns whether an erasure kept something for a ground of the system, and not for a legal hold."""
    kept_by_hold = isinstance(result, Receipt) and result.ground == LEGAL_HOLD and task.subject_ref in holds_by_subject
    return task.step.operation is Operation.ERASE and not kept_by_hold


def _is_kept_by_hold(report: TaskReport) -> bool:
    return report.ground == LEGAL_HOLD or any(each.rule == LEGAL_HOLD for each in report.kept or ())


def _is_left_to_later_task(conclusion: Conclusion) -> bool:
    """Returns whether an immediate task leaves its work to the task after the search."""
    return conclusion.task.immediate and conclusion.state is TaskState.CANCELLED


def _observed(task: LeasedTask, result: Result, now: datetime) -> Conclusion | None:
    """Ends the task of a system that only observes; it never waits for a manual step."""
    if task.observes and isinstance(result, Receipt | NotSearched):
        return Conclusion(task, TaskState.DONE, None, None, now)
    if task.observes and isinstance(result, Refused):
        return Conclusion(task, TaskState.CANCELLED, None, result.code, now)
    return None


def _has_sealed_part(result: Result) -> bool:
    """Whether a result has a part for the vault."""
    if isinstance(result, Receipt):
        return bool(result.identities or result.records or result.parts)
    return isinstance(result, NotSupported) and bool(result.manual_steps)


async def _refuse_shredded(
    tx: UnitOfWork, worked: Sequence[tuple[LeasedTask, Result]]
) -> list[tuple[LeasedTask, Result]]:
    """Replaces results of subjects whose key was shredded meanwhile by ``KeyGone``."""
    found = {c.subject_ref for c, r in worked if _has_sealed_part(r)}
    without_key = found - await tx.vault.unshredded(tx.connection, found) if found else found
    shredded = KeyGone("the subject's key was shredded while this task was worked")
    return [(c, shredded if c.subject_ref in without_key else r) for c, r in worked]
