"""Every ground on which data stay is a rule of ours that somebody answers for (Art. 17(3), 6(3)); pure.

A system's own word counts where the policy maps it to a signed rule. What was kept by a rule whose sign-off has ended
since goes on its day once it is signed again, or once two persons confirm so many rows (REQ-R2). Until then the data
stay, and a person is asked.
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
"""By system and rule with a period how many ``rows`` are kept, the ``first`` until which day: of a deferred erasure."""


def by_rule(policy: Policy, today: date, system: str, result: Result) -> Result:
    """The same with the rule that its ground means; ``GroundInvalid`` where there is none, or none that is signed."""
    if not isinstance(result, Receipt) or result.outcome is not TaskOutcome.RETAINED:
        return result
    if result.kept:
        return as_shown(policy, result)
    name = policy.rule_told_as(result.ground)
    if name is None:
        word = result.ground
        said = f"because of {word}, which is no rule of the policy" if word else "and does not say why"
        return GroundInvalid(f"{system} keeps data {said}: they stay; declare its word in told_as of a rule, or decide")
    rule, rows = policy.rules[name], result.remaining or result.found
    if not rule.signed(today):
        said = f"{system} keeps data by {name}, which has no valid sign-off"
        return GroundInvalid(f"{said}: have it signed and try again, or decide")
    if not rows:  # it is not known how many: nobody is told that it is none
        return replace(result, ground=name)
    kept = Kept(category=rule.category, rule=name, count=rows, first=result.until, last=result.until)
    return replace(result, ground=name, kept=(kept,))


def as_shown(policy: Policy, result: Result) -> Result:
    """The same without the law of a country where nothing shows that what is kept by it is under that law.

    An adapter that tells countries apart has said it of each; of any other nobody knows.
    """
    if not isinstance(result, Receipt) or not result.kept:
        return result
    kept = tuple(map(partial(_as_shown, policy), result.kept))
    named = result.ground == result.kept[0].rule
    return replace(result, kept=kept, ground=kept[0].ground if named else result.ground)


def _as_shown(policy: Policy, kept: Kept) -> Kept:
    rule = policy.rule(kept.rule)
    if kept.shown is not None or rule is None or policy.country_of(rule) is None:
        return kept
    return kept.model_copy(update={"shown": False})


def lapsed(
    policy: Policy, today: date, system: str, details: Mapping[str, JsonValue], confirmed: Mapping[str, int]
) -> RuleUnsigned | None:
    """Why what a system has kept until now may not go by itself; None where each of its due rules is signed.

    ``details``: of the erasure; ``confirmed``: how much two persons have confirmed of this system, by limit. What
    became of a rule that is gone from the policy has been decided.
    """
    told = details.get(KEPT_ROWS)
    kept = told.get(system) if isinstance(told, Mapping) else None
    rows = 0
    unsigned: list[str] = []
    for name, each in sorted(kept.items()) if isinstance(kept, Mapping) else ():
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
