"""Evidence: append-only, and whatever is changed, removed or put elsewhere is found."""

import asyncio
import os
import sys
from datetime import UTC, datetime
from uuid import UUID

import asyncpg
import pytest
from uuid_utils.compat import uuid7

from deploy.local.paths import ROOT
from shared import evidence
from shared.bus.topics import ServiceName
from tests.fixtures.engine import Office, OpenOffice

CHANGES = [
    ("chain", "chain = 'export'"),
    ("seq", "seq = 99"),
    ("at", "at = at + interval '1 microsecond'"),
    ("request_id", "request_id = gen_random_uuid()"),
    ("actor", "actor = 'person:someone-else'"),
    ("action", "action = 'task.skipped'"),
    ("detail", """detail = '{"found":3}'"""),
    ("prev_hash", "prev_hash = hash"),
    ("hash", "hash = prev_hash"),
]


async def written(office: Office, count: int = 5) -> list[UUID]:
    """Entries of as many requests, two of them in each transaction."""
    requests = [uuid7() for _ in range(count)]
    for request in requests:
        async with office.transactions.begin() as tx:
            tx.record(request, "task.concluded", {"found": 2, "system": "crm"})
            tx.record(request, "request.closed", {})
    return requests


async def chain(office: Office) -> list[asyncpg.Record]:
    return await office.pool.fetch("SELECT * FROM evidence.entry ORDER BY seq")


async def tampered(office: Office, statement: str) -> None:
    """What somebody with all rights on the database could do."""
    async with office.pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica")
        await connection.execute(statement)


async def test_a_chain_that_nobody_touched_holds(open_office: OpenOffice) -> None:
    office = await open_office()
    requests = await written(office)
    rows = await chain(office)
    assert [row["seq"] for row in rows] == list(range(1, 11))
    assert [row["request_id"] for row in rows[::2]] == requests
    assert evidence.first_break(rows) is None
    async with office.pool.acquire() as connection:
        assert await evidence.audit(connection, "erasure") is None


@pytest.mark.parametrize(("column", "change"), CHANGES, ids=[column for column, _ in CHANGES])
async def test_a_changed_column_is_found(open_office: OpenOffice, column: str, change: str) -> None:
    office = await open_office()
    await written(office)
    before = (await chain(office))[4]
    await tampered(office, f"UPDATE evidence.entry SET {change} WHERE seq = 5")
    assert before[column] not in [row[column] for row in await chain(office) if row["seq"] in {5, 99}]
    assert evidence.first_break(await chain(office)) is not None


async def test_every_column_is_covered(open_office: OpenOffice) -> None:
    office = await open_office()
    await written(office, 1)
    assert {column for column, _ in CHANGES} == set((await chain(office))[0].keys())


@pytest.mark.parametrize("seq", [1, 5, 9])
async def test_a_deleted_entry_is_found(open_office: OpenOffice, seq: int) -> None:
    office = await open_office()
    await written(office)
    await tampered(office, f"DELETE FROM evidence.entry WHERE seq = {seq}")
    assert evidence.first_break(await chain(office)) == ("erasure", seq + 1)


async def test_a_deleted_end_is_found_by_the_audit(open_office: OpenOffice) -> None:
    office = await open_office()
    await written(office)
    await tampered(office, "DELETE FROM evidence.entry WHERE seq > 8")
    assert evidence.first_break(await chain(office)) is None
    async with office.pool.acquire() as connection:
        assert await evidence.audit(connection, "erasure") == ("erasure", 9)


async def test_two_entries_that_changed_places_are_found(open_office: OpenOffice) -> None:
    office = await open_office()
    await written(office)
    await tampered(office, "UPDATE evidence.entry SET seq = -seq WHERE seq IN (4, 5)")
    await tampered(office, "UPDATE evidence.entry SET seq = 9 + seq WHERE seq < 0")
    assert evidence.first_break(await chain(office)) == ("erasure", 4)


@pytest.mark.parametrize(
    "statement",
    ["UPDATE evidence.entry SET action = 'x'", "DELETE FROM evidence.entry", "TRUNCATE evidence.entry"],
)
async def test_the_database_refuses_to_change_what_is_on_record(open_office: OpenOffice, statement: str) -> None:
    office = await open_office()
    await written(office, 1)
    with pytest.raises(asyncpg.RaiseError, match="append-only"):
        await office.pool.execute(statement)
    assert len(await chain(office)) == 2


async def test_writers_at_once_make_one_chain(open_office: OpenOffice) -> None:
    office, other = await open_office(), await open_office()
    await asyncio.gather(written(office, 20), written(other, 20))
    rows = await chain(office)
    assert len(rows) == 80
    assert evidence.first_break(rows) is None


async def test_each_service_has_a_chain_of_its_own(open_office: OpenOffice) -> None:
    erasure, export = await open_office(), await open_office(service=ServiceName.EXPORT)
    await written(erasure, 1)
    await written(export, 1)
    async with erasure.pool.acquire() as connection:
        assert await evidence.audit(connection, "erasure") is None
        assert await evidence.audit(connection, "export") is None
    assert await erasure.pool.fetchval("SELECT count(*) FROM evidence.head") == 2


async def test_the_command_reads_every_chain_and_ends_with_1_if_one_does_not_hold(
    open_office: OpenOffice, database: str
) -> None:
    erasure, export = await open_office(), await open_office(service=ServiceName.EXPORT)
    await written(erasure, 2)
    await written(export, 2)
    assert await command(database) == (0, ["holds: erasure", "holds: export"])
    await tampered(erasure, "UPDATE evidence.entry SET action = 'x' WHERE chain = 'export' AND seq = 3")
    assert await command(database) == (1, ["holds: erasure", "does not hold: export, from entry 3 on"])
    await tampered(erasure, "DELETE FROM evidence.head WHERE chain = 'erasure'")
    status, _ = await command(database)
    assert status == 1


async def command(dsn: str) -> tuple[int | None, list[str]]:
    """Exit status and lines of ``python -m shared.audit``."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "shared.audit"),
        cwd=ROOT,
        env={**os.environ, "DSR_POSTGRES_DSN": dsn},
        stdout=asyncio.subprocess.PIPE,
    )
    told, _ = await process.communicate()
    return process.returncode, told.decode().splitlines()


async def test_nothing_is_on_record_of_what_was_rolled_back(open_office: OpenOffice) -> None:
    office = await open_office()

    async def fail() -> None:
        async with office.transactions.begin() as tx:
            tx.record(uuid7(), "task.concluded", {})
            await tx.flush()
            raise KeyError

    with pytest.raises(KeyError):
        await fail()
    await written(office, 1)
    assert [row["seq"] for row in await chain(office)] == [1, 2]


def test_the_hash_of_an_entry_never_changes() -> None:
    fields = (UUID(int=1), "service:erasure", "task.concluded", '{"found":2}')
    at = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
    digest = evidence.digest(evidence.GENESIS, "erasure", 1, at, fields)
    assert digest.hex() == "b17b39007ceb32711d472ef1f3a02e4d981bf262d29b25209ebce3a5d13675c8"
