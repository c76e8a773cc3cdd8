"""Which state's law a row is under, as a column says it: rules and ceilings of that state are judged row by row."""

from collections.abc import Collection, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field

from shared.domain.countries import COUNTRIES, country
from shared.downstreams.sql.declaration.declared import Declared, Join, Name

if TYPE_CHECKING:
    from shared.downstreams.sql.declaration.tables import Table


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

    def words_of(self, countries: Collection[str]) -> list[str]:
        """The words that mean one of these."""
        return sorted(word for word, country in self.meanings.items() if country in countries)

    def of(self, said: str | None) -> str | None:
        """The country that a row says; None: nobody can tell."""
        return self.meanings.get(as_word(said or ""))


def mistakes(table: "Table") -> Iterator[str]:
    """What of a table would let a row that is kept lose what says its state, a sentence for each."""
    says = table.jurisdiction
    if says is None:
        return
    for name in says.near:
        if name in table.columns and (party := table.columns[name].party) is not None:
            yield f"jurisdiction names column {name}, which goes with party {party}: leave its party out"
    if table.view:
        yield "a view has no rows of its own: declare jurisdiction with the table that it shows"
    if says.via and table.keeps and not any(path[: len(says.via)] == says.via for _, path in table.paths):
        yield (
            "keeps, and a jurisdiction in rows that may go before these: let the joins of jurisdiction be the beginning"
            " of a via of this table, so that they stay, or name a column of its own"
        )


def as_word(said: str) -> str:
    """What is compared of a word: it in capitals, without blanks around it."""
    return said.strip(" ").upper()
