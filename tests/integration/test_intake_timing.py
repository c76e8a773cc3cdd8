"""Moves time limits by questions, answers and extensions; and reads their letters."""

import json
from datetime import timedelta
from uuid import UUID

import pytest

from deploy.local.postgres_databases import fetch
from services.intake.jobs.redating import redate
from shared.domain.time_limit import calc_version
from tests.fixtures.engine import SetClock
from tests.fixtures.events import fired
from tests.fixtures.intake import LAST, LATER, PROOF, PROPOSAL, WORDS, Intake, approve, id_of
from tests.fixtures.metrics import Count
from tests.fixtures.requests import POLICY, promising

SECRET = PROPOSAL["explanation"]


async def test_what_people_wrote_about_people_stands_in_the_vault_alone(intake: Intake, database: str) -> None:
    path = await intake.submit()
    await intake.extend(path)
    asked = {"question": "clarification", "text": SECRET, "condition_recorded": True}
    assert (await intake.officer.post(f"{path}/actions/ask", json=asked)).status_code == 200
    assert (await intake.channel.post(f"{path}/actions/record-reply", json={"text": SECRET})).status_code == 200
    schemas = "WHERE schemaname IN ('intake', 'vault', 'evidence')"
    tables = await fetch(database, f"SELECT format('%I.%I', schemaname, tablename) FROM pg_tables {schemas}")
    rows = [str(row[0]) for table in tables for row in await fetch(database, f"SELECT t::text FROM {table[0]} t")]
    assert len(rows) > 8
    assert not [row for row in rows if "Quarzfels" in row or b"Quarzfels".hex() in row]


async def test_unlawful_extension_leaves_the_dates(intake: Intake) -> None:
    path = await intake.submit()
    count = Count("dsr_extensions_refused_total", flaw="date_too_late")
    refused = await intake.officer.post(f"{path}/actions/extend", json={**PROPOSAL, "new_due": "2026-06-03"})
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:dsr:problem:extension_refused")
    assert "date_too_late" in refused.json()["detail"]
    assert count.added == 1
    assert (await intake.view(path))["due_on"] == "2026-04-01"


async def test_a_clarification_lets_the_work_go_on_and_the_request_closes_with_the_answer(intake: Intake) -> None:
    path = await intake.submit()
    asked = {"question": "clarification", "text": "Which of your numbers?", "condition_recorded": True}
    waiting = await intake.officer.post(f"{path}/actions/ask", json=asked)
    twice = await intake.officer.post(f"{path}/actions/ask", json=asked)
    await intake.complete(path)
    meanwhile = await intake.view(path)
    replied = await intake.channel.post(f"{path}/actions/record-reply", json={"text": "everything"})
    letter, closing = await intake.letters(path)

    assert (waiting.json()["state"], twice.status_code) == ("awaiting_clarification", 409)
    assert (meanwhile["state"], meanwhile["outcome"]) == ("awaiting_clarification", None)
    assert replied.json()["state"] == "closed"
    assert (await intake.view(path))["outcome"] == "fulfilled"
    assert "Which of your numbers?" in letter["body"]
    assert closing["kind"] == "answer"
    assert await intake.types() == ["verified", "question_sent", "question_answered", "closed"]


async def test_requests_are_counted_as_they_are_accepted_identified_and_closed(intake: Intake, clock: SetClock) -> None:
    accepted, needed, verified = (
        Count("dsr_requests_total", right="access", event=what)
        for what in ("accepted", "identity_needed", "identity_verified")
    )
    closed = Count("dsr_requests_closed_total", right="access", outcome="fulfilled")
    open_for = Count("dsr_request_open_seconds_sum", right="access")
    unknown, known = await intake.submit(assurance=None), await intake.submit()
    assert (accepted.added, needed.added, verified.added, closed.added) == (2, 1, 0, 0)
    await intake.channel.post(f"{unknown}/actions/verify", json=PROOF)
    clock.pass_by(hours=2)
    await intake.complete(known)
    assert (accepted.added, needed.added, verified.added, closed.added) == (2, 1, 1, 1)
    assert open_for.added == 7200


async def test_a_missed_target_is_shown_and_never_hides_a_graver_warning(intake: Intake) -> None:
    path = await intake.submit()
    shown: list[str] = []
    for event in (
        fired("target", "triage", id_of(path)),
        fired("target", "collection", id_of(path)),
        fired("milestone", "approaching", id_of(path), days=7),
        fired("target", "review", id_of(path)),
        fired("milestone", "overdue_commitment", id_of(path)),
        fired("target", "review", id_of(path)),
    ):
        await intake.consume(event)
        shown.append((await intake.view(path))["warning"])
    assert shown == ["target_triage", "target_collection", *["due_in_7_days"] * 2, *["overdue_commitment"] * 2]


COPIED = 'subject_ref, "right", channel, key_id, accepted_at, state, received_at, due_on'


async def test_a_surge_needs_one_on_record_and_what_was_counted_is_in_the_evidence(intake: Intake) -> None:
    path = await intake.submit()
    proposal = {**PROPOSAL, "reason": "EXCEPTIONAL_SURGE"}
    refused = await intake.officer.post(f"{path}/actions/extend", json=proposal)
    assert (refused.status_code, "no_surge" in refused.json()["detail"]) == (409, True)
    long_ago = int((intake.clock.at - timedelta(days=60)).timestamp() * 1000)
    await intake.unit_of_work.pool.execute(
        f"INSERT INTO request (request_id, {COPIED}) SELECT $1, {COPIED} FROM request",  # a constant
        UUID(int=long_ago << 80),
    )
    taken = await intake.officer.post(f"{path}/actions/extend", json=proposal)
    assert taken.status_code == 202, taken.text
    (await approve(intake.colleague, path)).raise_for_status()
    [detail] = await intake.details(path, "extension.approved")
    assert (detail["received"], detail["usually"]) == (1, 0.2)


# A corrected receipt, a changed policy and a request that is not ours to answer, at the API and on the bus.
FOUND = {"received_at": "2026-02-20T09:00:00+01:00", "reason": PROPOSAL["explanation"]}  # entered on 2 March
THEIRS = {"role": "processor", "assurance": None}
CUSTOMER = "Harbour Cranes Ltd"


async def test_a_corrected_receipt_moves_the_due_date_and_both_are_on_record(intake: Intake) -> None:
    path = await intake.submit()
    await intake.unit_of_work.pool.execute('UPDATE request SET facts = facts || \'{"warning": "due_in_3_days"}\'')
    corrected = await intake.officer.post(f"{path}/actions/correct-arrival", json={**FOUND, "country": "FR"})
    after = await intake.view(path)
    assert (corrected.status_code, corrected.json()["due_on"], after["due_on"]) == (200, "2026-03-20", "2026-03-20")
    assert (after["received_at"], after["warning"]) == ("2026-02-20T08:00:00+00:00", "due_in_3_days")
    [entry] = await intake.details(path, "request.redated")
    before, now = entry["before"], entry["after"]
    known = "2026-04-01", "2026-03-02T09:00:00+00:00", "DE"
    assert (before["due_on"], before["received_at"], before["calendar"]) == known
    assert (now["due_on"], now["calendar"], now["calc_version"]) == ("2026-03-20", "FR", calc_version(POLICY))
    assert PROPOSAL["explanation"] not in json.dumps(entry)
    event = (await intake.published())[-1]
    assert (await intake.types())[-1] == "redated"
    assert (event["cause"], event["due_on"]) == ("receipt_corrected", "2026-03-20")
    assert (event["zones"], event["calendar"]) == (["America/Denver", "Europe/Paris"], "FR")


async def test_a_warning_goes_when_the_date_that_it_was_of_has_moved_away(intake: Intake) -> None:
    path = await intake.submit(received_at="2026-02-02T09:00:00+01:00")
    await intake.unit_of_work.pool.execute('UPDATE request SET facts = facts || \'{"warning": "overdue_commitment"}\'')
    (await intake.officer.post(f"{path}/actions/correct-arrival", json=FOUND)).raise_for_status()
    after = await intake.view(path)
    assert (after["due_on"], after["warning"]) == ("2026-03-20", None)


async def test_a_correction_that_cannot_be_is_refused_and_nothing_moves(intake: Intake, clock: SetClock) -> None:
    path = await intake.submit()
    clock.pass_by(days=3)
    for changed, status, words in (
        ({"received_at": "2026-03-06T09:00:00+01:00"}, 400, "future"),
        ({"received_at": "2026-03-04T09:00:00+01:00"}, 400, "entered here"),
        ({"received_at": "2026-03-02T09:00:00+00:00"}, 400, "nothing would change"),
        ({"received_at": "2026-03-02T09:00:00+00:00", "country": "DE"}, 400, "nothing would change"),
        ({"reason": "  "}, 422, ""),
        ({"received_at": "2026-02-20T09:00:00"}, 422, ""),
    ):
        refused = await intake.officer.post(f"{path}/actions/correct-arrival", json={**FOUND, **changed})
        assert (refused.status_code, words in refused.json()["detail"]) == (status, True)
    assert (await intake.view(path))["due_on"] == "2026-04-01"
    assert await intake.types() == ["verified"]


@pytest.mark.parametrize(
    ("received_at", "due_on", "in_time"),
    [("2026-02-28T09:00:00+01:00", "2026-05-28", True), ("2026-01-20T09:00:00+01:00", "2026-04-19", False)],
)
async def test_extension_stays_within_the_law(intake: Intake, received_at: str, due_on: str, *, in_time: bool) -> None:
    path = await intake.submit()
    await intake.extend(path)
    corrected = await intake.officer.post(f"{path}/actions/correct-arrival", json={**FOUND, "received_at": received_at})
    [entry] = await intake.details(path, "request.redated")
    assert (corrected.json()["due_on"], entry["extension_notified_in_time"]) == (due_on, in_time)


async def test_a_changed_policy_redates_what_is_open_once_and_makes_no_promise_later(intake: Intake) -> None:
    plain, answered, extended = [await intake.submit() for _ in range(3)]
    (await intake.channel.post(f"{answered}/actions/withdraw")).raise_for_status()
    await intake.extend(extended)
    said = len(await intake.published())
    assert await redate(intake.unit_of_work, POLICY, batch=1) == 0
    assert [await redate(intake.unit_of_work, promising(25), batch=1) for _ in range(2)] == [2, 0]
    due = [(await intake.view(path))["due_on"] for path in (plain, answered, extended)]
    assert due == ["2026-03-27", "2026-04-01", "2026-05-27"]
    # back again: no promise is shortened
    assert [await redate(intake.unit_of_work, POLICY) for _ in range(2)] == [2, 0]
    assert (await intake.view(plain))["due_on"] == "2026-03-27"
    events = (await intake.published())[said:]
    assert [(event["type"], event["cause"]) for event in events] == [("dsr.request.redated.v1", "policy_changed")] * 4
    assert {event["due_on"] for event in events} == {"2026-03-27", "2026-05-27"}


async def test_what_was_stored_before_versions_were_kept_gets_one_with_the_first_run(intake: Intake) -> None:
    await intake.submit()
    await intake.unit_of_work.pool.execute("UPDATE request SET facts = facts - 'calc_version'")
    assert [await redate(intake.unit_of_work, POLICY) for _ in range(2)] == [1, 0]
    stored = "SELECT facts ->> 'calc_version' FROM request"
    assert await intake.unit_of_work.pool.fetchval(stored) == calc_version(POLICY)


@pytest.mark.parametrize("may_be_named", [True, False])
async def test_forwarding_closes_the_request_and_names_who_answers(intake: Intake, *, may_be_named: bool) -> None:
    path = await intake.submit(**THEIRS)
    body = {"controller": CUSTOMER, "may_be_named": may_be_named}
    forwarded = await intake.officer.post(f"{path}/actions/forward", json=body)
    twice = await intake.officer.post(f"{path}/actions/forward", json=body)
    after = await intake.view(path)
    (letter,) = await intake.letters(path)
    assert (forwarded.json()["state"], twice.status_code) == ("closed", 409)
    assert (after["outcome"], "they will answer you" in str(after["answer"])) == ("forwarded", True)
    assert (letter["kind"], CUSTOMER in letter["body"]) == ("forwarded", may_be_named)
    assert "will answer you" in letter["body"]
    closed = (await intake.published())[-1]
    assert (closed["type"], closed["outcome"]) == ("dsr.request.closed.v1", "forwarded")
    [entry] = await intake.details(path, "request.forwarded")
    assert entry["named_to_subject"] is may_be_named
    assert CUSTOMER not in json.dumps(entry)
    acknowledged = ["request.received", "letter.written"]
    actions = [*acknowledged, "letter.written", "request.forwarded", "request.closed"]
    assert [action for action in await intake.actions(path) if action != "letters.read"] == actions


async def test_what_turns_out_to_be_a_customer_s_is_forwarded_before_it_begins_and_not_after(intake: Intake) -> None:
    waiting, begun = await intake.submit(assurance=None), await intake.submit()
    body = {"controller": CUSTOMER}
    answers = [
        (await intake.officer.post(f"{path}/actions/forward", json=body)).status_code for path in (waiting, begun)
    ]
    assert answers == [200, 409]
    after = await intake.view(waiting)
    assert (after["role"], after["outcome"]) == ("processor", "forwarded")
    assert (await intake.view(begun))["state"] == "in_progress"


# Unanswered questions: reminders, the last notice, and a closure that can be resumed.


async def test_request_without_proof_closes_as_unidentified_with_a_full_notice(intake: Intake) -> None:
    abandoned = Count("dsr_requests_total", right="access", event="identity_abandoned")
    path = await intake.submit(assurance=None)
    await intake.give_up(path, "identity")
    shown = await intake.view(path)
    actions = await intake.actions(path)
    notice = (await intake.letters(path))[-1]
    closed = (await intake.published())[-1]

    assert (shown["state"], shown["outcome"], shown["resumable"]) == ("closed", "unidentified", True)
    assert "answer it at any time" in shown["answer"]
    assert notice["kind"] == "last_notice"
    for words in (WORDS, "You may resume it at any time", "Bundesbeauftragte", "complaint", "judicial remedy"):
        assert words in notice["body"]
    assert (closed["type"], closed["outcome"], closed["resumable"]) == ("dsr.request.closed.v1", "unidentified", True)
    assert actions[-3:] == ["letter.written", "question.given_up", "request.closed"]
    assert abandoned.added == 1


@pytest.mark.parametrize("notice", ["reminder", "last_notice"])
async def test_notice_about_an_answered_question_has_no_effect(intake: Intake, notice: str) -> None:
    path = await intake.submit(assurance=None)
    question_id = await intake.ask(path, "identity")
    await intake.channel.post(f"{path}/actions/verify", json=PROOF)
    await intake.unanswered(path, question_id, notice, "identity")
    assert (await intake.actions(path))[-1] == "question.notice_late"
    assert (await intake.view(path))["state"] == "in_progress"
    assert [letter["kind"] for letter in await intake.letters(path)] == ["question"]


async def test_last_notice_is_written_once_despite_repeats(intake: Intake, clock: SetClock) -> None:
    path = await intake.submit(assurance=None)
    question_id = await intake.ask(path, "identity")
    clock.at = LAST
    await intake.unanswered(path, question_id, "last_notice", "identity", times=2)
    await intake.unanswered(path, question_id, "reminder", "identity")
    kinds = [letter["kind"] for letter in await intake.letters(path)]
    assert kinds == ["question", "last_notice"]
    assert (await intake.types()).count("closed") == 1
    assert (await intake.actions(path)).count("question.notice_late") == 2


@pytest.mark.parametrize(
    "steps",
    [
        [("target", "triage"), ("target", "question_sent")],
        [("milestone", "approaching")],
        [("milestone", "overdue_commitment")],
    ],
)
async def test_late_question_is_asked_once_by_the_platform(
    intake: Intake, clock: SetClock, steps: list[tuple[str, str]]
) -> None:
    silent, asked, known = [await intake.submit(assurance=proof) for proof in (None, None, PROOF["assurance"])]
    await intake.ask(asked, "identity")
    clock.pass_by(days=3)
    events = [fired(*step, id_of(path)) for path in (silent, asked, known) for step in steps]
    for _ in range(2):
        await intake.consume(*events)
    sent = [event for event in await intake.published() if event["type"] == "dsr.request.question_sent.v1"]
    (letter,) = await intake.letters(silent)
    assert [event["request_id"] for event in sent] == [id_of(asked), id_of(silent)]
    assert (letter["kind"], "confirm your request" in letter["body"]) == ("question", True)
    assert sent[-1]["condition_recorded"] is False
    await intake.unanswered(silent, sent[-1]["question_id"], "last_notice", "identity")
    assert (await intake.view(silent))["outcome"] == "unidentified"


async def test_question_without_stored_words_is_cited_by_its_letter_date(intake: Intake) -> None:
    path = await intake.submit(assurance=None)
    question_id = await intake.ask(path, "identity")
    await intake.unit_of_work.pool.execute("DELETE FROM vault.sealed WHERE sealed_id = $1", UUID(question_id))
    await intake.unanswered(path, question_id, "reminder", "identity")
    assert "(see our letter of 2 March 2026)" in (await intake.letters(path))[-1]["body"]


# What an answer that comes late does to a request that was closed without it.
async def test_late_proof_reopens_with_the_remaining_time(intake: Intake, clock: SetClock, unidentified: str) -> None:
    await intake.unit_of_work.pool.execute('UPDATE request SET facts = facts || \'{"warning": "due_in_3_days"}\'')
    clock.at = LATER
    verified = await intake.channel.post(f"{unidentified}/actions/verify", json=PROOF)
    shown = await intake.view(unidentified)
    letter = (await intake.letters(unidentified))[-1]
    said = await intake.published()
    certificate = await intake.channel.get(f"{unidentified}/certificate")

    assert verified.json()["state"] == "in_progress"
    assert (shown["outcome"], shown["closed_at"], shown["resumable"], shown["warning"]) == (None, None, False, None)
    assert shown["due_on"] == "2026-05-20"  # thirty days were left, and thirty days are a fresh commitment
    assert (letter["kind"], "20 May 2026" in letter["body"]) == ("update", True)
    assert await intake.types() == ["received", "question_sent", "closed", "reopened", "verified"]
    assert [event["due_on"] for event in said[-2:]] == ["2026-05-20"] * 2
    assert said[-2]["question_id"] == said[1]["question_id"]
    assert certificate.status_code == 409  # it is open again

    await intake.complete(unidentified)
    again = await intake.channel.post(f"{unidentified}/actions/verify", json=PROOF)
    certificate = await intake.channel.get(f"{unidentified}/certificate")
    assert (again.status_code, again.json()["type"]) == (409, "urn:dsr:problem:illegal_transition")
    assert (certificate.json()["request"]["outcome"], (await intake.view(unidentified))["resumable"]) == (
        "fulfilled",
        False,
    )
    assert (await intake.actions(unidentified)).count("request.closed") == 2


async def test_late_explanation_reopens_and_restarts_the_work(intake: Intake, clock: SetClock, partly: str) -> None:
    clock.at = LATER
    proof = await intake.channel.post(f"{partly}/actions/verify", json=PROOF)
    replied = await intake.channel.post(
        f"{partly}/actions/record-reply", json={"text": "everything", "received_at": "2026-04-18T08:00:00Z"}
    )
    (reopened, verified) = (await intake.published())[-2:]
    assert (proof.status_code, replied.json()["state"]) == (409, "in_progress")
    assert (reopened["type"], reopened["answered_at"]) == ("dsr.request.reopened.v1", "2026-04-18T08:00:00Z")
    assert (reopened["due_on"], verified["due_on"]) == ("2026-05-18", "2026-05-18")
    await intake.complete(partly)
    assert (await intake.view(partly))["outcome"] == "fulfilled"
