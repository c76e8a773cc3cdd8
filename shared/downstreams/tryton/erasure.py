"""Erasure in Tryton (Art. 17), to the end.

Tryton's wizard blanks names, addresses and the visible values. It forgets ``value_compact``, a copy of every e-mail
address and number in clear, and the customer number; and it knows nothing of the numbers that were assigned to the
party. All of it is removed afterwards. Every step may be repeated, and what
was found is noted before the first, so an interrupted task ends with the receipt that it would have given at first.
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from shared.domain.errors import Refused, ResidueFound, Withdrawn
from shared.domain.operations import TaskOutcome
from shared.downstreams.contract import Checkpoint, Receipt, Result, Task
from shared.downstreams.http_client import together
from shared.downstreams.results import of_whom_found, per_task
from shared.downstreams.standing import Standing
from shared.downstreams.tryton.party import Party, counts
from shared.downstreams.tryton.rpc import CHUNK, CrmRefused, TrytonRpc
from shared.downstreams.tryton.search import ASSIGNMENT, CONTACT, IDENTIFIER, PARTY, load
from shared.downstreams.tryton.subjects import Hits, Subjects


class Plan(BaseModel):
    """What a task will erase, by row ids and counts: its progress, so nothing personal.

    ``active``: those to make active again if Tryton refuses. ``others``: parties that share an address or number and
    are not the subject, so that they are not taken for a residue later. ``found``: rows by category.
    """

    model_config = ConfigDict(frozen=True)

    parties: tuple[int, ...]
    active: tuple[int, ...]
    others: tuple[int, ...]
    found: Mapping[str, int]

    def __bool__(self) -> bool:
        return bool(self.parties)


async def erase(
    rpc: TrytonRpc, subjects: Subjects, tasks: Sequence[Task], save_progress: Checkpoint, fields: Sequence[str] = ()
) -> list[Result]:
    """Erase every task's proven parties, these fields of theirs too, and look again, by row and by every identity."""
    planned = await _plans(subjects, tasks, save_progress)
    plans = of_whom_found(planned)
    refused = await remove(rpc, plans, Standing(plans, save_progress, rpc.concurrency), fields)
    ids = {party for plan in plans.values() for party in plan.parties}
    left = {party.id for party in (await load(rpc, ids)).values() if residue(party)}
    again = await subjects.hits([task for task in tasks if planned[task.task_id]])

    def decide(task: Task, plan: Plan) -> Result:
        if reasons := [refused[party] for party in plan.parties if party in refused]:
            return reasons[0]
        if left.intersection(plan.parties) or _came_up(subjects, again, task, plan):
            return ResidueFound("the CRM erased the party, and something of it is still there")
        return Receipt.counted(task, TaskOutcome.ERASED, plan.found)

    return per_task(tasks, planned, decide)


async def _plans(subjects: Subjects, tasks: Sequence[Task], save_progress: Checkpoint) -> Mapping[UUID, Plan | Refused]:
    """What an earlier attempt noted; for other tasks the parties found now, noted before anything is touched."""
    noted = {task.task_id: Plan.model_validate(task.progress) for task in tasks if "parties" in task.progress}
    new = [task for task in tasks if task.task_id not in noted]
    hits = await subjects.hits(new)
    fresh = {task.task_id: _plan(subjects, hits, task) for task in new}
    if begun := of_whom_found(fresh):
        await save_progress({task_id: plan.model_dump(mode="json") for task_id, plan in begun.items()})
    return {**noted, **fresh}


def _plan(subjects: Subjects, hits: Hits, task: Task) -> Plan | Refused:
    parties = subjects.among(hits, task)
    if isinstance(parties, Refused):
        return parties
    ids = tuple(party.id for party in parties)
    return Plan(
        parties=ids,
        active=tuple(party.id for party in parties if party.active),
        others=tuple(other for other in hits.of(task.identities) if other not in ids),
        found=counts(parties),
    )


def _came_up(subjects: Subjects, hits: Hits, task: Task, plan: Plan) -> bool:
    """Whether the subject is found again as a party that the plan did not know."""
    fresh = hits.of(task.identities).keys() - {*plan.others, *plan.parties}
    parties = subjects.among(hits, task) if fresh else ()
    return not isinstance(parties, Refused) and any(party.id in fresh for party in parties)


async def remove(
    rpc: TrytonRpc, plans: Mapping[UUID, Plan], standing: Standing, fields: Sequence[str]
) -> dict[int, Refused]:
    """Erase the parties; those that the wizard refuses are as they were before, and those that nobody wants erased.

    Returns why, by party.
    """
    wanted: defaultdict[int, list[UUID]] = defaultdict(list)
    for task_id, plan in plans.items():
        for party in plan.parties:
            wanted[party].append(task_id)

    async def deactivate(parties: Sequence[int]) -> None:
        await rpc.write(PARTY, parties, {"active": False})

    async def forget(parties: Sequence[int]) -> None:
        for model in (CONTACT, ASSIGNMENT, IDENTIFIER):
            rows = await rpc.search_in(model, "party", parties, ("id",))
            await rpc.delete(model, [row["id"] for row in rows])
        empty = dict.fromkeys(fields)
        await rpc.write_each(PARTY, {party: {"code": _no_code(party), **empty} for party in parties})

    there = await rpc.search_in(PARTY, "id", wanted, ("active", "name"))
    refused = await _whoever(deactivate, [row["id"] for row in there if row["active"]])
    left = [row for row in there if row["id"] not in refused]
    # A party without a name was erased by an attempt before this one, and is not left half done.
    refused |= await _wizard(rpc, {row["id"]: wanted[row["id"]] if row["name"] else () for row in left}, standing)
    active = {party for plan in plans.values() for party in plan.active}
    await rpc.write(PARTY, sorted(active & refused.keys()), {"active": True})
    erased = [row["id"] for row in there if row["id"] not in refused]
    for start in range(0, len(erased), CHUNK):
        refused |= await _whoever(forget, erased[start : start + CHUNK])
    return refused


async def _whoever(step: Callable[[Sequence[int]], Awaitable[None]], parties: Sequence[int]) -> dict[int, Refused]:
    """Do the step for all parties at once; if the CRM refuses, find out for whom, and do it for the others."""
    if not parties:
        return {}
    try:
        await step(parties)
    except CrmRefused as reason:
        if len(parties) == 1:
            return {parties[0]: reason}
        half = len(parties) // 2
        return await _whoever(step, parties[:half]) | await _whoever(step, parties[half:])
    return {}


async def _wizard(
    rpc: TrytonRpc, wanted: Mapping[int, Collection[UUID]], standing: Standing
) -> dict[int, CrmRefused | Withdrawn]:
    """Run Tryton's erase wizard: one party at a time, in a few sessions side by side, each used for many.

    ``wanted``: by which tasks each party is, if it may still be left as it is.
    """
    refused: dict[int, CrmRefused | Withdrawn] = {}

    async def run(own: Sequence[int]) -> None:
        session, *_ = await rpc.call("wizard.party.erase.create")
        for party in own:
            try:
                async with standing.step(*wanted[party]):
                    await rpc.call("wizard.party.erase.execute", session, {"ask": {"party": party}}, "erase")
            except (CrmRefused, Withdrawn) as reason:
                refused[party] = reason
        await rpc.call("wizard.party.erase.delete", session)

    lanes = min(rpc.concurrency, len(wanted))
    await together(*(run([*wanted][lane::lanes]) for lane in range(lanes)))
    return refused


def _no_code(party: int) -> str:
    """Customer numbers are required and unique: the row's own number stands in for it."""
    return f"erased-{party}"


def residue(party: Party) -> bool:
    """Whether something is left of a party that was erased."""
    return bool(
        party.active
        or party.name
        or party.code != _no_code(party.id)
        or party.contacts
        or party.identifiers
        or any(address.lines for address in party.addresses)
    )
