"""Names the parties: controller, officer, recipients, authorities, and systems as people read them; pure."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from shared.domain.identities import IdentityType
from shared.domain.languages import ENGLISH, Language
from shared.domain.policy.categories import Data, Words
from shared.domain.policy.rules import Jurisdiction
from shared.domain.text import Word
from shared.domain.time_limit_policy import Zone


def _in_english(names: Mapping[Language, str]) -> Mapping[Language, str]:
    if ENGLISH not in names:
        raise ValueError("has no English name: write en, which is read where a language has none of its own")
    return names


Called = Annotated[Mapping[Language, Words], AfterValidator(_in_english)]
"""The name that people read in each language, without an article; it stands in quotation marks in a sentence."""


def name_in(language: Language, called: Called) -> str:
    """The name in that language, or else in English."""
    return called.get(language) or called[ENGLISH]


Site = Annotated[str, Field(pattern=r"^https://[a-z0-9.-]+(/[\w./-]*)?$")]


class Contact(Data):
    """Ways to reach a party: at least one."""

    email: Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$")] | None = None
    phone: Words | None = None
    address: tuple[Words, ...] = ()

    @model_validator(mode="after")
    def _can_be_reached(self) -> Self:
        if not (self.email or self.phone or self.address):
            raise ValueError("names no way to reach them: give email, phone or address")
        return self


class Party(Contact):
    """A name with contact details."""

    name: Words


class Controller(Party):
    """The controller (Art. 13(1)(a)); days are counted in its ``zone`` unless a rule names one."""

    zone: Zone
    country: Jurisdiction


class Officer(Party):
    """The data protection officer; ``in_country``: whom people of a country reach, as a representative (Art. 27)."""

    in_country: Mapping[Jurisdiction, Party] = {}

    def of(self, country: str | None) -> Party:
        """Returns the contact for people in that country."""
        return self.in_country.get(country or "", self)


class Authority(Data):
    """A supervisory authority by its own name; ``site``: its address on the web, as text."""

    name: Words
    site: Site


class Law(Data):
    """A data protection law: in which ``states`` it is in force (``EU``: what the Union itself has enacted).

    What one of them obliges to keep is an obligation by law there (Art. 6(3), 17(3)(b)).
    """

    states: Annotated[frozenset[Jurisdiction], Field(min_length=1)]


class Recipient(Data):
    """A recipient of data (Art. 4(9)): named to people, and notified of changes (Art. 19).

    ``safeguard``: for a transfer to a third country (Art. 44-46). ``channel``: how notices reach them; without one a
    person notifies them. ``identified_by``: the identities that they received with the data: a notice names no other,
    which would be a new disclosure.
    """

    name: Words
    role: Literal["processor", "controller", "joint_controller"]
    country: Jurisdiction
    safeguard: Literal["adequacy", "standard_clauses", "binding_rules", "derogation"] | None = None
    contact: Contact
    channel: Literal["email"] | None = None
    categories: Annotated[frozenset[Word], Field(min_length=1)]
    identified_by: Annotated[frozenset[IdentityType], Field(min_length=1)]

    @model_validator(mode="after")
    def _is_reached(self) -> Self:
        if self.channel == "email" and self.contact.email is None:
            raise ValueError('channel = "email" needs contact.email')
        return self
