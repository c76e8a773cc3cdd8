"""Describes the categories of data: purposes, legal basis, source, effect of an erasure, and redaction; pure."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from shared.domain.text import ONE_LINE, Word

Words = Annotated[str, StringConstraints(pattern=ONE_LINE, min_length=1, max_length=500)]
"""A text of one line that people read."""


class Basis(StrEnum):
    """On which basis personal data are processed (Art. 6(1))."""

    CONSENT = "consent"  # (a)
    CONTRACT = "contract"  # (b)
    LEGAL_OBLIGATION = "legal_obligation"  # (c)
    VITAL_INTERESTS = "vital_interests"  # (d)
    PUBLIC_TASK = "public_task"  # (e)
    LEGITIMATE_INTERESTS = "legitimate_interests"  # (f)


class ProvidedBy(StrEnum):
    """The source of the data (Art. 15(1)(g), 20(1)); observed data count as provided by the person (WP242)."""

    PERSON = "person"
    OBSERVED = "observed"
    DERIVED = "derived"
    OTHERS = "others"


class OnErasure(StrEnum):
    """The effect of an erasure on a category."""

    DELETE = "delete"
    ANONYMISE = "anonymise"
    RESTRICT = (
        "restrict"  # what a rule keeps is reduced to its fields and restricted until its day; the rest is deleted
    )
    KEEP = "keep"  # what kept_by keeps stays as it is until its day; without a rule, a store that holds it refuses


class Data(BaseModel):
    """A part of the policy: frozen, without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Automation(Data):
    """A decision about people by automated means alone, or a profile with such effects (Art. 15(1)(h), 22)."""

    logic: Words
    consequences: Words


class Purpose(Data):
    """A purpose of processing (Art. 15(1)(a)), as people read it.

    ``direct_marketing``: it is stopped by marks in systems and by the suppression list (Art. 21(3)). ``automation``:
    the decision made by automated means only; ``none`` must be declared.
    """

    words: Words
    direct_marketing: bool = False
    automation: Literal["none"] | Automation


class Processing(Data):
    """On which basis, and as what, we process a category for one purpose."""

    basis: Basis
    role: Literal["controller", "processor"] = "controller"


class Category(Data):
    """A kind of personal data.

    ``held_as``: what systems and datasets call what belongs to it; its own name is one of them.
    ``kept_by``: the retention rules that may keep it in face of an erasure.
    """

    words: Words
    held_as: frozenset[Word] = frozenset()
    purposes: Annotated[Mapping[Word, Processing], Field(min_length=1)]
    provided_by: ProvidedBy
    on_erasure: OnErasure
    kept_by: tuple[Word, ...] = ()

    @property
    def consents(self) -> frozenset[str]:
        """The purposes for which it is processed by consent."""
        return frozenset(name for name, each in self.purposes.items() if each.basis is Basis.CONSENT)

    @property
    def by_consent_alone(self) -> bool:
        """Whether consent is its only legal basis, so that a full withdrawal erases it (Art. 17(1)(b))."""
        return all(each.basis is Basis.CONSENT for each in self.purposes.values())

    @property
    def is_customers(self) -> bool:
        """Whether only customers decide about it (Art. 28), so that none of it is the company's."""
        return all(each.role == "processor" for each in self.purposes.values())

    @property
    def portable(self) -> bool:
        """Whether it can be taken elsewhere: provided by the person, by consent or contract, ours to decide (20(1))."""
        given = self.provided_by in {ProvidedBy.PERSON, ProvidedBy.OBSERVED}
        return given and any(
            each.basis in {Basis.CONSENT, Basis.CONTRACT} and each.role == "controller"
            for each in self.purposes.values()
        )

    @model_validator(mode="after")
    def _names_the_rules_that_restrict(self) -> Self:
        if twice := [rule for rule in {*self.kept_by} if self.kept_by.count(rule) > 1]:
            raise ValueError(f"kept_by names {', '.join(sorted(twice))} twice: name it once")
        if (self.on_erasure is OnErasure.RESTRICT) and not self.kept_by:
            raise ValueError('on_erasure = "restrict" needs kept_by: name the rule that keeps it')
        if self.kept_by and self.on_erasure in {OnErasure.DELETE, OnErasure.ANONYMISE}:
            raise ValueError(
                f'on_erasure = "{self.on_erasure}" leaves nothing for kept_by: write "restrict" (what a rule keeps is'
                ' reduced and restricted) or "keep" (it stays as it is), or leave kept_by out'
            )
        return self


class Other(StrEnum):
    """The owner of a part of a record."""

    WITHHELD = "withheld"  # a person who withheld their number
    UNCONCERNED = "unconcerned"  # a person with whom the subject had nothing to do
    OTHERS = "others"  # another party, as far as a dataset does not let others see it
    WRITERS = "writers"  # another person who wrote on their ticket


class Redaction(Data):
    """The ``categories`` in which other people's parts are left out."""

    categories: Literal["all"] | Annotated[frozenset[Word], Field(min_length=1)]

    def holds_in(self, category: str | None) -> bool:
        """Whether it is left out there; in what the policy does not know, always."""
        return self.categories == "all" or category is None or category in self.categories
