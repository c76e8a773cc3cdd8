"""Periods that look like a slip of the pen beside those as shipped (P18D for P18M): nobody has signed them; pure.

Whoever signs such a period names it in the sign-off, so that what was meant is written twice.
"""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from shared.domain.policy.periods import Period
from shared.domain.policy.policy import Policy
from shared.domain.policy.rules import Ceiling, Rule

_FAR: Final = 2
"""So many times shorter or longer than the shipped one is far from it."""


class Slip(NamedTuple):
    """A rule or ceiling whose period is far from the shipped one, and whose sign-off does not name it."""

    table: str
    name: str
    period: Period
    shipped: Period

    def __str__(self) -> str:
        return (
            f"{self.table}.{self.name} is {self.period}, far from {self.shipped} as shipped: nothing is done by it"
            f' until its sign-off names that period as well, as period = "{self.period}"'
        )


def slips(policy: Policy, shipped: Policy) -> Iterator[Slip]:
    """Every period that looks like one; what is new is compared with the nearest that is shipped for its category."""
    yield from _of("rules", policy.rules, shipped.rules)
    yield from _of("ceilings", policy.ceilings, shipped.ceilings)


def without_slips(policy: Policy, shipped: Policy) -> Policy:
    """The same, in which nobody has signed what looks like one."""
    found = {(each.table, each.name) for each in slips(policy, shipped)}
    if not found:
        return policy
    unsigned = {"sign_off": None}
    rules = {n: r.model_copy(update=unsigned) if ("rules", n) in found else r for n, r in policy.rules.items()}
    ceilings = {n: c.model_copy(update=unsigned) if ("ceilings", n) in found else c for n, c in policy.ceilings.items()}
    return policy.with_other(rules=rules, ceilings=ceilings)


def _of(
    table: str, signed: Mapping[str, Rule] | Mapping[str, Ceiling], shipped: Mapping[str, Rule] | Mapping[str, Ceiling]
) -> Iterator[Slip]:
    for name, each in signed.items():
        said = each.sign_off.period if each.sign_off else None
        if each.period is None or said == each.period:
            continue
        own = shipped.get(name)
        known = [own] if own else [other for other in shipped.values() if other.category == each.category]
        periods = [other.period for other in known if other.period]
        if periods and all(_is_far(each.period, period) for period in periods):
            yield Slip(table, name, each.period, min(periods, key=lambda period: period.about_days))


def _is_far(period: Period, shipped: Period) -> bool:
    in_days = bool(shipped.months) and not period.months
    times = max(period.about_days / shipped.about_days, shipped.about_days / period.about_days)
    return in_days or times >= _FAR
