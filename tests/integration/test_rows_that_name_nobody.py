"""What names nobody is not told, erased or changed for whoever has named its account elsewhere (REQ-N5, REQ-S1)."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from shared.domain.errors import BlastRadius
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import OF_ONE_PERSON, Change, Limit, Operation, ShownRecord
from shared.downstreams.contract import Receipt
from tests.fixtures.cdr import SqlEngine, ask, engine, with_tables
from tests.fixtures.downstream import email, receipt, task

SCHEMA = """
CREATE TABLE customer (id text PRIMARY KEY, email text);
CREATE TABLE contract (id int PRIMARY KEY, customer text REFERENCES customer, tariff text);
CREATE TABLE call (id int PRIMARY KEY, account text, seconds int, kept boolean NOT NULL DEFAULT false);
CREATE TABLE ticket (id int PRIMARY KEY, mail text, account text);
CREATE INDEX ON customer (lower(email)); CREATE INDEX ON call (account); CREATE INDEX ON contract (customer);
CREATE INDEX ON ticket (mail); CREATE INDEX ON ticket (account);
INSERT INTO customer VALUES ('C-7', NULL), ('C-9', 'ada@example.org');
INSERT INTO contract VALUES (1, 'C-7', 'old');
INSERT INTO call VALUES (1, 'C-1', 60, true), (2, 'C-1', 61, false), (3, 'C-9', 62, false);
INSERT INTO ticket VALUES (1, 'mallory@example.org', 'C-1'), (2, 'zed@example.org', 'C-7');
"""
"""C-1 is what an erasure has left of somebody; C-7 never had an address. Mallory and Zed have written under them."""
DATASET = """
name = "shop"
[tables.customer]
category = "customer"
primary_key = ["id"]
person = "id"
columns = { id = { class = "A", identity = "account_id", yields = true }, email = { class = "A", identity = "email", match = "lower" } }
[tables.contract]
category = "note"
primary_key = ["id"]
via = [{ table = "customer", on = { customer = "id" } }]
columns = { id = { class = "T" }, customer = { class = "T" }, tariff = { class = "C" } }
[tables.call]
category = "call"
primary_key = ["id"]
stated = true
columns = { id = { class = "T" }, account = { class = "A", identity = "account_id" }, seconds = { class = "M" }, kept = { class = "T" } }
[tables.ticket]
category = "ticket"
primary_key = ["id"]
columns = { id = { class = "T" }, mail = { class = "A", identity = "email" }, account = { class = "A", identity = "account_id", yields = true } }
"""  # noqa: E501
AT = datetime(2026, 11, 27, tzinfo=UTC)
ALL = "SELECT (SELECT count(*) FROM customer), (SELECT count(*) FROM contract), (SELECT count(*) FROM call)"


@pytest.fixture
async def dsn(empty_database: str) -> str:
    """A shop's database."""
    return await with_tables(empty_database, SCHEMA)


@pytest.fixture
async def shop(dsn: str, tmp_path: Path) -> AsyncIterator[SqlEngine]:
    """Its adapter."""
    (tmp_path / "shop.toml").write_text(DATASET, encoding="utf-8")
    async with engine(dsn, tmp_path / "shop.toml", {}) as shop:
        yield shop


def account(value: str, *, claimed: bool) -> Identity:
    return Identity(IdentityType.ACCOUNT_ID, value, source="desk", level="L2", claimed=claimed)


@pytest.mark.parametrize(
    ("who", "value"),
    [("eve", "C-1"), ("eve", "C-7"), ("mallory", "C-1"), ("zed", "C-7")],
    ids=["elsewhere, calls", "elsewhere, a customer", "in this store, calls", "in this store, a customer"],
)
async def test_who_has_named_an_account_gets_none_of_its_rows(shop: SqlEngine, dsn: str, who: str, value: str) -> None:
    record = ShownRecord(category="call", fields={"seconds": 60})
    for operation in sorted(OF_ONE_PERSON - {Operation.LIFT}):
        asked = replace(task(operation, email(f"{who}@example.org")), system="store")
        changes = (Change(field="seconds", asserted="it was shorter", record=record),)
        asked = replace(asked, changes=changes if operation is Operation.RECTIFY else ())
        known = replace(asked, identities=(*asked.identities, account(value, claimed=True)))
        result = await shop.one(known)
        assert isinstance(result, BlastRadius), (operation, result)
        assert result.exceeded
        assert (result.exceeded.limit, result.exceeded.found) == (Limit.MAX_PEOPLE, 2)
    assert await ask(dsn, ALL) == [(2, 1, 3)]
    assert await ask(dsn, "SELECT count(*) FROM dsr_platform.stated") == [(0,)]


async def test_what_a_row_of_a_store_names_leads_to_nothing_in_the_same_store_and_a_proof_does(shop: SqlEngine) -> None:
    for who, value, theirs in (("mallory", "C-1", {"call": 2}), ("zed", "C-7", {"customer": 1, "note": 1})):
        asked = replace(task(Operation.LOCATE, email(f"{who}@example.org")), system="store")
        stopped = await shop.one(asked)
        assert isinstance(stopped, BlastRadius), stopped
        assert "nothing there shows to be theirs" in str(stopped)
        proved = (*asked.identities, account(value, claimed=False))
        copied = await shop.one(replace(asked, operation=Operation.EXPORT, identities=proved))
        assert isinstance(copied, Receipt), copied
        assert {name: rows for name, rows in copied.by_category.items() if rows} == {**theirs, "ticket": 1}


async def test_two_persons_say_whose_they_are_or_the_account_is_proved_or_the_store_itself_says_so(
    shop: SqlEngine,
) -> None:
    stranger = replace(task(Operation.EXPORT, email("eve@example.org")), system="store")
    claimed = replace(stranger, identities=(*stranger.identities, account("C-1", claimed=True)))
    certain = replace(stranger, identities=(account("C-1", claimed=False),))
    ada = replace(stranger, identities=(email("ada@example.org"), account("C-9", claimed=True)))
    for asked, found in (
        (replace(claimed, confirmed={Limit.MAX_PEOPLE: 3}), {"call": 2, "ticket": 1}),
        (certain, {"call": 2, "ticket": 1}),
        (ada, {"customer": 1, "call": 1}),
    ):
        result = await shop.one(asked)
        assert isinstance(result, Receipt), result
        assert {name: rows for name, rows in result.by_category.items() if rows} == found


async def test_what_stays_shows_still_whose_account_it_is_so_that_the_rest_goes_as_planned(
    shop: SqlEngine, dsn: str
) -> None:
    known = (email("ada@example.org"), account("C-9", claimed=True))
    asked = replace(task(Operation.PLAN, *known), system="store", held=frozenset({"customer"}), at=AT)
    planned, done = [receipt(await shop.one(replace(asked, operation=o))) for o in (Operation.PLAN, Operation.ERASE)]
    assert (planned.found, planned.remaining) == (done.found, done.remaining) == (2, 1)
    assert await ask(dsn, ALL) == [(2, 1, 2)], "her call went, and nothing of anybody else"
    mallory = replace(asked, identities=(email("mallory@example.org"), account("C-1", claimed=True)))
    for operation in (Operation.PLAN, Operation.ERASE):
        assert isinstance(await shop.one(replace(mallory, operation=operation)), BlastRadius)
