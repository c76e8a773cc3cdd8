"""The keys of a dataset: what is declared of one table of a SQL store, and what follows from that."""

from collections.abc import Collection, Iterator, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Annotated, Any, Literal, NamedTuple, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from shared.domain.identities import IdentityType
from shared.domain.text import Word
from shared.domain.toml_file import Mistakes
from shared.systems.states import STATES, StateReason

UTC_ZONE = ZoneInfo("UTC")
HAPPENED, FROM, TO = "happened", "valid_from", "valid_to"
"""The times of a row that the engine itself needs; all others are names that the policy has."""
PEOPLE = 10
"""A rare value of a row without its people stays where at least so many have it."""
_LONGEST_NAME = 64
_MAILED = frozenset({IdentityType.EMAIL, IdentityType.PHONE, IdentityType.ACCOUNT_ID})
_CORRECTED = frozenset({IdentityType.EMAIL, IdentityType.NAME, IdentityType.PHONE})
"""Identity types that may need correction; an account is assigned, not corrected."""
_FINDS = frozenset({"primary_key", "person", "tenant", "generated", "belongs_to", "country"}).union(
    f"at.{each}" for each in (HAPPENED, FROM, TO)
)
"""Keys that name columns by which rows are found, separated or judged."""


def _name(value: str) -> str:
    if not value or "\x00" in value or len(value) > _LONGEST_NAME:
        raise ValueError("is no name that a database can hold")
    return value


Name = Annotated[str, AfterValidator(_name)]


def without_guess(value: Any) -> Any:
    """The same; raises ``ValueError`` where a question mark marks a guess of a draft."""
    if isinstance(value, str) and value.endswith("?"):
        guessed = f"is only guessed ({value}): write {value[:-1]} if it is right" if value[:-1] else "is not decided"
        raise ValueError(f"{guessed}, or else what is right; look at the data, and ask who knows it")
    return value


class DatasetTable(BaseModel):
    """A table of the file; an unknown key is a mistake."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Column(DatasetTable):
    """One column: what it is about whom, and how it is searched, shown, blanked and corrected.

    - ``personal``: A identifies a party, B another person, M a fact about a party, C content, T technical
    - ``party``: the party that it is about; a column of class B without one is never shown
    - ``match``: the expression that is compared and has an index: the column, or ``lower(c)``
    - ``generated``: the database derives it, so it is searched, but neither shown nor blanked; the name of a column
      says from which. A row where that has a value and no derived column has one has an unknown owner
    - ``others``: what another party of the row is shown
    - ``anonymous``: what stays of it in an anonymised row; by default it is blanked
    """

    personal: Annotated[Literal["A", "B", "M", "C", "T"], BeforeValidator(without_guess)] = Field(alias="class")
    identity: IdentityType | None = None
    party: str | None = None
    match: Literal["exact", "lower"] = "exact"
    generated: bool | Name = False
    label: str | None = None
    explain: str = ""
    codes: Mapping[str, str] = Field(default_factory=dict)
    others: Literal["show", "strip"] = "strip"
    blank: str | None = None
    yields: bool = False
    rectifies: str | None = None
    portable: bool = True
    anonymous: Literal["keep", "rare", "redraw", "day", "month", "year"] | None = None

    @property
    def of(self) -> str | None:
        """The column from which it is derived, where that is said."""
        return self.generated if isinstance(self.generated, str) else None

    @property
    def shown(self) -> bool:
        """Whether a copy shows it."""
        return self.personal != "T" and not self.generated and not self.unattributed

    @property
    def goes(self) -> bool:
        """Whether it is blanked where a row about one person is kept without them."""
        return self.personal in {"A", "C"} or "blank" in self.model_fields_set

    @property
    def mails(self) -> bool:
        """Whether marketing reaches a person by its value."""
        return self.identity in _MAILED

    @property
    def unattributed(self) -> bool:
        """Whether it is about another person, and nothing tells about whom."""
        return self.personal == "B" and self.party is None


class Join(DatasetTable):
    """A join from a row to the row of another declared table that tells whose it is.

    ``on``: by column of this table the column there that holds the same. ``party``: of a table with several people in a
    row, as whom the subject is found there.
    """

    table: Name
    on: Mapping[Name, Name] = Field(min_length=1)
    party: str | None = None


class State(DatasetTable):
    """A state in which a row must stay: ``column`` holds one of the words of ``in``, or is empty (``null``).

    ``over``: words that end it; any further word is unknown then. An empty column leaves a state unknown if rules of
    the policy depend on it.
    """

    column: Name
    words: tuple[str, ...] = Field(default=(), alias="in")
    over: tuple[str, ...] = ()
    null: bool | None = None

    @model_validator(mode="after")
    def _asks_one_thing(self) -> Self:
        if bool(self.words) is (self.null is not None):
            raise ValueError(f"the state by {self.column} needs either in = [...] or null = true or false")
        if self.over and (not self.words or set(self.over) & set(self.words)):
            raise ValueError(f"over of {self.column} has the words that are not among those of in: write both")
        return self

    def lasts(self, reason: str, value: str | None) -> bool | None:
        """Whether it lasts by what a row says; None: the row does not tell."""
        if (value is None) is self.null if self.null is not None else value in self.words:
            return True
        if self.null is not None or (reason not in STATES and not self.over):
            return False
        return False if value is not None and (not self.over or value in self.over) else None


class Switch(NamedTuple):
    """A column and what it holds for a right to be honoured."""

    column: str
    value: bool | str

    @property
    def word(self) -> str:
        """The same as text."""
        return self.value if isinstance(self.value, str) else str(self.value).lower()


class Party(DatasetTable):
    """A person in a row of several; ``placeholders``: values that identify no one, next to NULL.

    ``belongs_to``: joins that lead to a row of theirs, where this row does not name them. ``withheld``: by column, the
    words that hide nothing; any other word hides, as in a ``Privacy`` header (RFC 3323). ``seen_by``: the parties that
    may see it; by default all. ``same_as``: the party that it is if they share a value or one has none: usually the
    dialled party is the one reached.
    """

    placeholders: tuple[str, ...] = ("",)
    belongs_to: tuple[Join, ...] = ()
    withheld: Mapping[Name, tuple[str, ...]] = Field(default_factory=dict, max_length=1)
    seen_by: tuple[str, ...] | None = None
    same_as: str | None = None


class KeptColumns(DatasetTable):
    """The columns that stay of a kept row, by field of the rule.

    A field without columns is declared with ``[]``, so that a misspelt name blanks nothing. ``bill_of``: the party
    whose bill needs the row; other parties are no longer found by it (REQ-R5), and rules of a country go by the country
    of this party's number. ``mark``: the column that marks kept
    rows, here or in a table that these lead to.
    """

    fields: Mapping[Word, tuple[Name, ...]] = Field(default_factory=dict)
    bill_of: str | None = None
    mark: Mapping[Name, bool | str] = Field(default_factory=dict, max_length=1)

    def columns(self, fields: Collection[str] = ()) -> frozenset[str]:
        """The columns of these fields of a rule, or of all of them if it names none."""
        return frozenset(
            name for field, names in self.fields.items() if field in fields or not fields for name in names
        )


class Anonymisation(NamedTuple):
    """Columns of an anonymised row (Recital 26).

    ``rare``: kept only in combinations shared by at least ``PEOPLE`` values of the column ``person``.
    """

    blank: tuple[str, ...]
    redraw: tuple[str, ...]
    coarsen: Mapping[str, str]
    rare: tuple[str, ...]
    same: tuple[str, ...]
    person: str


class Table(DatasetTable):
    """One table.

    - ``on_erase``: delete the row, or blank the subject's fields while another party is left in it (REQ-R5)
    - ``at``: its time columns: ``happened`` binds a number to its period; ``valid_from`` and ``valid_to`` limit what it
      yields; others start periods of the policy
    - ``person``: the column that separates people
    - ``tenant``: the column that names the customer for whom the row is processed
    - ``states``: while one lasts, nothing of the subject is erased unless a rule keeps the row
    - ``restrict``, ``no_marketing``: the column that readers obey, with its value when set
    - ``stated``: recorded events, which get statements instead of corrections (Art. 16)
    - ``country``: the column with the two-letter country whose law applies
    """

    category: Annotated[Word, BeforeValidator(without_guess)]
    primary_key: tuple[Name, ...] = Field(min_length=1)
    columns: Mapping[Name, Column] = Field(min_length=1)
    on_erase: Literal["delete", "blank"] = "delete"
    belongs_to: tuple[Join, ...] = ()
    parties: Mapping[str, Party] = Field(default_factory=dict)
    at: Mapping[Word, Name] = Field(default_factory=dict)
    timezone: ZoneInfo = UTC_ZONE
    person: Name | None = None
    tenant: Name | None = None
    ours: bool = False
    states: Mapping[StateReason, State] = Field(default_factory=dict)
    keep: KeptColumns = KeptColumns()
    restrict: Mapping[Name, bool] = Field(default_factory=dict, max_length=1)
    no_marketing: Mapping[Name, bool | str] = Field(default_factory=dict, max_length=1)
    stated: bool = False
    country: Name | None = None

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        """Collects all mistakes."""
        rules = (_named, _found, _anonymous, _parties, _blanking, _keeping, _stated)
        if mistakes := [says for rule in rules for says in rule(self)]:
            raise Mistakes(mistakes)
        return self

    # What finds people in it.

    @cached_property
    def searched(self) -> Mapping[str, Column]:
        """Returns the columns by which a subject is found; never a name alone."""
        found = {name: c for name, c in self.columns.items() if c.identity and c.identity is not IdentityType.NAME}
        return MappingProxyType(found)

    @cached_property
    def types(self) -> tuple[IdentityType, ...]:
        """The types of identity by which it is searched."""
        return tuple(sorted({c.identity for c in self.searched.values() if c.identity}))

    @cached_property
    def joins(self) -> tuple[tuple[str | None, Join], ...]:
        """Returns the joins that attribute a row, each with its party."""
        own: list[tuple[str | None, Join]] = [(None, join) for join in self.belongs_to]
        return (*own, *((name, join) for name, party in self.parties.items() for join in party.belongs_to))

    @cached_property
    def person_column(self) -> str | None:
        """The column that tells people apart: the declared one, else that of their account, or of their name.

        None where no column does, and for a row of several people.
        """
        if self.person or self.parties:
            return self.person
        columns = [*self.columns.items()]
        accounts = (name for name, column in columns if column.identity is IdentityType.ACCOUNT_ID)
        names = (name for name, column in columns if IdentityType.NAME in {column.identity, column.rectifies})
        return next(accounts, None) or next(names, None)

    @cached_property
    def accounts_recorded(self) -> frozenset[str]:
        """The columns with the account whose own record a row is; empty where its rows merely name one.

        That is said by the primary key, where it is the account, and by ``person``, where that is the account or the
        key. It is not said by ``person`` of what happened once.
        """
        if self.parties:
            return frozenset()
        accounts = frozenset(name for name, each in self.searched.items() if each.identity is IdentityType.ACCOUNT_ID)
        key = frozenset(self.primary_key) - {self.tenant, *(self.period or ())}
        if len(key) == 1 and key <= accounts:
            return key
        if self.person is None or self.stated or (self.happened and not self.period):
            return frozenset()
        return accounts if key == {self.person} else accounts & {self.person}

    @property
    def is_of_one_account(self) -> bool:
        """Whether its primary key is the account, so that each has one row."""
        column = self.searched.get(self.primary_key[0])
        return len(self.primary_key) == 1 and column is not None and column.identity is IdentityType.ACCOUNT_ID

    # Its times.

    @property
    def happened(self) -> str | None:
        """The column that says when a row happened."""
        return self.at.get(HAPPENED)

    @property
    def period(self) -> tuple[str, str] | None:
        """The columns that say from when to when a row holds."""
        return (self.at[FROM], self.at[TO]) if FROM in self.at and TO in self.at else None

    @cached_property
    def anchors(self) -> Mapping[str, str]:
        """Returns the column from which each period counts, by the policy's name."""
        return {name: column for name, column in self.at.items() if name not in {HAPPENED, FROM, TO}}

    # Changes to rows.

    @property
    def switches(self) -> tuple[Switch | None, Switch | None, Switch | None]:
        """Returns the columns of the flags: restriction, marketing, kept."""
        declared = (self.restrict, self.no_marketing, self.keep.mark)
        first, second, third = (next((Switch(*each) for each in flag.items()), None) for flag in declared)
        return first, second, third

    @property
    def mark(self) -> str | None:
        """Returns what happens to each column of an anonymised row; None if nothing is declared to stay."""
        return next(iter(self.keep.mark), None)

    @cached_property
    def anonymise(self) -> Anonymisation | None:
        """Returns the change to each column of a row without its people; None where no column stays."""
        values = {name: c.anonymous for name, c in self.columns.items() if not c.generated}
        if not any(values.values()):
            return None
        of = {what: tuple(n for n, each in values.items() if each == what) for what in (None, "redraw", "rare", "keep")}
        coarse = {name: each for name, each in values.items() if each in {"day", "month", "year"}}
        person = next((name for name in self.searched if name in of[None]), "")
        return Anonymisation(of[None], of["redraw"], coarse, of["rare"], of["keep"], person)

    @property
    def current_facts(self) -> Iterator[tuple[str, Column]]:
        """The columns with what is held of a person as they are today, which may have to be corrected (Art. 16).

        Not what is derived from another column, nor a record of what was at a time: that is not rewritten.
        """
        if self.stated or self.happened or self.period:
            return
        for name, column in self.columns.items():
            is_fact = column.identity in _CORRECTED or (column.identity is None and column.personal in {"A", "M"})
            if is_fact and not column.generated:
                yield name, column

    @property
    def tells_of_person(self) -> Iterator[tuple[str, Column]]:
        """Yields current facts that identify the person."""
        yield from ((name, c) for name, c in self.current_facts if c.identity or c.personal == "A")

    @property
    def derived(self) -> frozenset[str]:
        """The columns that the database derives from others."""
        return frozenset(name for name, column in self.columns.items() if column.generated)

    @property
    def blanked(self) -> frozenset[str]:
        """The columns that a row which is kept loses."""
        return frozenset(name for party in self.parties or (None,) for name in self.fields_of(party))

    @property
    def about_one(self) -> Mapping[str, Column]:
        """Returns the personal columns of a row about one person."""
        return {name: c for name, c in self.columns.items() if (c.personal != "T" or c.goes) and not c.generated}

    def fields_of(self, party: str | None) -> Mapping[str, Column]:
        """Returns the columns about a party; in a row about one person, those that are blanked."""
        fields = {name: c for name, c in self.columns.items() if c.party == party and not c.generated}
        return fields if party else {name: c for name, c in fields.items() if c.goes}

    @property
    def found_by(self) -> frozenset[str]:
        """Returns the columns by which a row is found and attributed."""
        named = self.named.items()
        return frozenset(name for place, names in named if place in _FINDS for name in names).union(self.searched)

    @property
    def named(self) -> Mapping[str, tuple[str, ...]]:
        """Returns the columns that each key of the table names."""
        one = {"person": self.person, "tenant": self.tenant, "country": self.country}
        return {
            "primary_key": self.primary_key,
            **{f"at.{name}": (column,) for name, column in self.at.items()},
            **{key: (column,) if column else () for key, column in one.items()},
            "generated": tuple(column.of for column in self.columns.values() if column.of),
            "belongs_to": tuple(near for _, join in self.joins for near in join.on),
            "states": tuple(state.column for state in self.states.values()),
            "restrict": tuple(self.restrict),
            "no_marketing": tuple(self.no_marketing),
            "keep.mark": tuple(self.keep.mark),
            "keep": tuple(name for names in self.keep.fields.values() for name in names),
            "withheld": tuple(name for party in self.parties.values() for name in party.withheld),
        }


# What is wrong with a table: a sentence for each.


def _named(table: Table) -> Iterator[str]:
    for place, columns in table.named.items():
        for column in columns:
            if column not in table.columns:
                yield f"{place} names column {column}, which is not declared"


def _found(table: Table) -> Iterator[str]:
    if not table.searched and not table.joins:
        yield (
            "no column holds an identity, so it cannot be searched: name the join that leads to a table which"
            ' does, as belongs_to = [{ table = "customer", on = { customer_id = "id" } }]'
        )
    if (FROM in table.at) is not (TO in table.at):
        yield f"at names one of {FROM} and {TO}: name both"


def _anonymous(table: Table) -> Iterator[str]:
    if (declared := table.anonymise) is None:
        return
    if not table.anchors:
        yield "anonymous needs at: the column from which the period before it counts"
    for name, column in table.columns.items():
        if column.anonymous and column.generated:
            yield f"column {name} follows from another one: say there what stays of it"
        elif column.anonymous not in {None, "redraw"} and (column.identity or column.personal in {"A", "B", "C"}):
            yield f"anonymous keeps {name}, which tells who it is about: leave it out there"
    for name in table.primary_key:
        if name in declared.blank:
            yield f'column {name} tells rows apart: write anonymous = "redraw" or "keep" there'
    if declared.rare and not declared.person:
        yield "anonymous = rare needs a column of an identity, to separate people"


def _parties(table: Table) -> Iterator[str]:
    for name, column in table.columns.items():
        if column.party is not None and column.party not in table.parties:
            yield f"column {name} belongs to party {column.party}, which is not declared"
        if table.parties and name in table.searched and column.party is None:
            yield f"column {name} holds an identity; say which party's it is"
    if table.parties and table.belongs_to:
        yield "belongs_to of a table with parties tells not whose the row is: write it below the party"
    if table.restrict and len(table.parties) > 1:
        yield "restrict of a row hides all its parties: declare a side table as restrict of the dataset"
    for party, declared in table.parties.items():
        if unknown := sorted({*(declared.seen_by or ()), *filter(None, [declared.same_as])} - table.parties.keys()):
            yield f"party {party} names {', '.join(unknown)}, which is not declared"
        if not any(column.personal == "A" for column in table.fields_of(party).values()):
            yield f"party {party} has no column of class A, so nothing would tell whether it is left"
    country = table.columns.get(table.country or "")
    if country and country.party is not None:
        yield f"country names column {table.country}, which goes with party {country.party}: leave its party out"


def _blanking(table: Table) -> Iterator[str]:
    if table.on_erase != "blank":
        return
    yield from _party_loss_faults(table)
    if len(table.parties) == 1:
        yield "on_erase = blank needs two parties or more, or none: then the row is kept without its person"
    keys = [{near for near in join.on if near not in table.primary_key} for _, join in table.joins]
    goes = table.blanked | table.derived
    whole = {name for key in keys if not key & goes for name in key}  # a part of a key leads nowhere
    if left := sorted(whole | (table.searched.keys() - goes)):
        yield f"on_erase = blank leaves {left[0]}, by which its person is found: give it class A"


def _party_loss_faults(table: Table) -> Iterator[str]:
    """Names what the erasure of one party blanks, and the others of its row are found by."""
    of_all = {*filter(None, [table.tenant, table.happened]), *(table.period or ())}
    for party in table.parties:
        searched = [column for column in table.searched.values() if column.party == party]
        finds = {near for of, join in table.joins if of == party for near in join.on}
        for name in sorted(of_all | finds | {column.of for column in searched if column.of}):
            other = table.columns[name].party if name in table.columns else None
            if other not in {None, party}:
                yield f"column {name} finds party {party}, and goes with party {other}: leave its party out"


def _keeping(table: Table) -> Iterator[str]:
    keep = table.keep
    if keep.fields:
        dated = sorted({*table.anchors.values()})
        if len(dated) != 1:
            named = f"at names {', '.join(dated)}" if dated else "at names none"
            yield f"keep counts from one column, and {named}: name in at the one from which its rule counts"
        elif table.happened != dated[0]:
            yield (
                f'keep needs at.happened, to decide which rows a rule still keeps: write happened = "{dated[0]}" there'
            )
        if table.joins and table.parties:
            yield "keep is for rows of several people only where their own columns find them: leave out belongs_to"
        if keep.bill_of is not None and keep.bill_of not in table.parties:
            yield f"keep.bill_of names {keep.bill_of}, which is no party"
    elif keep.bill_of:
        yield "keep.bill_of needs keep.fields: what is left of a row that a rule keeps"
    if keep.mark.keys() & table.restrict.keys():
        yield "keep.mark names the column of restrict, which a person may ask to lift: name another"


def _stated(table: Table) -> Iterator[str]:
    if table.stated and (table.joins or not table.searched):
        yield "stated is for a table whose own columns find people: leave it out, and let a person see to it"
