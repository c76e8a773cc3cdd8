"""Lists what is open in a policy: unsigned rules, sign-offs that end, conflicts; pure."""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Final

from shared.domain.holds import LEGAL_HOLD
from shared.domain.policy.categories import OnErasure
from shared.domain.policy.policy import Policy

SOON: Final = timedelta(days=60)
"""Time before the end of a sign-off at which it is reported."""


def open_points(policy: Policy, today: date) -> list[str]:
    """Returns what a person has yet to do: sign rules, renew sign-offs, decide conflicts, declare what is missing."""
    signatures = [*_of_sign_offs(policy, today), *_of_parts(policy, today)]
    return [*signatures, *map(str, policy.conflicts()), *_of_categories(policy)]


def _of_sign_offs(policy: Policy, today: date) -> Iterator[str]:
    without = (("rules", policy.rules, "keeps"), ("ceilings", policy.ceilings, "removes"))
    still = {
        "rules": " from now on; what it has kept stays until its day, and then two people decide whether it is deleted",
        "ceilings": "",
    }
    fictitious = sum(by.fictitious for by in policy.sign_offs.values())
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
                yield f"{table}.{name}: its sign-off ends on {signed.last_day}: have it signed again"
            fictitious += bool(signed and signed.fictitious)
    if fictitious:
        yield f"{fictitious} sign-offs are fictitious: no company may work by them"


def _of_parts(policy: Policy, today: date) -> Iterator[str]:
    for part in policy.unsigned_parts(today):
        by, version = policy.sign_offs.get(part), policy.part_versions[part]
        signed = (
            f"its signature, from {by.on} to {by.last_day}, is of {by.version or 'no version'}" if by else "not signed"
        )
        yield (
            f"{part}.toml: {signed}: packages wait for two people, once per version of the policy; have it signed in"
            f' [sign_offs.{part}] with version = "{version}"'
        )


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
        yield "no recipient is declared: answers say that the policy names none"
