"""What a service tells of itself: its outbox, its tasks, its connections and its evidence, as they are."""

from datetime import timedelta

from prometheus_client import REGISTRY

from shared import fulfilment, tasks
from shared.downstreams.contract import Note, Operation, Result, Task
from shared.errors import Refused, Unavailable
from shared.events import RequestWithdrawn
from shared.machine import Machine
from shared.rights import Right
from tests.fixtures.engine import OpenOffice, ScriptedSystem, SetClock

STEP = {"service": "erasure", "system": "crm", "operation": "erase"}


def told(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, {"service": "erasure", **labels})


async def test_the_outbox_is_told_with_the_age_of_its_first_message(open_office: OpenOffice, clock: SetClock) -> None:
    office = await open_office()
    machine = Machine(office.transactions)
    await machine.look()
    assert (told("dsr_outbox_messages"), told("dsr_outbox_oldest_seconds")) == (0, 0)

    subject = await office.subject()
    for _ in range(3):
        async with office.transactions.begin() as tx:
            tx.publish(RequestWithdrawn(request_id=subject, occurred_at=tx.now, right=Right.ERASURE, subject=subject))
        clock.pass_by(seconds=20)
    await machine.look()
    assert (told("dsr_outbox_messages"), told("dsr_outbox_oldest_seconds")) == (3, 60)

    await office.pool.execute("DELETE FROM outbox")
    await machine.look()
    assert (told("dsr_outbox_messages"), told("dsr_outbox_oldest_seconds")) == (0, 0)


async def test_ready_and_failed_tasks_are_told_until_they_are_done(open_office: OpenOffice, clock: SetClock) -> None:
    async def refuse(asked: list[Task], _: Note) -> list[Result]:
        return [Refused("no") for _ in asked]

    crm = ScriptedSystem("crm")
    office = await open_office(crm)
    openings = [await office.opening() for _ in range(4)]
    async with office.transactions.begin() as tx:
        await fulfilment.open_all(tx, openings)
    oldest = min([row[0] for row in await office.pool.fetch("SELECT task_id FROM task")])
    clock.at = tasks.opened_at(oldest) + timedelta(hours=5)
    machine = Machine(office.transactions)
    await machine.look()
    assert told("dsr_tasks_ready", **STEP) == 4
    assert told("dsr_tasks_ready_oldest_seconds", **STEP) == 5 * 3600

    crm.answers[Operation.ERASE] = refuse  # type: ignore[assignment]
    await office.desk("crm", batch=1).work()
    crm.answers.clear()
    await office.desk("crm").work()
    await machine.look()
    assert told("dsr_tasks_ready", **STEP) == 0
    assert told("dsr_tasks_ready_oldest_seconds", **STEP) == 0
    assert told("dsr_tasks_failed", **STEP) == 1


async def test_retries_durations_and_rows_are_counted_as_tasks_conclude(
    open_office: OpenOffice, clock: SetClock
) -> None:
    async def away(asked: list[Task], _: Note) -> list[Result]:
        return [Unavailable("away") for _ in asked]

    def figures() -> dict[str, float]:
        names = {
            "retries": ("dsr_task_retries_total", {}),
            "done": ("dsr_tasks_total", {"result": "done"}),
            "unavailable": ("dsr_tasks_total", {"result": "unavailable"}),
            "changed": ("dsr_task_rows_total", {"kind": "changed"}),
            "remaining": ("dsr_task_rows_total", {"kind": "remaining"}),
            "slow": ("dsr_task_seconds_count", {}),
            "within a minute": ("dsr_task_seconds_bucket", {"le": "60.0"}),
        }
        step = {**STEP, "system": "shop"}
        return {words: told(name, **step, **more) or 0 for words, (name, more) in names.items()}

    shop = ScriptedSystem("shop", answers={Operation.ERASE: away})  # type: ignore[dict-item]
    office = await open_office(shop)
    async with office.transactions.begin() as tx:
        await fulfilment.open_all(tx, [await office.opening()])
    task_id = await office.pool.fetchval("SELECT task_id FROM task")
    clock.at = tasks.opened_at(task_id) + timedelta(hours=1)
    await office.desk("shop").work()
    shop.answers.clear()
    clock.pass_by(minutes=10)
    await office.desk("shop").work()
    assert figures() == {
        "retries": 1,
        "done": 1,
        "unavailable": 1,
        "changed": 2,
        "remaining": 0,
        "slow": 1,
        "within a minute": 0,
    }


async def test_connections_and_evidence_are_told(open_office: OpenOffice) -> None:
    office = await open_office()
    await office.subject()
    async with office.transactions.begin() as tx:
        tx.record(await office.subject(), "request.closed", {})
    machine = Machine(office.transactions)
    await machine.look()
    assert told("dsr_pool_limit") == office.pool.get_max_size()
    assert told("dsr_pool_connections", state="busy") == 0
    assert told("dsr_evidence_broken") == 0
    async with office.pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica")
        await connection.execute("UPDATE evidence.entry SET actor = 'person:other'")
    await machine.look()
    assert told("dsr_evidence_broken") == 1
