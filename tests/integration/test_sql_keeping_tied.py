"""What a rule keeps of rows that refer to their person by a foreign key, and not by a join of the dataset."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from shared.domain.errors import ForeignHit
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation, TaskOutcome
from shared.downstreams.contract import Task
from tests.fixtures.cdr import SqlEngine, ask, engine, with_tables
from tests.fixtures.mobile import RULE, about, deferred
from tests.fixtures.policy import signed_policy

SCHEMA = """
CREATE TABLE customer (id int PRIMARY KEY, email text, name text, kept boolean);
CREATE TABLE usage (id int PRIMARY KEY, customer int REFERENCES customer, started date, dialled text, cell text,
    kept boolean);
CREATE INDEX ON customer (email); CREATE INDEX ON usage (customer);
INSERT INTO customer VALUES (1, 'anna@example.org', 'Anna'), (2, 'boris@example.org', 'Boris'),
    (3, 'chiara@example.org', 'Chiara');
INSERT INTO usage VALUES (1, 1, '2025-04-01', '+491', 'c'), (2, 1, '2024-12-01', '+492', 'c'),
    (3, 2, '2024-12-01', '+493', 'c'), (4, 3, '2026-09-01', '+494', 'c');
"""
KEPT = 'kept = { column = "kept", value = true }\n'
DATASET = f"""
name = "calls"
[tables.customer]
category = "account"
primary_key = ["id"]
{KEPT}[tables.customer.columns]
id = {{ class = "A", identity = "account_id", yields = true }}
email = {{ class = "A", identity = "email" }}
name = {{ class = "A" }}
kept = {{ class = "T" }}
[tables.usage]
category = "call_record"
primary_key = ["id"]
occurred = {{ column = "started" }}
anchors = {{ call_start = {{ column = "started" }} }}
{KEPT}[tables.usage.keeps.fields]
caller_name = []
caller_address = []
caller_number = []
called_number = ["dialled"]
call_date = ["started"]
call_time = []
call_length = []
[tables.usage.columns]
id = {{ class = "T" }}
customer = {{ class = "A", identity = "account_id" }}
started = {{ class = "M" }}
dialled = {{ class = "B" }}
cell = {{ class = "M" }}
kept = {{ class = "T" }}
"""


@pytest.fixture
async def dsn(empty_database: str) -> str:
    """A database whose calls have the account of whoever made them, and refer to it."""
    return await with_tables(empty_database, SCHEMA)


@pytest.fixture
async def calls(dsn: str, tmp_path: Path) -> AsyncIterator[SqlEngine]:
    """Its adapter, where rules are signed."""
    (tmp_path / "calls.toml").write_text(DATASET, encoding="utf-8")
    async with engine(dsn, tmp_path / "calls.toml", {}, signed_policy()) as calls:
        yield calls


def of(who: str, account: str, operation: Operation = Operation.ERASE) -> Task:
    """A task about a customer who was located."""
    known = about(f"{who}@example.org", operation)
    return replace(known, identities=(*known.identities, Identity(IdentityType.ACCOUNT_ID, account, source="store")))


async def left(dsn: str) -> list[tuple[object, ...]]:
    """What is left in both tables."""
    return await ask(dsn, "SELECT 'c', id, name, kept FROM customer UNION SELECT 'u', id, cell, kept FROM usage")


async def test_a_customer_stays_reduced_with_the_calls_that_a_rule_keeps_and_refer_to_them(
    calls: SqlEngine, dsn: str
) -> None:
    assert not await calls.adapter.inspect()
    first = of("anna", "1")
    plan = await calls.receipt(of("anna", "1", Operation.PLAN))
    done, other = [await calls.receipt(first), await calls.receipt(of("boris", "2"))]
    assert (done.outcome, done.ground, done.changed, other.outcome) == (
        *(TaskOutcome.RETAINED, RULE, 1),
        TaskOutcome.ERASED,
    )
    assert (plan.found, plan.by_category, plan.kept) == (done.found, done.by_category, done.kept)
    assert {(each.category, each.count, each.last) for each in done.kept or ()} == {
        ("call_record", 1, date(2026, 10, 1)),
        ("account", 1, date(2026, 10, 1)),
    }
    assert set(await left(dsn)) == {
        ("c", 1, None, True),
        ("u", 1, None, True),
        ("c", 3, "Chiara", None),
        ("u", 4, "c", None),
    }
    last = await calls.receipt(deferred(first, datetime(2026, 10, 2, 12, tzinfo=UTC)))
    assert (last.outcome, set(await left(dsn))) == (TaskOutcome.ERASED, {("c", 3, "Chiara", None), ("u", 4, "c", None)})


async def test_a_customer_stays_whole_with_the_calls_that_a_hold_covers(calls: SqlEngine, dsn: str) -> None:
    before = await left(dsn)
    done = await calls.receipt(replace(of("anna", "1"), held=frozenset({"call_record"})))
    assert (done.outcome, done.changed, {each.category for each in done.kept or ()}) == (
        *(TaskOutcome.RETAINED, 0),
        {"call_record", "account"},
    )
    assert set(await left(dsn)) == set(before)


async def test_a_customer_that_could_not_be_restricted_is_named_by_the_check_and_by_the_erasure(
    calls: SqlEngine, dsn: str, tmp_path: Path
) -> None:
    (tmp_path / "open.toml").write_text(DATASET.replace(KEPT, "", 1), encoding="utf-8")
    async with engine(dsn, tmp_path / "open.toml", {}, signed_policy()) as unrestricted:
        [says] = await unrestricted.adapter.inspect()
        assert "write kept = " in says
        refused = await unrestricted.one(of("anna", "1"))
    assert isinstance(refused, ForeignHit)
    assert "since they are kept or somebody else's" in str(refused)
    stranger = await calls.one(replace(of("boris", "2"), identities=of("boris", "9").identities))
    assert isinstance(stranger, ForeignHit), "calls of an account that is not found to be theirs stop it still"
