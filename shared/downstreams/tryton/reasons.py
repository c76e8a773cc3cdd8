"""Reads the declared grounds of customers: why the data of a task must stay, or why a person must look."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from shared.domain.clock import Clock
from shared.domain.errors import AnswerMalformed, Refused, SystemRefused
from shared.domain.operations import Operation
from shared.domain.policy import Policy
from shared.downstreams.contract import Task
from shared.downstreams.results import of_whom_found
from shared.downstreams.tryton.export import Shown
from shared.downstreams.tryton.grounds import DeclaredGrounds, Facts, Stays, missing, stays
from shared.downstreams.tryton.party import Party, counts
from shared.downstreams.tryton.reduction import Reduction
from shared.downstreams.tryton.rpc import CHUNK, TrytonRpc
from shared.downstreams.tryton.search import PARTY

_NONE = UUID(int=0)
"""Of a task that nobody works: two persons have confirmed nothing of it."""


class Reasons:
    """Why something stays; nothing, where no grounds are declared."""

    def __init__(self, rpc: TrytonRpc, declared: DeclaredGrounds | None, policy: Policy, clock: Clock) -> None:
        self._rpc = rpc
        self._declared = declared
        self._policy = policy
        self._clock = clock
        self._there = False

    @property
    def names(self) -> Sequence[str]:
        """The declared fields, which an erasure empties as well."""
        return self._declared.names if self._declared else ()

    async def facts(self, found: Mapping[UUID, tuple[Party, ...] | Refused]) -> dict[UUID, Facts]:
        """By task what the fields say of its parties, of those for which any were found.

        Parties that were merged into another one say nothing: that one speaks for them.

        Raises:
            SystemRefused: the CRM has no such fields.
        """
        if self._declared is None or not (theirs := of_whom_found(found)):
            return {}
        rows = await self._rows({party.id for parties in theirs.values() for party in parties}, self._declared)
        facts = {party: Facts.of(row, self._declared) for party, row in rows.items()}
        speaking = {key: [p for p in each if p.replaced_by is None] or each for key, each in theirs.items()}
        return {key: Facts.together(facts[p.id] for p in each if p.id in facts) for key, each in speaking.items()}

    def of(
        self,
        tasks: Sequence[Task],
        found: Mapping[UUID, tuple[Party, ...] | Refused],
        facts: Mapping[UUID, Facts],
    ) -> dict[UUID, Reduction | Refused]:
        """By task what of its parties stays, or why a person must look; tasks of which nothing stays are left out."""
        today = self._policy.today(self._clock.now())
        theirs = of_whom_found(found)
        said: dict[UUID, Reduction | Refused] = {}
        for task in (task for task in tasks if task.task_id in facts):
            parties = theirs[task.task_id]
            why = stays(facts[task.task_id], self._policy, today, task, sum(counts(parties).values()))
            if why is not None:
                said[task.task_id] = why if isinstance(why, Refused) else Reduction.of(parties, why)
        return said

    async def of_parties(self, parties: Sequence[int]) -> dict[int, Stays | Refused | None]:
        """Why each of these parties stays, None where nothing keeps it, or why a person must look first.

        What a rule would keep that nobody has signed is a person's matter, who is not asked by night: it stays.

        Raises:
            SystemRefused: the CRM has no such fields.
        """
        if self._declared is None:
            return {}
        today, rows = self._policy.today(self._clock.now()), await self._rows({*parties}, self._declared)
        nobodys = Task(_NONE, _NONE, _NONE, "", Operation.ERASE)
        return {
            party: stays(Facts.of(row, self._declared), self._policy, today, nobodys, 1) for party, row in rows.items()
        }

    async def shown(self, found: Mapping[UUID, tuple[Party, ...] | Refused]) -> dict[int, Shown]:
        """What the declared fields say of each party that was found."""
        parties = {party.id for each in of_whom_found(found).values() for party in each}
        if self._declared is None or not parties:
            return {}
        rows = await self._rows(parties, self._declared)
        facts = {party: Facts.of(row, self._declared) for party, row in rows.items()}
        return {
            party: Shown(self._declared.shown(row), facts[party].states, facts[party].days)
            for party, row in rows.items()
        }

    async def _rows(self, parties: set[int], declared: DeclaredGrounds) -> dict[int, Mapping[str, Any]]:
        await self._must_be_there(declared)
        ids, told = sorted(parties), dict[int, Mapping[str, Any]]()
        for start in range(0, len(ids), CHUNK):
            chunk = ids[start : start + CHUNK]
            rows = await self._rpc.call(f"model.{PARTY}.read", chunk, ["id", *declared.names])
            if not isinstance(rows, list) or {row.get("id") for row in rows if isinstance(row, dict)} != {*chunk}:
                raise AnswerMalformed("the CRM does not tell of each party why it must stay")
            told |= {row["id"]: row for row in rows}
        return told

    async def _must_be_there(self, declared: DeclaredGrounds) -> None:
        if self._there:
            return
        domain = [["model", "=", PARTY], ["name", "in", list(declared.names)]]
        fields = await self._rpc.search("ir.model.field", domain, ("name",))
        if lacking := missing(declared.names, (row["name"] for row in fields)):
            raise SystemRefused(lacking)
        self._there = True
