"""A consumer outlives whatever aiokafka ends in, and does not count as alive where the broker lets it do nothing."""

import asyncio
import contextlib
import struct
import tracemalloc
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock
from uuid import UUID

import pytest
from aiokafka.consumer import fetcher
from aiokafka.errors import GroupAuthorizationFailedError, KafkaConnectionError, UnknownMemberIdError
from aiokafka.record.util import calc_crc32c
from aiokafka.structs import TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.events import Event, RequestWithdrawn
from shared.domain.rights import Right
from shared.domain.topics import Message
from shared.messaging import decoding
from shared.messaging.consumer import Consumer
from shared.messaging.dispatcher import Handler, Subscription, _group_by_handler, _Parsed, _routes
from shared.messaging.producer import BusAway, KafkaProducer
from shared.messaging.progress import Assignments, Progress
from shared.messaging.unit_of_work import UnitOfWork
from shared.runtime.liveness import Heartbeats
from shared.runtime.settings import KafkaSettings
from tests.fixtures.events import a
from tests.fixtures.hostile import batch
from tests.fixtures.metrics import comes_to, metric
from tests.fixtures.wire import JUNK

PLACE = TopicPartition("dsr.requests", 0)
CLOSED = "unable to perform operation on <TCPTransport closed=True reading=False 0x1>; the handler is closed"
"""uvloop's error for writing to a closed connection."""
GROUP = {"service": "intake", "topic": "dsr.requests"}


class Scripted:
    """An aiokafka that fails once as scripted, and delivers its records after that."""

    def __init__(self, fails_at: str, error: BaseException) -> None:
        self.fails_at, self._error = fails_at, error
        self.made = 0
        self._client = self
        self.end = 1

    def __call__(self, *_: object, **__: object) -> "Scripted":
        self.made += 1
        return self

    async def _do(self, what: str) -> None:
        await asyncio.sleep(0)
        if self.made == 1 and self.fails_at == what:
            raise self._error

    def subscribe(self, topics: Sequence[str], **_: object) -> None:
        assert [*topics] == ["dsr.requests"]

    async def start(self) -> None:
        await self._do("start")

    async def stop(self) -> None:
        await self._do("stop")

    async def close(self) -> None:
        await asyncio.sleep(0)

    async def getmany(self, **_: object) -> dict[TopicPartition, list[Any]]:
        await self._do("getmany")
        if self.made == 1 and self.fails_at == "stop":
            raise KafkaConnectionError
        record = SimpleNamespace(topic="dsr.requests", partition=0, offset=0, key=b"k", value=b"v", headers=())
        return {PLACE: [record]}

    async def commit(self, _: object) -> None:
        await self._do("commit")

    def assignment(self) -> set[TopicPartition]:
        return {PLACE}

    def paused(self) -> set[TopicPartition]:
        return set()

    def resume(self, *_: TopicPartition) -> None:
        pass

    async def end_offsets(self, places: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        await self._do("end_offsets")
        return dict.fromkeys(places, self.end)

    async def position(self, _: TopicPartition) -> int:
        return 0


class Metadata:
    """A client that knows only that topic."""

    def __init__(self, **_: object) -> None:
        pass

    async def bootstrap(self) -> None:
        pass

    async def fetch_all_metadata(self) -> "Metadata":
        return self

    def topics(self) -> set[str]:
        return {"dsr.requests"}

    async def close(self) -> None:
        pass


class Once:
    """Reads one record."""

    def __init__(self) -> None:
        self.done = asyncio.Event()

    def wants(self, _: object) -> bool:
        return True

    async def handle(self, _: object) -> Sequence[Any]:
        self.done.set()
        return ()

    async def paused_topics(self) -> Sequence[str]:
        return ()


@pytest.fixture(autouse=True)
def immediately(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes it reconnect without a pause."""
    monkeypatch.setattr("shared.messaging.consumer._AGAIN_SECONDS", 0)


Run = Callable[[Scripted, Once, Heartbeats], Coroutine[Any, Any, None]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a consumer until it has read a record."""

    def begin(broker: Scripted, listener: Once, heartbeats: Heartbeats) -> Coroutine[Any, Any, None]:
        monkeypatch.setattr("shared.messaging.consumer.AIOKafkaConsumer", broker)
        monkeypatch.setattr("shared.messaging.consumer.AIOKafkaClient", Metadata)
        consumer = Consumer(KafkaSettings(bootstrap="none:1"), "intake", ["dsr.requests"])
        return consumer.run(listener, listener.done, heartbeats)

    return begin


@pytest.mark.parametrize(
    "error", [asyncio.CancelledError(), KafkaConnectionError(), OSError(), UnknownMemberIdError(), RuntimeError(CLOSED)]
)
@pytest.mark.parametrize("fails_at", ["start", "getmany", "stop"])
@pytest.mark.parametrize("counts_a_cancellation", [False, True])
async def test_whatever_the_library_ends_in_the_consumer_connects_again(
    run: Run, fails_at: str, error: BaseException, *, counts_a_cancellation: bool
) -> None:
    broker, listener = Scripted(fails_at, error), Once()

    async def in_a_task_that_was_to_end() -> None:
        """A TaskGroup of Python 3.11 leaves such a count in the task that was in it."""
        if counts_a_cancellation:
            current = asyncio.current_task()
            assert current is not None
            current.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0)
        await run(broker, listener, Heartbeats())

    async with asyncio.timeout(60):
        await asyncio.create_task(in_a_task_that_was_to_end())
    assert listener.done.is_set()
    assert broker.made == 2


async def test_a_cancellation_that_is_meant_ends_it(run: Run) -> None:
    broker, listener = Scripted("never", OSError()), Once()
    running = asyncio.create_task(run(broker, listener, Heartbeats()))
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(60):
            await running


@pytest.mark.parametrize(
    ("error", "alive"), [(KafkaConnectionError(), True), (GroupAuthorizationFailedError("intake"), False)]
)
async def test_it_counts_as_alive_while_the_broker_is_away_but_not_while_the_broker_refuses_it(
    run: Run, monkeypatch: pytest.MonkeyPatch, error: Exception, *, alive: bool
) -> None:
    beats: list[str] = []
    monkeypatch.setattr("shared.messaging.consumer._AGAIN_SECONDS", 0.001)
    heartbeats = Heartbeats()
    monkeypatch.setattr(heartbeats, "beat", lambda loop, _rests=0.0: beats.append(loop))
    broker, listener = Scripted("start", error), Once()
    async with asyncio.timeout(60):
        await run(broker, listener, heartbeats)
    between_the_first_and_the_last = beats.count("consume:intake") - 2
    assert (between_the_first_and_the_last > 0) is alive


async def test_unmeasurable_lag_is_not_exported(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.messaging.progress._EVERY_SECONDS", 0)
    monkeypatch.setattr("shared.messaging.progress._STALLED_POLLS", 10**9)
    broker, listener = Scripted("nowhere", KafkaConnectionError()), Once()
    monkeypatch.setattr(listener, "handle", AsyncMock(return_value=()))
    running = asyncio.create_task(run(broker, listener, Heartbeats()))
    assert await comes_to(1, "dsr_consumer_lag", **GROUP)
    broker.fails_at = "end_offsets"
    async with asyncio.timeout(60):
        while metric("dsr_consumer_lag", **GROUP) is not None:  # noqa: ASYNC110  # there is nothing to wait for but the figure
            await asyncio.sleep(0)
    broker.fails_at = "nowhere"
    assert await comes_to(1, "dsr_consumer_lag", **GROUP)
    listener.done.set()
    await running
    assert metric("dsr_consumer_lag", **GROUP) is None


# A consumer knows until when it has consumed everything, and one that stands still is noticed.

ONE, OTHER = TopicPartition("topic", 0), TopicPartition("topic", 1)
Offsets = Mapping[TopicPartition, int]
Poll = tuple[Offsets, Offsets]
"""Positions, and the ends of the partitions."""
BEHIND: Poll = ({ONE: 5, OTHER: 9}, {ONE: 8, OTHER: 9})


def stalls_at(progress: Progress, polls: Iterable[Poll]) -> int | None:
    """The number of the first poll (first = 1) that finds the consumer stalled."""
    return next((number for number, poll in enumerate(polls, 1) if progress.stalled(*poll)), None)


@pytest.mark.parametrize(
    ("polls", "at"),
    [
        pytest.param([BEHIND] * 20, 16, id="stands at one place"),
        pytest.param([({ONE: 5}, {ONE: 8 + n}) for n in range(20)], 16, id="stands while its end moves on"),
        pytest.param([({ONE: 8}, {ONE: 8})] * 100, None, id="has consumed everything"),
        pytest.param([({ONE: n}, {ONE: 10_000}) for n in range(100)], None, id="moves, and stays behind"),
        pytest.param([BEHIND] * 10 + [({OTHER: 9}, {OTHER: 9})] + [BEHIND] * 20, 27, id="was taken away in between"),
    ],
)
def test_partition_stuck_at_one_offset_is_noticed_after_30_s(polls: list[Poll], at: int | None) -> None:
    assert stalls_at(Progress(), polls) == at


def test_a_consumer_that_its_group_gives_no_answer_is_noticed_after_thirty_seconds() -> None:
    progress = Progress()
    group = Assignments(progress)
    group.on_partitions_revoked([ONE])
    assert stalls_at(progress, [({}, {})] * 20) == 16
    group.on_partitions_assigned([])
    assert stalls_at(progress, [({}, {})] * 100) is None, "others have all partitions"


def test_a_consumer_that_works_at_a_batch_for_long_has_not_stalled() -> None:
    progress = Progress()
    progress.in_hand = {OTHER: 3}
    assert stalls_at(progress, [BEHIND] * 100) is None
    progress.in_hand = {}
    assert stalls_at(progress, [BEHIND] * 20) == 16


@pytest.mark.parametrize(
    ("polls", "until"),
    [
        pytest.param([({ONE: 7, OTHER: 0}, {ONE: 7, OTHER: 0})], [1], id="at the end: until now"),
        pytest.param(
            [({ONE: 2}, {ONE: 7}), ({ONE: 6}, {ONE: 9}), ({ONE: 8}, {ONE: 12}), ({ONE: 12}, {ONE: 14})],
            [None, None, 1, 3],
            id="at the end of an earlier poll: until then",
        ),
        pytest.param([({ONE: 9, OTHER: 1}, {ONE: 9, OTHER: 5})] * 3, [None] * 3, id="behind in one partition: behind"),
        pytest.param(
            [({ONE: 2}, {ONE: 7}), ({ONE: 7, OTHER: 0}, {ONE: 9, OTHER: 5}), ({ONE: 9, OTHER: 5}, {ONE: 11, OTHER: 6})],
            [None, None, 2],
            id="what was noted before partitions were handed over does not count",
        ),
        pytest.param([({}, {})] * 2, [None] * 2, id="without a partition nothing is known"),
    ],
)
def test_until_when_everything_was_consumed(polls: list[Poll], until: list[float | None]) -> None:
    progress = Progress()
    assert [progress.consumed_until(*poll, at) for at, poll in enumerate(polls, 1)] == until


def test_what_is_in_hand_is_not_consumed_yet() -> None:
    progress = Progress()
    progress.in_hand = {ONE: 4}
    assert progress.consumed_until({ONE: 7}, {ONE: 7}, 1.0) is None
    progress.in_hand = {}
    assert progress.consumed_until({ONE: 7}, {ONE: 9}, 2.0) == 1.0


# Decoding record by record: what a fetched batch holds, however it is broken, within bounded memory.
LIMIT = 1024 * 1024


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The decoder that aiokafka uses."""
    monkeypatch.setattr(fetcher, "MemoryRecords", None)
    decoding.decode_record_by_record(LIMIT)
    return fetcher.MemoryRecords


def read(answer: Any) -> list[tuple[int, bytes | None]]:
    """Offset and value of each record; none where it could not be read."""
    found = []
    while answer.has_next():
        one = answer.next_batch()
        assert one.validate_crc()
        found += [(record.offset, record.value) for record in one]
    return found


def test_a_batch_that_is_cut_off_is_left_for_the_next_answer(library: Any) -> None:
    whole = batch((b"a", []), (b"b", [("name", b"value")]))
    for cut in (0, 5, 70):
        assert read(library(whole + whole[:cut])) == [(0, b"a"), (1, b"b")]


def test_a_bomb_costs_little_more_memory_than_its_limit(library: Any) -> None:
    bomb = batch((bytes(64 * LIMIT), []), gzip=True)
    tracemalloc.start()
    try:
        assert read(library(bomb)) == [(0, None)]
        assert tracemalloc.get_traced_memory()[1] < 4 * LIMIT
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("at", range(61, 80))
def test_wrong_length_costs_only_ambiguous_records(library: Any, at: int) -> None:
    content = bytearray(batch((b"a" * 5, [("n", b"v")]), (b"b" * 5, [("n", b"v")])))
    content[at] = 0x7F
    struct.pack_into(">I", content, 17, calc_crc32c(bytes(content[21:])))
    assert 1 <= len(read(library(bytes(content)))) <= 3


# Grouping of records: few calls, and the events of one request in order.
def handler() -> Handler:
    async def handle(_events: Sequence[Event], _tx: UnitOfWork) -> None:
        """Does nothing: only who is called matters here."""

    return handle


HANDLERS = [(handler(),) for _ in range(4)]


def parsed(request: int, which: int) -> _Parsed:
    event = a(RequestWithdrawn, about=UUID(int=request), right=Right.ERASURE, subject=UUID(int=request))
    return _Parsed(Message("dsr.requests", b"", b"", {}), event, HANDLERS[which])


batches = st.lists(st.builds(parsed, st.integers(0, 5), st.integers(0, 3)), max_size=60)


@given(batches)
def test_every_event_is_handed_to_its_handler_once(batch: list[_Parsed]) -> None:
    handed = [(handler, event.event_id) for handler, events in _group_by_handler(batch) for event in events]
    assert sorted(handed, key=lambda each: each[1]) == sorted(
        [(p.handlers, p.event.event_id) for p in batch], key=lambda each: each[1]
    )


@given(batches)
def test_events_of_one_request_are_handed_over_in_order(batch: list[_Parsed]) -> None:
    handed = [event for _, events in _group_by_handler(batch) for event in events]
    for request in {p.event.request_id for p in batch}:
        assert [e for e in handed if e.request_id == request] == [
            p.event for p in batch if p.event.request_id == request
        ]


@given(st.lists(st.integers(0, 3), max_size=60))
def test_events_of_as_many_requests_are_one_call_per_handler(which: list[int]) -> None:
    runs = _group_by_handler([parsed(100 + number, handler) for number, handler in enumerate(which)])
    assert len(runs) == len(set(which))


def test_a_burst_of_requests_that_begin_and_end_together_is_two_calls() -> None:
    batch = [parsed(request, which) for request in range(50) for which in (0, 1)]
    assert [(handler, len(events)) for handler, events in _group_by_handler(batch)] == [
        (HANDLERS[0], 50),
        (HANDLERS[1], 50),
    ]


def test_where_several_handlers_wait_for_an_event_all_of_them_hear_it_in_the_order_of_the_main() -> None:
    first, second = handler(), handler()
    subscriptions = [Subscription(RequestWithdrawn, first, None), Subscription(RequestWithdrawn, second, Right.ERASURE)]
    wanted = _routes({"withdrawn": subscriptions})
    assert wanted[b"withdrawn", b"erasure"] == (RequestWithdrawn, (first, second))
    assert wanted[b"withdrawn", b"access"] == (RequestWithdrawn, (first,))


# A connection lost under the producer counts as an unavailable broker, whenever it is noticed.
"""uvloop's error for writing to a closed connection."""


class FailingProducer:
    """An AIOKafkaProducer that fails in one of its methods."""

    def __init__(self, fails_at: str, error: Exception) -> None:
        self.fails_at = fails_at
        self.error = error
        self.client = self
        self.cluster = self
        self.stopped = asyncio.Event()

    def __call__(self, **_: object) -> "FailingProducer":
        return self

    async def _do(self, what: str) -> None:
        if what == self.fails_at:
            raise self.error

    async def start(self) -> None:
        await self._do("start")

    async def stop(self) -> None:
        self.stopped.set()
        await self._do("stop")

    async def fetch_all_metadata(self) -> None:
        await self._do("fetch_all_metadata")

    def partitions_for_topic(self, _: str) -> None:
        return None

    async def partitions_for(self, _: str) -> set[int]:
        await self._do("partitions_for")
        return {0}


@pytest.mark.parametrize("error", [RuntimeError(CLOSED), KafkaConnectionError(), ConnectionResetError()])
@pytest.mark.parametrize("fails_at", ["start", "fetch_all_metadata", "partitions_for", "stop"])
async def test_lost_connection_is_an_outage(monkeypatch: pytest.MonkeyPatch, fails_at: str, error: Exception) -> None:
    broker = FailingProducer(fails_at, error)
    monkeypatch.setattr("shared.messaging.producer.AIOKafkaProducer", broker)
    producer = KafkaProducer(KafkaSettings(bootstrap="none:1"))
    assert await producer.reachable() == (fails_at not in {"start", "fetch_all_metadata"})
    if fails_at == "start":
        with pytest.raises(BusAway):
            await producer.start()
    if fails_at in {"start", "partitions_for"}:
        with pytest.raises(BusAway):
            await producer.send([Message("dsr.requests", b"k", b"v", JUNK)])
        async with asyncio.timeout(60):
            await broker.stopped.wait()  # or its connections stay
    await producer.stop()


async def test_own_error_is_no_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "shared.messaging.producer.AIOKafkaProducer", FailingProducer("start", RuntimeError("a mistake"))
    )
    with pytest.raises(RuntimeError, match="a mistake"):
        await KafkaProducer(KafkaSettings(bootstrap="none:1")).start()
