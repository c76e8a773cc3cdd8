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

from shared.domain.assignments import Conflict
from shared.domain.errors import KeyGone, NotSupported, Refused, Unavailable, Withdrawn
from shared.domain.holds import LEGAL_HOLD, Hold
from shared.domain.operations import ANSWERING, Operation, Step, TaskOutcome, TaskReport
from shared.fulfilment import failures, immediate_stop, parts, queue, reports
from shared.fulfilment.fulfilments import Fulfilments
from shared.fulfilment.queue import Claim, Conclusion, TaskState
from shared.fulfilment.store import Conclude, hold
from shared.messaging.group_commit import GroupCommit
from shared.messaging.unit_of_work import UnitOfWork, UnitOfWorkFactory
from shared.runtime.loops import backoff
from shared.runtime.metrics import RETRIES, ROWS, TASK_SECONDS, TASKS
from shared.runtime.settings import WorkSettings
from shared.storage import holds, systems
from shared.storage.register import note_conflicts
from shared.storage.subject_data import encode_identities
from shared.storage.systems import Finding
from shared.storage.vault import MANUAL_STEPS, Sealing
from shared.systems.contract import NotSearched, Pending, Receipt, Result
from shared.systems.engine.grounds import by_rule

log = logging.getLogger(__name__)

_OPEN = frozenset({TaskState.READY, TaskState.FAILED})
_ON_RECORD = frozenset({"exceeded", "found", "changed", "remaining", "reported"})
"""Fields of a failure that go into the evidence: the exceeded limit, and what was done before."""


@dataclass(frozen=True, slots=True)
class Worked:
    """A batch with the result of each claim.

    ``disputed``: by task, which numbers it was not searched by in times for which the register is contradicted.
    ``held``: by subject, which legal holds cover their data.
    """

    claims: Sequence[Claim]
    results: Sequence[Result]
    disputed: Mapping[UUID, Sequence[Conflict]]
    held: Mapping[UUID, Hold]


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
        self._follows = conclude
        self._group: GroupCommit[Worked, None] = GroupCommit(self._commit, lambda worked: len(worked.claims))

    async def write(self, worked: Worked) -> None:
        """Concludes the tasks that are still leased by us, and moves on fulfilments whose stage has ended."""
        await self._group.commit(worked)

    async def _commit(self, batches: Sequence[Worked]) -> Sequence[None]:
        held = {subject: each for worked in batches for subject, each in worked.held.items()}
        disputed = {task_id: each for worked in batches for task_id, each in worked.disputed.items()}
        worked = [pair for each in batches for pair in zip(each.claims, each.results, strict=True)]
        async with self.unit_of_work.begin() as tx:
            await tx.plan_once(len(worked))
            worked = await _unless_shredded(tx, worked)
            today = tx.policy.today(tx.now)
            worked = [
                (c, by_rule(tx.policy, today, c.step.system, r) if _is_systems_word(c, r, held) else r)
                for c, r in worked
            ]
            concluded = [(self._conclude(c, r, tx.now), r) for c, r in worked]
            ours = await queue.conclude(tx.connection, [c for c, _ in concluded], tx.now)
            kept = [(c, r) for c, r in concluded if c.claim.task_id in ours]
            # No other process writes leased tasks, so fulfilments are locked only here. That is before anything is
            # sealed: what a withdrawn request left in the vault would stay there.
            withdrawn = await hold(tx, {c.claim.fulfilment_id for c, _ in kept})
            await queue.follow_due_dates(tx.connection, [c.claim.task_id for c, _ in kept if c.state in _OPEN])
            if withdrawn:
                await reports.publish_again(tx, withdrawn)
            await _note_findings(tx, [(c, r) for c, r in kept if c.claim.observes and c.state is not TaskState.READY])
            counted = [(c, r) for c, r in kept if not c.claim.observes]
            reported = [(c, r) for c, r in counted if c.claim.fulfilment_id not in withdrawn and not _is_left(c)]
            await _seal(tx, reported)
            await _drop_uploads(tx, (c for c, _ in kept), withdrawn)
            for conclusion, _ in counted:
                _log_evidence(tx, conclusion)
            if held:
                await _note_kept(tx, [c for c, _ in counted], held)
            if disputed:
                await _note_conflicts(tx, [c.claim for c, _ in counted if c.state is not TaskState.READY], disputed)
            ended = {
                c.claim.fulfilment_id for c, _ in counted if c.state is not TaskState.READY and not c.claim.immediate
            }
            if ended := ended - withdrawn:
                await self.fulfilments.fan_in(tx, ended, self._follows)
            if stopped := immediate_stop.done(c for c, _ in counted) - withdrawn:
                await reports.publish_so_far(tx, stopped)
        self._report([c for c, _ in kept], withdrawn, tx.now)
        return [None] * len(batches)

    def _conclude(self, claim: Claim, result: Result, now: datetime) -> Conclusion:
        """Decides what becomes of a task."""
        ended = _observed(claim, result, now) or failures.dry_run_ended(claim, result, now)
        return ended or immediate_stop.ended(self._conclusion(claim, failures.asked_before(claim, result), now))

    def _conclusion(self, claim: Claim, result: Result, now: datetime) -> Conclusion:
        result = failures.malformed(claim, result) or result
        match result:
            case Receipt():
                return Conclusion(claim, TaskState.DONE, result.report(*claim.step), None, now)
            case NotSearched(task_id, reason, level):
                matters = claim.step.operation in ANSWERING or claim.fulfils == Operation.PLAN
                why = (reason, level) if matters else (None, None)
                receipt = Receipt(task_id, TaskOutcome.NOT_SEARCHED, not_searched=why[0], level=why[1])
                return self._conclusion(claim, receipt, now)
            case Pending():
                return failures.pending(claim, result, now)
            case Unavailable():
                return failures.unavailable(claim, result, now + backoff(claim.attempt, self.settings))
            case Withdrawn():
                return Conclusion(claim, TaskState.CANCELLED, None, result.code, now)
            case Refused():
                return Conclusion(claim, TaskState.FAILED, None, result.code, now, failures.why_of(result))
            case _:
                assert_never(result)

    def _report(self, kept: Sequence[Conclusion], withdrawn: Collection[UUID], now: datetime) -> None:
        """Counts attempts, retries, how long tasks took and how many rows they reported; logs and wakes what waits."""
        service = self.unit_of_work.service
        ended, rows = Counter[tuple[str, ...]](), Counter[tuple[str, ...]]()
        again: dict[Step, datetime] = {}
        lasted = {step: TASK_SECONDS.labels(service, *step) for step in {each.claim.step for each in kept}}
        for each in kept:
            claim, report = each.claim, each.report
            labels = (service, *claim.step)
            ended[*labels, each.failure or each.state] += 1
            if each.state is TaskState.READY:
                again[claim.step] = min(each.not_before, again.get(claim.step, each.not_before))
                if each.failure:
                    RETRIES.labels(*labels).inc()
                continue
            open_for = now - queue.opened_at(claim.task_id)
            lasted[claim.step].observe(max(0.0, open_for.total_seconds()))
            if claim.repair:
                rows[*labels, "repaired"] += getattr(report, "changed", 0)
            else:
                for what in ("found", "changed", "remaining"):
                    rows[*labels, what] += getattr(report, what, 0)
            if each.state is TaskState.FAILED and claim.fulfilment_id not in withdrawn:
                place = (claim.request_id, claim.step.operation, claim.step.system, each.failure)
                log.warning("request %s waits for a person: %s in %s: %s: %s", *place, (each.why or {}).get("sentence"))
        for how, tasks in ended.items():
            TASKS.labels(*how).inc(tasks)
        for kind, number in rows.items():
            ROWS.labels(*kind).inc(number)
        for step, moment in again.items():
            seconds = max(0.0, (moment - now).total_seconds())
            asyncio.get_running_loop().call_later(seconds, self.fulfilments.wakeup(step).wake)
        failures.log_waiting(kept)


async def _note_findings(tx: UnitOfWork, observed: Sequence[tuple[Conclusion, Result]]) -> None:
    """Counts what an observing system found; nothing else follows from it."""
    found: dict[str, list[Finding]] = {}
    for c, r in observed:
        outcome, rows = (r.outcome, r.found) if isinstance(r, Receipt) else (c.failure or TaskOutcome.NOT_SEARCHED, 0)
        found.setdefault(c.claim.step.system, []).append(Finding(c.claim.request_id, outcome, rows, tx.now))
    for system, findings in found.items():
        await systems.note_findings(tx.connection, system, findings)


async def _seal(tx: UnitOfWork, kept: Sequence[tuple[Conclusion, Result]]) -> None:
    """Seals identities, exported records and manual steps under the subject's key."""
    sealings: list[Sealing] = []
    dropped: dict[tuple[str, str], list[UUID]] = {}
    for conclusion, result in kept:
        subject, (system, operation) = conclusion.claim.subject_ref, conclusion.claim.step
        if operation is Operation.EXPORT and not (isinstance(result, Receipt) and result.parts):
            dropped.setdefault((parts.KIND, system), []).append(subject)  # of a call that did not come to its end
        if isinstance(result, NotSupported) and result.manual_steps:
            sealings.append(Sealing(subject, MANUAL_STEPS, system, orjson.dumps(result.manual_steps)))
            dropped.setdefault((MANUAL_STEPS, system), []).append(subject)
        if isinstance(result, Receipt) and result.identities:
            sealings.append(Sealing(subject, "identities", system, encode_identities(result.identities)))
        if isinstance(result, Receipt) and result.records:
            sealings.append(parts.sealing(subject, system, result.records))
    for (kind, system), subjects in dropped.items():
        await tx.vault.drop_from(tx.connection, subjects, kind, system)
    await tx.vault.seal(tx.connection, sealings, tx.now)


async def _drop_uploads(tx: UnitOfWork, kept: Iterable[Conclusion], withdrawn: Collection[UUID]) -> None:
    """Closes upload places of teams whose tasks have ended."""
    over: dict[str, list[UUID]] = {}
    for c in kept:
        ended = c.state is not TaskState.READY or c.claim.fulfilment_id in withdrawn
        if c.claim.step.operation is Operation.EXPORT and "asked" in c.claim.progress and ended:
            over.setdefault(c.claim.step.system, []).append(c.claim.subject_ref)
    for system, subjects in over.items():
        await tx.vault.drop_from(tx.connection, subjects, "upload", system)


def _log_evidence(tx: UnitOfWork, conclusion: Conclusion) -> None:
    """Records a conclusion; of repeated postponements only the first."""
    claim = conclusion.claim
    tx.traces[claim.request_id] = claim.traceparent
    named = {"task_id": str(claim.task_id), "system": claim.step.system, "operation": claim.step.operation}
    if conclusion.state is TaskState.READY:
        if why := failures.on_record(conclusion):
            tx.log_evidence(claim.request_id, "task.postponed", {**named, **why})
    elif not (_is_left(conclusion) or (claim.repair and conclusion.report and not conclusion.report.changed)):
        known = {key: value for key, value in (conclusion.why or {}).items() if key in _ON_RECORD}
        log_concluded(tx, claim.request_id, named | (conclusion.receipt or {"failure": conclusion.failure, **known}))


def log_concluded(tx: UnitOfWork, request_id: UUID, detail: Mapping[str, JsonValue]) -> None:
    """Records the end of a task, without its sentence."""
    tx.log_evidence(request_id, "task.concluded", {key: value for key, value in detail.items() if key != "sentence"})


async def _note_conflicts(tx: UnitOfWork, claims: Sequence[Claim], disputed: Mapping[UUID, Sequence[Conflict]]) -> None:
    """Stores contradictions of the register for review, each with the request that met it."""
    found = [(claim.request_id, conflict) for claim in claims for conflict in disputed.get(claim.task_id, ())]
    for each in await note_conflicts(tx.connection, found, tx.now):
        named: dict[str, JsonValue] = {"system": each.system, "kind": each.kind}
        tx.log_evidence(each.request_id, "assignment.conflict", {**named, "conflict_id": str(each.conflict_id)})
        place = (each.request_id, each.system, each.kind)
        log.warning("request %s: %s contradicts the register of numbers: %s", *place)


async def _note_kept(tx: UnitOfWork, concluded: Sequence[Conclusion], held: Mapping[UUID, Hold]) -> None:
    """Stores what a legal hold kept, so that it is asked for again once the hold is lifted."""
    left = [c.claim for c in concluded if c.report and _is_held(c.report) and c.claim.subject_ref in held]
    kept = [(c.task_id, c.request_id, c.step.system, held[c.subject_ref].hold_ids) for c in left]
    await holds.note_kept(tx.connection, kept)


def _is_systems_word(claim: Claim, result: Result, held: Mapping[UUID, Hold]) -> bool:
    """Returns whether an erasure kept something for a ground of the system, and not for a legal hold."""
    ours = isinstance(result, Receipt) and result.ground == LEGAL_HOLD and claim.subject_ref in held
    return claim.step.operation is Operation.ERASE and not ours


def _is_held(report: TaskReport) -> bool:
    return report.ground == LEGAL_HOLD or any(each.rule == LEGAL_HOLD for each in report.kept or ())


def _is_left(conclusion: Conclusion) -> bool:
    """Returns whether an immediate task leaves its work to the task after the search."""
    return conclusion.claim.immediate and conclusion.state is TaskState.CANCELLED


def _observed(claim: Claim, result: Result, now: datetime) -> Conclusion | None:
    """Ends the task of a system that only observes; it never waits for a manual step."""
    if claim.observes and isinstance(result, Receipt | NotSearched):
        return Conclusion(claim, TaskState.DONE, None, None, now)
    if claim.observes and isinstance(result, Refused):
        return Conclusion(claim, TaskState.CANCELLED, None, result.code, now)
    return None


def _keeps(result: Result) -> bool:
    """Returns whether part of it goes to the vault."""
    if isinstance(result, Receipt):
        return bool(result.identities or result.records or result.parts)
    return isinstance(result, NotSupported) and bool(result.manual_steps)


async def _unless_shredded(tx: UnitOfWork, worked: Sequence[tuple[Claim, Result]]) -> list[tuple[Claim, Result]]:
    """Refuses what was found for a subject whose key was shredded while the task was worked."""
    found = {c.subject_ref for c, r in worked if _keeps(r)}
    gone = found - await tx.vault.unshredded(tx.connection, found) if found else found
    shredded = KeyGone("the subject's key was shredded while this task was worked")
    return [(c, shredded if c.subject_ref in gone else r) for c, r in worked]
