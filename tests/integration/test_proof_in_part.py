"""What intake does where more proof is needed for a part: ask for it at once, go on with it, or leave the part out."""

from typing import Any

import pytest

from shared.domain.events import FulfilmentReported
from shared.domain.operations import Operation, TaskOutcome, TaskReport, Unsearched
from tests.fixtures.engine import SetClock
from tests.fixtures.events import a
from tests.fixtures.intake import LAST, PROOF, Intake, id_of
from tests.integration.test_unsearched import COPIED, UNSEARCHED, blocked, report

LINKED = {"identity": "email", "method": "email_link", "on_file_since": "2020-01-01T00:00:00Z"}
CODED = {**LINKED, "identity": "phones.0", "method": "sms_code"}
SUBJECT = {"email": "ada@example.org", "phones": [{"number": "+442079460000"}], "country": "DE"}
UNPROVED = report("cdr", outcome=TaskOutcome.NOT_SEARCHED, not_searched=Unsearched.NOT_PROVED, level="L2")


async def submitted(intake: Intake, **more: Any) -> str:
    """A request of somebody who has opened a link that was sent to their address, and no more."""
    return await intake.submit(subject=SUBJECT, assurance=None, proofs=[LINKED], **more)


@pytest.fixture
async def asked(intake: Intake) -> str:
    """A request of which a part needs more proof than there is."""
    path = await submitted(intake)
    await blocked(intake, path, COPIED, UNPROVED)
    return path


async def give_up(intake: Intake, path: str, clock: SetClock) -> None:
    question_id = str((await intake.published())[-1]["question_id"])
    clock.at = LAST
    await intake.unanswered(path, question_id, "last_notice", "identity")


async def test_what_is_proved_begins_at_once_and_it_is_on_record_by_what(intake: Intake) -> None:
    path = await submitted(intake)
    assert (await intake.view(path))["state"] == "in_progress"
    assert await intake.types() == ["received", "verified"]
    [received] = await intake.details(path, "request.received")
    assert received["proofs"] == [{"type": "email", "method": "email_link", "level": "L1"}]


@pytest.mark.parametrize(("field", "state"), [("email", "awaiting_identity"), ("name", "in_progress")])
async def test_whoever_would_be_reached_elsewhere_from_then_on_needs_more_proof(
    intake: Intake, field: str, state: str
) -> None:
    changes = [{"field": field, "asserted": "mallory@example.org"}]
    path = await submitted(intake, right="rectification", changes=changes)
    assert (await intake.view(path))["state"] == state


async def test_for_the_rest_the_proof_is_asked_for_and_the_question_says_what_would_help(
    intake: Intake, asked: str
) -> None:
    shown = await intake.view(asked)
    (letter,) = await intake.letters(asked)
    assert (shown["state"], shown["outcome"]) == ("awaiting_identity", None)
    assert letter["kind"] == "proof_question"
    assert "For what cdr may hold about you" in letter["body"]
    assert "second factor" in letter["body"]
    assert await intake.types() == ["received", "verified", "question_sent"]
    assert (await intake.published())[-1]["condition_recorded"] is False  # its clock runs


async def test_with_the_proof_the_rest_goes_on(intake: Intake, asked: str) -> None:
    weak = await intake.channel.post(f"{asked}/verify", json={"proofs": [LINKED]})
    proved = await intake.channel.post(f"{asked}/verify", json={"proofs": [LINKED, CODED]})
    assert (weak.status_code, proved.json()["state"]) == (400, "in_progress")
    assert "needs level L2" in weak.json()["detail"]
    assert (await intake.types())[-2:] == ["question_answered", "retry_decided"]
    async with intake.unit_of_work.begin() as tx:
        subject = await tx.connection.fetchval("SELECT subject_ref FROM request")
        known = (await tx.vault.subject_data(tx.connection, [subject]))[subject].identities
    assert [(each.type, each.level) for each in known] == [("email", "L2"), ("phone", "L2")]
    assert (await intake.details(asked, "identity.verified")) == [
        {
            "proofs": [
                {"type": "email", "method": "email_link", "level": "L1"},
                {"type": "phone", "method": "sms_code", "level": "L1"},
            ]
        }
    ]


async def test_words_are_no_proof(intake: Intake, asked: str) -> None:
    replied = await intake.channel.post(f"{asked}/reply", json={"text": "It is me."})
    assert (replied.status_code, (await intake.view(asked))["state"]) == (409, "awaiting_identity")


async def test_what_is_unproved_at_the_last_notice_is_left_out_and_named_and_may_be_resumed(
    intake: Intake, asked: str, clock: SetClock
) -> None:
    await give_up(intake, asked, clock)
    said = (await intake.published())[-1]
    assert (said["type"], said["outcome"], said["owed"]) == (
        "dsr.request.answer_decided.v1",
        "partially_fulfilled",
        False,
    )
    await intake.consume(a(FulfilmentReported, about=id_of(asked), tasks=(COPIED, UNPROVED)))
    shown = await intake.view(asked)
    assert (shown["state"], shown["outcome"], shown["resumable"]) == ("closed", "partially_fulfilled", True)
    assert "We could not search cdr: for what it may hold we must be surer" in shown["answer"]
    assert [letter["kind"] for letter in await intake.letters(asked)][-2:] == ["proof_last_notice", "partial"]
    words = await intake.channel.post(f"{asked}/reply", json={"text": "It is me."})
    proof = await intake.channel.post(f"{asked}/verify", json=PROOF)
    assert (words.status_code, proof.status_code, proof.json()["state"]) == (409, 200, "in_progress")
    assert (await intake.types())[-2:] == ["reopened", "verified"]


async def test_where_nothing_was_found_either_they_are_unidentified(intake: Intake, clock: SetClock) -> None:
    path = await submitted(intake)
    nothing = report("crm", outcome=TaskOutcome.NO_MATCH)
    await blocked(intake, path, nothing, UNPROVED)
    await give_up(intake, path, clock)
    await intake.consume(a(FulfilmentReported, about=id_of(path), tasks=(nothing, UNPROVED)))
    shown = await intake.view(path)
    assert (shown["outcome"], shown["resumable"]) == ("unidentified", True)
    assert "We searched crm" in shown["answer"]


async def test_proof_is_asked_for_before_what_else_they_are_known_by_and_both_are_asked_once(intake: Intake) -> None:
    path = await submitted(intake)
    await blocked(intake, path, UNSEARCHED, UNPROVED)
    assert (await intake.view(path))["state"] == "awaiting_identity"
    (await intake.channel.post(f"{path}/verify", json={"proofs": [LINKED, CODED]})).raise_for_status()
    await blocked(intake, path, UNPROVED)
    assert (await intake.view(path))["state"] == "awaiting_decision"
    asked_again = {"question": "identity", "text": "Can you sign in?"}
    (await intake.officer.post(f"{path}/question", json=asked_again)).raise_for_status()
    assert (await intake.view(path))["state"] == "awaiting_identity"


async def test_what_is_done_by_hand_is_recorded_while_proof_is_awaited(intake: Intake) -> None:
    path = await submitted(intake, right="erasure")
    by_hand = TaskReport(**report("billing", Operation.ERASE).model_dump() | {"failure": "not_supported"})
    await blocked(intake, path, by_hand, UNPROVED, operation=Operation.ERASE)
    result = {"system": "billing", "found": 1, "changed": 1}
    done = await intake.officer.post(f"{path}/task-result", json=result)
    assert (done.status_code, done.json()["state"]) == (200, "awaiting_identity")
