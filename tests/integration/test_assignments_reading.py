"""The platform itself reads the register, once for all processes; a reading that loses too much is not believed."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import REGISTRY

from services.deadline.assignments import LOOP, Reader
from shared.domain.assignments import AssignedNumber
from shared.domain.assignments_policy import Readings, assignments_policy
from shared.domain.errors import Unavailable
from shared.domain.identities import Identity, IdentityType
from shared.runtime.liveness import Heartbeats
from tests.fixtures.engine import Harness, OpenHarness, ScriptedSystem, SetClock

SINCE = datetime(2025, 1, 1, tzinfo=UTC)
BELIEVED = Readings(lost_anyway=1, most_lost_share=0.1)
NUMBERS = 30


@dataclass
class Source(ScriptedSystem):
    """Says whose numbers are whose; ``lost``: those that it no longer knows; ``failure``: what it fails with."""

    assigns: bool = True
    lost: int = 0
    failure: Exception | None = None
    readings: list[int] = field(default_factory=list)

    async def assignments(self) -> Sequence[AssignedNumber]:
        if self.failure is not None:
            raise self.failure
        self.readings.append(NUMBERS - self.lost)
        numbers = (Identity(IdentityType.PHONE, f"+4420794600{n:02}", SINCE) for n in range(self.lost, NUMBERS))
        return [AssignedNumber(number, f"C{n}") for n, number in enumerate(numbers, self.lost)]


async def opened(open_harness: OpenHarness, source: Source) -> tuple[Harness, Reader]:
    harness = await open_harness(source)
    await harness.stand(crm="on")
    return harness, reader(harness, source)


def reader(harness: Harness, source: Source) -> Reader:
    return Reader(harness.unit_of_work, source.declared, timedelta(hours=1), BELIEVED, Heartbeats())


async def an_hour_later(harness: Harness) -> None:
    """The turn of whoever has read is over."""
    assert isinstance(harness.unit_of_work.clock, SetClock)
    harness.unit_of_work.clock.pass_by(hours=1)
    await harness.pool.execute("UPDATE lease SET held_until = now() WHERE name = $1", LOOP)


async def held(harness: Harness) -> int:
    return int(await harness.pool.fetchval("SELECT count(*) FROM register.assignment WHERE valid_to IS NULL"))


def shown(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, {"system": "crm", **labels})


async def test_of_several_processes_one_reads_and_none_again_before_it_is_time(open_harness: OpenHarness) -> None:
    source = Source("crm")
    harness, first = await opened(open_harness, source)
    second = reader(harness, source)
    for each in (first, second, first):
        await each.look()
    assert (source.readings, await held(harness)) == ([NUMBERS], NUMBERS)
    assert shown("dsr_assignments_read_timestamp_seconds") == harness.unit_of_work.clock.now().timestamp()
    await an_hour_later(harness)
    for each in (second, first):
        await each.look()
    assert source.readings == [NUMBERS] * 2
    assert shown("dsr_assignments_read_timestamp_seconds") == harness.unit_of_work.clock.now().timestamp()


async def test_a_reading_that_loses_more_than_is_believed_ends_nothing_until_the_source_is_whole_again(
    open_harness: OpenHarness,
) -> None:
    source = Source("crm")
    harness, one = await opened(open_harness, source)
    await one.look()
    read_at = shown("dsr_assignments_read_timestamp_seconds")
    for lost, left, failed in ((4, NUMBERS, 1), (0, NUMBERS, 0), (3, NUMBERS - 3, 0)):
        source.lost = lost
        await an_hour_later(harness)
        await one.look()
        assert (await held(harness), shown("dsr_assignments_reading_failed", reason="too_much_lost")) == (left, failed)
        assert (shown("dsr_assignments_read_timestamp_seconds") == read_at) is bool(failed), "its age goes on"


@pytest.mark.parametrize(("failure", "reason"), [(Unavailable("away"), "unavailable"), (ValueError("C7"), "failed")])
async def test_a_source_that_fails_leaves_the_register_as_it_was_and_is_asked_again_within_a_minute(
    open_harness: OpenHarness, failure: Exception, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    source = Source("crm")
    harness, one = await opened(open_harness, source)
    await one.look()
    await an_hour_later(harness)
    source.failure = failure
    await one.look()
    assert (await held(harness), shown("dsr_assignments_reading_failed", reason=reason)) == (NUMBERS, 1)
    again = "SELECT held_until <= now() + interval '1 minute' FROM lease WHERE name = $1"
    assert await harness.pool.fetchval(again, LOOP)
    assert "C7" not in caplog.text
    source.failure = None
    await an_hour_later(harness)
    await one.look()
    assert (len(source.readings), shown("dsr_assignments_reading_failed", reason=reason)) == (2, 0)


async def test_a_source_that_is_quarantined_or_declared_in_another_way_is_not_read(open_harness: OpenHarness) -> None:
    source = Source("crm")
    harness, one = await opened(open_harness, source)
    await harness.stand(crm="quarantined")
    await one.look()
    await harness.stand(crm="on")
    source.fingerprint = "changed since it was accepted"
    await reader(harness, source).look()
    assert source.readings == []


def test_the_policy_that_ships_lets_a_reading_lose_a_fiftieth() -> None:
    believed = assignments_policy().readings
    assert [believed.most_lost(known) for known in (0, 100, 10_000)] == [5, 5, 200]
