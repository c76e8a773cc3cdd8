"""What stays whatever a system is told: a legal hold covers it, or a state lasts by which the policy keeps it.

Both are asked each time before a system erases. A state is told by another system, which was asked before: what it said
stands with its task of the same fulfilment. Where it could say nothing, that is a person's matter. Whoever can leave
one category and erase another decides by the same rules what of its own stays (``leaving.py``).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, Self
from uuid import UUID

from shared.domain.errors import NotSupported, Refused, RuleUnsigned
from shared.domain.holds import LEGAL_HOLD, Hold
from shared.domain.operations import Exceeded, Kept, Limit, Operation, TaskOutcome
from shared.domain.policy import Policy
from shared.downstreams import leaving
from shared.downstreams.contract import NotSearched, Receipt, Result, States, Task
from shared.downstreams.downstream import Downstream
from shared.fulfilment import grounds, holding
from shared.fulfilment.lapsed import beside, lapsed
from shared.fulfilment.queue import Claim
from shared.messaging.unit_of_work import UnitOfWorkFactory
from shared.storage.postgres import Connection
from shared.storage.subject_data import SubjectData

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


@dataclass(frozen=True, slots=True)
class Staying:
    """Of the tasks of one batch: by subject which holds cover their data, by fulfilment what systems have said."""

    system: Downstream
    operation: Operation
    policy: Policy
    today: date
    held: Mapping[UUID, Hold]
    said: Mapping[UUID, Told]
    looked: Mapping[UUID, Told] = field(default_factory=dict)
    """By fulfilment what a system that a hold covers was found to have before, where it was asked."""

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
        held = await holding.holds_of(connection, unit_of_work.vault.keyring, operation, known)
        ours = [c.fulfilment_id for c in claims if c.subject_ref in known and known[c.subject_ref].tenant is None]
        asked = bool(system.rests_on) and operation in {Operation.ERASE, Operation.PLAN}
        rows = await connection.fetch(_SAID, ours, system.name) if asked and ours else ()
        said = {each: Told(_together(system.rests_on, [r[2] for r in rows if r[0] == each])) for each in ours}
        for fulfilment_id, own, receipt in rows:
            if own and receipt.get("outcome") in _COUNTED:
                counts = receipt.get("found", 0), receipt.get("by_category", {})
                said[fulfilment_id] = Told(said[fulfilment_id].states, *counts)
        policy, now = unit_of_work.policy, unit_of_work.clock.now()
        covered = [c.fulfilment_id for c in claims if c.subject_ref in held and operation is Operation.ERASE]
        seen = await connection.fetch(_LOOKED, covered, system.name) if covered else ()
        looked = {each: was for each, verb, receipt in seen if (was := _looked(Operation(verb), receipt))}
        return cls(system, operation, policy, policy.today(now), held, said if asked else {}, looked)

    def instead(self, claim: Claim) -> Result | None:
        """What comes of a task for which the system is not asked; None: it is."""
        hold = self.held.get(claim.subject_ref)
        kept: Result | None = holding.kept(self.system, self.operation, self.policy, claim.task_id, hold)
        if kept and (looked := self.looked.get(claim.fulfilment_id)):
            kept = _retained(claim.task_id, LEGAL_HOLD, looked)
        if not kept and not self._spares:
            kept = self._lapsed(claim)
        if kept or not (told := self.said.get(claim.fulfilment_id)):
            return kept
        why = self._why(told, claim)
        if isinstance(why, str) and self.operation is Operation.ERASE:
            return _retained(claim.task_id, why, told)
        return why if isinstance(why, Refused) else None

    @property
    def _spares(self) -> bool:
        """Whether the system leaves what must stay, and erases the rest."""
        return bool(getattr(self.system.adapter, "spares_by_category", False))

    def _lapsed(self, claim: Claim) -> RuleUnsigned | None:
        """Why what is kept by rules whose sign-off has ended waits, where its day has come."""
        if self.operation is not Operation.ERASE or claim.fulfils != Operation.ERASE:
            return None
        confirmed = claim.confirmed.get(self.system.name, {})
        return lapsed(self.policy, self.today, self.system.name, claim.details, confirmed)

    def told(self, claim: Claim, task: Task) -> Task:
        """The task with what a system that can leave one category and erase another is to leave."""
        if waiting := self._lapsed(claim):
            task = replace(task, lapsed=frozenset(each.rule for each in waiting.unsigned))
        spared = holding.spared(self.system, self.policy, self.held.get(claim.subject_ref))
        told = self.said.get(claim.fulfilment_id)
        return replace(task, held=spared, states=told.states if told else {})

    def planned(self, claim: Claim, result: Result) -> Result:
        """What a dry run says, with what stays by a hold or a state, and with the states that the system tells.

        And what an erasure has done beside what waits for the signature of a rule.
        """
        if self._spares and (waiting := self._lapsed(claim)):
            return beside(waiting, result)
        if self.operation is not Operation.PLAN:
            return result
        result = holding.planned(self.system, self.policy, result, self.held.get(claim.subject_ref))
        if isinstance(result, Receipt) and (told := self.said.get(claim.fulfilment_id)):
            result = self._leaving(result, Told(told.states, result.found, result.by_category), claim)
        return _telling(self.system, grounds.as_shown(self.policy, result))

    def _leaving(self, result: Receipt, told: Told, claim: Claim) -> Result:
        """What an erasure would do, and what of it stays while a state lasts."""
        why = self._why(told, claim)
        if isinstance(why, Refused):
            why.states, why.found = result.states, result.by_category
            return why
        if why is None or result.outcome is not TaskOutcome.PLANNED:
            return result
        kept = _kept(why, result.by_category)
        return replace(result, remaining=result.found, ground=why, until=None, kept=kept)

    def _why(self, told: Told, claim: Claim) -> str | Refused | None:
        """By which rule a system that erases all it has or nothing leaves all of it, or why a person erases there."""
        if self._spares:
            return None  # it leaves the rows themselves
        policy, states = self.policy, told.states
        keeping = {held: rules for held in self.system.categories if (rules := leaving.keeping(policy, held, states))}
        # Of what stays nobody could be told how much it is, nor so that the law is not known.
        asks = told.found is None and self.operation is Operation.ERASE
        not_known = leaving.not_known(policy, self.system.name, keeping, states, of_country=asks)
        if refused := not_known or self._unsigned(keeping, told, claim):
            return refused
        keeping = {held: signed for held, each in keeping.items() if (signed := [*filter(self._signed, each)])}
        if not keeping:
            return None
        if len(keeping) == len(self.system.categories):
            return keeping[min(keeping)][0]
        stays = ", ".join(sorted(keeping))
        return NotSupported(
            f"{self.system.name} holds {stays}, which must stay now, and cannot leave that and erase the rest: erase"
            " there by hand what may go, and enter that"
        )

    def _signed(self, rule: str) -> bool:
        return self.policy.rules[rule].signed(self.today)

    def _unsigned(self, keeping: Mapping[str, Sequence[str]], told: Told, claim: Claim) -> RuleUnsigned | None:
        """The same: nobody has signed rules by which something would stay; it is asked first how much that is."""
        found = told.found
        rules = sorted({each for named in keeping.values() for each in named if not self._signed(each)})
        if found is None and self.operation is Operation.PLAN:
            return None
        allowed = claim.confirmed.get(self.system.name, {}).get(Limit.UNSIGNED_ROWS, 0)
        rows = 1 if found is None else found
        if not rules or rows <= allowed:
            return None
        why = RuleUnsigned(
            f"{rows:,} rows of {self.system.name} would be kept by {', '.join(rules)}, which is not signed: nothing was"
            " done; have it signed, or confirm that they go",
            Exceeded(limit=Limit.UNSIGNED_ROWS, found=rows, allowed=allowed),
        )
        of_rule = {(held, each) for held, named in keeping.items() for each in named if each in rules}
        why.unsigned = tuple(
            Kept(category=held, rule=each, count=told.by_category.get(held, 0)) for held, each in sorted(of_rule)
        )
        return why


def _looked(verb: Operation, receipt: Mapping[str, Any]) -> Told | None:
    """What was found there; that nothing was is only shown by who was asked last, by all that is known."""
    found = receipt.get("found", 0)
    known = verb is Operation.PLAN and receipt.get("outcome") in _COUNTED
    return Told({}, found, receipt.get("by_category", {})) if found or known else None


def _retained(task_id: UUID, rule: str, told: Told) -> Receipt:
    if told.found == 0:
        return Receipt(task_id, TaskOutcome.NO_MATCH)
    receipt = Receipt(task_id, TaskOutcome.RETAINED, ground=rule)
    if told.found is None:
        return receipt
    kept = _kept(rule, told.by_category)
    return replace(receipt, found=told.found, remaining=told.found, by_category=told.by_category, kept=kept)


def _kept(rule: str, by_category: Mapping[str, int]) -> tuple[Kept, ...]:
    return tuple(Kept(category=held, rule=rule, count=rows) for held, rows in sorted(by_category.items()))


def _together(awaited: frozenset[str], receipts: Sequence[Mapping[str, Any]]) -> States:
    """What several systems say: a state lasts if one of them says so, and is over where all say that."""
    said = [each.get("states") or {} for each in receipts]
    told = {state: [each[state] for each in said if state in each] for state in awaited}
    return {s: True if True in each else None if None in each or not each else False for s, each in told.items()}


def _telling(system: Downstream, result: Result) -> Result:
    """The same with the states that the system tells, where it has not said them itself.

    Whoever is not found there has none of them; of whom it says what an erasure would do, it would have refused.
    """
    if not system.tells:
        return result
    if isinstance(result, NotSearched):
        searched = Receipt(result.task_id, TaskOutcome.NOT_SEARCHED, not_searched=result.reason, level=result.level)
        return replace(searched, states=dict.fromkeys(system.tells))
    if not isinstance(result, Receipt) or result.states is not None:
        return result
    known = False if result.outcome in _COUNTED else None
    return replace(result, states=dict.fromkeys(system.tells, known))
