"""Flags on a party: processing restricted (Art. 18), no marketing (Art. 21)."""

from collections.abc import Mapping, Sequence

from shared.domain.errors import Refused, ResidueFound
from shared.domain.operations import Operation, TaskOutcome
from shared.downstreams.contract import Receipt, Result, Task, per_task
from shared.downstreams.tryton.party import Party
from shared.downstreams.tryton.rpc import TrytonRpc
from shared.downstreams.tryton.search import PARTY, load
from shared.downstreams.tryton.subjects import Subjects

FLAGS: Mapping[Operation, tuple[str, bool]] = {
    Operation.RESTRICT: ("restricted", True),
    Operation.LIFT: ("restricted", False),
    Operation.SUPPRESS: ("marketing_opt_out", True),
}
"""Which flag of a party an operation sets, and to what."""


async def set_flag(
    rpc: TrytonRpc,
    subjects: Subjects,
    tasks: Sequence[Task],
    flag: str,
    value: bool,  # noqa: FBT001  # the pair stands in a table
) -> list[Result]:
    """Give every proven party the flag, and read it again; a repeat finds it set and says the same."""
    found = await subjects.of(tasks)
    ids = sorted({party.id for parties in found.values() if not isinstance(parties, Refused) for party in parties})
    await rpc.write(PARTY, ids, {flag: value})
    now = await load(rpc, ids)

    def receipt(task: Task, parties: Sequence[Party]) -> Result:
        if any(party.id not in now or getattr(now[party.id], flag) is not value for party in parties):
            return ResidueFound(f"the CRM accepted {flag} and still shows the old value")
        count = len(parties)
        return Receipt(task.task_id, TaskOutcome.AMENDED, found=count, changed=count, by_category={"account": count})

    return per_task(tasks, found, receipt)
