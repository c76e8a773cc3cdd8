"""Who is told of a breach by letter (Art. 34): each person once, nobody who is not shown to be concerned."""

from datetime import timedelta
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from services.intake.breach.breaches import HandedOut, open_one
from shared.domain.release import Fault
from tests.fixtures.intake import Intake, id_of
from tests.integration.test_breach_record import CLOSING, HIGH_RISK, RECORD, WORDS, entered, field_of, proposed
from tests.integration.test_breach_record import told as noted


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
    assert (letter["kind"], letter["subject"]) == (
        "breach_notice",
        "Wichtig: Verletzung der Sicherheit Ihrer Daten",
    )
    assert "Ihre Anrufliste war öffentlich." in letter["body"]
    again = await proposed(intake, path, {**both, "concerned": concerned})
    assert (await intake.officer.post(again)).json() == {"letters": 0}, "nobody is told twice"
    shown = (await intake.officer.get(f"{path}/letter?language=de")).json()
    assert "Ihre Anrufliste war öffentlich." in shown["body"]
    assert [each["request_id"] for each in (await intake.officer.get(path)).json()["letters"]] == sorted(concerned)


async def test_whoever_asked_in_the_portal_is_written_to_that_a_letter_about_a_breach_is_there(
    intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DSR_PORTAL_URL", "https://privacy.example")
    request = await intake.submit()
    await intake.unit_of_work.pool.execute("UPDATE request SET channel = 'portal'")
    path = await entered(intake)
    say = {"high_risk": True, "reasons": "It is.", "words": {"en": WORDS}, "concerned": [id_of(request)]}
    assert (await intake.officer.post(await proposed(intake, path, say))).json() == {"letters": 1}
    told, news = await intake.letters(request)
    assert (told["kind"], news["kind"], news["to"]) == ("breach_notice", "portal_news", ["ada@example.org"])
    assert "public" not in news["body"]
    await intake.colleague.post(f"{path}/notices", json=noted(intake))
    early = await intake.colleague.post(f"{path}/close", json=CLOSING)
    assert (early.status_code, "not delivered" in early.text) == (409, True), "nobody has heard of the letter yet"
    await intake.unit_of_work.pool.execute("DELETE FROM delivery WHERE kind = 'portal_news'")
    unheard = await intake.colleague.post(f"{path}/close", json=CLOSING)
    assert (unheard.status_code, "were not told" in unheard.text) == (409, True), "nobody ever will"
    await intake.colleague.post(f"{path}/notices", json=noted(intake, whom="persons", people=1))
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
    await intake.colleague.post(f"{path}/notices", json=noted(intake))
    say = {**HIGH_RISK, "concerned": [id_of(each) for each in asked]}
    assert (await intake.officer.post(await proposed(intake, path, say))).json() == {"letters": 2}

    async def closed(*states: str) -> tuple[int, str]:
        for request, state in zip(asked, states, strict=True):
            await pool.execute(
                "UPDATE delivery SET state = $2 WHERE request_id = $1 AND kind = 'breach_notice'", id_of(request), state
            )
        assert [each["state"] for each in (await intake.officer.get(path)).json()["letters"]] == [*states]
        answer = await intake.colleague.post(f"{path}/close", json=CLOSING)
        return answer.status_code, answer.json().get("detail", "")

    for on_its_way in ("waiting", "person"):
        assert "under Letters" in (await closed("sent", on_its_way))[1]
    assert "Art. 34(1)" in (await closed("sent", "given_up"))[1], "the other has reached nobody"
    by_phone = noted(intake, whom="persons", to="Ada", what="By telephone.", people=1)
    assert (await intake.colleague.post(f"{path}/notices", json=by_phone)).status_code == 200
    assert "under Letters" in (await closed("waiting", "given_up"))[1], "a notice is not theirs whom a letter may reach"
    assert (await closed("sent", "given_up"))[0] == 200


async def test_whom_no_letter_reaches_is_told_otherwise_before_a_breach_of_high_risk_is_closed(intake: Intake) -> None:
    path = await entered(intake)
    await intake.colleague.post(f"{path}/notices", json=noted(intake))
    say = {"high_risk": True, "exemption": "disproportionate", "reasons": "Nobody knows who they are."}
    assert (await intake.officer.post(await proposed(intake, path, say))).status_code == 200
    refused = await intake.colleague.post(f"{path}/close", json=CLOSING)
    assert (refused.status_code, "34(3)(c)" in refused.text) == (409, True)
    public = noted(intake, whom="persons", to="everybody", what="On our site.", people=40)
    assert (await intake.colleague.post(f"{path}/notices", json=public)).status_code == 200
    assert (await intake.colleague.post(f"{path}/close", json=CLOSING)).status_code == 200
