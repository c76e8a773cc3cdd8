"""The walk along a chain of evidence, a bounded number of entries at a time, finds what a whole audit finds."""

import pytest

from shared import evidence_patrol
from shared.bus.topics import ServiceName
from shared.evidence_patrol import Patrol
from tests.fixtures.engine import Office, OpenOffice

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


async def written(office: Office, entries: int = 20) -> None:
    subject = await office.subject()
    async with office.transactions.begin() as tx:
        for number in range(entries):
            tx.record(subject, "task.concluded", {"found": number})


async def walked(office: Office, patrol: Patrol, steps: int = 7) -> list[tuple[int, bool]]:
    async with office.pool.acquire() as connection:
        return [await patrol.walk(connection) for _ in range(steps)]


async def tampered(office: Office, statement: str) -> None:
    async with office.pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica")
        await connection.execute(statement)


async def test_a_chain_that_nobody_touched_holds_round_after_round(open_office: OpenOffice) -> None:
    office, patrol = await open_office(), Patrol(ServiceName.ERASURE)
    await written(office)
    steps = await walked(office, patrol, 11)
    assert [checked for checked, _ in steps] == [4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4]
    assert not any(broken for _, broken in steps)


async def test_an_empty_chain_holds(open_office: OpenOffice) -> None:
    office = await open_office()
    assert await walked(office, Patrol(ServiceName.ERASURE), 2) == [(0, False), (0, False)]


async def test_what_is_written_during_a_round_is_a_part_of_it(open_office: OpenOffice) -> None:
    office, patrol = await open_office(), Patrol(ServiceName.ERASURE)
    await written(office, 6)
    first = await walked(office, patrol, 1)
    await written(office, 6)
    assert [*first, *await walked(office, patrol, 3)] == [(4, False), (4, False), (4, False), (4, False)]


@pytest.mark.parametrize("change", CHANGES)
async def test_whatever_is_changed_or_missing_is_found_within_a_round(open_office: OpenOffice, change: str) -> None:
    office, patrol = await open_office(), Patrol(ServiceName.ERASURE)
    await written(office)
    await walked(office, patrol, 3)
    await tampered(office, change)
    steps = await walked(office, patrol, 8)
    assert any(broken for _, broken in steps)
    assert steps[-1][1], "it stays broken for as long as it is"


async def test_a_chain_that_was_restored_holds_after_a_whole_round(open_office: OpenOffice) -> None:
    office, patrol = await open_office(), Patrol(ServiceName.ERASURE)
    await written(office)
    await tampered(office, "UPDATE evidence.entry SET actor = actor || 'x' WHERE seq = 2")
    assert (await walked(office, patrol, 1))[0][1]
    await tampered(office, "UPDATE evidence.entry SET actor = rtrim(actor, 'x') WHERE seq = 2")
    steps = await walked(office, patrol, 12)
    assert steps[0][1]
    assert not steps[-1][1]
