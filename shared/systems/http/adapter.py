"""A system with an HTTP interface as the services ask for it, served by the engine."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import httpx

from shared.domain.cells import meant_by_name
from shared.domain.clock import Clock
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation
from shared.domain.policy import OnErasure, Policy
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
from shared.systems.states import STATES, Telling

_BY_REQUESTS = (Operation.ERASE, Operation.RECTIFY, Operation.RESTRICT, Operation.LIFT, Operation.SUPPRESS)


class HttpAdapter(Served):
    """Locatable, Exportable, Erasable and Amendable for any system with a declaration."""

    one_flag = True
    """A record bears one flag, whoever has asked for it."""
    abreast = 2
    """Batches under way at a time: while one waits for its last answers, the other keeps the connections busy."""
    weighs_claims = True
    """What its records say of whom they are about is compared with what is known of the subject."""
    on_erasure = frozenset({OnErasure.DELETE})
    """What a rule keeps for a period a person reduces there: it deletes a record, or leaves it."""
    spares_by_category = True
    """What a hold covers, or a rule keeps while a state lasts, stays, with what it lies below; the rest goes."""
    knows_times = False
    """It is searched for all that has what is theirs today, of whatever time."""
    knows_no_states = True
    """For how long a contract is active or an invoice open it does not tell, unless ``refuse_when`` does."""
    tells_people_apart = True

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

    # What follows from the declaration.

    @property
    def searched_by(self) -> frozenset[IdentityType]:
        """The types of identity by which its declaration searches."""
        return self._declaration.searched_by

    @property
    def yields(self) -> frozenset[IdentityType]:
        """The types of identity that its records tell."""
        return self._declaration.yields

    @property
    def leads_on(self) -> bool:
        """Whether it is searched by what its records tell, so that it may find more of somebody."""
        return bool(self.yields & self.searched_by - {IdentityType.NAME})

    @property
    def holds(self) -> frozenset[str]:
        """The categories of its resources."""
        return frozenset(each.category for each in self._declaration.resource.values())

    @property
    def legend(self) -> Mapping[str, Mapping[str, str]]:
        """What its declaration explains, by category and field."""
        legend: dict[str, dict[str, str]] = {}
        for each in self._declaration.resource.values():
            legend.setdefault(each.category, {}).update(each.explain)
        return legend

    @property
    def unexplained(self) -> tuple[str, ...]:
        """The fields that are shown, and that neither its declaration nor their name explains."""
        resources, known = self._declaration.resource.items(), meant_by_name()
        return tuple(
            f"{name}.{each}" for name, of in resources for each in sorted(of.shown - of.explain.keys() - known)
        )

    @property
    def claims_accounts(self) -> tuple[str, ...]:
        """The resources that tell an account: that is a claim, until something confirms it."""
        resources = self._declaration.resource.items()
        return tuple(name for name, each in resources if IdentityType.ACCOUNT_ID in each.yields.values())

    @property
    def never_told_apart(self) -> tuple[str, ...]:
        """The resources filed by an account alone, where no record of the account tells of any whose that is."""
        return self._declaration.never_told_apart

    @property
    def undeclared(self) -> frozenset[Operation]:
        """What it cannot do because no resource declares a request for it."""
        resources = self._declaration.resource.values()
        said = {operation: any(getattr(each, operation) for each in resources) for operation in _BY_REQUESTS}
        return frozenset(operation for operation, declared in said.items() if not declared)

    @property
    def unrestricted(self) -> tuple[str, ...]:
        """The resources that cannot be restricted, where others can: a person restricts there."""
        resources = self._declaration.resource.items()
        bare = tuple(name for name, each in resources if each.restrict is None)
        return bare if len(bare) < len(resources) else ()

    @property
    def tells_holders_apart(self) -> bool:
        """Whether whatever is found by an identity must be of the subject's account as well."""
        found = [each for each in self._declaration.resource.values() if each.of is None]
        return all(IdentityType.ACCOUNT_ID in each.owner.values() for each in found)

    @property
    def tells(self) -> frozenset[str]:
        """The states of the policy of which its resources tell whether they last."""
        return frozenset(STATES[each.reason] for each in self.telling if each.reason in STATES)

    @property
    def telling(self) -> Sequence[Telling]:
        """The resources that tell a state in which something must stay."""
        resources = self._declaration.resource.items()
        return [Telling(name, each.category, state.reason) for name, each in resources for state in each.refuse_when]

    @property
    def may_refuse(self) -> bool:
        """Whether a resource declares a state in which nothing may be erased."""
        return any(each.refuse_when for each in self._declaration.resource.values())

    @property
    def not_compared(self) -> tuple[str, ...]:
        """The resources of which nobody is told whom they would mail: those with a mark, or all where none has one."""
        alone = {name: each for name, each in self._declaration.resource.items() if each.of is None}
        marked = {name: each for name, each in alone.items() if each.suppress is not None}
        return tuple(name for name, each in (marked or alone).items() if each.everybody is None)


def _known(system: str, resource: Resource, record: Mapping[str, Any]) -> Iterator[Identity]:
    """By what a record tells of whom it is; a value that can be no identity reaches nobody."""
    kinds = set(IdentityType)
    owned = {path: IdentityType(whose) for path, whose in resource.owner.items() if whose in kinds}
    for path, kind in (owned | {**resource.yields}).items():
        for value in each_at(record, path):
            if said := spelled(kind, value):
                yield Identity(kind, said, source=system)
