"""Serves a SQL store by the engine: its capabilities, its check, and its marketing list."""

from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Final

from shared.domain.identities import Identity, IdentityType, MalformedIdentity, normalise
from shared.domain.operations import Operation
from shared.domain.policy import OnErasure, Policy
from shared.systems.capabilities import Capabilities
from shared.systems.engine.account_claims import CONTACT_TYPES
from shared.systems.engine.adapter import EngineAdapter
from shared.systems.engine.records import Record
from shared.systems.protocols import Tried
from shared.systems.sql import check
from shared.systems.sql.declaration import Table
from shared.systems.sql.settings import SqlSettings
from shared.systems.sql.system import SqlSystem
from shared.systems.states import StatePlace
from shared.systems.sweepable import DatedPlace

_OF_A_PERSON: Final = frozenset({IdentityType.ACCOUNT_ID, IdentityType.EMAIL})
"""Identities that identify a person in requests and holds; a number identifies a line."""
_RESTRICTING: Final = frozenset({Operation.RESTRICT, Operation.LIFT})


class SqlAdapter(EngineAdapter):
    """Serves any store with a declared dataset."""

    def __init__(self, system: str, settings: SqlSettings, *, environment: Mapping[str, str], policy: Policy) -> None:
        self._policy = policy
        self._system = SqlSystem(system, settings, environment)
        self._dataset = self._system.dataset
        super().__init__(self._system, policy)

    async def close(self) -> None:
        """Closes the connections."""
        await self._system.close()

    async def inspect(self) -> Sequence[Tried]:
        """Tries each operation on no row; see ``check.inspect``."""
        return await check.inspect(self._system)

    async def forget(self) -> None:
        """Deletes notes of old requests, and statements about deleted rows."""
        async with self._system.unit() as unit:
            await unit.forget()

    async def would_get_marketing(self) -> AsyncIterator[Sequence[Sequence[Identity]]]:
        """Yields the identities of the company's own people without a stop of marketing."""
        for name, table in self._dataset.tables.items():
            mails = [column for column, each in table.searched.items() if each.mails]
            if table.no_marketing and mails:
                async for page in self._pages(name):
                    yield [[*self._known(mails, record)] for record in page if record.flags[1] is not True]

    async def everybody(self) -> AsyncIterator[Sequence[Sequence[Identity]]]:
        """Yields the identities of each row by which it is searched."""
        for name, table in self._dataset.tables.items():
            if table.searched:
                async for page in self._pages(name):
                    yield [[*self._known(table.searched, record)] for record in page]

    async def _pages(self, name: str) -> AsyncIterator[Sequence[Record]]:
        last: Record | None = None
        while True:
            async with self._system.unit(reading=True) as unit:
                page = await unit.rows_of(name, last)
            if not page:
                return
            last = page[-1]
            yield page

    def _known(self, columns: Collection[str], record: Record) -> Iterator[Identity]:
        for holder, value in zip(record.shape.holders, record.holders, strict=True):
            if holder.column in columns and value is not None:
                with suppress(MalformedIdentity):
                    yield Identity(holder.type, normalise(holder.type, value), source=self._system.name)

    @cached_property
    def can(self) -> Capabilities:
        """States what follows from its dataset."""
        dataset, tables = self._dataset, self._dataset.tables.items()
        against_policy = tuple(check.undeclared(dataset, self._policy))
        timed = any(table.happened or table.period for _, table in tables)
        switched = any(table.restrict for _, table in tables)
        unrestricted = frozenset[Operation]() if dataset.restrict or switched else _RESTRICTING
        return Capabilities(
            on_erasure=frozenset(OnErasure),  # or it refuses by name what its dataset does not say how to do
            erases_by_category=True,
            keeps_by_category=True,
            marketing_stop_categories=frozenset(t.category for _, t in tables)
            - {t.category for _, t in tables if not t.no_marketing},
            may_need_correction=dataset.corrects,
            statement_categories=frozenset(table.category for _, table in tables if table.stated),
            one_flag=dataset.restrict is None and switched,
            restricts_by_period=dataset.restrict is not None,
            declared_categories=frozenset(table.category for _, table in tables),
            not_held=dataset.not_held,
            tenants=frozenset(tenant for tenant in self._system.tenancy.values if tenant),
            legend=dataset.legend(),
            not_compared=_not_compared(dataset.tables),
            searched_by=dataset.searched_by,
            yields=dataset.yields,
            finds_more=dataset.leads_on,
            has_record_times=timed,
            respects_periods=timed,  # what is no longer theirs finds rows of its time alone
            distinguishes_people=any(table.person_column for _, table in tables),
            checks_claimed_accounts=True,
            unconfirmed_accounts=dataset.unconfirmed_accounts,
            may_refuse=bool(against_policy) or any(t.states or self._policy.keeps(t.category) for _, t in tables),
            state_places=[StatePlace(name, t.category, reason) for name, t in tables for reason in t.states],
            reports_no_states=True,
            policy_conflicts=against_policy,
            undeclared=unrestricted,
            missing_declarations={
                "unrestricted": () if dataset.restrict or unrestricted else _unrestricted(dataset.tables),
                "uncorrected": dataset.uncorrected,
                "people_not_counted": [n for n, t in tables if t.searched and not t.parties and not t.person_column],
                "never_shown": dataset.unattributed,
                "texts_not_searched": dataset.texts,
                "unexplained": dataset.unexplained,
                "not_yielded": _not_yielded(dataset.searched_by, dataset.yields),
                "claims_accounts": [name for name, table in tables if _claims_accounts(table)],
            },
        )

    @property
    def dated(self) -> Sequence[DatedPlace]:
        """The tables that say from when periods of the policy count in them."""
        return [
            DatedPlace(name, table.category, table.anchors, table.country is not None)
            for name, table in self._dataset.tables.items()
            if table.anchors
        ]


def _not_yielded(searched_by: frozenset[IdentityType], yields: frozenset[IdentityType]) -> Sequence[str]:
    """Returns accounts and addresses that rows are searched by but do not yield: records filed by them are missed."""
    known = searched_by & _OF_A_PERSON
    return sorted(known - yields) if len(known) > 1 else ()


def _claims_accounts(table: Table) -> bool:
    """Whether it yields an account with an address or a number: that is a claim, until something confirms it."""
    columns = table.columns.values()
    yielded = {each.identity for each in columns if each.yields}
    return IdentityType.ACCOUNT_ID in yielded and bool({each.identity for each in columns} & CONTACT_TYPES)


def _not_compared(tables: Mapping[str, Table]) -> tuple[str, ...]:
    """The tables with a stop of marketing in which no contact point stands, so that no list can be compared."""
    contact = IdentityType.EMAIL, IdentityType.PHONE
    mailed = {n for n, t in tables.items() for each in t.columns.values() if each.mails and each.identity in contact}
    return tuple(n for n, t in tables.items() if t.no_marketing and n not in mailed)


def _unrestricted(tables: Mapping[str, Table]) -> Sequence[str]:
    """The tables in which nothing tells who is restricted, where others do: a person restricts there."""
    return sorted(tables.keys() - _places_showing_restriction(tables))


def _places_showing_restriction(tables: Mapping[str, Table]) -> frozenset[str]:
    """Returns the tables whose readers see a restriction: they bear it, lead to it, or name its account."""
    reached = {name for name, table in tables.items() if table.restrict}
    if any(tables[name].is_of_one_account for name in reached):
        reached |= {name for name, table in tables.items() if IdentityType.ACCOUNT_ID in table.types}
    while leading := {name for name in tables.keys() - reached if _leads(tables[name], reached)}:
        reached |= leading
    return frozenset(reached)


def _leads(table: Table, reached: Iterable[str]) -> bool:
    return any(join.table in reached for _, join in table.joins)
