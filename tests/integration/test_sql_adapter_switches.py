"""What honours a restriction or an objection in a store: a word of an enumeration, or rows of another table."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from shared.domain.errors import NotSupported
from shared.domain.operations import Operation, Unsearched
from tests.fixtures.cdr import SqlEngine, ask, engine, with_tables
from tests.fixtures.downstream import email, task

ANNA = email("anna@example.org")
SCHEMA = """
CREATE TYPE state AS ENUM ('active', 'restricted', 'suspended');
CREATE TABLE customer (id int PRIMARY KEY, email text, state state NOT NULL DEFAULT 'active');
CREATE TABLE mailing (id int PRIMARY KEY, customer_id int NOT NULL REFERENCES customer, list text NOT NULL);
CREATE TABLE held (customer_id int NOT NULL, cause text NOT NULL, request uuid);
INSERT INTO customer VALUES (1, 'anna@example.org'), (2, 'boris@example.org');
INSERT INTO mailing VALUES (1, 1, 'news'), (2, 1, 'bills'), (3, 2, 'news');
INSERT INTO held VALUES (2, 'art18', NULL);
"""
WORD = 'restriction = { column = "state", value = "restricted", otherwise = "active" }'
ROWS = (
    'restriction = { table = "held", on = { customer_id = "id" }, values = { cause = "art18" }, request = "request" }'
)
DATASET = """
name = "customers"
[tables.customer]
category = "account"
primary_key = ["id"]
marketing = { table = "mailing", on = { customer_id = "id" }, values = { list = "news" }, present = false }
columns = { id = { class = "T" }, email = { class = "A", identity = "email" }, state = { class = "T" } }
"""
STATES, HELD = "SELECT id, state::text FROM customer ORDER BY id", "SELECT customer_id, cause FROM held ORDER BY 1"


@pytest.fixture
async def dsn(empty_database: str) -> str:
    """The database of some customers."""
    return await with_tables(empty_database, SCHEMA)


@pytest.fixture(params=[WORD, ROWS], ids=["word", "rows"])
async def customers(dsn: str, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[SqlEngine]:
    """Its adapter."""
    written = DATASET.replace("marketing =", f"{request.param}\nmarketing =")
    (tmp_path / "customers.toml").write_text(written, encoding="utf-8")
    async with engine(dsn, tmp_path / "customers.toml", {}) as customers:
        yield customers


async def test_lifted_restriction_restores_the_former_state(customers: SqlEngine, dsn: str) -> None:
    before = (await ask(dsn, STATES), await ask(dsn, HELD))
    restrict = task(Operation.RESTRICT, ANNA)
    assert (await customers.receipt(restrict)).by_category == {"account": 1}
    assert (await customers.receipt(replace(restrict, task_id=task(Operation.RESTRICT).task_id))).changed == 1
    assert await customers.adapter.shown(Operation.RESTRICT) == len(await customers.adapter.shown_of([restrict])) + (
        len(before[1]) if before[0] == await ask(dsn, STATES) else 0
    )
    assert (await ask(dsn, STATES), await ask(dsn, HELD)) != before
    lift = replace(restrict, task_id=task(Operation.LIFT).task_id, operation=Operation.LIFT, attempt=2)
    assert (await customers.receipt(lift)).changed == 1
    assert (await ask(dsn, STATES), await ask(dsn, HELD)) == before


@pytest.mark.parametrize("customers", [WORD], indirect=True)
async def test_a_word_that_nobody_could_put_back_is_left_to_a_person(customers: SqlEngine, dsn: str) -> None:
    await ask(dsn, "UPDATE customer SET state = 'suspended' WHERE id = 1")
    before = await ask(dsn, STATES)
    assert isinstance(await customers.one(task(Operation.RESTRICT, ANNA)), NotSupported)
    assert await ask(dsn, STATES) == before


async def test_whoever_wants_no_marketing_leaves_the_list_and_nobody_else_does(customers: SqlEngine, dsn: str) -> None:
    assert (await customers.receipt(task(Operation.SUPPRESS, ANNA))).by_category == {"account": 1}
    assert await ask(dsn, "SELECT id FROM mailing ORDER BY id") == [(2,), (3,)]
    assert (await customers.receipt(task(Operation.SUPPRESS, ANNA))).found == 1


async def test_stop_of_marketing_needs_nothing_by_which_other_tables_are_searched(dsn: str, tmp_path: Path) -> None:
    await ask(dsn, "CREATE TABLE call (id int PRIMARY KEY, caller text, began timestamptz)")
    calls = """
[tables.call]
category = "call"
primary_key = ["id"]
occurred = { column = "began" }
columns.id = { class = "T" }
columns.caller = { class = "A", identity = "phone" }
columns.began = { class = "M" }
"""
    (tmp_path / "customers.toml").write_text(DATASET + calls, encoding="utf-8")
    async with engine(dsn, tmp_path / "customers.toml", {}) as customers:
        stopped = await customers.receipt(task(Operation.SUPPRESS, ANNA))
        copied = await customers.receipt(task(Operation.EXPORT, ANNA))
    assert (stopped.found, stopped.not_searched) == (1, None)
    assert copied.not_searched is Unsearched.NOTHING_TO_SEARCH_BY
