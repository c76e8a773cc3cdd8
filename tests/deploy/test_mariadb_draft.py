"""A dataset is drafted from a real MariaDB and compared with it: ``dsr dataset draft`` and ``diff``."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from services.cli import main
from tests.fixtures.mariadb import MariaDb, statements_of

SCHEMA = """
CREATE DATABASE shop;
CREATE TABLE shop.customer (
    id int PRIMARY KEY AUTO_INCREMENT, email varchar(190) NOT NULL, name varchar(80), joined date,
    email_key varchar(190) AS (lower(email)) PERSISTENT, deleted_at datetime) ENGINE = InnoDB;
CREATE TABLE shop.profile (
    customer_id int, note text, UNIQUE (customer_id),
    FOREIGN KEY of_customer (customer_id) REFERENCES shop.customer (id)) ENGINE = InnoDB;
CREATE TABLE shop.purchase (
    id int PRIMARY KEY, buyer int NOT NULL, total decimal(9, 2),
    CONSTRAINT bought FOREIGN KEY (buyer) REFERENCES shop.customer (id)) ENGINE = InnoDB;
CREATE TABLE shop.event (id int, at date, PRIMARY KEY (id, at)) ENGINE = InnoDB
    PARTITION BY RANGE (year(at)) (PARTITION p26 VALUES LESS THAN (2027), PARTITION p27 VALUES LESS THAN (2028));
CREATE VIEW shop.customer_view AS SELECT email FROM shop.customer;
INSERT INTO shop.customer (email, name) VALUES ('anna.meier@example.org', 'Anna Meier');
"""
DRAFTED = """\
name = "shop"
# view customer_view (email) shows what is in other tables, which are to be declared instead
[tables.customer]
email = { class = "A?", identity = "email", match = "lower" }  # guess, because its name has 'email'
email_key = { class = "A?", identity = "email", match = "lower", generated = true }  # guess, \
because its name has 'email'
# event is a partitioned table of 2 partitions, which are no tables of their own
primary_key = ["id", "at"]
# profile has no primary key: name the columns that tell its rows apart
belongs_to = [{ table = "customer", on = { customer_id = "id" } }]
# belongs_to is a guess: foreign key bought
belongs_to = [{ table = "customer", on = { buyer = "id" } }]
"""


@pytest.fixture(scope="module")
def server(run_folder: Path) -> Iterator[MariaDb]:
    with MariaDb(run_folder / "mariadb drafted") as started:
        yield started


async def dataset(*words: str) -> Result:
    """Runs the command, which has its own event loop."""
    return await asyncio.to_thread(CliRunner().invoke, main.app, ["dataset", *words, "--dsn-env", "STORE"])


async def test_its_schema_is_drafted_and_compared_and_no_row_is_shown(
    server: MariaDb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await server.run(*statements_of(SCHEMA))
    monkeypatch.setenv("STORE", server.dsn("shop"))
    drafted = await dataset("draft")
    lines = drafted.stdout.splitlines()
    assert [each for each in DRAFTED.splitlines() if each not in lines] == [], drafted.stdout
    assert "nna" not in drafted.stdout
    (file := tmp_path / "shop.toml").write_text(
        'name = "shop"\n'
        '[tables.customer]\ncategory = "account"\nprimary_key = ["id"]\n[tables.customer.columns]\n'
        'id = { class = "T" }\nemail = { class = "A", identity = "email" }\nname = { class = "A" }\n'
        'gone = { class = "T" }\njoined = { class = "M" }\nemail_key = { class = "T" }\n'
    )
    differing = await dataset("diff", str(file), "--json", "--ignore", "event")
    assert differing.exit_code == 1
    assert [(each["kind"], each["table"], each["column"]) for each in json.loads(differing.stdout)] == [
        ("column_gone", "shop.customer", "gone"),
        ("column_new", "shop.customer", "deleted_at"),
        ("table_refers", "shop.profile", None),
        ("table_refers", "shop.purchase", None),
    ]
