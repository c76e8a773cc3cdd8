"""What a system keeps is kept by a rule of ours, never by its own word (Art. 17(3), 6(3)); pure.

A word that the policy maps to no signed rule is a person's task, and the data stay until it is decided. What our own
adapters keep they keep by rule, and say so in ``kept``; what a legal hold covers, our own people have decided.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from functools import partial
from uuid import UUID

from shared.domain.errors import GroundInvalid
from shared.domain.holds import LEGAL_HOLD, Hold
from shared.domain.operations import Kept, TaskOutcome
from shared.domain.policy import Policy
from shared.fulfilment.queue import Claim
from shared.systems.contract import Receipt, Result


def all_by_rule(
    policy: Policy,
    now: datetime,
    system: str,
    claims: Sequence[Claim],
    results: Sequence[Result],
    held: Mapping[UUID, Hold],
) -> list[Result]:
    """The results of erasures, each ground a rule of ours; ``held``: by subject, the holds that cover their data."""
    today = policy.today(now)
    return [
        result if _is_held(result, claim, held) else by_rule(policy, today, system, result)
        for claim, result in zip(claims, results, strict=True)
    ]


def as_shown(policy: Policy, result: Result) -> Result:
    """The same, told without the law of a country where nothing shows that what is kept by it is under that law.

    An adapter that tells countries apart has said it of each; of any other nobody knows.
    """
    if not isinstance(result, Receipt) or not result.kept:
        return result
    kept = tuple(map(partial(_as_shown, policy), result.kept))
    by_rule = result.ground == result.kept[0].rule
    return replace(result, kept=kept, ground=kept[0].ground if by_rule else result.ground)


def _as_shown(policy: Policy, kept: Kept) -> Kept:
    rule = policy.rule(kept.rule)
    if kept.shown is not None or rule is None or policy.country_of(rule) is None:
        return kept
    return kept.model_copy(update={"shown": False})


def by_rule(policy: Policy, today: date, system: str, result: Result) -> Result:
    """The same with the rule that its ground means; ``GroundInvalid`` where there is none, or none that is signed.

    Whoever names the law themselves has looked which it is.
    """
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
        why = GroundInvalid(f"{system} keeps data by {name}, which has no valid sign-off: have it signed, or decide")
        why.unsigned = (Kept(category=rule.category, rule=name, count=rows),)
        return why
    if not rows:  # it is not known how many: nobody is told that it is none
        return replace(result, ground=name)
    kept = Kept(category=rule.category, rule=name, count=rows, first=result.until, last=result.until)
    return replace(result, ground=name, kept=(kept,))


def _is_held(result: Result, claim: Claim, held: Mapping[UUID, Hold]) -> bool:
    return isinstance(result, Receipt) and result.ground == LEGAL_HOLD and claim.subject_ref in held
