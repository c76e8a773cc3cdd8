"""Finds the subjects of many tasks with one search, and proves each hit."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from uuid import UUID

from shared.domain.errors import ForeignHit, Refused
from shared.domain.identities import Identity, IdentityType
from shared.downstreams.contract import Task
from shared.downstreams.results import of_whom_found
from shared.downstreams.tryton.party import Party, counts
from shared.downstreams.tryton.proof import proven
from shared.downstreams.tryton.rpc import TrytonRpc
from shared.downstreams.tryton.search import Named, find, holders
from shared.downstreams.tryton.settings import TrytonSettings


class Hits:
    """What one search for many subjects returned, by what each party is known by."""

    def __init__(self, system: str, parties: Iterable[Party]) -> None:
        self._by_identity: defaultdict[tuple[IdentityType, str], list[Party]] = defaultdict(list)
        self._parties = {party.id: party for party in parties}
        self._duplicates: defaultdict[int, set[int]] = defaultdict(set)
        for party in self._parties.values():
            if party.replaced_by is not None:
                self._duplicates[party.replaced_by].add(party.id)
                self._duplicates[party.id].add(party.replaced_by)
            for identity in party.identities(system):
                self._by_identity[identity.type, identity.value].append(party)

    def of(self, identities: Sequence[Identity]) -> dict[int, Party]:
        """The parties that have one of the identities, in whatever period."""
        known = (self._by_identity.get((identity.type, identity.value), ()) for identity in identities)
        return {party.id: party for parties in known for party in parties}

    def holders(self, named: Named) -> set[int]:
        """The ids of the parties that have it, in whatever period."""
        return {party.id for party in self._by_identity.get(named, ())}

    def with_duplicates(self, parties: Iterable[Party]) -> tuple[Party, ...]:
        """The parties and those that the CRM itself holds to be the same person: they were merged."""
        known: dict[int, Party] = {}
        fresh = [party.id for party in parties]
        while fresh:
            party_id = fresh.pop()
            if party_id not in known and party_id in self._parties:
                known[party_id] = self._parties[party_id]
                fresh += self._duplicates[party_id]
        return tuple(known.values())


class Subjects:
    """The way from a task's identities to the parties that are proven to be the subject's."""

    def __init__(self, rpc: TrytonRpc, system: str, settings: TrytonSettings) -> None:
        self._rpc = rpc
        self._system = system
        self._settings = settings

    async def hits(self, tasks: Sequence[Task]) -> Hits:
        """Search by every identity of all the tasks at once."""
        identities = [identity for task in tasks for identity in task.identities]
        return Hits(self._system, await find(self._rpc, identities))

    async def of(self, tasks: Sequence[Task]) -> Mapping[UUID, tuple[Party, ...] | Refused]:
        """The proven parties of each task, or why nothing may be done."""
        hits = await self.hits(tasks)
        return {task.task_id: self.among(hits, task) for task in tasks}

    async def held_by_others(
        self, tasks: Sequence[Task], hits: Hits, found: Mapping[UUID, tuple[Party, ...] | Refused]
    ) -> Collection[Named]:
        """What those who were found are reached by, and another party is too: it tells nobody from another.

        What they were found by was searched for already; a number that is assigned is told by its periods.
        """
        searched = {(identity.type, identity.value) for task in tasks for identity in task.identities}
        reached = {
            (identity.type, identity.value): identity
            for party in {party.id: party for each in of_whom_found(found).values() for party in each}.values()
            for identity in party.identities(self._system)
            if identity.type in _REACHED and not party.assigned(identity.type, identity.value)
        }
        more = [identity for named, identity in reached.items() if named not in searched]
        others = await holders(self._rpc, more) if more else {}
        shared: set[Named] = set()
        for parties in of_whom_found(found).values():
            theirs = {party.id for party in parties}
            named = {(i.type, i.value) for party in parties for i in party.identities(self._system)} & reached.keys()
            shared |= {each for each in named if {*hits.holders(each), *others.get(each, ())} - theirs}
        return shared

    def among(self, hits: Hits, task: Task) -> tuple[Party, ...] | Refused:
        """The hits that are proven to be the task's subject, within the limits, or why nothing may be done."""
        if not any(identity.type in _SEARCHED for identity in task.identities):
            return Refused(
                "the CRM can be searched by e-mail, phone, SIP address or customer number, and the request has none"
            )
        try:
            parties = hits.with_duplicates(proven(self._system, task.identities, hits.of(task.identities).values()))
        except ForeignHit as foreign:
            return foreign
        rows = sum(counts(parties).values())
        return self._settings.excess(task, rows=rows, people=len(parties)) or parties


def party_ids(found: Mapping[UUID, tuple[Party, ...] | Refused]) -> list[int]:
    """The parties of all tasks for which something may be done, each once."""
    return sorted({party.id for parties in of_whom_found(found).values() for party in parties})


_SEARCHED = frozenset(IdentityType) - {IdentityType.NAME}
_REACHED = frozenset({IdentityType.EMAIL, IdentityType.PHONE, IdentityType.SIP_URI})
