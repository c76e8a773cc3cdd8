"""Migrations: each applied once, in order, and never edited afterwards."""

import asyncio

import pytest

from shared.domain.errors import Misconfigured
from shared.domain.topics import ServiceName
from shared.storage.migrate import migrate
from shared.storage.postgres import connected


async def test_an_empty_database_gets_every_migration_and_a_second_run_has_nothing_to_do(empty_database: str) -> None:
    applied = await migrate(empty_database)
    assert applied[:2] == ["platform/001_vault", "platform/002_evidence"]
    assert {f"{service}/service/001_bus" for service in ServiceName} <= set(applied)
    assert await migrate(empty_database) == []


async def test_two_that_migrate_at_once_do_it_once(empty_database: str) -> None:
    first, second = await asyncio.gather(migrate(empty_database), migrate(empty_database))
    assert [] in (first, second)
    assert len(first + second) > 2


async def test_a_migration_that_was_edited_since_is_refused_by_name(database: str) -> None:
    async with connected(database) as connection:
        await connection.execute("UPDATE public.migration SET sha256 = '' WHERE name = 'erasure/service/001_bus'")
    with pytest.raises(Misconfigured, match="erasure/service/001_bus"):
        await migrate(database)


async def test_every_service_has_an_inbox_and_an_outbox_in_its_own_schema(database: str) -> None:
    async with connected(database) as connection:
        rows = await connection.fetch(
            "SELECT schemaname, tablename FROM pg_tables WHERE tablename IN ('inbox', 'outbox')"
        )
    assert {tuple(row) for row in rows} == {(s, table) for s in ServiceName for table in ("inbox", "outbox")}
