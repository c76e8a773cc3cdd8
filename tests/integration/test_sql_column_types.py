"""Rows are found, kept and changed alike whatever the types of their columns: padded codes, long keys, any case."""

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from shared.domain.errors import SystemRefused
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation, TaskOutcome
from shared.systems.states import ErasureRefused
from tests.fixtures.cdr import ask, engine, with_tables
from tests.fixtures.downstream import email, task

ERASE, RECTIFY = Operation.ERASE, Operation.RECTIFY
SCHEMA = """
CREATE EXTENSION IF NOT EXISTS citext;
CREATE TABLE customer (code {0} PRIMARY KEY, email text, city char(20), state char(8), realm char(9));
CREATE TABLE purchase (id {0} PRIMARY KEY, customer {0} REFERENCES customer);
CREATE INDEX ON customer (email); CREATE INDEX ON purchase (customer);
"""
DATASET = """
name = "shop"
[tables.customer]
category = "account"
primary_key = ["code"]
tenant = "realm"
states.open_invoice = { column = "state", in = ["open"] }
[tables.customer.columns]
code = { class = "T" }
email = { class = "A", identity = "email" }
city = { class = "M", rectifies = "address.city", blank = "nowhere" }
state = { class = "T" }
realm = { class = "T" }
[tables.purchase]
category = "order"
primary_key = ["id"]
belongs_to = [{ table = "customer", on = { customer = "code" } }]
[tables.purchase.columns]
id = { class = "T" }
customer = { class = "T" }
"""


UUIDS = [f"0192f0c1-93a0-7cc1-8000-00000000000{n}" for n in (1, 2)]


@pytest.mark.parametrize(
    ("type_", "hers", "joined", "his"),
    [
        ("char(12)", "AB", "AB", "A"),
        ("char(12)", "A", "A", "AB"),
        ("varchar(12)", "AB", "AB", "A"),
        ("citext", "Ab", "aB", "A"),
        ("bigint", "1812345678901234567", "1812345678901234567", "18"),
        ("numeric", "1812345678901234567", "1812345678901234567", "18"),
        ("uuid", UUIDS[0], UUIDS[0], UUIDS[1]),
    ],
)
async def test_rows_of_one_person_are_corrected_and_erased_and_a_state_keeps_the_others(
    empty_database: str, tmp_path: Path, type_: str, hers: str, joined: str, his: str
) -> None:
    dsn = await with_tables(empty_database, SCHEMA.format(type_))
    await ask(dsn, f"INSERT INTO customer VALUES ('{hers}', 'anna@example.org', 'Berlin', 'paid', 'a.example')")
    await ask(dsn, f"INSERT INTO customer VALUES ('{his}', 'boris@example.org', 'Bern', 'open', 'a.example')")
    await ask(dsn, f"INSERT INTO purchase VALUES ('{hers}', '{joined}'), ('{his}', '{his}')")
    (tmp_path / "shop.toml").write_text(DATASET)
    anna, correction = email("anna@example.org"), [("address.city", None, "Bonn")]
    async with engine(dsn, tmp_path / "shop.toml", {"ours": ["a.example"]}) as shop:
        assert isinstance(await shop.one(task(ERASE, email("boris@example.org"))), ErasureRefused)
        assert (await shop.receipt(task(RECTIFY, anna, changes=correction))).by_category == {"account": 1}
        assert await ask(dsn, "SELECT city::text FROM customer ORDER BY email") == [("Bonn",), ("Bern",)]
        done = await shop.receipt(task(ERASE, anna))
    assert (done.outcome, done.by_category) == (TaskOutcome.ERASED, {"account": 1, "order": 1})
    assert await ask(dsn, "SELECT code::text FROM customer") == [(his,)]
    assert await ask(dsn, "SELECT id::text FROM purchase") == [(his,)]


async def test_account_that_is_no_uuid_finds_no_row(empty_database: str, tmp_path: Path) -> None:
    dsn = await with_tables(empty_database, "CREATE TABLE account (id uuid PRIMARY KEY);")
    (tmp_path / "accounts.toml").write_text(
        'name = "accounts"\n[tables.account]\ncategory = "account"\nprimary_key = ["id"]\n'
        '[tables.account.columns]\nid = { class = "A", identity = "account_id" }\n'
    )
    async with engine(dsn, tmp_path / "accounts.toml", {}) as accounts:
        done = await accounts.receipt(task(ERASE, Identity(IdentityType.ACCOUNT_ID, "-" * 33)))
    assert done.outcome is TaskOutcome.NO_MATCH


async def test_rows_that_row_security_hides_are_not_taken_for_none(empty_database: str, tmp_path: Path) -> None:
    """Nothing is done once a policy could hide rows, also between two tasks."""
    dsn = await with_tables(empty_database, "CREATE TABLE letter (id int PRIMARY KEY, sender text);")
    role = f"clerk_{empty_database[-8:]}"
    await ask(dsn, "INSERT INTO letter VALUES (1, 'anna@example.org')")
    await ask(dsn, f"CREATE ROLE {role} LOGIN PASSWORD 'p'")
    for grant in ("ALL ON letter", "ALL ON ALL TABLES IN SCHEMA dsr_platform", "USAGE ON SCHEMA dsr_platform"):
        await ask(dsn, f"GRANT {grant} TO {role}")
    (tmp_path / "letters.toml").write_text(
        'name = "letters"\n[tables.letter]\ncategory = "letter"\nprimary_key = ["id"]\n'
        '[tables.letter.columns]\nid = { class = "T" }\nsender = { class = "A", identity = "email" }\n'
    )
    clerk = urlsplit(dsn)._replace(netloc=f"{role}:p@{dsn.rpartition('@')[2].partition('/')[0]}").geturl()
    try:
        async with engine(clerk, tmp_path / "letters.toml", {}) as letters:
            assert (await letters.receipt(task(Operation.EXPORT, email("anna@example.org")))).found == 1
            await ask(dsn, "ALTER TABLE letter ENABLE ROW LEVEL SECURITY")
            with pytest.raises(SystemRefused, match="row security"):
                await letters.one(task(ERASE, email("anna@example.org")))
        assert await ask(dsn, "SELECT id FROM letter") == [(1,)]
    finally:
        await ask(dsn, f"DROP OWNED BY {role}")
        await ask(dsn, f"DROP ROLE {role}")
