"""A dataset is drafted from a real database, decided, and compared with it: ``dsr dataset draft`` and ``diff``."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from typer.testing import CliRunner, Result

from services import cli

SCHEMA = """
CREATE SCHEMA crm;
CREATE TABLE customer (realm text, no bigint, email varchar(80) NOT NULL, name text, origin inet, data jsonb,
    email_key text GENERATED ALWAYS AS (lower(email)) STORED, deleted_at timestamptz, PRIMARY KEY (realm, no));
CREATE TABLE purchase (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, number bigint, realm text, total int,
    FOREIGN KEY (realm, number) REFERENCES customer);
CREATE TABLE event (id bigint, at date, purchase_id bigint REFERENCES purchase, PRIMARY KEY (id, at))
    PARTITION BY RANGE (at);
CREATE TABLE event_2026 PARTITION OF event FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE TABLE migration (id int PRIMARY KEY, applied date);
CREATE TABLE crm.remark (id bigint PRIMARY KEY, event_id bigint, event_at date, body text,
    FOREIGN KEY (event_id, event_at) REFERENCES event);
CREATE VIEW customer_view AS SELECT email FROM customer;
INSERT INTO customer VALUES ('x', 1, 'anna.meier@example.org', 'Anna Meier');
"""


async def dsr(*words: str | Path) -> Result:
    """What the command says; it has an event loop of its own."""
    return await asyncio.to_thread(CliRunner().invoke, cli.app, ["dataset", *map(str, words), "--dsn-env", "STORE"])


async def run(dsn: str, statements: str) -> None:
    """Run statements as the owner."""
    connection = await asyncpg.connect(dsn)
    await connection.execute(statements)
    await connection.close()


async def differences(file: Path, status: int) -> list[tuple[Any, ...]]:
    """What ``diff`` tells a program."""
    told = await dsr("diff", file, "--json")
    assert told.stdout, told.exception
    assert told.exit_code == status
    return [(each["kind"], each["table"], each["column"]) for each in json.loads(told.stdout)]


async def test_a_database_is_drafted_decided_and_compared_and_no_row_is_shown(
    empty_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORE", empty_database)
    await run(empty_database, SCHEMA)
    drafted = (await dsr("draft", "--schema", "public", "--schema", "crm")).stdout
    file = tmp_path / "shop.toml"
    file.write_text(drafted)
    assert "nna" not in drafted
    for line in (
        'primary_key = ["realm", "no"]',
        'via = [{ table = "customer", on = { realm = "realm", number = "no" } }]',
        'via = [{ table = "event", on = { event_id = "id", event_at = "at" } }]',
        'via = [{ table = "purchase", on = { purchase_id = "id" } }]',
        "# event is a partitioned table of 1 partitions, which are no tables of their own",
        "# view customer_view (email) shows what is in other tables",
        'email_key = { class = "A?", identity = "email", match = "lower", generated = true, type = "text" }',
        'email = { class = "A?", identity = "email", match = "lower", type = "character varying" }',
        'data = { class = "?", type = "jsonb" }',
        'schema = "crm"',
    ):
        assert line in drafted
    assert "event_2026" not in drafted
    refused = await dsr("diff", file)
    assert "is only guessed" in str(refused.exception)

    table = re.compile(r"\n# no foreign key leads from migration.*?(?=\n# |\n\[tables\.purchase\])", re.DOTALL)
    decided = table.sub("", drafted)
    decided = re.sub(
        "^name = .*$", "name = 'shop'\\nimpersonal = { migration = ['id'] }", decided, count=1, flags=re.MULTILINE
    )
    decided = decided.replace('category = "?"', 'category = "order"').replace('class = "?"', 'class = "M"')
    file.write_text(re.sub(r'class = "(.)\?"', r'class = "\1"', decided))
    assert await differences(file, 1) == [("column_new", "public.migration", "applied")]
    file.write_text(file.read_text().replace("['id']", "['id', 'applied']"))
    assert await differences(file, 0) == []
    again = (await dsr("draft", "--schema", "public", "--schema", "crm", "--over", file)).stdout
    assert "[tables.remark]" in again
    assert '?"' not in again

    await run(
        empty_database,
        "ALTER TABLE customer ADD nickname text, DROP name, ALTER origin TYPE text; DROP TABLE crm.remark;"
        "CREATE TABLE other (id int); CREATE SCHEMA far;"
        "CREATE TABLE far.gift (id int, purchase_id bigint REFERENCES purchase); CREATE TABLE far.unrelated (id int)",
    )
    assert await differences(file, 1) == [
        ("table_gone", "crm.remark", None),
        ("column_gone", "public.customer", "name"),
        ("type_changed", "public.customer", "origin"),
        ("column_new", "public.customer", "nickname"),
        ("table_refers", "far.gift", None),
        ("table_new", "public.other", None),
    ]
    said = (await dsr("diff", file)).stdout
    assert "far.gift refers to purchase (gift_purchase_id_fkey) and is not declared: declare it, with via" in said
    assert "public.customer column origin was inet and is text" in said
    again = (await dsr("draft", "--over", file)).stdout
    assert 'nickname = { class = "A?", type = "text" }  # guess, because its name has \'nickname\'' in again
    assert 'name = { class = "M", type = "text" }  # gone from the database: take it out' in again
