"""Figures of answers: business days, reasons of refusals, packages fetched, breaches found."""

from datetime import UTC, datetime, timedelta

from uuid_utils.compat import uuid7

from services.intake.figures import answers
from services.intake.settings import IntakeSettings
from shared.domain.operations import Operation
from shared.domain.time_limit_policy import read_policy
from tests.fixtures.handed_out import GIVEN
from tests.fixtures.intake import Intake, id_of
from tests.fixtures.told import told

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
