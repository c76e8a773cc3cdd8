"""What a dataset says of one table."""

from collections.abc import Iterator, Mapping
from functools import cached_property, partial
from types import MappingProxyType
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, Field, model_validator

from shared.domain.identities import IdentityType
from shared.domain.text import Word
from shared.domain.toml_file import Mistakes
from shared.downstreams.sql.declaration import blanking, jurisdiction, keeping
from shared.downstreams.sql.declaration.anonymisation import Anonymisation
from shared.downstreams.sql.declaration.bill import Itemised
from shared.downstreams.sql.declaration.columns import Column
from shared.downstreams.sql.declaration.declared import (
    UTC_ZONE,
    Declared,
    Join,
    Keeping,
    Name,
    Occurred,
    Party,
    Period,
    Refusal,
    RowSwitch,
    RowTest,
    Switch,
    Via,
    decided,
)
from shared.downstreams.sql.declaration.jurisdiction import Jurisdiction

_FINDS = frozenset(
    ("primary_key", "occurred", "period", "person", "tenant", "domain", "of", "former", "via", "where", "json")
).union(["jurisdiction"])
"""What names a column by which a row is found, told from others, or judged."""


class Table(Declared):
    """One table; ``erase``: delete the row, or blank the subject's fields while another party is left in it (REQ-R5).

    ``person``: the column that tells people apart, for the blast-radius limit. ``tenant``: the column that says for
    which customer of ours we process the row, if for one; ``ours``: nothing in it is processed for a customer. ``via``:
    the joins by which a row leads to one of another table, which tells whose it is; several paths, if in several ways.
    ``schema``: where it stands, if elsewhere than the rest. ``where``: which of its rows are about people at all.
    ``refuse_when``: in which state of a row nothing of its subject may be erased, here or elsewhere in the store.
    ``view``: it is shown, and what it shows is erased and changed in other tables of the dataset.
    ``anchors``: the columns from which periods of the policy count, by what the policy calls their beginning.
    ``anonymise``: what becomes of a row at a ceiling that leaves it without its people. ``keeps``: what is left of a
    row that a rule keeps in face of an erasure. ``kept``: the column that says so of a row to
    whoever reads it: here, or where what it leads to is kept. ``stated``: what its rows record is not rewritten, and a
    statement of the person stands beside it instead (Art. 16). ``jurisdiction``: which state's law a row is under.
    """

    schema_: Name | None = Field(default=None, alias="schema")
    category: Annotated[Word, BeforeValidator(decided)]
    primary_key: tuple[Name, ...] = Field(min_length=1)
    erase: Literal["delete", "blank"] = "delete"
    columns: Mapping[Name, Column] = Field(min_length=1)
    via: Via = ()
    where: tuple[RowTest, ...] = ()
    refuse_when: tuple[Refusal, ...] = ()
    view: bool = False
    parties: Mapping[str, Party] = Field(default_factory=dict)
    occurred: Occurred | None = None
    period: Period | None = None
    person: Name | None = None
    restriction: Switch | RowSwitch | None = None
    marketing: Switch | RowSwitch | None = None
    tenant: Name | None = None
    ours: bool = False
    itemised: Itemised | None = None
    anchors: Mapping[Word, Occurred] = Field(default_factory=dict)
    anonymise: Anonymisation | None = None
    keeps: Keeping | None = None
    kept: Switch | None = None
    stated: bool = False
    jurisdiction: Jurisdiction | None = None

    @cached_property
    def searched(self) -> Mapping[str, Column]:
        """The columns by which a subject is found; a name alone finds nobody."""
        found = {name: c for name, c in self.columns.items() if c.identity and c.identity is not IdentityType.NAME}
        return MappingProxyType(found)

    @cached_property
    def types(self) -> tuple[IdentityType, ...]:
        return tuple(sorted({c.identity for c in self.searched.values() if c.identity}))

    @cached_property
    def region(self) -> str | None:
        """In which country its numbers were dialled, if they are written so."""
        return next((column.region for column in self.searched.values() if column.region), None)

    @cached_property
    def keeps_former(self) -> bool:
        """Whether its rows may still hold an address that was corrected since."""
        return any(column.former for column in self.searched.values())

    @cached_property
    def paths(self) -> tuple[tuple[str | None, tuple[Join, ...]], ...]:
        """Every path of its rows, and of which party it tells."""
        own: list[tuple[str | None, tuple[Join, ...]]] = [(None, path) for path in self.via]
        return (*own, *((name, path) for name, party in self.parties.items() for path in party.via))

    @cached_property
    def told_apart_by(self) -> str | None:
        """The column that tells people apart: the declared one, else that of their account, or of their name.

        None where no column does, and for a row of several people.
        """
        if self.person or self.parties:
            return self.person
        held = [*self.columns.items()]
        accounts = (name for name, column in held if column.identity is IdentityType.ACCOUNT_ID)
        names = (name for name, column in held if IdentityType.NAME in {column.identity, column.rectifies})
        return next(accounts, None) or next(names, None)

    @staticmethod
    def switched_by(switch: Switch | RowSwitch | None) -> tuple[str, ...]:
        """The columns of this table by which it is switched."""
        if switch is None:
            return ()
        return (switch.column,) if isinstance(switch, Switch) else tuple(switch.on.values())

    @property
    def scrubbed(self) -> Mapping[str, Column]:
        """The columns with texts in which people write about people."""
        return {name: column for name, column in self.columns.items() if column.scrub}

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
        """What a row about one person says of anybody."""
        return {name: c for name, c in self.columns.items() if (c.personal != "T" or c.goes) and not c.generated}

    @property
    def found_by(self) -> frozenset[str]:
        """The columns by which a row is found as somebody's, and told from those that are nobody's."""
        named = self._named.items()
        return frozenset(name for place, names in named if place in _FINDS for name in names).union(self.searched)

    @property
    def timezone(self) -> ZoneInfo:
        return self.occurred.timezone if self.occurred else UTC_ZONE

    def fields_of(self, party: str | None) -> Mapping[str, Column]:
        """What the store itself wrote down about a party; in a row about one person, what is blanked in it."""
        fields = {name: c for name, c in self.columns.items() if c.party == party and not c.generated}
        return fields if party else {name: c for name, c in fields.items() if c.goes}

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        """Every mistake at once."""
        rules = (
            self._names_what_is_declared,
            self._finds_somebody,
            self._ends,
            self._scrubs_texts,
            self._is_spelled,
            self._bills_what_is_the_subscribers,
            self._knows_whose_it_is,
            self._is_lifted,
            partial(blanking.mistakes, self),
            partial(jurisdiction.mistakes, self),
            partial(keeping.mistakes, self),
            self._is_stated,
        )
        if mistakes := [says for rule in rules for says in rule()]:
            raise Mistakes(mistakes)
        return self

    @property
    def _named(self) -> Mapping[str, tuple[str, ...]]:
        """By what names them, the columns that something else of the table names."""
        return {
            "primary_key": self.primary_key,
            "occurred": (self.occurred.column,) if self.occurred else (),
            "period": (self.period.valid_from, self.period.valid_to) if self.period else (),
            "person": (self.person,) if self.person else (),
            "tenant": (self.tenant,) if self.tenant else (),
            "restriction": self.switched_by(self.restriction),
            "marketing": self.switched_by(self.marketing),
            "domain": tuple(column.domain for column in self.columns.values() if column.domain),
            "of": tuple(column.of for column in self.columns.values() if column.of),
            "former": tuple(column.former for column in self.columns.values() if column.former),
            "itemised": self.itemised.names if self.itemised else (),
            "via": tuple(near for _, path in self.paths for near in path[0].on),
            "where": tuple(test.column for test in self.where),
            "refuse_when": tuple(refusal.column for refusal in self.refuse_when),
            "anchors": tuple(anchor.column for anchor in self.anchors.values()),
            "kept": self.switched_by(self.kept),
            "jurisdiction": self.jurisdiction.near if self.jurisdiction else (),
            "keeps": tuple(name for names in self.keeps.fields.values() for name in names) if self.keeps else (),
            "json": tuple(column.json_ for column in self.columns.values() if column.json_),
            "withheld": tuple(party.withheld.column for party in self.parties.values() if party.withheld),
        }

    def _names_what_is_declared(self) -> Iterator[str]:
        known = self.columns.keys()
        for place, columns in self._named.items():
            for column in columns:
                if column not in known:
                    yield f"{place} names column {column}, which is not declared"
                elif self.columns[column].json_:
                    yield f"{place} names {column}, which is a part of a document: name a column"

    def _finds_somebody(self) -> Iterator[str]:
        if not self.searched and not self.paths and not self.scrubbed:
            yield (
                "no column holds an identity, so nobody could be found in it: name the joins that lead to a table which"
                ' does, as via = [{ table = "customer", on = { customer_id = "id" } }]'
            )

    def _ends(self) -> Iterator[str]:
        if self.view and (self.anchors or self.anonymise):
            yield "a view has no rows of its own: declare anchors and anonymise with the table that it shows"
        if self.anonymise:
            if not self.anchors:
                yield "anonymise needs anchors: the column from which the period before it counts"
            yield from self.anonymise.mistakes(self.columns)

    def _scrubs_texts(self) -> Iterator[str]:
        for name, column in self.scrubbed.items():
            if column.json_ or column.generated or column.identity:
                yield f"column {name} has scrub, which is for texts that somebody writes"

    def _is_spelled(self) -> Iterator[str]:
        for name, column in self.columns.items():
            if (column.region or column.match == "digits") and column.identity is not IdentityType.PHONE:
                yield f"column {name} has region or match = digits, which is for identity = phone"
            if column.former and (column.identity is not IdentityType.EMAIL or self.occurred):
                yield f"column {name} has former, which is for identity = email in a table without times"
            if column.domain and column.identity is not IdentityType.SIP_URI:
                yield f"column {name} has a domain, which is for identity = sip_uri"
        if len({column.region for column in self.columns.values() if column.region}) > 1:
            yield "numbers of one table are dialled in one region"

    def _bills_what_is_the_subscribers(self) -> Iterator[str]:
        if self.itemised and self.columns.keys() >= {*self.itemised.names}:
            yield from self.itemised.mistakes(self.columns, self.searched, timed=self.occurred is not None)

    def _knows_whose_it_is(self) -> Iterator[str]:
        for name, column in self.columns.items():
            if column.party is not None and column.party not in self.parties:
                yield f"column {name} belongs to party {column.party}, which is not declared"
            if self.parties and name in self.searched and column.party is None:
                yield f"column {name} holds an identity; say which party's it is"
        if self.parties and self.via:
            yield "via of a table with parties tells not whose the row is: write it below the party"
        if self.restriction and len(self.parties) > 1:
            yield "restriction of a row hides all its parties: declare a [restriction] table beside the data"
        for party, said in self.parties.items():
            if unknown := sorted({*(said.seen_by or ()), *filter(None, [said.same_as])} - self.parties.keys()):
                yield f"party {party} names {', '.join(unknown)}, which is not declared"
            if not any(column.personal == "A" for column in self.fields_of(party).values()):
                yield f"party {party} has no column of class A, so nothing would tell whether it is left"

    def _is_lifted(self) -> Iterator[str]:
        if isinstance(self.restriction, RowSwitch) and not (self.restriction.present and self.restriction.request):
            yield "restriction by rows of a table is lifted by a column of it: write request = that column"
        if (
            isinstance(self.restriction, Switch)
            and isinstance(self.restriction.value, str)
            and not self.restriction.otherwise
        ):
            yield "restriction by a word is lifted by another: write otherwise = the word that it was before"

    def _is_stated(self) -> Iterator[str]:
        if self.stated and (self.view or self.paths or not self.searched):
            yield "stated is for a table whose own columns find people: leave it out, and let a person see to it"
