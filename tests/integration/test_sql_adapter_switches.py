"""A word of an enumeration honours a restriction in a store."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from shared.domain.errors import NotSupported
from shared.domain.operations import Operation
from tests.fixtures.cdr import SqlEngine, ask, engine, with_tables
from tests.fixtures.downstream import email, task

ANNA = email("anna@example.org")
SCHEMA = """
CREATE TYPE state AS ENUM ('active', 'restricted', 'suspended');
CREATE TABLE customer (id int PRIMARY KEY, email text, state state NOT NULL DEFAULT 'active');
INSERT INTO customer VALUES (1, 'anna@example.org'), (2, 'boris@example.org');
"""
DATASET = """
name = "customers"
[tables.customer]
category = "account"
primary_key = ["id"]
restriction = { column = "state", value = "restricted", otherwise = "active" }
columns = { id = { class = "T" }, email = { class = "A", identity = "email" }, state = { class = "T" } }
"""
STATES = "SELECT id, state::text FROM customer ORDER BY id"


@pytest.fixture
async def dsn(empty_database: str) -> str:
    """The database of some customers."""
    return await with_tables(empty_database, SCHEMA)


@pytest.fixture
async def customers(dsn: str, tmp_path: Path) -> AsyncIterator[SqlEngine]:
    """Its adapter."""
    (tmp_path / "customers.toml").write_text(DATASET, encoding="utf-8")
    async with engine(dsn, tmp_path / "customers.toml", {}) as customers:
        yield customers


async def test_a_restriction_is_put_in_force_and_lifted_and_what_was_there_before_is_there_again(
    customers: SqlEngine, dsn: str
) -> None:
    before = await ask(dsn, STATES)
    restrict = task(Operation.RESTRICT, ANNA)
    assert (await customers.receipt(restrict)).by_category == {"account": 1}
    assert (await customers.receipt(replace(restrict, task_id=task(Operation.RESTRICT).task_id))).changed == 1
    assert await customers.adapter.shown(Operation.RESTRICT) == len(await customers.adapter.shown_of([restrict])) == 1
    assert await ask(dsn, STATES) == [(1, "restricted"), (2, "active")]
    lift = replace(restrict, task_id=task(Operation.LIFT).task_id, operation=Operation.LIFT, attempt=2)
    assert (await customers.receipt(lift)).changed == 1
    assert await ask(dsn, STATES) == before


async def test_a_word_that_nobody_could_put_back_is_left_to_a_person(customers: SqlEngine, dsn: str) -> None:
    await ask(dsn, "UPDATE customer SET state = 'suspended' WHERE id = 1")
    before = await ask(dsn, STATES)
    assert isinstance(await customers.one(task(Operation.RESTRICT, ANNA)), NotSupported)
    assert await ask(dsn, STATES) == before
