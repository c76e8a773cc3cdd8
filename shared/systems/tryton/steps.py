"""Erases a customer in Tryton (Art. 17); every step may be repeated.

Tryton's wizard blanks names, addresses and visible values. It leaves ``value_compact``, a plain copy of every e-mail
address and number, and the customer number, and knows nothing of number assignments. All of these are removed
afterwards.
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Any
from uuid import UUID

from shared.domain.errors import DataStillPresent, Refused, Unavailable, Withdrawn
from shared.systems.contract import Result
from shared.systems.engine.records import Record
from shared.systems.engine.stepwise import ActiveTasks, Journal, PendingErasure, SaveJournals
from shared.systems.http_client import run_together
from shared.systems.tryton.customer import (
    ADDRESS,
    ASSIGNMENT,
    CONTACT,
    IDENTIFIER,
    PARTY,
    Customer,
    Row,
    country,
    lines,
)
from shared.systems.tryton.rpc import CHUNK, CrmRefused, CustomerSearch, Versions


class TrytonSteps:
    """Takes customers, or some of their rows, out of one CRM, and looks."""

    def __init__(self, search: CustomerSearch, models: Mapping[str, str]) -> None:
        self._search, self._models = search, models
        self.searched, self.for_many = frozenset(models), True

    def journal_entry(self, record: Record) -> PendingErasure:
        """Returns the journal entry of a record; ``way`` is 1 for an inactive party."""
        row = record.ref.row
        above: dict[str, str | int] = {} if record.shape.place == PARTY else {PARTY: int(row["party"])}
        return PendingErasure(
            place=record.shape.place, id=int(row["id"]), above=above, variant=int(not row.get("active", True))
        )

    async def take_steps(self, journals: Sequence[Journal], note: SaveJournals) -> Mapping[UUID, Result]:
        """Erases parties with their rows, and of those that stay the rows that go; of those that fail, why."""

        async def save(progress: Mapping[UUID, object]) -> None:
            await note(progress.keys())

        active_tasks = ActiveTasks([j.task.task_id for j in journals], save, self._search.rpc.concurrency)
        parties = {j.task.task_id: [g for g in j.of_place(PARTY) if not g.erased] for j in journals}
        wanted: defaultdict[int, list[UUID]] = defaultdict(list)
        for task_id, erasures in parties.items():
            for each in erasures:
                wanted[int(each.id)].append(task_id)
        active = {int(each.id) for erasures in parties.values() for each in erasures if not each.variant}
        refused: Mapping[int, Result] = await self._erase(wanted, active, active_tasks) if wanted else {}
        residues = await self._residues(wanted)
        erased = wanted.keys() - refused.keys() - residues
        for each in (each for journal in journals for each in journal.noted.erasures):
            each.erased |= int(each.id if each.place == PARTY else each.above[PARTY]) in erased
        ended: dict[UUID, Result] = {}
        for journal in journals:
            ids = [int(each.id) for each in parties[journal.task.task_id]]
            if reasons := [refused[each] for each in ids if each in refused]:
                ended[journal.task.task_id] = reasons[0]
            elif residues.intersection(ids):
                ended[journal.task.task_id] = DataStillPresent(
                    "the CRM erased the party, and something of it is still there"
                )
            else:
                try:
                    await self._delete_rows(journal, active_tasks)
                except (Unavailable, Refused) as reason:
                    ended[journal.task.task_id] = reason
        return ended

    async def _delete_rows(self, journal: Journal, active_tasks: ActiveTasks) -> None:
        """Deletes the rows that go of parties that stay, and looks at them again.

        A row that another party has by now is theirs.
        """
        whole = {int(each.id) for each in journal.of_place(PARTY)}
        rows: defaultdict[str, dict[int, int]] = defaultdict(dict)
        for each in journal.noted.erasures:
            if each.place != PARTY and not each.erased and int(each.above[PARTY]) not in whole:
                rows[self._models[each.place]][int(each.id)] = int(each.above[PARTY])
        for model, owners in rows.items():
            there = await self._of(model, owners)
            async with active_tasks.step(journal.task.task_id):
                await self._search.rpc.delete(model, there)
            if remaining := await self._of(model, owners):
                raise DataStillPresent(f"the CRM deleted rows of {model}, and still shows {len(remaining)} of them")
            for each in journal.noted.erasures:
                each.erased |= self._models[each.place] == model and int(each.id) in owners

    async def _of(self, model: str, owners: Mapping[int, int]) -> list[int]:
        """The ids of these rows that are there and belong to their party."""
        found = await self._search.rpc.search_in(model, "id", owners, ("party",))
        return [row["id"] for row in found if row["party"] == owners[row["id"]]]

    async def let_go(self, parties: Collection[int], seen: Versions) -> int:
        """Erases parties that are past their day, with their merged duplicates; returns how many are gone.

        Raises:
            Unavailable: one was changed since it was read (``seen``), so it must be judged again
            DataStillPresent: something of one is left
        """
        every = await self._search.with_merged(parties)
        there = await self._search.rpc.search_in(PARTY, "id", every, ("active",))
        active = {row["id"] for row in there if row["active"]}
        refused = await self._erase(dict.fromkeys(every, ()), active, None, seen)
        if await self._residues(every - refused.keys()):
            raise DataStillPresent("the CRM erased parties that are past their ceiling, and something of them is there")
        return len({*parties} - refused.keys())

    async def _erase(
        self,
        wanted: Mapping[int, Collection[UUID]],
        active: Collection[int],
        active_tasks: ActiveTasks | None,
        seen: Versions | None = None,
    ) -> dict[int, Refused]:
        """Erases parties; returns by party why one was refused, and leaves that one as it was.

        ``wanted``: by which tasks; ``active``: those to make active again; ``seen``: versions that must still hold.
        """
        rpc = self._search.rpc
        there = await rpc.search_in(PARTY, "id", wanted, ("active", "name"))
        ending = [row["id"] for row in there if row["active"] or seen]
        refused = await _halving(partial(self._deactivate, seen=seen), ending)
        accepted = [row for row in there if row["id"] not in refused]
        # An inactive party without a name was erased by an attempt before this one, and is not left half done.
        untouched = {row["id"] for row in accepted if row["active"] or row["name"]}
        refused |= await self._wizard(
            {r["id"]: wanted[r["id"]] if r["id"] in untouched else () for r in accepted}, active_tasks
        )
        await rpc.write(PARTY, sorted({*active} & refused.keys()), {"active": True})
        erased = [row["id"] for row in there if row["id"] not in refused]
        for start in range(0, len(erased), CHUNK):
            refused |= await _halving(self._forget, erased[start : start + CHUNK])
        return refused

    async def _deactivate(self, parties: Sequence[int], seen: Versions | None) -> None:
        await self._search.rpc.write(PARTY, parties, {"active": False}, seen)

    async def _forget(self, parties: Sequence[int]) -> None:
        """Customer numbers are required and unique: the row's own number stands in for it."""
        rpc = self._search.rpc
        for model in (CONTACT, ASSIGNMENT, IDENTIFIER):
            rows = await rpc.search_in(model, "party", parties, ("id",))
            await rpc.delete(model, [row["id"] for row in rows])
        empty: dict[str, Any] = dict.fromkeys(self._search.grounds)
        await rpc.write_each(PARTY, {party: {"code": f"erased-{party}", **empty} for party in parties})

    async def _wizard(
        self, wanted: Mapping[int, Collection[UUID]], active_tasks: ActiveTasks | None
    ) -> dict[int, Refused]:
        """Runs Tryton's erase wizard: one party at a time, in a few sessions side by side, each used for many."""
        refused: dict[int, Refused] = {}
        rpc = self._search.rpc
        active_tasks = active_tasks or ActiveTasks((), _save_nothing, rpc.concurrency)

        async def run(own: Sequence[int]) -> None:
            session, *_ = await rpc.call("wizard.party.erase.create")
            for party in own:
                try:
                    async with active_tasks.step(*wanted[party]):
                        await rpc.call("wizard.party.erase.execute", session, {"ask": {"party": party}}, "erase")
                except (CrmRefused, Withdrawn) as reason:
                    refused[party] = reason
            await rpc.call("wizard.party.erase.delete", session)

        lanes = min(rpc.concurrency, len(wanted))
        await run_together(*(run([*wanted][lane::lanes]) for lane in range(lanes)))
        return refused

    async def _residues(self, parties: Iterable[int]) -> set[int]:
        """Returns the parties of which something is left."""
        return {row["id"] for each in await self._search.load(parties) for row in each.parties if _is_left(each, row)}


async def _save_nothing(_: Mapping[UUID, object]) -> None:
    """Checks nothing: a retention run cannot be withdrawn."""


async def _halving(step: Callable[[Sequence[int]], Awaitable[None]], parties: Sequence[int]) -> dict[int, Refused]:
    """Takes the step for all parties in one call; if the CRM refuses it, halves the parties to find the cause."""
    if not parties:
        return {}
    try:
        await step(parties)
    except CrmRefused as reason:
        if len(parties) == 1:
            return {parties[0]: reason}
        half = len(parties) // 2
        return await _halving(step, parties[:half]) | await _halving(step, parties[half:])
    return {}


def _is_left(customer: Customer, party: Row) -> bool:
    there = any(
        model != ADDRESS or lines(row) or country(row)
        for model, rows in customer.rows.items()
        for row in rows
        if row["party"] == party["id"]
    )
    return bool(party["active"] or party["name"] or party["code"] != f"erased-{party['id']}" or there)
