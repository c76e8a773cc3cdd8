"""Which data subject requests about a party are open, by their ids, for whoever talks to the customer meanwhile."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from shared.domain.errors import Refused
from shared.domain.operations import TaskOutcome
from shared.downstreams.contract import Checkpoint, Receipt, Result, Task
from shared.downstreams.results import of_whom_found, per_task
from shared.downstreams.tryton.rpc import TrytonRpc
from shared.downstreams.tryton.search import PARTY
from shared.downstreams.tryton.subjects import Subjects, party_ids

_COUNT: Final = "shown_with"
_FIELD: Final = "open_requests"
_CHUNK: Final = 100


async def mark(rpc: TrytonRpc, subjects: Subjects, tasks: Sequence[Task], save_progress: Checkpoint) -> list[Result]:
    """Adds the ids of open requests to the proven parties, then takes those of answered requests away from any party.

    An id is found by itself when it is taken away: by then the subject's key may be shredded, and the party erased.
    """
    opened = await _add(rpc, subjects, [task for task in tasks if task.details.get("open")])
    closed = await _take_away(rpc, [task for task in tasks if not task.details.get("open")], save_progress)

    def decide(task: Task, count: int) -> Receipt:
        return Receipt.counted(task, TaskOutcome.AMENDED, {"account": count})

    return per_task(tasks, {**opened, **closed}, decide)


async def _add(rpc: TrytonRpc, subjects: Subjects, tasks: Sequence[Task]) -> Mapping[UUID, int | Refused]:
    """Returns how many parties show each request now."""
    found = await subjects.of(tasks)
    shown = of_whom_found(found)
    present = {row["id"]: _ids(row) for row in await rpc.search_in(PARTY, "id", party_ids(found), (_FIELD,))}
    wanted = defaultdict(set, {party: set(requests) for party, requests in present.items()})
    for task in tasks:
        for party in shown.get(task.task_id, ()):
            wanted[party.id].add(str(task.request_id))
    await _write(rpc, present, wanted)
    return {task_id: each if isinstance(each, Refused) else len(each) for task_id, each in found.items()}


async def _take_away(rpc: TrytonRpc, tasks: Sequence[Task], save_progress: Checkpoint) -> Mapping[UUID, int]:
    """Returns how many parties showed each request when its task first looked."""
    answered = {str(task.request_id) for task in tasks}
    marked = await _marked(rpc, sorted(answered))
    counts = {task.task_id: _counted(task, marked) for task in tasks}
    if new := {t.task_id: {_COUNT: counts[t.task_id]} for t in tasks if _COUNT not in t.progress}:
        await save_progress(new)
    await _write(rpc, marked, {party: requests - answered for party, requests in marked.items()})
    return counts


def _counted(task: Task, marked: Mapping[int, set[str]]) -> int:
    noted = task.progress.get(_COUNT)
    return noted if isinstance(noted, int) else sum(str(task.request_id) in requests for requests in marked.values())


async def _marked(rpc: TrytonRpc, requests: Sequence[str]) -> dict[int, set[str]]:
    rows: list[dict[str, Any]] = []
    for start in range(0, len(requests), _CHUNK):
        clauses = [[_FIELD, "like", f"%{request}%"] for request in requests[start : start + _CHUNK]]
        rows += await rpc.search(PARTY, ["OR", *clauses], (_FIELD,))
    return {row["id"]: _ids(row) for row in rows}


async def _write(rpc: TrytonRpc, before: Mapping[int, set[str]], after: Mapping[int, set[str]]) -> None:
    """Gives every party that changes its value."""
    changes = {party: requests for party, requests in after.items() if requests != before.get(party)}
    await rpc.write_each(PARTY, {party: {_FIELD: " ".join(sorted(ids)) or None} for party, ids in changes.items()})


def _ids(row: Mapping[str, Any]) -> set[str]:
    return set((row[_FIELD] or "").split())
