"""A service's database role may do what the service does, and neither touch another's schema nor change evidence."""

import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import asyncpg
import pytest
from uuid_utils.compat import uuid7

from deploy.local.postgres_databases import as_role
from shared.domain.assignments import AssignedNumber
from shared.domain.conflicts import Conflict, Disagreement
from shared.domain.identities import Identity, IdentityType
from shared.domain.rights import Right
from shared.domain.topics import ServiceName
from shared.storage import grants, suppression
from shared.storage.keyring import Keyring
from shared.storage.migrate import migrate, wait_until_migrated
from shared.storage.postgres import connected
from shared.storage.register import announce, fill, note_conflicts, note_reading
from shared.storage.suppression import Entry
from tests.fixtures.observation import panel_queries


@pytest.fixture
async def roles(empty_database: str) -> AsyncIterator[str]:
    """A migrated database with the roles of erasure, deadline, scaler and dashboards; they are gone afterwards."""
    names = [grants.role(ServiceName.ERASURE), grants.role(ServiceName.DEADLINE), grants.AUTOSCALER, grants.DASHBOARDS]
    owner = await asyncpg.connect(empty_database)
    password = secrets.token_hex(8)
    for name in names:
        await owner.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{password}'")
    await migrate(empty_database)
    try:
        yield password
    finally:
        for name in names:
            await owner.execute(f"DROP OWNED BY {name}")
            await owner.execute(f"DROP ROLE {name}")
        await owner.close()


async def test_a_service_sees_that_the_schema_is_there_and_changes_its_own_tables(
    empty_database: str, roles: str
) -> None:
    dsn = as_role(empty_database, "dsr_erasure", roles)
    await wait_until_migrated(dsn)
    async with connected(dsn) as connection:
        await connection.execute(
            "INSERT INTO erasure.outbox (topic, key, value, headers) VALUES ('t', '\\x00', '\\x00', '\\x00')"
        )
        assert await connection.execute("DELETE FROM erasure.outbox") == "DELETE 1"
        await connection.execute("DELETE FROM vault.sealed WHERE false")
        said = Conflict(b"", "crm", datetime(2026, 1, 1, tzinfo=UTC), None, Disagreement.NOT_IN_REGISTER)
        assert await note_conflicts(connection, [(uuid7(), said)], said.valid_from)
        entry = Entry(b"", uuid7(), Right.ERASURE, "email")
        assert (await suppression.add(connection, [entry], said.valid_from)).total() == 1
    async with connected(as_role(empty_database, "dsr_deadline", roles)) as connection:
        assert await suppression.listed(connection, [b""]) == {b""}
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await suppression.add(connection, [entry], said.valid_from)


async def test_deadline_alone_fills_the_register(empty_database: str, roles: str, keys: Keyring) -> None:
    since = datetime(2026, 1, 1, tzinfo=UTC)
    rows = [AssignedNumber(Identity(IdentityType.PHONE, "+442079460000", since), "C1")]
    async with connected(as_role(empty_database, "dsr_deadline", roles)) as connection:
        assert (await fill(connection, keys, "crm", "crm", rows, since)).learned == 1
        await announce(connection, since)
        await note_reading(connection, "crm", since, None)
    async with connected(as_role(empty_database, "dsr_erasure", roles)) as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await fill(connection, keys, "crm", "crm", rows, since)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 1 FROM intake.request",
        "INSERT INTO export.inbox VALUES (gen_random_uuid(), now())",
        "UPDATE evidence.entry SET actor = 'somebody else'",
        "DELETE FROM evidence.entry",
        "ALTER TABLE evidence.entry DISABLE TRIGGER append_only",
        "CREATE TABLE erasure.mine (id int)",
        "UPDATE register.assignment SET valid_to = now()",
        "UPDATE register.conflict SET settled_at = now()",
        "UPDATE register.suppression SET since = now()",
        "DELETE FROM register.suppression",
    ],
)
async def test_a_service_is_refused_what_is_not_its_own(empty_database: str, roles: str, statement: str) -> None:
    async with connected(as_role(empty_database, "dsr_erasure", roles)) as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)


async def test_the_scaler_counts_tasks_and_sees_nothing_of_whom_they_are_about(empty_database: str, roles: str) -> None:
    async with connected(as_role(empty_database, grants.AUTOSCALER, roles)) as connection:
        count = "SELECT count(*) FROM erasure.task WHERE state = 'ready' AND due_on <= current_date + 2"
        assert await connection.fetchval(count) == 0
        for closed in ("SELECT progress FROM erasure.task", "SELECT 1 FROM vault.subject"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(closed)


async def test_the_dashboards_read_what_their_panels_ask_and_nothing_else(empty_database: str, roles: str) -> None:
    async with connected(as_role(empty_database, grants.DASHBOARDS, roles)) as connection:
        panels = [each for each in panel_queries() if each.source == "postgres"]
        assert panels
        for panel in panels:
            await connection.fetch(
                panel.query.replace("${request_id:sqlstring}", "'0198c5a2-0000-7000-8000-000000000000'")
            )
        for closed in ("SELECT 1 FROM vault.subject", "SELECT 1 FROM intake.request", "DELETE FROM deadline.clock"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(closed)


async def test_migrating_again_changes_nothing(empty_database: str, roles: str) -> None:
    assert roles
    assert await migrate(empty_database) == []
