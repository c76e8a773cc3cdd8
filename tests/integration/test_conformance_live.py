"""`dsr conformance` on a SQL store that runs: what holds, what does not, and that nobody invented is left there."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from uuid_utils.compat import uuid7

from deploy.local import postgres_databases as databases
from shared.domain.clock import SystemClock
from shared.downstreams.conformance import live
from shared.downstreams.conformance.findings import Finding, Word
from shared.downstreams.conformance.people import PREFIX
from shared.downstreams.registry import Wiring, send_nothing
from shared.storage.postgres import connected
from tests.fixtures.customer_store import CustomerStore, lay

TABLE = """
[customers]
adapter = "sql"
dsn_env = "STORE"
dataset = "customers.toml"
needs = ["email"]
yields = ["account_id", "phone", "name", "email"]
categories = ["account"]

[customers.conformance]
"""
SEEDED = """
rectify = { field = "name", asserted = "Corrected Quarzfels" }
seed = { sql = ["INSERT INTO customer (account_id, name, email) VALUES ({key}, {name}, {email})"] }
sweep = { sql = ["DELETE FROM customer WHERE account_id LIKE {key} || '%'"] }
without_permission = { STORE = "READER" }
within_s = 5
"""


@dataclass
class Store:
    """A customer database, and the file that declares it."""

    store: CustomerStore
    file: Path
    environment: dict[str, str]

    def declare(self, conformance: str) -> None:
        """Writes the downstreams file."""
        self.file.write_text(TABLE + conformance)

    async def examined(self) -> dict[str, Finding]:
        """What comes of it."""
        wiring = Wiring(self.environment, SystemClock(), send_nothing, b"")
        return {**(await live.examine(self.file, wiring))["customers"]}

    async def people(self) -> list[Any]:
        """Who is in the database."""
        return [row[0] for row in await databases.fetch(self.store.dsn, "SELECT email FROM customer ORDER BY 1")]


@pytest.fixture
async def store(postgres_dsn: str, tmp_path: Path) -> AsyncIterator[Store]:
    name = f"conformance_{uuid7().hex[-12:]}"
    dsn = await databases.create(postgres_dsn, name)
    laid = await lay(dsn, tmp_path)
    async with connected(dsn) as connection:
        await connection.execute(
            f"CREATE ROLE {name} LOGIN PASSWORD 'reader';"
            f"GRANT USAGE ON SCHEMA dsr_platform TO {name};"
            f"GRANT SELECT ON ALL TABLES IN SCHEMA public, dsr_platform TO {name}"
        )
    at = urlsplit(dsn)
    reader = at._replace(netloc=f"{name}:reader@{at.netloc.rpartition('@')[2]}").geturl()
    yield Store(laid, tmp_path / "downstreams.toml", {"STORE": dsn, "READER": reader})
    await databases.drop(postgres_dsn, name)
    async with connected(postgres_dsn) as connection:
        await connection.execute(f"DROP ROLE {name}")


async def test_a_store_that_does_what_it_declares_says_yes_and_nobody_invented_is_left(store: Store) -> None:
    store.declare(SEEDED)
    before = await store.people()
    found = await store.examined()
    assert found.pop("row of two people").word is Word.SKIPPED, "it has no such rows"
    added = {found.pop(name).word for name in ("empty field filled", "statement beside")}
    assert added <= {Word.SKIPPED, Word.NOT_DECLARED}, "nothing of these was seeded or declared"
    assert {name: each for name, each in found.items() if each.word is not Word.YES} == {}
    assert found["gone on the second look"].seconds is not None
    assert found["kill in the middle"].reason == "killed at 4 notes, ended as if it had not been"
    assert "that this role may write" in found["missing permission named"].reason
    assert await store.people() == before


async def test_a_store_that_brings_back_what_was_erased_says_no(store: Store) -> None:
    store.declare(SEEDED)
    async with connected(store.store.dsn) as connection:
        await connection.execute(
            "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
            "CREATE TRIGGER keep BEFORE DELETE ON customer FOR EACH ROW"
            f" WHEN (OLD.account_id LIKE '{PREFIX}%') EXECUTE FUNCTION keep()"
        )
    found = await store.examined()
    assert found["erased"].word is Word.NO
    assert found["exported"].word is Word.YES


async def test_what_an_earlier_run_has_left_is_swept_by_its_prefix_alone(store: Store) -> None:
    store.declare(SEEDED)
    before = await store.people()
    add = f"INSERT INTO customer (account_id, name, email) VALUES ('{PREFIX}old-1', 'x', '{PREFIX}old-1@example.com')"
    await databases.fetch(store.store.dsn, add)
    wiring = Wiring(store.environment, SystemClock(), send_nothing, b"")
    assert await live.sweep(store.file, wiring) == ["customers"]
    assert await store.people() == before


async def test_neighbours_whose_addresses_contain_another_are_swept_too(store: Store) -> None:
    by_address = "DELETE FROM customer WHERE email LIKE {email} || '%'"
    store.declare(SEEDED.replace("DELETE FROM customer WHERE account_id LIKE {key} || '%'", by_address))
    before = await store.people()
    found = await store.examined()
    assert found["exported"].word is Word.YES
    assert await store.people() == before
