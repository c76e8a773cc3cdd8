"""How long what is held is kept, in words, and what that means for the person's own rows (Art. 15(1)(d)); pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from services.export.report.held import LISTS
from services.export.report.retention import Kept, Person, dated, is_undecided, periods_of
from services.export.report.texts import Texts
from services.export.report.translated import Translated
from services.export.report.wording import Wording
from services.export.survey import Category
from shared.domain.policy import Policy


@dataclass(frozen=True, slots=True)
class Periods:
    """Of one person, on one day."""

    policy: Policy
    person: Person
    today: date
    texts: Texts
    say: Wording
    told: Translated

    def of(self, name: str, held: Category) -> Iterator[tuple[str, str]]:
        """How long what systems call so is kept, and what that means for these rows; at least one line.

        What an erasure has left is kept as the answer to it says, by the rules whose days the rows tell.
        """
        found = list(periods_of(self.policy, name, held, self.person, self.today))
        several = len(dated(found)) > 1
        if held.left and held.left == held.rows:
            yield self._answer("left_as_told"), ""
            yield from ((self._how_long(each), self._days(each, several=several)) for each in dated(found))
            return
        yield from ((self._how_long(each), self._days(each, several=several)) for each in found)
        if held.left:
            yield f"{self._answer('left_some', count=held.left)} {self._answer('left_as_told')}", ""
        if is_undecided(self.policy, name, self.person, self.today):
            yield self._answer("undecided"), ""
        elif not found:
            yield self._answer("while_marketing" if name == LISTS else "no_period"), ""

    def _answer(self, key: str, /, **values: object) -> str:
        return self.say.filled(self.texts.answers[key], **values)

    def _law_of(self, kept: Kept) -> str | None:
        """The country by whose law alone a rule keeps."""
        return self.policy.country_of(self.policy.rules[kept.name]) if kept.keeps else None

    def _how_long(self, kept: Kept) -> str:
        """Why and how long; the law of another country is a condition, and no row of theirs need be under it."""
        country, told = self._law_of(kept), self._reason(kept)
        return f"{self._answer('where_law', country=self.say.country(country))} {told}" if country else told

    def _reason(self, kept: Kept) -> str:
        """What keeps while a state lasts is a condition, unless the data say that it does."""
        words = self.told.rule(kept.name) if kept.keeps else self.told.ceiling(kept.name)
        if kept.anchor and kept.period:
            start = self.texts.anchors.get(kept.anchor, kept.anchor)
            whole = kept.keeps or not self.told.says_how_long(kept.name)
            key = "criterion" if whole else "criterion_from"
            begins = self._answer(key, anchor=start, **({"period": self.say.period(kept.period)} if whole else {}))
        elif kept.lasts:
            begins = self._answer("while")
        else:
            return f"{self._answer('keeps_if')} {words}"
        return f"{self._answer('keeps')} {words} ({begins})" if kept.keeps else f"{words} ({begins})"

    def _days(self, kept: Kept, *, several: bool = False) -> str:
        """The days of the oldest and the newest row; what is past is told as past, since the row is still there.

        ``several``: other rules may keep some of the rows, so that it is only known when this one ends at the latest.
        """
        if not kept.first or not kept.last:
            return ""
        if several and kept.keeps and kept.last >= self.today:
            return self._answer("kept_at_most", last=self.say.day(kept.last))
        over = "_over" if kept.last < self.today else "_oldest_over" if kept.first < self.today else ""
        once = "_once" if kept.first == kept.last and not over else ""
        what = "kept" if kept.keeps else "anonymised" if kept.anonymises else "goes"
        days = {"first": self.say.day(kept.first), "last": self.say.day(kept.last)}
        said = self._answer(f"{what}{over}{once}", **days)
        return f"{said} {self._answer('not_begun')}" if kept.undated else said
