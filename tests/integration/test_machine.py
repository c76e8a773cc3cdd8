"""What a service tells of itself: its outbox, its tasks, its connections and its evidence, as they are."""

import asyncio
import time
from datetime import timedelta

from prometheus_client import REGISTRY

from shared import fulfilment, tasks
from shared.bus.records import Heard
from shared.downstreams.contract import Note, Operation, Result, Task
from shared.errors import Refused, Unavailable
from shared.events import RequestWithdrawn
from shared.machine import Machine
from shared.metrics import LOOP_LAG
from shared.rights import Right
from shared.telemetry import Pulse
from tests.fixtures.engine import OpenOffice, ScriptedSystem, SetClock
from tests.fixtures.told import Count

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


async def test_a_stranger_s_record_that_was_set_aside_counts_from_then_whatever_its_headers_say(
    open_office: OpenOffice, clock: SetClock
) -> None:
    office = await open_office()
    for headers in ({}, {"ce_time": "yesterday"}):
        await office.pool.execute("DELETE FROM outbox")
        async with office.transactions.begin() as tx:
            tx.set_aside(Heard("dsr.requests", b"key", b"?", headers), "ValidationError")
        clock.pass_by(seconds=20)
        await Machine(office.transactions).look()
        assert (told("dsr_outbox_messages"), told("dsr_outbox_oldest_seconds")) == (1, 20)


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
            "calls": ("dsr_task_call_seconds_count", {}),
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
        "calls": 2,
        "slow": 1,
        "within a minute": 0,
    }


async def test_connections_and_evidence_are_told(open_office: OpenOffice) -> None:
    office = await open_office()
    await office.subject()
    async with office.transactions.begin() as tx:
        tx.record(await office.subject(), "request.closed", {})
    checked = Count("dsr_evidence_checked_total", service="erasure")
    machine = Machine(office.transactions)
    await machine.look()
    assert checked.added == 1
    assert told("dsr_pool_limit") == office.pool.get_max_size()
    assert told("dsr_pool_connections", state="busy") == 0
    assert told("dsr_evidence_broken") == 0
    async with office.pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica")
        await connection.execute("UPDATE evidence.entry SET actor = 'person:other'")
    await machine.look()
    assert told("dsr_evidence_broken") == 1


async def test_a_process_that_is_busy_tells_how_late_it_came(open_office: OpenOffice) -> None:
    office, stopping = await open_office(), asyncio.Event()
    measuring = asyncio.create_task(Machine(office.transactions).run(stopping, Pulse()))
    await asyncio.sleep(0)  # it says when it wants to come round again
    await asyncio.sleep(0)
    LOOP_LAG.labels("erasure").set(-1)
    time.sleep(1.5)  # noqa: ASYNC251  # the processor is what is to be busy
    while (late := told("dsr_loop_lag_seconds")) == -1:  # noqa: ASYNC110  # read before the next round sets it anew
        await asyncio.sleep(0)
    stopping.set()
    await measuring
    assert late is not None
    assert late >= 0.5
