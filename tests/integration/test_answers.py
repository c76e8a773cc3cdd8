"""How two persons refuse a request or answer it in part (Art. 12(4)), as the API shows it and the letter says it."""

from typing import Any

import pytest
from uuid_utils.compat import uuid7

from shared.domain.events import ControllerSilent, FulfilmentBlocked, FulfilmentCompleted, FulfilmentReported
from shared.domain.operations import Operation, TaskOutcome, TaskReport
from shared.domain.rights import Right
from shared.messaging.dispatcher import Unreadable
from tests.fixtures.events import a
from tests.fixtures.intake import PROOF, REASONS, Intake, id_of, reference_of

EXPLANATION = REASONS["answer_in_part"]["explanation"]
REFUSAL = {"decision": "refuse", **REASONS["refuse"]}
PROBLEM = "urn:dsr:problem:"


def report(system: str, outcome: TaskOutcome | None = None, **more: Any) -> TaskReport:
    known = {"operation": Operation.EXPORT, "outcome": outcome, **more}
    return TaskReport(task_id=uuid7(), system=system, **known)


COPIED, AWAY = report("crm", TaskOutcome.EXPORTED, found=2), report("cdr")
ERASED = report("crm", TaskOutcome.ERASED, operation=Operation.ERASE, found=3, changed=3)
LOST = report("cdr", operation=Operation.ERASE, failure="table_missing")


async def test_it_takes_two_persons_to_refuse_a_request(intake: Intake) -> None:
    path = await intake.submit()
    early = await intake.colleague.post(f"{path}/decision/approval")
    (await intake.officer.post(f"{path}/decision", json=REFUSAL)).raise_for_status()
    alone = await intake.officer.post(f"{path}/decision/approval")
    proposed = (await intake.view(path))["state"]
    approved = await intake.colleague.post(f"{path}/decision/approval")
    assert [each.json()["type"].removeprefix(PROBLEM) for each in (early, alone)] == ["not_ready", "same_person"]
    assert (proposed, approved.status_code) == ("in_progress", 200)
    assert (await intake.types())[-1] == "answer_decided"


async def test_a_refused_request_has_a_letter_with_reason_article_authority_and_remedy(intake: Intake) -> None:
    path = await intake.submit()
    await intake.decide(path, "refuse")
    await intake.report(path, COPIED, AWAY, package_id=uuid7())
    shown, [letter] = await intake.view(path), await intake.letters(path)
    assert (shown["state"], shown["outcome"], shown["package"]) == ("closed", "refused", False)
    assert letter["kind"] == "refusal"
    words = ("your request is excessive", "Article 12(5)(b)", "Ada asked for it every day.", "judicial remedy")
    assert [each for each in (*words, "Bundesbeauftragte", "Nothing was changed") if each not in letter["body"]] == []
    assert (await intake.published())[-1]["outcome"] == "refused"


async def test_partial_answer_has_a_package_and_names_the_unavailable_system(intake: Intake) -> None:
    path = await intake.submit()
    await intake.decide(path, reason="SYSTEM_UNAVAILABLE")
    await intake.report(path, COPIED, AWAY, package_id=uuid7())
    shown, [letter], closed = await intake.view(path), await intake.letters(path), (await intake.published())[-1]
    assert (shown["outcome"], shown["package"], letter["kind"]) == ("partially_fulfilled", True, "partial")
    for words in ("not, or not completely, in: cdr.", "could not be reached in time", "Article 12(4)", EXPLANATION):
        assert words in letter["body"]
    assert (closed["outstanding"], closed["goes_on"]) == (["cdr"], True)
    assert "not, or not completely, in: cdr." in shown["answer"]


async def test_what_a_person_wrote_lies_sealed_and_is_neither_in_the_evidence_nor_on_the_bus(intake: Intake) -> None:
    path = await intake.submit()
    await intake.decide(path)
    read = await intake.colleague.get(f"{path}/decision")
    assert (read.json()["explanation"], read.json()["reason"]) == (EXPLANATION, "SYSTEM_FAILED")
    assert (await intake.actions(path))[-1] == "proposal.read"
    await intake.report(path, COPIED, AWAY)
    assert EXPLANATION not in str([await intake.evidence(path), await intake.published()])


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"reason": "LEGAL_CLAIMS", "article": "17(3)(e)"}, "reason"),  # of an erasure, and this is none
        ({"reason": "WE_WOULD_RATHER_NOT"}, "reason"),
        ({"article": "15(4)"}, "article"),
    ],
)
async def test_a_reason_that_is_none_is_refused(intake: Intake, changed: dict[str, str], field: str) -> None:
    path = await intake.submit()
    refused = await intake.officer.post(f"{path}/decision", json={**REFUSAL, **changed})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (400, field)
    unexplained = await intake.officer.post(f"{path}/decision", json={**REFUSAL, "explanation": " "})
    assert unexplained.status_code == 422


@pytest.mark.parametrize(
    "asked",
    [{"right": "erasure"}, {"right": "objection", "scope": "direct_marketing"}, {"assurance": None}],
    ids=["being erased", "objection to marketing", "unidentified"],
)
async def test_some_requests_cannot_be_refused(intake: Intake, asked: dict[str, Any]) -> None:
    path = await intake.submit(**asked)
    refused = await intake.officer.post(f"{path}/decision", json=REFUSAL)
    assert refused.json()["type"] == f"{PROBLEM}illegal_transition"


async def test_an_erasure_that_was_begun_is_not_refused_and_says_what_was_done(intake: Intake) -> None:
    path = await intake.submit(right="erasure")
    await intake.consume(a(FulfilmentBlocked, about=id_of(path), operation=Operation.ERASE, tasks=(ERASED, LOST)))
    refused = await intake.officer.post(f"{path}/decision", json=REFUSAL)
    assert "in crm: answer it in part" in refused.json()["detail"]


async def test_what_was_erased_while_two_persons_refused_makes_it_a_partial_answer(intake: Intake) -> None:
    path = await intake.submit(right="erasure")
    await intake.consume(a(FulfilmentBlocked, about=id_of(path), operation=Operation.ERASE, tasks=(LOST,)))
    await intake.decide(path, "refuse")
    await intake.report(path, ERASED, LOST, operation=Operation.ERASE)
    assert (await intake.view(path))["outcome"] == "partially_fulfilled"
    written = [each["detail"]["kind"] for each in await intake.evidence(path) if each["action"] == "letter.written"]
    assert [kind for kind in written if kind != "recipient_notice"] == ["acknowledgement", "partial"]
    again = await intake.officer.post(f"{path}/decision", json={"decision": "retry"})
    assert again.status_code == 409  # what was not erased is refused


async def test_all_that_was_done_after_all_is_fulfilled_whatever_was_decided(intake: Intake) -> None:
    path = await intake.submit()
    await intake.decide(path)
    await intake.complete(path, tasks=(COPIED,), package_id=uuid7())
    assert (await intake.view(path))["state"] == "in_progress"
    await intake.report(path, COPIED)
    shown = await intake.view(path)
    assert (shown["outcome"], shown["package"]) == ("fulfilled", True)
    assert [letter["kind"] for letter in await intake.letters(path)] == ["completion"]
    assert "decision.overtaken" in await intake.actions(path)


async def test_the_missing_part_is_a_later_package_and_a_failed_one_may_be_tried_again(intake: Intake) -> None:
    path, first, later = await intake.submit(), uuid7(), uuid7()
    await intake.decide(path)
    await intake.report(path, COPIED, AWAY, package_id=first)
    await intake.consume(
        a(FulfilmentBlocked, about=id_of(path), tasks=(COPIED, report("cdr", failure="table_missing")))
    )
    retried = await intake.officer.post(f"{path}/decision", json={"decision": "retry"})
    assert (retried.json()["state"], (await intake.types())[-1]) == ("closed", "retry_decided")
    done = (COPIED, report("cdr", TaskOutcome.EXPORTED, found=7))
    await intake.consume(a(FulfilmentCompleted, about=id_of(path), tasks=done, package_id=later))
    shown = await intake.view(path)
    assert shown["outcome"] == "partially_fulfilled"
    assert shown["answer"].endswith("A part of it was done after your request had been closed.")
    package = await intake.unit_of_work.pool.fetchval("SELECT package_id FROM request")
    assert str(package) == str(later)
    assert (await intake.officer.post(f"{path}/decision", json={"decision": "retry"})).status_code == 409


async def test_a_proposal_does_not_outlive_the_answer_that_it_was_about(intake: Intake, partly: str) -> None:
    await intake.unit_of_work.pool.execute(
        "INSERT INTO proposal SELECT request_id, 'refuse', 'EXCESSIVE', '12(5)(b)', request_id, 'key', now()"
        " FROM request"
    )
    (await intake.channel.post(f"{partly}/reply", json={"text": "The Quarzfels one."})).raise_for_status()
    assert (await intake.colleague.post(f"{partly}/decision/approval")).json()["type"] == f"{PROBLEM}not_ready"


async def test_a_service_that_works_another_right_says_nothing_of_a_request(intake: Intake) -> None:
    path = await intake.submit(right="erasure")
    for kind in (FulfilmentCompleted, FulfilmentBlocked, FulfilmentReported):
        with pytest.raises(Unreadable, match="right is not the request's"):
            await intake.hear(a(kind, about=id_of(path), right=Right.ACCESS))
    assert (await intake.view(path))["state"] == "in_progress"


# What a customer of ours decides about is passed on, and the customer reminded.
TO = {"controller": "Harbour Cranes Ltd"}


def message(**said: object) -> dict[str, Any]:
    who = {"email": "ada@example.org", "account_id": "C-1001", "country": "DE"}
    return {"right": "access", "language": "en", "subject": who, **PROOF, **said}


async def forward(intake: Intake, path: str, **said: object) -> str:
    answer = await intake.officer.post(f"{path}/forward", json=TO | said)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["state"])


async def silent(intake: Intake, path: str, notice: str = "reminder", working_days: int = 5) -> None:
    await intake.consume(a(ControllerSilent, about=id_of(path), notice=notice, working_days=working_days))


async def to_send(intake: Intake, path: str) -> list[str]:
    listed = (await intake.officer.get("/v1/letters")).raise_for_status().json()["letters"]
    return [each["kind"] for each in listed if each["request_id"] == id_of(path)]


async def as_officer(intake: Intake, path: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await intake.officer.get(f"{path}/letters")).raise_for_status().json()["letters"]
    return found


async def test_silent_customer_gets_a_letter_and_its_reply_settles_it(intake: Intake) -> None:
    path = await intake.submit(role="processor")
    assert await forward(intake, path) == "closed"
    assert (await intake.types())[-2:] == ["forwarded", "closed"]
    await silent(intake, path)
    reminder = (await as_officer(intake, path))[-1]
    assert (reminder["kind"], reminder["to"]) == ("reminder_to_controller", ["Harbour Cranes Ltd"])
    assert reference_of(path) in reminder["body"]
    assert "ada@" not in reminder["body"]
    assert (await to_send(intake, path))[-1] == "reminder_to_controller"
    await silent(intake, path, "escalation", 15)
    assert await intake.details(path, "controller.silent") == [{"working_days": 15}]
    said = await intake.officer.post(f"{path}/controller-replied", json={"text": "We answer Ada Quarzfels by Friday."})
    assert (said.status_code, said.json()["state"]) == (200, "closed")
    assert (await intake.types())[-1] == "controller_replied"
    await silent(intake, path)
    assert len(await as_officer(intake, path)) == 3  # acknowledgement, forwarded, one reminder
    assert "controller.notice_late" in await intake.actions(path)
    again = await intake.officer.post(f"{path}/controller-replied", json={"text": "Again."})
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
    answer = await intake.officer.post(f"{path}/controller-replied", json={"text": "What?"})
    assert (answer.status_code, answer.json()["detail"]) == (409, "it was not passed on to a customer")


async def test_message_about_two_controllers_becomes_two_requests_of_one_case(intake: Intake) -> None:
    answer = await intake.channel.post("/v1/requests", json=message(role="both"))
    assert answer.status_code == 201
    ours, theirs = (f"/v1/requests/{each['request_id']}" for each in answer.json()["requests"])
    assert answer.json()["case_number"] == id_of(ours)
    assert [each["due_on"] for each in answer.json()["requests"]] == ["2026-04-01", "2026-03-04"]
    assert [(await intake.view(path))["role"] for path in (ours, theirs)] == ["controller", "processor"]
    (acknowledgement,) = (await intake.view(f"{ours}/letters"))["letters"]
    said = f"access (reference {reference_of(theirs)}"
    assert said in (body := " ".join(acknowledgement["body"].split()))
    assert "about data that a customer of ours decides about: we pass it on to them" in body
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
    said = message(role="both", rights=["access", "erasure"], packages_waived=True)
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
    answer = await intake.channel.post("/v1/requests", json=message(role="both", packages_waived=True))
    assert answer.status_code == 422
    assert "packages_waived" in answer.text
