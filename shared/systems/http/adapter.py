"""A system with an HTTP interface as the services ask for it, served by the engine."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import httpx

from shared.domain.cells import meant_by_name
from shared.domain.clock import Clock
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation
from shared.domain.policy import OnErasure, Policy
from shared.systems.capabilities import Capabilities
from shared.systems.contract import Checkpoint, Receipt, Result, Task
from shared.systems.engine.serving import Served, Worker
from shared.systems.engine.stepwise import Stepwise, apart
from shared.systems.http.correcting import Corrections
from shared.systems.http.declaration import Resource, read_declaration
from shared.systems.http.pages import pages_of
from shared.systems.http.paths import each_at
from shared.systems.http.search import Search, spelled
from shared.systems.http.session import Session
from shared.systems.http.settings import DeclaredHttpSettings, path_of
from shared.systems.http.steps import Steps
from shared.systems.http.system import HttpSystem, HttpUnit
from shared.systems.protocols import HandOver
from shared.systems.states import Telling

_BY_REQUESTS = (Operation.ERASE, Operation.RECTIFY, Operation.RESTRICT, Operation.LIFT, Operation.SUPPRESS)


class HttpAdapter(Served):
    """Locatable, Exportable, Erasable and Amendable for any system with a declaration."""

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
        self._policy = policy
        self._declaration = declaration = read_declaration(path_of(settings.declaration))
        self._session = session = Session(
            system, settings, declaration, clock=clock, environment=environment, transport=transport
        )
        self._search = Search(system, declaration, session)
        steps = Steps(system, declaration, session, clock)
        self._system = HttpSystem(system, settings, HttpUnit(system, declaration, session, self._search, steps))
        super().__init__(self._system, policy)

    async def close(self) -> None:
        """Closes the connections."""
        await self._session.close()

    async def inspect(self) -> Sequence[str]:
        """Makes the harmless request of the declaration; raises what a task would be answered."""
        await self._session.ask(self._declaration.check, {})
        return ()

    @property
    def calls(self) -> int:
        """How many requests were sent."""
        return self._session.asked

    # Operations: one task does not fail for another, since every search is a call of its own.

    async def locate(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        """What else each subject is known by there."""
        return await apart(super().locate, tasks, save_progress)

    async def plan(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        """What an erasure would find and leave, or why it would do nothing."""
        return await apart(super().plan, tasks, save_progress)

    async def export_in_parts(
        self, tasks: Sequence[Task], save_progress: Checkpoint, hand_over: HandOver | None
    ) -> Sequence[Result]:
        """Every record of each subject, and how many of others stood in what is theirs."""
        export = super().export_in_parts

        async def one(task: Sequence[Task], save: Checkpoint) -> Sequence[Result]:
            return await export(task, save, hand_over)

        results = await apart(one, tasks, save_progress)
        others = [self._search.others.get(task.task_id) or None for task in tasks]
        return [
            replace(each, written_by_others=n) if n and isinstance(each, Receipt) and each.found else each
            for each, n in zip(results, others, strict=True)
        ]

    async def amend(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        """Changes records in place, and reads them again."""
        return await apart(super().amend, tasks, save_progress)

    def _eraser(self, save_progress: Checkpoint) -> Worker:
        return Stepwise(self._system, self._policy, save_progress)

    def _amender(self, operation: Operation, save_progress: Checkpoint) -> Worker:
        if operation is Operation.RECTIFY:
            return Corrections(self._system, self._declaration, self._session, save_progress)
        return super()._amender(operation, save_progress)

    async def would_get_marketing(self) -> AsyncIterator[Sequence[Sequence[Identity]]]:
        """By what those are known whose record shows no stop, of the resources that list everybody, page by page."""
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
            spares_by_category=True,
            one_flag=True,
            abreast=2,  # while one batch waits for its last answers, the other keeps the connections busy
            holds=frozenset(each.category for _, each in resources),
            legend=legend,
            not_compared=tuple(name for name, each in (marked or alone).items() if each.everybody is None),
            searched_by=declared.searched_by,
            yields=declared.yields,
            leads_on=bool(declared.yields & declared.searched_by - {IdentityType.NAME}),
            knows_times=False,
            tells_holders_apart=all(IdentityType.ACCOUNT_ID in each.owner.values() for each in alone.values()),
            tells_people_apart=True,
            weighs_claims=True,
            never_told_apart=declared.never_told_apart,
            may_refuse=any(each.refuse_when for _, each in resources),
            telling=[Telling(name, each.category, s.reason) for name, each in resources for s in each.refuse_when],
            knows_no_states=True,
            undeclared=frozenset(_BY_REQUESTS) - done,
            lacks={
                "unexplained": [f"{name}.{each}" for name, fields in unknown.items() for each in fields],
                "claims_accounts": [n for n, each in resources if IdentityType.ACCOUNT_ID in each.yields.values()],
                "unrestricted": bare if len(bare) < len(resources) else (),
            },
        )


def _known(system: str, resource: Resource, record: Mapping[str, Any]) -> Iterator[Identity]:
    """By what a record tells of whom it is; a value that can be no identity reaches nobody."""
    kinds = set(IdentityType)
    owned = {path: IdentityType(whose) for path, whose in resource.owner.items() if whose in kinds}
    for path, kind in (owned | {**resource.yields}).items():
        for value in each_at(record, path):
            if said := spelled(kind, value):
                yield Identity(kind, said, source=system)
