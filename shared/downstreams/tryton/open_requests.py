"""Which data subject requests about a party are open, by their ids, for whoever talks to the customer meanwhile."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from shared.domain.errors import Refused
from shared.domain.operations import TaskOutcome
from shared.downstreams.contract import Checkpoint, Receipt, Result, Task
from shared.downstreams.tryton.rpc import TrytonRpc
from shared.downstreams.tryton.search import PARTY
from shared.downstreams.tryton.subjects import Subjects

_COUNT: Final = "shown_with"
_FIELD: Final = "open_requests"
_CHUNK: Final = 100


async def mark(rpc: TrytonRpc, subjects: Subjects, tasks: Sequence[Task], save_progress: Checkpoint) -> list[Result]:
    """Adds the ids of open requests to the proven parties, then takes those of answered requests away from any party.

    An id is found by itself when it is taken away: by then the subject's key may be shredded, and the party erased.
    """
    to_open = [task for task in tasks if task.details.get("open")]
    to_close = [task for task in tasks if not task.details.get("open")]
    found = await subjects.of(to_open) if to_open else {}
    ids = sorted({party.id for parties in found.values() if not isinstance(parties, Refused) for party in parties})
    present = {row["id"]: _ids(row) for row in await rpc.search_in(PARTY, "id", ids, (_FIELD,))}
    wanted = {party: set(requests) for party, requests in present.items()}
    results: dict[UUID, Result] = {}
    for task in to_open:
        parties = found[task.task_id]
        if isinstance(parties, Refused):
            results[task.task_id] = parties
            continue
        for party in parties:
            wanted.setdefault(party.id, set()).add(str(task.request_id))
        results[task.task_id] = _receipt(task, len(parties))
    await _write(rpc, present, wanted)
    marked = await _marked(rpc, [str(task.request_id) for task in to_close])
    answered = {str(task.request_id) for task in to_close}
    counts = {task.task_id: _counted(task, marked) for task in to_close}
    if new := {t.task_id: {_COUNT: counts[t.task_id]} for t in to_close if _COUNT not in t.progress}:
        await save_progress(new)
    await _write(rpc, marked, {party: requests - answered for party, requests in marked.items()})
    for task in to_close:
        results[task.task_id] = _receipt(task, counts[task.task_id])
    return [results[task.task_id] for task in tasks]


def _counted(task: Task, marked: Mapping[int, set[str]]) -> int:
    """How many parties showed the request, when this task first looked."""
    noted = task.progress.get(_COUNT)
    return noted if isinstance(noted, int) else sum(str(task.request_id) in requests for requests in marked.values())


def _receipt(task: Task, count: int) -> Receipt:
    if not count:
        return Receipt(task.task_id, TaskOutcome.NO_MATCH)
    return Receipt(task.task_id, TaskOutcome.AMENDED, found=count, changed=count, by_category={"account": count})


async def _marked(rpc: TrytonRpc, requests: Sequence[str]) -> dict[int, set[str]]:
    rows: list[dict[str, Any]] = []
    for start in range(0, len(requests), _CHUNK):
        clauses = [[_FIELD, "like", f"%{request}%"] for request in requests[start : start + _CHUNK]]
        rows += await rpc.search(PARTY, ["OR", *clauses], (_FIELD,))
    return {row["id"]: _ids(row) for row in rows}


async def _write(rpc: TrytonRpc, before: Mapping[int, set[str]], after: Mapping[int, set[str]]) -> None:
    """Gives every party that changes its value, a hundred in one call."""
    changes = [(party, requests) for party, requests in sorted(after.items()) if requests != before.get(party)]
    for start in range(0, len(changes), _CHUNK):
        pairs: list[object] = []
        for party, requests in changes[start : start + _CHUNK]:
            pairs += [[party], {_FIELD: " ".join(sorted(requests)) or None}]
        await rpc.call(f"model.{PARTY}.write", *pairs)


def _ids(row: Mapping[str, Any]) -> set[str]:
    return set((row[_FIELD] or "").split())
