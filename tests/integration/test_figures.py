"""When figures were last counted, by whom; and what intake counts."""

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from uuid_utils.compat import uuid7

from services.deadline import statistics
from services.intake import repository
from services.intake import statistics as intake_statistics
from services.intake.figures import answers
from services.intake.identity.same_person import NOBODY, Marks
from services.intake.request.lifecycle import State
from services.intake.settings import IntakeSettings
from shared.app.service import Loop, Running
from shared.domain.operations import Operation, TaskOutcome, TaskReport
from shared.domain.rights import Outcome, Right
from shared.domain.time_limit_policy import read_policy
from shared.domain.topics import ServiceName
from shared.messaging.unit_of_work import UnitOfWorkFactory
from shared.runtime.liveness import Heartbeats
from shared.runtime.settings import Settings
from shared.storage.keyring import Keyring
from shared.storage.postgres import PostgresSettings, connect_pool
from shared.storage.vault import Vault
from tests.fixtures.engine import TRACING, SetClock
from tests.fixtures.handed_out import GIVEN
from tests.fixtures.intake import Intake, id_of
from tests.fixtures.requests import a_request
from tests.fixtures.told import comes_to, told

NOW = datetime(2026, 6, 15, 16, tzinfo=UTC)
RECEIPT = TaskReport(task_id=uuid7(), system="crm", operation=Operation.EXPORT, outcome=TaskOutcome.EXPORTED)
NOT_BEGUN = RECEIPT.model_copy(update={"outcome": None})
FAILURE = RECEIPT.model_copy(update={"outcome": None, "failure": "refused"})


@pytest.mark.parametrize(
    ("service", "counting"),
    [
        (ServiceName.INTAKE, intake_statistics.run),
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
        await repository.insert(connection, [(request, Marks(NOBODY)) for request in requests])
        for request in requests:
            tasks = request.tasks and [each.model_dump(mode="json", exclude_none=True) for each in request.tasks]
            ended = "UPDATE request SET closed_at = $2, outcome = $3, tasks = $4 WHERE request_id = $1"
            await connection.execute(ended, request.request_id, request.closed_at, request.outcome, tasks)
        for approved_at in (NOW - timedelta(days=2), NOW - timedelta(days=40), None):
            extension = "INSERT INTO extension VALUES ($1, 'VOLUME', $1, '2026-08-01', 'a', 'b', $2)"
            await connection.execute(extension, uuid7(), approved_at)
        await intake_statistics.count(connection, NOW)
    assert told("dsr_extensions_approved", reason="VOLUME") == 1
    assert told("dsr_requests_worked", right="access") == 3
    assert told("dsr_requests_covered", right="access") == 1
    assert told("dsr_time_to_close_days", right="access", quantile="0.5") == 4
    assert told("dsr_time_to_close_days", right="access", quantile="0.95") == 8
    assert told("dsr_detection_lag_days", channel="api", quantile="0.95") == 0.5
    assert told("dsr_requests_waiting", right="access", state="awaiting_decision") == 1
    assert told("dsr_requests_waiting", right="access", state="awaiting_identity") == 0


# Figures of answers: business days, reasons of refusals, packages fetched, breaches found.
COMMITMENT = read_policy().commitment


async def count(intake: Intake) -> None:
    async with intake.unit_of_work.pool.acquire() as connection:
        await answers.count(connection, intake.clock.now(), COMMITMENT, IntakeSettings())


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
    assert (await intake.channel.post(f"{withdrawn}/withdraw")).status_code == 200
    await count(intake)
    assert told("dsr_response_business_days", right="access") == 2.5
    assert told("dsr_response_business_days_count", right="access") == 2, "not what was withdrawn"
    assert told("dsr_response_business_days", right="erasure") == 5
    assert told("dsr_response_business_days_by_system", system="cdr") == 4.5
    assert told("dsr_response_business_days_promised") == 7


async def test_refusals_are_counted_by_reason(intake: Intake) -> None:
    path = await intake.submit()
    await intake.decide(path, "refuse")
    await intake.report(path)
    await count(intake)
    assert told("dsr_decisions", decision="refuse", reason="EXCESSIVE", article="12(5)(b)") == 1


async def test_packages_are_counted_by_whether_anybody_fetched_them_once_their_days_are_over(intake: Intake) -> None:
    for downloads in (0, 1):
        path = await intake.submit()
        package = uuid7()
        await intake.complete(path, operation=Operation.EXPORT, package_id=package, tasks=(GIVEN,))
        fetched = "UPDATE request SET downloads = $2, downloaded = package_id WHERE request_id = $1"
        await intake.unit_of_work.pool.execute(fetched, id_of(path), downloads)
    await count(intake)
    assert told("dsr_packages_ended", result="fetched") == 0, "their days last"
    intake.clock.pass_by(days=15)
    breach: dict[str, object] = {
        "found_at": intake.clock.now().isoformat(),
        "nature": ["integrity"],
        "facts": "It",
        "effects": "is",
    }
    breach |= {"measures": "gone.", "categories": ["account"], "people": 1, "records": 1}
    assert (await intake.officer.post("/v1/breaches", json=breach)).status_code == 201
    await count(intake)
    assert told("dsr_packages_ended", result="fetched") == 1
    assert told("dsr_packages_ended", result="not_fetched") == 1
    assert told("dsr_breaches_found", found_by="elsewhere") == 1
    assert told("dsr_breaches_found", found_by="platform") == 0
