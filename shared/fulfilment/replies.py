"""Hears what teams who erase their own store answer, and hands it to the task that asked."""

import logging
from collections.abc import Sequence
from functools import partial

from shared.domain import topics
from shared.domain.errors import DsrError
from shared.domain.records import Message
from shared.downstreams.bus.messages import MalformedReply, parse_reply, progress_from_reply
from shared.fulfilment import queue as tasks
from shared.messaging.progress import loop_of
from shared.messaging.unit_of_work import UnitOfWorkFactory
from shared.runtime.liveness import Heartbeats
from shared.runtime.loops import retry_while_unavailable

log = logging.getLogger(__name__)


class Replies:
    """Stores replies as progress of their tasks; a malformed one is set aside, as it came."""

    def __init__(self, unit_of_work: UnitOfWorkFactory, heartbeats: Heartbeats) -> None:
        self._transactions = unit_of_work
        self._heartbeats = heartbeats
        self.group = f"{unit_of_work.service}-replies"

    async def handle(self, records: Sequence[Message]) -> None:
        """Handles a batch for good, waiting out a database that is away."""
        loop = loop_of(self.group)
        for record in records:
            try:
                await retry_while_unavailable(partial(self._take, record), loop, self._heartbeats)
            except Exception as error:  # noqa: BLE001  # whatever it is, only the reply that caused it is set aside
                await retry_while_unavailable(partial(self._set_aside, record, error), loop, self._heartbeats)

    async def _set_aside(self, record: Message, error: Exception) -> None:
        reason = error.code if isinstance(error, DsrError) else type(error).__name__
        log.error("reply on %s set aside: %s", record.topic, error if isinstance(error, MalformedReply) else reason)
        async with self._transactions.begin() as tx:
            tx.set_aside(record, reason)

    async def _take(self, record: Message) -> None:
        task_id, progress = progress_from_reply(parse_reply(record.value))
        async with self._transactions.begin() as tx:
            step = await tasks.hear_reply(tx.connection, topics.system_of(record.topic), task_id, progress, tx.now)
            if step:
                tx.wake(*step)
