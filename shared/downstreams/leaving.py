"""What an erasure leaves, and why it must not begin: what a receipt, and who is asked, is told of it; pure."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date

from shared.domain.errors import GroundUnknown, RuleUnsigned
from shared.domain.operations import Exceeded, Kept, Limit, TaskOutcome
from shared.domain.policy import Policy, Rule, WhereUnknown, not_signed
from shared.downstreams.contract import Receipt, States, Task
from shared.downstreams.states import country_unknown, unknown


def receipt(task: Task, gone: Mapping[str, int], kept: Sequence[Kept]) -> Receipt:
    """Of an erasure: all that was found and did not stay, by category, is gone."""
    erased = Receipt.counted(task, TaskOutcome.ERASED, gone)
    if not kept:
        return erased
    found = dict(erased.by_category)
    for each in kept:
        found[each.category or ""] = found.get(each.category or "", 0) + each.count
    left = sum(each.count for each in kept)
    told = replace(erased, outcome=TaskOutcome.RETAINED, found=sum(found.values()), by_category=found)
    return replace(told, remaining=left, ground=kept[0].rule, kept=tuple(kept))


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
