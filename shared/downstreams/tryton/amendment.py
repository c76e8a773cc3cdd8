"""Flags on a party: processing restricted (Art. 18), no marketing (Art. 21)."""

from collections.abc import Sequence

from shared.domain.errors import ResidueFound
from shared.domain.operations import Operation, TaskOutcome
from shared.downstreams.contract import Receipt, Result, Task, per_task
from shared.downstreams.tryton.party import Party
from shared.downstreams.tryton.rpc import TrytonRpc
from shared.downstreams.tryton.search import PARTY, load
from shared.downstreams.tryton.subjects import Subjects, party_ids

_FLAGS = {
    Operation.RESTRICT: ("restricted", True),
    Operation.LIFT: ("restricted", False),
    Operation.SUPPRESS: ("marketing_opt_out", True),
}


async def set_flag(rpc: TrytonRpc, subjects: Subjects, tasks: Sequence[Task]) -> list[Result]:
    """Give every proven party the flag of the tasks' operation, and read it again; a repeat says the same."""
    flag, value = _FLAGS[tasks[0].operation]
    found = await subjects.of(tasks)
    ids = party_ids(found)
    await rpc.write(PARTY, ids, {flag: value})
    now = await load(rpc, ids)

    def decide(task: Task, parties: Sequence[Party]) -> Result:
        if any(party.id not in now or getattr(now[party.id], flag) is not value for party in parties):
            return ResidueFound(f"the CRM accepted {flag} and still shows the old value")
        return Receipt.counted(task, TaskOutcome.AMENDED, {"account": len(parties)})

    return per_task(tasks, found, decide)
