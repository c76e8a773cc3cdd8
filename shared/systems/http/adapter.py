"""Serves a declared HTTP system through the engine, and states its capabilities."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import httpx

from shared.domain.cells import meant_by_name
from shared.domain.clock import Clock
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation
from shared.domain.policy import OnErasure, Policy
from shared.systems.capabilities import Capabilities
from shared.systems.engine.adapter import EngineAdapter
from shared.systems.http.declaration import Resource, read_declaration
from shared.systems.http.paths import values_at
from shared.systems.http.session import Session, pages_of
from shared.systems.http.settings import DeclaredHttpSettings, path_of
from shared.systems.http.system import HttpSearch, HttpSystem, HttpUnit, spelled
from shared.systems.protocols import Tried
from shared.systems.states import StatePlace

_BY_REQUESTS = (Operation.ERASE, Operation.RECTIFY, Operation.RESTRICT, Operation.LIFT, Operation.SUPPRESS)


class HttpAdapter(EngineAdapter):
    """Serves any system with a declaration."""

    def __init__(
        self,
        system: str,
        settings: DeclaredHttpSettings,
        *,
        clock: Clock,
        environment: Mapping[str, str],
        policy: Policy,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._declaration = declaration = read_declaration(path_of(settings.declaration))
        self._session = session = Session(
            system, settings, declaration, clock=clock, environment=environment, transport=transport
        )
        unit = HttpUnit(system, declaration, session, HttpSearch(system, declaration, session), clock)
        self._system = HttpSystem(system, settings, unit, settings.parallel)
        super().__init__(self._system, policy)

    async def close(self) -> None:
        """Closes the connections."""
        await self._session.close()

    async def inspect(self) -> Sequence[Tried]:
        """Sends the request of ``check``; raises what a task would get."""
        await self._session.ask(self._declaration.check, {})
        return [Tried("access", "request of check")]

    @property
    def calls(self) -> int:
        """Returns the number of requests sent."""
        return self._session.calls_sent

    async def would_get_marketing(self) -> AsyncIterator[Sequence[Sequence[Identity]]]:
        """Yields, page by page, the identities of records in ``everybody`` without the marketing mark."""
        system = self._system.name
        for resource in self._declaration.resource.values():
            if resource.everybody is None or resource.suppress is None:
                continue
            stopped = resource.suppress.seen
            async for page in pages_of(system, self._session, resource.everybody, {}, patient=True):
                mailed = [record for record in page if not all(each.holds_of(record) for each in stopped)]
                yield [[*_known(system, resource, record)] for record in mailed]

    @cached_property
    def can(self) -> Capabilities:
        """States what follows from its declaration."""
        declared, resources = self._declaration, self._declaration.resource.items()
        alone = {name: each for name, each in resources if each.of is None}
        marked = {name: each for name, each in alone.items() if each.suppress is not None}
        done = {operation for _, each in resources for operation in _BY_REQUESTS if getattr(each, operation)}
        bare = [name for name, each in resources if each.restrict is None]
        legend: dict[str, dict[str, str]] = {}
        for _, each in resources:
            legend.setdefault(each.category, {}).update(each.explain)
        unknown = {name: sorted(of.shown - of.explain.keys() - meant_by_name()) for name, of in resources}
        return Capabilities(
            on_erasure=frozenset({OnErasure.DELETE}),  # what a rule keeps for a period a person reduces there
            keeps_by_category=True,
            one_flag=True,
            concurrency=2,  # while one batch waits for its last answers, the other keeps the connections busy
            declared_categories=frozenset(each.category for _, each in resources),
            legend=legend,
            not_compared=tuple(name for name, each in (marked or alone).items() if each.everybody is None),
            searched_by=declared.searched_by,
            yields=declared.yields,
            finds_more=bool(declared.yields & declared.searched_by - {IdentityType.NAME}),
            has_record_times=False,
            distinguishes_holders=all(IdentityType.ACCOUNT_ID in each.owner.values() for each in alone.values()),
            distinguishes_people=True,
            checks_claimed_accounts=True,
            unconfirmed_accounts=declared.unconfirmed_accounts,
            may_refuse=any(each.refuse_when for _, each in resources),
            state_places=[
                StatePlace(name, each.category, s.reason) for name, each in resources for s in each.refuse_when
            ],
            reports_no_states=True,
            undeclared=frozenset(_BY_REQUESTS) - done,
            missing_declarations={
                "unexplained": [f"{name}.{each}" for name, fields in unknown.items() for each in fields],
                "claims_accounts": [n for n, each in resources if IdentityType.ACCOUNT_ID in each.yields.values()],
                "unrestricted": bare if len(bare) < len(resources) else (),
            },
        )


def _known(system: str, resource: Resource, record: Mapping[str, Any]) -> Iterator[Identity]:
    """Yields the identities in a record; skips malformed values."""
    kinds = set(IdentityType)
    owned = {path: IdentityType(whose) for path, whose in resource.owner.items() if whose in kinds}
    for path, kind in (owned | {**resource.yields}).items():
        for value in values_at(record, path):
            if spelled_value := spelled(kind, value):
                yield Identity(kind, spelled_value, source=system)
