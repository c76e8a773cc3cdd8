"""What a dataset says of a table besides its columns: who is in a row, when it happened, and what restricts it."""

from collections.abc import Collection, Mapping
from functools import cached_property
from typing import Annotated, Any, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from shared.domain.countries import COUNTRIES, country
from shared.domain.text import Word
from shared.systems.states import STATES, Reason

_LONGEST_NAME = 64


def _name(value: str) -> str:
    if not value or "\x00" in value or len(value) > _LONGEST_NAME:
        raise ValueError("is no name that a database can hold")
    return value


Name = Annotated[str, AfterValidator(_name)]
Country = Annotated[str, AfterValidator(country)]
UTC_ZONE = ZoneInfo("UTC")


def decided(value: Any) -> Any:
    """The same; raises ``ValueError`` where a question mark says that a draft has only guessed it, or has not."""
    if isinstance(value, str) and value.endswith("?"):
        guessed = f"is only guessed ({value}): write {value[:-1]} if it is right" if value[:-1] else "is not decided"
        raise ValueError(f"{guessed}, or else what is right; look at the data, and ask who knows it")
    return value


class Declared(BaseModel):
    """A table of the file; a key that it does not know is a mistake."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Withheld(Declared):
    """How a row tells that a party hid their number: then nothing of theirs is shown to anybody else.

    ``shown``: the words that hide nothing. The column holds one word or a list of them, as a ``Privacy`` header does
    (RFC 3323), in any case; any other word hides, and so does one that nobody has heard of.
    """

    column: Name
    shown: tuple[str, ...] = ("none",)


class RowTest(Declared):
    """A condition on one column, whose value is compared as text: one of these words (``in``), or empty (``null``)."""

    column: Name
    words: tuple[str, ...] = Field(default=(), alias="in")
    null: bool | None = None

    @model_validator(mode="after")
    def _asks_one_thing(self) -> Self:
        if bool(self.words) is (self.null is not None):
            raise ValueError(f"the condition on {self.column} needs either in = [...] or null = true or false")
        return self


class Refusal(RowTest):
    """In which state of a row nothing of the subject may be erased, and why, in a word of ours.

    Where that is a state while which a rule of the policy keeps the table's category, the rows that are in it stay by
    that, and the rest goes.

    ``over``: the words that say that it is not so; with them any other word is one that nobody knows. Of a state that
    rules of the policy rest on an empty column says neither.
    """

    reason: Reason
    over: tuple[str, ...] = ()

    @property
    def known(self) -> tuple[str, ...] | None:
        """The words that say either; empty: any word does. None: each row says it."""
        if not self.words or (self.reason not in STATES and not self.over):
            return None
        return (*self.words, *self.over) if self.over else ()

    def tells(self, said: str | None) -> bool:
        """Whether a row that says this tells whether the state lasts."""
        known = self.known
        return known is None or (said is not None and (not known or said in known))

    @model_validator(mode="after")
    def _says_each_word_once(self) -> Self:
        if self.over and (not self.words or set(self.over) & set(self.words)):
            raise ValueError(f"over of {self.column} has the words that are not among those of in: write both")
        return self


class Constant(Declared):
    """A word that a column of a join must hold, for keys that say in which table they point."""

    word: str = Field(alias="is")


class Join(Declared):
    """One step from the rows of a table to those of another.

    ``on``: by column of this table the column of the other that holds the same, or a ``Constant``. ``where``: which
    rows of the other. ``party``: of a table with several people in a row, as whom the subject is found there.
    """

    table: Name
    schema_: Name | None = Field(default=None, alias="schema")
    on: Mapping[Name, Name | Constant] = Field(min_length=1)
    where: tuple[RowTest, ...] = ()
    party: str | None = None

    @cached_property
    def columns(self) -> tuple[tuple[str, str], ...]:
        """The columns of this table, each with that of the other."""
        return tuple((near, far) for near, far in self.on.items() if isinstance(far, str))

    @cached_property
    def words(self) -> tuple[tuple[str, str], ...]:
        """The columns of this table that must hold a word, each with that word."""
        return tuple((near, far.word) for near, far in self.on.items() if isinstance(far, Constant))

    @model_validator(mode="after")
    def _joins(self) -> Self:
        if not self.columns:
            raise ValueError(f"the join with {self.table} names no column of it: write on = {{ customer_id = 'id' }}")
        return self


def _paths(value: Any) -> Any:
    return [value] if isinstance(value, list | tuple) and value and not isinstance(value[0], list | tuple) else value


Via = Annotated[tuple[Annotated[tuple[Join, ...], Field(min_length=1)], ...], BeforeValidator(_paths)]
"""A path of joins, or several; each leads to a table of the dataset that tells whose a row is."""


class Party(Declared):
    """A person in a row of several; ``nobody`` are values that identify no one, besides NULL.

    ``via``: the joins that lead to a row of theirs, where this row does not name them. ``seen_by``: to which other
    parties what tells about it is shown; to all, if left out. ``same_as``: the party that it is where both have a value
    in common, or that one has none: who was dialled mostly is who was reached.
    """

    nobody: tuple[str, ...] = ("",)
    via: Via = ()
    withheld: Withheld | None = None
    seen_by: tuple[str, ...] | None = None
    same_as: str | None = None


class Occurred(Declared):
    """When a row happened, which binds a number to its period; ``timezone`` is that of times that have none."""

    column: Name
    timezone: ZoneInfo = UTC_ZONE


class Period(Declared):
    """The columns that say from when to when a row holds; without ``timezone`` they are in that of ``occurred``."""

    valid_from: Name
    valid_to: Name
    timezone: ZoneInfo | None = None


class Switch(Declared):
    """A column and what it must hold for the right to be honoured: a boolean, or a word (of an enumeration, too).

    ``otherwise``: the word that it holds where nothing is restricted, which lifting puts back; where it holds a third
    one nobody could tell afterwards what it was, so a person does it.
    """

    column: Name
    value: bool | str
    otherwise: str | None = None

    @property
    def word(self) -> str:
        """What it must hold, as text."""
        return self.value if isinstance(self.value, str) else str(self.value).lower()

    @model_validator(mode="after")
    def _has_two_sides(self) -> Self:
        if isinstance(self.value, bool) and self.otherwise is not None:
            raise ValueError("otherwise is for a column that holds words")
        if self.value == self.otherwise:
            raise ValueError("otherwise is the same word as value")
        return self


class Keeping(Declared):
    """What is left of a row that a rule of the policy keeps in face of an erasure: by field of the rule the columns.

    A field of which the table has none is named with ``[]``, so that a slip in a name takes nothing from a row that is
    kept. ``bill_of``: the party whose bill needs it; of the others it is no longer found in a search (REQ-R5).
    """

    fields: Mapping[Word, tuple[Name, ...]] = Field(min_length=1)
    bill_of: str | None = None

    def columns(self, fields: Collection[str]) -> frozenset[str]:
        """The columns of these fields of a rule, or of all of them if it names none."""
        return frozenset(
            name for field, names in self.fields.items() if field in fields or not fields for name in names
        )


class SideTable(Declared):
    """A table beside the data that the read path obeys: numbers of people whose data nobody may use (Art. 18)."""

    table: Name
    number: Name
    valid_from: Name
    valid_to: Name
    request: Name


class Jurisdiction(Declared):
    """The column that says it.

    ``words``: what its words mean, compared in any case and without blanks around them; two letters of a country mean
    that country. Of any other word, and of none, nobody knows the state.
    """

    column: Name
    words: Mapping[str, Country] = Field(default_factory=dict)

    @cached_property
    def meanings(self) -> Mapping[str, str]:
        """By word, in capitals, which country it means."""
        return {country: country for country in COUNTRIES} | {as_word(word): c for word, c in self.words.items()}

    def of(self, said: str | None) -> str | None:
        """The country that a row says; None: nobody can tell."""
        return self.meanings.get(as_word(said or ""))


def as_word(said: str) -> str:
    """What is compared of a word: it in capitals, without blanks around it."""
    return said.strip(" ").upper()
