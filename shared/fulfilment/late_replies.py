"""What a team says of a command after its request was withdrawn, or answered without it: it is done, and on record."""

from uuid import UUID

from pydantic import JsonValue

from shared.domain.errors import DoneBefore, Withdrawn
from shared.downstreams.bus.messages import TaskReply
from shared.fulfilment import reports, store
from shared.fulfilment.failures import counts_of
from shared.messaging.unit_of_work import UnitOfWork

# The command that was sent last: nobody else knows its id, and a team absorbs a repeat of an earlier one.
_CALLED_OFF = """
SELECT fulfilment_id, request_id FROM task JOIN fulfilment f USING (fulfilment_id)
WHERE task_id = $1 AND system = $2 AND task.operation = $3 AND task.state = 'cancelled' AND f.state = 'cancelled'
  AND why IS NULL AND progress -> 'asked' ->> 'command' = $4
"""
_NOTE = "UPDATE task SET failure = $2, why = $3 WHERE task_id = $1 AND state = 'cancelled' AND why IS NULL"


async def note(tx: UnitOfWork, system: str, reply: TaskReply) -> None:
    """Puts on record what a team has done that was called off, once, and says so to whoever answers the request.

    Nobody has it look again any more, so its counts are what it says of itself.
    """
    called_off = await tx.connection.fetchrow(
        _CALLED_OFF, reply.task_id, system, reply.operation, str(reply.command_id)
    )
    if called_off is None:
        return
    fulfilment_id: UUID = called_off["fulfilment_id"]
    await store.hold(tx, [fulfilment_id])  # fulfilments first, tasks second
    counts = counts_of(DoneBefore(reply.found, reply.changed, reply.remaining, reported=True))
    if await tx.connection.execute(_NOTE, reply.task_id, Withdrawn.code, counts) == "UPDATE 0":
        return
    task: dict[str, JsonValue] = {"task_id": str(reply.task_id), "system": system, "operation": reply.operation}
    said: dict[str, JsonValue] = {"outcome": reply.outcome, **counts}
    tx.log_evidence(called_off["request_id"], "task.reported_late", {**task, **said})
    await reports.publish_again(tx, [fulfilment_id])
