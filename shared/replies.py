"""Hears what teams who erase their own store answer, and hands it to the task that asked."""

import asyncio
import logging
from collections.abc import Sequence

from shared import tasks
from shared.bus import topics
from shared.bus.records import Heard, Message
from shared.bus_tasks import MalformedReply, parse_reply, progress_from_reply
from shared.postgres import AGAIN, AWAY
from shared.transaction import Transactions

log = logging.getLogger(__name__)


class Replies:
    """Stores replies as progress of their tasks; a malformed one is set aside, as it came."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    async def handle(self, records: Sequence[Heard]) -> None:
        """Handles a batch for good, waiting out a database that is away."""
        for record in records:
            while True:
                try:
                    await self._one(record)
                except (*AWAY, *AGAIN) as error:
                    log.warning("replies wait for the database: %s", type(error).__name__)
                    await asyncio.sleep(0.5)  # an outage gives no event to await
                else:
                    break

    async def _one(self, record: Heard) -> None:
        async with self._transactions.begin() as tx:
            try:
                task_id, progress = progress_from_reply(parse_reply(record.value))
            except MalformedReply as error:
                log.error("reply on %s set aside: %s", record.topic, error)  # noqa: TRY400  # a trace adds nothing
                headers = {**record.headers, "dsr_reason": error.code, "dsr_topic": record.topic}
                tx.send(Message(topics.dead_letters(tx.service), record.key, record.value, headers))
                return
            step = await tasks.hear_reply(tx.connection, topics.system_of(record.topic), task_id, progress, tx.now)
            if step:
                tx.wake(*step)
