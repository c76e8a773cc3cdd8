"""What stays whatever a system is told: a legal hold covers it, or a state lasts by which the policy keeps it.

Both are asked each time before a system erases (Art. 17(3)). A state is told by another system, which was asked before:
what it said stands with its task of the same fulfilment. A system that can leave one category and erase another is told
what to leave; of any other the engine decides before (``remote.py``). A customer's own data are held by that customer.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Self
from uuid import UUID

from shared.domain.errors import Refused, Unavailable
from shared.domain.holds import LEGAL_HOLD, Hold, HoldMarks
from shared.domain.operations import Kept, Operation, TaskOutcome
from shared.domain.policy import Policy
from shared.domain.precedence import Fingerprints
from shared.fulfilment.queue import Claim
from shared.messaging.unit_of_work import UnitOfWorkFactory
from shared.storage import holds
from shared.storage.postgres import Connection
from shared.storage.subject_data import SubjectData
from shared.systems.contract import NotSearched, Receipt, Result, States, Task
from shared.systems.downstream import Downstream
from shared.systems.engine import grounds, remote

# Of a system that was asked again, what it said last.
_SAID = """
SELECT DISTINCT ON (fulfilment_id, system) fulfilment_id, system = $2, receipt FROM task
WHERE fulfilment_id = ANY($1) AND operation = 'plan' AND state = 'done' AND (receipt ? 'states' OR system = $2)
ORDER BY fulfilment_id, system, stage DESC
"""
# What it has found of them before, nothing of it changed: a dry run knows by all that anybody told.
_LOOKED = """
SELECT DISTINCT ON (fulfilment_id) fulfilment_id, operation, receipt FROM task
WHERE fulfilment_id = ANY($1) AND system = $2 AND operation IN ('locate', 'plan') AND state = 'done' AND NOT observes
ORDER BY fulfilment_id, operation = 'plan' DESC, stage DESC
"""
_COUNTED = frozenset({TaskOutcome.PLANNED, TaskOutcome.NO_MATCH})


@dataclass(frozen=True, slots=True)
class Told:
    """What systems have said of one person before an erasure: which states last; and the system itself, of its rows."""

    states: States
    found: int | None = None
    by_category: Mapping[str, int] = field(default_factory=dict)

    def rows(self, categories: Collection[str]) -> Mapping[str, int] | None:
        """Returns how many it has, by category: where it does not say of which, all of them may be of each."""
        if self.found is None or sum(self.by_category.values()) == self.found:
            return None if self.found is None else self.by_category
        return dict.fromkeys(categories, self.found)


@dataclass(frozen=True, slots=True)
class Staying:
    """Of the tasks of one batch: by subject which holds cover their data, by fulfilment what systems have said."""

    system: Downstream
    operation: Operation
    policy: Policy
    now: datetime
    held: Mapping[UUID, Hold]
    said: Mapping[UUID, Told]
    looked: Mapping[UUID, Told] = field(default_factory=dict)
    """By fulfilment what a system that a hold covers was found to have before, where it was asked."""
    known: Mapping[UUID, SubjectData] = field(default_factory=dict)

    @classmethod
    async def of(
        cls,
        connection: Connection,
        unit_of_work: UnitOfWorkFactory,
        place: tuple[Downstream, Operation],
        claims: Sequence[Claim],
        known: Mapping[UUID, SubjectData],
    ) -> Self:
        """As it is now; what a customer of ours decides about, they hold themselves."""
        system, operation = place
        held = await _holds_of(connection, unit_of_work.vault.keyring, operation, known)
        ours = [c.fulfilment_id for c in claims if c.subject_ref in known and known[c.subject_ref].tenant is None]
        asked = bool(system.rests_on) and operation in {Operation.ERASE, Operation.PLAN}
        rows = await connection.fetch(_SAID, ours, system.name) if asked and ours else ()
        said = {each: Told(_together(system.rests_on, [r[2] for r in rows if r[0] == each])) for each in ours}
        for fulfilment_id, own, receipt in rows:
            if own and receipt.get("outcome") in _COUNTED:
                counts = receipt.get("found", 0), receipt.get("by_category", {})
                said[fulfilment_id] = Told(said[fulfilment_id].states, *counts)
        covered = [c.fulfilment_id for c in claims if c.subject_ref in held and operation is Operation.ERASE]
        seen = await connection.fetch(_LOOKED, covered, system.name) if covered else ()
        looked = {each: was for each, verb, receipt in seen if (was := _looked(Operation(verb), receipt))}
        now = unit_of_work.clock.now()
        return cls(system, operation, unit_of_work.policy, now, held, said if asked else {}, looked, known)

    def instead(self, claim: Claim) -> Result | None:
        """What comes of an erasure for which the system is not asked; None: it is."""
        if self.operation is not Operation.ERASE:
            return None
        if not self._spares and self._is_held(claim):
            looked = self.looked.get(claim.fulfilment_id) or Told({})
            return _retained(claim, LEGAL_HOLD, looked, self._left(claim, looked))
        confirmed, today = claim.confirmed.get(self.system.name, {}), self.policy.today(self.now)
        if waiting := grounds.lapsed(self.policy, today, self.system.name, claim.details, confirmed):
            return waiting
        told = self.said.get(claim.fulfilment_id)
        if self._spares or told is None:
            return None
        left = self._left(claim, told)
        if isinstance(left, Refused):
            return left
        return _retained(claim, left[0].rule, told, left) if left else None

    def told(self, claim: Claim, task: Task) -> Task:
        """The task with what a system that can leave one category and erase another is to leave."""
        if told := self.said.get(claim.fulfilment_id):
            task = replace(task, states=told.states)
        if self._spares and claim.subject_ref in self.held:
            task = replace(task, held=self._covered(self.held[claim.subject_ref]))
        return task

    def planned(self, claim: Claim, result: Result) -> Result:
        """What a dry run says, with what stays by a hold or a state, and with the states that the system tells."""
        if self.operation is not Operation.PLAN:
            return result
        if isinstance(result, Receipt) and not self._spares:
            result = self._leaving(claim, result)
        return _telling(self.system, grounds.as_shown(self.policy, result))

    async def look(self, connection: Connection, keyring: Fingerprints) -> None:
        """Looks before a step of an erasure whether a hold has come since its tasks were claimed.

        Raises:
            Unavailable: one has. The next attempt leaves what it covers, and goes on with the rest.
        """
        if self.operation is not Operation.ERASE:
            return
        for subject, hold in (await _holds_of(connection, keyring, self.operation, self.known)).items():
            before = self.held.get(subject)
            knew = before is not None and {*hold.hold_ids} <= {*before.hold_ids}
            if self._covers(hold) and not knew:
                raise Unavailable("gave up this attempt: a legal hold was placed since it began")

    @property
    def _spares(self) -> bool:
        """Whether the system leaves what must stay, and erases the rest."""
        return self.system.capable.spares_by_category

    def _is_held(self, claim: Claim) -> bool:
        return self._covers(self.held.get(claim.subject_ref))

    def _covers(self, hold: Hold | None) -> bool:
        """Whether a hold covers anything there: of what a system does not declare, all of it may be covered."""
        return hold is not None and (not self.system.categories or bool(self._covered(hold)))

    def _covered(self, hold: Hold | None) -> frozenset[str]:
        return hold.covers(self.system.categories, self.policy.category_of) if hold else frozenset()

    def _leaving(self, claim: Claim, result: Receipt) -> Result:
        """What an erasure would do there, and what of it stays by a hold or while a state lasts."""
        told = self.said.get(claim.fulfilment_id) or (Told({}) if self._is_held(claim) else None)
        if told is None:
            return result
        left = self._left(claim, Told(told.states, result.found, result.by_category))
        if isinstance(left, Refused):
            left.states, left.found = result.states, result.by_category
            return left
        if result.outcome is not TaskOutcome.PLANNED or not (left or self._is_held(claim)):
            return result
        rule = left[0].rule if left else LEGAL_HOLD
        return replace(result, remaining=result.found, ground=rule, until=None, kept=left or None)

    def _left(self, claim: Claim, told: Told) -> tuple[Kept, ...] | Refused:
        """Returns what stays of a system that erases all it has or nothing; a hold keeps all of it."""
        task = Task(
            *(claim.task_id, claim.request_id, claim.subject_ref, self.system.name, Operation.ERASE),
            confirmed=claim.confirmed.get(self.system.name, {}),
            at=self.now,
            held=self.system.categories if self._is_held(claim) else frozenset(),
            states=told.states,
        )
        return remote.left(task, self.policy, self.system.categories, told.rows(self.system.categories))


async def _holds_of(
    connection: Connection, keyring: Fingerprints, operation: Operation, known: Mapping[UUID, SubjectData]
) -> Mapping[UUID, Hold]:
    """Of the subjects of tasks that are about to be worked, those whose data are held, and by which holds."""
    if operation not in {Operation.ERASE, Operation.PLAN} or not await holds.exist(connection):
        return {}
    ours = {ref: subject.identities for ref, subject in known.items() if subject.tenant is None}
    return await holds.matching(connection, {ref: HoldMarks.of(keyring, each) for ref, each in ours.items()})


def _looked(verb: Operation, receipt: Mapping[str, Any]) -> Told | None:
    """What was found there; that nothing was is only shown by who was asked last, by all that is known."""
    found = receipt.get("found", 0)
    known = verb is Operation.PLAN and receipt.get("outcome") in _COUNTED
    return Told({}, found, receipt.get("by_category", {})) if found or known else None


def _retained(claim: Claim, rule: str, told: Told, left: tuple[Kept, ...] | Refused) -> Receipt:
    if told.found == 0:
        return Receipt(claim.task_id, TaskOutcome.NO_MATCH)
    receipt = Receipt(claim.task_id, TaskOutcome.RETAINED, ground=rule)
    if told.found is None or isinstance(left, Refused):
        return receipt
    return replace(receipt, found=told.found, remaining=told.found, by_category=told.by_category, kept=left)


def _together(awaited: frozenset[str], receipts: Sequence[Mapping[str, Any]]) -> States:
    """What several systems say: a state lasts if one of them says so, and is over where all say that."""
    said = [each.get("states") or {} for each in receipts]
    told = {state: [each[state] for each in said if state in each] for state in awaited}
    return {s: True if True in each else None if None in each or not each else False for s, each in told.items()}


def _telling(system: Downstream, result: Result) -> Result:
    """The same with the states that the system tells, where it has not said them itself.

    Whoever is not found there has none of them; of whom it says what an erasure would do, it would have refused.
    """
    if not system.capable.tells:
        return result
    if isinstance(result, NotSearched):
        searched = Receipt(result.task_id, TaskOutcome.NOT_SEARCHED, not_searched=result.reason, level=result.level)
        return replace(searched, states=dict.fromkeys(system.capable.tells))
    if not isinstance(result, Receipt) or result.states is not None:
        return result
    known = False if result.outcome in _COUNTED else None
    return replace(result, states=dict.fromkeys(system.capable.tells, known))
