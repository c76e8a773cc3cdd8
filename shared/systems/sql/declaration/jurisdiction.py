"""Which state's law a row is under, as a column says it: rules and ceilings of that state are judged row by row."""

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated

from pydantic import AfterValidator, Field

from shared.domain.countries import COUNTRIES, country
from shared.systems.sql.declaration.declared import Declared, Join, Name

Country = Annotated[str, AfterValidator(country)]


class Jurisdiction(Declared):
    """The column that says it: here, or in the row to which ``via`` leads.

    ``words``: what its words mean, compared in any case and without blanks around them; two letters of a country mean
    that country. Of any other word, and of none, nobody knows the state.
    """

    column: Name
    via: tuple[Join, ...] = ()
    words: Mapping[str, Country] = Field(default_factory=dict)

    @cached_property
    def meanings(self) -> Mapping[str, str]:
        """By word, in capitals, which country it means."""
        return {country: country for country in COUNTRIES} | {as_word(word): c for word, c in self.words.items()}

    @property
    def near(self) -> tuple[str, ...]:
        """The columns of its own table that it names."""
        return tuple(self.via[0].on) if self.via else (self.column,)

    def of(self, said: str | None) -> str | None:
        """The country that a row says; None: nobody can tell."""
        return self.meanings.get(as_word(said or ""))


def as_word(said: str) -> str:
    """What is compared of a word: it in capitals, without blanks around it."""
    return said.strip(" ").upper()
