"""The walk along a chain of evidence, a bounded number of entries at a time, finds what a whole audit finds."""

import pytest

from shared.domain.topics import ServiceName
from shared.storage import evidence_patrol
from shared.storage.evidence_patrol import ChainVerifier
from tests.fixtures.engine import Harness, OpenHarness

CHANGES = (
    "UPDATE evidence.entry SET detail = '{\"found\":3}' WHERE seq = 13",
    "UPDATE evidence.entry SET hash = prev_hash WHERE seq = 13",
    "DELETE FROM evidence.entry WHERE seq = 13",
    "DELETE FROM evidence.entry WHERE seq BETWEEN 5 AND 17",
    "DELETE FROM evidence.entry WHERE seq > 15",
    "DELETE FROM evidence.entry",
)


@pytest.fixture(autouse=True)
def steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounds of several steps over a short chain."""
    monkeypatch.setattr(evidence_patrol, "STEP", 4)


async def written(harness: Harness, entries: int = 20) -> None:
    subject = await harness.subject()
    async with harness.unit_of_work.begin() as tx:
        for number in range(entries):
            tx.log_evidence(subject, "task.concluded", {"found": number})


async def walked(harness: Harness, patrol: ChainVerifier, steps: int = 7) -> list[tuple[int, bool]]:
    async with harness.pool.acquire() as connection:
        return [await patrol.walk(connection) for _ in range(steps)]


async def tampered(harness: Harness, statement: str) -> None:
    async with harness.pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica")
        await connection.execute(statement)


async def test_a_chain_that_nobody_touched_holds_round_after_round(open_harness: OpenHarness) -> None:
    harness, patrol = await open_harness(), ChainVerifier(ServiceName.ERASURE)
    await written(harness)
    steps = await walked(harness, patrol, 11)
    assert [checked for checked, _ in steps] == [4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4]
    assert not any(broken for _, broken in steps)


async def test_an_empty_chain_holds(open_harness: OpenHarness) -> None:
    harness = await open_harness()
    assert await walked(harness, ChainVerifier(ServiceName.ERASURE), 2) == [(0, False), (0, False)]


async def test_what_is_written_during_a_round_is_a_part_of_it(open_harness: OpenHarness) -> None:
    harness, patrol = await open_harness(), ChainVerifier(ServiceName.ERASURE)
    await written(harness, 6)
    first = await walked(harness, patrol, 1)
    await written(harness, 6)
    assert [*first, *await walked(harness, patrol, 3)] == [(4, False), (4, False), (4, False), (4, False)]


@pytest.mark.parametrize("change", CHANGES)
async def test_whatever_is_changed_or_missing_is_found_within_a_round(open_harness: OpenHarness, change: str) -> None:
    harness, patrol = await open_harness(), ChainVerifier(ServiceName.ERASURE)
    await written(harness)
    await walked(harness, patrol, 3)
    await tampered(harness, change)
    steps = await walked(harness, patrol, 8)
    assert any(broken for _, broken in steps)
    assert steps[-1][1], "it stays broken for as long as it is"


async def test_a_chain_that_was_restored_holds_after_a_whole_round(open_harness: OpenHarness) -> None:
    harness, patrol = await open_harness(), ChainVerifier(ServiceName.ERASURE)
    await written(harness)
    await tampered(harness, "UPDATE evidence.entry SET actor = actor || 'x' WHERE seq = 2")
    assert (await walked(harness, patrol, 1))[0][1]
    await tampered(harness, "UPDATE evidence.entry SET actor = rtrim(actor, 'x') WHERE seq = 2")
    steps = await walked(harness, patrol, 12)
    assert steps[0][1]
    assert not steps[-1][1]
