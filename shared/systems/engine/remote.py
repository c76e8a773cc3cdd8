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
from shared.domain.precedence import Kind
from shared.systems.contract import COPY_FIRST, NotSearched, Pending, Receipt, Result, States, Task
from shared.systems.downstream import Downstream
from shared.systems.engine import grounds, planning
from shared.systems.engine.ownership import Attribution, Mine
from shared.systems.engine.records import Record, Shape
from shared.systems.engine.searching import Asked, ending, ends
from shared.systems.states import country_unknown


def left(
    task: Task, policy: Policy, categories: Collection[str], rows: Mapping[str, int] | None
) -> tuple[Kept, ...] | Refused:
    """Returns what stays of a system, which is all or nothing, or why a person must act there.

    ``rows``: its rows by category; None: unknown.
    """
    shapes = [Shape(place=held, category=held, parties={}, whole=True) for held in sorted(categories)]
    each = [Record(shape, (), rows=1 if rows is None else rows.get(shape.category, 0)) for shape in shapes]
    found = Attribution(task, {record.name: Mine(record) for record in each})
    made = planning.plan(task.system, policy, None, found, shapes)
    kept = made.kept(marked=False)
    if made.refused:
        return made.refused
    if rows is None and (unclear := next((each for each in kept if each.shown is False), None)):
        countries = policy.countries_of(policy.rules[unclear.rule]) or ()  # how much stays is unknown: a person decides
        return GroundUnknown(country_unknown(task.system, unclear.category or "", unclear.rule, countries))
    if kept and made.gone:
        stays = ", ".join(sorted({each.category or "" for each in kept}))
        return NotSupported(
            f"{task.system} holds {stays}, which must stay now, and cannot leave that and erase the rest: erase there"
            " by hand what may go, and enter that"
        )
    return kept


class Claimed(Asked, Protocol):
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


COUNTED: Final = frozenset({TaskOutcome.PLANNED, TaskOutcome.NO_MATCH})
_SOON, _SELDOM = timedelta(seconds=2), timedelta(minutes=5)
_DOUBLED: Final = 8
"""Most doublings of the pause."""
HOLD: Final = "hold"
"""Reason not to erase what a withdrawn consent ends: a legal hold covers it."""


@dataclass(frozen=True, slots=True)
class Findings:
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
class Staying:
    """The kept data of a batch: holds by subject, and findings by fulfilment.

    ``looked``: by fulfilment, earlier findings in a system that a hold covers. ``first``: by task, what comes before
    the erasure that a withdrawn consent requires, or prevents it.
    """

    system: Downstream
    operation: Operation
    policy: Policy
    now: datetime
    held: Mapping[UUID, Hold]
    said: Mapping[UUID, Findings]
    looked: Mapping[UUID, Findings] = field(default_factory=dict)
    first: Mapping[UUID, frozenset[str]] = field(default_factory=dict)

    def instead(self, claim: Claimed) -> Result | None:
        """Returns the result of an erasure for which the system is not asked; None if it is."""
        if self.operation is not Operation.ERASE:
            return None
        if not self._spares and self._is_held(claim):
            looked = self.looked.get(claim.fulfilment_id) or Findings({})
            return _retained(claim, LEGAL_HOLD, looked, self._left(claim, looked))
        confirmed, today = claim.confirmed.get(self.system.name, {}), self.policy.today(self.now)
        if waiting := grounds.lapsed(self.policy, today, self.system.name, claim.details, confirmed):
            return waiting
        findings = self.said.get(claim.fulfilment_id)
        if self._spares or findings is None:
            return None
        left = self._left(claim, findings)
        if isinstance(left, Refused):
            return left
        return _retained(claim, left[0].rule, findings, left) if left else None

    def instructed(self, claim: Claimed, task: Task) -> Task:
        """Returns the task with the categories that a system must leave."""
        if findings := self.said.get(claim.fulfilment_id):
            task = replace(task, states=findings.states)
        if self._spares and claim.subject_ref in self.held and self.operation is not Operation.SUPPRESS:
            task = replace(task, held=self._covered(self.held[claim.subject_ref]))
        if claim.task_id in self.first:
            task = replace(task, details={**task.details, COPY_FIRST: True})
        return task

    def settled(self, claim: Claimed, result: Result) -> Result:
        """Returns a dry run's result with what stays and the reported states.

        A task that only stopped use continues later.
        """
        if (why := self.first.get(claim.task_id)) and isinstance(result, Receipt):
            return self._only_stopped(claim, why, result)
        if self.operation is not Operation.PLAN:
            return result
        if isinstance(result, Receipt) and not self._spares:
            result = self._leaving(claim, result)
        return _with_states(self.system, grounds.as_shown(self.policy, result))

    def _only_stopped(self, claim: Claimed, why: frozenset[str], stopped: Receipt) -> Result:
        """Returns the result of a task that only stopped the use of data that it must erase."""
        if why == {Kind.COPY.value}:
            pause = _SOON * 2 ** min(max(claim.attempt - 1, 0), _DOUBLED)
            return Pending(claim.task_id, min(pause, _SELDOM), copy_first=True)
        left = ending(self.system, claim.details)
        opposed = "a legal hold covers it" if HOLD in why else "the person has asked that their data be kept"
        failure = ErasureOpposed(
            f"{self.system.name} holds {left}, which goes with the consent, and {opposed}: {self._use(claim)}; try"
            " again once that is over, or decide and enter what was done"
        )
        if stopped.changed:
            failure.done_before = DoneBefore(stopped.found, stopped.changed, stopped.remaining)
        return failure

    def _use(self, claim: Claimed) -> str:
        """Says whether use was stopped; a person must stop it where the system has no mark for it."""
        silenced = self.system.capable.silences if claim.details.get("marketing") is not False else frozenset[str]()
        if bare := ", ".join(sorted(ends(self.system, claim.details) - silenced)):  # the mark is that of marketing
            return f"{bare} cannot be marked as unused there: stop its use by hand"
        return "its use is stopped"

    def erases(self, claim: Claimed) -> bool:
        """Whether a new hold must stop the task; a task that only stops use goes on."""
        if self.operation is not Operation.SUPPRESS:
            return self.operation is Operation.ERASE
        return not claim.immediate and claim.task_id not in self.first and bool(ends(self.system, claim.details))

    def is_new(self, claim: Claimed, hold: Hold | None) -> bool:
        """Whether the hold covers data there and was placed after the task was claimed."""
        before = self.held.get(claim.subject_ref)
        if hold is None or (before is not None and {*hold.hold_ids} <= {*before.hold_ids}):
            return False
        if self.operation is Operation.SUPPRESS:
            return bool(hold.covers(ends(self.system, claim.details), self.policy.category_of))
        return self._covers(hold)

    @property
    def _spares(self) -> bool:
        """Whether the system can leave some categories and erase the rest."""
        return self.system.capable.spares_by_category

    def _is_held(self, claim: Claimed) -> bool:
        return self._covers(self.held.get(claim.subject_ref))

    def _covers(self, hold: Hold | None) -> bool:
        """Whether a hold covers data there; a system without declared categories may hold any."""
        return hold is not None and (not self.system.categories or bool(self._covered(hold)))

    def _covered(self, hold: Hold | None) -> frozenset[str]:
        return hold.covers(self.system.categories, self.policy.category_of) if hold else frozenset()

    def _leaving(self, claim: Claimed, result: Receipt) -> Result:
        """Returns the dry run's result with what stays by a hold or state."""
        findings = self.said.get(claim.fulfilment_id) or (Findings({}) if self._is_held(claim) else None)
        if findings is None:
            return result
        left = self._left(claim, Findings(findings.states, result.found, result.by_category))
        if isinstance(left, Refused):
            left.states, left.found = result.states, result.by_category
            return left
        if result.outcome is not TaskOutcome.PLANNED or not (left or self._is_held(claim)):
            return result
        rule = left[0].rule if left else LEGAL_HOLD
        return replace(result, remaining=result.found, ground=rule, until=None, kept=left or None)

    def _left(self, claim: Claimed, findings: Findings) -> tuple[Kept, ...] | Refused:
        """Returns what stays of a system that erases everything or nothing; a hold keeps all of it."""
        task = Task(
            *(claim.task_id, claim.request_id, claim.subject_ref, self.system.name, Operation.ERASE),
            confirmed=claim.confirmed.get(self.system.name, {}),
            at=self.now,
            held=self.system.categories if self._is_held(claim) else frozenset(),
            states=findings.states,
        )
        return left(task, self.policy, self.system.categories, findings.rows(self.system.categories))


def _retained(claim: Claimed, rule: str, findings: Findings, left: tuple[Kept, ...] | Refused) -> Receipt:
    if findings.found == 0:
        return Receipt(claim.task_id, TaskOutcome.NO_MATCH)
    receipt = Receipt(claim.task_id, TaskOutcome.RETAINED, ground=rule)
    if findings.found is None or isinstance(left, Refused):
        return receipt
    return replace(receipt, found=findings.found, remaining=findings.found, by_category=findings.by_category, kept=left)


def together(awaited: frozenset[str], receipts: Sequence[Mapping[str, Any]]) -> States:
    """Combines what systems report: a state lasts if one says so, and is over if all say so."""
    said = [each.get("states") or {} for each in receipts]
    findings = {state: [each[state] for each in said if state in each] for state in awaited}
    return {s: True if True in each else None if None in each or not each else False for s, each in findings.items()}


def _with_states(system: Downstream, result: Result) -> Result:
    """Returns the result with the states that the system reports.

    A person who is not found there has none of them; a dry run would have been refused while one lasts.
    """
    if not system.capable.tells:
        return result
    if isinstance(result, NotSearched):
        searched = Receipt(result.task_id, TaskOutcome.NOT_SEARCHED, not_searched=result.reason, level=result.level)
        return replace(searched, states=dict.fromkeys(system.capable.tells))
    if not isinstance(result, Receipt) or result.states is not None:
        return result
    known = False if result.outcome in COUNTED else None
    return replace(result, states=dict.fromkeys(system.capable.tells, known))
