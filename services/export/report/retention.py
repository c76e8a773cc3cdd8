"""How long what is held of a person is kept, by the periods of the policy and the dates of their rows; pure."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime

from services.export.survey import Category, lasting
from shared.domain.policy import AtCeiling, Ceiling, Period, Policy, Rule


@dataclass(frozen=True, slots=True)
class Kept:
    """One period of a category, named by its rule or ceiling: ``keeps`` in face of an erasure, or ends for everybody.

    ``anchor``: from what it counts, as the policy calls it; None: it lasts as long as a state. ``lasts``: whether that
    state does, None where nobody says it of the person. ``first`` and ``last``: the day on which the oldest and the
    newest of the person's rows goes, or until which it is kept, where the rows say from when it counts; ``undated``:
    there are rows beside them that do not. ``anonymises``: they do not go, but tell of nobody any more.
    """

    name: str
    keeps: bool
    anchor: str | None
    period: Period | None
    lasts: bool | None = None
    first: date | None = None
    last: date | None = None
    undated: bool = False
    anonymises: bool = False


@dataclass(frozen=True, slots=True)
class Person:
    """Of whom it is told: where they live (ISO 3166), and which of the states lasts that keep data, None: not known.

    ``anchors``: from when periods count, as the first and last of all that is held of them says it; ``undated``: of
    which of these there is something beside it that does not say it.
    """

    country: str | None
    states: Mapping[str, bool | None]
    anchors: Mapping[str, tuple[str, str]]
    undated: Collection[str]

    @classmethod
    def of(cls, country: str | None, known: Iterable[Category]) -> "Person":
        """As what is held of them tells: a state that one system names keeps what others hold."""
        states: dict[str, bool | None] = {}
        anchors: dict[str, tuple[str, str]] = {}
        undated: set[str] = set()
        for each in known:
            for name, lasts in each.states.items():
                states[name] = lasting([states.get(name, False), lasts])
            for name, (first, last) in each.anchors.items():
                before, after = anchors.get(name, (first, last))
                anchors[name] = min(before, first), max(after, last)
                if each.dated[name] < each.rows:
                    undated.add(name)
        return cls(country, states, anchors, undated)


def periods_of(policy: Policy, held_as: str, held: Category, person: Person, today: date) -> Iterator[Kept]:
    """Every period that holds for what systems call so: ceilings first; a law's own where the person lives only.

    What nobody has signed keeps and ends nothing, so it is not told (REQ-R2), nor is a state that does not last.
    """
    for name, ceiling in _ceilings(policy, held_as, person).items():
        if ceiling.signed(today):
            yield _kept(policy, name, ceiling, held, person, keeps=False)
    category = policy.category(held_as)
    for rule in category.kept_by if category else ():
        told = policy.rules[rule]
        lasts = person.states.get(told.lasts_while) if told.lasts_while else None
        if told.signed(today) and lasts is not False:
            yield replace(_kept(policy, rule, told, held, person, keeps=True), lasts=lasts)


def dated(periods: Iterable[Kept]) -> list[Kept]:
    """Those that keep until a day which the rows tell."""
    return [each for each in periods if each.keeps and each.last]


def is_undecided(policy: Policy, held_as: str, person: Person, today: date) -> bool:
    """Whether something is written of how long it is kept, and nobody has signed when it ends for everybody."""
    category, ceilings = policy.category(held_as), _ceilings(policy, held_as, person).values()
    rules = [policy.rules[name] for name in category.kept_by] if category else []
    ends = any(each.signed(today) for each in ceilings)
    return not ends and not all(each.signed(today) for each in (*ceilings, *rules))


def _ceilings(policy: Policy, held_as: str, person: Person) -> Mapping[str, Ceiling]:
    ceilings = policy.ceilings_of(held_as) if policy.category_of(held_as) else {}
    return {name: each for name, each in ceilings.items() if each.jurisdiction in {None, person.country}}


def _kept(policy: Policy, name: str, rule: Rule | Ceiling, held: Category, person: Person, *, keeps: bool) -> Kept:
    """What does not say itself from when it counts counts as what it belongs to: a message as its ticket."""
    anchor = rule.anchor or ""
    moments = held.anchors.get(anchor) or person.anchors.get(anchor)
    days = [policy.release(rule, _moment(each)) for each in moments or ()]
    first, last = ((day.last_day if keeps else day.purge_from) if day else None for day in days or (None, None))
    undated = held.dated[anchor] < held.rows if anchor in held.anchors else anchor in person.undated
    anonymises = isinstance(rule, Ceiling) and rule.then is AtCeiling.ANONYMISE
    told = Kept(name, keeps, rule.anchor, rule.period, first=first, last=last)
    return replace(told, undated=undated, anonymises=anonymises)


def _moment(text: str) -> date:
    return datetime.fromisoformat(text) if "T" in text else date.fromisoformat(text)
