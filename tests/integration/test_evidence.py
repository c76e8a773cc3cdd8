"""Evidence: append-only, and whatever is changed, removed or put elsewhere is found."""

import asyncio
import json
import os
import sys
from datetime import UTC, datetime
from uuid import UUID

import asyncpg
import pytest
from pydantic import JsonValue
from uuid_utils.compat import uuid7

from deploy.local.paths import ROOT
from shared.domain.topics import ServiceName
from shared.storage import evidence
from shared.storage.evidence import ChainVerifier
from tests.fixtures.engine import Harness, OpenHarness

COLUMNS = {
    "chain": "chain = 'export'",
    "seq": "seq = 99",
    "at": "at = at + interval '1 microsecond'",
    "request_id": "request_id = gen_random_uuid()",
    "actor": "actor = 'person:someone-else'",
    "action": "action = 'task.skipped'",
    "detail": """detail = '{"found":3}'""",
    "prev_hash": "prev_hash = hash",
    "hash": "hash = prev_hash",
}
SWAP = """
UPDATE evidence.entry SET seq = -seq WHERE seq IN (4, 5);
UPDATE evidence.entry SET seq = 9 + seq WHERE seq < 0
"""
OTHERWISE_CHANGED = {
    "the first is gone": ("DELETE FROM evidence.entry WHERE seq = 1", 2),
    "one in between is gone": ("DELETE FROM evidence.entry WHERE seq = 5", 6),
    "several are gone": ("DELETE FROM evidence.entry WHERE seq BETWEEN 2 AND 7", 8),
    "the last is gone": ("DELETE FROM evidence.entry WHERE seq = 10", 10),
    "the end is gone": ("DELETE FROM evidence.entry WHERE seq > 8", 9),
    "all are gone": ("DELETE FROM evidence.entry", 1),
    "two have changed places": (SWAP, 4),
}


async def written(harness: Harness, count: int = 5) -> list[UUID]:
    """Entries of as many requests, two of them in each transaction."""
    requests = [uuid7() for _ in range(count)]
    for request in requests:
        async with harness.unit_of_work.begin() as tx:
            tx.log_evidence(request, "task.concluded", {"found": 2, "system": "crm"})
            tx.log_evidence(request, "request.closed", {})
    return requests


async def chain(harness: Harness) -> list[asyncpg.Record]:
    return await harness.pool.fetch("SELECT * FROM evidence.entry ORDER BY seq")


async def tampered(harness: Harness, statement: str) -> None:
    """What somebody with all rights on the database could do."""
    async with harness.pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica")
        await connection.execute(statement)


async def test_a_chain_that_nobody_touched_holds(open_harness: OpenHarness, database: str) -> None:
    harness = await open_harness()
    requests = await written(harness)
    rows = await chain(harness)
    assert [row["seq"] for row in rows] == list(range(1, 11))
    assert [row["request_id"] for row in rows[::2]] == requests
    assert await evidence.verify(database) == {"erasure": None}


@pytest.mark.parametrize("column", COLUMNS)
async def test_a_changed_column_is_found(open_harness: OpenHarness, database: str, column: str) -> None:
    harness = await open_harness()
    await written(harness)
    before = (await chain(harness))[4]
    assert set(before.keys()) == COLUMNS.keys()
    await tampered(harness, f"UPDATE evidence.entry SET {COLUMNS[column]} WHERE seq = 5")
    assert before[column] not in [row[column] for row in await chain(harness) if row["seq"] in {5, 99}]
    assert (await evidence.verify(database))["erasure"] in {5, 6}


@pytest.mark.parametrize(("statement", "broken_at"), OTHERWISE_CHANGED.values(), ids=OTHERWISE_CHANGED)
async def test_whatever_is_missing_or_elsewhere_is_found(
    open_harness: OpenHarness, database: str, statement: str, broken_at: int
) -> None:
    harness = await open_harness()
    await written(harness)
    await tampered(harness, statement)
    assert await evidence.verify(database) == {"erasure": broken_at}


@pytest.mark.parametrize(
    "statement", ["UPDATE evidence.entry SET action = 'x'", "DELETE FROM evidence.entry", "TRUNCATE evidence.entry"]
)
async def test_the_database_refuses_to_change_what_is_on_record(open_harness: OpenHarness, statement: str) -> None:
    harness = await open_harness()
    await written(harness, 1)
    with pytest.raises(asyncpg.RaiseError, match="append-only"):
        await harness.pool.execute(statement)
    assert len(await chain(harness)) == 2


async def test_writers_at_once_make_one_chain(open_harness: OpenHarness, database: str) -> None:
    harness, other = await open_harness(), await open_harness()
    await asyncio.gather(written(harness, 20), written(other, 20))
    assert len(await chain(harness)) == 80
    assert await evidence.verify(database) == {"erasure": None}


async def test_each_service_has_a_chain_of_its_own(open_harness: OpenHarness, database: str) -> None:
    erasure, export = await open_harness(), await open_harness(service=ServiceName.EXPORT)
    await written(erasure, 1)
    await written(export, 1)
    assert not any((await evidence.verify(database)).values())
    assert await erasure.pool.fetchval("SELECT count(*) FROM evidence.head") == 2


async def test_the_command_reads_every_chain_and_ends_with_1_if_one_does_not_hold(
    open_harness: OpenHarness, database: str
) -> None:
    erasure, export = await open_harness(), await open_harness(service=ServiceName.EXPORT)
    await written(erasure, 2)
    await written(export, 2)
    assert await command(database) == (0, ["holds: erasure", "holds: export"])
    await tampered(erasure, "UPDATE evidence.entry SET action = 'x' WHERE chain = 'export' AND seq = 3")
    assert await command(database) == (1, ["holds: erasure", "does not hold: export, from entry 3 on"])
    status, (line,) = await command(database, "--json")
    found = {"erasure": {"holds": True, "broken_at": None}, "export": {"holds": False, "broken_at": 3}}
    assert (status, json.loads(line)) == (1, found)
    await tampered(erasure, "DELETE FROM evidence.head WHERE chain = 'erasure'")
    status, _ = await command(database)
    assert status == 1


async def command(dsn: str, *words: str) -> tuple[int | None, list[str]]:
    """Exit status and lines of ``dsr evidence verify``."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services", "evidence", "verify", *words),
        cwd=ROOT,
        env={**os.environ, "DSR_POSTGRES_DSN": dsn},
        stdout=asyncio.subprocess.PIPE,
    )
    told, _ = await process.communicate()
    return process.returncode, told.decode().splitlines()


async def test_nothing_is_on_record_of_what_was_rolled_back(open_harness: OpenHarness) -> None:
    harness = await open_harness()

    async def fail() -> None:
        async with harness.unit_of_work.begin() as tx:
            tx.log_evidence(uuid7(), "task.concluded", {})
            await tx.flush()
            raise KeyError

    with pytest.raises(KeyError):
        await fail()
    await written(harness, 1)
    assert [row["seq"] for row in await chain(harness)] == [1, 2]


def test_the_hash_of_an_entry_never_changes() -> None:
    fields = (UUID(int=1), "service:erasure", "task.concluded", '{"found":2}')
    at = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
    digest = evidence.digest(evidence.GENESIS, "erasure", 1, at, fields)
    assert digest.hex() == "b17b39007ceb32711d472ef1f3a02e4d981bf262d29b25209ebce3a5d13675c8"


async def stepped(harness: Harness, verifier: ChainVerifier, steps: int = 7) -> list[tuple[int, bool]]:
    async with harness.pool.acquire() as connection:
        return [(await verifier.step(connection, 4), verifier.broken_at is not None) for _ in range(steps)]


async def test_a_chain_that_nobody_touched_holds_round_after_round(open_harness: OpenHarness) -> None:
    harness, verifier = await open_harness(), ChainVerifier(ServiceName.ERASURE)
    await written(harness, 10)
    steps = await stepped(harness, verifier, 11)
    assert [checked for checked, _ in steps] == [4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4]
    assert not any(broken for _, broken in steps)


async def test_an_empty_chain_holds(open_harness: OpenHarness) -> None:
    harness = await open_harness()
    assert await stepped(harness, ChainVerifier(ServiceName.ERASURE), 2) == [(0, False), (0, False)]


async def test_what_is_written_during_a_round_is_a_part_of_it(open_harness: OpenHarness) -> None:
    harness, verifier = await open_harness(), ChainVerifier(ServiceName.ERASURE)
    await written(harness, 3)
    first = await stepped(harness, verifier, 1)
    await written(harness, 3)
    assert [*first, *await stepped(harness, verifier, 3)] == [(4, False), (4, False), (4, False), (4, False)]


@pytest.mark.parametrize("number", [3, 13, 20])
async def test_what_is_changed_during_a_round_is_found_within_the_next(open_harness: OpenHarness, number: int) -> None:
    harness, verifier = await open_harness(), ChainVerifier(ServiceName.ERASURE)
    await written(harness, 10)
    await stepped(harness, verifier, 3)
    await tampered(harness, f"UPDATE evidence.entry SET hash = prev_hash WHERE seq = {number}")
    steps = await stepped(harness, verifier, 8)
    assert any(broken for _, broken in steps)
    assert steps[-1][1], "it stays broken for as long as it is"


async def test_a_chain_that_was_restored_holds_after_a_whole_round(open_harness: OpenHarness) -> None:
    harness, verifier = await open_harness(), ChainVerifier(ServiceName.ERASURE)
    await written(harness, 10)
    await tampered(harness, "UPDATE evidence.entry SET actor = actor || 'x' WHERE seq = 2")
    assert (await stepped(harness, verifier, 1))[0][1]
    await tampered(harness, "UPDATE evidence.entry SET actor = rtrim(actor, 'x') WHERE seq = 2")
    steps = await stepped(harness, verifier, 12)
    assert steps[0][1]
    assert not steps[-1][1]


TYPED: list[JsonValue] = [
    "Ada Lovelace",
    "ada@example.com",
    "+4930123456",
    "Straße",
    "sip:ada@x",
    {"Ada L": 1},
    ["a b"],
]


@pytest.mark.parametrize("typed", TYPED, ids=str)
async def test_what_somebody_has_typed_is_never_put_on_record_as_it_is(
    open_harness: OpenHarness, typed: JsonValue
) -> None:
    harness = await open_harness()
    with pytest.raises(ValueError, match="would hold free text"):
        async with harness.unit_of_work.begin() as tx:
            tx.log_evidence(uuid7(), "decision.made", {"note": typed})
    assert not await chain(harness)
