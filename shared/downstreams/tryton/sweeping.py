"""What of a CRM is past a ceiling goes by night, whoever it is about (Art. 5(1)(e)), page by page.

Former customers by the day on which their relationship ended. Who never had a contract or a number of ours is there for
marketing alone, and goes by the last thing that they did: a click, a login, a purchase or a reply, and nothing that a
mail proxy opens (REQ-R4).
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from datetime import date
from functools import partial
from typing import Any, Final, TypeVar
from uuid import UUID

from uuid_utils.compat import uuid7

from shared.domain.errors import Refused, ResidueFound
from shared.downstreams.standing import Standing
from shared.downstreams.sweepable import Counted, Dated, Due, GoOn, Spared, Swept
from shared.downstreams.tryton.erasure import Plan, remove, residue
from shared.downstreams.tryton.grounds import RELATIONSHIP_END, DeclaredGrounds, Stays
from shared.downstreams.tryton.reasons import Reasons
from shared.downstreams.tryton.rpc import CHUNK, TrytonRpc
from shared.downstreams.tryton.search import ASSIGNMENT, PARTY, load, with_duplicates
from shared.downstreams.tryton.subjects import Subjects

LAST_ACTIVITY: Final = "last_activity"
"""What the ceilings of the policy call the last thing that somebody did."""
T = TypeVar("T")


def dated(declared: DeclaredGrounds | None) -> Sequence[Dated]:
    """By which declared fields parties have an age; none, where no fields are declared."""
    if declared is None:
        return ()
    customers = Dated(PARTY, "account", {RELATIONSHIP_END: declared.ended_on})
    if declared.last_activity is None:
        return (customers,)
    return customers, Dated(PARTY, "marketing", {LAST_ACTIVITY: declared.last_activity})


class Sweep:
    """Counts what is due, and lets it go."""

    def __init__(self, rpc: TrytonRpc, subjects: Subjects, declared: DeclaredGrounds, reasons: Reasons) -> None:
        self._rpc, self._subjects = rpc, subjects
        self._declared, self._reasons = declared, reasons

    async def count(self, due: Sequence[Due], spared: Spared) -> list[Counted | Refused]:
        """How many parties are due of each, those among them of which the CRM does not tell whether they must stay."""
        return [await _or_refused(partial(self._count, each, spared)) for each in due]

    async def sweep(self, due: Sequence[Due], spared: Spared, go_on: GoOn) -> list[Swept | Refused]:
        """Lets each go, as an erasure does; what the CRM refuses, or does not tell enough of, stays and is missed."""
        return [await _or_refused(partial(self._sweep, each, spared, go_on)) for each in due]

    async def _count(self, due: Due, spared: Spared) -> Counted:
        stay, n = await self._spared(due, spared), 0
        async for page in self._pages(due):
            n += sum(not isinstance(why, Stays) for party, why in page.items() if party not in stay)
        rows = int(await self._rpc.call(f"model.{PARTY}.search_count", []))
        return Counted(n, max(n, rows))

    async def _sweep(self, due: Due, spared: Spared, go_on: GoOn) -> Swept:
        stay, gone, left = await self._spared(due, spared), 0, 0
        async for page in self._pages(due):
            left += len(stay & page.keys())
            going = [party for party, why in page.items() if why is None and party not in stay]
            done = await self._remove(due, going, stay, go_on) if going else 0
            gone += done
            await go_on(due, done)
        return Swept(gone, left)

    async def _remove(self, due: Due, parties: Sequence[int], stay: Collection[int], go_on: GoOn) -> int:
        """How many of these are gone, with what was merged into them."""
        together = await with_duplicates(self._rpc, parties) - {*stay}
        active = tuple(party.id for party in (await load(self._rpc, together)).values() if party.active)
        plan = Plan(parties=tuple(sorted(together)), active=active, others=(), found={})
        task = uuid7()

        async def look(_: Mapping[UUID, object]) -> None:
            await go_on(due, 0)

        standing = Standing([task], look, self._rpc.concurrency)
        refused = await remove(self._rpc, {task: plan}, standing, self._declared.names)
        there = await load(self._rpc, together - refused.keys())
        if any(residue(party) for party in there.values()):
            raise ResidueFound("the CRM erased parties that are past their ceiling, and something of them is there")
        return len({*parties} - refused.keys())

    async def _spared(self, due: Due, spared: Spared) -> set[int]:
        """The parties that have anything of whose data stay: rather too much stays than too little."""
        kind = next(each.category for each in dated(self._declared) if due.anchor in each.anchors)
        tasks = spared.get(kind, ())
        if not tasks:
            return set()
        hits = await self._subjects.hits(tasks)
        found = (party for task in tasks for party in hits.of(task.identities).values())
        return {party.id for party in hits.with_duplicates(found)}

    async def _pages(self, due: Due) -> AsyncIterator[Mapping[int, Stays | Refused | None]]:
        """The parties that are past it, each with why it stays all the same."""
        last, domain = 0, self._past(due)
        while rows := await self._rpc.search(PARTY, [*domain, ["id", ">", last]], ["id"], CHUNK):
            last, ids = rows[-1]["id"], {row["id"] for row in rows}
            if due.anchor == LAST_ACTIVITY:
                ids -= {row["party"] for row in await self._rpc.search_in(ASSIGNMENT, "party", ids, ("party",))}
            yield await self._reasons.of_parties(sorted(ids)) if ids else {}

    def _past(self, due: Due) -> list[Any]:
        before = _day(due.first_kept)
        if due.anchor == RELATIONSHIP_END:
            return [[self._declared.contract, "=", "ended"], [self._declared.ended_on, "<", before]]
        return [[self._declared.contract, "=", "none"], [self._declared.last_activity, "<", before]]


async def _or_refused(step: Callable[[], Awaitable[T]]) -> T | Refused:
    try:
        return await step()
    except Refused as refused:
        return refused


def _day(day: date) -> Mapping[str, Any]:
    """A day as Tryton's JSON has it."""
    return {"__class__": "date", "year": day.year, "month": day.month, "day": day.day}
