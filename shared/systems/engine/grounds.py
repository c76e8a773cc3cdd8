"""Replaces a system's ground for keeping data by the signed rule of the policy that it means (Art. 17(3), 6(3)); pure.

A rule whose sign-off has lapsed keeps its rows past their day: they are deleted once the rule is signed again, or two
people confirm the number of rows (REQ-R2).
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from functools import partial
from typing import Final

from pydantic import JsonValue

from shared.domain.errors import GroundInvalid, RuleUnsigned
from shared.domain.operations import Exceeded, Kept, Limit, TaskOutcome
from shared.domain.policy import Policy
from shared.systems.contract import Receipt, Result

KEPT_ROWS: Final = "kept_rows"
"""A part of a deferred erasure, by system and rule: kept ``rows``, and their ``first`` last day."""


def with_signed_rule(policy: Policy, today: date, system: str, result: Result) -> Result:
    """Returns the result with the rule that its ground means, or ``GroundInvalid`` if no signed rule is meant."""
    if not isinstance(result, Receipt) or result.outcome is not TaskOutcome.RETAINED:
        return result
    if result.kept:
        return without_unproved_country(policy, result)
    name = policy.rule_reported_as(result.ground)
    if name is None:
        ground = result.ground
        explanation = f"because of {ground}, which is no rule of the policy" if ground else "and does not say why"
        return GroundInvalid(f"{system} keeps data {explanation}: declare its word in reported_as of a rule, or decide")
    rule, rows = policy.rules[name], result.remaining or result.found
    if not rule.signed(today):
        explanation = f"{system} keeps data by {name}, which has no valid sign-off"
        return GroundInvalid(f"{explanation}: have it signed and try again, or decide")
    if not rows:  # the number is unknown, which is not zero
        return replace(result, ground=name)
    kept = Kept(category=rule.category, rule=name, count=rows, first=result.until, last=result.until)
    return replace(result, ground=name, kept=(kept,))


def without_unproved_country(policy: Policy, result: Result) -> Result:
    """Returns the result without the law of a country, unless the records show that it applies.

    An adapter that separates countries has already said so for each record.
    """
    if not isinstance(result, Receipt) or not result.kept:
        return result
    kept = tuple(map(partial(_unless_country_shown, policy), result.kept))
    named = result.ground == result.kept[0].rule
    return replace(result, kept=kept, ground=kept[0].ground if named else result.ground)


def _unless_country_shown(policy: Policy, kept: Kept) -> Kept:
    rule = policy.rule(kept.rule)
    if kept.shown is not None or rule is None or policy.countries_of(rule) is None:
        return kept
    return kept.model_copy(update={"shown": False})


def lapsed_rules(
    policy: Policy, today: date, system: str, details: Mapping[str, JsonValue], confirmed: Mapping[str, int]
) -> RuleUnsigned | None:
    """Returns why kept data must not be deleted yet; None if all due rules are signed.

    ``details``: of the erasure; ``confirmed``: by limit, the number that two people have confirmed of this system.
    Rules that were removed from the policy do not count.
    """
    by_system = details.get(KEPT_ROWS)
    rules = by_system.get(system) if isinstance(by_system, Mapping) else None
    rows = 0
    unsigned: list[str] = []
    for name, each in sorted(rules.items()) if isinstance(rules, Mapping) else ():
        count, first = (each.get("rows"), each.get("first")) if isinstance(each, Mapping) else (None, None)
        rule = policy.rule(name)
        due = isinstance(count, int) and isinstance(first, str) and date.fromisoformat(first) < today
        if due and rule is not None and not rule.signed(today):
            unsigned.append(name)
            rows += int(str(count))
    allowed = confirmed.get(Limit.UNSIGNED_ROWS, 0)
    if rows <= allowed:
        return None
    return RuleUnsigned(
        f"{system} keeps {rows:,} rows by {', '.join(unsigned)}, whose sign-off and period have ended: nothing was"
        " done there; have it signed and try again, or confirm that they go",
        Exceeded(limit=Limit.UNSIGNED_ROWS, found=rows, allowed=allowed),
    )
