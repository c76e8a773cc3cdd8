"""What was collected and may not be used: the tasks that gave it have failed after all, and wait for a person."""

from collections.abc import Mapping

from pydantic import JsonValue

from shared.domain.errors import Refused
from shared.domain.events import FulfilmentBlocked
from shared.fulfilment.failures import why_of
from shared.fulfilment.store import Completed, FulfilmentState, end
from shared.messaging.unit_of_work import UnitOfWork

_FAILED = """
UPDATE task SET state = 'failed', receipt = NULL, failure = f.failure, why = f.why
FROM unnest($2::text[], $3::text[], $4::jsonb[]) AS f (system, failure, why)
WHERE fulfilment_id = $1 AND task.system = f.system AND operation = $5 AND state = 'done'
"""


async def withhold(tx: UnitOfWork, done: Completed, failures: Mapping[str, Refused]) -> None:
    """Blocks what was complete: what these systems gave is dropped, and tried again as whatever else has failed."""
    await drop(tx, done, failures)
    systems, codes = list(failures), [each.code for each in failures.values()]
    for blocked in await end(tx, [done.fulfilment_id], FulfilmentState.BLOCKED):
        said: JsonValue = dict(zip(systems, codes, strict=True))
        tx.log_evidence(done.request_id, "fulfilment.blocked", {"operation": done.operation, "failures": said})
        tx.publish(FulfilmentBlocked.about(blocked, tasks=blocked.reports))


async def drop(tx: UnitOfWork, done: Completed, failures: Mapping[str, Refused]) -> None:
    """Drops what these systems gave, whose tasks have failed after all; what the other systems gave stays."""
    systems = list(failures)
    codes, whys = [each.code for each in failures.values()], [why_of(each) for each in failures.values()]
    await tx.connection.execute(_FAILED, done.fulfilment_id, systems, codes, whys, done.operation)
    await tx.vault.drop_given(tx.connection, done.subject_ref, systems)
