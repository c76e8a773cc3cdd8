"""What a system leaves as it is in an erasure, record by record, where it can leave one and erase another; pure.

A legal hold covers a category (Art. 17(3)(e)), or a rule of the policy keeps it while a state lasts (17(3), 6(3)):
the records that say so of themselves, or all of them where something else says it of the person.
Adapters of systems that can tell their categories apart ask here, by what they have found; of a system that erases all
or nothing it is decided before it is asked (``fulfilment/staying.py``).
"""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import NamedTuple, TypeVar
from zoneinfo import ZoneInfo

from shared.domain.errors import GroundUnknown, RuleUnsigned
from shared.domain.holds import LEGAL_HOLD
from shared.domain.operations import Exceeded, Kept, Limit, TaskOutcome
from shared.domain.policy import Policy, Rule, WhereUnknown, not_signed
from shared.downstreams.contract import Receipt, States, Task
from shared.downstreams.refusals import lasting
from shared.downstreams.states import country_unknown, unknown

Key = TypeVar("Key", bound=Hashable)


class Speaking(NamedTuple):
    """Records of which the same is to be said: of which place (a table, a kind), of which category, in which states.

    ``says``: of each state that records of that place tell, in order, whether it lasts by them; None: they do not tell.
    """

    place: str
    held: str
    says: tuple[tuple[str, bool | None], ...] = ()


Left = Mapping[Speaking, str]
"""What is left as it is, and by which rule: ``legal_hold``, or one that lasts while a state does."""


def left(policy: Policy, task: Task, counts: Mapping[Speaking, int]) -> Left:
    """What of the records that were found an erasure leaves; what is a customer's they keep themselves.

    A state that records tell themselves leaves those of their place that are in it; what another place or system tells
    leaves all that the policy keeps by it, since nobody knows which of them it concerns.

    ``counts``: how many were found.

    Raises:
        GroundUnknown: nobody can tell a state by which something of it would stay.
        RuleUnsigned: nobody has signed a rule by which something would stay, and no two persons have let as much go.
    """
    if task.tenant is not None:
        return {}
    found = {each: rows for each, rows in sorted(counts.items(), key=lambda each: each[0][:2]) if rows}
    covered = {each: LEGAL_HOLD for each in found if each.held in task.held}
    lapsed = _lapsed(policy, task, {each.held for each in found})
    covered |= {each: lapsed[each.held] for each in found if each.held in lapsed}
    states = {each: together(_elsewhere(task, each.place, found), dict(each.says)) for each in found}
    ruled = {
        each: names for each in found if each not in covered and (names := keeping(policy, each.held, states[each]))
    }
    for each, names in ruled.items():
        if not_told := not_known(policy, task.system, {each.held: names}, states[each]):
            raise not_told
    signed = {each: [name for name in names if _is_signed(policy, name, task)] for each, names in ruled.items()}
    rows, of_rule = Counter[str](), Counter[tuple[str, str]]()
    for each, names in ruled.items():
        if unsigned := [name for name in names if name not in signed[each]]:
            rows[each.held] += found[each]
            of_rule.update({(each.held, name): found[each] for name in unsigned})
    today = policy.today(task.at) if task.at else date.min
    if refused := unsigned_rows(rows, of_rule, task.confirmed.get(Limit.UNSIGNED_ROWS, 0), policy.rules, today):
        raise refused
    return {**covered, **{each: names[0] for each, names in signed.items() if names}}


def _elsewhere(task: Task, place: str, found: Iterable[Speaking]) -> States:
    """Which states last by what other systems and the records of other places tell."""
    states: dict[str, bool | None] = {**task.states}
    for state, lasts in (said for each in found if each.place != place for said in each.says):
        states[state] = lasting(states.get(state, False), lasts)
    return states


def _lapsed(policy: Policy, task: Task, found: Iterable[str]) -> Mapping[str, str]:
    """What rules have kept until today that nobody has signed any more: it stays until somebody has decided."""
    known = ((held, policy.category(held)) for held in found if held not in task.held)
    each = ((held, name) for held, category in known if category for name in category.kept_by)
    return {held: name for held, name in each if name in task.lapsed}


def keeps_by(policy: Policy, held: str, rule: str | None, state: str | None) -> bool:
    """Whether what is in a state stays by that: then it is no reason to let nothing else go.

    ``rule``: by which it stays; None: it does not.
    """
    return state is not None and rule is not None and (rule == LEGAL_HOLD or state in policy.lasting(held))


def with_what_leads_there(kept: Mapping[Key, str], leads: Callable[[Key], Iterable[Key]]) -> Mapping[Key, str]:
    """What stays and by which rule, with what leads to it: without that nobody could tell whose it is."""
    stays, fresh = dict(kept), [*kept]
    while fresh:
        key = fresh.pop(0)
        for above in leads(key):
            if above not in stays:
                stays[above] = stays[key]
                fresh.append(above)
    return stays


def receipt(task: Task, gone: Mapping[str, int], kept: Sequence[Kept]) -> Receipt:
    """Of an erasure: all that was found and did not stay, by category, is gone."""
    erased = Receipt.counted(task, TaskOutcome.ERASED, gone)
    if not kept:
        return erased
    found = dict(erased.by_category)
    for each in kept:
        found[each.category or ""] = found.get(each.category or "", 0) + each.count
    return _keeping(replace(erased, outcome=TaskOutcome.RETAINED, found=sum(found.values()), by_category=found), kept)


def planned(task: Task, counts: Mapping[str, int], kept: Sequence[Kept]) -> Receipt:
    """Of a dry run: what an erasure would find, by category, and what of it would stay."""
    return _keeping(Receipt.planned(task, counts), kept)


def kept(stays: Iterable[tuple[str, str]]) -> tuple[Kept, ...]:
    """What is told of what stays: of each thing its category, and the rule by which it does."""
    each = [*stays]
    return tuple(Kept(category=held, rule=rule, count=each.count((held, rule))) for held, rule in sorted({*each}))


def keeping(policy: Policy, held: str, states: States) -> Sequence[str]:
    """The rules that keep a category by a state that lasts, or of which that is not known."""
    category = policy.category(held)
    names = category.kept_by if category and not category.is_customers else ()
    return [name for name in names if states.get(policy.rules[name].lasts_while or "", False) is not False]


def not_known(
    policy: Policy, system: str, ruled: Mapping[str, Sequence[str]], states: States, *, of_country: bool = False
) -> GroundUnknown | None:
    """Why nothing may go or stay yet: nobody could tell a state or a country by which something would stay.

    ``ruled``: by category the rules that keep it. ``of_country``: a person decides of every rule that is the law of one
    country, whatever the rule says of where that is not known.
    """
    for held, rules in sorted(ruled.items()):
        for name in rules:
            rule = policy.rules[name]
            if states[state := rule.lasts_while or ""] is None:
                return GroundUnknown(unknown(system, held, name, state))
            if policy.country_of(rule) and (of_country or rule.where_unknown is WhereUnknown.ASK):
                return GroundUnknown(country_unknown(system, held, name, rule.jurisdiction))
    return None


def unsigned_rows(
    rows: Mapping[str, int],
    of_rule: Mapping[tuple[str, str], int],
    allowed: int,
    rules: Mapping[str, Rule],
    today: date,
) -> RuleUnsigned | None:
    """Why nothing may go yet: so many rows are what rules are about that nobody has signed.

    ``rows``: by category; ``of_rule``: by rule besides; ``rules``: at least these, as they stand ``today``.
    """
    if (n := sum(rows.values())) <= allowed:
        return None
    counts = ", ".join(f"{held}: {each:,}" for held, each in sorted(rows.items()))
    about = {rule: rules[rule] for _, rule in sorted(of_rule)}
    why = RuleUnsigned(
        f"{n:,} rows ({counts}) are what {', '.join(sorted(about))} is about, {not_signed(about, today)}: nothing was"
        " done; have it signed, or confirm that they go",
        Exceeded(limit=Limit.UNSIGNED_ROWS, found=n, allowed=allowed),
    )
    each_rule = sorted(of_rule.items())
    why.unsigned = tuple(Kept(category=held, rule=rule, count=each) for (held, rule), each in each_rule)
    return why


def together(states: States, own: States) -> States:
    """What others tell, and what a system tells itself."""
    return {**states, **{state: lasting(states.get(state, False), lasts) for state, lasts in own.items()}}


def _is_signed(policy: Policy, name: str, task: Task) -> bool:
    if task.at is None:
        raise ValueError(f"{task.system}: a task of which {name} may keep something needs its instant")
    rule = policy.rules[name]
    return rule.signed(task.at.astimezone(ZoneInfo(policy.zone_of(rule))).date())


def _keeping(told: Receipt, kept: Sequence[Kept]) -> Receipt:
    if not kept:
        return told
    return replace(told, remaining=sum(each.count for each in kept), ground=kept[0].rule, kept=tuple(kept))
