"""A part needs more proof: intake asks for it, goes on with the proved part, or leaves the part out."""

from typing import Any

import pytest

from shared.domain.events import FulfilmentReported
from shared.domain.identities import IdentityType
from shared.domain.operations import Operation, TaskOutcome, TaskReport, Unsearched
from tests.fixtures.events import a
from tests.fixtures.handed_out import GIVEN
from tests.fixtures.intake import PROOF, Intake, id_of
from tests.integration.test_unsearched import COPIED, UNSEARCHED, blocked, report

LINKED = {"identity": "email", "method": "email_link", "on_file_since": "2020-01-01T00:00:00Z"}
CODED = {**LINKED, "identity": "phones.0", "method": "sms_code"}
SUBJECT = {"email": "ada@example.org", "phones": [{"number": "+442079460000"}], "country": "DE"}
UNPROVED = report("cdr", outcome=TaskOutcome.NOT_SEARCHED, not_searched=Unsearched.NOT_PROVED, level="L2")


async def submitted(intake: Intake, **more: Any) -> str:
    """Submits a request of a person who has only opened a link in their mail."""
    return await intake.submit(subject=SUBJECT, assurance=None, proofs=[LINKED], **more)


@pytest.fixture
async def asked(intake: Intake) -> str:
    """A request of which a part needs more proof than there is."""
    path = await submitted(intake)
    await blocked(intake, path, COPIED, UNPROVED)
    return path


async def test_proved_part_begins_immediately_with_its_proof_on_record(intake: Intake) -> None:
    path = await submitted(intake)
    assert (await intake.view(path))["state"] == "in_progress"
    assert await intake.types() == ["verified"]
    [received] = await intake.details(path, "request.received")
    assert received["proofs"] == [{"type": "email", "method": "email_link", "level": "L1"}]


@pytest.mark.parametrize(("field", "state"), [("email", "awaiting_identity"), ("name", "in_progress")])
async def test_request_that_reaches_further_needs_more_proof(intake: Intake, field: str, state: str) -> None:
    changes = [{"field": field, "asserted": "mallory@example.org"}]
    path = await submitted(intake, right="rectification", changes=changes)
    assert (await intake.view(path))["state"] == state


async def test_question_for_proof_names_what_would_suffice(intake: Intake, asked: str) -> None:
    shown = await intake.view(asked)
    (letter,) = await intake.letters(asked)
    assert (shown["state"], shown["outcome"]) == ("awaiting_identity", None)
    assert letter["kind"] == "question"
    assert "For what cdr may hold about you" in letter["body"]
    assert "second factor" in letter["body"]
    assert await intake.types() == ["verified", "question_sent"]
    assert (await intake.published())[-1]["condition_recorded"] is False  # its clock runs


async def test_with_the_proof_the_rest_goes_on(intake: Intake, asked: str) -> None:
    weak = await intake.channel.post(f"{asked}/actions/verify", json={"proofs": [LINKED]})
    proved = await intake.channel.post(f"{asked}/actions/verify", json={"proofs": [LINKED, CODED]})
    assert (weak.status_code, proved.json()["state"]) == (400, "in_progress")
    assert "needs level L2" in weak.json()["detail"]
    assert (await intake.types())[-2:] == ["question_answered", "retry_requested"]
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


async def test_unproved_rest_at_the_last_notice_is_resumable(intake: Intake, asked: str) -> None:
    await intake.leave_unanswered(asked, "identity")
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
    assert [letter["kind"] for letter in await intake.letters(asked)][-2:] == ["last_notice", "answer"]
    words = await intake.channel.post(f"{asked}/actions/record-reply", json={"text": "It is me."})
    proof = await intake.channel.post(f"{asked}/actions/verify", json=PROOF)
    assert (words.status_code, proof.status_code, proof.json()["state"]) == (409, 200, "in_progress")
    assert (await intake.types())[-2:] == ["reopened", "verified"]


async def test_proof_is_asked_for_before_what_else_they_are_known_by_and_both_are_asked_once(intake: Intake) -> None:
    path = await submitted(intake)
    await blocked(intake, path, UNSEARCHED, UNPROVED)
    assert (await intake.view(path))["state"] == "awaiting_identity"
    (await intake.channel.post(f"{path}/actions/verify", json={"proofs": [LINKED, CODED]})).raise_for_status()
    await blocked(intake, path, UNPROVED)
    assert (await intake.view(path))["state"] == "awaiting_decision"
    asked_again = {"question": "identity", "text": "Can you sign in?"}
    (await intake.officer.post(f"{path}/actions/ask", json=asked_again)).raise_for_status()
    assert (await intake.view(path))["state"] == "awaiting_identity"


# A proof that was wrong is taken back: nothing more is found by it, and what it has opened is withheld or an incident.
EMAIL = IdentityType.EMAIL
NOTE = "The code was sent to Ben Quarzfels, who has the number now."


async def levels(intake: Intake, path: str) -> dict[str, str]:
    """Returns the present level of each identity."""
    async with intake.unit_of_work.begin() as tx:
        ref = await tx.connection.fetchval("SELECT subject_ref FROM request WHERE request_id = $1", id_of(path))
        known = (await tx.vault.subject_data(tx.connection, [ref]))[ref]
    return {each.type.value: each.level for each in known.identities}


async def taken_back(intake: Intake, path: str, field: str = "email", by: str = "officer") -> int:
    answer = await getattr(intake, by).post(f"{path}/actions/revoke-proof", json={"identity": field, "note": NOTE})
    return int(answer.status_code)


async def test_repudiation_of_an_open_request_counts_immediately(intake: Intake) -> None:
    path = await intake.submit(subject=SUBJECT, assurance=None, proofs=[LINKED, CODED])
    assert await levels(intake, path) == {"email": "L2", "phone": "L2"}
    assert await taken_back(intake, path, "phones.0", by="channel") == 200
    assert await levels(intake, path) == {"email": "L1", "phone": "L0"}
    assert [await taken_back(intake, path, field) for field in ("phones.0", "account_id", "phones.7")] == [400] * 3
    [detail] = await intake.details(path, "proof.taken_back")
    assert (detail["identity"], detail["holder"]) == ("phones.0", "portal")
    assert "Quarzfels" not in str(await intake.evidence(path))
    proved = "SELECT kind FROM request_lookup WHERE proved"
    assert [row[0] for row in await intake.unit_of_work.pool.fetch(proved)] == ["email"]


async def test_what_is_proved_once_more_after_that_counts_again(intake: Intake) -> None:
    path = await intake.submit(subject=SUBJECT, assurance=None, proofs=[LINKED])
    await taken_back(intake, path)
    again = {**LINKED, "identity": "email"}
    assert await levels(intake, path) == {"email": "L0", "phone": "L0"}
    await blocked(intake, path, UNPROVED.model_copy(update={"level": "L1"}))
    assert (await intake.view(path))["state"] == "awaiting_identity", "it is asked for"
    (await intake.channel.post(f"{path}/actions/verify", json={"proofs": [again]})).raise_for_status()
    assert (await levels(intake, path))["email"] == "L1"


@pytest.mark.parametrize("changed", [0, 3])
async def test_change_by_a_repudiated_proof_is_an_incident(intake: Intake, changed: int) -> None:
    path = await intake.submit(right="erasure")
    outcome = TaskOutcome.ERASED if changed else TaskOutcome.NO_MATCH
    task = GIVEN.model_copy(update={"operation": Operation.ERASE, "outcome": outcome, "changed": changed})
    await intake.complete(path, operation=Operation.ERASE, tasks=(TaskReport.model_validate(task),))
    assert [await taken_back(intake, path, by=by) for by in ("officer", "colleague")] == [202, 200]
    incidents = (await intake.officer.get("/v1/incidents")).json()["data"]
    assert [(each["request_id"], each["downloads"]) for each in incidents] == [(id_of(path), 0)] * bool(changed)
