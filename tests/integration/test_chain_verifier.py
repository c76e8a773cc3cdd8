"""Verifying a chain a bounded number of entries at a time finds whatever was changed or is missing."""

import pytest

from shared.domain.topics import ServiceName
from shared.storage.evidence import ChainVerifier
from tests.fixtures.engine import Harness, OpenHarness

CHANGES = (
    "UPDATE evidence.entry SET detail = '{\"found\":3}' WHERE seq = 13",
    "UPDATE evidence.entry SET hash = prev_hash WHERE seq = 13",
    "DELETE FROM evidence.entry WHERE seq = 13",
    "DELETE FROM evidence.entry WHERE seq BETWEEN 5 AND 17",
    "DELETE FROM evidence.entry WHERE seq > 15",
    "DELETE FROM evidence.entry",
)


async def written(harness: Harness, entries: int = 20) -> None:
    subject = await harness.subject()
    async with harness.unit_of_work.begin() as tx:
        for number in range(entries):
            tx.log_evidence(subject, "task.concluded", {"found": number})


async def stepped(harness: Harness, verifier: ChainVerifier, steps: int = 7) -> list[tuple[int, bool]]:
    async with harness.pool.acquire() as connection:
        return [(await verifier.step(connection, 4), verifier.broken_at is not None) for _ in range(steps)]


async def tampered(harness: Harness, statement: str) -> None:
    async with harness.pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica")
        await connection.execute(statement)


async def test_a_chain_that_nobody_touched_holds_round_after_round(open_harness: OpenHarness) -> None:
    harness, verifier = await open_harness(), ChainVerifier(ServiceName.ERASURE)
    await written(harness)
    steps = await stepped(harness, verifier, 11)
    assert [checked for checked, _ in steps] == [4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4]
    assert not any(broken for _, broken in steps)


async def test_an_empty_chain_holds(open_harness: OpenHarness) -> None:
    harness = await open_harness()
    assert await stepped(harness, ChainVerifier(ServiceName.ERASURE), 2) == [(0, False), (0, False)]


async def test_what_is_written_during_a_round_is_a_part_of_it(open_harness: OpenHarness) -> None:
    harness, verifier = await open_harness(), ChainVerifier(ServiceName.ERASURE)
    await written(harness, 6)
    first = await stepped(harness, verifier, 1)
    await written(harness, 6)
    assert [*first, *await stepped(harness, verifier, 3)] == [(4, False), (4, False), (4, False), (4, False)]


@pytest.mark.parametrize("change", CHANGES)
async def test_whatever_is_changed_or_missing_is_found_within_a_round(open_harness: OpenHarness, change: str) -> None:
    harness, verifier = await open_harness(), ChainVerifier(ServiceName.ERASURE)
    await written(harness)
    await stepped(harness, verifier, 3)
    await tampered(harness, change)
    steps = await stepped(harness, verifier, 8)
    assert any(broken for _, broken in steps)
    assert steps[-1][1], "it stays broken for as long as it is"


async def test_a_chain_that_was_restored_holds_after_a_whole_round(open_harness: OpenHarness) -> None:
    harness, verifier = await open_harness(), ChainVerifier(ServiceName.ERASURE)
    await written(harness)
    await tampered(harness, "UPDATE evidence.entry SET actor = actor || 'x' WHERE seq = 2")
    assert (await stepped(harness, verifier, 1))[0][1]
    await tampered(harness, "UPDATE evidence.entry SET actor = rtrim(actor, 'x') WHERE seq = 2")
    steps = await stepped(harness, verifier, 12)
    assert steps[0][1]
    assert not steps[-1][1]
