"""Calls made side by side end together, and leave the task that made them as it was."""

import asyncio

import pytest

from shared.domain.errors import Unavailable
from shared.downstreams.http_client import together


async def answers(number: int) -> int:
    await asyncio.sleep(0)
    return number


async def fails() -> int:
    await asyncio.sleep(0)
    raise Unavailable("the CRM failed")


async def test_what_they_return_is_in_the_order_of_the_calls() -> None:
    assert await together(answers(1), answers(2)) == [1, 2]


async def test_after_a_failure_the_task_still_waits_for_a_time_and_is_not_cancelled_by_it() -> None:
    with pytest.raises(Unavailable):
        await together(answers(1), fails(), fails())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001):
            await asyncio.Event().wait()
