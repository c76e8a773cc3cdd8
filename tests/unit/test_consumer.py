"""A consumer outlives whatever aiokafka ends in, and does not count as alive where the broker lets it do nothing."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Sequence
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock

import pytest
from aiokafka.errors import GroupAuthorizationFailedError, KafkaConnectionError, UnknownMemberIdError
from aiokafka.structs import TopicPartition

from shared.messaging.consumer import Consumer
from shared.runtime.liveness import Heartbeats
from shared.runtime.settings import KafkaSettings
from tests.fixtures.told import comes_to, told

PLACE = TopicPartition("dsr.requests", 0)
CLOSED = "unable to perform operation on <TCPTransport closed=True reading=False 0x1>; the handler is closed"
"""What uvloop says to whoever writes to a connection that is gone."""
GROUP = {"service": "intake", "topic": "dsr.requests"}


class Scripted:
    """An aiokafka that ends as told, once; what it has for others it hands out after that."""

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
    """A client that is told of that one topic."""

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
    """Hears one record, and that is enough."""

    def __init__(self) -> None:
        self.heard = asyncio.Event()

    def wants(self, _: object) -> bool:
        return True

    async def handle(self, _: object) -> Sequence[Any]:
        self.heard.set()
        return ()

    async def paused_topics(self) -> Sequence[str]:
        return ()


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It connects again without a pause."""
    monkeypatch.setattr("shared.messaging.consumer._AGAIN_SECONDS", 0)


Run = Callable[[Scripted, Once, Heartbeats], Coroutine[Any, Any, None]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a consumer on it until it has heard a record."""

    def begin(broker: Scripted, listener: Once, heartbeats: Heartbeats) -> Coroutine[Any, Any, None]:
        monkeypatch.setattr("shared.messaging.consumer.AIOKafkaConsumer", broker)
        monkeypatch.setattr("shared.messaging.consumer.AIOKafkaClient", Metadata)
        consumer = Consumer(KafkaSettings(bootstrap="none:1"), "intake", ["dsr.requests"])
        return consumer.run(listener, listener.heard, heartbeats)

    return begin


@pytest.mark.parametrize(
    "error",
    [asyncio.CancelledError(), KafkaConnectionError(), OSError(), UnknownMemberIdError(), RuntimeError(CLOSED)],
)
@pytest.mark.parametrize("fails_at", ["start", "getmany", "stop"])
@pytest.mark.parametrize("counts_a_cancellation", [False, True])
async def test_whatever_the_library_ends_in_the_consumer_connects_again(
    run: Run, fails_at: str, error: BaseException, *, counts_a_cancellation: bool
) -> None:
    broker, listener = Scripted(fails_at, error), Once()

    async def in_a_task_that_was_to_end() -> None:
        """A TaskGroup of Python 3.11 leaves such a count behind in the task of whoever was in it."""
        if counts_a_cancellation:
            current = asyncio.current_task()
            assert current is not None
            current.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0)
        await run(broker, listener, Heartbeats())

    async with asyncio.timeout(60):
        await asyncio.create_task(in_a_task_that_was_to_end())
    assert listener.heard.is_set()
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
    monkeypatch.setattr(heartbeats, "beat", beats.append)
    broker, listener = Scripted("start", error), Once()
    async with asyncio.timeout(60):
        await run(broker, listener, heartbeats)
    between_the_first_and_the_last = beats.count("consume:intake") - 2
    assert (between_the_first_and_the_last > 0) is alive


async def test_a_lag_that_cannot_be_measured_is_not_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.messaging.progress._EVERY_SECONDS", 0)
    monkeypatch.setattr("shared.messaging.progress._STALLED_POLLS", 10**9)
    broker, listener = Scripted("nowhere", KafkaConnectionError()), Once()
    monkeypatch.setattr(listener, "handle", AsyncMock(return_value=()))
    running = asyncio.create_task(run(broker, listener, Heartbeats()))
    assert await comes_to(1, "dsr_consumer_lag", **GROUP)
    broker.fails_at = "end_offsets"
    async with asyncio.timeout(60):
        while told("dsr_consumer_lag", **GROUP) is not None:  # noqa: ASYNC110  # there is nothing to wait for but the figure
            await asyncio.sleep(0)
    broker.fails_at = "nowhere"
    assert await comes_to(1, "dsr_consumer_lag", **GROUP)
    listener.heard.set()
    await running
    assert told("dsr_consumer_lag", **GROUP) is None
