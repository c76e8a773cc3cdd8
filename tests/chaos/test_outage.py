"""The broker is away for longer than any client's timeout: every service goes on by itself once it is back."""

from collections.abc import Iterator

import pytest

from tests.fixtures.outage import go_through
from tests.fixtures.stack import Stack

pytestmark = pytest.mark.asyncio(loop_scope="package")


async def test_every_consumer_goes_on_after_a_broker_was_away_for_twenty_seconds(
    running: Stack, people: Iterator[int]
) -> None:
    assert await go_through([("broker", 20)], running, people) == []
