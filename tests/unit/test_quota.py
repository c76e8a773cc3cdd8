"""How much one caller may ask for, and all together."""

import asyncio
from datetime import datetime
from typing import Any

import pytest

from services.intake.auth import ApiKeys, _hash
from services.intake.errors import Overloaded, TooManyCalls, Unauthorised
from services.intake.quota import Quota, Rate
from shared.domain.clock import SystemClock
from tests.fixtures.virtual_time import SkippingLoop


def test_calls_beyond_the_rate_are_refused_until_their_time_has_come_and_others_go_on() -> None:
    async def calls() -> None:
        rate = Rate(per_second=10, burst_seconds=1.0)
        for _ in range(11):
            rate.take("one")
        with pytest.raises(TooManyCalls) as refusal:
            rate.take("one")
        assert 0 < refusal.value.retry_after <= 0.11
        rate.take("another")
        await asyncio.sleep(0.1)  # of the skipping loop's own time: it takes none
        rate.take("one")
        with pytest.raises(TooManyCalls):
            rate.take("one")

    with asyncio.Runner(loop_factory=SkippingLoop) as runner:
        runner.run(calls())


def test_one_caller_takes_half_at_most_and_all_together_no_more_than_there_is() -> None:
    quota = Quota(100)
    quota.take("one", 50)
    with pytest.raises(TooManyCalls):
        quota.take("one", 1)
    quota.take("another", 30)
    quota.take("a third", 20)
    with pytest.raises(Overloaded):
        quota.take("another", 1)
    quota.give("one", 50)
    quota.take("another", 20)
    quota.take("a fourth", 30)


class Table:
    """The table of keys, which counts how often it is asked, and answers when told."""

    def __init__(self, *keys: tuple[str, str]) -> None:
        self.asked: list[int] = []
        self.is_asked, self.may_answer = asyncio.Event(), asyncio.Event()
        self._keys = keys

    async def fetch(self, _query: str, key_ids: list[str], _now: datetime) -> list[tuple[object, ...]]:
        self.asked.append(len(key_ids))
        self.is_asked.set()
        await self.may_answer.wait()
        granted = ("L1", ["access"], ["submit"], None)
        return [
            (key_id, _hash(secret), "channel", key_id, "portal", *granted)
            for key_id, secret in self._keys
            if key_id in key_ids
        ]


async def test_a_thousand_unknown_keys_cost_two_queries_and_are_then_remembered() -> None:
    known, unknown = ("a" * 12, "s" * 43), [f"dsr_{number:012x}_{'x' * 43}" for number in range(1_000)]
    table = Table(known)
    keys = ApiKeys(table, SystemClock())  # type: ignore[arg-type]  # all that is asked of a pool

    async def try_all() -> list[Any]:
        mine = f"dsr_{known[0]}_{known[1]}"
        return await asyncio.gather(*(keys.caller(each) for each in [*unknown, mine]), return_exceptions=True)

    first = asyncio.create_task(try_all())
    await asyncio.wait_for(table.is_asked.wait(), 10)
    table.may_answer.set()
    *refused, mine = await first
    assert mine.channel == known[0]
    assert {type(each) for each in refused} == {Unauthorised}
    assert len(table.asked) <= 2
    before = len(table.asked)
    *refused, mine = await try_all()
    assert (mine.channel, {type(each) for each in refused}) == (known[0], {Unauthorised})
    assert len(table.asked) == before


async def test_a_row_that_nobody_can_read_is_told_to_whoever_waits_and_keeps_nobody_waiting() -> None:
    class Strange:
        async def fetch(self, *_: object) -> list[tuple[object, ...]]:
            return [("a" * 12, b"", "channel")]

    keys = ApiKeys(Strange(), SystemClock())  # type: ignore[arg-type]  # all that is asked of a pool
    with pytest.raises(ValueError, match="unpack"):
        await asyncio.wait_for(keys.caller(f"dsr_{'a' * 12}_{'s' * 43}"), 10)


async def test_a_database_that_is_away_is_no_unknown_key() -> None:
    class Away:
        async def fetch(self, *_: object) -> None:
            raise ConnectionRefusedError

    keys = ApiKeys(Away(), SystemClock())  # type: ignore[arg-type]  # all that is asked of a pool
    for _ in range(2):
        with pytest.raises(ConnectionRefusedError):
            await keys.caller(f"dsr_{'a' * 12}_{'s' * 43}")
