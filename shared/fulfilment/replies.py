"""Takes what teams who erase their own store reply, and hands it to the task that asked."""

from collections.abc import Collection, Sequence

from pydantic import JsonValue

from shared.domain import topics
from shared.domain.errors import DoneBefore, Withdrawn
from shared.domain.operations import Operation
from shared.domain.topics import Message
from shared.fulfilment import queue as tasks
from shared.fulfilment import reports
from shared.fulfilment.failures import done_before_counts
from shared.fulfilment.fulfilments import Fulfilments
from shared.messaging.dispatcher import BatchDispatcher
from shared.messaging.unit_of_work import UnitOfWork, UnitOfWorkFactory
from shared.runtime import metrics
from shared.runtime.liveness import Heartbeats
from shared.systems.bus.messages import MalformedReply, TaskReply, answered_by, parse_reply, progress_from_reply

# The command that was sent last: its id is a secret, and a team absorbs a repeat of an earlier one.
_NOTE_LATE_REPLY = """
UPDATE task t SET failure = $5, why = $6 FROM fulfilment f
WHERE t.task_id = $1 AND t.system = $2 AND t.operation = $3 AND t.state = 'cancelled' AND t.why IS NULL
  AND t.progress -> 'asked' ->> 'command' = $4 AND f.fulfilment_id = t.fulfilment_id AND f.state = 'cancelled'
RETURNING f.fulfilment_id, f.request_id
"""


async def note_late_reply(tx: UnitOfWork, system: str, reply: TaskReply) -> None:
    """Records once what a team did after its task was cancelled, and reports it to intake.

    No second search verifies it, so its counts are the team's own.
    """
    counts = done_before_counts(DoneBefore(reply.found, reply.changed, reply.remaining, reported=True))
    command = (reply.task_id, system, reply.operation, str(reply.command_id))
    if noted := await tx.connection.fetchrow(_NOTE_LATE_REPLY, *command, Withdrawn.code, counts):
        task: dict[str, JsonValue] = {"task_id": str(reply.task_id), "system": system, "operation": reply.operation}
        tx.log_evidence(noted["request_id"], "task.reported_late", {**task, "outcome": reply.outcome, **counts})
        await reports.publish_again(tx, [noted["fulfilment_id"]])


_KIND = str(TaskReply.model_fields["type"].default)


class Replies(BatchDispatcher):
    """Stores replies as progress of their tasks.

    Every service that asks a team consumes all of its replies. ``dead_letters_of``: the systems for which this service,
    the first that asks them, makes dead letters of replies without a known task.
    """

    def __init__(
        self,
        unit_of_work: UnitOfWorkFactory,
        fulfilments: Fulfilments,
        dead_letters_a_day: int,
        heartbeats: Heartbeats,
        dead_letters_of: Collection[str],
    ) -> None:
        self._dead_letters_of = dead_letters_of
        super().__init__(unit_of_work, f"{unit_of_work.service}-replies", dead_letters_a_day, heartbeats)
        self._fulfilments = fulfilments
        metrics.EVENTS.labels(unit_of_work.service, _KIND, "dead_letter")  # at zero, so that `rate()` sees the first

    def kind_of(self, record: Message) -> str:  # noqa: ARG002  # nothing a stranger writes names a series
        return _KIND

    def detail(self, error: Exception) -> str:
        """For a malformed reply, which of its fields is wrong: its team must know."""
        return str(error) if isinstance(error, MalformedReply) else super().detail(error)

    async def on_dead_letter(self, record: Message, error: Exception, tx: UnitOfWork) -> None:
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
                if (
                    await tasks.belongs_to_service(tx.connection, answered[0])
                    if answered
                    else system in self._dead_letters_of
                ):
                    raise
                continue
            task_id, progress = progress_from_reply(reply)
            erased = reply.changed + reply.remaining if reply.changed and reply.operation == Operation.ERASE else 0
            late = (str(reply.command_id), erased)
            step = await tasks.store_reply(tx.connection, system, task_id, progress, tx.now, late)
            if step:
                self._fulfilments.wake(tx, step)
            else:
                await note_late_reply(tx, system, reply)
