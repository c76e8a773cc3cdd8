"""The inbox: what was heard once has no effect again."""

import asyncio
from datetime import timedelta

from uuid_utils.compat import uuid7

from shared.messaging import inbox
from tests.fixtures.engine import OpenHarness, SetClock


async def test_of_two_consumers_that_hear_the_same_event_at_once_one_handles_it(
    open_harness: OpenHarness, clock: SetClock
) -> None:
    harness = await open_harness()
    event = uuid7()
    async with harness.pool.acquire() as one, harness.pool.acquire() as other:
        first = one.transaction()
        await first.start()
        assert await inbox.fresh(one, [event], clock.now()) == {event}
        waiting = asyncio.create_task(inbox.fresh(other, [event], clock.now()))
        await first.commit()
        assert await waiting == set()


async def test_marks_are_forgotten_only_when_the_broker_can_no_longer_deliver_the_record(
    open_harness: OpenHarness, clock: SetClock
) -> None:
    harness = await open_harness()
    old, young = uuid7(), uuid7()
    async with harness.pool.acquire() as connection:
        await inbox.fresh(connection, [old], clock.now())
        clock.pass_by(days=8)
        await inbox.fresh(connection, [young], clock.now())
        assert await inbox.forget(connection, clock.now() - inbox.KEEP) == 0
        clock.at += inbox.KEEP - timedelta(days=7)
        assert await inbox.forget(connection, clock.now() - inbox.KEEP) == 1
        assert await inbox.fresh(connection, [old, young], clock.now()) == {old}


async def test_marks_that_have_piled_up_are_forgotten_little_by_little(
    open_harness: OpenHarness, clock: SetClock
) -> None:
    harness = await open_harness()
    async with harness.pool.acquire() as connection:
        await inbox.fresh(connection, [uuid7() for _ in range(5)], clock.now())
        clock.at += inbox.KEEP + timedelta(seconds=1)
        forgotten = [await inbox.forget(connection, clock.now() - inbox.KEEP, limit=3) for _ in range(3)]
    assert forgotten == [3, 2, 0]
