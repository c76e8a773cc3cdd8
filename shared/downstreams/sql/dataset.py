"""What a SQL store holds about people, declared table by table (REQ-C1): data, not code."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import Field, StringConstraints, model_validator

from shared.domain.identities import IdentityType
from shared.domain.operations import Operation
from shared.domain.text import Word
from shared.domain.toml_file import read_toml
from shared.downstreams.sql.bill import Itemised
from shared.downstreams.sql.declared import UTC_ZONE, Declared, Name, Occurred, Party, Period, SideTable, Switch

SHIPPED = Path(__file__).parents[2] / "policy" / "datasets"


def path_of(dataset: str) -> Path:
    """The file of a dataset: of one that ships with the product by its name, else a path."""
    return Path(dataset) if dataset.endswith(".toml") else SHIPPED / f"{dataset}.toml"


class Column(Declared):
    """One column: what it is about whom, how it is searched, shown, blanked and corrected.

    ``personal``: A identifies a party, B another person, M tells about a party, C content, T technical (never
    exported). ``party``: whose it is in a row of several people; of class B without one nobody can tell, so it is never
    shown. ``generated``: the database derives it, so it is
    searched but neither shown nor blanked. ``others``: what another party of the row is shown.

    ``match``: what is compared with an identity, and has an index: the column as it is (``exact``), ``lower(c)``
    (``lower``), ``lower(btrim(c))`` (``trimmed``), ``regexp_replace(c, '[^0-9+]', '', 'g')`` (``digits``). ``region``:
    in which country its numbers were dialled, where they stand there as dialled. ``domain``: the column with the domain
    of a SIP user, compared as ``('sip:' || c || '@' || lower(domain))``. ``of``: the column from which it is derived:
    in a row where only that has a value, and nothing that is derived from it, nobody can tell whose it is. ``former``:
    where rows may still hold an address that was corrected since: the column with the name that tells whose they are.
    """

    personal: Literal["A", "B", "M", "C", "T"] = Field(alias="class")
    identity: IdentityType | None = None
    party: str | None = None
    match: Literal["exact", "lower", "trimmed", "digits"] = "exact"
    region: Annotated[str, StringConstraints(pattern="^[A-Z]{2}$")] | None = None
    domain: Name | None = None
    of: Name | None = None
    former: Name | None = None
    generated: bool = False
    label: str | None = None
    explain: str = ""
    codes: Mapping[str, str] = Field(default_factory=dict)
    others: Literal["show", "strip"] = "strip"
    blank: str | None = None
    yields: bool = False
    rectifies: str | None = None
    portable: bool = True

    @property
    def shown(self) -> bool:
        return self.personal != "T" and not self.generated and not self.unattributed

    @property
    def unattributed(self) -> bool:
        """Whether it is about another person, and nothing tells about whom."""
        return self.personal == "B" and self.party is None


class Table(Declared):
    """One table; ``erase``: delete the row, or blank the subject's fields while another party is left in it (REQ-R5).

    ``person``: the column that tells people apart, for the blast-radius limit. ``tenant``: the column that says for
    which customer of ours we process the row, if for one; ``ours``: nothing in it is processed for a customer.
    """

    category: Word
    primary_key: tuple[Name, ...] = Field(min_length=1)
    erase: Literal["delete", "blank"] = "delete"
    columns: Mapping[Name, Column] = Field(min_length=1)
    parties: Mapping[str, Party] = Field(default_factory=dict)
    occurred: Occurred | None = None
    period: Period | None = None
    person: Name | None = None
    restriction: Switch | None = None
    marketing: Switch | None = None
    tenant: Name | None = None
    ours: bool = False
    itemised: Itemised | None = None

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

    @property
    def timezone(self) -> ZoneInfo:
        return self.occurred.timezone if self.occurred else UTC_ZONE

    def fields_of(self, party: str) -> Mapping[str, Column]:
        """What the store itself wrote down about a party."""
        return {name: c for name, c in self.columns.items() if c.party == party and not c.generated}

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        known = self.columns.keys()
        named = {
            "primary_key": self.primary_key,
            "occurred": (self.occurred.column,) if self.occurred else (),
            "period": (self.period.valid_from, self.period.valid_to) if self.period else (),
            "person": (self.person,) if self.person else (),
            "tenant": (self.tenant,) if self.tenant else (),
            "restriction": (self.restriction.column,) if self.restriction else (),
            "marketing": (self.marketing.column,) if self.marketing else (),
            "domain": tuple(column.domain for column in self.columns.values() if column.domain),
            "of": tuple(column.of for column in self.columns.values() if column.of),
            "former": tuple(column.former for column in self.columns.values() if column.former),
            "itemised": (*self.itemised.by, self.itemised.dialled, *self.itemised.columns) if self.itemised else (),
            "withheld": tuple(party.withheld.column for party in self.parties.values() if party.withheld),
        }
        for place, columns in named.items():
            for column in columns:
                if column not in known:
                    raise ValueError(f"{place} names column {column}, which is not declared")
        if not self.searched:
            raise ValueError("no column holds an identity, so nobody could be found in it")
        return self

    @model_validator(mode="after")
    def _is_spelled(self) -> Self:
        for name, column in self.columns.items():
            if (column.region or column.match == "digits") and column.identity is not IdentityType.PHONE:
                raise ValueError(f"column {name} has region or match = digits, which is for identity = phone")
            if column.former and (column.identity is not IdentityType.EMAIL or self.occurred):
                raise ValueError(f"column {name} has former, which is for identity = email in a table without times")
            if column.domain and column.identity is not IdentityType.SIP_URI:
                raise ValueError(f"column {name} has a domain, which is for identity = sip_uri")
        if len({column.region for column in self.columns.values() if column.region}) > 1:
            raise ValueError("numbers of one table are dialled in one region")
        return self

    @model_validator(mode="after")
    def _bills_what_is_the_subscribers(self) -> Self:
        if self.itemised:
            self.itemised.check(self.columns, self.searched, timed=self.occurred is not None)
        return self

    @model_validator(mode="after")
    def _knows_whose_it_is(self) -> Self:
        for name, column in self.columns.items():
            if column.party is not None and column.party not in self.parties:
                raise ValueError(f"column {name} belongs to party {column.party}, which is not declared")
            if self.parties and name in self.searched and column.party is None:
                raise ValueError(f"column {name} holds an identity; say which party's it is")
        if self.erase == "blank" and len(self.parties) < 2:  # noqa: PLR2004 - one party alone has nobody to keep a row for
            raise ValueError("erase = blank needs two parties or more")
        if self.restriction and len(self.parties) > 1:
            raise ValueError(
                "restriction of a row hides all its parties: declare a [restriction] table beside the data"
            )
        for party, said in self.parties.items():
            if unknown := sorted({*(said.seen_by or ()), *filter(None, [said.same_as])} - self.parties.keys()):
                raise ValueError(f"party {party} names {', '.join(unknown)}, which is not declared")
            if not any(column.personal == "A" for column in self.fields_of(party).values()):
                raise ValueError(f"party {party} has no column of class A, so nothing would tell whether it is left")
        return self


class Dataset(Declared):
    """Every table of a store that holds personal data."""

    name: str
    tables: Mapping[Name, Table] = Field(min_length=1)
    restriction: SideTable | None = None

    @model_validator(mode="after")
    def _tells_tenants_apart_everywhere(self) -> Self:
        silent = [name for name, table in self.tables.items() if table.tenant is None and not table.ours]
        if self.tells_apart and silent:
            raise ValueError(f"{silent[0]} does not say whose its rows are: write tenant = a column or ours = true")
        if both := [name for name, table in self.tables.items() if table.tenant and table.ours]:
            raise ValueError(f"table {both[0]} has a tenant column, so its rows are not all ours")
        return self

    @property
    def tells_apart(self) -> bool:
        """Whether its rows say for which customer of ours they are processed, if for one."""
        return any(table.tenant for table in self.tables.values())

    @property
    def searched_by(self) -> frozenset[IdentityType]:
        """The types of identity by which anybody is found in one of its tables."""
        numbers = {IdentityType.PHONE} if self.restriction else set[IdentityType]()
        return frozenset(numbers.union(*(table.types for table in self.tables.values())))

    @property
    def unattributed(self) -> tuple[str, ...]:
        """The columns about other people that have no party: they are never shown, and somebody should know."""
        return tuple(
            f"{table}.{name}"
            for table, declared in self.tables.items()
            for name, column in declared.columns.items()
            if column.unattributed
        )

    @classmethod
    def load(cls, where: str) -> Self:
        """Read a dataset: the name of one that ships with the product, or the path of a TOML file.

        Raises:
            Misconfigured: the file cannot be used.
        """
        return read_toml(path_of(where), cls)

    @property
    def not_held(self) -> frozenset[Operation]:
        """What concerns nothing held in it: no column can be corrected, or none tells who wants no marketing."""
        tables = self.tables.values()
        rectifies = any(column.rectifies for table in tables for column in table.columns.values())
        marketing = any(table.marketing for table in tables)
        known = {Operation.RECTIFY: rectifies, Operation.SUPPRESS: marketing}
        return frozenset(operation for operation, held in known.items() if not held)

    def legend(self) -> Mapping[str, Mapping[str, str]]:
        """Category by category what each exported field means, for the letter and the package."""
        legend: dict[str, dict[str, str]] = {}
        for table in self.tables.values():
            for name, column in table.columns.items():
                if column.shown and column.explain:
                    legend.setdefault(table.category, {})[column.label or name] = column.explain
        return legend
