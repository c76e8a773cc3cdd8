"""A system with an HTTP interface as a downstream: asked as its declaration says."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import httpx

from shared.domain.cells import meant_by_name
from shared.domain.clock import Clock
from shared.domain.errors import Refused, Unavailable
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation, TaskOutcome
from shared.domain.policy import OnErasure, Policy
from shared.downstreams import leaving
from shared.downstreams.claims import adopted
from shared.downstreams.contract import Checkpoint, Receipt, Record, Result, Task
from shared.downstreams.following import FAR, endless, leading
from shared.downstreams.http import marketing
from shared.downstreams.http.amendment import Amendment
from shared.downstreams.http.budget import Later
from shared.downstreams.http.declaration import read_declaration
from shared.downstreams.http.erasure import Erasure
from shared.downstreams.http.interface import Interface
from shared.downstreams.http.search import Hit, Search, shown, yielded
from shared.downstreams.http.session import Session
from shared.downstreams.http.settings import DeclaredHttpSettings, path_of
from shared.downstreams.http.staying import kept, states_of, staying
from shared.downstreams.in_parts import InParts
from shared.downstreams.protocols import HandOver
from shared.downstreams.refusals import STATES, Telling

_BY_REQUESTS = (Operation.ERASE, Operation.RECTIFY, Operation.RESTRICT, Operation.LIFT, Operation.SUPPRESS)


class HttpAdapter:
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
        self._system = system
        self._settings = settings
        self._clock = clock
        self._policy = policy
        self._declaration = read_declaration(path_of(settings.declaration))
        self._session = Session(
            system, settings, self._declaration, clock=clock, environment=environment, transport=transport
        )
        self._search = Search(system, self._declaration, self._session)
        self._interface = Interface(system, settings, self._declaration, self._session, self._search)

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
    def calls(self) -> int:
        """How many requests were sent."""
        return self._session.asked

    async def close(self) -> None:
        """Closes the connections."""
        await self._session.close()

    async def inspect(self) -> Sequence[str]:
        """Makes the harmless request of the declaration; raises what a task would be answered."""
        await self._session.ask(self._declaration.check, {})
        return ()

    async def locate(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        """What else the subject is known by there."""
        del save_progress  # reading leaves nothing to remember
        return await self._each(tasks, self._locate)

    async def export(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        """Every record of the subject."""
        return await self.export_in_parts(tasks, save_progress, None)

    async def export_in_parts(
        self, tasks: Sequence[Task], save_progress: Checkpoint, hand_over: HandOver | None
    ) -> Sequence[Result]:
        """The same; records below which no others lie are handed over while they are read."""
        del save_progress
        return await self._each(tasks, partial(self._export, hand_over))

    knows_no_states = True
    """For how long a contract is active or an invoice open it does not tell, unless ``refuse_when`` does."""

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

    async def plan(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        """What an erasure would find, or why it would be refused."""
        del save_progress
        return await self._each(tasks, self._plan)

    async def would_get_marketing(self) -> AsyncIterator[Sequence[Sequence[Identity]]]:
        """Everybody whose record does not show that they get none, of the resources that list everybody."""
        async for page in marketing.would_get_marketing(self._interface):
            yield page

    @property
    def not_compared(self) -> tuple[str, ...]:
        """What of it is not compared with the list of those who get no marketing."""
        return marketing.not_listed(self._declaration)

    async def erase(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        """Erases every record of the subject, and looks again."""
        return await Erasure(self._interface, self._policy, save_progress, self._clock).run(tasks)

    async def amend(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        """Changes records in place, and reads them again."""
        return await Amendment(self._interface, save_progress).run(tasks)

    async def _each(self, tasks: Sequence[Task], do: Callable[[Task], Awaitable[Receipt]]) -> list[Result]:
        async def one(task: Task) -> Result:
            try:
                return await do(task)
            except Later as busy:
                return busy.pending(task.task_id)
            except (Unavailable, Refused) as failure:
                return failure

        return await asyncio.gather(*map(one, tasks))

    async def _locate(self, task: Task) -> Receipt:
        """Follows what the records tell of the subject until nothing new is found."""
        asked = task
        for _ in range(FAR):
            hits = (await self._search.find(leading(task, asked))).hits.values()
            known = {
                identity: None
                for hit in hits
                for identity in adopted(
                    asked,
                    [hit.said],
                    yielded(self._system, self._declaration.resource[hit.resource], hit.record),
                )
            }
            named = {(each.type, each.value) for each in asked.identities}
            searchable = (each for each in known if each.type in self.searched_by)
            fresh = [each for each in searchable if (each.type, each.value) not in named]
            if not hits:
                return Receipt(task.task_id, TaskOutcome.NO_MATCH)
            if not fresh:
                count = len(hits)
                return Receipt(task.task_id, TaskOutcome.LOCATED, found=count, remaining=count, identities=tuple(known))
            if excess := self._settings.excess(task, rows=len(hits), people=sum(hit.above is None for hit in hits)):
                raise excess
            asked = replace(asked, identities=(*asked.identities, *fresh))
        raise endless(self._system)

    async def _plan(self, task: Task) -> Receipt:
        hits = (await self._search.find(task)).hits.values()
        found = Counter(self._declaration.resource[hit.resource].category for hit in hits)
        own = states_of(self._declaration, hits)
        try:
            stays = staying(self._declaration, self._policy, task, hits)
            rows, people = len(hits) - len(stays), sum(hit.above is None for hit in hits)
            if excess := self._settings.excess(task, rows=rows, people=people):
                raise excess
        except Refused as refused:
            refused.states, refused.found = own, found
            raise
        return replace(leaving.planned(task, found, kept(self._declaration, stays)), states=own)

    async def _export(self, hand_over: HandOver | None, task: Task) -> Receipt:
        copy, rows, roots = InParts(hand_over), 0, 0

        async def take(hit: Hit) -> None:
            nonlocal rows, roots
            rows, roots = rows + 1, roots + (hit.above is None)
            if self._settings.excess(task, rows=rows, people=roots):
                return  # from here on it is only counted
            resource = self._declaration.resource[hit.resource]
            data = shown(self._system, resource, hit.record)
            source = f"{self._system}.{hit.resource}"
            made = Record(resource.category, source, data, resource.portable, hit.matched)
            await copy.add(task.task_id, made)

        found = await self._search.find(task, take=take)
        if excess := self._settings.excess(task, rows=rows, people=roots):
            raise excess
        if not rows:
            return Receipt(task.task_id, TaskOutcome.NO_MATCH)
        return copy.receipt(task.task_id, found.others or None, rows)
