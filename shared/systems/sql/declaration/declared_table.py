"""What a dataset says of one table, and what follows from it."""

from collections.abc import Iterator, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, Field

from shared.domain.identities import IdentityType
from shared.domain.text import Word
from shared.systems.sql.declaration.anonymisation import Anonymisation
from shared.systems.sql.declaration.columns import Column
from shared.systems.sql.declaration.declared import (
    UTC_ZONE,
    Declared,
    Join,
    Jurisdiction,
    Keeping,
    Name,
    Occurred,
    Party,
    Period,
    Refusal,
    RowTest,
    Switch,
    Via,
    decided,
)

_FINDS = frozenset(("primary_key", "occurred", "period", "person", "tenant", "domain", "of", "via", "where")).union(
    ["jurisdiction"]
)
"""What names a column by which a row is found, told from others, or judged."""

_CORRECTED = frozenset({IdentityType.EMAIL, IdentityType.NAME, IdentityType.PHONE})
"""What somebody is known by today that may be wrong of them; an account is whose it is."""


class DeclaredTable(Declared):
    """What is said of one table; ``Table`` is one that can be right."""

    schema_: Name | None = Field(default=None, alias="schema")
    category: Annotated[Word, BeforeValidator(decided)]
    primary_key: tuple[Name, ...] = Field(min_length=1)
    erase: Literal["delete", "blank"] = "delete"
    columns: Mapping[Name, Column] = Field(min_length=1)
    via: Via = ()
    where: tuple[RowTest, ...] = ()
    refuse_when: tuple[Refusal, ...] = ()
    parties: Mapping[str, Party] = Field(default_factory=dict)
    occurred: Occurred | None = None
    period: Period | None = None
    person: Name | None = None
    restriction: Switch | None = None
    marketing: Switch | None = None
    tenant: Name | None = None
    ours: bool = False
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

    @cached_property
    def accounts_recorded(self) -> frozenset[str]:
        """The columns with the account whose own record a row is; empty where its rows merely name one.

        That is said by the primary key, where it is the account, and by ``person``, where that is the account or the
        key. It is not said by ``person`` of what happened once (``occurred`` without a period, ``stated``).
        """
        if self.parties:
            return frozenset()
        accounts = frozenset(name for name, each in self.searched.items() if each.identity is IdentityType.ACCOUNT_ID)
        beside = {self.tenant} | ({self.period.valid_from, self.period.valid_to} if self.period else set())
        key = frozenset(self.primary_key) - beside
        if len(key) == 1 and key <= accounts:
            return key
        if self.person is None or self.stated or (self.occurred and not self.period):
            return frozenset()
        return accounts if key == {self.person} else accounts & {self.person}

    @property
    def is_of_one_account(self) -> bool:
        """Whether its primary key is the account, so that each has one row."""
        column = self.searched.get(self.primary_key[0])
        return len(self.primary_key) == 1 and column is not None and column.identity is IdentityType.ACCOUNT_ID

    @property
    def switches(self) -> tuple[Switch | None, Switch | None, Switch | None]:
        """What bears the flags: restriction, marketing, kept."""
        return self.restriction, self.marketing, self.kept

    @property
    def current_facts(self) -> Iterator[tuple[str, Column]]:
        """The columns with what is held of a person as they are today, which may have to be corrected (Art. 16).

        Not what is derived from another column, nor a record of what was at a time: that is not rewritten.
        """
        if self.stated or self.occurred or self.period:
            return
        for name, column in self.columns.items():
            derived = column.generated or column.of or column.domain
            told = column.identity in _CORRECTED or (column.identity is None and column.personal in {"A", "M"})
            if told and not derived:
                yield name, column

    @property
    def tells_of_person(self) -> Iterator[tuple[str, Column]]:
        """Those of them that identify the person."""
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
        """What a row about one person says of anybody."""
        return {name: c for name, c in self.columns.items() if (c.personal != "T" or c.goes) and not c.generated}

    @property
    def found_by(self) -> frozenset[str]:
        """The columns by which a row is found as somebody's, and told from those that are nobody's."""
        named = self.named.items()
        return frozenset(name for place, names in named if place in _FINDS for name in names).union(self.searched)

    @property
    def timezone(self) -> ZoneInfo:
        return self.occurred.timezone if self.occurred else UTC_ZONE

    def fields_of(self, party: str | None) -> Mapping[str, Column]:
        """What the store itself wrote down about a party; in a row about one person, what is blanked in it."""
        fields = {name: c for name, c in self.columns.items() if c.party == party and not c.generated}
        return fields if party else {name: c for name, c in fields.items() if c.goes}

    @property
    def named(self) -> Mapping[str, tuple[str, ...]]:
        """By what names them, the columns that something else of the table names."""
        return {
            "primary_key": self.primary_key,
            "occurred": (self.occurred.column,) if self.occurred else (),
            "period": (self.period.valid_from, self.period.valid_to) if self.period else (),
            "person": (self.person,) if self.person else (),
            "tenant": (self.tenant,) if self.tenant else (),
            "restriction": (self.restriction.column,) if self.restriction else (),
            "marketing": (self.marketing.column,) if self.marketing else (),
            "domain": tuple(column.domain for column in self.columns.values() if column.domain),
            "of": tuple(column.of for column in self.columns.values() if column.of),
            "via": tuple(near for _, path in self.paths for near in path[0].on),
            "where": tuple(test.column for test in self.where),
            "refuse_when": tuple(refusal.column for refusal in self.refuse_when),
            "anchors": tuple(anchor.column for anchor in self.anchors.values()),
            "kept": (self.kept.column,) if self.kept else (),
            "jurisdiction": (self.jurisdiction.column,) if self.jurisdiction else (),
            "keeps": tuple(name for names in self.keeps.fields.values() for name in names) if self.keeps else (),
            "withheld": tuple(party.withheld.column for party in self.parties.values() if party.withheld),
        }
