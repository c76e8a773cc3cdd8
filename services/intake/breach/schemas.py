"""Bodies of what a person of the privacy team says of a breach."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import Field, model_validator

from services.intake.schemas import Count, Strict
from shared.domain.moments import Moment
from shared.domain.text import Text, Word
from shared.domain.wording import Language

Nature = Literal["confidentiality", "integrity", "availability"]
"""What has happened to the data: seen by others, changed, lost (EDPB Guidelines 9/2022, no. 17)."""
Whom = Literal["authority", "controller", "persons"]
"""``authority``: Art. 33(1); ``controller``: a customer for whom we process the data, 33(2); ``persons``: Art. 34."""
Exemption = Literal["protected", "averted", "disproportionate"]
"""Why nobody is told by letter though the risk is high: Art. 34(3)(a), (b), (c)."""
Decided = Literal["authority_notified", "controller_notified", "no_risk", "no_breach"]
"""What became of it: who had to be told was, nobody's rights are at risk, or nothing has happened."""


class BreachRecord(Strict):
    """What has happened, what it may lead to, and what is done about it (Art. 33(3) and (5))."""

    nature: Annotated[tuple[Nature, ...], Field(min_length=1, max_length=3)] = Field(examples=[["confidentiality"]])
    facts: Text = Field(description="what has happened, from when to when, how it was found; kept sealed, as all words")
    effects: Text = Field(description="what it has led to, and may still lead to, for those concerned")
    measures: Text = Field(description="what is done against it, and that it does not happen again")
    categories: Annotated[tuple[Word, ...], Field(min_length=1, max_length=20)] = Field(
        examples=[["call_record"]], description="of data, as the policy names them"
    )
    people: Count = Field(description="how many are concerned, approximately")
    records: Count = Field(description="how many records of them, approximately")


class BreachFound(BreachRecord):
    """A breach that was found elsewhere than by the platform."""

    found_at: Moment = Field(description="when we became aware of it: the 72 hours begin then")
    request_id: UUID | None = Field(default=None, description="the request in whose handling it happened, if one")


class AwarenessCorrected(Strict):
    """Since when we are aware of a breach, where that was entered or found wrongly."""

    found_at: Moment = Field(description="when we became aware of it: the 72 hours run from then")
    reasons: Text = Field(description="why it was another hour before; kept sealed")


class BreachNotified(Strict):
    """Whom one has told of it, and when."""

    whom: Whom
    to: Text = Field(examples=["BlnBDI, case 521.1234"], description="who it is, and by what reference they have it")
    told_at: Moment
    phase: Literal["initial", "further", "complete"] = Field(
        description="`complete`: nothing is left to be told; else the rest follows in phases (Art. 33(4))"
    )
    what: Text = Field(description="what they were told, and in which way")
    delay: Text | None = Field(
        default=None, description="after the 72 hours: why it is late (Art. 33(1)), or why it is noted only now"
    )
    people: Count | None = Field(default=None, description="of persons: how many were told, approximately")

    @model_validator(mode="after")
    def _counts_persons(self) -> Self:
        if (self.whom == "persons") != (self.people is not None):
            raise ValueError("people belongs to a notice to persons, and only there")
        return self


class LetterWords(Strict):
    """What the persons are told in one language, in plain words (Art. 34(2))."""

    happened: Text
    consequences: Text = Field(description="what it may lead to for them")
    measures: Text = Field(description="what we do, and what they can do themselves")


class RiskAssessed(Strict):
    """Whether the persons are told (Art. 34)."""

    high_risk: bool = Field(description="the breach is likely to result in a high risk to their rights and freedoms")
    no_risk: bool = Field(
        default=False,
        description="it is unlikely to result in any risk to them, so the authority need not be told either (Art."
        " 33(1)); that the risk is not high says no more than that the persons need not be (Art. 34)",
    )
    exemption: Exemption | None = Field(
        default=None,
        description="of a high risk: `protected`, nobody can read the data (34(3)(a)); `averted`, the high risk is no"
        " longer likely (b); `disproportionate`, they are told in public instead (c)",
    )
    reasons: Text = Field(description="why; kept sealed")
    concerned: Annotated[tuple[UUID, ...], Field(max_length=1_000)] = Field(
        default=(), description="requests of those who are told: a letter goes to each, as its letters do"
    )
    words: Mapping[Language, LetterWords] = Field(
        default={}, description="what the letter says, in every language that one of them reads"
    )

    @property
    def tells(self) -> bool:
        """Whether the persons are told each by themselves."""
        return self.high_risk and self.exemption is None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.exemption and not self.high_risk:
            raise ValueError("exemption belongs to a high risk: without one nobody need be told")
        if self.no_risk and self.high_risk:
            raise ValueError("no_risk and high_risk exclude each other: say which of them is so")
        if self.tells != bool(self.words):
            raise ValueError("words belong to persons who are told, and are needed there: give them, or the exemption")
        if self.concerned and not self.tells:
            raise ValueError("concerned are those who get a letter: there is none unless the persons are told")
        return self


class BreachClosed(Strict):
    """What became of a breach."""

    decision: Decided
    explanation: Text = Field(description="why; it is sealed")
