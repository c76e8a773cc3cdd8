"""States how long data of a person are kept, and what that means for their own rows (Art. 15(1)(d)); pure."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime

from services.export.report.request import LISTS
from services.export.report.words import ReportWords
from services.export.survey import SurveyedCategory, lasting
from shared.domain.policy import AtCeiling, Ceiling, Period, Policy, Rule


@dataclass(frozen=True, slots=True)
class Kept:
    """One period of a category, named by its rule or ceiling: ``keeps`` in face of an erasure, or ends for everybody.

    ``anchor``: from what it counts, as the policy calls it; None: it lasts as long as a state. ``lasts``: whether that
    state does, None if unknown. ``first`` and ``last``: the day on which the oldest and the newest of the person's rows
    is deleted, or until which it is kept, where the rows say from when it counts; ``undated``: other rows do not.
    ``anonymises``: they are not deleted, but identify no person any more.
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
    """The person of a report: where they live (ISO 3166), and which states that keep data last (None: not known).

    ``anchors``: from when periods count, as the first and last of all that is held of them says it; ``undated``: those
    of which some rows do not say it.
    """

    country: str | None
    states: Mapping[str, bool | None]
    anchors: Mapping[str, tuple[str, str]]
    undated: Collection[str]

    @classmethod
    def of(cls, country: str | None, known: Iterable[SurveyedCategory]) -> "Person":
        """Combines the states and anchors of all categories; a state in one system may keep data in others."""
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


def periods_of(policy: Policy, held_as: str, held: SurveyedCategory, person: Person, today: date) -> Iterator[Kept]:
    """Every period that holds for what systems call so: ceilings first; a law's own where the person lives only.

    An unsigned rule has no effect and is left out (REQ-R2), and so is a state that does not last.
    """
    for name, ceiling in _ceilings(policy, held_as, person).items():
        if ceiling.signed(today):
            yield _kept(policy, name, ceiling, held, person, keeps=False)
    category = policy.category(held_as)
    for rule in category.kept_by if category else ():
        stated = policy.rules[rule]
        lasts = person.states.get(stated.lasts_while) if stated.lasts_while else None
        if stated.signed(today) and lasts is not False:
            yield replace(_kept(policy, rule, stated, held, person, keeps=True), lasts=lasts)


def dated(periods: Iterable[Kept]) -> list[Kept]:
    """Returns the periods that keep data until a known day."""
    return [each for each in periods if each.keeps and each.last]


def is_undecided(policy: Policy, held_as: str, person: Person, today: date) -> bool:
    """Returns whether an unsigned rule leaves the period undecided, with no signed ceiling."""
    category, ceilings = policy.category(held_as), _ceilings(policy, held_as, person).values()
    rules = [policy.rules[name] for name in category.kept_by] if category else []
    ends = any(each.signed(today) for each in ceilings)
    return not ends and not all(each.signed(today) for each in (*ceilings, *rules))


def _ceilings(policy: Policy, held_as: str, person: Person) -> Mapping[str, Ceiling]:
    ceilings = policy.ceilings_of(held_as) if policy.category_of(held_as) else {}
    return {name: each for name, each in ceilings.items() if each.jurisdiction in {None, person.country}}


def _kept(
    policy: Policy, name: str, rule: Rule | Ceiling, held: SurveyedCategory, person: Person, *, keeps: bool
) -> Kept:
    """Returns one period; a record without an anchor counts as what it belongs to, such as a message as its ticket."""
    anchor = rule.anchor or ""
    moments = held.anchors.get(anchor) or person.anchors.get(anchor)
    days = [policy.release(rule, _moment(each)) for each in moments or ()]
    first, last = ((day.last_day if keeps else day.purge_from) if day else None for day in days or (None, None))
    undated = held.dated[anchor] < held.rows if anchor in held.anchors else anchor in person.undated
    anonymises = isinstance(rule, Ceiling) and rule.then is AtCeiling.ANONYMISE
    kept = Kept(name, keeps, rule.anchor, rule.period, first=first, last=last)
    return replace(kept, undated=undated, anonymises=anonymises)


def _moment(text: str) -> date:
    return datetime.fromisoformat(text) if "T" in text else date.fromisoformat(text)


@dataclass(frozen=True, slots=True)
class Periods:
    """Words the periods of one person on one day."""

    policy: Policy
    person: Person
    today: date
    words: ReportWords

    def of(self, name: str, held: SurveyedCategory) -> Iterator[tuple[str, str]]:
        """Yields how long a category is kept, and what that means for these rows; at least one line.

        What an erasure has left is kept as the answer to it says, by the rules whose days the rows tell.
        """
        found = list(periods_of(self.policy, name, held, self.person, self.today))
        several = len(dated(found)) > 1
        if held.left and held.left == held.rows:
            yield self.words.answer("left_as_answered"), ""
            yield from ((self._how_long(each), self._days(each, several=several)) for each in dated(found))
            return
        yield from ((self._how_long(each), self._days(each, several=several)) for each in found)
        if held.left:
            yield f"{self.words.answer('left_some', count=held.left)} {self.words.answer('left_as_answered')}", ""
        if is_undecided(self.policy, name, self.person, self.today):
            yield self.words.answer("undecided"), ""
        elif not found:
            yield self.words.answer("while_marketing" if name == LISTS else "no_period"), ""

    def _how_long(self, kept: Kept) -> str:
        """Words reason and period; the countries of a rule are worded as a condition."""
        countries = self.policy.countries_of(self.policy.rules[kept.name]) if kept.keeps else None
        reason = self._reason(kept)
        if not countries:
            return reason
        named = ", ".join(sorted(self.words.country(each) for each in countries))
        return f"{self.words.answer('where_law', country=named)} {reason}"

    def _reason(self, kept: Kept) -> str:
        """Returns the reason; keeping while a state lasts is a condition, unless the data say that it does."""
        words = self.words.rule(kept.name) if kept.keeps else self.words.ceiling(kept.name)
        if kept.anchor and kept.period:
            start = self.words.texts.anchors.get(kept.anchor, kept.anchor)
            whole = kept.keeps or not self.words.says_how_long(kept.name)
            key = "criterion" if whole else "criterion_from"
            begins = self.words.answer(
                key, anchor=start, **({"period": self.words.period(kept.period)} if whole else {})
            )
        elif kept.lasts:
            begins = self.words.answer("while")
        else:
            return f"{self.words.answer('keeps_if')} {words}"
        return f"{self.words.answer('keeps')} {words} ({begins})" if kept.keeps else f"{words} ({begins})"

    def _days(self, kept: Kept, *, several: bool = False) -> str:
        """Words the days of the oldest and the newest row; a past day is worded as past, since the row is still there.

        ``several``: other rules may keep some of the rows, so that it is only known when this one ends at the latest.
        """
        if not kept.first or not kept.last:
            return ""
        if several and kept.keeps and kept.last >= self.today:
            return self.words.answer("kept_at_most", last=self.words.day(kept.last))
        over = "_over" if kept.last < self.today else "_oldest_over" if kept.first < self.today else ""
        once = "_once" if kept.first == kept.last and not over else ""
        what = "kept" if kept.keeps else "anonymised" if kept.anonymises else "goes"
        days = {"first": self.words.day(kept.first), "last": self.words.day(kept.last)}
        said = self.words.answer(f"{what}{over}{once}", **days)
        return f"{said} {self.words.answer('not_begun')}" if kept.undated else said
