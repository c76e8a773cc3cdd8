"""The policy in words for who answers for it: all of a category, and what is still open; pure."""

from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from typing import Any, Final

from shared.domain.holds import LEGAL_HOLD
from shared.domain.policy.categories import OnErasure
from shared.domain.policy.policy import Policy
from shared.domain.policy.rules import Ceiling, Rule

SOON: Final = timedelta(days=60)
"""So long before a sign-off ends it is told that it does."""


def open_points(policy: Policy, today: date) -> list[str]:
    """What a person has yet to do or decide: unsigned rules, sign-offs that end, conflicts, what nobody declared."""
    return [*_of_sign_offs(policy, today), *map(str, policy.conflicts()), *_of_categories(policy)]


def explained(policy: Policy, held: str, today: date) -> Mapping[str, Any]:
    """Everything that the policy says of a category, by its own name or what a system calls it.

    Raises:
        KeyError: nobody has said anything of it.
    """
    name = policy.category_of(held)
    if name is None:
        raise KeyError(held)
    category = policy.categories[name]
    return {
        "category": name,
        "words": category.words,
        "held_as": sorted(category.held_as | {name}),
        "purposes": {
            purpose: {"words": policy.purposes[purpose].words, "basis": each.basis, "role": each.role}
            for purpose, each in category.purposes.items()
        },
        "provided_by": category.provided_by,
        "portable": category.portable,
        "on_erasure": category.on_erasure,
        "kept_by": {rule: _rule(policy, policy.rules[rule], today) for rule in category.kept_by},
        "ceilings": {ceiling: _ceiling(policy, each, today) for ceiling, each in policy.ceilings_of(name).items()},
        "conflicts": [str(each) for each in policy.conflicts() if each.rule in category.kept_by],
        "recipients": {
            recipient: {"name": each.name, "role": each.role, "country": each.country, "safeguard": each.safeguard}
            for recipient, each in policy.recipients_of(name).items()
        },
        "measures": {measure: policy.measures[measure].words for measure in category.measures},
        "notice": [
            row.words
            for row in policy.notice.values()
            if {*row.rules} & {*category.kept_by} or {*row.ceilings} & policy.ceilings_of(name).keys()
        ],
        "version": policy.version,
    }


def _rule(policy: Policy, rule: Rule, today: date) -> Mapping[str, Any]:
    return {
        "words": rule.words,
        "period": str(rule.period) if rule.period else None,
        "anchor": rule.anchor,
        "lasts_while": rule.lasts_while,
        "fields": sorted(rule.fields),
        "zone": policy.zone_of(rule),
        "jurisdiction": rule.jurisdiction,
        "legal_source": rule.legal_source,
        "ground": rule.ground,
        "where_unknown": rule.where_unknown if policy.country_of(rule) else None,
        "legal_obligation": policy.is_legal_obligation(rule, None),
        "sign_off": _signed(rule, today),
    }


def _ceiling(policy: Policy, ceiling: Ceiling, today: date) -> Mapping[str, Any]:
    return {
        "words": ceiling.words,
        "period": str(ceiling.period),
        "anchor": ceiling.anchor,
        "then": ceiling.then,
        "zone": policy.zone_of(ceiling),
        "jurisdiction": ceiling.jurisdiction,
        "legal_source": ceiling.legal_source,
        "sign_off": _signed(ceiling, today),
    }


def _signed(rule: Rule | Ceiling, today: date) -> str:
    """Who has signed it and until when that holds, in words."""
    if not (by := rule.sign_off):
        return "not signed"
    ended = "" if by.is_valid(today) else " (not valid today)"
    return f"{by.by}, {by.on.isoformat()} to {by.last_day.isoformat()}{ended}"


def _of_sign_offs(policy: Policy, today: date) -> Iterator[str]:
    without = (("rules", policy.rules, "keeps"), ("ceilings", policy.ceilings, "removes"))
    still = {
        "rules": " from now on; what it has kept stays until its day, and then two persons say whether it goes",
        "ceilings": "",
    }
    fictitious = 0
    for table, rules, does in without:
        for name, rule in rules.items():
            signed = rule.sign_off
            if name == LEGAL_HOLD and not rule.signed(today):
                yield f"{table}.{name} has no valid sign-off: holds keep all the same, by who places each of them"
            elif signed is None:
                yield f"{table}.{name} is not signed: it {does} nothing"
            elif signed.on > today:
                yield f"{table}.{name}: its sign-off begins on {signed.on}: it {does} nothing before"
            elif not signed.is_valid(today):
                holds = f"its sign-off holds from {signed.on} to {signed.last_day}"
                yield f"{table}.{name}: {holds}: it {does} nothing{still[table]}"
            elif signed.last_day - today <= SOON:
                yield f"{table}.{name}: its sign-off ends on {signed.last_day}: have it signed anew"
            fictitious += bool(signed and signed.fictitious)
    if fictitious:
        yield f"{fictitious} sign-offs are fictitious: no company may work by them"


def _of_categories(policy: Policy) -> Iterator[str]:
    limited = {each.category for each in policy.ceilings.values()}
    for name in sorted(policy.categories.keys() - limited):
        yield f"categories.{name} has no ceiling: nothing but an erasure removes it"
    for name, rule in policy.rules.items():
        if rule.category and name not in policy.categories[rule.category].kept_by:
            yield f"rules.{name} keeps nothing: categories.{rule.category}.kept_by does not name it"
    for name, category in policy.categories.items():
        if category.on_erasure is OnErasure.KEEP and not category.is_customers and not policy.keeps(name):
            yield (
                f"categories.{name} stays in an erasure, and no rule of kept_by says on which ground and until when:"
                " of a store that holds it nothing is erased"
            )
    if not policy.recipients:
        yield "no recipient is declared: people are told that the policy names none"
