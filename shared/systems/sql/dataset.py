"""Declares what a SQL store holds about people, table by table (REQ-C1): data, not code."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import Final, Self

from pydantic import Field, model_validator

from shared.domain.assignments import NUMBERS
from shared.domain.cells import meant_by_name
from shared.domain.errors import Misconfigured
from shared.domain.identities import IdentityType
from shared.domain.operations import Operation
from shared.domain.toml_file import read_toml
from shared.systems.engine.account_claims import PERSONAL_TYPES
from shared.systems.sql.declaration import DatasetTable, Name, Table
from shared.systems.sql.settings import SqlSettings, path_of

SIDE: Final = ("request_id", "number", "valid_from", "valid_to", "kept")
"""Columns of the side table with the numbers that readers must not see (Art. 18); ``kept``: an erasure left records."""


class Dataset(DatasetTable):
    """All tables of a store that hold personal data.

    ``restrict``: the side table with the numbers of restricted people (``SIDE``).
    """

    name: str
    tables: Mapping[Name, Table] = Field(min_length=1)
    restrict: Name | None = None

    @model_validator(mode="after")
    def _leads_to_people(self) -> Self:
        for name, table in self.tables.items():
            for _, join in table.joins:
                if (end := self.tables.get(join.table)) is None:
                    raise ValueError(f"table {name} belongs to {join.table}, which is not declared: declare it")
                if end.parties and join.party not in end.parties:
                    raise ValueError(
                        f"table {name}: several people are in a row of {join.table}: say as which of them the subject"
                        f" is found there, as party = {min(end.parties)!r}"
                    )
                if join.party and not end.parties:
                    raise ValueError(
                        f"table {name}: the join with {join.table} names party {join.party}, which it has not"
                    )
        try:
            TopologicalSorter(leads(self.tables)).prepare()
        except CycleError as found:
            raise ValueError(f"belongs_to leads round in a circle: {' to '.join(found.args[1])}") from None
        return self

    @model_validator(mode="after")
    def _tells_tenants_apart_everywhere(self) -> Self:
        without_tenant = [name for name, table in self.tables.items() if table.tenant is None and not table.ours]
        silent = [name for name in without_tenant if not self.tables[name].joins]
        if self.separates_tenants and silent:
            raise ValueError(f"{silent[0]} does not say whose its rows are: write tenant = a column or ours = true")
        if self.separates_tenants and (lost := [name for name in without_tenant if self.tables[name].anchors]):
            raise ValueError(
                f"{lost[0]} says from when periods count, and not whose its rows are: write tenant, or ours = true"
            )
        if both := [name for name, table in self.tables.items() if table.tenant and table.ours]:
            raise ValueError(f"table {both[0]} has a tenant column, so its rows are not all ours")
        return self

    @model_validator(mode="after")
    def _restricts_what_it_keeps(self) -> Self:
        keeping = [name for name, table in self.tables.items() if table.keep.fields]
        for name in (*keeping, *sorted(led_to(self.tables, keeping) - {*keeping})):
            table = self.tables[name]
            if name not in keeping and table.parties:
                raise ValueError(f"{name} leads to what is kept, and is about several people: leave out keep")
            if not table.keep.mark and not (self.restrict and self._found_by(name) & NUMBERS):
                raise ValueError(
                    f"{name} has keep.fields, or leads to what has: what is kept must be restricted, by the table that"
                    " restrict of the dataset names, if numbers find it, or by a column of its own:"
                    " keep.mark = { kept = true }"
                )
        return self

    def _found_by(self, name: str) -> frozenset[IdentityType]:
        """The types of identity by which rows of a table are found, also at the ends of its joins."""
        ends = (join.table for _, join in self.tables[name].joins)
        return frozenset(self.tables[name].types).union(*map(self._found_by, ends))

    @property
    def separates_tenants(self) -> bool:
        """Whether its rows name the customer for whom they are processed."""
        return any(table.tenant for table in self.tables.values())

    @property
    def searched_by(self) -> frozenset[IdentityType]:
        """The types of identity by which anybody is found in one of its tables."""
        numbers = {IdentityType.PHONE} if self.restrict else set[IdentityType]()
        return frozenset(numbers.union(*(table.types for table in self.tables.values())))

    @property
    def yields(self) -> frozenset[IdentityType]:
        """The types of identity that its rows tell of whom they are about."""
        columns = (column for table in self.tables.values() for column in table.columns.values())
        return frozenset(each.identity for each in columns if each.yields and each.identity)

    @property
    def leads_on(self) -> bool:
        """Whether rows may be found by identities from other rows.

        A row that yields only its own key leads to itself, if no other column is searched by it.
        """
        return any(self._leads_on_by(kind) for kind in self.yields - {IdentityType.NAME})

    def _leads_on_by(self, kind: IdentityType) -> bool:
        searched = [
            (table.primary_key == (name,) and column.yields and column.match == "exact")
            for table in self.tables.values()
            for name, column in table.searched.items()
            if column.identity is kind
        ]
        by_number = self.restrict is not None and kind is IdentityType.PHONE
        return by_number or searched != [True]

    @property
    def unconfirmed_accounts(self) -> tuple[str, ...]:
        """The tables filed by an account alone, where no record of it, of any row, bears something of a person's."""
        kinds = {name: self._found_by(name) for name in self.tables}
        if any(table.accounts_recorded and kinds[name] & PERSONAL_TYPES for name, table in self.tables.items()):
            return ()
        return tuple(
            name for name, found in kinds.items() if IdentityType.ACCOUNT_ID in found and not found & PERSONAL_TYPES
        )

    @property
    def unattributed(self) -> tuple[str, ...]:
        """Returns columns about other people without a party, which are never shown."""
        return tuple(
            f"{table}.{name}"
            for table, declared in self.tables.items()
            for name, column in declared.columns.items()
            if column.unattributed
        )

    @property
    def texts(self) -> tuple[str, ...]:
        """Returns the columns with free text, in which mentions of people are not searched."""
        return tuple(
            f"{table}.{name}"
            for table, declared in self.tables.items()
            for name, column in declared.columns.items()
            if column.personal == "C" and column.identity is None
        )

    @property
    def unexplained(self) -> tuple[str, ...]:
        """The columns that are shown, and of which nothing tells the person what they mean (A15.X1)."""
        return tuple(
            f"{table}.{name}"
            for table, declared in self.tables.items()
            for name, column in declared.columns.items()
            if column.shown and not column.explain and (column.label or name) not in meant_by_name()
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
        """Returns operations that concern nothing held there.

        Whether anything may need correction is for the system's declaration to say.
        """
        switched = any(table.no_marketing for table in self.tables.values())
        return frozenset() if switched else frozenset({Operation.SUPPRESS})

    @property
    def corrects(self) -> bool:
        """Whether a column can be corrected, or a person has to look: nothing of what is about them says how."""
        return any(column.rectifies for table in self.tables.values() for column in table.columns.values()) or bool(
            self.uncorrected
        )

    @property
    def uncorrected(self) -> tuple[str, ...]:
        """The tables that hold what may have to be corrected, and declare no column as correctable."""
        bare = (n for n, table in self.tables.items() if not any(c.rectifies for c in table.columns.values()))
        return tuple(name for name in bare if any(True for _ in self.tables[name].tells_of_person))

    def legend(self) -> Mapping[str, Mapping[str, str]]:
        """Returns what each exported field means, by category.

        A field that only some tables of a category explain is left out.
        """
        legend: dict[str, dict[str, dict[str, None]]] = {}
        for table in self.tables.values():
            for name, column in table.columns.items():
                if column.shown:
                    meanings = legend.setdefault(table.category, {}).setdefault(column.label or name, {})
                    meanings[column.explain or ""] = None
        explained = {
            c: {name: " / ".join(meanings) for name, meanings in f.items() if "" not in meanings}
            for c, f in legend.items()
        }
        return {category: fields for category, fields in explained.items() if fields}


@dataclass(frozen=True)
class Tenancy:
    """Values of the tenant columns by tenant, in lower case; ``None``: the company's own."""

    values: Mapping[str | None, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: SqlSettings, dataset: Dataset) -> "Tenancy":
        """Reads a table of the downstreams file.

        Raises:
            Misconfigured: only one of the table and its dataset separates tenants
        """
        declared = bool(settings.tenants or settings.ours)
        if dataset.separates_tenants and not settings.ours:
            raise Misconfigured(
                f"the dataset {dataset.name} tells tenants apart: write ours = [...], the values of our own customers"
            )
        if declared and not dataset.separates_tenants:
            raise Misconfigured(
                f"no table of the dataset {dataset.name} tells tenants apart: leave tenants and ours out, or write"
                ' tenant = "<column>" in it'
            )
        own: list[tuple[str | None, tuple[str, ...]]] = [*settings.tenants.items()]
        own += [(None, settings.ours)] if settings.ours else []
        return cls({tenant: tuple(value.lower() for value in values) for tenant, values in own})

    def knows(self, tenant: str | None) -> bool:
        """Whether it can be said which rows are that tenant's; of a store without tenants all are ours."""
        return tenant is None or tenant in self.values


# Which tables lead to which.


def leads(tables: Mapping[str, Table]) -> Mapping[str, Collection[str]]:
    """Returns the tables to which each table's joins lead."""
    return {name: {join.table for _, join in table.joins} for name, table in tables.items()}


def led_to(tables: Mapping[str, Table], names: Iterable[str]) -> frozenset[str]:
    """The tables to which the rows of these lead, through however many."""
    found, fresh, near = frozenset[str](), frozenset(names), leads(tables)
    while fresh:
        fresh = frozenset[str]().union(*(near[name] for name in fresh)) - found
        found |= fresh
    return found


def ordered(tables: Iterable[str], after: Mapping[str, Collection[str]]) -> list[str]:
    """Orders tables after those named for each, close to the declared order; there must be no cycle."""
    ordered: list[str] = []
    waiting = [*tables]
    while waiting:
        ready = (name for name in waiting if not set(after.get(name, ())).intersection(waiting))
        ordered.append(next(ready))
        waiting.remove(ordered[-1])
    return ordered
