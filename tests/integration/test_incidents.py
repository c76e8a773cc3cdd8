"""An incident is documented, two people decide on its risk, and the parties concerned are notified (Art. 33, 34)."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import orjson
import pytest
from uuid_utils.compat import uuid7

from services.intake.access.auth import create
from services.intake.core.instants import retention
from services.intake.incidents.record import open_one
from services.intake.jobs import expiry
from shared.domain.release import ReleaseFault
from shared.runtime.metrics import PEOPLE
from tests.fixtures.handed_out import look
from tests.fixtures.intake import Intake, id_of

FACTS: dict[str, Any] = {
    "nature": ["confidentiality"],
    "facts": "The list of Ada Quarzfels lay on a public server from Monday on.",
    "effects": "Strangers may call her.",
    "measures": "It was taken down, and the server is closed.",
    "categories": ["call_record"],
    "people": 40,
    "records": 1200,
    "controllers": ["us"],
}
WORDS = {"happened": "A list of your calls was public.", "consequences": "Calls.", "measures": "It is gone."}
NONE = {"risk": "none", "reasons": "Numbers alone, for an hour."}
HIGH: dict[str, Any] = {"risk": "high", "reasons": "It is.", "words": {"en": WORDS}}
CLOSING = {"explanation": "Ada is notified, the BlnBDI has closed its case."}


def facts(intake: Intake, **said: object) -> dict[str, object]:
    return {"found_at": intake.clock.now().isoformat(), **FACTS, **said}


async def entered(intake: Intake, **said: object) -> str:
    """The path of an incident that was found elsewhere, and that the second officer owns."""
    answer = await intake.colleague.post("/v1/incidents", json=facts(intake, **said))
    assert (answer.status_code, answer.json()["owner"]) == (201, "officer-2"), answer.text
    return f"/v1/incidents/{answer.json()['incident_id']}"


async def opened_of(intake: Intake, request: str) -> str:
    """The path of an incident that happened in the handling of that request; its first officer has reported it."""
    said = facts(intake, request_id=id_of(request))
    return f"/v1/incidents/{(await intake.officer.post('/v1/incidents', json=said)).json()['incident_id']}"


async def noted(intake: Intake, path: str, **said: object) -> httpx.Response:
    at = intake.clock.now().isoformat()
    notice = {"whom": "authority", "to": "BlnBDI 521.12", "notified_at": at, "complete": True, "what": "By form."}
    return await intake.colleague.post(f"{path}/actions/notified", json={**notice, **said})


async def proposed(intake: Intake, path: str, said: Mapping[str, object]) -> str:
    """Proposes a decision; returns the path of its approval."""
    answer = await intake.colleague.post(f"{path}/actions/decide", json=said)
    assert answer.status_code == 202, answer.text
    return f"/v1/approvals/{answer.json()['approval_id']}/approve"


async def decided(intake: Intake, path: str, said: Mapping[str, object]) -> int:
    """Decided by two; to how many requests there are letters."""
    answer = await intake.officer.post(await proposed(intake, path, said))
    assert answer.status_code == 200, answer.text
    return len((await intake.officer.get(path)).json()["letters"])


async def close(intake: Intake, path: str) -> tuple[int, str]:
    answer = await intake.colleague.post(f"{path}/actions/close", json=CLOSING)
    return answer.status_code, answer.json().get("detail", "")


async def evidence(intake: Intake, action: str) -> list[dict[str, Any]]:
    query = "SELECT detail FROM evidence.entry WHERE action = $1 ORDER BY seq"
    return [orjson.loads(row["detail"]) for row in await intake.unit_of_work.pool.fetch(query, action)]


def field_of(answer: httpx.Response) -> tuple[int, list[str]]:
    return answer.status_code, [each["field"] for each in answer.json()["errors"]]


async def test_facts_are_kept_in_sealed_versions_and_each_reader_is_recorded(intake: Intake) -> None:
    path = await entered(intake)
    tomorrow = (intake.clock.now() + timedelta(hours=1)).isoformat()
    for wrong, name in (({"found_at": tomorrow}, "found_at"), ({"categories": ["fax"]}, "categories")):
        assert field_of(await intake.officer.post("/v1/incidents", json=facts(intake, **wrong))) == (400, [name])
        assert field_of(await intake.officer.post(f"{path}/actions/facts", json=facts(intake, **wrong))) == (
            400,
            [name],
        )
    unknown = facts(intake, request_id=str(uuid7()))
    assert field_of(await intake.officer.post("/v1/incidents", json=unknown)) == (400, ["request_id"])
    (await intake.officer.post(f"{path}/actions/facts", json=facts(intake, people=41))).raise_for_status()
    read = (await intake.officer.get(path)).json()
    assert (read["people"], read["owner"]) == (41, "officer-1")
    said = [(each["said_by"], each["said"]["people"]) for each in read["entries"]]
    assert said == [("officer-2", 40), ("officer-1", 41)]
    rows = await intake.unit_of_work.pool.fetch("SELECT action, detail FROM evidence.entry ORDER BY seq")
    named = ["incident.entered", "incident.stated", "incident.stated", "incident.read"]
    assert [row["action"] for row in rows] == named
    assert "Ada" not in str(rows)
    assert (await intake.channel.get("/v1/incidents")).status_code == 403


async def test_late_notice_to_the_authority_gives_the_reason_for_delay_whatever_its_date(intake: Intake) -> None:
    path, found_at = await entered(intake), intake.clock.now()
    intake.clock.pass_by(hours=72, seconds=1)
    assert (await noted(intake, path, whom="controller", to="ACME", delay="We looked for it.")).status_code == 200
    await look(intake)
    assert PEOPLE.get_sample_value("dsr_incidents_open", {"in_time": "no"}) == 1, "a customer is another duty"
    assert field_of(await noted(intake, path)) == (400, ["delay"])
    before = (found_at - timedelta(hours=1)).isoformat()
    assert field_of(await noted(intake, path, notified_at=before)) == (400, ["notified_at"])
    dated = {"notified_at": found_at.isoformat(), "delay": "Ada informed them by telephone and was ill since."}
    assert (await noted(intake, path, complete=False, **dated)).status_code == 200
    assert (await intake.officer.get(path)).json()["notified_at"] is not None
    await look(intake)
    assert PEOPLE.get_sample_value("dsr_incidents_open", {"in_time": "no"}) == 0
    await decided(intake, path, {"risk": "some", "reasons": "They may get calls."})
    assert "no complete notice" in (await close(intake, path))[1], "the rest follows"
    await noted(intake, path)
    assert (await close(intake, path))[0] == 200
    assert [each["in_time"] for each in await evidence(intake, "incident.closed")] == [False], "it cannot be backdated"


async def test_an_incident_is_closed_once_two_people_have_decided_and_all_are_notified(intake: Intake) -> None:
    path = await entered(intake)
    assert "Art. 33(1)" in (await close(intake, path))[1]
    first = await proposed(intake, path, NONE)
    [listed] = (await intake.officer.get("/v1/incidents")).json()["data"]
    assert (listed["proposed_by"], (await close(intake, path))[0]) == ("officer-2", 409), "one person has said so"
    again = await proposed(intake, path, {"risk": "some", "reasons": "They may get calls."})
    assert (await intake.officer.post(first)).status_code == 409, "another decision than was read"
    assert (await intake.officer.post(again)).status_code == 200
    assert "authority" in (await close(intake, path))[1]
    await noted(intake, path)
    assert (await close(intake, path))[0] == 200
    assert (await intake.colleague.post(f"{path}/actions/facts", json=facts(intake))).status_code == 409, "it is closed"
    assert (await intake.officer.get(path)).json()["entries"][-1]["said"] == CLOSING
    assert (await evidence(intake, "incident.closed"))[0]["in_time"] is True
    assert (await intake.colleague.post(f"/v1/incidents/{uuid7()}/actions/close", json=CLOSING)).status_code == 404


async def test_incident_without_a_risk_needs_no_notice(intake: Intake) -> None:
    path = await entered(intake)
    intake.clock.pass_by(hours=80)
    assert await decided(intake, path, NONE) == 0
    assert (await close(intake, path))[0] == 200
    assert [(each["risk"], each["in_time"]) for each in await evidence(intake, "incident.closed")] == [("none", False)]


async def test_handler_of_a_request_reports_its_incident_but_does_nothing_more(intake: Intake, database: str) -> None:
    request = await intake.submit()
    await intake.decide(request, "refuse")  # both officers have
    path = await opened_of(intake, request)
    assert (await intake.officer.get(path)).json()["owner"] is None
    third = {"Authorization": f"Bearer {await create(database, 'privacy', 'officer-3', intake.clock.now())}"}
    (await intake.officer.post(f"{path}/actions/facts", json=facts(intake), headers=third)).raise_for_status()
    assert (await intake.officer.get(path)).json()["owner"] == "officer-3"
    decision = await intake.officer.post(f"{path}/actions/decide", json=NONE, headers=third)
    approve = f"/v1/approvals/{decision.json()['approval_id']}/approve"
    steps = {"facts": facts(intake), "decide": NONE, "close": CLOSING}
    for step, said in {approve: None, **{f"{path}/actions/{name}": said for name, said in steps.items()}}.items():
        refused = await intake.colleague.post(step, json=said)
        assert (refused.status_code, "handled this request" in refused.text) == (403, True), step
    assert (await noted(intake, path)).status_code == 403


async def test_who_has_looked_at_a_request_may_see_to_its_incident(intake: Intake) -> None:
    request = await intake.submit()
    path = await opened_of(intake, request)
    looked = ["request.viewed", "letters.read", "letter.printed", "mail.read", "mail.fetched", "proposal.read"]
    looked += ["manual_steps.read", "identities.fetched", "case.exported"]
    async with intake.unit_of_work.begin() as tx:
        for action in looked:
            tx.log_evidence(UUID(id_of(request)), action, {}, "person:officer-2")
    assert (await intake.officer.get(f"{request}/letters")).status_code == 200
    for client in (intake.colleague, intake.officer):
        assert (await client.post(f"{path}/actions/facts", json=facts(intake))).status_code == 200


async def test_earlier_discovery_counts_immediately_and_a_later_one_by_two_people(intake: Intake) -> None:
    known = intake.clock.now()
    path = await entered(intake, found_at=(known - timedelta(days=28)).isoformat())

    async def found(hours: float) -> httpx.Response:
        said = facts(intake, found_at=(known + timedelta(hours=hours)).isoformat())
        stated = await intake.colleague.post(f"{path}/actions/facts", json=said)
        return stated if stated.is_error else await intake.officer.get(path)

    def hours_of(answer: httpx.Response) -> list[float]:
        times = (datetime.fromisoformat(answer.json()[name]) for name in ("found_at", "notify_by"))
        return [(each - known) / timedelta(hours=1) for each in times]

    assert hours_of(await found(-2)) == [-672, -600], "one person lengthens nothing"
    await decided(intake, path, NONE)
    assert hours_of(await intake.officer.get(path)) == [-2, 70]
    assert hours_of(await found(-20)) == [-20, 52]
    assert field_of(await found(1)) == (400, ["found_at"]), "it was entered before"
    await noted(intake, path, notified_at=(known - timedelta(hours=10)).isoformat())
    assert field_of(await found(-9)) == (400, ["found_at"]), "a notice was sent before"


async def test_other_facts_void_the_decision_on_them(intake: Intake) -> None:
    path, known = await entered(intake), intake.clock.now()
    said = {**FACTS, "found_at": known.isoformat()}
    approval = await proposed(intake, path, NONE)
    (await intake.colleague.post(f"{path}/actions/facts", json=said)).raise_for_status()
    (await intake.officer.post(approval)).raise_for_status()  # they are as they were
    for changed in ({"people": 50_000}, {"found_at": (known - timedelta(hours=1)).isoformat()}):
        (await intake.colleague.post(f"{path}/actions/facts", json={**said, **changed})).raise_for_status()
        assert "two people" in (await close(intake, path))[1]
        approval = await proposed(intake, path, NONE)
        (await intake.colleague.post(f"{path}/actions/facts", json=said)).raise_for_status()
        assert (await intake.officer.get(path)).json()["proposed_by"] is None
        assert (await intake.officer.post(approval)).status_code == 409
        assert await decided(intake, path, NONE) == 0


@pytest.mark.parametrize("controllers", [["customer"], ["us", "customer"]])
async def test_the_customer_who_decides_is_notified(intake: Intake, controllers: list[str]) -> None:
    path = await entered(intake, controllers=controllers)
    await decided(intake, path, {"risk": "high", "exemption": "averted", "reasons": "It is."})
    if "us" in controllers:
        await noted(intake, path)
    else:
        said = {**HIGH, "concerned": [id_of(await intake.submit())]}
        refused = await intake.colleague.post(f"{path}/actions/decide", json=said)
        assert field_of(refused) == (400, ["concerned"]), "the customer tells them"
    assert "controller" in (await close(intake, path))[1]
    await noted(intake, path, whom="controller", to="ACME")
    assert (await close(intake, path))[0] == 200


@pytest.mark.parametrize(
    ("customers", "risk", "owed"), [(0, "some", ""), (3, "none", ""), (3, "some", "fcc"), (500, "none", "fcc")]
)
async def test_the_fcc_is_notified_of_customers_in_the_usa(
    intake: Intake, customers: int, risk: str, owed: str
) -> None:
    path = await entered(intake, us_customers=customers)
    await decided(intake, path, {"risk": risk, "reasons": "So."})
    await noted(intake, path)
    if owed and risk != "none":
        await noted(intake, path, whom="subjects", to="3 customers in the USA")
    assert owed in (await close(intake, path))[1]
    if owed:
        await noted(intake, path, whom="fcc", to="Central reporting facility")
        assert (await close(intake, path))[0] == 200


async def test_an_incident_is_kept_as_the_policy_says_and_then_goes_with_its_words(intake: Intake) -> None:
    path = await entered(intake)
    await decided(intake, path, NONE)
    assert (await close(intake, path))[0] == 200
    intake.clock.pass_by(days=366 * 5 - 10)
    pool = intake.unit_of_work.pool
    async with pool.acquire() as connection:
        await expiry.count_left(connection, retention(), intake.clock.now(), timedelta(days=14))
    assert PEOPLE.get_sample_value("dsr_vault_orphans", {"what": "no_request"}) == 0
    assert (await expiry.end_all(intake.unit_of_work, retention(), lambda: None))["incidents"] == 0
    intake.clock.pass_by(days=10)
    assert (await expiry.end_all(intake.unit_of_work, retention(), lambda: None))["incidents"] == 1
    assert await pool.fetchval("SELECT count(*) FROM vault.sealed WHERE kind = 'incident'") == 0
    assert (await intake.officer.get(path)).status_code == 404


# Letters about an incident (Art. 34): one by each named request, and only to people shown to be concerned.
async def test_two_people_send_one_letter_by_each_request_in_its_language(intake: Intake) -> None:
    german, english, path = await intake.submit(language="de"), await intake.submit(), await entered(intake)
    concerned = [id_of(german), id_of(english)]
    missing = await intake.colleague.post(f"{path}/actions/decide", json={**HIGH, "concerned": concerned})
    assert field_of(missing) == (400, ["words"])
    words = {"en": WORDS, "de": {**WORDS, "happened": "Ihre Anrufliste war öffentlich."}}
    approval = await proposed(intake, path, {**HIGH, "words": words, "concerned": concerned})
    assert await intake.letters(german) == [], "one person has said so"
    (await intake.officer.post(approval)).raise_for_status()
    assert [each["request_id"] for each in (await intake.officer.get(path)).json()["letters"]] == sorted(concerned)
    [letter] = await intake.letters(german)
    assert (letter["kind"], letter["subject"]) == ("breach", "Wichtig: Verletzung der Sicherheit Ihrer Daten")
    assert "Ihre Anrufliste war öffentlich." in letter["body"]
    assert await decided(intake, path, {**HIGH, "words": words, "concerned": concerned}) == 2
    assert len(await intake.letters(german)) == 1, "no one is notified twice"


async def test_portal_requester_is_notified_of_the_letter(intake: Intake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSR_PORTAL_URL", "https://privacy.example")
    request, path = await intake.submit(), await entered(intake)
    await intake.unit_of_work.pool.execute("UPDATE request SET channel = 'portal'")
    assert await decided(intake, path, {**HIGH, "concerned": [id_of(request)]}) == 1
    notice, news = await intake.letters(request)
    assert (notice["kind"], news["kind"], news["to"]) == ("breach", "portal_news", ["ada@example.org"])
    assert "public" not in news["body"]
    await noted(intake, path)
    assert "not delivered" in (await close(intake, path))[1], "the letter is not announced yet"
    await intake.unit_of_work.pool.execute("DELETE FROM delivery WHERE kind = 'portal_news'")
    assert "not notified" in (await close(intake, path))[1], "and never will be"
    await noted(intake, path, whom="subjects")
    assert (await close(intake, path))[0] == 200


@pytest.mark.parametrize("why", ["unproved", "customer", "unknown"])
async def test_no_letter_goes_by_a_request_that_is_not_shown_to_be_theirs(intake: Intake, why: str) -> None:
    request = await (intake.submit(assurance=None, proofs=[]) if why == "unproved" else intake.submit())
    path = await entered(intake)
    if why == "customer":
        await intake.unit_of_work.pool.execute("UPDATE request SET role = 'processor'")
    said = {**HIGH, "concerned": [str(uuid7()) if why == "unknown" else id_of(request)]}
    assert field_of(await intake.colleague.post(f"{path}/actions/decide", json=said)) == (400, ["concerned"])


async def test_no_letter_goes_to_the_requester_with_whose_request_it_happened(intake: Intake) -> None:
    who = {"email": "mallory@example.org", "country": "DE"}
    asked, another = await intake.submit(subject=who), await intake.submit(subject=who, right="erasure")
    unproved = await intake.submit(subject=who, assurance=None, proofs=[])
    other = await intake.submit()
    paths = [await entered(intake, request_id=id_of(asked)), await entered(intake, request_id=id_of(unproved))]
    for fault in ReleaseFault:
        async with intake.unit_of_work.begin() as tx:
            await open_one(tx, UUID(id_of(asked)), uuid7(), fault, 1)
    for incident in (await intake.officer.get("/v1/incidents")).json()["data"]:
        if incident["fault"]:
            paths.append(path := f"/v1/incidents/{incident['incident_id']}")
            stated = await intake.colleague.post(f"{path}/actions/decide", json=NONE)
            assert (stated.status_code, "facts first" in stated.text) == (409, True)
            assert (await intake.colleague.post(f"{path}/actions/facts", json=facts(intake))).status_code == 200
    assert len(paths) == 2 + len(ReleaseFault)
    for path in paths:
        for request in (asked, another):
            said = {**HIGH, "concerned": [id_of(other), id_of(request)]}
            refused = await intake.colleague.post(f"{path}/actions/decide", json=said)
            assert field_of(refused) == (400, ["concerned"]), path
    assert await decided(intake, paths[0], {**HIGH, "concerned": [id_of(other)]}) == 1


async def test_an_incident_stays_open_while_a_letter_is_not_delivered(intake: Intake) -> None:
    asked, pool = [await intake.submit(), await intake.submit()], intake.unit_of_work.pool
    await pool.execute("UPDATE request SET channel = 'email'")
    path = await entered(intake)
    await noted(intake, path)
    assert await decided(intake, path, {**HIGH, "concerned": [id_of(each) for each in asked]}) == 2

    async def closed(*states: str) -> tuple[int, str]:
        update = "UPDATE delivery SET state = $2 WHERE request_id = $1 AND kind = 'breach'"
        for request, state in zip(asked, states, strict=True):
            await pool.execute(update, id_of(request), state)
        assert [each["state"] for each in (await intake.officer.get(path)).json()["letters"]] == [*states]
        return await close(intake, path)

    for on_its_way in ("waiting", "needs_attention"):
        assert "under Letters" in (await closed("sent", on_its_way))[1]
    assert "Art. 34(1)" in (await closed("sent", "given_up"))[1], "the other was not delivered"
    await noted(intake, path, whom="subjects", to="Ada", what="By telephone.")
    assert "under Letters" in (await closed("waiting", "given_up"))[1], "a letter may still reach them"
    assert (await closed("sent", "given_up"))[0] == 200


async def test_a_public_notice_takes_the_place_of_disproportionate_letters(intake: Intake) -> None:
    path = await entered(intake)
    await noted(intake, path)
    both = await intake.colleague.post(f"{path}/actions/decide", json={**HIGH, "exemption": "disproportionate"})
    assert both.status_code == 422, "no letters, then"
    await decided(intake, path, {"risk": "high", "exemption": "disproportionate", "reasons": "The people are unknown."})
    assert "34(3)(c)" in (await close(intake, path))[1]
    await noted(intake, path, whom="subjects", to="everybody", what="On our site.")
    assert (await close(intake, path))[0] == 200
