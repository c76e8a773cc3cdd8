"""The CRM as the services ask for it, served by the engine."""

from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import httpx

from shared.domain.assignments import AssignedNumber
from shared.domain.errors import Refused
from shared.domain.identities import Identity
from shared.domain.operations import TaskOutcome
from shared.domain.policy import Policy, read_policy
from shared.systems.capabilities import Capabilities
from shared.systems.contract import Checkpoint, Receipt, Result, Task
from shared.systems.engine import retention
from shared.systems.engine.adapter import EngineAdapter
from shared.systems.engine.finding import find_records
from shared.systems.engine.ownership import SubjectRecords, refusal, subject_search
from shared.systems.engine.records import SubjectSearch, Unit
from shared.systems.http_client import connect_http
from shared.systems.protocols import Tried
from shared.systems.sweepable import DatedPlace, DueCount, DueRecords, Exemptions, SweepResult, SweepStep
from shared.systems.tryton.customer import KINDS, PARTY, Customer
from shared.systems.tryton.rpc import CustomerSearch, TrytonRpc
from shared.systems.tryton.settings import TrytonSettings
from shared.systems.tryton.system import CATEGORIES, CrmPlaces, TrytonSystem, TrytonUnit

_OPEN = "open_requests"
"""The field of a party with the IDs of open requests, for staff who talk to the customer."""
_COUNT = "shown_with"
_AT_A_TIME = 100


class TrytonAdapter(EngineAdapter):
    """Tryton as a downstream; whom a record is about is proven before anything is done to it (``customer.py``)."""

    def __init__(
        self,
        system: str,
        settings: TrytonSettings,
        *,
        environment: Mapping[str, str],
        transport: httpx.AsyncBaseTransport | None = None,
        policy: Policy | None = None,
    ) -> None:
        self._client = connect_http(
            base_url=settings.url, timeout=settings.timeout_seconds, transport=transport, trust_env=False
        )
        password = environment[settings.password_env]
        rpc = TrytonRpc(
            self._client, settings.database, settings.login, password, settings.concurrency, limits=settings
        )
        self._places = CrmPlaces(settings.grounds)
        self._search = CustomerSearch(rpc, settings.grounds.names if settings.grounds else ())
        self._system = TrytonSystem(
            system, settings, TrytonUnit(system, self._search, self._places), settings.concurrency
        )
        everybody = TrytonUnit(system, self._search, self._places, everybody=True)
        self._nightly = TrytonSystem(system, settings, everybody, settings.concurrency)
        super().__init__(self._system, policy or read_policy())

    @cached_property
    def can(self) -> Capabilities:
        """States what follows from the fields that are declared to say that data must stay."""
        return Capabilities(
            keeps_by_category=True,  # what stays is reduced to what a rule keeps
            one_flag=True,
            categories=(*CATEGORIES.values(),),
            has_record_times=False,
            distinguishes_holders=True,  # the customer number separates the parties that share an address
            may_refuse=bool(self._places.tells),
            states=frozenset(self._places.tells),
            reports_no_states=True,
        )

    @property
    def dated(self) -> Sequence[DatedPlace]:
        """Returns the declared fields that date its parties."""
        return self._places.dated

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.aclose()

    async def inspect(self) -> Sequence[Tried]:
        """Signs in without searching for a person; raises what a task would raise."""
        await self._search.rpc.search(PARTY, [["id", "=", 0]], ["id"])
        return [Tried("access", f"search of {PARTY}")]

    async def locate(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        """Finds each subject's customer number, and all addresses and numbers with their periods."""
        del save_progress  # reading leaves nothing to remember

        async def work(unit: Unit, _: object, searches: Sequence[SubjectSearch]) -> Sequence[Result]:
            found = await find_records(unit, searches)
            refused = [refusal(each, self._system.limits) for each in found]
            customers_of = [_customers(each) if not why else () for each, why in zip(found, refused, strict=True)]
            shared = await self._shared([each for of_one in customers_of for each in of_one])
            located = (self._located(*each, shared) for each in zip(found, customers_of, strict=True))
            return [why or receipt for why, receipt in zip(refused, located, strict=True)]

        return await self._read(tasks, work)

    def _located(
        self, found: SubjectRecords, customers_found: Sequence[Customer], shared: Collection[tuple[int, Identity]]
    ) -> Receipt:
        counts = found.counts()
        located = [
            replace(identity, shared=(each.party["id"], identity) in shared)
            for each in customers_found
            for identity in each.identities(self._system.name)
        ]
        outcome, n = (TaskOutcome.LOCATED if counts else TaskOutcome.NO_MATCH), counts.total()
        return Receipt(found.task.task_id, outcome, n, remaining=n, by_category=counts, identities=tuple(located))

    async def _shared(self, customers_found: Sequence[Customer]) -> set[tuple[int, Identity]]:
        """Returns the customers' identities that other parties share; assigned numbers are decided by their periods."""
        reached = [
            (each, identity)
            for each in customers_found
            for identity in each.identities(self._system.name)
            if identity.type in KINDS and not any(k.assigned and k.value == identity.value for k in each.known)
        ]
        holders = await self._search.holders([identity for _, identity in reached]) if reached else {}
        return {
            (each.party["id"], identity)
            for each, identity in reached
            if {*holders.get((identity.type, identity.value), ())} - {row["id"] for row in each.parties}
        }

    # By night, and for those who look.

    async def count(self, due: Sequence[DueRecords], exempt: Exemptions) -> Sequence[DueCount | Refused]:
        """Counts the parties past each of these ceilings."""
        return [await retention.count(self._nightly, each, _any_category(exempt)) for each in due]

    async def sweep(
        self, due: Sequence[DueRecords], exempt: Exemptions, step: SweepStep
    ) -> Sequence[SweepResult | Refused]:
        """Deletes parties past these ceilings."""
        return await retention.sweep(self._nightly, due, _any_category(exempt), step)

    async def would_get_marketing(self) -> AsyncIterator[Sequence[Sequence[Identity]]]:
        """The parties without the mark that stops it: their customer number, and what they are reached by today."""
        async for page in self._search.wanting_marketing():
            yield [[i for i in each.identities(self._system.name) if i.valid_to is None] for each in page]

    async def assignments(self) -> Sequence[AssignedNumber]:
        """Returns the present and former holders of every assigned number."""
        return await self._search.assigned(self._system.name)

    async def flag(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        """Shows with the subject's party that a request is open, and takes it away from any when it is answered.

        By then the subject's key may be shredded, and the party erased: it is found by the id of the request.
        """
        opened = [task for task in tasks if task.details.get("open")]
        closed = [task for task in tasks if task not in opened]
        searches = [subject_search(task, self._system.steps.shapes) for task in opened]
        found = {each.task.task_id: each for each in await find_records(self._system.steps, searches)}
        failed = {key: why for key, each in found.items() if (why := refusal(each, self._system.limits))}
        theirs = {key: _parties(each) for key, each in found.items() if key not in failed}
        shown = await self._open([[["id", "in", sorted({each for ids in theirs.values() for each in ids})]]])
        asked = [(party, str(task.request_id)) for task in opened for party in theirs.get(task.task_id, ())]
        await self._show(shown, {party: ids | {r for p, r in asked if p == party} for party, ids in shown.items()})
        answered = sorted({str(task.request_id) for task in closed})
        parts = (answered[start : start + _AT_A_TIME] for start in range(0, len(answered), _AT_A_TIME))
        marked = await self._open([["OR", *([_OPEN, "like", f"%{each}%"] for each in part)] for part in parts])
        counts = {key: len(ids) for key, ids in theirs.items()} | {t.task_id: _counted(t, marked) for t in closed}
        if new := {t.task_id: {_COUNT: counts[t.task_id]} for t in closed if _COUNT not in t.progress}:
            await save_progress(new)
        await self._show(marked, {party: ids.difference(answered) for party, ids in marked.items()})
        done = {
            t.task_id: Receipt.counted(t, TaskOutcome.AMENDED, {"account": counts.get(t.task_id, 0)}) for t in tasks
        }
        return [failed.get(task.task_id) or done[task.task_id] for task in tasks]

    async def _open(self, domains: Iterable[Sequence[Any]]) -> dict[int, set[str]]:
        """Returns the IDs of open requests shown, by party."""
        rows = [row for domain in domains for row in await self._search.rpc.search(PARTY, domain, (_OPEN,))]
        return {row["id"]: set((row[_OPEN] or "").split()) for row in rows}

    async def _show(self, before: Mapping[int, set[str]], after: Mapping[int, set[str]]) -> None:
        changed = {party: ids for party, ids in after.items() if ids != before[party]}
        await self._search.rpc.write_each(
            PARTY, {party: {_OPEN: " ".join(sorted(ids)) or None} for party, ids in changed.items()}
        )


def _counted(task: Task, marked: Mapping[int, set[str]]) -> int:
    """Counts the parties that showed a request when its task first looked."""
    noted = task.progress.get(_COUNT)
    return noted if isinstance(noted, int) else sum(str(task.request_id) in ids for ids in marked.values())


def _parties(found: SubjectRecords) -> list[int]:
    return [int(key[0]) for place, key in found.records if place == PARTY]


def _customers(found: SubjectRecords) -> list[Customer]:
    return [owned.record.ref.customer for name, owned in found.records.items() if name[0] == PARTY and not owned.linked]


def _any_category(exempt: Exemptions) -> Exemptions:
    """Returns the tasks for parties: a party is exempt if any of its data is."""
    return {CATEGORIES[PARTY]: [task for tasks in exempt.values() for task in tasks]}
