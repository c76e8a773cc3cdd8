"""How long what is held of a person is kept, by the periods of the policy and the dates of their rows; pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime

from services.export.survey import Category
from shared.domain.policy import Ceiling, Period, Policy, Rule


@dataclass(frozen=True, slots=True)
class Kept:
    """One period of a category, named by its rule or ceiling: ``keeps`` in face of an erasure, or ends for everybody.

    ``anchor``: from what it counts, as the policy calls it; None: it lasts as long as a state. ``first`` and ``last``:
    the day on which the oldest and the newest of the person's rows goes, or until which it is kept, where the rows say
    from when it counts.
    """

    name: str
    keeps: bool
    anchor: str | None
    period: Period | None
    first: date | None = None
    last: date | None = None


def periods_of(policy: Policy, held_as: str, held: Category, country: str | None, today: date) -> Iterator[Kept]:
    """Every period that holds for what systems call so: ceilings first; a law's own where the person lives only.

    A rule that nobody has signed keeps nothing, so it is not told (REQ-R2).
    """
    name = policy.category_of(held_as)
    for ceiling_name, ceiling in policy.ceilings_of(held_as).items():
        if ceiling.jurisdiction in {None, country}:
            yield _kept(policy, ceiling_name, ceiling, held, keeps=False)
    category = policy.categories.get(name or "")
    for rule in category.kept_by if category else ():
        if policy.rules[rule].signed(today):
            yield _kept(policy, rule, policy.rules[rule], held, keeps=True)


def _kept(policy: Policy, name: str, rule: Rule | Ceiling, held: Category, *, keeps: bool) -> Kept:
    moments = held.anchors.get(rule.anchor or "")
    days = [policy.release(rule, _moment(each)) for each in moments or ()]
    first, last = ((day.last_day if keeps else day.purge_from) if day else None for day in days or (None, None))
    return Kept(name, keeps, rule.anchor, rule.period, first, last)


def _moment(text: str) -> date:
    return datetime.fromisoformat(text) if "T" in text else date.fromisoformat(text)
