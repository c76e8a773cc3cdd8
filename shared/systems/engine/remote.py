"""Decides what stays of a system that erases everything of a person or nothing: plans one record per category; pure.

The system reports counts only. It knows itself what a rule keeps for a period. States of other systems and legal holds
are decided before it is asked.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final, Protocol
from uuid import UUID

from shared.domain.errors import DoneBefore, ErasureOpposed, GroundUnknown, NotSupported, Refused
from shared.domain.holds import LEGAL_HOLD, Hold
from shared.domain.operations import Kept, Operation, TaskOutcome
from shared.domain.policy import Policy
from shared.domain.precedence import RequestKind
from shared.systems.contract import COPY_FIRST, NotSearched, Pending, Receipt, Result, States, Task
from shared.systems.downstream import Downstream
from shared.systems.engine import grounds, planning
from shared.systems.engine.ownership import OwnedRecord, SubjectRecords
from shared.systems.engine.records import Record, Shape
from shared.systems.engine.searching import TaskContext, withdrawn_categories, withdrawn_text
from shared.systems.states import country_unknown


def retained_or_refusal(
    task: Task, policy: Policy, categories: Collection[str], rows: Mapping[str, int] | None
) -> tuple[Kept, ...] | Refused:
    """Returns what stays of a system, which is all or nothing, or why a person must act there.

    ``rows``: its rows by category; None: unknown.
    """
    shapes = [
        Shape(place=category, category=category, parties={}, kept_complete=True) for category in sorted(categories)
    ]
    each = [Record(shape, (), rows=1 if rows is None else rows.get(shape.category, 0)) for shape in shapes]
    found = SubjectRecords(task, {record.name: OwnedRecord(record) for record in each})
    plan = planning.plan_erasure(task.system, policy, None, found, shapes)
    retained = plan.retained_counts(marked=False)
    if plan.refused:
        return plan.refused
    if rows is None and (unclear := next((each for each in retained if each.shown is False), None)):
        countries = policy.countries_of(policy.rules[unclear.rule]) or ()  # how much stays is unknown: a person decides
        return GroundUnknown(country_unknown(task.system, unclear.category or "", unclear.rule, countries))
    if retained and plan.to_erase:
        names = ", ".join(sorted({each.category or "" for each in retained}))
        return NotSupported(
            f"{task.system} holds {names}, which must stay now, and cannot leave that and erase the rest: erase there"
            " by hand what may go, and enter that"
        )
    return retained


class LeasedTaskContext(TaskContext, Protocol):
    """A task that is about to be worked."""

    @property
    def fulfilment_id(self) -> UUID: ...
    @property
    def request_id(self) -> UUID: ...
    @property
    def subject_ref(self) -> UUID: ...
    @property
    def attempt(self) -> int: ...
    @property
    def confirmed(self) -> Mapping[str, Mapping[str, int]]: ...


COUNTING_OUTCOMES: Final = frozenset({TaskOutcome.PLANNED, TaskOutcome.NO_MATCH})
_FIRST_PAUSE, _LONGEST_PAUSE = timedelta(seconds=2), timedelta(minutes=5)
_MOST_DOUBLINGS: Final = 8
"""Most doublings of the pause."""
HOLD: Final = "hold"
"""Reason not to erase what a withdrawn consent ends: a legal hold covers it."""


@dataclass(frozen=True, slots=True)
class SystemFindings:
    """States that systems report of a person before an erasure, and the counts of the system itself."""

    states: States
    found: int | None = None
    by_category: Mapping[str, int] = field(default_factory=dict)

    def rows(self, categories: Collection[str]) -> Mapping[str, int] | None:
        """Returns its rows by category; without a breakdown, all of them may belong to each category."""
        if self.found is None or sum(self.by_category.values()) == self.found:
            return None if self.found is None else self.by_category
        return dict.fromkeys(categories, self.found)


@dataclass(frozen=True, slots=True)
class RetainedData:
    """The kept data of a batch: holds by subject, and findings by fulfilment.

    ``earlier_findings``: by fulfilment, earlier findings in a system that a hold covers. ``blockers``: by task, what
    comes before the erasure that a withdrawn consent requires, or prevents it.
    """

    system: Downstream
    operation: Operation
    policy: Policy
    now: datetime
    holds: Mapping[UUID, Hold]
    findings: Mapping[UUID, SystemFindings]
    earlier_findings: Mapping[UUID, SystemFindings] = field(default_factory=dict)
    blockers: Mapping[UUID, frozenset[str]] = field(default_factory=dict)

    def result_without_call(self, leased: LeasedTaskContext) -> Result | None:
        """Returns the result of an erasure for which the system is not asked; None if it is."""
        if self.operation is not Operation.ERASE:
            return None
        if not self._can_keep_categories and self._is_on_hold(leased):
            earlier = self.earlier_findings.get(leased.fulfilment_id) or SystemFindings({})
            return _retained(leased, LEGAL_HOLD, earlier, self._retained(leased, earlier))
        confirmed, today = leased.confirmed.get(self.system.name, {}), self.policy.today(self.now)
        if lapsed := grounds.lapsed_rules(self.policy, today, self.system.name, leased.details, confirmed):
            return lapsed
        findings = self.findings.get(leased.fulfilment_id)
        if self._can_keep_categories or findings is None:
            return None
        kept = self._retained(leased, findings)
        if isinstance(kept, Refused):
            return kept
        return _retained(leased, kept[0].rule, findings, kept) if kept else None

    def with_kept_categories(self, leased: LeasedTaskContext, task: Task) -> Task:
        """Returns the task with the categories that a system must leave."""
        if findings := self.findings.get(leased.fulfilment_id):
            task = replace(task, states=findings.states)
        if self._can_keep_categories and leased.subject_ref in self.holds and self.operation is not Operation.SUPPRESS:
            task = replace(task, held_categories=self._covered(self.holds[leased.subject_ref]))
        if leased.task_id in self.blockers:
            task = replace(task, details={**task.details, COPY_FIRST: True})
        return task

    def with_retained(self, leased: LeasedTaskContext, result: Result) -> Result:
        """Returns a dry run's result with what stays and the reported states.

        A task that only stopped use continues later.
        """
        if (why := self.blockers.get(leased.task_id)) and isinstance(result, Receipt):
            return self._use_stopped(leased, why, result)
        if self.operation is not Operation.PLAN:
            return result
        if isinstance(result, Receipt) and not self._can_keep_categories:
            result = self._with_kept(leased, result)
        return _with_states(self.system, grounds.without_unproved_country(self.policy, result))

    def _use_stopped(self, leased: LeasedTaskContext, why: frozenset[str], stopped: Receipt) -> Result:
        """Returns the result of a task that only stopped the use of data that it must erase."""
        if why == {RequestKind.COPY.value}:
            pause = _FIRST_PAUSE * 2 ** min(max(leased.attempt - 1, 0), _MOST_DOUBLINGS)
            return Pending(leased.task_id, min(pause, _LONGEST_PAUSE), copy_first=True)
        kept = withdrawn_text(self.system, leased.details)
        opposed = "a legal hold covers it" if HOLD in why else "the person has asked that their data be kept"
        failure = ErasureOpposed(
            f"{self.system.name} holds {kept}, which goes with the consent, and {opposed}: {self._advice(leased)}; try"
            " again once that is over, or decide and enter what was done"
        )
        if stopped.changed:
            failure.done_before = DoneBefore(stopped.found, stopped.changed, stopped.remaining)
        return failure

    def _advice(self, leased: LeasedTaskContext) -> str:
        """Says whether use was stopped; a person must stop it where the system has no mark for it."""
        silenced = (
            self.system.capabilities.marketing_stop_categories
            if leased.details.get("marketing") is not False
            else frozenset[str]()
        )
        if bare := ", ".join(
            sorted(withdrawn_categories(self.system, leased.details) - silenced)
        ):  # the mark is that of marketing
            return f"{bare} cannot be marked as unused there: stop its use by hand"
        return "its use is stopped"

    def erases(self, leased: LeasedTaskContext) -> bool:
        """Whether a new hold must stop the task; a task that only stops use goes on."""
        if self.operation is not Operation.SUPPRESS:
            return self.operation is Operation.ERASE
        return (
            not leased.immediate
            and leased.task_id not in self.blockers
            and bool(withdrawn_categories(self.system, leased.details))
        )

    def is_new_hold(self, leased: LeasedTaskContext, hold: Hold | None) -> bool:
        """Whether the hold covers data there and was placed after the task was claimed."""
        before = self.holds.get(leased.subject_ref)
        if hold is None or (before is not None and {*hold.hold_ids} <= {*before.hold_ids}):
            return False
        if self.operation is Operation.SUPPRESS:
            return bool(hold.covers(withdrawn_categories(self.system, leased.details), self.policy.category_of))
        return self._covers(hold)

    @property
    def _can_keep_categories(self) -> bool:
        """Whether the system can leave some categories and erase the rest."""
        return self.system.capabilities.keeps_by_category

    def _is_on_hold(self, leased: LeasedTaskContext) -> bool:
        return self._covers(self.holds.get(leased.subject_ref))

    def _covers(self, hold: Hold | None) -> bool:
        """Whether a hold covers data there; a system without declared categories may hold any."""
        return hold is not None and (not self.system.categories or bool(self._covered(hold)))

    def _covered(self, hold: Hold | None) -> frozenset[str]:
        return hold.covers(self.system.categories, self.policy.category_of) if hold else frozenset()

    def _with_kept(self, leased: LeasedTaskContext, result: Receipt) -> Result:
        """Returns the dry run's result with what stays by a hold or state."""
        findings = self.findings.get(leased.fulfilment_id) or (SystemFindings({}) if self._is_on_hold(leased) else None)
        if findings is None:
            return result
        kept = self._retained(leased, SystemFindings(findings.states, result.found, result.by_category))
        if isinstance(kept, Refused):
            kept.states, kept.found = result.states, result.by_category
            return kept
        if result.outcome is not TaskOutcome.PLANNED or not (kept or self._is_on_hold(leased)):
            return result
        rule = kept[0].rule if kept else LEGAL_HOLD
        return replace(result, remaining=result.found, ground=rule, until=None, kept=kept or None)

    def _retained(self, leased: LeasedTaskContext, findings: SystemFindings) -> tuple[Kept, ...] | Refused:
        """Returns what stays of a system that erases everything or nothing; a hold keeps all of it."""
        task = Task(
            *(leased.task_id, leased.request_id, leased.subject_ref, self.system.name, Operation.ERASE),
            confirmed=leased.confirmed.get(self.system.name, {}),
            at=self.now,
            held_categories=self.system.categories if self._is_on_hold(leased) else frozenset(),
            states=findings.states,
        )
        return retained_or_refusal(task, self.policy, self.system.categories, findings.rows(self.system.categories))


def _retained(
    leased: LeasedTaskContext, rule: str, findings: SystemFindings, kept: tuple[Kept, ...] | Refused
) -> Receipt:
    if findings.found == 0:
        return Receipt(leased.task_id, TaskOutcome.NO_MATCH)
    receipt = Receipt(leased.task_id, TaskOutcome.RETAINED, ground=rule)
    if findings.found is None or isinstance(kept, Refused):
        return receipt
    return replace(receipt, found=findings.found, remaining=findings.found, by_category=findings.by_category, kept=kept)


def combine_states(awaited: frozenset[str], receipts: Sequence[Mapping[str, Any]]) -> States:
    """Combines what systems report: a state lasts if one says so, and is over if all say so."""
    reports = [each.get("states") or {} for each in receipts]
    findings = {state: [each[state] for each in reports if state in each] for state in awaited}
    return {s: True if True in each else None if None in each or not each else False for s, each in findings.items()}


def _with_states(system: Downstream, result: Result) -> Result:
    """Returns the result with the states that the system reports.

    A person who is not found there has none of them; a dry run would have been refused while one lasts.
    """
    if not system.capabilities.reported_states:
        return result
    if isinstance(result, NotSearched):
        searched = Receipt(result.task_id, TaskOutcome.NOT_SEARCHED, not_searched=result.reason, level=result.level)
        return replace(searched, states=dict.fromkeys(system.capabilities.reported_states))
    if not isinstance(result, Receipt) or result.states is not None:
        return result
    known = False if result.outcome in COUNTING_OUTCOMES else None
    return replace(result, states=dict.fromkeys(system.capabilities.reported_states, known))
