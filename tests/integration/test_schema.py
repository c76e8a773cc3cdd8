"""The schema of our own database: created once, refused where another version's is there."""

import asyncio

import pytest

from shared.domain.errors import Misconfigured
from shared.domain.topics import ServiceName
from shared.storage.migrate import migrate, wait_until_migrated
from shared.storage.postgres import PostgresSettings, connect_pool, connected

ANOTHER_VERSION = "UPDATE public.schema_file SET sha256 = '' WHERE name = 'erasure/schema'"


async def test_empty_database_gets_every_file_and_a_second_run_changes_nothing(empty_database: str) -> None:
    applied = await migrate(empty_database)
    assert applied[0] == "platform"
    assert {f"{service}/service" for service in ServiceName} <= set(applied)
    assert await migrate(empty_database) == []


async def test_concurrent_runs_apply_each_file_once(empty_database: str) -> None:
    first, second = await asyncio.gather(migrate(empty_database), migrate(empty_database))
    assert [] in (first, second)
    assert len(first + second) > 2


async def test_schema_of_another_version_is_refused_by_name(database: str) -> None:
    async with connected(database) as connection:
        await connection.execute(ANOTHER_VERSION)

    with pytest.raises(Misconfigured, match="erasure/schema of another version: start with an empty database"):
        await migrate(database)
    with pytest.raises(Misconfigured, match="erasure/schema of another version: start with an empty one"):
        _ = await connect_pool(PostgresSettings(dsn=database), ServiceName.ERASURE)


async def test_waiting_ends_once_another_process_has_applied_the_schema(empty_database: str) -> None:
    waiting = asyncio.create_task(wait_until_migrated(empty_database))

    await migrate(empty_database)

    await waiting


async def test_every_service_has_an_inbox_and_an_outbox_in_its_own_schema(database: str) -> None:
    async with connected(database) as connection:
        rows = await connection.fetch(
            "SELECT schemaname, tablename FROM pg_tables WHERE tablename IN ('inbox', 'outbox')"
        )
    assert {tuple(row) for row in rows} == {(s, table) for s in ServiceName for table in ("inbox", "outbox")}


async def test_everything_that_intake_holds_about_a_request_goes_with_it(database: str) -> None:
    async with connected(database) as connection:
        rows = await connection.fetch(
            "SELECT c.relname, k.confdeltype::text FROM pg_class c"
            " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'request_id'"
            " LEFT JOIN pg_constraint k ON k.conrelid = c.oid AND k.conkey = ARRAY[a.attnum] AND k.contype = 'f'"
            "   AND k.confrelid = 'intake.request'::regclass"
            " WHERE c.relkind = 'r' AND c.relnamespace = 'intake'::regnamespace AND c.relname <> 'request'"
        )
    cascade, set_null = "c", "n"
    assert {table for table, on_delete in rows if on_delete != cascade} == {"breach"}
    assert dict(map(tuple, rows))["breach"] == set_null  # Art. 33(5): the register of breaches has a period of its own
