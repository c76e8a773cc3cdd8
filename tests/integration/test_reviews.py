"""How fast answers are in business days, why requests were refused, what others find of that: entered, and counted."""

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


async def test_refusals_are_counted_by_reason_and_those_that_a_complaint_has_overturned_too(intake: Intake) -> None:
    path = await intake.submit()
    await intake.decide(path, "refuse")
    await intake.report(path)
    today = intake.clock.now().date().isoformat()
    early = {"request_id": id_of(path), "lodged_with": "authority", "received_on": "2025-12-01"}
    refused = await intake.officer.post("/v1/complaints", json=early)
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (400, "received_on")
    lodged = {
        "request_id": id_of(path),
        "lodged_with": "authority",
        "received_on": today,
        "note": "521.12: Ada asks why.",
    }
    assert (await intake.channel.post("/v1/complaints", json=lodged)).status_code == 403
    complaint = (await intake.officer.post("/v1/complaints", json=lodged)).json()
    await count(intake)
    assert told("dsr_decisions", decision="refuse", reason="EXCESSIVE", article="12(5)(b)") == 1
    assert told("dsr_complaints", lodged_with="authority", decision="open") == 1
    assert told("dsr_decisions_overturned", right="access") == 0
    verdict = {"decision": "upheld", "decided_on": today, "note": "It was no abuse, Ada is right."}
    at = f"/v1/complaints/{complaint['complaint_id']}/decision"
    assert (await intake.colleague.post(at, json=verdict)).json()["decision"] == "upheld"
    assert (await intake.colleague.post(at, json=verdict)).status_code == 409
    unknown = f"/v1/complaints/{uuid7()}/decision"
    assert (await intake.colleague.post(unknown, json=verdict)).status_code == 404
    await count(intake)
    assert told("dsr_complaints", lodged_with="authority", decision="open") == 0
    assert told("dsr_complaints", lodged_with="authority", decision="upheld") == 1
    assert told("dsr_decisions_overturned", right="access") == 1
    [listed] = (await intake.officer.get(f"/v1/complaints?request_id={id_of(path)}")).json()["complaints"]
    assert (listed["request_id"], listed["decided_on"]) == (id_of(path), today)
    assert "Ada" not in str(await intake.evidence(path))
    assert [each for each in await intake.actions(path) if "complaint" in each] == [
        "complaint.lodged",
        "complaint.decided",
    ]


async def test_the_sample_of_a_month_is_entered_and_corrected_and_the_last_one_counts(intake: Intake) -> None:
    for month, sampled, missed in (("2026-02", 50, 3), ("2026-01", 40, 0), ("2026-02", 50, 2)):
        said = {"month": month, "sampled": sampled, "missed": missed}
        assert (await intake.officer.post("/v1/intake-samples", json=said)).status_code == 201
    to_come = {"month": "2027-01", "sampled": 9, "missed": 0}
    assert (await intake.officer.post("/v1/intake-samples", json=to_come)).status_code == 400
    await count(intake)
    assert (told("dsr_intake_sampled"), told("dsr_intake_missed")) == (50, 2)
    listed = (await intake.officer.get("/v1/intake-samples")).json()["samples"]
    assert [each["month"] for each in listed] == ["2026-02-01", "2026-01-01"]


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
