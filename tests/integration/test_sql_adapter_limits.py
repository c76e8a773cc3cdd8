"""Limits of a SQL store, for every operation: beyond one it waits for two persons, who confirm the number they saw."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from shared.domain.errors import BlastRadius
from shared.domain.operations import Exceeded, Limit, Operation, TaskOutcome
from shared.downstreams.contract import Pending, Task
from shared.downstreams.sql import export
from shared.downstreams.sql.store import Session
from tests.fixtures.cdr import SqlEngine, each
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
        (Operation.EXPORT, 4),
        (Operation.RECTIFY, 2),
        (Operation.RESTRICT, 2),
        (Operation.SUPPRESS, 2),
    ],
)
async def test_beyond_max_rows_nothing_is_done_until_as_much_is_confirmed_and_no_more_than_that(
    customer_store: CustomerStore, customers: SqlEngine, operation: Operation, found: int
) -> None:
    await customer_store.run(CORRECTABLE)
    before = await customer_store.ask(DUMP)
    asked = of(operation)
    assert exceeded(await customers.one(asked)) == Exceeded(limit=Limit.MAX_ROWS, found=found, allowed=1)
    less = replace(asked, attempt=2, confirmed={"max_rows": found - 1})
    assert exceeded(await customers.one(less)) == Exceeded(limit=Limit.MAX_ROWS, found=found, allowed=found - 1)
    assert await customer_store.ask(DUMP) == before
    done = await customers.receipt(replace(asked, attempt=3, confirmed={"max_rows": found}))
    assert (done.found, done.outcome is TaskOutcome.NO_MATCH) == (found, False)
    assert (await customer_store.ask(DUMP) == before) is (operation is Operation.EXPORT)


async def test_two_people_are_erased_once_two_persons_have_confirmed_that_they_are_one(
    customer_store: CustomerStore, customers: SqlEngine
) -> None:
    await customer_store.run(CORRECTABLE)
    asked = of(Operation.ERASE)
    assert exceeded(await customers.one(asked)) == Exceeded(limit=Limit.MAX_PEOPLE, found=2, allowed=1)
    done = await customers.receipt(replace(asked, attempt=2, confirmed={"max_people": 2}))
    assert done.by_category == {"account": 2, "contact": 2}


@pytest.mark.parametrize("settings", [{"max_rows": 2}])
async def test_an_export_counts_before_it_reads_and_takes_no_more_at_once_than_one_request_may_have(
    customers: SqlEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, reads = export._read, []  # noqa: SLF001  # nothing else tells what was read of the store

    async def watched(session: Session, tasks: Sequence[Task], *more: Mapping[str, object]) -> object:
        reads.append([task.identities[0].value for task in tasks])
        return await read(session, tasks, *more)

    monkeypatch.setattr(export, "_read", watched)
    beyond, first, second = await customers.run(*each(Operation.EXPORT, EMAIL, BORIS, BORIS))
    assert exceeded(beyond).found == 3
    assert receipt(first).found == 2
    assert isinstance(second, Pending)  # it comes again at once, when there is room
    assert reads == [[BORIS.value]]
