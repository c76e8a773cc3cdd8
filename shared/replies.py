"""Hears what teams who erase their own store answer, and hands it to the task that asked."""

import logging
from collections.abc import Sequence
from functools import partial

from shared import tasks
from shared.bus import consumer, topics
from shared.bus.records import Heard
from shared.bus_tasks import MalformedReply, parse_reply, progress_from_reply
from shared.errors import DsrError
from shared.patience import once_the_database_answers
from shared.telemetry import Pulse
from shared.transaction import Transactions

log = logging.getLogger(__name__)


class Replies:
    """Stores replies as progress of their tasks; a malformed one is set aside, as it came."""

    def __init__(self, transactions: Transactions, pulse: Pulse) -> None:
        self._transactions = transactions
        self._pulse = pulse
        self.group = f"{transactions.service}-replies"

    async def handle(self, records: Sequence[Heard]) -> None:
        """Handles a batch for good, waiting out a database that is away."""
        loop = consumer.loop_of(self.group)
        for record in records:
            try:
                await once_the_database_answers(partial(self._take, record), loop, self._pulse)
            except Exception as error:  # noqa: BLE001  # whatever it is, only the reply that caused it is set aside
                await once_the_database_answers(partial(self._set_aside, record, error), loop, self._pulse)

    async def _set_aside(self, record: Heard, error: Exception) -> None:
        reason = error.code if isinstance(error, DsrError) else type(error).__name__
        log.error("reply on %s set aside: %s", record.topic, error if isinstance(error, MalformedReply) else reason)
        async with self._transactions.begin() as tx:
            tx.set_aside(record, reason)

    async def _take(self, record: Heard) -> None:
        task_id, progress = progress_from_reply(parse_reply(record.value))
        async with self._transactions.begin() as tx:
            step = await tasks.hear_reply(tx.connection, topics.system_of(record.topic), task_id, progress, tx.now)
            if step:
                tx.wake(*step)
