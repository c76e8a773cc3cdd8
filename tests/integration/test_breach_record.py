"""A breach is documented, the authority is told in 72 hours or hears why not, and two persons decide who else is."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import orjson
import pytest
from uuid_utils.compat import uuid7

from services.intake import expiry, orphans
from services.intake.auth import create
from services.intake.breach.breaches import HandedOut, open_one
from services.intake.retention import retention
from shared.domain.release import Fault
from shared.runtime.metrics import PEOPLE
from tests.fixtures.handed_out import look
from tests.fixtures.intake import Intake, id_of

RECORD: dict[str, Any] = {
    "nature": ["confidentiality"],
    "facts": "The list of Ada Quarzfels lay on a public server from Monday on.",
    "effects": "Whoever found it may call her.",
    "measures": "It was taken down, and the server is closed.",
    "categories": ["call_record"],
    "people": 40,
    "records": 1200,
}
WORDS = {"happened": "A list of your calls was public.", "consequences": "Calls.", "measures": "It is gone."}
NO_RISK = {"high_risk": False, "no_risk": True, "reasons": "Numbers alone, for an hour."}
NOT_HIGH = {"high_risk": False, "reasons": "Somebody may call them."}
HIGH_RISK: dict[str, Any] = {"high_risk": True, "reasons": "It is.", "words": {"en": WORDS}}
CLOSING = {"decision": "authority_notified", "explanation": "Ada is told, the BlnBDI has closed its case."}


async def entered(intake: Intake, **said: object) -> str:
    """The path of a breach that was found elsewhere, and that the second officer owns."""
    found = {"found_at": intake.clock.now().isoformat(), **RECORD, **said}
    answer = await intake.officer.post("/v1/breaches", json=found)
    assert answer.status_code == 201, answer.text
    path = f"/v1/breaches/{answer.json()['breach_id']}"
    assert (await intake.colleague.post(f"{path}/owner")).json()["owner"] == "officer-2"
    return path


def told(intake: Intake, **said: object) -> dict[str, object]:
    at = intake.clock.now().isoformat()
    return {"whom": "authority", "to": "BlnBDI 521.12", "told_at": at, "phase": "complete", "what": "By form.", **said}


async def proposed(intake: Intake, path: str, said: dict[str, object]) -> str:
    answer = await intake.colleague.post(f"{path}/assessments", json=said)
    assert answer.status_code == 201, answer.text
    return f"{path}/assessments/{answer.json()['assessment_id']}/approval"


async def opened_of(intake: Intake, request: str) -> str:
    """The id of a breach that happened in the handling of that request, and that nobody owns."""
    found = {"found_at": intake.clock.now().isoformat(), "request_id": id_of(request), **RECORD}
    return str((await intake.officer.post("/v1/breaches", json=found)).json()["breach_id"])


async def closings(intake: Intake) -> list[dict[str, object]]:
    """How breaches were closed, as the evidence has it."""
    closed = "SELECT detail FROM evidence.entry WHERE action = 'breach.closed' ORDER BY seq"
    found = [orjson.loads(row["detail"]) for row in await intake.unit_of_work.pool.fetch(closed)]
    return [{name: each[name] for name in ("decision", "in_time")} for each in found]


def field_of(answer: httpx.Response) -> tuple[int, list[str]]:
    return answer.status_code, [each["field"] for each in answer.json()["errors"]]


async def test_breach_found_elsewhere_is_sealed_and_each_reader_recorded(intake: Intake) -> None:
    path = await entered(intake)
    late = {"found_at": (intake.clock.now() + timedelta(hours=1)).isoformat(), **RECORD}
    assert field_of(await intake.officer.post("/v1/breaches", json=late)) == (400, ["found_at"])
    unknown = {**RECORD, "categories": ["fax"]}
    assert field_of(await intake.colleague.put(f"{path}/record", json=unknown)) == (400, ["categories"])
    assert (await intake.officer.put(f"{path}/record", json=RECORD)).status_code == 403, "they do not own it"
    stated = await intake.colleague.put(f"{path}/record", json={**RECORD, "people": 41})
    assert (stated.json()["people"], stated.json()["request_id"]) == (41, None)
    read = (await intake.officer.get(path)).json()
    assert (read["record"]["facts"], read["record"]["people"]) == (RECORD["facts"], 41)
    rows = await intake.unit_of_work.pool.fetch("SELECT action, detail FROM evidence.entry ORDER BY seq")
    assert [row["action"] for row in rows] == [
        *("breach.entered", "breach.recorded", "breach.owned", "breach.recorded", "breach.read")
    ]
    assert "Ada" not in str(rows)
    words = await intake.unit_of_work.pool.fetch("SELECT content FROM vault.sealed WHERE kind = 'breach_record'")
    assert len(words) == 2, "what was stated first stays"


async def test_notice_to_the_authority_after_72_hours_gives_the_reason_for_delay(intake: Intake) -> None:
    path = await entered(intake)
    intake.clock.pass_by(hours=72, seconds=1)
    await look(intake)
    assert PEOPLE.get_sample_value("dsr_breaches_open", {"in_time": "no"}) == 1
    assert field_of(await intake.colleague.post(f"{path}/notices", json=told(intake))) == (400, ["delay"])
    before = (intake.clock.now() - timedelta(hours=80)).isoformat()
    assert field_of(await intake.colleague.post(f"{path}/notices", json=told(intake, told_at=before)))[1] == ["told_at"]
    in_part = told(intake, phase="initial", delay="The mail was down.")
    assert (await intake.colleague.post(f"{path}/notices", json=in_part)).status_code == 200
    await look(intake)
    assert PEOPLE.get_sample_value("dsr_breaches_open", {"in_time": "no"}) == 0
    [notice] = (await intake.colleague.get(path)).json()["notices"]
    assert (notice["to"], notice["delay"], notice["noted_by"]) == ("BlnBDI 521.12", "The mail was down.", "officer-2")


async def test_a_breach_is_closed_once_everything_is_told_and_two_persons_have_judged_the_risk(intake: Intake) -> None:
    path = await entered(intake)

    async def close() -> tuple[int, str]:
        answer = await intake.colleague.post(f"{path}/close", json=CLOSING)
        return answer.status_code, answer.json().get("detail", "")

    assert "everything" in (await close())[1]
    await intake.colleague.post(f"{path}/notices", json=told(intake, phase="initial"))
    assert "everything" in (await close())[1], "the rest follows"
    await intake.colleague.post(f"{path}/notices", json=told(intake))
    assert "Art. 34" in (await close())[1]
    approval = await proposed(intake, path, NO_RISK)
    assert "Art. 34" in (await close())[1], "one person has said so"
    assert (await intake.colleague.post(approval)).status_code == 409, "the same person"
    assert (await intake.officer.post(approval)).json() == {"letters": 0}
    assert (await intake.officer.post(approval)).status_code == 409, "it is approved"
    assert (await close())[0] == 200
    assert (await intake.colleague.put(f"{path}/record", json=RECORD)).status_code == 409, "it is closed"
    closing = (await intake.officer.get(path)).json()["closing"]
    assert closing == CLOSING


async def test_handler_of_the_request_does_not_assess_its_breach(intake: Intake, database: str) -> None:
    request = await intake.submit()
    await intake.decide(request, "refuse")  # both officers have
    path = f"/v1/breaches/{await opened_of(intake, request)}"
    for client in (intake.officer, intake.colleague):
        assert (await client.post(f"{path}/owner")).status_code == 403
    key = await create(database, "privacy", "officer-3", intake.clock.now())
    third = {"Authorization": f"Bearer {key}"}
    assert (await intake.officer.post(f"{path}/owner", headers=third)).status_code == 200
    assert (await intake.officer.post(f"{path}/owner", headers=third)).status_code == 200, "seeing to it is no handling"
    assessed = await intake.officer.post(f"{path}/assessments", json=NO_RISK, headers=third)
    approval = f"{path}/assessments/{assessed.json()['assessment_id']}/approval"
    refused = await intake.colleague.post(approval)
    assert (refused.status_code, "handled this request" in refused.text) == (403, True)


async def test_who_has_looked_at_a_request_may_see_to_its_breach(intake: Intake) -> None:
    request = await intake.submit()
    path = f"/v1/breaches/{await opened_of(intake, request)}"
    looked = ["request.viewed", "letters.read", "letter.printed", "mail.read", "mail.fetched", "proposal.read"]
    looked += ["manual_steps.read", "identities.fetched", "case.exported"]
    async with intake.unit_of_work.begin() as tx:
        for action in looked:
            tx.log_evidence(UUID(id_of(request)), action, {}, "person:officer-2")
    assert (await intake.officer.get(f"{request}/letters")).status_code == 200
    assert (await intake.colleague.post(f"{path}/owner")).status_code == 200
    assert (await intake.officer.post(f"{path}/owner")).status_code == 200


async def test_a_notice_to_a_customer_ends_no_clock_of_the_authority(intake: Intake) -> None:
    path = await entered(intake)
    told_first = await intake.colleague.post(f"{path}/notices", json=told(intake, whom="controller", to="ACME"))
    assert (told_first.status_code, told_first.json()["told_at"]) == (200, None)
    intake.clock.pass_by(hours=200)
    await look(intake)
    assert PEOPLE.get_sample_value("dsr_breaches_open", {"in_time": "no"}) == 1
    assert field_of(await intake.colleague.post(f"{path}/notices", json=told(intake))) == (400, ["delay"])
    late = told(intake, delay="We took it for the customer's alone.")
    assert (await intake.colleague.post(f"{path}/notices", json=late)).status_code == 200
    await intake.officer.post(await proposed(intake, path, NO_RISK))
    assert (await intake.colleague.post(f"{path}/close", json=CLOSING)).status_code == 200
    assert await closings(intake) == [{"decision": "authority_notified", "in_time": False}]


async def test_owner_corrects_when_a_breach_was_found_but_not_past_its_entry(intake: Intake) -> None:
    known = intake.clock.now()
    path = await entered(intake, found_at=(known - timedelta(days=28)).isoformat())

    async def correct(hours: float) -> httpx.Response:
        said = {"found_at": (known + timedelta(hours=hours)).isoformat(), "reasons": "Ada wrote the month as the day."}
        return await intake.colleague.post(f"{path}/awareness", json=said)

    unchanged = (await correct(-2)).json()
    assert datetime.fromisoformat(unchanged["found_at"]) == known - timedelta(days=28), (
        "its owner alone lengthens nothing"
    )
    later = (await intake.officer.get(path)).json()["later"]
    assert (later["proposed_by"], later["reasons"]) == ("officer-2", "Ada wrote the month as the day.")
    approval = f"{path}/awareness/{later['correction_id']}/approval"
    assert (await intake.colleague.post(approval)).status_code == 409, "the same person"
    corrected = (await intake.officer.post(approval)).json()
    hours = [datetime.fromisoformat(corrected[name]) - known for name in ("found_at", "notify_by")]
    assert hours == [timedelta(hours=-2), timedelta(hours=70)]
    assert (await intake.officer.post(approval)).status_code == 404, "it is approved"
    intake.clock.pass_by(hours=60)
    assert field_of(await correct(1)) == (400, ["found_at"]), "it was entered before"
    assert (await intake.colleague.post(f"{path}/notices", json=told(intake))).status_code == 200
    assert (await correct(-20)).json()["told_at"] > (await correct(-20)).json()["notify_by"], "the notice is late now"
    earlier = (known - timedelta(hours=30)).isoformat()
    await intake.colleague.post(f"{path}/notices", json=told(intake, told_at=(known - timedelta(hours=10)).isoformat()))
    assert field_of(await correct(-9)) == (400, ["found_at"]), "somebody was told before"
    said = {"found_at": earlier, "reasons": "Ada has known it since."}
    assert (await intake.officer.post(f"{path}/awareness", json=said)).status_code == 403, "they do not own it"
    read = (await intake.officer.get(path)).json()
    assert [each["reasons"] for each in read["corrections"]] == ["Ada wrote the month as the day."] * 3
    rows = await intake.unit_of_work.pool.fetch(
        "SELECT detail FROM evidence.entry WHERE action = 'breach.awareness_corrected'"
    )
    assert (len(rows), "Ada" in str(rows)) == (3, False)


async def test_breach_of_customer_data_alone_is_closed_by_notifying_the_customer(intake: Intake) -> None:
    closing = {**CLOSING, "decision": "controller_notified"}
    theirs, ours = await entered(intake), await entered(intake)
    for path in (theirs, ours):
        await intake.colleague.post(f"{path}/notices", json=told(intake, whom="controller", to="ACME"))
    await intake.officer.post(await proposed(intake, theirs, NO_RISK))
    intake.clock.pass_by(hours=80)
    assert (await intake.colleague.post(f"{theirs}/close", json=closing)).status_code == 200
    assert await closings(intake) == [{"decision": "controller_notified", "in_time": True}]
    say = {**HIGH_RISK, "concerned": [id_of(await intake.submit())]}
    await intake.officer.post(await proposed(intake, ours, say))
    refused = await intake.colleague.post(f"{ours}/close", json=closing)
    assert (refused.status_code, "the authority" in refused.text) == (409, True), "we have written to a person of ours"


async def test_a_breach_of_which_nobody_was_told_in_time_is_closed_as_none_by_two_persons(intake: Intake) -> None:
    path = await entered(intake)
    closing = {"decision": "no_breach", "explanation": "It was nothing."}
    intake.clock.pass_by(hours=80)
    alone = await intake.colleague.post(f"{path}/close", json=closing)
    assert (alone.status_code, "second person" in alone.text) == (409, True)
    assert (await intake.officer.post(await proposed(intake, path, NO_RISK))).status_code == 200
    assert (await intake.colleague.post(f"{path}/close", json=closing)).status_code == 200


@pytest.mark.parametrize("decision", ["no_risk", "no_breach"])
async def test_high_risk_is_lowered_to_none_only_by_two_approvers(intake: Intake, decision: str) -> None:
    path = await entered(intake)
    closing = {"decision": decision, "explanation": "It was none after all."}

    async def refused() -> bool:
        answer = await intake.colleague.post(f"{path}/close", json=closing)
        return answer.status_code == 409 and "two persons" in answer.text

    approval = await proposed(intake, path, {**HIGH_RISK, "concerned": [id_of(await intake.submit())]})
    assert await refused(), "it waits for the second"
    assert (await intake.officer.post(approval)).json() == {"letters": 1}
    assert await refused(), "it is out"
    approval = await proposed(intake, path, NO_RISK)
    assert await refused(), "its owner alone says otherwise"
    assert (await intake.officer.post(approval)).status_code == 200
    assert (await intake.colleague.post(f"{path}/close", json=closing)).status_code == 200


async def test_the_record_of_a_breach_is_kept_as_the_policy_says_and_then_goes_with_its_words(intake: Intake) -> None:
    path = await entered(intake)
    closing = {"decision": "no_risk", "explanation": "Encrypted."}
    alone = await intake.colleague.post(f"{path}/close", json=closing)
    assert (alone.status_code, "nobody has judged the risk" in alone.text) == (409, True), "no owner says so alone"
    approval = await proposed(intake, path, NO_RISK)
    assert (await intake.colleague.post(f"{path}/close", json=closing)).status_code == 409
    assert (await intake.officer.post(approval)).status_code == 200
    assert (await intake.colleague.post(f"{path}/close", json=closing)).status_code == 200
    intake.clock.pass_by(days=366 * 5 - 10)
    pool = intake.unit_of_work.pool
    async with pool.acquire() as connection:
        await orphans.count(connection, intake.clock.now(), timedelta(days=14), retention())
    assert PEOPLE.get_sample_value("dsr_vault_orphans", {"what": "no_request"}) == 0
    assert (await expiry.end_all(intake.unit_of_work, retention(), lambda: None))["breaches"] == 0
    intake.clock.pass_by(days=10)
    assert (await expiry.end_all(intake.unit_of_work, retention(), lambda: None))["breaches"] == 1
    assert await pool.fetchval("SELECT count(*) FROM vault.sealed WHERE kind LIKE 'breach%'") == 0
    assert (await intake.officer.get(path)).status_code == 404


# No single person makes a late breach timely, or one without a risk: whoever else agrees is asked for just that.
NONE = {"decision": "no_risk", "explanation": "Nobody is at risk."}


async def noted(intake: Intake, path: str, **said: object) -> str:
    """Where a second person agrees with the notice that its owner has noted."""
    answer = await intake.colleague.post(f"{path}/notices", json=told(intake, **said))
    assert answer.status_code == 200, answer.text
    [*_, last] = (await intake.colleague.get(path)).json()["notices"]
    return f"{path}/notices/{last['notice_id']}/approval"


@pytest.mark.parametrize("decision", ["no_risk", "no_breach"])
async def test_late_breach_closes_unnotified_if_two_persons_see_no_risk(intake: Intake, decision: str) -> None:
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


async def test_handler_of_the_request_does_not_approve_the_notice_date(intake: Intake, database: str) -> None:
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


async def test_notice_dated_before_the_record_needs_dual_approval(intake: Intake) -> None:
    known = intake.clock.now()
    path = await entered(intake, found_at=(known - timedelta(hours=60)).isoformat())
    await noted(intake, path, phase="initial", told_at=(known - timedelta(hours=50)).isoformat())
    await noted(intake, path, told_at=(known - timedelta(seconds=59)).isoformat())
    read = (await intake.officer.get(path)).json()
    assert [each["waits"] for each in read["notices"]] == [True, False]
    assert datetime.fromisoformat(read["breach"]["told_at"]) == known - timedelta(seconds=59)


async def test_earlier_discovery_that_leaves_a_notice_timely_needs_dual_approval(intake: Intake) -> None:
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
async def test_changed_description_voids_the_agreed_assessment(intake: Intake, changed: dict[str, object]) -> None:
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


async def test_assessment_of_an_outdated_breach_is_not_approved(intake: Intake) -> None:
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


# Who is told of a breach by letter (Art. 34): each person once, nobody who is not shown to be concerned.
async def test_of_a_high_risk_each_person_hears_in_their_language_once_and_by_the_word_of_two(intake: Intake) -> None:
    german = await intake.submit(language="de")
    english = await intake.submit()
    path = await entered(intake)
    say: dict[str, object] = {"high_risk": True, "reasons": "Whom she calls is known.", "words": {"en": WORDS}}
    concerned = [id_of(german), id_of(english)]
    missing = await intake.colleague.post(f"{path}/assessments", json={**say, "concerned": concerned})
    assert field_of(missing) == (400, ["words"])
    both = {**say, "words": {"en": WORDS, "de": {**WORDS, "happened": "Ihre Anrufliste war öffentlich."}}}
    approval = await proposed(intake, path, {**both, "concerned": concerned})
    assert await intake.letters(german) == [], "one person has said so"
    anew = await proposed(intake, path, {**both, "concerned": concerned})
    assert (await intake.officer.post(approval)).status_code == 404, "what one has read is not what holds"
    assert (await intake.officer.post(anew)).json() == {"letters": 2}
    [letter] = await intake.letters(german)
    assert (letter["kind"], letter["subject"]) == ("breach", "Wichtig: Verletzung der Sicherheit Ihrer Daten")
    assert "Ihre Anrufliste war öffentlich." in letter["body"]
    again = await proposed(intake, path, {**both, "concerned": concerned})
    assert (await intake.officer.post(again)).json() == {"letters": 0}, "nobody is told twice"
    assert [each["request_id"] for each in (await intake.officer.get(path)).json()["letters"]] == sorted(concerned)


async def test_portal_requester_is_notified_of_a_breach_letter(intake: Intake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSR_PORTAL_URL", "https://privacy.example")
    request = await intake.submit()
    await intake.unit_of_work.pool.execute("UPDATE request SET channel = 'portal'")
    path = await entered(intake)
    say = {"high_risk": True, "reasons": "It is.", "words": {"en": WORDS}, "concerned": [id_of(request)]}
    assert (await intake.officer.post(await proposed(intake, path, say))).json() == {"letters": 1}
    notice, news = await intake.letters(request)
    assert (notice["kind"], news["kind"], news["to"]) == ("breach", "portal_news", ["ada@example.org"])
    assert "public" not in news["body"]
    await intake.colleague.post(f"{path}/notices", json=told(intake))
    early = await intake.colleague.post(f"{path}/close", json=CLOSING)
    assert (early.status_code, "not delivered" in early.text) == (409, True), "nobody has heard of the letter yet"
    await intake.unit_of_work.pool.execute("DELETE FROM delivery WHERE kind = 'portal_news'")
    unheard = await intake.colleague.post(f"{path}/close", json=CLOSING)
    assert (unheard.status_code, "were not told" in unheard.text) == (409, True), "nobody ever will"
    await intake.colleague.post(f"{path}/notices", json=told(intake, whom="persons", people=1))
    assert (await intake.colleague.post(f"{path}/close", json=CLOSING)).status_code == 200


@pytest.mark.parametrize("why", ["nobody_proved", "customer"])
async def test_nobody_is_told_of_a_breach_by_a_request_that_is_not_shown_to_be_theirs(intake: Intake, why: str) -> None:
    match why:
        case "nobody_proved":
            request = await intake.submit(assurance=None, proofs=[])
            path = await entered(intake)
        case _:
            request = await intake.submit()
            path = await entered(intake)
            await intake.unit_of_work.pool.execute("UPDATE request SET role = 'processor'")
    say = {"high_risk": True, "reasons": "It is.", "words": {"en": WORDS}, "concerned": [id_of(request)]}
    refused = await intake.colleague.post(f"{path}/assessments", json=say)
    assert field_of(refused) == (400, ["concerned"])
    unknown = {**say, "concerned": [str(uuid7())]}
    assert field_of(await intake.colleague.post(f"{path}/assessments", json=unknown)) == (400, ["concerned"])


async def test_no_letter_goes_to_whoever_has_asked_that_in_whose_handling_a_breach_happened(intake: Intake) -> None:
    who = {"email": "mallory@example.org", "country": "DE"}
    asked, another = await intake.submit(subject=who), await intake.submit(subject=who, right="erasure")
    unproved = await intake.submit(subject=who, assurance=None, proofs=[])
    other = await intake.submit()
    paths = [await entered(intake, request_id=id_of(asked)), await entered(intake, request_id=id_of(unproved))]
    for fault in Fault:
        async with intake.unit_of_work.begin() as tx:
            await open_one(tx, HandedOut(UUID(id_of(asked)), uuid7(), fault, 1), timedelta(hours=72))
    for breach in (await intake.officer.get("/v1/breaches")).json()["breaches"]:
        if breach["fault"]:
            paths.append(path := f"/v1/breaches/{breach['breach_id']}")
            assert (await intake.colleague.post(f"{path}/owner")).status_code == 200
            assert (await intake.colleague.put(f"{path}/record", json=RECORD)).status_code == 200
    assert len(paths) == 2 + len(Fault)
    for path in paths:
        for request in (asked, another):
            said = {**HIGH_RISK, "concerned": [id_of(other), id_of(request)]}
            refused = await intake.colleague.post(f"{path}/assessments", json=said)
            assert field_of(refused) == (400, ["concerned"]), path
    approval = await proposed(intake, paths[0], {**HIGH_RISK, "concerned": [id_of(other)]})
    assert (await intake.officer.post(approval)).json() == {"letters": 1}, "who has nothing to do with it is told"


async def test_who_has_asked_for_two_things_is_told_of_a_breach_once(intake: Intake) -> None:
    who = {"email": "ada@example.org", "country": "DE"}
    asked = [await intake.submit(subject=who), await intake.submit(subject=who, right="erasure"), await intake.submit()]
    path = await entered(intake)
    approval = await proposed(intake, path, {**HIGH_RISK, "concerned": [id_of(asked[0])]})
    assert (await intake.officer.post(approval)).json() == {"letters": 1}
    approval = await proposed(intake, path, {**HIGH_RISK, "concerned": [id_of(each) for each in asked]})
    assert (await intake.officer.post(approval)).json() == {"letters": 1}, "the other person alone"
    path = await entered(intake)
    approval = await proposed(intake, path, {**HIGH_RISK, "concerned": [id_of(each) for each in asked]})
    assert (await intake.officer.post(approval)).json() == {"letters": 2}, "each person has got one of this breach"


async def test_a_breach_is_not_settled_while_a_letter_to_a_person_is_not_delivered(intake: Intake) -> None:
    asked = [await intake.submit(), await intake.submit()]
    pool = intake.unit_of_work.pool
    await pool.execute("UPDATE request SET channel = 'email'")
    path = await entered(intake)
    await intake.colleague.post(f"{path}/notices", json=told(intake))
    say = {**HIGH_RISK, "concerned": [id_of(each) for each in asked]}
    assert (await intake.officer.post(await proposed(intake, path, say))).json() == {"letters": 2}

    async def closed(*states: str) -> tuple[int, str]:
        for request, state in zip(asked, states, strict=True):
            await pool.execute(
                "UPDATE delivery SET state = $2 WHERE request_id = $1 AND kind = 'breach'", id_of(request), state
            )
        assert [each["state"] for each in (await intake.officer.get(path)).json()["letters"]] == [*states]
        answer = await intake.colleague.post(f"{path}/close", json=CLOSING)
        return answer.status_code, answer.json().get("detail", "")

    for on_its_way in ("waiting", "person"):
        assert "under Letters" in (await closed("sent", on_its_way))[1]
    assert "Art. 34(1)" in (await closed("sent", "given_up"))[1], "the other has reached nobody"
    by_phone = told(intake, whom="persons", to="Ada", what="By telephone.", people=1)
    assert (await intake.colleague.post(f"{path}/notices", json=by_phone)).status_code == 200
    assert "under Letters" in (await closed("waiting", "given_up"))[1], "a notice is not theirs whom a letter may reach"
    assert (await closed("sent", "given_up"))[0] == 200


async def test_whom_no_letter_reaches_is_told_otherwise_before_a_breach_of_high_risk_is_closed(intake: Intake) -> None:
    path = await entered(intake)
    await intake.colleague.post(f"{path}/notices", json=told(intake))
    say = {"high_risk": True, "exemption": "disproportionate", "reasons": "Nobody knows who they are."}
    assert (await intake.officer.post(await proposed(intake, path, say))).status_code == 200
    refused = await intake.colleague.post(f"{path}/close", json=CLOSING)
    assert (refused.status_code, "34(3)(c)" in refused.text) == (409, True)
    public = told(intake, whom="persons", to="everybody", what="On our site.", people=40)
    assert (await intake.colleague.post(f"{path}/notices", json=public)).status_code == 200
    assert (await intake.colleague.post(f"{path}/close", json=CLOSING)).status_code == 200
