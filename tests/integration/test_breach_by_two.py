"""No single person makes a late breach timely, or one without a risk: whoever else agrees is asked for just that."""

from datetime import datetime, timedelta

import httpx
import pytest

from services.intake.auth import create
from shared.runtime.metrics import PEOPLE
from tests.fixtures.handed_out import look
from tests.fixtures.intake import Intake, id_of
from tests.integration.test_breach_record import (
    CLOSING,
    HIGH_RISK,
    NO_RISK,
    NOT_HIGH,
    RECORD,
    closings,
    entered,
    field_of,
    opened_of,
    proposed,
    told,
)

NONE = {"decision": "no_risk", "explanation": "Nobody is at risk."}


async def noted(intake: Intake, path: str, **said: object) -> str:
    """Where a second person agrees with the notice that its owner has noted."""
    answer = await intake.colleague.post(f"{path}/notices", json=told(intake, **said))
    assert answer.status_code == 200, answer.text
    [*_, last] = (await intake.colleague.get(path)).json()["notices"]
    return f"{path}/notices/{last['notice_id']}/approval"


@pytest.mark.parametrize("decision", ["no_risk", "no_breach"])
async def test_a_late_breach_is_closed_without_a_notice_only_if_two_say_that_there_is_no_risk_at_all(
    intake: Intake, decision: str
) -> None:
    path = await entered(intake)
    intake.clock.pass_by(hours=73)
    assert (await intake.officer.post(await proposed(intake, path, NOT_HIGH))).status_code == 200
    refused = await intake.colleague.post(f"{path}/close", json={**NONE, "decision": decision})
    assert (refused.status_code, "Art. 33(1)" in refused.text, "Art. 34" in refused.text) == (409, True, True)
    approval = await proposed(intake, path, NO_RISK)
    assert (await intake.colleague.post(f"{path}/close", json={**NONE, "decision": decision})).status_code == 409
    assert (await intake.officer.post(approval)).status_code == 200
    assert (await intake.colleague.post(f"{path}/close", json={**NONE, "decision": decision})).status_code == 200
    assert await closings(intake) == [{"decision": decision, "in_time": False}]


async def test_a_risk_that_is_not_high_is_one_also_within_the_72_hours(intake: Intake) -> None:
    path = await entered(intake)
    await intake.officer.post(await proposed(intake, path, NOT_HIGH))
    for decision in ("no_risk", "no_breach"):
        refused = await intake.colleague.post(f"{path}/close", json={**NONE, "decision": decision})
        assert (refused.status_code, "Art. 33(1)" in refused.text) == (409, True)
    both = {**HIGH_RISK, "no_risk": True, "concerned": [id_of(await intake.submit())]}
    assert (await intake.colleague.post(f"{path}/assessments", json=both)).status_code == 422, "not both"


async def test_a_notice_that_only_its_date_makes_timely_counts_once_a_second_person_agrees(intake: Intake) -> None:
    path, began = await entered(intake), intake.clock.now()
    intake.clock.pass_by(hours=179)
    on_time = (began + timedelta(hours=20)).isoformat()
    silent = await intake.colleague.post(f"{path}/notices", json=told(intake, told_at=on_time))
    assert field_of(silent) == (400, ["delay"]), "why it is noted only now"
    approval = await noted(intake, path, told_at=on_time, delay="Ada told them by telephone and was ill since.")
    await look(intake)
    assert PEOPLE.get_sample_value("dsr_breaches_open", {"in_time": "no"}) == 1
    read = (await intake.officer.get(path)).json()
    assert read["breach"]["told_at"] is None
    [notice] = read["notices"]
    assert (notice["waits"], datetime.fromisoformat(notice["noted_at"])) == (True, intake.clock.now())
    await intake.officer.post(await proposed(intake, path, NO_RISK))
    refused = await intake.colleague.post(f"{path}/close", json=CLOSING)
    assert (refused.status_code, "second person" in refused.text) == (409, True)
    assert (await intake.colleague.post(approval)).status_code == 409, "the same person"
    assert datetime.fromisoformat((await intake.officer.post(approval)).json()["told_at"]) == began + timedelta(
        hours=20
    )
    assert (await intake.officer.post(approval)).status_code == 409, "it waits for nobody"
    [notice] = (await intake.officer.get(path)).json()["notices"]
    assert (notice["waits"], notice["agreed_by"]) == (False, "officer-1")
    await look(intake)
    assert PEOPLE.get_sample_value("dsr_breaches_open", {"in_time": "no"}) == 0
    assert (await intake.colleague.post(f"{path}/close", json=CLOSING)).status_code == 200
    assert await closings(intake) == [{"decision": "authority_notified", "in_time": True}]


async def test_nobody_agrees_with_the_date_of_a_notice_who_has_handled_the_request(
    intake: Intake, database: str
) -> None:
    request = await intake.submit()
    await intake.decide(request, "refuse")  # both officers have
    path = f"/v1/breaches/{await opened_of(intake, request)}"
    key = await create(database, "privacy", "officer-3", intake.clock.now())
    third = {"Authorization": f"Bearer {key}"}
    await intake.officer.post(f"{path}/owner", headers=third)
    at = intake.clock.now().isoformat()
    intake.clock.pass_by(hours=80)
    said = told(intake, told_at=at, delay="It was noted late.")
    assert (await intake.officer.post(f"{path}/notices", json=said, headers=third)).status_code == 200
    [notice] = (await intake.officer.get(path)).json()["notices"]
    refused = await intake.colleague.post(f"{path}/notices/{notice['notice_id']}/approval")
    assert (refused.status_code, "handled this request" in refused.text) == (403, True)


async def test_a_notice_to_a_customer_that_is_dated_back_closes_nothing_in_time_by_one_word(intake: Intake) -> None:
    path, at = await entered(intake), intake.clock.now().isoformat()
    intake.clock.pass_by(hours=80)
    approval = await noted(intake, path, whom="controller", to="ACME", told_at=at, delay="We forgot to note it.")
    await intake.officer.post(await proposed(intake, path, NO_RISK))
    closing = {**CLOSING, "decision": "controller_notified"}
    assert (await intake.colleague.post(f"{path}/close", json=closing)).status_code == 409
    assert (await intake.officer.post(approval)).status_code == 200
    assert (await intake.colleague.post(f"{path}/close", json=closing)).status_code == 200
    assert await closings(intake) == [{"decision": "controller_notified", "in_time": True}]


async def test_a_notice_from_before_the_breach_was_on_record_takes_two_and_one_of_the_same_minute_does_not(
    intake: Intake,
) -> None:
    known = intake.clock.now()
    path = await entered(intake, found_at=(known - timedelta(hours=60)).isoformat())
    await noted(intake, path, phase="initial", told_at=(known - timedelta(hours=50)).isoformat())
    await noted(intake, path, told_at=(known - timedelta(seconds=59)).isoformat())
    read = (await intake.officer.get(path)).json()
    assert [each["waits"] for each in read["notices"]] == [True, False]
    assert datetime.fromisoformat(read["breach"]["told_at"]) == known - timedelta(seconds=59)


async def test_a_notice_waits_for_a_second_person_once_an_earlier_hour_leaves_it_timely_by_its_date_alone(
    intake: Intake,
) -> None:
    path, known = await entered(intake), intake.clock.now()
    intake.clock.pass_by(hours=60)
    await noted(intake, path, told_at=(known + timedelta(hours=1)).isoformat())
    assert (await intake.officer.get(path)).json()["breach"]["told_at"] is not None

    async def found(hours: int) -> httpx.Response:
        said = {"found_at": (known - timedelta(hours=hours)).isoformat(), "reasons": "Ada has known it since."}
        return await intake.colleague.post(f"{path}/awareness", json=said)

    assert (await found(24)).json()["told_at"] is None
    assert (await intake.officer.get(path)).json()["notices"][0]["waits"] is True
    assert (await found(80)).json()["told_at"] is not None, "late by what it says itself, it needs no second word"


@pytest.mark.parametrize(
    "changed",
    [{"facts": "All passwords were public."}, {"people": 50_000}, {"effects": "Theft."}, {"categories": ["invoice"]}],
)
async def test_whoever_changes_what_has_happened_voids_what_two_have_agreed_about_it(
    intake: Intake, changed: dict[str, object]
) -> None:
    path = await entered(intake)
    approval = await proposed(intake, path, NO_RISK)
    assert (await intake.officer.post(approval)).status_code == 200
    assert (await intake.colleague.put(f"{path}/record", json=RECORD)).status_code == 200, "as it was"
    assert (await intake.officer.get(path)).json()["assessment"]["void_at"] is None
    (await intake.colleague.put(f"{path}/record", json={**RECORD, **changed})).raise_for_status()
    for closing in (NONE, {**NONE, "decision": "no_breach"}):
        refused = await intake.colleague.post(f"{path}/close", json=closing)
        assert (refused.status_code, "stated otherwise" in refused.text) == (409, True)
    (await intake.colleague.post(f"{path}/notices", json=told(intake))).raise_for_status()
    refused = await intake.colleague.post(f"{path}/close", json=CLOSING)
    assert (refused.status_code, "stated otherwise" in refused.text) == (409, True), "of Art. 34 too"
    assert (await intake.officer.get(path)).json()["assessment"]["void_at"] is not None
    assert (await intake.officer.post(await proposed(intake, path, NO_RISK))).status_code == 200
    assert (await intake.colleague.post(f"{path}/close", json=CLOSING)).status_code == 200


async def test_nobody_agrees_with_an_assessment_of_what_was_stated_before_or_found_at_another_hour(
    intake: Intake,
) -> None:
    path, known = await entered(intake), intake.clock.now()
    approval = await proposed(intake, path, NO_RISK)
    (await intake.colleague.put(f"{path}/record", json={**RECORD, "people": 41})).raise_for_status()
    refused = await intake.officer.post(approval)
    assert (refused.status_code, "stated otherwise" in refused.text) == (409, True)
    assert (await intake.officer.post(await proposed(intake, path, NO_RISK))).status_code == 200
    said = {"found_at": (known - timedelta(hours=1)).isoformat(), "reasons": "Ada has known it since."}
    (await intake.colleague.post(f"{path}/awareness", json=said)).raise_for_status()
    refused = await intake.colleague.post(f"{path}/close", json=NONE)
    assert (refused.status_code, "stated otherwise" in refused.text) == (409, True)
