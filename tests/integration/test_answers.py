"""Refused and partial answers (Art. 12(4)), forwarded requests, and requests of one message."""

from typing import Any
from uuid import UUID

import httpx
import pytest
from uuid_utils.compat import uuid7

from shared.domain.events import FulfilmentBlocked, FulfilmentCompleted, FulfilmentReported
from shared.domain.operations import Operation, TaskOutcome, TaskReport
from shared.domain.precedence import RequestKind, RequestMarks
from shared.domain.rights import Right
from shared.messaging.dispatcher import Unreadable
from shared.storage import open_requests
from tests.fixtures.events import a, fired
from tests.fixtures.intake import PROOF, PROPOSAL, REASONS, Intake, id_of, reference_of

EXPLANATION = REASONS["answer_in_part"]["explanation"]
REFUSAL = REASONS["refuse"]
PROBLEM = "urn:dsr:problem:"


def report(system: str, outcome: TaskOutcome | None = None, **more: Any) -> TaskReport:
    known = {"operation": Operation.EXPORT, "outcome": outcome, **more}
    return TaskReport(task_id=uuid7(), system=system, **known)


COPIED, AWAY = report("crm", TaskOutcome.EXPORTED, found=2), report("cdr")
ERASED = report("crm", TaskOutcome.ERASED, operation=Operation.ERASE, found=3, changed=3)
LOST_COPY = report("cdr", failure="table_missing")
LOST = report("cdr", operation=Operation.ERASE, failure="table_missing")


async def test_what_a_person_wrote_lies_sealed_and_is_neither_in_the_evidence_nor_on_the_bus(intake: Intake) -> None:
    path = await intake.submit()
    await intake.decide(path)
    await intake.report(path, COPIED, AWAY)
    letter = (await intake.letters(path))[-1]["body"]
    assert "We have no ground to leave this out, and owe it to you by" in letter
    assert "The legal basis" not in letter
    assert EXPLANATION not in str([await intake.evidence(path), await intake.published()])


async def test_a_reason_that_is_none_is_refused(intake: Intake) -> None:
    path = await intake.submit()
    for changed, field in (
        ({"reason": "LEGAL_CLAIMS", "article": "17(3)(e)"}, "reason"),  # of an erasure, and this is none
        ({"reason": "WE_WOULD_RATHER_NOT"}, "reason"),
        ({"article": "15(4)"}, "article"),
    ):
        refused = await intake.officer.post(f"{path}/actions/refuse", json={**REFUSAL, **changed})
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (400, field)
    unexplained = await intake.officer.post(f"{path}/actions/refuse", json={**REFUSAL, "explanation": " "})
    assert unexplained.status_code == 422


async def test_some_requests_cannot_be_refused(intake: Intake) -> None:
    erasure, marketing = {"right": "erasure"}, {"right": "objection", "scope": "direct_marketing"}
    for asked in (erasure, marketing, {"assurance": None}):
        path = await intake.submit(**asked)
        refused = await intake.officer.post(f"{path}/actions/refuse", json=REFUSAL)
        assert refused.json()["type"] == f"{PROBLEM}illegal_transition"


async def test_an_erasure_that_was_begun_is_not_refused_and_says_what_was_done(intake: Intake) -> None:
    path = await intake.submit(right="erasure")
    await intake.consume(a(FulfilmentBlocked, about=id_of(path), operation=Operation.ERASE, tasks=(ERASED, LOST)))
    refused = await intake.officer.post(f"{path}/actions/refuse", json=REFUSAL)
    assert "in crm: answer it in part" in refused.json()["detail"]


async def test_erasure_during_a_refusal_makes_it_a_partial_answer(intake: Intake) -> None:
    path = await intake.submit(right="erasure")
    await intake.consume(a(FulfilmentBlocked, about=id_of(path), operation=Operation.ERASE, tasks=(LOST,)))
    await intake.decide(path, "refuse")
    await intake.report(path, ERASED, LOST, operation=Operation.ERASE)
    assert (await intake.view(path))["outcome"] == "partially_fulfilled"
    written = [each["detail"]["kind"] for each in await intake.evidence(path) if each["action"] == "letter.written"]
    assert written == ["acknowledgement", "answer"]
    again = await intake.officer.post(f"{path}/actions/retry")
    assert again.status_code == 409  # what was not erased is refused


async def test_all_that_was_done_after_all_is_fulfilled_whatever_was_decided(intake: Intake) -> None:
    path = await intake.submit()
    await intake.decide(path)
    await intake.complete(path, tasks=(COPIED,), package_id=uuid7())
    assert (await intake.view(path))["state"] == "in_progress"
    await intake.report(path, COPIED)
    shown = await intake.view(path)
    assert (shown["outcome"], shown["package"]) == ("fulfilled", True)
    assert [letter["kind"] for letter in await intake.letters(path)] == ["answer"]
    assert "decision.overtaken" in await intake.actions(path)


async def test_the_missing_part_is_a_later_package_and_a_failed_one_may_be_tried_again(intake: Intake) -> None:
    path, first, later = await intake.submit(), uuid7(), uuid7()
    await intake.decide(path)
    await intake.report(path, COPIED, AWAY, package_id=first)
    await intake.consume(
        a(FulfilmentBlocked, about=id_of(path), tasks=(COPIED, report("cdr", failure="table_missing")))
    )
    retried = await intake.officer.post(f"{path}/actions/retry")
    assert (retried.json()["state"], (await intake.types())[-1]) == ("closed", "retry_requested")
    done = (COPIED, report("cdr", TaskOutcome.EXPORTED, found=7))
    await intake.consume(a(FulfilmentCompleted, about=id_of(path), tasks=done, package_id=later))
    shown = await intake.view(path)
    assert shown["outcome"] == "partially_fulfilled"
    assert shown["answer"].endswith("A part of it was done after your request had been closed.")
    package = await intake.unit_of_work.pool.fetchval("SELECT package_id FROM package")
    assert str(package) == str(later)
    assert (await intake.officer.post(f"{path}/actions/retry")).status_code == 409


async def test_a_proposal_is_void_once_the_request_has_changed(intake: Intake) -> None:
    path = await intake.submit()
    proposed = await intake.officer.post(f"{path}/actions/answer-in-part", json=REASONS["answer_in_part"])
    assert proposed.status_code == 202
    await intake.consume(a(FulfilmentBlocked, about=id_of(path), tasks=(LOST_COPY,)))
    listed = (await intake.colleague.get("/v1/approvals")).json()["data"]
    refused = await intake.colleague.post(f"/v1/approvals/{proposed.json()['approval_id']}/approve")
    assert (listed, refused.json()["type"]) == ([], f"{PROBLEM}precondition_failed")


async def test_nothing_waits_for_approval_once_its_request_has_gone_on_or_is_closed(intake: Intake) -> None:
    subject = {"email": "eve@example.org", "account_id": "C-17", "country": "DE"}
    closed, proved = await intake.submit(), await intake.submit(assurance=None, subject=subject)
    (await intake.officer.post(f"{closed}/actions/extend", json=PROPOSAL)).raise_for_status()
    by_hand = {"assurance": {"level": "L2", "method": "in_person"}}
    (await intake.officer.post(f"{proved}/actions/verify", json=by_hand)).raise_for_status()
    assert len((await intake.colleague.get("/v1/approvals")).json()["data"]) == 2
    (await intake.channel.post(f"{closed}/actions/withdraw")).raise_for_status()
    (await intake.channel.post(f"{proved}/actions/verify", json=PROOF)).raise_for_status()
    assert (await intake.colleague.get("/v1/approvals")).json()["data"] == []


async def test_a_proposal_whose_words_are_gone_leaves_the_others_listed(intake: Intake) -> None:
    paths = [await intake.submit() for _ in range(2)]
    for path in paths:
        await intake.officer.post(f"{path}/actions/answer-in-part", json=REASONS["answer_in_part"])
    async with intake.unit_of_work.begin() as tx:
        await tx.vault.shred(tx.connection, [UUID(id_of(paths[1]))], tx.now)
    listed = await intake.colleague.get("/v1/approvals")
    assert (listed.status_code, len(listed.json()["data"])) == (200, 1)


async def test_a_service_that_works_another_right_says_nothing_of_a_request(intake: Intake) -> None:
    path = await intake.submit(right="erasure")
    for kind in (FulfilmentCompleted, FulfilmentBlocked, FulfilmentReported):
        with pytest.raises(Unreadable, match="right is not the request's"):
            await intake.hear(a(kind, about=id_of(path), right=Right.ACCESS))
    assert (await intake.view(path))["state"] == "in_progress"


# Requests about a customer's data are forwarded, and the customer is reminded.
TO = {"controller": "Harbour Cranes Ltd"}


def message(**said: object) -> dict[str, Any]:
    who = {"email": "ada@example.org", "account_id": "C-1001", "country": "DE"}
    return {"right": "access", "language": "en", "subject": who, **PROOF, **said}


async def forward(intake: Intake, path: str, **said: object) -> str:
    answer = await intake.officer.post(f"{path}/actions/forward", json=TO | said)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["state"])


async def silent(intake: Intake, path: str, notice: str = "reminder", working_days: int = 5) -> None:
    await intake.consume(fired("customer", notice, id_of(path), days=working_days))


async def to_send(intake: Intake, path: str) -> list[str]:
    listed = (await intake.officer.get("/v1/letters")).raise_for_status().json()["data"]
    return [each["kind"] for each in listed if each["request_id"] == id_of(path)]


async def as_officer(intake: Intake, path: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await intake.officer.get(f"{path}/letters")).raise_for_status().json()["data"]
    return found


async def test_silent_customer_gets_a_letter_and_its_reply_settles_it(intake: Intake) -> None:
    path = await intake.submit(role="processor")
    assert await forward(intake, path) == "closed"
    assert (await intake.types())[-2:] == ["forwarded", "closed"]
    await silent(intake, path)
    reminder = (await as_officer(intake, path))[-1]
    assert (reminder["kind"], reminder["to"]) == ("controller_reminder", ["Harbour Cranes Ltd"])
    assert reference_of(path) in reminder["body"]
    assert "ada@" not in reminder["body"]
    assert (await to_send(intake, path))[-1] == "controller_reminder"
    await silent(intake, path, "escalation", 15)
    assert await intake.details(path, "controller.silent") == [{"working_days": 15}]
    said = await intake.officer.post(
        f"{path}/actions/record-controller-reply", json={"text": "We answer Ada Quarzfels by Friday."}
    )
    assert (said.status_code, said.json()["state"]) == (200, "closed")
    assert (await intake.types())[-1] == "controller_replied"
    await silent(intake, path)
    assert len(await as_officer(intake, path)) == 3  # acknowledgement, forwarded, one reminder
    assert "controller.notice_late" in await intake.actions(path)
    again = await intake.officer.post(f"{path}/actions/record-controller-reply", json={"text": "Again."})
    assert again.status_code == 409
    assert "Quarzfels" not in str(await intake.evidence(path))


async def test_who_the_customer_is_stands_in_no_letter_that_the_subject_reads_unless_it_may(intake: Intake) -> None:
    path = await intake.submit(role="processor")
    await forward(intake, path)
    await silent(intake, path)
    assert [letter["kind"] for letter in await intake.letters(path)] == ["forwarded"]
    assert "Harbour" not in str(await intake.letters(path))


async def test_a_customer_cannot_reply_to_what_they_do_not_have(intake: Intake) -> None:
    path = await intake.submit()
    answer = await intake.officer.post(f"{path}/actions/record-controller-reply", json={"text": "What?"})
    assert (answer.status_code, answer.json()["detail"]) == (409, "it was not passed on to a customer")


async def test_message_about_two_controllers_becomes_two_requests_of_one_case(intake: Intake) -> None:
    answer = await intake.channel.post("/v1/requests", json=message(role="both"))
    assert answer.status_code == 201
    ours, theirs = (f"/v1/requests/{each['request_id']}" for each in answer.json()["requests"])
    assert answer.json()["case_number"] == id_of(ours)
    assert [each["due_on"] for each in answer.json()["requests"]] == ["2026-04-01", "2026-03-04"]
    assert [(await intake.view(path))["role"] for path in (ours, theirs)] == ["controller", "processor"]
    (acknowledgement,) = (await intake.view(f"{ours}/letters"))["data"]
    said = f"access (reference {reference_of(theirs)}"
    assert said in (body := " ".join(acknowledgement["body"].split()))
    assert "about data that one of our customers decides about: we pass it on to them" in body
    await intake.complete(ours)
    assert (await intake.view(ours))["outcome"] == "fulfilled", "ours does not wait for theirs"
    assert await forward(intake, theirs, may_be_named=True) == "closed"
    view = await intake.view(theirs)
    assert (view["outcome"], view["forwarding"]["due_on"], view["forwarding"]["overdue"]) == (
        "forwarded",
        "2026-03-04",
        False,
    )
    assert [each["outcome"] for each in view["case"]["requests"]] == ["fulfilled", "forwarded"]
    assert (await intake.types()).count("verified") == 1, "no system is asked about the customer's data"


async def test_a_message_with_several_rights_becomes_two_requests_of_each(intake: Intake) -> None:
    said = message(role="both", rights=["access", "erasure"])
    del said["right"]
    answer = await intake.channel.post("/v1/requests", json=said)
    assert answer.status_code == 201, answer.text
    views = [await intake.view(f"/v1/requests/{each['request_id']}") for each in answer.json()["requests"]]
    assert [(view["right"], view["role"]) for view in views] == [
        ("access", "controller"),
        ("erasure", "controller"),
        ("access", "processor"),
        ("erasure", "processor"),
    ]


async def test_a_field_of_another_right_is_named_where_the_message_is_about_both(intake: Intake) -> None:
    answer = await intake.channel.post("/v1/requests", json=message(role="both", ground="unlawful"))
    assert answer.status_code == 422
    assert "ground" in answer.text


# One message with several rights: a request for each, one day of receipt, one case number (scenario 2).

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


async def test_withdrawn_consent_erases_nothing_before_its_copy(intake: Intake) -> None:
    said = {"rights": ["access", "consent_withdrawal"], "purposes": ["marketing"]}
    answer = await intake.channel.post(
        "/v1/requests", json={"subject": SUBJECT, **said, "assurance": None, "proofs": []}
    )
    assert answer.status_code == 201, answer.text
    access, withdrawal = answer.json()["requests"]
    assert [access["state"], withdrawal["state"]] == ["awaiting_identity", "in_progress"]
    asked = {
        UUID(withdrawal["request_id"]): RequestMarks(),
        uuid7(): RequestMarks(emails=frozenset({b"ada@example.org"})),
    }

    async def before() -> dict[UUID, list[str]]:
        async with intake.unit_of_work.begin() as tx:
            found = await open_requests.find_others(tx.connection, asked, {RequestKind.COPY})
        return {request_id: [str(other.request_id) for other in others] for request_id, others in found.items()}

    assert await before() == {UUID(withdrawal["request_id"]): [access["request_id"]]}, "no other request waits"
    view = await intake.view(f"/v1/requests/{withdrawal['request_id']}")
    assert (view["awaits"], "goes once the copy" in view["blocked_by"][0]["message"]) == ([access["request_id"]], True)
    path = f"/v1/requests/{access['request_id']}"
    (await intake.channel.post(f"{path}/actions/withdraw")).raise_for_status()
    assert await before() == {}
    assert (await intake.view(f"/v1/requests/{withdrawal['request_id']}"))["blocked_by"] == []


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
    [acknowledged] = (await intake.view(f"{access}/letters"))["data"]
    for each in case["requests"]:
        assert reference_of(each["request_id"]) in acknowledged["body"]
        assert each["letter_code"] in acknowledged["body"]
    for path in (erasure, objection):
        assert (await intake.view(f"{path}/letters"))["data"] == []
    await intake.complete(access, package_id=None)
    [answer] = (await intake.view(f"{access}/letters"))["data"][1:]
    assert reference_of(case["case_number"]) in answer["body"]
    assert "none has to wait for another" in answer["body"]


async def test_the_letter_that_answers_the_last_part_says_that_it_is_and_how_the_others_ended(intake: Intake) -> None:
    case = (await sent(intake, rights=["access", "objection"], language="en")).json()
    access, objection = (f"/v1/requests/{each['request_id']}" for each in case["requests"])
    await intake.complete(objection)
    await intake.complete(access, package_id=None)
    first, last = [(await intake.view(f"{path}/letters"))["data"][-1]["body"] for path in (objection, access)]
    assert "all of your message is answered" not in first
    assert "all of your message is answered" in last
    assert "objection" in last.partition("already have:")[2]
