"""A connection that is gone under the producer is a broker that is away, whenever that comes to light."""

import asyncio

import pytest
from aiokafka.errors import KafkaConnectionError

from shared.domain.records import Message
from shared.messaging.producer import BusAway, KafkaProducer
from shared.runtime.settings import KafkaSettings

CLOSED = "unable to perform operation on <TCPTransport closed=True reading=False 0x1>; the handler is closed"
"""What uvloop says to whoever writes to a connection that is gone."""


class Scripted:
    """An AIOKafkaProducer that fails in one of its methods."""

    def __init__(self, fails_at: str, error: Exception) -> None:
        self.fails_at = fails_at
        self.error = error
        self.client = self
        self.cluster = self
        self.stopped = asyncio.Event()

    def __call__(self, **_: object) -> "Scripted":
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
async def test_a_connection_that_is_gone_is_a_broker_that_is_away(
    monkeypatch: pytest.MonkeyPatch, fails_at: str, error: Exception
) -> None:
    broker = Scripted(fails_at, error)
    monkeypatch.setattr("shared.messaging.producer.AIOKafkaProducer", broker)
    producer = KafkaProducer(KafkaSettings(bootstrap="none:1"))
    assert await producer.reachable() == (fails_at not in {"start", "fetch_all_metadata"})
    if fails_at == "start":
        with pytest.raises(BusAway):
            await producer.start()
    if fails_at in {"start", "partitions_for"}:
        with pytest.raises(BusAway):
            await producer.send([Message("dsr.requests", b"k", b"v")])
        async with asyncio.timeout(5):
            await broker.stopped.wait()  # or its connections stay
    await producer.stop()


async def test_an_error_of_ours_is_no_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.messaging.producer.AIOKafkaProducer", Scripted("start", RuntimeError("a mistake")))
    with pytest.raises(RuntimeError, match="a mistake"):
        await KafkaProducer(KafkaSettings(bootstrap="none:1")).start()
