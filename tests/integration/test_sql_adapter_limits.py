"""Limits of a SQL store, for every change: beyond one it waits for two persons, who confirm the number they saw."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

import pytest

from shared.domain.errors import BlastRadius
from shared.domain.operations import Exceeded, Limit, Operation, TaskOutcome
from shared.downstreams.contract import Receipt, Record, Task
from shared.downstreams.sql import export
from tests.fixtures.cdr import SqlEngine, each, engine
from tests.fixtures.customer_store import CustomerStore
from tests.fixtures.downstream import email, receipt, task

EMAIL, BORIS = email("anna.meier@example.org"), email("boris@example.org")
DUMP = "SELECT c::text FROM customer c UNION ALL SELECT c::text FROM contact c ORDER BY 1"
CHANGE = [("name", None, "Anna Maier")]
CORRECTABLE = "UPDATE customer SET email = 'anna.meier@example.org' WHERE account_id = 'C2'"
"""Two rows are hers by the address, as each kind of change needs to go beyond a limit of one."""


def of(operation: Operation) -> Task:
    return task(operation, EMAIL, changes=CHANGE if operation is Operation.RECTIFY else ())


def exceeded(result: object) -> Exceeded:
    assert isinstance(result, BlastRadius), result
    assert result.exceeded is not None
    return result.exceeded


@pytest.mark.parametrize("settings", [{"max_rows": 1, "max_people": 2}])
@pytest.mark.parametrize(
    ("operation", "found"),
    [
        (Operation.ERASE, 4),
        (Operation.RECTIFY, 2),
        (Operation.RESTRICT, 2),
        (Operation.SUPPRESS, 2),
    ],
)
async def test_beyond_max_rows_nothing_is_done_until_as_much_is_confirmed_and_no_more_than_that(
    customer_store: CustomerStore, customers: SqlEngine, operation: Operation, found: int
) -> None:
    await customer_store.run(CORRECTABLE)
    if operation is Operation.RESTRICT:
        await customer_store.run("DELETE FROM contact")  # where nothing tells who is restricted
    before = await customer_store.ask(DUMP)
    asked = of(operation)
    assert exceeded(await customers.one(asked)) == Exceeded(limit=Limit.MAX_ROWS, found=found, allowed=1)
    less = replace(asked, attempt=2, confirmed={"max_rows": found - 1})
    assert exceeded(await customers.one(less)) == Exceeded(limit=Limit.MAX_ROWS, found=found, allowed=found - 1)
    assert await customer_store.ask(DUMP) == before
    done = await customers.receipt(replace(asked, attempt=3, confirmed={"max_rows": found}))
    assert (done.found, done.outcome is TaskOutcome.NO_MATCH) == (found, False)
    assert await customer_store.ask(DUMP) != before


async def test_two_people_are_erased_once_two_persons_have_confirmed_that_they_are_one(
    customer_store: CustomerStore, customers: SqlEngine
) -> None:
    await customer_store.run(CORRECTABLE)
    asked = of(Operation.ERASE)
    assert exceeded(await customers.one(asked)) == Exceeded(limit=Limit.MAX_PEOPLE, found=2, allowed=1)
    done = await customers.receipt(replace(asked, attempt=2, confirmed={"max_people": 2}))
    assert done.by_category == {"account": 2, "contact": 2}


@pytest.mark.parametrize("told_by", ["account", "name"])
async def test_people_who_share_an_address_are_told_apart_by_what_their_rows_show_where_nobody_says_it(
    customer_store: CustomerStore, told_by: str
) -> None:
    text = customer_store.dataset.read_text().replace('person = "account_id"\n', "")
    if told_by == "name":
        text = text.replace(', identity = "account_id"', "")
    customer_store.dataset.write_text(text)
    await customer_store.run(CORRECTABLE, "UPDATE customer SET name = 'Yan Meier' WHERE account_id = 'C2'")
    before = await customer_store.ask(DUMP)
    async with engine(customer_store.dsn, customer_store.dataset, {}) as customers:
        asked = of(Operation.ERASE)
        assert exceeded(await customers.one(asked)) == Exceeded(limit=Limit.MAX_PEOPLE, found=2, allowed=1)
    assert await customer_store.ask(DUMP) == before


@pytest.mark.parametrize("settings", [{"max_rows": 1}])
async def test_a_copy_has_no_limit_and_what_is_too_much_to_hold_is_handed_over_while_it_is_read(
    customers: SqlEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts: list[tuple[UUID, list[str]]] = []

    async def hand_over(task_id: UUID, records: Sequence[Record]) -> None:
        parts.append((task_id, [record.category for record in records]))

    async def read() -> list[Receipt]:
        asked = each(Operation.EXPORT, EMAIL, BORIS)
        results = await customers.adapter.export_in_parts(asked, customers.save_progress, hand_over)
        return [receipt(result) for result in results]

    hers, his = await read()
    assert ((hers.found, hers.parts), (his.found, his.parts)) == ((3, 0), (2, 0))
    assert not parts
    whole = sorted(record.category for record in hers.records)
    monkeypatch.setattr(export, "_PART", 2)
    hers, his = await read()
    assert (hers.found, hers.by_category, his.found) == (3, Counter(whole), 2)
    handed = [kind for task_id, kinds in parts if task_id == hers.task_id for kind in kinds]
    assert sorted([*handed, *(record.category for record in hers.records)]) == whole
    assert hers.parts == sum(task_id == hers.task_id for task_id, _ in parts) > 0
