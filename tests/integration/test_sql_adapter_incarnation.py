"""A store that was replaced while a task was worked: the work is done, and no count is told that nobody can know."""

from collections.abc import Sequence
from dataclasses import replace
from subprocess import run
from typing import Any

import pytest
from uuid_utils.compat import uuid7

from deploy.local.postgres_binaries import find_postgres
from shared.domain.errors import Overtaken, Unavailable
from shared.domain.operations import Change, Operation, TaskOutcome, Uncounted
from shared.domain.rights import Right
from shared.downstreams.contract import Checkpoint, Receipt, Result, Task
from shared.downstreams.sql.dialects import schema_for
from shared.downstreams.sql.preparation import StoreUnprepared
from shared.fulfilment.store import NewFulfilment
from shared.storage.postgres import connected
from tests.fixtures.cdr import SqlEngine
from tests.fixtures.customer_store import CustomerStore
from tests.fixtures.downstream import email, task
from tests.fixtures.engine import DUE, OpenHarness, ScriptedSystem, SetClock

EMAIL = email("anna.meier@example.org")
DUMPED: dict[str, Sequence[str]] = {
    "the whole": [],
    "its own tables alone": ["--table=public.*"],
    "our notes alone": ["--schema=dsr_platform"],
}
UNDONE = {
    Operation.ERASE: "true",
    Operation.RESTRICT: "NOT restricted",
    Operation.SUPPRESS: "marketing",
    Operation.RECTIFY: "street <> 'Elm 1'",
}


def about(operation: Operation) -> Task:
    changes = (Change(field="street", asserted="Elm 1"),) if operation is Operation.RECTIFY else ()
    return replace(task(operation, EMAIL), changes=changes)


async def outcome(store: SqlEngine, asked: Task) -> tuple[TaskOutcome, int, Uncounted | None]:
    done = await store.receipt(asked)
    return done.outcome, done.changed, done.uncounted


def dump(store: CustomerStore, options: Sequence[str]) -> str:
    """What makes anew, in SQL, whatever the store holds, or a part of it."""
    command = [str(find_postgres()["pg_dump"]), "--clean", "--if-exists", "--inserts", *options, store.dsn]
    lines = run(command, capture_output=True, check=True, text=True).stdout.splitlines()
    return "\n".join(line for line in lines if not line.startswith("\\"))


async def restore(store: CustomerStore, dumped: str) -> None:
    async with connected(store.dsn) as connection:
        await connection.execute(dumped)


@pytest.mark.parametrize("restored", DUMPED)
@pytest.mark.parametrize("operation", UNDONE)
async def test_whoever_comes_back_to_a_store_that_was_restored_from_a_dump_does_the_work_and_tells_no_count(
    customer_store: CustomerStore, customers: SqlEngine, operation: Operation, restored: str
) -> None:
    if operation is Operation.RESTRICT:
        await customer_store.run("DELETE FROM contact")  # where nothing tells who is restricted
    subject, before = about(operation), dump(customer_store, DUMPED[restored])
    first = await customers.receipt(subject)
    assert (first.uncounted, first.changed > 0) == (None, True)
    await restore(customer_store, before)
    done = TaskOutcome.ERASED if operation is Operation.ERASE else TaskOutcome.AMENDED
    unknown = Receipt(subject.task_id, done, uncounted=Uncounted.STORE_REPLACED)
    again = customers.again(subject)
    assert await customers.receipt(again) == unknown
    assert await customers.receipt(customers.again(again)) == unknown, "what is lost stays lost"
    assert await customer_store.ask(f"SELECT FROM customer WHERE account_id = 'C1' AND {UNDONE[operation]}") == []


async def test_whose_first_attempt_never_reached_the_store_has_nothing_to_doubt(
    customer_store: CustomerStore, customers: SqlEngine
) -> None:
    before, subject = dump(customer_store, []), about(Operation.ERASE)
    await restore(customer_store, before)
    assert await outcome(customers, customers.again(subject)) == (TaskOutcome.ERASED, 3, None)


async def test_a_store_whose_notes_are_lost_is_refused_by_name_and_once_prepared_anew_is_another_store(
    customer_store: CustomerStore, customers: SqlEngine, caplog: pytest.LogCaptureFixture
) -> None:
    begun, fresh = about(Operation.ERASE), about(Operation.RESTRICT)
    assert await outcome(customers, begun) == (TaskOutcome.ERASED, 3, None)
    await customer_store.run("DROP SCHEMA dsr_platform CASCADE")
    for asked in (customers.again(begun), fresh):
        with pytest.raises(StoreUnprepared, match=r"store: .*dsr downstreams prepare"):
            await customers.one(asked)
    await restore(customer_store, schema_for(customer_store.dsn))
    assert await outcome(customers, customers.again(begun)) == (TaskOutcome.ERASED, 0, Uncounted.STORE_REPLACED)
    assert "store is another store than before" in caplog.text
    assert await outcome(customers, customers.again(fresh)) == (TaskOutcome.NO_MATCH, 0, None)


async def test_who_decides_about_the_request_and_the_evidence_are_told_that_nobody_can_know(
    open_harness: OpenHarness, clock: SetClock, customer_store: CustomerStore, customers: SqlEngine
) -> None:
    crm, before = ScriptedSystem("crm"), dump(customer_store, [])

    async def answer_gets_lost(asked: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        await customers.adapter.erase(asked, save_progress)
        return [Unavailable("no answer") for _ in asked]

    crm.answers[Operation.ERASE] = answer_gets_lost
    harness = await open_harness(crm)
    subject = await harness.subject(EMAIL)
    [request] = await harness.open(NewFulfilment(uuid7(), subject, Right.ERASURE, Operation.ERASE, DUE))
    assert await harness.worker("crm").work() == 1
    await restore(customer_store, before)
    clock.pass_by(seconds=8)
    crm.answers[Operation.ERASE] = customers.adapter.erase
    assert await harness.worker("crm").work() == 1
    [report] = harness.completed[0].reports
    assert (report.outcome, report.changed, report.uncounted) == ("erased", 0, "store_replaced")
    noted = "SELECT detail::jsonb FROM evidence.entry WHERE request_id = $1 AND action = 'task.concluded'"
    assert (await harness.pool.fetchval(noted, request))["uncounted"] == "store_replaced"


async def test_a_store_that_is_prepared_again_or_vacuumed_is_still_the_same(
    customer_store: CustomerStore, customers: SqlEngine
) -> None:
    subject = about(Operation.ERASE)
    first = await customers.receipt(subject)
    await restore(customer_store, schema_for(customer_store.dsn))
    await customer_store.run("VACUUM FULL customer")
    assert await customers.receipt(customers.again(subject)) == first


async def test_nothing_is_committed_in_a_store_whose_notes_are_replaced_under_the_hands_of_a_worker(
    customer_store: CustomerStore, customers: SqlEngine
) -> None:
    await customer_store.run("DELETE FROM contact")  # where nothing tells who is restricted
    subject = about(Operation.RESTRICT)

    async def replaced_meanwhile(noted: Any) -> None:
        await customers.save_progress(noted)
        await customer_store.run("UPDATE dsr_platform.incarnation SET id = gen_random_uuid()")

    (late,) = await customers.adapter.amend([subject], replaced_meanwhile)
    assert isinstance(late, Overtaken)
    assert await customer_store.ask("SELECT FROM customer WHERE restricted") == []
    assert await outcome(customers, customers.again(subject)) == (TaskOutcome.AMENDED, 0, Uncounted.STORE_REPLACED)


async def test_what_was_noted_of_a_request_is_forgotten_when_it_is_long_over(
    customer_store: CustomerStore, customers: SqlEngine
) -> None:
    old, recent = about(Operation.RESTRICT), about(Operation.SUPPRESS)
    for each in (old, recent):
        await customers.run(each)
    aged = f"UPDATE dsr_platform.progress SET noted_at = now() - interval '401 days' WHERE task_id = '{old.task_id}'"
    await customer_store.run(aged)
    await customers.adapter.forget()
    assert await customer_store.ask("SELECT task_id FROM dsr_platform.progress") == [(recent.task_id,)]
