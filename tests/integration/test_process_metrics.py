"""What a service tells of itself: its outbox, its tasks, its connections and its evidence, as they are."""

import asyncio
import time
from datetime import timedelta
from functools import partial

from shared.app.process_metrics import ProcessMetrics
from shared.domain.errors import Refused, Unavailable
from shared.domain.events import RequestWithdrawn
from shared.domain.operations import Operation
from shared.domain.records import Message
from shared.domain.rights import Right
from shared.fulfilment import queue as tasks
from shared.messaging.dead_letters import dead_letter
from shared.runtime.metrics import LOOP_LAG
from tests.fixtures import told as fixtures
from tests.fixtures.engine import OpenHarness, ScriptedSystem, SetClock, each
from tests.fixtures.events import a

STEP = {"service": "erasure", "system": "crm", "operation": "erase"}


told = partial(fixtures.told, service="erasure")


async def test_the_outbox_is_told_with_the_age_of_its_first_message_and_what_is_parked(
    open_harness: OpenHarness, clock: SetClock
) -> None:
    harness = await open_harness()
    metrics = ProcessMetrics(harness.unit_of_work, harness.fulfilments.steps)
    await metrics.look()
    assert (told("dsr_outbox_messages"), told("dsr_outbox_oldest_seconds")) == (0, 0)

    subject = await harness.subject()
    for _ in range(3):
        async with harness.unit_of_work.begin() as tx:
            tx.publish(a(RequestWithdrawn, about=subject, right=Right.ERASURE, subject=subject))
        clock.pass_by(seconds=20)
    await metrics.look()
    assert (told("dsr_outbox_messages"), told("dsr_outbox_oldest_seconds")) == (3, 60)

    assert told("dsr_outbox_parked") == 0
    await harness.pool.execute(
        "WITH gone AS (DELETE FROM outbox RETURNING position, topic, key, value, headers)"
        " INSERT INTO parked SELECT position, topic, key, value, headers, 'behind', now() FROM gone"
    )
    await metrics.look()
    assert (told("dsr_outbox_messages"), told("dsr_outbox_oldest_seconds")) == (0, 0)
    assert told("dsr_outbox_parked") == 3


async def test_a_stranger_s_record_that_was_set_aside_counts_from_then_whatever_its_headers_say(
    open_harness: OpenHarness, clock: SetClock
) -> None:
    harness = await open_harness()
    for headers in ({}, {"ce_time": "yesterday"}):
        await harness.pool.execute("DELETE FROM outbox")
        async with harness.unit_of_work.begin() as tx:
            tx.send(dead_letter(Message("dsr.requests", b"key", b"?", headers), "ValidationError", "", tx))
        clock.pass_by(seconds=20)
        await ProcessMetrics(harness.unit_of_work, harness.fulfilments.steps).look()
        assert (told("dsr_outbox_messages"), told("dsr_outbox_oldest_seconds")) == (1, 20)


async def test_ready_and_failed_tasks_are_told_until_they_are_done(open_harness: OpenHarness, clock: SetClock) -> None:
    crm = ScriptedSystem("crm")
    harness = await open_harness(crm)
    new_fulfilments = [await harness.new_fulfilment() for _ in range(4)]
    await harness.open(*new_fulfilments)
    oldest = min([row[0] for row in await harness.pool.fetch("SELECT task_id FROM task")])
    clock.at = tasks.opened_at(oldest) + timedelta(hours=5)
    metrics = ProcessMetrics(harness.unit_of_work, harness.fulfilments.steps)
    await metrics.look()
    assert told("dsr_tasks_ready", **STEP) == 4
    assert told("dsr_tasks_ready_oldest_seconds", **STEP) == 5 * 3600

    crm.answers[Operation.ERASE] = each(lambda _: Refused("no"))
    await harness.worker("crm", batch=1).work()
    crm.answers.clear()
    await harness.worker("crm").work()
    await metrics.look()
    assert told("dsr_tasks_ready", **STEP) == 0
    assert told("dsr_tasks_ready_oldest_seconds", **STEP) == 0
    assert told("dsr_tasks_failed", **STEP) == 1


async def test_retries_durations_and_rows_are_counted_as_tasks_conclude(
    open_harness: OpenHarness, clock: SetClock
) -> None:
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
        step = {**STEP, "system": "measured"}
        return {words: told(name, **step, **more) or 0 for words, (name, more) in names.items()}

    measured = ScriptedSystem("measured", answers={Operation.ERASE: each(lambda _: Unavailable("away"))})
    harness = await open_harness(measured)
    await harness.open()
    task_id = await harness.pool.fetchval("SELECT task_id FROM task")
    clock.at = tasks.opened_at(task_id) + timedelta(hours=1)
    await harness.worker("measured").work()
    measured.answers.clear()
    clock.pass_by(minutes=10)
    await harness.worker("measured").work()
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


async def test_connections_and_evidence_are_told(open_harness: OpenHarness) -> None:
    harness = await open_harness()
    await harness.subject()
    async with harness.unit_of_work.begin() as tx:
        tx.log_evidence(await harness.subject(), "request.closed", {})
    checked = fixtures.Count("dsr_evidence_checked_total", service="erasure")
    metrics = ProcessMetrics(harness.unit_of_work, harness.fulfilments.steps)
    await metrics.look()
    assert checked.added == 1
    assert told("dsr_pool_limit") == harness.pool.get_max_size()
    assert told("dsr_pool_connections", state="busy") == 0
    assert told("dsr_evidence_broken") == 0
    async with harness.pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica")
        await connection.execute("UPDATE evidence.entry SET actor = 'person:other'")
    await metrics.look()
    assert told("dsr_evidence_broken") == 1


async def test_a_process_that_is_busy_tells_how_late_it_came(open_harness: OpenHarness) -> None:
    harness, stopping = await open_harness(), asyncio.Event()
    measuring = asyncio.create_task(
        ProcessMetrics(harness.unit_of_work, harness.fulfilments.steps).event_loop_lag(stopping)
    )
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
