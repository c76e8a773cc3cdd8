"""Defines retention: rules that keep data despite an erasure, and ceilings for everyone; pure."""

from collections.abc import Mapping
from datetime import date
from enum import StrEnum
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from shared.domain.countries import country, state
from shared.domain.policy.categories import Data, Words
from shared.domain.policy.periods import IsoPeriod, Period, release
from shared.domain.text import Word
from shared.domain.time_limit_policy import Zone

COUNTED_IN: Final = "UTC"
"""The days of a sign-off are days of the calendar: their zone makes no difference that counts."""

Jurisdiction = Annotated[str, AfterValidator(state)]
"""A country by its two letters, or the Union."""
Country = Annotated[str, AfterValidator(country)]
"""A country by its two letters."""
Ground = Literal["17(1)(a)", "17(3)(a)", "17(3)(b)", "17(3)(c)", "17(3)(d)", "17(3)(e)"]
"""The ground of a rule: an exception of Art. 17(3), or data still necessary (Art. 17(1)(a) is not met)."""


class Signature(Data):
    """The signature of counsel or the DPO and its term; ``fictitious``: invented for demonstrations and tests."""

    by: Annotated[Words, Field(pattern=r"\S")]
    on: date
    expires: IsoPeriod
    fictitious: bool = False

    @property
    def last_day(self) -> date:
        """The last day on which it is valid."""
        return release(self.expires, self.on, COUNTED_IN).last_day

    def is_valid(self, day: date) -> bool:
        """Returns whether the sign-off is valid on a day."""
        return self.on <= day <= self.last_day


class SignOff(Signature):
    """The signature of a rule; ``period``: what was signed, if it is named: another period needs another signature."""

    period: IsoPeriod | None = None


class PartSignOff(Signature):
    """The signature of a part of the policy as a whole; ``version``: of the content that was signed."""

    version: str | None = None


class Signed(Data):
    """A part that counsel or the DPO signs; it has no effect without a valid sign-off (REQ-R2)."""

    sign_off: SignOff | None = None

    def signed(self, day: date) -> bool:
        """Returns whether a valid sign-off exists on a day."""
        return self.sign_off is not None and self.sign_off.is_valid(day)

    def _must_be_what_was_signed(self, period: Period | None) -> None:
        if (by := self.sign_off) is None or (by.period is None and (period is None or by.fictitious)):
            return
        if by.period is None:
            raise ValueError(
                f'its sign-off does not say of which period it is: write period = "{period}" there as well'
            )
        if by.period != period:
            raise ValueError(f"its sign-off is of {by.period}: have this period signed, or write the one that was")


def not_signed(rules: Mapping[str, Signed], day: date) -> str:
    """Says that none of these rules has a sign-off valid on that day, with the dates of those signed."""
    known = {name: each.sign_off for name, each in sorted(rules.items()) if each.sign_off}
    known_dates = [
        f"that of {name} begins on {by.on}" if by.on > day else f"that of {name} ended on {by.last_day}"
        for name, by in known.items()
    ]
    return f"which no sign-off covers today ({', '.join(known_dates)})" if known_dates else "which is not signed"


class WhereUnknown(StrEnum):
    """The effect if a rule's country applies and a record does not show its country.

    ``ask``: nothing of the person is erased there until an officer has decided, since it is for us to show a ground
    (Art. 5(2)); ``keep``: it stays, and that law is not named as the ground.
    """

    KEEP = "keep"
    ASK = "ask"


class Rule(Signed):
    """Keeps the ``fields`` of a category in an erasure, or complete records if it names none.

    A rule without a category keeps what names it in ``kept_by``.

    ``period`` counts from the ``anchor``, a day or an instant of each record; a rule without one keeps while the state
    ``lasts_while`` lasts. ``review``: then systems are searched again after each such time. ``jurisdiction``: of its
    law, or of the company. ``applies_to``: countries to whose records it is limited, for calls those of the line that
    is billed; by default the country of a foreign law. ``zone``: where the day of an instant is counted; by default
    where the controller is. ``reported_as``: words by which systems of other teams name it. ``where_unknown``: what
    happens if it is limited to countries and a record does not show its country.
    """

    category: Word | None = None
    words: Words
    period: IsoPeriod | None = None
    anchor: Word | None = None
    lasts_while: Word | None = None
    review: IsoPeriod | None = None
    fields: frozenset[Word] = frozenset()
    jurisdiction: Jurisdiction
    applies_to: frozenset[Country] = frozenset()
    zone: Zone | None = None
    legal_source: Words
    ground: Ground
    reported_as: frozenset[Word] = frozenset()
    where_unknown: WhereUnknown = WhereUnknown.ASK

    @model_validator(mode="after")
    def _says_until_when(self) -> Self:
        if (self.period is None) == (self.lasts_while is None):
            raise ValueError("give exactly one of period, lasts_while")
        if (self.period is None) != (self.anchor is None):
            raise ValueError("a period needs an anchor, and only a period: name the day from which it counts")
        if self.review and self.period:
            raise ValueError("review is for lasts_while: what a period keeps is searched again on its own days")
        self._must_be_what_was_signed(self.period)
        return self


class AtCeiling(StrEnum):
    """The action on a record past a ceiling."""

    DELETE = "delete"
    ANONYMISE = "anonymise"


class Ceiling(Signed):
    """The time after which a category is deleted, for all people; ``jurisdiction``: of the law that sets it, if any."""

    category: Word
    words: Words
    period: IsoPeriod
    anchor: Word
    then: AtCeiling
    jurisdiction: Jurisdiction | None = None
    zone: Zone | None = None
    legal_source: Words | None = None

    @model_validator(mode="after")
    def _names_its_law(self) -> Self:
        if (self.jurisdiction is None) != (self.legal_source is None):
            raise ValueError("jurisdiction and legal_source belong together: write both, or neither if it is our own")
        self._must_be_what_was_signed(self.period)
        return self


class NoticeRow(Data):
    """A row of the privacy notice about retention: its words and figure, and the rules and ceilings that carry it out.

    None of them may be longer than ``period``, the published figure, or shorter than ``shortest``, which is a slip.
    """

    words: Words
    period: IsoPeriod
    shortest: IsoPeriod
    rules: tuple[Word, ...] = ()
    ceilings: tuple[Word, ...] = ()

    @model_validator(mode="after")
    def _is_carried_out(self) -> Self:
        if not self.rules and not self.ceilings:
            raise ValueError("names neither rules nor ceilings: name those that carry it out")
        if self.shortest.about_days > self.period.about_days:
            raise ValueError("shortest is longer than period")
        return self
