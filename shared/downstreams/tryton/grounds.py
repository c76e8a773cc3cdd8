"""Why a customer's data must stay, as declared fields of the CRM tell, by the rules of the policy (Art. 17(1)(a), (3)).

Each fact is a state that lasts (a contract is active) or a day from which a period counts (the relationship ended).
Which rule keeps because of which is policy; what the CRM does not tell is a person's matter, and nothing goes before.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import chain
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints

from shared.domain.errors import GroundUnknown, Refused, RuleUnsigned
from shared.domain.operations import Exceeded, Kept, Limit
from shared.domain.policy import Policy, Rule, WhereUnknown, not_signed
from shared.downstreams.contract import Task
from shared.downstreams.states import country_unknown
from shared.downstreams.tryton.party import CATEGORIES

FieldName = Annotated[str, StringConstraints(pattern="^[a-z][a-z0-9_]{0,62}$")]

CONTRACT_ACTIVE: Final = "contract_active"
INVOICE_OPEN: Final = "invoice_open"
DISPUTED: Final = "disputed"
RELATIONSHIP_END: Final = "relationship_end"
"""What the rules of the policy call these facts."""
_CONTRACTS: Final = {"active": True, "ended": False, "none": False}
_YES_OR_NO: Final = {"yes": True, "no": False}


class DeclaredGrounds(BaseModel):
    """The fields of a party that say why its data must stay; a value that is none of those named is not known."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    contract: FieldName = Field(
        default="contract", description="`active`, `ended`, or `none`: there never was one; anything else is not known"
    )
    ended_on: FieldName = Field(default="contract_ended_on", description="the day on which an ended contract did")
    invoice_open: FieldName | None = Field(
        default=None, description="`yes` or `no`: an invoice is not settled; left out: another system's matter"
    )
    disputed: FieldName | None = Field(
        default=None, description="`yes` or `no`: a bill is disputed; left out: another system's matter"
    )

    last_activity: FieldName | None = Field(
        default=None, description="a day: the last click, login, purchase or reply; keeps nothing, and is shown"
    )

    @property
    def names(self) -> tuple[str, ...]:
        """All of them."""
        named = (self.contract, self.ended_on, self.invoice_open, self.disputed, self.last_activity)
        return tuple(filter(None, named))

    @property
    def states(self) -> frozenset[str]:
        """The states of which they tell whether they last."""
        declared = {CONTRACT_ACTIVE: self.contract, INVOICE_OPEN: self.invoice_open, DISPUTED: self.disputed}
        return frozenset(state for state, name in declared.items() if name)

    def shown(self, row: Mapping[str, Any]) -> dict[str, JsonValue]:
        """What a row of the CRM says, as the person reads it; what is empty is left out."""
        said = {name: row.get(name) for name in self.names}
        days = {name: day.isoformat() for name, value in said.items() if (day := _day(value))}
        return {name: days.get(name) or str(value) for name, value in said.items() if value}


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of one customer: states that last, and days; None: it should be known, and is not."""

    states: Mapping[str, bool | None] = field(default_factory=dict)
    days: Mapping[str, date | None] = field(default_factory=dict)

    @classmethod
    def of(cls, row: Mapping[str, Any], declared: DeclaredGrounds) -> "Facts":
        """As a row of the CRM has them."""
        said = row.get(declared.contract)
        states: dict[str, bool | None] = {CONTRACT_ACTIVE: _CONTRACTS.get(str(said))}
        for state, name in ((INVOICE_OPEN, declared.invoice_open), (DISPUTED, declared.disputed)):
            if name is not None:
                states[state] = _YES_OR_NO.get(str(row.get(name)))
        return cls(states, {RELATIONSHIP_END: _day(row.get(declared.ended_on))} if said == "ended" else {})

    @classmethod
    def together(cls, each: Iterable["Facts"]) -> "Facts":
        """Of parties that are one person: what holds of one holds of them; what is not known of one is not known."""
        states: dict[str, bool | None] = {}
        days: dict[str, date | None] = {}
        for facts in each:
            for state, lasts in facts.states.items():
                known = states.get(state, False)
                states[state] = True if True in {known, lasts} else None if None in {known, lasts} else False
            for name, day in facts.days.items():
                before = days.get(name, date.min)
                days[name] = None if day is None or before is None else max(before, day)
        return cls(states, days)


@dataclass(frozen=True, slots=True)
class Stays:
    """That data must stay: by which rule, to the end of which day (None: for as long as its state lasts).

    ``anchor``: from which day that was counted.
    """

    name: str
    rule: Rule
    last_day: date | None = None
    anchor: date | None = None

    @property
    def restricts(self) -> bool:
        """Whether they are kept for the rule alone: what a state keeps is in use."""
        return self.last_day is not None


def stays(facts: Facts, policy: Policy, today: date, task: Task, rows: int) -> Stays | Refused | None:
    """Why the data must stay, None where nothing keeps them, or why a person must look first.

    A state that lasts comes before a period; of several periods the longest counts. What a rule that nobody has signed
    would keep longer than those that are signed is lost once two persons have confirmed as many ``rows`` of the
    ``task``: none of them keeps it by itself. Of what may keep a party's own categories nothing is left out: a state
    or a day that the CRM does not tell is not known; nor which country's law a party is under.
    """
    applying: list[Stays] = []
    if (untold := _untold(facts, policy)) is not None:
        return GroundUnknown(_unknown(untold))
    for name, rule in policy.rules.items():
        if rule.lasts_while is not None and rule.lasts_while in facts.states:
            lasts = facts.states[rule.lasts_while]
            if lasts is None:
                return GroundUnknown(_unknown(rule.lasts_while))
            applying += [Stays(name, rule)] if lasts else []
        elif rule.anchor is not None and rule.anchor in facts.days:
            day = facts.days[rule.anchor]
            if day is None:
                return GroundUnknown(_unknown(rule.anchor))
            if (release := policy.release(rule, day)) and release.last_day >= today:
                applying.append(Stays(name, rule, release.last_day, day))
    if asks := _asks_of_country(applying, policy):
        return asks
    signed = [each for each in applying if each.rule.signed(today)]
    kept = max(map(_strength, signed), default=None)
    unsigned = [each for each in applying if each not in signed and (kept is None or _strength(each) > kept)]
    if unsigned and rows > task.confirmed.get(Limit.UNSIGNED_ROWS, 0):
        exceeded = Exceeded(limit=Limit.UNSIGNED_ROWS, found=rows, allowed=task.confirmed.get(Limit.UNSIGNED_ROWS, 0))
        names = ", ".join(each.name for each in unsigned)
        said = not_signed({each.name: each.rule for each in unsigned}, today)
        why = RuleUnsigned(f"{rows:,} rows would be kept by {names}, {said}; nothing was done", exceeded)
        why.unsigned = tuple(Kept(category=None, rule=each.name, count=rows) for each in unsigned)
        return why
    return max(signed, key=_strength, default=None)


def _asks_of_country(applying: Sequence[Stays], policy: Policy) -> GroundUnknown | None:
    """That a person decides, where a rule is the law of one country: the CRM does not tell it of a customer."""
    for each in applying:
        if policy.country_of(each.rule) and each.rule.where_unknown is WhereUnknown.ASK:
            return GroundUnknown(country_unknown("the CRM", "a customer", each.name, each.rule.jurisdiction))
    return None


def _strength(each: Stays) -> tuple[bool, date]:
    """By which rules are compared that keep the same: for as long as a state lasts, or until which day."""
    return each.last_day is None, each.last_day or date.min


def _untold(facts: Facts, policy: Policy) -> str | None:
    """A state or a day by which the policy may keep a party, and of which the CRM never tells."""
    kept = (policy.category(each) for each in CATEGORIES)
    rules = [policy.rules[name] for category in kept if category for name in category.kept_by]
    states = (rule.lasts_while for rule in rules if rule.lasts_while and rule.lasts_while not in facts.states)
    days = (rule.anchor for rule in rules if rule.anchor and rule.anchor != RELATIONSHIP_END)
    return next(chain(states, days), None)


def _unknown(fact: str) -> str:
    said = fact.replace("_", " ")
    return f"the CRM does not tell {said} of the customer: enter it there, and try again; nothing was done anywhere"


def _day(value: object) -> date | None:
    """A day as Tryton's JSON has it: its parts, and ``__class__``."""
    if not isinstance(value, Mapping):
        return None
    try:
        return date(*(int(value[part]) for part in ("year", "month", "day")))
    except (KeyError, TypeError, ValueError):
        return None


def missing(names: Sequence[str], there: Iterable[str]) -> str | None:
    """Which of the declared fields the CRM has not, in a sentence; None where it has all."""
    lacking = sorted({*names} - {*there})
    return f"the CRM has no field {', '.join(lacking)} of a party: declare grounds as it has them" if lacking else None
