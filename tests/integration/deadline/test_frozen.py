"""A deadline service that freezes while it says something: another says it, and what wakes says it no second time."""

from datetime import timedelta
from functools import partial
from uuid import uuid4

import pytest

from services.deadline import notifications
from services.deadline.sweep import Sweep, milestones
from shared.messaging import inbox
from tests.fixtures.freezing import Freezing, until
from tests.integration.deadline.conftest import ARRIVED, POLICY, Harness


def frozen(deadline: Harness) -> tuple[Freezing, Sweep]:
    """Another process of the service, which freezes before its first commit, and its sweep."""
    freezing = Freezing(deadline.unit_of_work)
    awake = deadline.sweep()
    return freezing, Sweep(freezing, POLICY, awake.settings, deadline.fulfilments, awake.heartbeats)


async def test_what_a_frozen_sweep_had_in_hand_is_said_by_another_and_once(deadline: Harness) -> None:
    request = await deadline.receives()
    deadline.at(ARRIVED + timedelta(days=28))
    freezing, sleeping = frozen(deadline)
    async with freezing.asleep(sleeping.tick(milestones)):
        assert await deadline.said() == {}
        await until(partial(deadline.sweep().tick, milestones))
    said = (await deadline.said())[request.request_id]
    assert said
    assert said == list(dict.fromkeys(said))
    assert len(await deadline.tickets()) == 1
    assert await deadline.sweeps() == 0


@pytest.mark.parametrize("kind", notifications.DAILY)
async def test_what_is_said_daily_is_said_by_another_where_its_writer_froze_and_once(
    deadline: Harness, kind: str
) -> None:
    await deadline.receives()
    deadline.at(ARRIVED + timedelta(days=29, hours=5))
    freezing, sleeping = frozen(deadline)
    async with freezing.asleep(sleeping.say_daily(kind)):
        assert await deadline.tickets() == []
        await until(partial(deadline.sweep().say_daily, kind))
    assert await deadline.tickets() == [kind]
    assert not await deadline.sweep().say_daily(kind)


async def test_a_frozen_process_keeps_nobody_from_forgetting_what_was_heard(deadline: Harness) -> None:
    old = deadline.now - 2 * inbox.KEEP
    await deadline.pool.execute("INSERT INTO inbox VALUES ($1, $2)", uuid4(), old)

    async def forget(by: Freezing | None = None) -> bool:
        async with (by or deadline.unit_of_work).begin() as tx:
            await inbox.forget(tx.connection, deadline.now - inbox.KEEP)
        return True

    freezing, _ = frozen(deadline)
    async with freezing.asleep(forget(freezing)):
        await forget()
    assert await deadline.pool.fetchval("SELECT count(*) FROM inbox") == 0
