"""What came of a batch of tasks, written in one transaction: states, receipts, sealed data, evidence, what follows."""

import base64
import logging
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import assert_never
from uuid import UUID

import orjson
from pydantic import JsonValue

from shared.domain.conflicts import Conflict
from shared.domain.errors import KeyGone, NotSupported, Refused, Unavailable, Withdrawn
from shared.domain.holds import LEGAL_HOLD, Hold
from shared.domain.operations import ANSWERING, Operation, TaskOutcome, TaskReport
from shared.fulfilment import at_once, failures, parts, queue, reports
from shared.fulfilment.fulfilments import Fulfilments
from shared.fulfilment.queue import Claim, Conclusion, TaskState
from shared.fulfilment.store import Conclude, hold
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
"""What of a failure stands in the evidence: the limit that has stopped it, and what was done before it."""


@dataclass(frozen=True)
class Conclusions:
    """Concludes the tasks of one (system, operation) of one service."""

    system: str
    operation: Operation
    unit_of_work: UnitOfWorkFactory
    fulfilments: Fulfilments
    conclude: Mapping[Operation, Conclude]
    settings: WorkSettings

    async def write(
        self,
        claims: Sequence[Claim],
        results: Sequence[Result],
        disputed: Mapping[UUID, Sequence[Conflict]],
        held: Mapping[UUID, Hold],
    ) -> None:
        """Concludes what is still ours, and moves on the fulfilments whose stage has ended with it.

        ``disputed``: by task, which numbers it was not searched by in times for which the register is contradicted.
        ``held``: by subject, which legal holds cover their data.
        """
        async with self.unit_of_work.begin() as tx:
            results = await _unless_shredded(tx, claims, results)
            if self.operation is Operation.ERASE:
                today = tx.policy.today(tx.now)
                results = [
                    r if _is_ours_to_hold(c, r, held) else by_rule(tx.policy, today, self.system, r)
                    for c, r in zip(claims, results, strict=True)
                ]
            conclusions = [self._conclude(c, r, tx.now) for c, r in zip(claims, results, strict=True)]
            ours = await queue.conclude(tx.connection, conclusions, tx.now)
            kept = [(c, r) for c, r in zip(conclusions, results, strict=True) if c.claim.task_id in ours]
            # Nobody else writes what is leased, so fulfilments are held from here on only; but before anything is
            # sealed: what a withdrawn request would leave in the vault, nobody would drop.
            withdrawn = await hold(tx, {c.claim.fulfilment_id for c, _ in kept})
            await queue.follow_due_dates(tx.connection, [c.claim.task_id for c, _ in kept if c.state in _OPEN])
            if withdrawn:
                await reports.publish_again(tx, withdrawn)
            await self._note(tx, [(c, r) for c, r in kept if c.claim.observes and c.state is not TaskState.READY])
            counted = [(c, r) for c, r in kept if not c.claim.observes]
            told = [(c, r) for c, r in counted if c.claim.fulfilment_id not in withdrawn and not _is_left(c)]
            await self._seal(tx, told)
            await self._drop_uploads(tx, (c for c, _ in kept), withdrawn)
            for conclusion, _ in counted:
                self._log_evidence(tx, conclusion)
            if held:
                await _note_kept(tx, self.system, [c for c, _ in counted], held)
            if disputed:
                await _note_conflicts(tx, [c.claim for c, _ in counted if c.state is not TaskState.READY], disputed)
            ended = {
                c.claim.fulfilment_id for c, _ in counted if c.state is not TaskState.READY and not c.claim.at_once
            }
            if ended := ended - withdrawn:
                await self.fulfilments.fan_in(tx, ended, self.conclude)
            if stopped := at_once.done(c for c, _ in counted) - withdrawn:
                await reports.publish_so_far(tx, stopped)
        self._count((conclusion for conclusion, _ in kept), tx.now)
        failures.tell(self.system, self.operation, (conclusion for conclusion, _ in kept))
        for conclusion, _ in kept:
            if conclusion.state is TaskState.FAILED and conclusion.claim.fulfilment_id not in withdrawn:
                place = (conclusion.claim.request_id, self.operation, self.system, conclusion.failure)
                sentence = (conclusion.why or {}).get("sentence")
                log.warning("request %s waits for a person: %s in %s: %s: %s", *place, sentence)

    async def _note(self, tx: UnitOfWork, observed: Sequence[tuple[Conclusion, Result]]) -> None:
        """Keeps in counts what a system has that only observes; nothing else follows from it."""
        found = [
            Finding(c.claim.request_id, r.outcome, r.found, tx.now)
            if isinstance(r, Receipt)
            else Finding(c.claim.request_id, c.failure or TaskOutcome.NOT_SEARCHED, 0, tx.now)
            for c, r in observed
        ]
        if found:
            await systems.note_findings(tx.connection, self.system, found)

    def _conclude(self, claim: Claim, result: Result, now: datetime) -> Conclusion:
        """What becomes of a task, also of one that only looks: nobody has to do anything about that."""
        step = (self.system, self.operation)
        ended = _observed(claim, result, now) or failures.dry_run_ended(step, claim, result, now)
        return ended or at_once.ended(self._conclusion(claim, failures.asked_before(step, claim, result), now))

    def _conclusion(self, claim: Claim, result: Result, now: datetime) -> Conclusion:
        result = failures.malformed(claim, result) or result
        match result:
            case Receipt():
                return Conclusion(claim, TaskState.DONE, result.report(self.system, self.operation), None, now)
            case NotSearched(task_id, reason, level):
                matters = (
                    (reason, level) if self.operation in ANSWERING or claim.fulfils == Operation.PLAN else (None, None)
                )
                receipt = Receipt(task_id, TaskOutcome.NOT_SEARCHED, not_searched=matters[0], level=matters[1])
                return self._conclusion(claim, receipt, now)
            case Pending():
                return failures.pending(claim, self.system, result, now)
            case Unavailable():
                return failures.unavailable(claim, result, now + backoff(claim.attempt, self.settings))
            case Withdrawn():
                return Conclusion(claim, TaskState.CANCELLED, None, result.code, now)
            case Refused():
                return Conclusion(claim, TaskState.FAILED, None, result.code, now, failures.why_of(result))
            case _:
                assert_never(result)

    async def _seal(self, tx: UnitOfWork, kept: Sequence[tuple[Conclusion, Result]]) -> None:
        """Puts what was yielded, exported and told to a person into the vault, under the subject's key."""
        sealings: list[Sealing] = []
        for conclusion, result in kept:
            subject = conclusion.claim.subject_ref
            if isinstance(result, NotSupported) and result.manual_steps:
                sealings.append(Sealing(subject, MANUAL_STEPS, self.system, orjson.dumps(result.manual_steps)))
            if not isinstance(result, Receipt):
                continue
            if result.identities:
                sealings.append(Sealing(subject, "identities", self.system, encode_identities(result.identities)))
            if result.records:
                sealings.append(parts.sealing(subject, self.system, result.records))
        if self.operation is Operation.EXPORT:  # what a call has handed over that did not come to its end
            whole = [c.claim.subject_ref for c, r in kept if not (isinstance(r, Receipt) and r.parts)]
            await tx.vault.drop_from(tx.connection, whole, parts.KIND, self.system)
        told = [sealing.subject_ref for sealing in sealings if sealing.kind == MANUAL_STEPS]
        await tx.vault.drop_from(tx.connection, told, MANUAL_STEPS, self.system)
        await tx.vault.seal(tx.connection, sealings, tx.now)

    async def _drop_uploads(self, tx: UnitOfWork, kept: Iterable[Conclusion], withdrawn: Collection[UUID]) -> None:
        """Closes the places of what teams were asked to upload, once their tasks have ended."""
        over = [
            c.claim.subject_ref
            for c in kept
            if "asked" in c.claim.progress and (c.state is not TaskState.READY or c.claim.fulfilment_id in withdrawn)
        ]
        if over and self.operation is Operation.EXPORT:
            await tx.vault.drop_from(tx.connection, over, "upload", self.system)

    def _log_evidence(self, tx: UnitOfWork, conclusion: Conclusion) -> None:
        """Puts a conclusion on record, signed; a repeated "not now" is put on record the first time only."""
        claim = conclusion.claim
        task: JsonValue = str(claim.task_id)
        named = {"task_id": task, "system": self.system, "operation": self.operation}
        tx.traces[claim.request_id] = claim.traceparent
        if conclusion.state is TaskState.READY:
            if why := failures.on_record(conclusion):
                tx.log_evidence(claim.request_id, "task.postponed", {**named, **why})
            return
        if claim.repair and conclusion.report and not conclusion.report.changed:
            return  # all was as it should be
        if _is_left(conclusion):
            return
        known = {key: value for key, value in (conclusion.why or {}).items() if key in _ON_RECORD}
        detail = named | (conclusion.receipt or {"failure": conclusion.failure, **known})
        detail.pop("sentence", None)
        signed = orjson.dumps({"request_id": str(claim.request_id), **detail}, option=orjson.OPT_SORT_KEYS)
        signature = base64.b64encode(tx.vault.keyring.signing.sign(signed)).decode()
        tx.log_evidence(claim.request_id, "task.concluded", {**detail, "signature": signature})

    def _count(self, conclusions: Iterable[Conclusion], now: datetime) -> None:
        """Counts attempts, retries, how long tasks took and how many rows they reported."""
        labels = (self.unit_of_work.service, self.system, self.operation.value)
        ended, rows, seconds = Counter[str](), Counter[str](), TASK_SECONDS.labels(*labels)
        for conclusion in conclusions:
            ended[conclusion.failure or conclusion.state] += 1
            if conclusion.state is TaskState.READY:
                if conclusion.failure:
                    RETRIES.labels(*labels).inc()
                continue
            open_for = now - queue.opened_at(conclusion.claim.task_id)
            seconds.observe(max(0.0, open_for.total_seconds()))
            if conclusion.claim.repair:
                rows["repaired"] += getattr(conclusion.report, "changed", 0)
                continue
            for kind in ("found", "changed", "remaining"):
                rows[kind] += getattr(conclusion.report, kind, 0)
        for how, tasks in ended.items():
            TASKS.labels(*labels, how).inc(tasks)
        for kind, number in rows.items():
            ROWS.labels(*labels, kind).inc(number)


async def _note_conflicts(tx: UnitOfWork, claims: Sequence[Claim], disputed: Mapping[UUID, Sequence[Conflict]]) -> None:
    """Keeps contradictions for a person, and puts each on record with the request that met it."""
    found = [(claim.request_id, conflict) for claim in claims for conflict in disputed.get(claim.task_id, ())]
    for noted in await note_conflicts(tx.connection, found, tx.now):
        detail: dict[str, JsonValue] = {
            "system": noted.system,
            "kind": noted.kind,
            "conflict_id": str(noted.conflict_id),
        }
        tx.log_evidence(noted.request_id, "assignment.conflict", detail)
        log.warning(
            "request %s: %s contradicts the register of numbers: %s", noted.request_id, noted.system, noted.kind
        )


async def _note_kept(tx: UnitOfWork, system: str, concluded: Sequence[Conclusion], held: Mapping[UUID, Hold]) -> None:
    """Remembers what was left because of a hold, so that it is asked for again once that is lifted."""
    left = [c.claim for c in concluded if c.report and _is_held(c.report)]
    kept = [(c.task_id, c.request_id, system, held[c.subject_ref].hold_ids) for c in left if c.subject_ref in held]
    await holds.note_kept(tx.connection, kept)


def _is_ours_to_hold(claim: Claim, result: Result, held: Mapping[UUID, Hold]) -> bool:
    """Whether it stays by a legal hold, which our own people have placed."""
    return isinstance(result, Receipt) and result.ground == LEGAL_HOLD and claim.subject_ref in held


def _is_held(report: TaskReport) -> bool:
    return report.ground == LEGAL_HOLD or any(each.rule == LEGAL_HOLD for each in report.kept or ())


def _is_left(conclusion: Conclusion) -> bool:
    """Whether what was to be stopped at once is left to the task that comes after the locating."""
    return conclusion.claim.at_once and conclusion.state is TaskState.CANCELLED


def _observed(claim: Claim, result: Result, now: datetime) -> Conclusion | None:
    """The end of a task of a system that only observes: nobody waits for it, so it never waits for a person."""
    if claim.observes and isinstance(result, Receipt | NotSearched):
        return Conclusion(claim, TaskState.DONE, None, None, now)
    if claim.observes and isinstance(result, Refused):
        return Conclusion(claim, TaskState.CANCELLED, None, result.code, now)
    return None


def _keeps(result: Result) -> bool:
    """Whether something of it goes to the vault."""
    if isinstance(result, Receipt):
        return bool(result.identities or result.records or result.parts)
    return isinstance(result, NotSupported) and bool(result.manual_steps)


async def _unless_shredded(tx: UnitOfWork, claims: Sequence[Claim], results: Sequence[Result]) -> Sequence[Result]:
    """What was found cannot be kept for a subject whose key was shredded while the task was worked."""
    pairs = list(zip(claims, results, strict=True))
    found = {c.subject_ref for c, r in pairs if _keeps(r)}
    gone = found - await tx.vault.unshredded(tx.connection, found) if found else found
    return [
        KeyGone("the subject's key was shredded while this task was worked") if c.subject_ref in gone else r
        for c, r in pairs
    ]
