"""Fencing in a store: a worker that slept changes nothing, and a crash doubles no count."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from subprocess import run
from typing import Any
from uuid import uuid4

import pytest
from uuid_utils.compat import uuid7

from deploy.demo.seed.cdr import CdrStore
from deploy.local import postgres_databases as databases
from deploy.local.postgres import Postgres, find_postgres
from shared.domain.clock import SystemClock
from shared.domain.errors import Overtaken, Unavailable
from shared.domain.identities import Identity
from shared.domain.operations import Change, CountUnknown, Operation, TaskOutcome
from shared.domain.rights import Right
from shared.fulfilment.store import NewFulfilment
from shared.storage.postgres import connected
from shared.systems.check import check
from shared.systems.commands import statements
from shared.systems.contract import Checkpoint, Receipt, Result, Task
from shared.systems.registry import Wiring
from shared.systems.sql.notes import schema_for
from shared.systems.sql.server import StoreUnprepared
from shared.systems.sql.settings import SqlSettings
from shared.systems.sql.system import SqlSystem
from tests.fixtures.cdr import ANNA, BORIS, SqlEngine, ask, call, engine, number
from tests.fixtures.customer_store import CustomerStore, lay
from tests.fixtures.downstream import email, receipt, task
from tests.fixtures.engine import DUE, OpenHarness, ScriptedSystem, SetClock
from tests.fixtures.live import eventually
from tests.fixtures.policy import nothing_kept
from tests.unit.test_registry import publish

EMAIL = email("anna.meier@example.org")
FLAGS = "SELECT account_id FROM customer WHERE restricted"
HELD_AT_ITS_END = """
CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NULL; END';
CREATE CONSTRAINT TRIGGER hold AFTER DELETE ON contact DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION hold();
"""
WAITING = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"


def asleep(*identities: Identity, operation: Operation, changes: Sequence[Change] = ()) -> tuple[Task, Task]:
    """A task in the hands of a worker that has fallen asleep, and the same one in those of its heir."""
    first = replace(task(operation, *identities), opened_and_stage=(1_000, 1), changes=tuple(changes))
    return first, replace(first, attempt=2)


def lift_of(restriction: Task) -> Task:
    """The task that ends that restriction: decided later, and taken up for the first time."""
    return replace(restriction, task_id=uuid4(), operation=Operation.LIFT, opened_and_stage=(2_000, 0), attempt=1)


async def outcome(store: SqlEngine, asked: Task) -> TaskOutcome:
    return (await store.receipt(asked)).outcome


async def test_store_ends_the_session_of_a_lost_worker_before_its_heir_waits_5_s(customer_store: CustomerStore) -> None:
    settings = SqlSettings(dsn_env="STORE", dataset=str(customer_store.dataset))
    store = SqlSystem("store", settings, {"STORE": customer_store.dsn})
    async with store.server.connection() as connection:
        rows = await connection.fetch("SELECT name, setting::int FROM pg_settings WHERE setting ~ '^[0-9]+$'")
    await store.close()
    limits = {row[0]: row[1] for row in rows}
    assert limits["idle_in_transaction_session_timeout"] == limits["tcp_user_timeout"] == 4_000
    assert limits["client_connection_check_interval"] == 500
    assert limits["tcp_keepalives_idle"] + limits["tcp_keepalives_interval"] * limits["tcp_keepalives_count"] == 4


@pytest.mark.parametrize("heir", [True, False], ids=["its heir restricted", "it never came to the store"])
async def test_late_worker_sets_no_old_flag(customer_store: CustomerStore, customers: SqlEngine, *, heir: bool) -> None:
    await customer_store.run("DELETE FROM contact")  # it cannot show a restriction
    sleeper, awake = asleep(EMAIL, operation=Operation.RESTRICT)
    if heir:
        assert await outcome(customers, awake) is TaskOutcome.AMENDED
        assert await customer_store.ask(FLAGS) == [("C1",)]
    assert await outcome(customers, lift_of(sleeper)) is TaskOutcome.AMENDED
    (late,) = await customers.run(sleeper)
    assert isinstance(late, Overtaken)
    assert await customer_store.ask(FLAGS) == []


async def test_late_worker_erases_nothing_after_its_heir(customer_store: CustomerStore, customers: SqlEngine) -> None:
    sleeper, awake = asleep(EMAIL, operation=Operation.ERASE)
    assert await outcome(customers, awake) is TaskOutcome.ERASED
    arrived = "INSERT INTO contact VALUES (9, 'anna.meier@example.org', 'New contract', now())"
    await customer_store.run(arrived)
    late, other = await customers.run(sleeper, task(Operation.ERASE, email("boris@example.org")))
    assert isinstance(late, Overtaken)
    assert receipt(other).by_category == {"account": 1, "contact": 1}
    assert await customer_store.ask("SELECT id FROM contact") == [(9,)]


async def test_heir_counts_rows_removed_before(customer_store: CustomerStore, customers: SqlEngine) -> None:
    sleeper, awake = asleep(EMAIL, operation=Operation.ERASE)
    (first,) = await customers.run(sleeper)
    await customer_store.run("INSERT INTO contact VALUES (9, 'anna.meier@example.org', 'One more', now())")
    (second,) = await customers.run(awake)
    assert receipt(first).by_category == {"account": 1, "contact": 2}
    assert receipt(second).by_category == {"account": 1, "contact": 3}


async def test_a_later_operation_of_the_same_request_counts_for_itself(customers: SqlEngine) -> None:
    first = task(Operation.ERASE, EMAIL)
    assert await outcome(customers, first) is TaskOutcome.ERASED
    deferred = replace(first, task_id=uuid4(), opened_and_stage=(3_000, 0))
    assert await outcome(customers, deferred) is TaskOutcome.NO_MATCH


async def test_killed_store_that_reuses_its_transaction_number_counts_right(run_folder: Path, tmp_path: Path) -> None:
    with Postgres(run_folder / "killed-store") as server:
        store = await lay(server.dsn, tmp_path)
        await store.run(*HELD_AT_ITS_END.strip().split(";\n", 1))
        async with engine(server.dsn, store.dataset, {}) as customers:
            subject = task(Operation.ERASE, EMAIL)
            async with connected(server.dsn) as holding:
                await holding.execute("SELECT pg_advisory_lock(1)")
                attempt = asyncio.create_task(customers.run(subject))
                await eventually(partial(store.ask, WAITING))
                await asyncio.to_thread(server.kill)
                with suppress(Unavailable):
                    await attempt
                    pytest.fail("it was reported as done")
            await asyncio.to_thread(server.start)
            await store.run("UPDATE customer SET street = street")  # takes a transaction id, the lost one as it were
            (done,) = await customers.run(customers.again(subject))
    assert receipt(done).by_category == {"account": 1, "contact": 2}


async def test_restored_store_is_erased_and_counted_again(customer_store: CustomerStore, customers: SqlEngine) -> None:
    backup = f"{customer_store.dsn.rpartition('/')[2]}_backup"
    server, name = customer_store.dsn, customer_store.dsn.rpartition("/")[2]
    maintenance = databases.named(server, "postgres")
    await databases.create(maintenance, backup, template=name)
    subject = task(Operation.ERASE, EMAIL)
    (first,) = await customers.run(subject)
    await customers.adapter.close()
    await databases.drop(maintenance, name)
    await databases.rename(maintenance, backup, name)
    (again,) = await customers.run(customers.again(subject))
    assert receipt(again).by_category == receipt(first).by_category == {"account": 1, "contact": 2}
    assert await customer_store.ask("SELECT account_id FROM customer ORDER BY 1") == [("C2",), ("C3",)]


@pytest.mark.parametrize(
    "undone",
    [
        "DROP SCHEMA dsr_platform CASCADE",
        "DROP TABLE dsr_platform.progress",
        "REVOKE INSERT ON dsr_platform.progress FROM {role}",
    ],
)
async def test_unprepared_store_is_refused_unchanged(cdr_store: CdrStore, calls: SqlEngine, undone: str) -> None:
    await cdr_store.seed([call(ANNA, BORIS)])
    await ask(cdr_store.admin, undone.format(role="cdr_privacy"))
    for operation in (Operation.ERASE, Operation.RESTRICT, Operation.LIFT):
        with pytest.raises(StoreUnprepared, match=r"store: .*dsr downstreams prepare"):
            await calls.one(task(operation, number(ANNA)))
    if undone.startswith("DROP SCHEMA"):  # a copy shows the statements of the person
        with pytest.raises(StoreUnprepared, match=r"store: .*dsr downstreams prepare"):
            await calls.one(task(Operation.EXPORT, number(ANNA)))
    else:
        assert await outcome(calls, task(Operation.EXPORT, number(ANNA))) is TaskOutcome.EXPORTED
    assert await ask(cdr_store.admin, "SELECT count(*) FROM acc_cdrs WHERE caller = $1", ANNA) == [(1,)]


async def test_prepare_command_works_and_the_check_names_gaps(customer_store: CustomerStore, tmp_path: Path) -> None:
    file, environment = tmp_path / "downstreams.toml", {"STORE": customer_store.dsn, "AWAY": "postgresql://n@[::1]:1/n"}
    needs = 'needs = ["account_id", "email", "phone"]'
    table = f'[{{name}}]\nadapter = "sql"\n{needs}\ndataset = "customers.toml"\ndsn_env = "{{name_env}}"\n'
    file.write_text(table.format(name="shop", name_env="STORE"))
    wiring = Wiring(environment, SystemClock(), publish, b"", policy=nothing_kept())

    async def wrong() -> str:
        return "; ".join(str(fault) for each in await check(file, wiring) for fault in each.faults)

    await customer_store.run("DROP SCHEMA dsr_platform CASCADE")
    assert "[shop]: shop: has no table dsr_platform.progress" in await wrong()
    async with connected(customer_store.dsn) as owner:
        for _ in range(2):
            await owner.execute(statements(file, environment)["shop"])
    assert await wrong() == ""
    file.write_text(file.read_text() + table.format(name="old-shop", name_env="AWAY"))
    assert "[old-shop]: old-shop is away or busy" in await wrong()


async def test_our_own_table_holds_no_personal_data(cdr_store: CdrStore, calls: SqlEngine) -> None:
    await cdr_store.seed([call(ANNA, BORIS)])
    subject = replace(task(Operation.ERASE, number(ANNA)), system="store")
    await calls.run(subject)
    [(kept,)] = await ask(cdr_store.admin, "SELECT to_jsonb(p) - 'noted_at' - 'counts' FROM dsr_platform.progress p")
    ids = {f'"{name}": "{getattr(subject, name)}"' for name in ("request_id", "task_id", "system")}
    assert all(each in kept for each in ids)
    assert ANNA[1:] not in kept


# A store replaced during a task: the work is done, and lost counts are not reported.
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


async def outcome_of(store: SqlEngine, asked: Task) -> tuple[TaskOutcome, int, CountUnknown | None]:
    done = await store.receipt(asked)
    return done.outcome, done.changed, done.count_unknown


def dump(store: CustomerStore, options: Sequence[str]) -> str:
    """Returns SQL that recreates the store, or a part of it."""
    command = [str(find_postgres()["pg_dump"]), "--clean", "--if-exists", "--inserts", *options, store.dsn]
    lines = run(command, capture_output=True, check=True, text=True).stdout.splitlines()
    return "\n".join(line for line in lines if not line.startswith("\\"))


async def restore(store: CustomerStore, dumped: str) -> None:
    async with connected(store.dsn) as connection:
        await connection.execute(dumped)


@pytest.mark.parametrize("restored", DUMPED)
@pytest.mark.parametrize("operation", UNDONE)
async def test_restored_store_is_worked_without_counts(
    customer_store: CustomerStore, customers: SqlEngine, operation: Operation, restored: str
) -> None:
    if operation is Operation.RESTRICT:
        await customer_store.run("DELETE FROM contact")  # it cannot show a restriction
    subject, before = about(operation), dump(customer_store, DUMPED[restored])
    first = await customers.receipt(subject)
    assert (first.count_unknown, first.changed > 0) == (None, True)
    await restore(customer_store, before)
    done = TaskOutcome.ERASED if operation is Operation.ERASE else TaskOutcome.AMENDED
    unknown = Receipt(subject.task_id, done, count_unknown=CountUnknown.STORE_REPLACED)
    again = customers.again(subject)
    assert await customers.receipt(again) == unknown
    assert await customers.receipt(customers.again(again)) == unknown, "what is lost stays lost"
    assert await customer_store.ask(f"SELECT FROM customer WHERE account_id = 'C1' AND {UNDONE[operation]}") == []


async def test_attempt_before_the_store_leaves_no_doubt(customer_store: CustomerStore, customers: SqlEngine) -> None:
    before, subject = dump(customer_store, []), about(Operation.ERASE)
    await restore(customer_store, before)
    assert await outcome_of(customers, customers.again(subject)) == (TaskOutcome.ERASED, 3, None)


async def test_store_without_notes_is_refused_and_once_prepared_is_another_store(
    customer_store: CustomerStore, customers: SqlEngine, caplog: pytest.LogCaptureFixture
) -> None:
    begun, fresh = about(Operation.ERASE), about(Operation.RESTRICT)
    assert await outcome_of(customers, begun) == (TaskOutcome.ERASED, 3, None)
    await customer_store.run("DROP SCHEMA dsr_platform CASCADE")
    for asked in (customers.again(begun), fresh):
        with pytest.raises(StoreUnprepared, match=r"store: .*dsr downstreams prepare"):
            await customers.one(asked)
    await restore(customer_store, schema_for(customer_store.dsn))
    assert await outcome_of(customers, customers.again(begun)) == (TaskOutcome.ERASED, 0, CountUnknown.STORE_REPLACED)
    assert "store is another store than before" in caplog.text
    assert await outcome_of(customers, customers.again(fresh)) == (TaskOutcome.NO_MATCH, 0, None)


async def test_lost_counts_are_shown_to_officers_and_in_evidence(
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
    assert (report.outcome, report.changed, report.count_unknown) == ("erased", 0, "store_replaced")
    noted = "SELECT detail::jsonb FROM evidence.entry WHERE request_id = $1 AND action = 'task.concluded'"
    assert (await harness.pool.fetchval(noted, request))["count_unknown"] == "store_replaced"


async def test_prepared_or_vacuumed_store_is_the_same(customer_store: CustomerStore, customers: SqlEngine) -> None:
    subject = about(Operation.ERASE)
    first = await customers.receipt(subject)
    await restore(customer_store, schema_for(customer_store.dsn))
    await customer_store.run("VACUUM FULL customer")
    assert await customers.receipt(customers.again(subject)) == first


async def test_replaced_notes_stop_the_commit(customer_store: CustomerStore, customers: SqlEngine) -> None:
    await customer_store.run("DELETE FROM contact")  # it cannot show a restriction
    subject = about(Operation.RESTRICT)

    async def replaced_meanwhile(noted: Any) -> None:
        await customers.save_progress(noted)
        await customer_store.run("UPDATE dsr_platform.incarnation SET id = gen_random_uuid()")

    (late,) = await customers.adapter.amend([subject], replaced_meanwhile)
    assert isinstance(late, Overtaken)
    assert await customer_store.ask("SELECT FROM customer WHERE restricted") == []
    assert await outcome_of(customers, customers.again(subject)) == (
        TaskOutcome.AMENDED,
        0,
        CountUnknown.STORE_REPLACED,
    )


async def test_old_notes_are_forgotten(customer_store: CustomerStore, customers: SqlEngine) -> None:
    old, recent = about(Operation.RESTRICT), about(Operation.SUPPRESS)
    for each in (old, recent):
        await customers.run(each)
    aged = f"UPDATE dsr_platform.progress SET noted_at = now() - interval '401 days' WHERE task_id = '{old.task_id}'"
    await customer_store.run(aged)
    await customers.adapter.forget()
    assert await customer_store.ask("SELECT task_id FROM dsr_platform.progress") == [(recent.task_id,)]
