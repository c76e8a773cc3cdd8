"""What was kept by a rule whose sign-off has ended since: on its day two persons say whether it goes (REQ-R2); pure.

Nobody answers for the rule any more, so neither that it is over nor that it goes on is ours to say: nothing is done,
and somebody is paged, until the rule is signed anew or so many rows are confirmed to go. What is kept by other rules
goes on its day all the same, in a system that can tell it apart.
"""

from collections.abc import Mapping
from datetime import date
from typing import Final

from pydantic import JsonValue

from shared.domain.errors import DoneBefore, RuleUnsigned
from shared.domain.operations import Exceeded, Kept, Limit
from shared.domain.policy import Policy
from shared.systems.contract import Receipt, Result

KEPT_ROWS: Final = "kept_rows"
"""By system and rule with a period how many ``rows`` are kept, the ``first`` until which day: of a deferred erasure."""


def lapsed(
    policy: Policy, today: date, system: str, details: Mapping[str, JsonValue], confirmed: Mapping[str, int]
) -> RuleUnsigned | None:
    """Why what a system has kept until now may not go by itself; None where somebody answers for each of its rules.

    ``details``: of the erasure; ``confirmed``: how much two persons have confirmed of this system, by limit. What
    became of a rule that is gone from the policy has been decided; what is kept by a rule whose day has not come
    holds up nothing of the others.
    """
    kept = _kept(details, system)
    due = [(name, rule) for name, (_, first) in kept.items() if first < today and (rule := policy.rule(name))]
    unsigned = sorted(name for name, rule in due if not rule.signed(today))
    rows, allowed = sum(kept[name][0] for name in unsigned), confirmed.get(Limit.UNSIGNED_ROWS, 0)
    if rows <= allowed:
        return None
    exceeded = Exceeded(limit=Limit.UNSIGNED_ROWS, found=rows, allowed=allowed)
    why = RuleUnsigned(
        f"{system} keeps {rows:,} rows by {', '.join(unsigned)}, which nobody has signed any more, and their day has"
        " come: nothing was done to them; have it signed anew, or confirm that they go",
        exceeded,
    )
    why.unsigned = tuple(Kept(category=None, rule=name, count=kept[name][0]) for name in unsigned)
    return why


def beside(lapsed: RuleUnsigned, result: Result) -> Result:
    """What came of the rest of a system that could leave what is kept by these rules, and erase by the others.

    It waits for the same as if nothing had gone, and is asked again on the day on which more of the rest may go.
    """
    if not isinstance(result, Receipt) or not result.kept:
        return result
    names = {each.rule for each in lapsed.unsigned}
    if not names & {each.rule for each in result.kept}:
        return result
    days = [each.reduced if each.rule in names else each.first for each in result.kept]
    lapsed.again = min((day for day in days if day), default=None)
    if result.changed:
        lapsed.done_before = DoneBefore(result.found, result.changed, result.remaining)
    return lapsed


def _kept(details: Mapping[str, JsonValue], system: str) -> Mapping[str, tuple[int, date]]:
    """By rule how many rows a system keeps, and until which day the first of them; of those that say a day."""
    told = details.get(KEPT_ROWS)
    here = told.get(system) if isinstance(told, Mapping) else None
    found: dict[str, tuple[int, date]] = {}
    for name, each in here.items() if isinstance(here, Mapping) else ():
        rows, first = (each.get("rows"), each.get("first")) if isinstance(each, Mapping) else (None, None)
        if isinstance(rows, int) and isinstance(first, str):
            found[name] = rows, date.fromisoformat(first)
    return found
