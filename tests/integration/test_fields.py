"""What a field cannot hold is refused at the door by its name, and what a channel has submitted stays the channel's."""

from datetime import datetime
from typing import Any

import httpx
import pytest

from services.intake import auth
from tests.fixtures.intake import FREELY, PROOF, Intake
from tests.integration.test_api import GOOD, MANY, ONE, is_problem, stored

SOMEBODY = {"email": "somebody@example.com"}
CITY = {"field": "address.city", "asserted": "Berlin"}


def subject(**known: object) -> dict[str, Any]:
    return {"subject": {**SOMEBODY, **known}}


def number(value: str, **more: object) -> dict[str, Any]:
    return subject(phones=[{"number": value, **more}])


SINCE = "2024-03-02T09:00:00Z"


def proof(**said: Any) -> dict[str, Any]:
    proofs = [{"identity": "phones.0", "method": "sms_code", "on_file_since": SINCE, **said}]
    return {**number("+34688886392"), "assurance": None, "proofs": proofs}


REFUSED: list[tuple[dict[str, Any], str]] = [
    *((subject(name=f"Ada{each}Byron"), "subject.name") for each in ("\x00", "\x1b[2J", "\x85", "\u2028", "\u202e")),
    (subject(name="a" * 201), "subject.name"),
    (subject(email=f"{'a' * 250}@b.example"), "subject.email"),
    (subject(email="ada\x00@example.org"), "subject.email"),
    (subject(account_id="C" * 129), "subject.account_id"),
    (subject(sip_uri=f"sip:{'a' * 260}@pbx.example"), "subject.sip_uri"),
    (number("+34" + ";" * 30 + "688886392"), "subject.phones.0.number"),
    (number("688886392\x00", region="ES"), "subject.phones.0.number"),
    (number("688 886", region="ES"), "subject.phones.0.number"),
    (number("+34688886392", since="1899-12-31T23:00:00Z"), "subject.phones.0.since"),
    (number("+34688886392", since="0001-01-01T00:00:00+14:00"), "subject.phones.0.since"),
    (number("+34688886392", since="2999-01-01T00:00:00Z"), "subject.phones.0.since"),
    (number("+34688886392", until="2101-01-01T00:00:00Z"), "subject.phones.0.until"),
    (number("+34688886392", since="1700000000"), "subject.phones.0.since"),
    (proof(method="ada_byron"), "proofs.0.method"),
    (proof(identity="name"), "proofs.0.identity"),
    (proof(identity="phones.1"), "proofs.0.identity"),
    (proof(identity="email"), "proofs.0.method"),
    (proof(proved_at="2026-03-03T09:00:00Z"), "proofs.0.proved_at"),
    (proof(proved_at="2024-03-01T09:00:00Z"), "proofs.0.on_file_since"),
    ({"received_at": 1_700_000_000}, "received_at"),
    ({"received_at": "1700000000"}, "received_at"),
    ({"received_at": "0001-01-01T00:00:00+14:00"}, "received_at"),
    ({"received_at": "9999-12-31T23:59:59-14:00"}, "received_at"),
    ({"received_at": "1900-01-01T00:00:00Z"}, "received_at"),
    ({"received_at": "2024-02-29T00:00:00Z"}, "received_at"),
    ({"received_at": "2026-03-02T09:05:01Z"}, "received_at"),
    ({"assurance": {"level": "L2", "method": "ada_byron"}}, "assurance.method"),
    ({"right": "rectification", "changes": [{**CITY, "asserted": "Ber\x00lin"}]}, "changes.0.asserted"),
    ({"right": "rectification", "changes": [{**CITY, "current": "a" * 2001}]}, "changes.0.current"),
]


async def test_what_a_field_cannot_hold_is_refused_by_its_name_alone_and_in_a_batch(intake: Intake) -> None:
    for changed, field in REFUSED:
        bad = {**GOOD, **changed}
        for path, body, prefix in ((ONE, bad, ""), (MANY, {"requests": [GOOD, bad]}, "requests.1.")):
            answer = await intake.channel.post(path, json=body)
            assert answer.status_code in {400, 422}, (changed, answer.text)
            assert [each["field"] for each in answer.json()["errors"]] == [f"{prefix}{field}"], changed
    assert await stored(intake) == 0


async def test_by_what_a_number_was_proved_is_on_record_and_from_when_on_is_sealed_with_it(intake: Intake) -> None:
    path = await intake.submit(**proof())
    assert (await intake.evidence(path))[0]["detail"]["proofs"] == [
        {"type": "phone", "method": "sms_code", "level": "L1"}
    ]
    async with intake.unit_of_work.begin() as tx:
        ref = await tx.connection.fetchval("SELECT subject_ref FROM request")
        known = (await tx.vault.subject_data(tx.connection, [ref]))[ref]
    assert [each.proved_since for each in known.identities if each.value == "+34688886392"] == [
        datetime.fromisoformat(SINCE)
    ]


@pytest.mark.parametrize("value", [r'"\ud800"', r'"\ude00\ud83d"'])
async def test_half_a_surrogate_pair_is_no_text(intake: Intake, value: str) -> None:
    body = '{"right": "access", "subject": {"email": "somebody@example.com", "name": NAME}}'.replace("NAME", value)
    answer = await intake.channel.post(ONE, content=body.encode(), headers={"Content-Type": "application/json"})
    assert is_problem(answer, 422, "invalid")
    assert await stored(intake) == 0


async def test_an_answer_that_came_before_its_question_is_refused_and_one_by_a_slow_clock_is_not(
    intake: Intake,
) -> None:
    path = await intake.submit()
    await intake.ask(path, "clarification")
    for received_at, status, code in (
        ("2026-03-02T08:54:59Z", 400, "bad_request"),
        ("0001-01-01T00:00:00+14:00", 422, "invalid"),
        ("2026-03-02T09:05:01Z", 400, "bad_request"),
        ("yesterday", 422, "invalid"),
    ):
        answer = await intake.channel.post(f"{path}/reply", json={"text": "the first", "received_at": received_at})
        assert is_problem(answer, status, code)
        assert [each["field"] for each in answer.json()["errors"]] == ["received_at"]
    said = {"text": "the first", "received_at": "2026-03-02T08:56:00Z"}
    assert (await intake.channel.post(f"{path}/reply", json=said)).status_code == 200
    answered = (await intake.published())[-1]
    assert (answered["type"], answered["answered_at"]) == ("dsr.request.question_answered.v1", "2026-03-02T09:00:00Z")


async def test_how_somebody_proved_who_they_are_later_is_a_word_of_the_policy_too(intake: Intake) -> None:
    path = await intake.submit(assurance=None)
    proof = {"assurance": {**PROOF["assurance"], "method": "ada_byron"}}
    answer = await intake.channel.post(f"{path}/verify", json=proof)
    assert is_problem(answer, 400, "bad_request")
    assert "signed_in_mfa" in answer.json()["detail"]


async def test_a_replaced_key_sees_and_repeats_what_was_submitted_with_the_one_before(
    intake: Intake, database: str
) -> None:
    old_id = intake.channel.headers["Authorization"].split("_")[1]
    replacement = await auth.replace(database, old_id, intake.clock.now())
    assert await auth.replace(database, "0" * 12, intake.clock.now()) is None
    once = {"Idempotency-Key": "across keys"}
    first = await intake.channel.post(ONE, json=GOOD, headers=once)
    path = f"{ONE}/{first.json()['request_id']}"
    stranger = await auth.create(database, "channel", "portal", intake.clock.now(), FREELY)

    async def by(key: str | None, method: str, path: str, **more: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {key}", **more.pop("headers", {})}
        return await intake.channel.request(method, path, headers=headers, **more)

    assert (await by(replacement, "GET", path)).status_code == 200
    assert is_problem(await by(stranger, "GET", path), 404, "not_found")
    again = await by(replacement, "POST", ONE, json=GOOD, headers=once)
    assert (again.status_code, again.json()) == (200, first.json())
    assert (await by(stranger, "POST", ONE, json=GOOD, headers=once)).status_code == 201
    seen = {"If-Match": (await by(replacement, "GET", path)).headers["ETag"]}
    withdrawn = await intake.channel.post(f"{path}/withdraw", headers=seen)
    repeated = await by(replacement, "POST", f"{path}/withdraw", headers=seen)
    assert (withdrawn.status_code, repeated.status_code, repeated.json()) == (200, 200, withdrawn.json())
    assert is_problem(await by(stranger, "POST", f"{path}/withdraw", headers=seen), 404, "not_found")
    await auth.revoke(database, old_id, intake.clock.now())
    assert (await by(replacement, "GET", path)).json()["outcome"] == "withdrawn"
