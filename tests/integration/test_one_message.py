"""One message with several rights: a request for each, one day of receipt, one case number (scenario 2)."""

from typing import Any
from uuid import UUID

import httpx
import pytest
from uuid_utils.compat import uuid7

from shared.domain.precedence import Kind, Marks
from shared.storage import open_requests
from tests.fixtures.intake import PROOF, Intake, reference_of

SUBJECT = {"email": "ada@example.org", "country": "DE"}
MESSAGE: dict[str, Any] = {
    "rights": ["access", "erasure", "objection"],
    "subject": SUBJECT,
    "scope": "direct_marketing",
    "received_at": "2026-02-27T10:00:00Z",
    **PROOF,
}


async def sent(intake: Intake, **changed: object) -> httpx.Response:
    headers = {"Idempotency-Key": "one-message"}
    return await intake.channel.post("/v1/requests", json={**MESSAGE, **changed}, headers=headers)


async def test_message_becomes_one_request_per_right_with_one_case_number(intake: Intake) -> None:
    answer = await sent(intake)
    assert answer.status_code == 201, answer.text
    case = answer.json()
    views = [await intake.view(f"/v1/requests/{each['request_id']}") for each in case["requests"]]
    assert [view["right"] for view in views] == MESSAGE["rights"]
    assert {view["received_at"] for view in views} == {"2026-02-27T10:00:00+00:00"}
    assert {view["case"]["case_number"] for view in views} == {case["case_number"]}
    assert [view["scope"] for view in views] == [None, None, "direct_marketing"], "each has what is its own"
    assert [each["right"] for each in views[1]["case"]["requests"]] == MESSAGE["rights"]
    again = await sent(intake)
    assert (again.status_code, again.json()) == (200, case), "a repeat gives the first answer"


async def test_withdrawn_consent_erases_nothing_before_its_copy(intake: Intake) -> None:
    said = {"rights": ["access", "consent_withdrawal"], "purposes": ["marketing"]}
    answer = await intake.channel.post(
        "/v1/requests", json={"subject": SUBJECT, **said, "assurance": None, "proofs": []}
    )
    assert answer.status_code == 201, answer.text
    access, withdrawal = answer.json()["requests"]
    assert [access["state"], withdrawal["state"]] == ["awaiting_identity", "in_progress"]
    asked = {UUID(withdrawal["request_id"]): Marks(), uuid7(): Marks(emails=frozenset({b"ada@example.org"}))}

    async def before() -> dict[UUID, list[str]]:
        async with intake.unit_of_work.begin() as tx:
            found = await open_requests.others(tx.connection, asked, {Kind.COPY})
        return {request_id: [str(other.request_id) for other in others] for request_id, others in found.items()}

    assert await before() == {UUID(withdrawal["request_id"]): [access["request_id"]]}, "and nobody else waits for it"
    path = f"/v1/requests/{access['request_id']}"
    (await intake.channel.post(f"{path}/withdraw")).raise_for_status()
    assert await before() == {}


async def test_what_came_alone_has_no_case(intake: Intake) -> None:
    assert "case" not in await intake.view(await intake.submit())


DO_NOT_FIT: list[tuple[dict[str, Any], str]] = [
    ({"rights": ["access"]}, "rights names one alone: write right, with that name"),
    ({"rights": ["access", "access"]}, "rights names access twice, and no other: write right in its place"),
    ({"rights": ["access", "access", "erasure"]}, "rights names one of them twice; name each once"),
    ({"right": "access"}, "right or rights"),
    ({"rights": ["access", "erasure"]}, "scope belongs to objection"),
    ({"rights": ["access", "rectification", "objection"]}, "changes belong to a rectification"),
    ({"subject": {"name": "Ada"}}, "at least one of email"),
    ({"unheard": 1}, "Extra inputs"),
]


async def test_invalid_message_is_refused_whole(intake: Intake, subtests: pytest.Subtests) -> None:
    for wrong, says in DO_NOT_FIT:
        with subtests.test(says):
            answer = await sent(intake, **wrong)
            assert answer.status_code == 422
            assert sum(says in each["message"] for each in answer.json()["errors"]) == 1, answer.text
            assert await intake.types() == []


async def test_the_evidence_of_each_names_the_case(intake: Intake) -> None:
    case = (await sent(intake)).json()
    for each in case["requests"]:
        [received] = await intake.details(f"/v1/requests/{each['request_id']}", "request.received")
        assert received["case_number"] == case["case_number"]


async def test_one_letter_acknowledges_all_of_it_and_each_answer_names_the_case(intake: Intake) -> None:
    case = (await sent(intake, language="en")).json()
    access, erasure, objection = (f"/v1/requests/{each['request_id']}" for each in case["requests"])
    [acknowledged] = (await intake.view(f"{access}/letters"))["letters"]
    for each in case["requests"]:
        assert reference_of(each["request_id"]) in acknowledged["body"]
        assert each["letter_code"] in acknowledged["body"]
    for path in (erasure, objection):
        assert (await intake.view(f"{path}/letters"))["letters"] == []
    await intake.complete(access, package_id=None)
    [answer] = (await intake.view(f"{access}/letters"))["letters"][1:]
    assert reference_of(case["case_number"]) in answer["body"]
    assert "none has to wait for another" in answer["body"]


async def test_the_letter_that_answers_the_last_part_says_that_it_is_and_how_the_others_ended(intake: Intake) -> None:
    case = (await sent(intake, rights=["access", "objection"], language="en")).json()
    access, objection = (f"/v1/requests/{each['request_id']}" for each in case["requests"])
    await intake.complete(objection)
    await intake.complete(access, package_id=None)
    first, last = [(await intake.view(f"{path}/letters"))["letters"][-1]["body"] for path in (objection, access)]
    assert "all of your message is answered" not in first
    assert "all of your message is answered" in last
    assert "objection" in last.partition("already have:")[2]
