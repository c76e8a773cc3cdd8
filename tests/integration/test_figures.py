"""When figures were last counted, by whom; what intake counts, and the lines that services log."""

import asyncio
import logging
import time
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from uuid_utils.compat import uuid7

from services.deadline import statistics
from services.intake.queries import figures
from services.intake.request.lifecycle import State
from services.intake.store import repository
from shared.app.process_metrics import ProcessMetrics
from shared.app.service import Loop, Running
from shared.domain.errors import Refused, TableMissing, Unavailable
from shared.domain.events import FulfilmentBlocked, RequestWithdrawn
from shared.domain.operations import Operation, TaskOutcome, TaskReport, Unsearched
from shared.domain.rights import Outcome, Right
from shared.domain.time_limit_policy import read_policy
from shared.domain.topics import Message, ServiceName
from shared.fulfilment import queue as tasks
from shared.messaging.dead_letters import dead_letter
from shared.messaging.unit_of_work import UnitOfWorkFactory
from shared.runtime.liveness import Heartbeats
from shared.runtime.metrics import LOOP_LAG
from shared.runtime.settings import Settings
from shared.storage.keyring import Keyring
from shared.storage.postgres import PostgresSettings, connect_pool
from shared.storage.vault import Vault
from tests.fixtures import metrics as fixtures
from tests.fixtures.engine import TRACING, Harness, OpenHarness, ScriptedSystem, SetClock, each
from tests.fixtures.events import a
from tests.fixtures.handed_out import GIVEN
from tests.fixtures.intake import Intake, id_of
from tests.fixtures.metrics import comes_to, metric
from tests.fixtures.requests import a_request

NOW = datetime(2026, 6, 15, 16, tzinfo=UTC)
RECEIPT = TaskReport(task_id=uuid7(), system="crm", operation=Operation.EXPORT, outcome=TaskOutcome.EXPORTED)
NOT_BEGUN = RECEIPT.model_copy(update={"outcome": None})
FAILURE = RECEIPT.model_copy(update={"outcome": None, "failure": "refused"})


@pytest.mark.parametrize(
    ("service", "counting"),
    [
        (ServiceName.INTAKE, figures.run),
        (ServiceName.DEADLINE, partial(statistics.run, policy=read_policy())),
    ],
)
async def test_a_service_tells_when_it_last_counted(
    database: str, service: ServiceName, counting: Loop, clock: SetClock, keys: Keyring
) -> None:
    clock.pass_by(days=7)
    async with await connect_pool(PostgresSettings(dsn=database, pool_size=2), service) as pool:
        unit_of_work = UnitOfWorkFactory(pool, service, clock, Vault(keys))
        running = Running(Settings.__new__(Settings), unit_of_work, TRACING, Heartbeats(), asyncio.Event())
        task = asyncio.ensure_future(counting(running))
        assert await comes_to(clock.now().timestamp(), "dsr_figures_timestamp_seconds", service=service)
        running.stopping.set()
        await task


async def test_intake_counts_coverage_time_to_close_detection_and_who_waits(intake: Intake) -> None:
    closed = (
        (4, Outcome.FULFILLED, (RECEIPT, RECEIPT)),
        (8, Outcome.PARTIALLY_FULFILLED, (RECEIPT, FAILURE)),
        (4, Outcome.PARTIALLY_FULFILLED, (RECEIPT, NOT_BEGUN)),
        (99, Outcome.WITHDRAWN, None),
        (2, None, None),
    )
    requests = [
        a_request(
            State.CLOSED if outcome else State.AWAITING_DECISION,
            right=Right.ACCESS,
            received_at=NOW - timedelta(days=days),
            accepted_at=NOW - timedelta(days=days - 0.5 * (days == 4)),
            closed_at=NOW if outcome else None,
            outcome=outcome,
            tasks=tasks,
        )
        for days, outcome, tasks in closed
    ]
    async with intake.unit_of_work.pool.acquire() as connection:
        await repository.insert(connection, requests)
        for request in requests:
            tasks = request.tasks and [each.model_dump(mode="json", exclude_none=True) for each in request.tasks]
            ended = "UPDATE request SET closed_at = $2, outcome = $3, tasks = $4 WHERE request_id = $1"
            await connection.execute(ended, request.request_id, request.closed_at, request.outcome, tasks)
        for request, approved_at in zip(requests, (NOW - timedelta(days=2), NOW - timedelta(days=40)), strict=False):
            extension = "INSERT INTO extension VALUES ($1, 'VOLUME', $2)"
            await connection.execute(extension, request.request_id, approved_at)
    await intake.count(NOW)
    assert metric("dsr_extensions_approved", reason="VOLUME") == 1
    assert metric("dsr_requests_worked", right="access") == 3
    assert metric("dsr_requests_covered", right="access") == 1
    assert metric("dsr_time_to_close_days", right="access", quantile="0.5") == 4
    assert metric("dsr_time_to_close_days", right="access", quantile="0.95") == 8
    assert metric("dsr_detection_lag_days", channel="api", quantile="0.95") == 0.5
    assert metric("dsr_requests_waiting", right="access", state="awaiting_decision") == 1
    assert metric("dsr_requests_waiting", right="access", state="awaiting_identity") == 0


# Figures of answers: business days, reasons of refusals, packages fetched, incidents found.


async def test_the_mean_in_business_days_is_counted_by_right_and_by_system(intake: Intake) -> None:
    monday = datetime(2026, 3, 2, 15, tzinfo=UTC)
    for right, days, systems in (("access", 1, ("crm",)), ("access", 4, ("crm", "cdr")), ("erasure", 7, ("cdr",))):
        intake.clock.at = monday
        path = await intake.submit(right=right)
        intake.clock.at = monday + timedelta(days=days)
        operation = Operation.ERASE if right == "erasure" else Operation.EXPORT
        done = [GIVEN.model_copy(update={"system": each, "operation": operation}) for each in systems]
        await intake.complete(path, operation=operation, tasks=done)
    withdrawn = await intake.submit()
    assert (await intake.channel.post(f"{withdrawn}/actions/withdraw")).status_code == 200
    await intake.count()
    assert metric("dsr_response_business_days", right="access") == 2.5
    assert metric("dsr_response_business_days_count", right="access") == 2, "not what was withdrawn"
    assert metric("dsr_response_business_days", right="erasure") == 5
    assert metric("dsr_response_business_days_by_system", system="cdr") == 4.5
    assert metric("dsr_response_business_days_promised") == 7


async def test_refusals_are_counted_by_reason(intake: Intake) -> None:
    path = await intake.submit()
    await intake.decide(path, "refuse")
    await intake.report(path)
    await intake.count()
    assert metric("dsr_decisions", decision="refuse", reason="EXCESSIVE", article="12(5)(b)") == 1


async def test_packages_are_counted_by_whether_anybody_fetched_them_once_their_days_are_over(intake: Intake) -> None:
    for downloads in (0, 1):
        path = await intake.submit()
        package = uuid7()
        await intake.complete(path, operation=Operation.EXPORT, package_id=package, tasks=(GIVEN,))
        fetched = "UPDATE package SET downloads = $2 WHERE request_id = $1"
        await intake.unit_of_work.pool.execute(fetched, id_of(path), downloads)
    await intake.count()
    assert metric("dsr_packages_ended", result="fetched") == 0, "their days last"
    intake.clock.pass_by(days=15)
    incident: dict[str, object] = {
        "found_at": intake.clock.now().isoformat(),
        "nature": ["integrity"],
        "facts": "It",
        "effects": "is",
    }
    incident |= {"measures": "gone.", "categories": ["account"], "people": 1, "records": 1, "controllers": ["us"]}
    assert (await intake.officer.post("/v1/incidents", json=incident)).status_code == 201
    await intake.count()
    assert metric("dsr_packages_ended", result="fetched") == 1
    assert metric("dsr_packages_ended", result="not_fetched") == 1
    assert metric("dsr_incidents_found", found_by="elsewhere") == 1
    assert metric("dsr_incidents_found", found_by="platform") == 0


# What a service tells of itself: its outbox, its tasks, its connections and its evidence, as they are.
STEP = {"service": "erasure", "system": "crm", "operation": "erase"}


of_erasure = partial(fixtures.metric, service="erasure")


async def test_outbox_reports_its_oldest_message_and_parked_ones(harness: Harness, clock: SetClock) -> None:
    metrics = ProcessMetrics(harness.unit_of_work, harness.fulfilments.steps)
    await metrics.measure()
    assert (of_erasure("dsr_outbox_messages"), of_erasure("dsr_outbox_oldest_seconds")) == (0, 0)

    subject = await harness.subject()
    for _ in range(3):
        async with harness.unit_of_work.begin() as tx:
            tx.publish(a(RequestWithdrawn, about=subject, right=Right.ERASURE, subject=subject))
        clock.pass_by(seconds=20)
    await metrics.measure()
    assert (of_erasure("dsr_outbox_messages"), of_erasure("dsr_outbox_oldest_seconds")) == (3, 60)

    assert of_erasure("dsr_outbox_parked") == 0
    await harness.pool.execute(
        "WITH gone AS (DELETE FROM outbox RETURNING position, topic, key, value, headers)"
        " INSERT INTO parked SELECT position, topic, key, value, headers, 'behind', now() FROM gone"
    )
    await metrics.measure()
    assert (of_erasure("dsr_outbox_messages"), of_erasure("dsr_outbox_oldest_seconds")) == (0, 0)
    assert of_erasure("dsr_outbox_parked") == 3


async def test_record_of_another_producer_counts_from_parking(harness: Harness, clock: SetClock) -> None:
    for headers in ({}, {"ce_time": "yesterday"}):
        await harness.pool.execute("DELETE FROM outbox")
        async with harness.unit_of_work.begin() as tx:
            tx.send(dead_letter(Message("dsr.requests", b"key", b"?", headers), "ValidationError", "", tx))
        clock.pass_by(seconds=20)
        await ProcessMetrics(harness.unit_of_work, harness.fulfilments.steps).measure()
        assert (of_erasure("dsr_outbox_messages"), of_erasure("dsr_outbox_oldest_seconds")) == (1, 20)


async def test_ready_and_failed_tasks_are_counted_until_done(open_harness: OpenHarness, clock: SetClock) -> None:
    crm = ScriptedSystem("crm")
    harness = await open_harness(crm)
    new_fulfilments = [await harness.new_fulfilment() for _ in range(4)]
    await harness.open(*new_fulfilments)
    oldest = min([row[0] for row in await harness.pool.fetch("SELECT task_id FROM task")])
    clock.at = tasks.opened_at(oldest) + timedelta(hours=5)
    metrics = ProcessMetrics(harness.unit_of_work, harness.fulfilments.steps)
    await metrics.measure()
    assert of_erasure("dsr_tasks_ready", **STEP) == 4
    assert of_erasure("dsr_tasks_ready_oldest_seconds", **STEP) == 5 * 3600

    crm.answers[Operation.ERASE] = each(lambda _: Refused("no"))
    await harness.worker("crm", batch=1).work()
    crm.answers.clear()
    await harness.worker("crm").work()
    await metrics.measure()
    assert of_erasure("dsr_tasks_ready", **STEP) == 0
    assert of_erasure("dsr_tasks_ready_oldest_seconds", **STEP) == 0
    assert of_erasure("dsr_tasks_failed", **STEP) == 1


async def test_concluded_tasks_count_retries_durations_and_rows(open_harness: OpenHarness, clock: SetClock) -> None:
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
        return {words: of_erasure(name, **step, **more) or 0 for words, (name, more) in names.items()}

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


async def test_connections_and_evidence_are_counted(harness: Harness) -> None:
    await harness.subject()
    async with harness.unit_of_work.begin() as tx:
        tx.log_evidence(await harness.subject(), "request.closed", {})
    checked = fixtures.Count("dsr_evidence_checked_total", service="erasure")
    metrics = ProcessMetrics(harness.unit_of_work, harness.fulfilments.steps)
    await metrics.measure()
    assert checked.added == 1
    assert of_erasure("dsr_pool_limit") == harness.pool.get_max_size()
    assert of_erasure("dsr_pool_connections", state="busy") == 0
    assert of_erasure("dsr_evidence_broken") == 0
    async with harness.pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica")
        await connection.execute("UPDATE evidence.entry SET actor = 'person:other'")
    await metrics.measure()
    assert of_erasure("dsr_evidence_broken") == 1


async def test_a_process_that_is_busy_tells_how_late_it_came(harness: Harness) -> None:
    stopping = asyncio.Event()
    measuring = asyncio.create_task(
        ProcessMetrics(harness.unit_of_work, harness.fulfilments.steps).event_loop_lag(stopping)
    )
    await asyncio.sleep(0)  # it says when it wants to come round again
    await asyncio.sleep(0)
    LOOP_LAG.labels("erasure").set(-1)
    time.sleep(1.5)  # noqa: ASYNC251  # the processor is what is to be busy
    while (late := of_erasure("dsr_loop_lag_seconds")) == -1:  # noqa: ASYNC110  # read before the next round sets it again
        await asyncio.sleep(0)
    stopping.set()
    await measuring
    assert late is not None
    assert late >= 0.5


# One line for each request that is closed and for each task that waits for a person, without personal data.

GENERAL = "A table that the dataset declares does not exist: an empty search there would prove nothing."
UNSEARCHED = "nothing_to_search_by: nothing that is known of the subject can be searched by there"


@pytest.fixture
def own_log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Returns the product's own log."""
    caplog.set_level(logging.INFO, "services")
    caplog.set_level(logging.INFO, "shared")
    return caplog


def lines(own_log: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(record.levelname, record.getMessage()) for record in own_log.records]


async def test_closure_is_logged_once(intake: Intake, own_log: pytest.LogCaptureFixture) -> None:
    done, withdrawn = await intake.submit(), await intake.submit(right="portability")
    await intake.complete(done)
    await intake.complete(done)
    (await intake.channel.post(f"{withdrawn}/actions/withdraw")).raise_for_status()
    assert lines(own_log) == [
        ("INFO", f"request {id_of(done)} is closed: access, fulfilled"),
        ("INFO", f"request {id_of(withdrawn)} is closed: portability, withdrawn"),
    ]


async def test_manual_task_is_one_warning(open_harness: OpenHarness, own_log: pytest.LogCaptureFixture) -> None:
    crm = ScriptedSystem("crm")
    crm.answers[Operation.ERASE] = each(lambda _: TableMissing("no table of ada@example.org"))
    harness = await open_harness(crm)
    [request] = await harness.open()
    await harness.worker("crm").work()
    assert await harness.fulfilment_state(request) == "blocked"
    assert lines(own_log) == [
        ("WARNING", f"request {request} waits for a person: erase in crm: table_missing: {GENERAL}")
    ]
    await harness.retry(request)
    await harness.worker("crm").work()
    assert len(lines(own_log)) == 2


async def test_unsearched_part_is_logged_when_decided(intake: Intake, own_log: pytest.LogCaptureFixture) -> None:
    path = await intake.submit()
    reason = Unsearched.NOTHING_TO_SEARCH_BY
    unsearched = TaskReport(
        task_id=uuid7(), system="cdr", operation=Operation.EXPORT, outcome=TaskOutcome.NOT_SEARCHED, not_searched=reason
    )
    await intake.consume(a(FulfilmentBlocked, about=id_of(path), tasks=(unsearched,)))
    assert lines(own_log) == []
    (
        await intake.channel.post(f"{path}/actions/record-reply", json={"text": "I have had no number."})
    ).raise_for_status()
    assert lines(own_log) == [("WARNING", f"request {id_of(path)} waits for a person: export in cdr: {UNSEARCHED}")]
