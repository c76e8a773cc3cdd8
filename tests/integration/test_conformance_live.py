"""`dsr conformance` on a running SQL store: what holds, what does not, and that no invented person is left."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from typer.testing import CliRunner, Result
from uuid_utils.compat import uuid7

from deploy.local import postgres_databases as databases
from deploy.local.postgres_databases import as_role
from services.cli import main
from shared.domain.clock import SystemClock
from shared.storage.postgres import connected
from shared.systems.check import check
from shared.systems.conformance import live
from shared.systems.conformance.checks import PREFIX, CheckResult, Verdict
from shared.systems.registry import Wiring, refuse_to_send
from shared.systems.sql.notes import schema_for
from tests.fixtures.cdr import ask, with_tables
from tests.fixtures.customer_store import CustomerStore, lay
from tests.fixtures.policy import nothing_kept
from tests.unit.test_registry import publish

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

    async def examined(self) -> dict[str, CheckResult]:
        wiring = Wiring(self.environment, SystemClock(), refuse_to_send, b"")
        return {**(await live.examine(self.file, wiring))["customers"]}

    async def people(self) -> list[Any]:
        """Returns the people in the database."""
        return [row[0] for row in await databases.fetch(self.store.dsn, "SELECT email FROM customer ORDER BY 1")]


@pytest.fixture
async def store(postgres_dsn: str, tmp_path: Path) -> AsyncIterator[Store]:
    name = f"conformance_{uuid7().hex[-12:]}"
    dsn = await databases.create(postgres_dsn, name)
    laid = await lay(dsn, tmp_path)
    yield Store(laid, tmp_path / "downstreams.toml", {"STORE": dsn})
    await databases.drop(postgres_dsn, name)


async def test_conforming_store_passes_and_keeps_no_invented_person(store: Store) -> None:
    store.declare(SEEDED)
    before = await store.people()
    found = await store.examined()
    assert found.pop("row of two people").verdict is Verdict.SKIPPED, "it has no such rows"
    assert {name: each for name, each in found.items() if each.verdict is not Verdict.YES} == {}
    assert found["gone on the second look"].seconds is not None
    assert found["kill in the middle"].reason == "killed at 4 notes, ended as if it had not been"
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
    assert found["erased"].verdict is Verdict.NO
    assert found["exported"].verdict is Verdict.YES


async def test_what_an_earlier_run_has_left_is_swept_by_its_prefix_alone(store: Store) -> None:
    store.declare(SEEDED)
    before = await store.people()
    add = f"INSERT INTO customer (account_id, name, email) VALUES ('{PREFIX}old-1', 'x', '{PREFIX}old-1@example.com')"
    await databases.fetch(store.store.dsn, add)
    wiring = Wiring(store.environment, SystemClock(), refuse_to_send, b"")
    assert await live.sweep(store.file, wiring) == ["customers"]
    assert await store.people() == before


async def test_neighbours_whose_addresses_contain_another_are_swept_too(store: Store) -> None:
    by_address = "DELETE FROM customer WHERE email LIKE {email} || '%'"
    store.declare(SEEDED.replace("DELETE FROM customer WHERE account_id LIKE {key} || '%'", by_address))
    before = await store.people()
    found = await store.examined()
    assert found["exported"].verdict is Verdict.YES
    assert await store.people() == before


# A dataset is drafted from a real database, decided, and compared with it: ``dsr dataset draft`` and ``diff``.
SCHEMA = """
CREATE TABLE customer (realm text, no bigint, email varchar(80) NOT NULL, name text, origin inet, data jsonb,
    email_key text GENERATED ALWAYS AS (lower(email)) STORED, deleted_at timestamptz, PRIMARY KEY (realm, no));
CREATE TABLE purchase (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, number bigint, realm text, total int,
    FOREIGN KEY (realm, number) REFERENCES customer);
CREATE TABLE event (id bigint, at date, purchase_id bigint REFERENCES purchase, PRIMARY KEY (id, at))
    PARTITION BY RANGE (at);
CREATE TABLE event_2026 PARTITION OF event FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE TABLE migration (id int PRIMARY KEY, applied date);
CREATE TABLE remark (id bigint PRIMARY KEY, event_id bigint, event_at date, body text,
    FOREIGN KEY (event_id, event_at) REFERENCES event);
CREATE VIEW customer_view AS SELECT email FROM customer;
INSERT INTO customer VALUES ('x', 1, 'anna.meier@example.org', 'Anna Meier');
"""


async def dsr(*words: str | Path) -> Result:
    """Runs the command, which has its own event loop."""
    return await asyncio.to_thread(CliRunner().invoke, main.app, ["dataset", *map(str, words), "--dsn-env", "STORE"])


async def run(dsn: str, statements: str) -> None:
    """Run statements as the owner."""
    connection = await asyncpg.connect(dsn)
    await connection.execute(statements)
    await connection.close()


async def differences(file: Path, status: int, *more: str) -> list[tuple[Any, ...]]:
    """Returns the differences that ``diff`` prints as JSON."""
    printed = await dsr("diff", file, "--json", *more)
    assert printed.stdout, printed.exception
    assert printed.exit_code == status
    return [(each["kind"], each["table"], each["column"]) for each in json.loads(printed.stdout)]


async def test_database_becomes_a_dataset(empty_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORE", empty_database)
    await run(empty_database, SCHEMA)
    drafted = (await dsr("draft")).stdout
    file = tmp_path / "shop.toml"
    file.write_text(drafted)
    assert "nna" not in drafted
    for line in (
        'primary_key = ["realm", "no"]',
        'belongs_to = [{ table = "customer", on = { realm = "realm", number = "no" } }]',
        'belongs_to = [{ table = "event", on = { event_id = "id", event_at = "at" } }]',
        'belongs_to = [{ table = "purchase", on = { purchase_id = "id" } }]',
        "# event is a partitioned table of 1 partitions, which are no tables of their own",
        "# view customer_view (email) shows what is in other tables",
        'email_key = { class = "A?", identity = "email", match = "lower", generated = true }',
        'email = { class = "A?", identity = "email", match = "lower" }',
        'data = { class = "?" }',
    ):
        assert line in drafted
    assert "event_2026" not in drafted
    refused = await dsr("diff", file)
    assert "is only guessed" in str(refused.exception)

    table = re.compile(r"\n# no foreign key leads from migration.*?(?=\n# |\n\[tables\.purchase\])", re.DOTALL)
    decided = table.sub("", drafted)
    decided = decided.replace('category = "?"', 'category = "order"').replace('class = "?"', 'class = "M"')
    file.write_text(re.sub(r'class = "(.)\?"', r'class = "\1"', decided))
    assert await differences(file, 1) == [("table_new", "public.migration", None)]
    assert await differences(file, 0, "--ignore", "migration") == []
    again = (await dsr("draft", "--over", file)).stdout
    assert "[tables.remark]" in again
    assert '?"' not in again.partition("[tables.migration]")[0]

    await run(
        empty_database,
        "ALTER TABLE customer ADD nickname text, DROP name; DROP TABLE remark;"
        "CREATE TABLE other (id int); CREATE SCHEMA far;"
        "CREATE TABLE far.gift (id int, purchase_id bigint REFERENCES purchase); CREATE TABLE far.unrelated (id int)",
    )
    assert await differences(file, 1, "--ignore", "migration") == [
        ("column_gone", "public.customer", "name"),
        ("column_new", "public.customer", "nickname"),
        ("table_gone", "public.remark", None),
        ("table_refers", "far.gift", None),
        ("table_new", "public.other", None),
    ]
    said = (await dsr("diff", file)).stdout
    assert (
        "far.gift refers to purchase (gift_purchase_id_fkey) and is not declared: declare it, with belongs_to" in said
    )
    again = (await dsr("draft", "--over", file)).stdout
    assert "nickname = { class = \"A?\" }  # guess, because its name has 'nickname'" in again
    assert 'name = { class = "M" }  # gone from the database: take it out' in again


# A check of a live store reports all differences from its declaration together, and changes nothing.
TABLE_OF_INSPECTION = '[shop]\nadapter = "sql"\ndsn_env = "STORE"\ndataset = "customers.toml"\nneeds = {needs}\n'


async def faults(folder: Path, dsn: str, needs: str = '["account_id", "email", "phone"]') -> list[str]:
    """Returns the faults of a check."""
    (folder / "downstreams.toml").write_text(TABLE_OF_INSPECTION.format(needs=needs))
    wiring = Wiring({"STORE": dsn}, SystemClock(), publish, b"", policy=nothing_kept())
    (shop,) = await check(folder / "downstreams.toml", wiring)
    assert shop.live, shop.faults
    return [fault.says for fault in shop.faults]


async def test_check_names_missing_or_unclassified_columns(customer_store: CustomerStore, tmp_path: Path) -> None:
    assert await faults(tmp_path, customer_store.dsn) == []
    await customer_store.run(
        "ALTER TABLE customer ADD COLUMN nickname text, ADD COLUMN shoe_size int, DROP COLUMN born",
        "DROP TABLE contact",
        "CREATE ROLE shop_reader LOGIN PASSWORD 'shop'",
        "GRANT SELECT ON customer TO shop_reader",
        "GRANT DELETE ON number_assignment TO shop_reader",
        "GRANT SELECT (account_id, e164) ON number_assignment TO shop_reader",
    )
    try:
        found = await faults(tmp_path, as_role(customer_store.dsn, "shop_reader", "shop"))
    finally:
        await customer_store.run("DROP OWNED BY shop_reader", "DROP ROLE shop_reader")
    grant = "this role may not do what is declared: let the owner run GRANT"
    assert found == [
        "public.customer has no column born, which customer.columns declares: correct the dataset",
        "public.customer has columns that the dataset does not classify: nickname, shoe_size; give each a class",
        f'{grant} UPDATE ("restricted") ON "public"."customer" TO shop_reader',
        f'{grant} UPDATE ("marketing") ON "public"."customer" TO shop_reader',
        f'{grant} UPDATE ("email", "name", "street") ON "public"."customer" TO shop_reader',
        f'{grant} DELETE ON "public"."customer" TO shop_reader',
        f'{grant} SELECT ("valid_from", "valid_to") ON "public"."number_assignment" TO shop_reader',
        "public.contact is declared and does not exist: correct its name, or the namespace of the table",
    ]


async def test_printed_grants_can_be_run_unchanged(empty_database: str, tmp_path: Path) -> None:
    role = f"dsr_{empty_database.rpartition('_')[2]}"
    store = await with_tables(
        empty_database,
        f"""CREATE TABLE "user" ("order" int PRIMARY KEY, "E-Mail" text);
        CREATE ROLE {role} LOGIN PASSWORD 'x';""",
    )
    (tmp_path / "customers.toml").write_text(
        """
        name = "customers"
        [tables.user]
        category = "account"
        primary_key = ["order"]
        columns = { order = { class = "T" }, E-Mail = { class = "A", identity = "email", rectifies = "email" } }
        """
    )
    theirs = as_role(store, role, "x")
    try:
        async with connected(store) as owner:
            await owner.execute(schema_for(theirs))
            for _ in range(3):  # what is granted lets it see what else is missing
                for said in await faults(tmp_path, theirs, '["email"]'):
                    await owner.execute(said.partition("let the owner run ")[2])
        assert await faults(tmp_path, theirs, '["email"]') == []
    finally:
        await ask(store, f"DROP OWNED BY {role}")
        await ask(store, f"DROP ROLE {role}")
