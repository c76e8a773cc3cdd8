"""What stays whatever a system is told: a legal hold covers it, or a state lasts by which the policy keeps it.

Both are asked each time before a system erases. A state is told by another system, which was asked before: what it said
stands with its task of the same fulfilment. Where it could say nothing, that is a person's matter. A system may tell it
of itself, and not know what the policy keeps by it: then that is decided here as well.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, Self
from uuid import UUID

from shared.domain.errors import GroundUnknown, NotSupported, Refused, RuleUnsigned
from shared.domain.holds import Hold
from shared.domain.operations import Exceeded, Kept, Limit, Operation, TaskOutcome
from shared.domain.policy import Policy, WhereUnknown
from shared.downstreams.contract import NotSearched, Receipt, Result, States, Task
from shared.downstreams.downstream import Downstream
from shared.downstreams.refusals import STATES, ErasureRefused, lasting
from shared.downstreams.states import country_unknown, unknown
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
        own_states = system.left_to_policy if operation is Operation.ERASE else frozenset()
        asked = bool(system.rests_on or own_states) and operation in {Operation.ERASE, Operation.PLAN}
        rows = await connection.fetch(_SAID, ours, system.name) if asked and ours else ()
        said = {each: Told(_together(system.rests_on, [r[2] for r in rows if r[0] == each])) for each in ours}
        for fulfilment_id, own, receipt in rows:
            if own and receipt.get("outcome") in _COUNTED:
                counts = receipt.get("found", 0), receipt.get("by_category", {})
                told = {state: lasts for state, lasts in (receipt.get("states") or {}).items() if state in own_states}
                said[fulfilment_id] = Told(_and(said[fulfilment_id].states, told), *counts)
        policy, now = unit_of_work.policy, unit_of_work.clock.now()
        return cls(system, operation, policy, policy.today(now), held, said if asked else {})

    def instead(self, claim: Claim) -> Result | None:
        """What comes of a task for which the system is not asked; None: it is."""
        hold = self.held.get(claim.subject_ref)
        kept: Result | None = holding.kept(self.system, self.operation, self.policy, claim.task_id, hold)
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
        if isinstance(result, Receipt):
            told, own = self.said.get(claim.fulfilment_id), _own(self.system, result)
            states = _and(told.states if told else {}, own)
            result = self._leaving(result, Told(states, result.found, result.by_category), own, claim)
        return _telling(self.system, grounds.as_shown(self.policy, result))

    def _leaving(self, result: Receipt, told: Told, own: States, claim: Claim) -> Result:
        """What an erasure would do, and what of it stays while a state lasts; ``own``: those that it tells itself."""
        why = self._unruled(own) or self._why(told, claim)
        if own and isinstance(why, NotSupported):
            return self._in_part(result, told.states)
        if isinstance(why, Refused):
            why.states, why.found = result.states, result.by_category
            return why
        if why is None or result.outcome is not TaskOutcome.PLANNED:
            return result
        kept = _kept(why, result.by_category)
        return replace(result, remaining=result.found, ground=why, until=None, kept=kept)

    def _in_part(self, result: Receipt, states: States) -> Receipt:
        """What a system says that it holds, with what of it must stay: a person erases the rest, once that is to go."""
        ruled = {each: [*filter(self._signed, _keeping(self.policy, each, states))] for each in self.system.categories}
        held = {each: rules for each, rules in ruled.items() if rules}
        kept = tuple(
            Kept(category=each, rule=held[each][0], count=rows)
            for each, rows in sorted(result.by_category.items())
            if each in held
        )
        return replace(result, remaining=sum(each.count for each in kept), kept=kept or None)

    def _unruled(self, own: States) -> Refused | None:
        """Why nothing may go of somebody of whom a system tells a state that no rule keeps what is in it by."""
        for place, held, reason in self.system.telling:
            state = STATES.get(reason, "")
            if own.get(state) and state not in self.policy.lasting(held):
                return ErasureRefused(f"{self.system.name} has a {place} that must stay now: {reason}")
        return None

    def _why(self, told: Told, claim: Claim) -> str | Refused | None:
        """By which rule a system that erases all it has or nothing leaves all of it, or why a person erases there."""
        if self._spares:
            return None  # it leaves the rows themselves
        policy, states = self.policy, told.states
        keeping = {held: rules for held in self.system.categories if (rules := _keeping(policy, held, states))}
        if refused := self._unknown(keeping, states, told.found) or self._unsigned(keeping, told, claim):
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

    def _unknown(self, keeping: Mapping[str, Sequence[str]], states: States, found: int | None) -> GroundUnknown | None:
        """Why nothing may go or stay yet: nobody could tell a state or a country by which something would stay."""
        for held, rules in sorted(keeping.items()):
            for rule in rules:
                if states[state := self.policy.rules[rule].lasts_while or ""] is None:
                    return GroundUnknown(unknown(self.system.name, held, rule, state))
                if self._asks_of_country(rule, found):
                    country = self.policy.rules[rule].jurisdiction
                    return GroundUnknown(country_unknown(self.system.name, held, rule, country))
        return None

    def _asks_of_country(self, name: str, found: int | None) -> bool:
        """Whether a person decides: by the rule, or since of what stays nobody could be told how much it is."""
        rule = self.policy.rules[name]
        asks = rule.where_unknown is WhereUnknown.ASK or (found is None and self.operation is Operation.ERASE)
        return asks and self.policy.country_of(rule) is not None

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


def _own(system: Downstream, result: Result) -> States:
    """The states that a system tells itself and leaves to the policy, as its dry run has told them."""
    said = result.states if isinstance(result, Receipt) and result.states else {}
    return {state: lasts for state, lasts in said.items() if state in system.left_to_policy}


def _and(states: States, own: States) -> States:
    """What others tell, and what a system tells itself."""
    return {**states, **{state: lasting(states.get(state, False), lasts) for state, lasts in own.items()}}


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


def _keeping(policy: Policy, held: str, states: States) -> Sequence[str]:
    """The rules that keep a category by a state that lasts, or of which that is not known."""
    category = policy.category(held)
    names = category.kept_by if category and not category.is_customers else ()
    return [name for name in names if states.get(policy.rules[name].lasts_while or "", False) is not False]


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
