"""What moves the time limit of a request: questions, their answers, extensions; and the letters that say so."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from deploy.local.postgres_databases import fetch
from services.intake.auth import create
from shared.domain.events import DeadlineApproaching, DeadlineOverdue, TargetMissed
from tests.fixtures.engine import SetClock
from tests.fixtures.events import a
from tests.fixtures.intake import PROOF, PROPOSAL, Intake, id_of
from tests.fixtures.told import Count

SECRET = PROPOSAL["explanation"]
LATE = datetime(2026, 4, 1, 22, tzinfo=UTC)  # the commitment ended at the end of 1 April in Berlin


async def test_two_persons_extend_a_request_and_the_subject_reads_why_and_until_when(intake: Intake) -> None:
    path = await intake.submit()
    proposed = await intake.officer.post(f"{path}/extension", json=PROPOSAL)
    before = await intake.view(path)
    approved = await intake.colleague.post(f"{path}/extension/approval")
    after = await intake.view(path)
    (letter,) = await intake.letters(path)

    assert (proposed.status_code, before["due_on"]) == (200, "2026-04-01")
    assert (approved.status_code, approved.json()["due_on"], after["due_on"]) == (200, "2026-05-29", "2026-05-29")
    assert letter["kind"] == "extension"
    for words in ("29 May 2026", SECRET, "other people", "Bundesbeauftragte", "complaint", "judicial remedy"):
        assert words in letter["body"]
    actions = [
        "request.received",
        "letter.written",
        "extension.proposed",
        "letter.written",
        "extension.approved",
        "letters.read",
    ]
    assert await intake.actions(path) == actions
    event = (await intake.published())[-1]
    assert (await intake.types())[-1] == "extended"
    assert (event["due_on"], event["reason"]) == ("2026-05-29", "REDACTION_THIRD_PARTY")


async def test_what_people_wrote_about_people_stands_in_the_vault_alone(intake: Intake, database: str) -> None:
    path = await intake.submit()
    await intake.extend(path)
    asked = {"question": "clarification", "text": SECRET, "condition_recorded": True}
    assert (await intake.officer.post(f"{path}/question", json=asked)).status_code == 200
    assert (await intake.channel.post(f"{path}/reply", json={"text": SECRET})).status_code == 200
    schemas = "WHERE schemaname IN ('intake', 'vault', 'evidence')"
    tables = await fetch(database, f"SELECT format('%I.%I', schemaname, tablename) FROM pg_tables {schemas}")
    rows = [str(row[0]) for table in tables for row in await fetch(database, f"SELECT t::text FROM {table[0]} t")]
    assert len(rows) > 8
    assert not [row for row in rows if "Quarzfels" in row or b"Quarzfels".hex() in row]


@pytest.mark.parametrize(
    ("changed", "flaw"),
    [
        ({"reason": "WORKLOAD"}, "reason_not_allowed"),
        ({"explanation": "  "}, "no_explanation"),
        ({"new_due": "2026-06-03"}, "date_too_late"),
        ({"new_due": "2026-04-01"}, "date_not_later"),
    ],
)
async def test_an_extension_that_the_law_does_not_allow_is_refused_and_the_dates_stay(
    intake: Intake, changed: dict[str, str], flaw: str
) -> None:
    path = await intake.submit()
    count = Count("dsr_extensions_refused_total", flaw=flaw)
    refused = await intake.officer.post(f"{path}/extension", json={**PROPOSAL, **changed})
    nothing = await intake.colleague.post(f"{path}/extension/approval")
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:dsr:problem:extension_refused")
    assert flaw in refused.json()["detail"]
    assert nothing.status_code == 409
    assert count.added == 1
    assert (await intake.view(path))["due_on"] == "2026-04-01"


async def test_nobody_approves_what_they_proposed_and_a_channel_neither_proposes_nor_approves(intake: Intake) -> None:
    path = await intake.submit()
    await intake.officer.post(f"{path}/extension", json=PROPOSAL)
    same = await intake.officer.post(f"{path}/extension/approval")
    channel = [
        (await intake.channel.post(f"{path}/extension", json=PROPOSAL)).status_code,
        (await intake.channel.post(f"{path}/extension/approval")).status_code,
    ]
    assert (same.status_code, "same_person" in same.json()["detail"], channel) == (409, True, [403, 403])
    assert await intake.letters(path) == []


async def test_an_approval_after_the_commitment_ended_is_refused(intake: Intake, clock: SetClock) -> None:
    path = await intake.submit()
    await intake.officer.post(f"{path}/extension", json=PROPOSAL)
    clock.at = LATE
    late = await intake.colleague.post(f"{path}/extension/approval")
    assert (late.status_code, "notice_too_late" in late.json()["detail"]) == (409, True)
    assert (await intake.view(path))["due_on"] == "2026-04-01"


async def test_a_request_is_extended_once(intake: Intake) -> None:
    path = await intake.submit()
    await intake.extend(path)
    again = [
        await intake.officer.post(f"{path}/extension", json=PROPOSAL),
        await intake.colleague.post(f"{path}/extension/approval"),
    ]
    assert [(one.status_code, "already_extended" in one.json()["detail"]) for one in again] == [(409, True)] * 2
    assert len(await intake.letters(path)) == 1


async def test_a_clarification_lets_the_work_go_on_and_the_request_closes_with_the_answer(intake: Intake) -> None:
    path = await intake.submit()
    asked = {"question": "clarification", "text": "Which of your numbers?", "condition_recorded": True}
    waiting = await intake.officer.post(f"{path}/question", json=asked)
    twice = await intake.officer.post(f"{path}/question", json=asked)
    await intake.complete(path)
    meanwhile = await intake.view(path)
    replied = await intake.channel.post(f"{path}/reply", json={"text": "everything"})
    letter, closing = await intake.letters(path)

    assert (waiting.json()["state"], twice.status_code) == ("awaiting_clarification", 409)
    assert (meanwhile["state"], meanwhile["outcome"]) == ("awaiting_clarification", None)
    assert replied.json()["state"] == "closed"
    assert (await intake.view(path))["outcome"] == "fulfilled"
    assert "Which of your numbers?" in letter["body"]
    assert closing["kind"] == "completion"
    assert await intake.types() == ["received", "verified", "question_sent", "question_answered", "closed"]


async def test_a_clarification_that_is_answered_before_the_work_ends_closes_with_the_work(intake: Intake) -> None:
    path = await intake.submit()
    await intake.ask(path, "clarification")
    replied = await intake.channel.post(f"{path}/reply", json={"text": "everything"})
    await intake.complete(path)
    assert replied.json()["state"] == "in_progress"
    assert (await intake.view(path))["outcome"] == "fulfilled"


@pytest.mark.parametrize(("minutes", "status"), [(5, 200), (6, 400)])
async def test_a_reply_may_be_as_far_ahead_of_our_clock_as_a_request(
    intake: Intake, clock: SetClock, minutes: int, status: int
) -> None:
    path = await intake.submit()
    await intake.ask(path, "clarification")
    received_at = (clock.now() + timedelta(minutes=minutes)).isoformat()
    replied = await intake.channel.post(f"{path}/reply", json={"text": "everything", "received_at": received_at})
    assert replied.status_code == status


async def test_proof_of_identity_answers_the_question_about_it(intake: Intake) -> None:
    path = await intake.submit(assurance=None)
    early = await intake.channel.post(f"{path}/reply", json={"text": "It is me"})
    await intake.ask(path, "identity")
    waiting = await intake.view(path)
    verified = await intake.channel.post(f"{path}/verify", json=PROOF)
    states = [waiting["state"], verified.json()["state"]]
    assert (early.status_code, states) == (409, ["awaiting_identity", "in_progress"])
    assert await intake.types() == ["received", "question_sent", "question_answered", "verified"]


async def test_requests_are_counted_as_they_are_accepted_identified_and_closed(intake: Intake, clock: SetClock) -> None:
    accepted, needed, verified = (
        Count("dsr_requests_total", right="access", event=what)
        for what in ("accepted", "identity_needed", "identity_verified")
    )
    closed = Count("dsr_requests_closed_total", right="access", outcome="fulfilled")
    open_for = Count("dsr_request_open_seconds_sum", right="access")
    unknown, known = await intake.submit(assurance=None), await intake.submit()
    assert (accepted.added, needed.added, verified.added, closed.added) == (2, 1, 0, 0)
    await intake.channel.post(f"{unknown}/verify", json=PROOF)
    clock.pass_by(hours=2)
    await intake.complete(known)
    assert (accepted.added, needed.added, verified.added, closed.added) == (2, 1, 1, 1)
    assert open_for.added == 7200


async def test_a_missed_target_is_shown_and_never_hides_a_graver_warning(intake: Intake) -> None:
    path = await intake.submit()
    shown: list[str] = []
    for event in (
        a(TargetMissed, id_of(path), target="triage"),
        a(TargetMissed, id_of(path), target="collection"),
        a(DeadlineApproaching, id_of(path), days_left=7),
        a(TargetMissed, id_of(path), target="review"),
        a(DeadlineOverdue, id_of(path), clock="commitment"),
        a(TargetMissed, id_of(path), target="review"),
    ):
        await intake.consume(event)
        shown.append((await intake.view(path))["warning"])
    assert shown == ["target_triage", "target_collection", *["due_in_7_days"] * 2, *["overdue_commitment"] * 2]


async def test_two_keys_of_one_holder_are_one_person(intake: Intake, database: str) -> None:
    path = await intake.submit()
    await intake.officer.post(f"{path}/extension", json=PROPOSAL)
    second = await create(database, "privacy", "officer-1", intake.clock.now())
    intake.officer.headers["Authorization"] = f"Bearer {second}"
    same = await intake.officer.post(f"{path}/extension/approval")
    assert (same.status_code, "same_person" in same.json()["detail"]) == (409, True)


COPIED = 'subject_ref, "right", channel, key_id, accepted_at, state, received_at, due_on'


async def test_a_surge_needs_one_on_record_and_what_was_counted_is_in_the_evidence(intake: Intake) -> None:
    path = await intake.submit()
    proposal = {**PROPOSAL, "reason": "EXCEPTIONAL_SURGE"}
    refused = await intake.officer.post(f"{path}/extension", json=proposal)
    assert (refused.status_code, "no_surge" in refused.json()["detail"]) == (409, True)
    long_ago = int((intake.clock.at - timedelta(days=60)).timestamp() * 1000)
    await intake.unit_of_work.pool.execute(
        f"INSERT INTO request (request_id, {COPIED}) SELECT $1, {COPIED} FROM request",  # a constant
        UUID(int=long_ago << 80),
    )
    taken = await intake.officer.post(f"{path}/extension", json=proposal)
    assert taken.status_code == 200, taken.text
    [detail] = await intake.details(path, "extension.proposed")
    assert (detail["received"], detail["usually"]) == (1, 0.2)
