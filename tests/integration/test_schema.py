"""The schema of our own database: created once, refused where another version's is there."""

import asyncio
import secrets
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import uvloop
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from uuid_utils.compat import uuid7

from deploy.local.postgres_databases import as_role
from shared.domain.assignments import AssignedNumber, ConflictKind, RegisterConflict
from shared.domain.errors import Misconfigured
from shared.domain.identities import Identity, IdentityType
from shared.domain.rights import Right
from shared.domain.topics import ServiceName
from shared.messaging import inbox
from shared.messaging.admin import create_topics, declared
from shared.storage import grants, suppression
from shared.storage.keyring import Keyring
from shared.storage.migrate import migrate, wait_until_migrated
from shared.storage.postgres import (
    UNAVAILABLE,
    PostgresSettings,
    allow_long_idle,
    connect_pool,
    connected,
    keep_alive,
    update_rows,
)
from shared.storage.register import announce, fill, record_conflicts, record_reading
from shared.storage.suppression import SuppressionEntry
from tests.fixtures.engine import Harness, SetClock
from tests.fixtures.observation import panel_queries

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

    applied = await migrate(empty_database)
    await waiting

    assert "platform" in applied


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
    deleted_by_name = {"recipient_notice", "request_lookup"}  # a check of each row is dear while a request is written
    assert {table for table, on_delete in rows if on_delete != cascade} == {"incident", *deleted_by_name}
    assert dict(map(tuple, rows))["incident"] == set_null  # Art. 33(5): the record of incidents has a period of its own


# Which topics there are, and for how long they keep what was sent.
async def test_topics_are_made_once_with_the_retention_that_the_code_declares(kafka_bootstrap: str) -> None:
    names = [f"test.admin.{uuid7().hex}.{part}" for part in "ab"]
    await create_topics(kafka_bootstrap, names[:1])
    await create_topics(kafka_bootstrap, names)
    await create_topics(kafka_bootstrap, names)
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_bootstrap)
    await admin.start()
    try:
        assert set(names) <= set(await admin.list_topics())
        [answer] = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, names[0])])
        [(*_, entries)] = answer.resources
    finally:
        await admin.close()
    assert {entry[0]: entry[1] for entry in entries}["retention.ms"] == str(7 * 24 * 3600 * 1000)


def test_every_topic_of_the_platform_is_declared() -> None:
    assert set(declared(["billing"])) == {
        "dsr.requests",
        *(f"dsr.completions.{service}" for service in ("erasure", "export", "amendment")),
        *("dsr.deadlines", "dsr.notices", "dsr.deliveries"),
        "dsr.status",
        "user.events.selfcare",
        "user.events.numbering",
        *(f"dsr.dead-letters.{service}" for service in ServiceName),
        "dsr.tasks.billing",
        "dsr.tasks.billing.replies",
    }


# The helpers of the platform's own database.
async def test_many_rows_are_updated_by_their_key_and_no_other_row_is_touched(empty_database: str) -> None:
    async with connected(empty_database) as connection:
        await connection.execute("CREATE TABLE thing (id uuid PRIMARY KEY, name text, size int)")
        ids = [UUID(int=n) for n in range(3)]
        await connection.executemany("INSERT INTO thing VALUES ($1, 'old', 0)", [(each,) for each in ids])
        await update_rows(
            connection, "thing", "id", {"name": "text", "size": "int"}, [(ids[0], "a", 1), (ids[2], None, 3)]
        )
        await update_rows(connection, "thing", "id", {"name": "text"}, [])
        assert [tuple(row) for row in await connection.fetch("SELECT name, size FROM thing ORDER BY id")] == [
            ("a", 1),
            ("old", 0),
            (None, 3),
        ]


async def test_the_kernel_asks_whether_the_database_s_machine_is_still_there(database: str) -> None:
    pool = await connect_pool(PostgresSettings(dsn=database), ServiceName.ERASURE)
    async with pool.acquire() as connection:
        own: Any = connection
        reached = own._transport.get_extra_info("socket")  # noqa: SLF001  # only the socket knows
        timeouts = [reached.getsockopt(socket.IPPROTO_TCP, n) for n in (socket.TCP_KEEPIDLE, socket.TCP_USER_TIMEOUT)]
        assert (bool(reached.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)), timeouts) == (True, [2, 5_000])
    await pool.close()


def test_a_connection_that_is_lost_as_soon_as_it_is_made_is_an_outage_and_no_wrong_value(database: str) -> None:
    """To such a connection uvloop gives a file descriptor of -1."""

    async def lose() -> None:
        async with connected(database) as connection:
            own: Any = connection
            own._transport.abort()  # noqa: SLF001  # as when its server is gone
            with pytest.raises(UNAVAILABLE):
                keep_alive(connection)

    uvloop.run(lose())


async def test_a_connection_goes_back_to_the_pool_without_what_its_last_user_set_or_left_open(database: str) -> None:
    pool = await connect_pool(PostgresSettings(dsn=database, pool_size=2), ServiceName.ERASURE, reserved=1)
    usual = await pool.fetchval("SHOW idle_in_transaction_session_timeout")
    with pytest.raises(ValueError, match="given up"):
        async with pool.acquire() as connection, connection.transaction(), allow_long_idle(connection):
            raise ValueError("given up")
    async with pool.acquire() as connection:
        own: Any = connection
        left = own.transaction()
        await left.start()
        left_by = await own.fetchval("SELECT pg_backend_pid()")
    async with pool.acquire() as connection:
        assert await connection.fetchval("SELECT pg_backend_pid()") == left_by
        assert not connection.is_in_transaction()
        assert await connection.fetchval("SHOW idle_in_transaction_session_timeout") == usual
    await pool.close()


# The inbox: a repeated event has no effect.
async def test_concurrent_consumers_handle_an_event_once(harness: Harness, clock: SetClock) -> None:
    event = uuid7()
    async with harness.pool.acquire() as one, harness.pool.acquire() as other:
        first = one.transaction()
        await first.start()
        assert await inbox.fresh(one, [event], clock.now()) == {event}
        waiting = asyncio.create_task(inbox.fresh(other, [event], clock.now()))
        await first.commit()
        assert await waiting == set()


async def test_marks_are_forgotten_after_the_brokers_retention(harness: Harness, clock: SetClock) -> None:
    old, young = uuid7(), uuid7()
    async with harness.pool.acquire() as connection:
        await inbox.fresh(connection, [old], clock.now())
        clock.pass_by(days=8)
        await inbox.fresh(connection, [young], clock.now())
        assert await inbox.forget(connection, clock.now() - inbox.KEEP) == 0
        clock.at += inbox.KEEP - timedelta(days=7)
        assert await inbox.forget(connection, clock.now() - inbox.KEEP) == 1
        assert await inbox.fresh(connection, [old, young], clock.now()) == {old}


async def test_marks_are_pruned_in_batches(harness: Harness, clock: SetClock) -> None:
    async with harness.pool.acquire() as connection:
        await inbox.fresh(connection, [uuid7() for _ in range(5)], clock.now())
        clock.at += inbox.KEEP + timedelta(seconds=1)
        forgotten = [await inbox.forget(connection, clock.now() - inbox.KEEP, limit=3) for _ in range(3)]
    assert forgotten == [3, 2, 0]


# A service's database role may do what the service does, and neither touch another's schema nor change evidence.
@pytest.fixture
async def roles(database: str) -> AsyncIterator[str]:
    """A migrated database with some roles, which are gone afterwards."""
    services = (ServiceName.ERASURE, ServiceName.DEADLINE, ServiceName.CORRESPONDENCE)
    names = [*map(grants.role, services), grants.AUTOSCALER, grants.DASHBOARDS]
    owner = await asyncpg.connect(database)
    password = secrets.token_hex(8)
    for name in names:
        await owner.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{password}'")
    await migrate(database)
    try:
        yield password
    finally:
        for name in names:
            await owner.execute(f"DROP OWNED BY {name}")
            await owner.execute(f"DROP ROLE {name}")
        await owner.close()


async def test_service_sees_the_schema_and_changes_its_own_tables(database: str, roles: str) -> None:
    dsn = as_role(database, "dsr_erasure", roles)
    await wait_until_migrated(dsn)
    async with connected(dsn) as connection:
        await connection.execute(
            "INSERT INTO erasure.outbox (topic, key, value, headers) VALUES ('t', '\\x00', '\\x00', '\\x00')"
        )
        assert await connection.execute("DELETE FROM erasure.outbox") == "DELETE 1"
        await connection.execute("DELETE FROM vault.sealed WHERE false")
        said = RegisterConflict(b"", "crm", datetime(2026, 1, 1, tzinfo=UTC), None, ConflictKind.NOT_IN_REGISTER)
        assert await record_conflicts(connection, [(uuid7(), said)], said.valid_from)
        entry = SuppressionEntry(b"", uuid7(), Right.ERASURE, "email")
        assert (await suppression.add(connection, [entry], said.valid_from)).total() == 1
    async with connected(as_role(database, "dsr_deadline", roles)) as connection:
        assert await suppression.listed(connection, [b""]) == {b""}
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await suppression.add(connection, [entry], said.valid_from)


async def test_deadline_alone_fills_the_register(database: str, roles: str, keys: Keyring) -> None:
    since = datetime(2026, 1, 1, tzinfo=UTC)
    rows = [AssignedNumber(Identity(IdentityType.PHONE, "+442079460000", since), "C1")]
    async with connected(as_role(database, "dsr_deadline", roles)) as connection:
        assert (await fill(connection, keys, "crm", "crm", rows, since)).learned == 1
        await announce(connection, since)
        await record_reading(connection, "crm", since, None)
    async with connected(as_role(database, "dsr_erasure", roles)) as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await fill(connection, keys, "crm", "crm", rows, since)


REFUSED = {
    "dsr_erasure": (
        "SELECT 1 FROM intake.request",
        "INSERT INTO export.inbox VALUES (gen_random_uuid(), now())",
        "UPDATE evidence.entry SET actor = 'another'",
        "DELETE FROM evidence.entry",
        "ALTER TABLE evidence.entry DISABLE TRIGGER append_only",
        "CREATE TABLE erasure.mine (id int)",
        "UPDATE register.assignment SET valid_to = now()",
        "UPDATE register.conflict SET settled_at = now()",
        "UPDATE register.suppression SET since = now()",
        "DELETE FROM register.suppression",
    ),
    "dsr_correspondence": (
        *("DELETE FROM vault.sealed", "SELECT 1 FROM vault.legal_hold", "SELECT 1 FROM register.assignment"),
    ),
    grants.AUTOSCALER: ("SELECT progress FROM erasure.task", "SELECT 1 FROM vault.subject"),
    grants.DASHBOARDS: (
        *("SELECT 1 FROM vault.subject", "SELECT 1 FROM intake.request", "DELETE FROM deadline.clock"),
    ),
}


async def test_a_role_is_refused_what_is_not_its_own(database: str, roles: str, subtests: pytest.Subtests) -> None:
    for role, statements in REFUSED.items():
        async with connected(as_role(database, role, roles)) as connection:
            for statement in statements:
                with subtests.test(statement, role=role), pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await connection.execute(statement)


async def test_a_role_reads_what_it_needs(database: str, roles: str) -> None:
    panels = [each.query for each in panel_queries() if each.source == "postgres"]
    assert panels
    some_id = "'0198c5a2-0000-7000-8000-000000000000'"
    for role, queries in {
        "dsr_correspondence": ["SELECT count(*) FROM vault.sealed"],
        grants.AUTOSCALER: ["SELECT count(*) FROM erasure.task WHERE state = 'ready' AND due_on <= current_date + 2"],
        grants.DASHBOARDS: [each.replace("${request_id:sqlstring}", some_id) for each in panels],
    }.items():
        async with connected(as_role(database, role, roles)) as connection:
            for query in queries:
                await connection.fetch(query)


async def test_migrating_again_changes_nothing(database: str, roles: str) -> None:
    assert roles
    assert await migrate(database) == []
