"""A service hears again what it has set aside, because a person has ordered that: by itself, from its own dead letters.

Nothing is written to a topic for it: the record goes to the listener that has refused it. What it has handled meanwhile
it knows by its id, and what it cannot handle now either is not set aside a second time; so it may be ordered again.
"""

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from aiokafka.errors import KafkaError
from pydantic import JsonValue
from uuid_utils.compat import uuid7

from shared.domain.errors import IllegalTransition, Misconfigured
from shared.domain.records import Message
from shared.domain.topics import ServiceName
from shared.messaging.dispatcher import BatchDispatcher
from shared.messaging.producer import wrote_to_closed
from shared.messaging.replay import DeadLetter
from shared.messaging.unit_of_work import UnitOfWork, UnitOfWorkFactory
from shared.runtime.liveness import Heartbeats
from shared.runtime.loops import alive
from shared.storage.postgres import Connection

log = logging.getLogger(__name__)

LOOP = "replay"
Broken = Literal["broker_away", "not_allowed"]
"""Why the broker gave none of what was set aside."""
_AT_A_TIME = 500
_GIVEN_UP = timedelta(minutes=10)
"""After which another process begins anew what one has begun and not ended."""
_LATEST = "asked_by, asked_at, begun_at, done_at, heard, refused, unreadable, left_alone, fault"
_BEGIN = """
UPDATE replay SET begun_at = $1 WHERE replay_id = (
    SELECT replay_id FROM replay WHERE done_at IS NULL AND (begun_at IS NULL OR begun_at < $2) FOR UPDATE SKIP LOCKED
) RETURNING replay_id
"""
_END = """
UPDATE replay SET done_at = $2, heard = $3, refused = $4, unreadable = $5, left_alone = $6, fault = $7
WHERE replay_id = $1 AND done_at IS NULL RETURNING true
"""


@dataclass(frozen=True, slots=True)
class Order:
    """The last order to a service, and what came of it; numbers of records once it is done."""

    asked_by: str
    asked_at: datetime
    begun_at: datetime | None
    done_at: datetime | None
    heard: int | None
    refused: int | None
    unreadable: int | None
    left_alone: int | None
    fault: Broken | None


@dataclass(frozen=True, slots=True)
class Done:
    """What came of what was set aside, in numbers of records."""

    heard: int = 0
    refused: int = 0
    unreadable: int = 0
    left_alone: int = 0
    fault: Broken | None = None


async def order(tx: UnitOfWork, service: ServiceName, holder: str) -> None:
    """Orders that a service hears again what it has set aside; it does within seconds, if it runs.

    Raises:
        IllegalTransition: it has an order that it has not done yet.
    """
    ordered = await tx.connection.fetchval(
        f"INSERT INTO {service}.replay (replay_id, asked_by, asked_at) VALUES ($1, $2, $3)"  # noqa: S608  # a name of ours
        " ON CONFLICT DO NOTHING RETURNING true",
        *(uuid7(), holder, tx.now),
    )
    if not ordered:
        raise IllegalTransition(f"{service} has an order that it has not done yet: wait for it, and see that it runs")


async def last_order(connection: Connection, service: ServiceName) -> Order | None:
    """The last order to that service."""
    query = f"SELECT {_LATEST} FROM {service}.replay ORDER BY asked_at DESC, replay_id DESC LIMIT 1"  # noqa: S608  # names of ours
    row = await connection.fetchrow(query)
    return Order(*row) if row else None


@dataclass(frozen=True)
class HearingAgain:
    """Does the orders to one service; ``letters``: reads what it has set aside.

    ``listeners``: those of the service, each with the topics that it reads.
    """

    unit_of_work: UnitOfWorkFactory
    heartbeats: Heartbeats
    letters: Callable[[], AsyncIterator[DeadLetter]]
    listeners: Sequence[tuple[BatchDispatcher, Sequence[str]]]

    async def look(self) -> None:
        """Does what was ordered, if anything was."""
        now = self.unit_of_work.clock.now()
        replay_id = await self.unit_of_work.pool.fetchval(_BEGIN, now, now - _GIVEN_UP)
        if replay_id is None:
            return
        async with alive(LOOP, self.heartbeats):
            done = await self._hear()
        async with self.unit_of_work.begin() as tx:
            counts = (done.heard, done.refused, done.unreadable, done.left_alone)
            if await tx.connection.fetchval(_END, replay_id, tx.now, *counts, done.fault):
                _log(tx, replay_id, done)

    async def _hear(self) -> Done:
        done, seen, batch = Done(), set[tuple[str, bytes, bytes]](), list[Message]()
        try:
            async for letter in self.letters():
                if letter.record is None:
                    done = replace(done, unreadable=done.unreadable + 1)
                    continue
                same = (letter.record.topic, letter.record.key, letter.record.value)
                if same not in seen:
                    seen.add(same)
                    batch.append(letter.record)
                if len(batch) >= _AT_A_TIME:
                    done, batch = await self._handle(batch, done), []
            return await self._handle(batch, done)
        except (KafkaError, Misconfigured, RuntimeError) as error:
            if not (isinstance(error, (KafkaError, Misconfigured)) or wrote_to_closed(error)):
                raise
            log.warning("what was set aside cannot be heard again: %s", type(error).__name__)
            fault: Broken = "not_allowed" if isinstance(error, Misconfigured) else "broker_away"
            return replace(done, fault=fault)

    async def _handle(self, records: Sequence[Message], done: Done) -> Done:
        """The same with what came of these records, each of which goes to the listener that reads its topic."""
        left, refused = len(records), 0
        for listener, topics in self.listeners:
            theirs = [each for each in records if each.topic in topics]
            left -= len(theirs)
            wanted = [each for each in theirs if listener.wants([(n, v.encode()) for n, v in each.headers.items()])]
            before = listener.refused_again
            await listener.paused_topics()
            left += len(await listener.handle(wanted))
            refused += listener.refused_again - before
        return replace(
            done,
            heard=done.heard + len(records) - left - refused,
            refused=done.refused + refused,
            left_alone=done.left_alone + left,
        )


def _log(tx: UnitOfWork, replay_id: UUID, done: Done) -> None:
    detail: dict[str, JsonValue] = {"service": tx.service, "heard": done.heard, "refused": done.refused}
    detail |= {"unreadable": done.unreadable, "left_alone": done.left_alone}
    tx.log_evidence(replay_id, "dead_letters.replayed", {**detail, **({"fault": done.fault} if done.fault else {})})
