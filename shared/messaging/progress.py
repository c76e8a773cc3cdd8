"""Measures a consumer: its lag, until when it has consumed everything, and whether aiokafka has stalled.

One poll of its positions and of the ends of its partitions (offsets of the next record) every two seconds answers all
three, also while a batch is in hand.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from shared.domain.errors import DsrError
from shared.runtime.liveness import Heartbeats
from shared.runtime.metrics import LAG

log = logging.getLogger(__name__)

_EVERY_SECONDS = 2.0
_UNANSWERED_SECONDS = 10.0
_STALLED_POLLS = 15

Offsets = Mapping[TopicPartition, int]


def loop_of(group: str) -> str:
    """Returns the name of a consumer's loop in heartbeats."""
    return f"consume:{group}"


def lag_loop_of(group: str) -> str:
    """Returns the name of the loop that polls for it."""
    return f"lag:{group}"


class Stalled(DsrError):
    """The consumer stands still though there are records for it; make another."""


class Progress:
    """Judges one poll after the other."""

    def __init__(self) -> None:
        self.in_hand: Offsets = {}
        """The first record of each partition that was fetched and is not handled yet."""
        self.rejoining = False
        """Whether the group has not yet assigned partitions; an empty assignment is one."""
        self.behind = False
        """Whether there was a known record to fetch at the last poll."""
        self._noted_at = 0.0
        self._noted_ends: Offsets = {}
        self._standing: dict[TopicPartition, tuple[int, int]] = {}
        self._rejoining_polls = 0

    def stalled(self, positions: Offsets, ends: Offsets) -> bool:
        """Returns whether a partition with records has not moved for too many polls, or none was assigned.

        A poll during a batch says nothing about positions, since no fetch runs then.
        """
        self._rejoining_polls = self._rejoining_polls + 1 if self.rejoining else 0
        if self._rejoining_polls > _STALLED_POLLS:
            self._rejoining_polls = 0
            return True
        self.behind = any(position < ends.get(place, 0) for place, position in positions.items())
        if not self.in_hand:
            before, self._standing = self._standing, {}
            for place, position in positions.items():
                if position < ends.get(place, 0):
                    known, polls = before.get(place, (position, 0))
                    self._standing[place] = (position, polls + 1 if known == position else 1)
        return any(polls > _STALLED_POLLS for _, polls in self._standing.values())

    def consumed_until(self, positions: Offsets, ends: Offsets, at: float) -> float | None:
        """Until when everything was consumed, if that is later than at the poll before (a low watermark).

        It notes the ends of one poll; once those are reached, what was on the bus ``at`` that time has been handled. So
        it goes up also while there is always something new.
        """
        handled = {**positions, **self.in_hand}  # what lost its partition meanwhile is not in the ends
        if ends and all(handled[place] >= end for place, end in ends.items()):
            self._noted_at, self._noted_ends = at, ends
            return at
        if self._noted_ends.keys() != ends.keys():  # what another instance has consumed so far is not known here
            self._noted_at, self._noted_ends = at, ends
            return None
        if not ends or any(handled[place] < end for place, end in self._noted_ends.items()):
            return None
        reached, self._noted_at, self._noted_ends = self._noted_at, at, ends
        return reached


class Assignments(ConsumerRebalanceListener):  # type: ignore[misc]  # the library is untyped
    """Tells from where the library stands in its group: it gives up all partitions, then is assigned some or none."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def on_partitions_revoked(self, _: Sequence[TopicPartition]) -> None:
        """Handles a rebalance of the group."""
        self._progress.rejoining = True

    def on_partitions_assigned(self, _: Sequence[TopicPartition]) -> None:
        """The group has assigned."""
        self._progress.rejoining = False


async def keep_polling(
    consumer: AIOKafkaConsumer, progress: Progress, group: str, topics: Sequence[str], heartbeats: Heartbeats
) -> None:
    """Polls for as long as the consumer lasts; an unknown lag is not shown.

    Raises:
        Stalled: the consumer stands still.
        TimeoutError: the broker has not answered for ten seconds.
    """
    clock = asyncio.get_running_loop()
    answered_at = clock.time()
    try:
        while True:
            heartbeats.beat(lag_loop_of(group))
            at = time.monotonic()
            try:
                async with asyncio.timeout(_UNANSWERED_SECONDS):
                    places = list(consumer.assignment())
                    ends = await consumer.end_offsets(places) if places else {}
                    positions = {place: await consumer.position(place) for place in places}
            except (KafkaError, TimeoutError) as error:
                log.info("lag of %s not known: %s", group, type(error).__name__)
                progress.behind = False
                _forget_lag(group, topics)
                if clock.time() - answered_at >= _UNANSWERED_SECONDS:
                    raise TimeoutError from error
            else:
                answered_at = clock.time()
                _show_lag(group, topics, positions, ends)
                resumed = {place: ends[place] for place in places if place not in consumer.paused()}
                if progress.stalled({place: positions[place] for place in resumed}, resumed):
                    raise Stalled
                if (until := progress.consumed_until(positions, ends, at)) is not None:
                    heartbeats.consumed(loop_of(group), until)
            await asyncio.sleep(_EVERY_SECONDS)
    finally:
        _forget_lag(group, topics)


def _show_lag(group: str, topics: Sequence[str], positions: Offsets, ends: Offsets) -> None:
    lag: Counter[str] = Counter()
    for place, end in ends.items():
        lag[place.topic] += max(0, end - positions[place])
    for topic in topics:
        LAG.labels(group, topic).set(lag[topic])


def _forget_lag(group: str, topics: Sequence[str]) -> None:
    for topic in topics:
        LAG.remove(group, topic)
