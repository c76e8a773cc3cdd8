"""Takes what teams who erase their own store reply, and hands it to the task that asked."""

from collections.abc import Collection, Sequence
from uuid import UUID

from pydantic import JsonValue

from shared.domain import topics
from shared.domain.errors import DoneBefore, Withdrawn
from shared.domain.operations import Operation
from shared.domain.records import Message
from shared.fulfilment import queue as tasks
from shared.fulfilment import reports, store
from shared.fulfilment.failures import counts_of
from shared.fulfilment.fulfilments import Fulfilments
from shared.messaging.dispatcher import BatchDispatcher
from shared.messaging.unit_of_work import UnitOfWork, UnitOfWorkFactory
from shared.runtime import metrics
from shared.runtime.liveness import Heartbeats
from shared.systems.bus.messages import MalformedReply, TaskReply, answered_by, parse_reply, progress_from_reply

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


_KIND = str(TaskReply.model_fields["type"].default)


class Replies(BatchDispatcher):
    """Stores replies as progress of their tasks.

    Every service that asks a team hears all of its replies. ``alone``: the systems of which this one sets aside what
    names no task, since it is the first of those that ask them.
    """

    def __init__(
        self,
        unit_of_work: UnitOfWorkFactory,
        fulfilments: Fulfilments,
        dead_letters_a_day: int,
        heartbeats: Heartbeats,
        alone: Collection[str],
    ) -> None:
        self._alone = alone
        super().__init__(unit_of_work, f"{unit_of_work.service}-replies", dead_letters_a_day, heartbeats)
        self._fulfilments = fulfilments
        metrics.EVENTS.labels(unit_of_work.service, _KIND, "dead_letter")  # at zero, so that `rate()` sees the first

    def kind_of(self, record: Message) -> str:  # noqa: ARG002  # nothing a stranger writes names a series
        return _KIND

    def detail(self, error: Exception) -> str:
        """For a malformed reply, which of its fields is wrong: its team must know."""
        return str(error) if isinstance(error, MalformedReply) else super().detail(error)

    async def note_set_aside(self, record: Message, error: Exception, tx: UnitOfWork) -> None:
        """Counts malformed replies with the task that they answer, which fails when they are too many."""
        if isinstance(error, MalformedReply) and (answered := answered_by(record.value)):
            await tasks.count_malformed(tx.connection, topics.system_of(record.topic), *answered)

    async def apply(self, records: Sequence[Message], tx: UnitOfWork) -> None:
        """Stores each reply; one to a task of another service, or that is done, has no effect.

        One to a task that was called off is on record.

        Raises:
            MalformedReply: it cannot be read, and answers a task of this service, or is for this one to set aside
        """
        for record in records:
            system = topics.system_of(record.topic)
            try:
                reply = parse_reply(record.value)
            except MalformedReply:
                answered = answered_by(record.value)
                if await tasks.is_ours(tx.connection, answered[0]) if answered else system in self._alone:
                    raise
                continue
            task_id, progress = progress_from_reply(reply)
            erased = reply.changed + reply.remaining if reply.changed and reply.operation == Operation.ERASE else 0
            late = (str(reply.command_id), erased)
            step = await tasks.store_reply(tx.connection, system, task_id, progress, tx.now, late)
            if step:
                self._fulfilments.wake(tx, step)
            else:
                await note(tx, system, reply)
