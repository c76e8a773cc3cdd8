"""Flags on a party: processing restricted (Art. 18), no marketing (Art. 21)."""

from collections.abc import Sequence
from typing import Literal
from uuid import UUID

from shared.domain.errors import Refused, ResidueFound
from shared.domain.operations import TaskOutcome
from shared.downstreams.contract import Receipt, Result, Task
from shared.downstreams.tryton.rpc import TrytonRpc
from shared.downstreams.tryton.search import PARTY, load
from shared.downstreams.tryton.subjects import Subjects


async def set_flag(
    rpc: TrytonRpc,
    subjects: Subjects,
    tasks: Sequence[Task],
    flag: Literal["restricted", "marketing_opt_out"],
    *,
    value: bool,
) -> list[Result]:
    """Give every proven party the flag, and read it again; a repeat finds it set and says the same."""
    found = await subjects.of(tasks)
    ids = sorted({party.id for parties in found.values() if not isinstance(parties, Refused) for party in parties})
    await rpc.write(PARTY, ids, {flag: value})
    now = await load(rpc, ids)
    results: dict[UUID, Result] = {}
    for task in tasks:
        parties = found[task.task_id]
        if isinstance(parties, Refused):
            results[task.task_id] = parties
        elif not parties:
            results[task.task_id] = Receipt(task.task_id, TaskOutcome.NO_MATCH)
        elif any(party.id not in now or getattr(now[party.id], flag) is not value for party in parties):
            results[task.task_id] = ResidueFound(f"the CRM accepted {flag} and still shows the old value")
        else:
            results[task.task_id] = Receipt(
                task.task_id,
                TaskOutcome.AMENDED,
                found=len(parties),
                changed=len(parties),
                by_category={"account": len(parties)},
            )
    return [results[task.task_id] for task in tasks]
