"""What intake does when nobody answers: reminders, the last notice, a closure that may be resumed."""

from uuid import UUID

import pytest

from services.intake.__main__ import configure, service
from services.intake.handlers import Handlers
from shared.domain.events import DeadlineApproaching, DeadlineOverdue, Event, FulfilmentBlocked, TargetMissed
from tests.fixtures.engine import SetClock
from tests.fixtures.events import a
from tests.fixtures.intake import LAST, PROOF, WORDS, Intake, id_of
from tests.fixtures.told import Count


async def test_a_reminder_is_a_letter_with_the_question_and_nothing_else_changes(
    intake: Intake, clock: SetClock
) -> None:
    path = await intake.submit(assurance=None)
    question_id = await intake.ask(path, "identity")
    clock.pass_by(days=7)
    await intake.unanswered(path, question_id, "reminder", "identity")
    (_, reminder) = await intake.letters(path)
    assert (await intake.view(path))["state"] == "awaiting_identity"
    assert reminder["kind"] == "question_reminder"
    for words in (WORDS, "On 2 March 2026 we asked you", "Bundesbeauftragte", "judicial remedy"):
        assert words in reminder["body"]
    assert await intake.types() == ["received", "question_sent"]


async def test_without_proof_of_identity_the_request_closes_as_unidentified_with_everything_the_law_wants_told(
    intake: Intake,
) -> None:
    abandoned = Count("dsr_requests_total", right="access", event="identity_abandoned")
    path = await intake.submit(assurance=None)
    await intake.give_up(path, "identity")
    shown = await intake.view(path)
    actions = await intake.actions(path)
    notice = (await intake.letters(path))[-1]
    closed = (await intake.published())[-1]

    assert (shown["state"], shown["outcome"], shown["resumable"]) == ("closed", "unidentified", True)
    assert "answer it at any time" in shown["answer"]
    assert notice["kind"] == "identity_last_notice"
    for words in (WORDS, "You may resume it at any time", "Bundesbeauftragte", "complaint", "judicial remedy"):
        assert words in notice["body"]
    assert (closed["type"], closed["outcome"], closed["resumable"]) == ("dsr.request.closed.v1", "unidentified", True)
    assert actions[-3:] == ["letter.written", "question.given_up", "request.closed"]
    assert abandoned.added == 1


async def test_what_was_clear_is_the_answer_where_the_rest_is_never_explained(intake: Intake, partly: str) -> None:
    shown = await intake.view(partly)
    assert (shown["state"], shown["outcome"], shown["resumable"]) == ("closed", "partially_fulfilled", True)
    kinds = [letter["kind"] for letter in await intake.letters(partly)]
    assert kinds[-2:] == ["clarification_last_notice", "partial"]
    assert (await intake.published())[-1]["resumable"] is True


async def test_a_decision_of_a_person_about_failed_work_stays_theirs_after_the_last_notice(
    intake: Intake, clock: SetClock
) -> None:
    path = await intake.submit()
    question_id = await intake.ask(path, "clarification")
    await intake.consume(a(FulfilmentBlocked, about=id_of(path)))
    clock.at = LAST
    await intake.unanswered(path, question_id, "last_notice", "clarification")
    waiting = (await intake.view(path))["state"]
    retried = await intake.officer.post(f"{path}/decision", json={"decision": "retry"})
    await intake.complete(path)
    shown = await intake.view(path)
    assert (waiting, retried.json()["state"]) == ("awaiting_decision", "in_progress")
    assert (shown["outcome"], shown["resumable"]) == ("partially_fulfilled", True)


@pytest.mark.parametrize("notice", ["reminder", "last_notice"])
async def test_a_notice_about_a_question_that_was_answered_meanwhile_does_nothing_and_is_named(
    intake: Intake, notice: str
) -> None:
    path = await intake.submit(assurance=None)
    question_id = await intake.ask(path, "identity")
    await intake.channel.post(f"{path}/verify", json=PROOF)
    await intake.unanswered(path, question_id, notice, "identity")
    assert (await intake.actions(path))[-1] == "question.notice_late"
    assert (await intake.view(path))["state"] == "in_progress"
    assert [letter["kind"] for letter in await intake.letters(path)] == ["identity_question"]


async def test_the_last_notice_is_written_once_however_often_it_is_heard(intake: Intake, clock: SetClock) -> None:
    path = await intake.submit(assurance=None)
    question_id = await intake.ask(path, "identity")
    clock.at = LAST
    await intake.unanswered(path, question_id, "last_notice", "identity", times=2)
    await intake.unanswered(path, question_id, "reminder", "identity")
    kinds = [letter["kind"] for letter in await intake.letters(path)]
    assert kinds == ["identity_question", "identity_last_notice"]
    assert (await intake.types()).count("closed") == 1
    assert (await intake.actions(path)).count("question.notice_late") == 2


async def test_whom_nobody_has_asked_in_time_is_asked_by_the_platform_and_nobody_twice(
    intake: Intake, clock: SetClock
) -> None:
    silent, asked, known = [await intake.submit(assurance=proof) for proof in (None, None, PROOF["assurance"])]
    await intake.ask(asked, "identity")
    clock.pass_by(days=3)
    events = [
        a(TargetMissed, about=id_of(path), target=target)
        for path in (silent, asked, known)
        for target in ("triage", "question_sent")
    ]
    for _ in range(2):
        await intake.consume(*events)
    sent = [event for event in await intake.published() if event["type"] == "dsr.request.question_sent.v1"]
    (letter,) = await intake.letters(silent)
    assert [UUID(event["request_id"]) for event in sent] == [UUID(id_of(asked)), UUID(id_of(silent))]
    assert (letter["kind"], "confirm your request" in letter["body"]) == ("identity_question", True)
    assert sent[-1]["condition_recorded"] is False
    await intake.unanswered(silent, sent[-1]["question_id"], "last_notice", "identity")
    assert (await intake.view(silent))["outcome"] == "unidentified"


@pytest.mark.parametrize("warning", [DeadlineApproaching, DeadlineOverdue])
async def test_whose_limit_is_too_short_for_that_target_is_asked_once_when_its_warnings_come(
    intake: Intake, clock: SetClock, warning: type[Event]
) -> None:
    silent, asked, known = [await intake.submit(assurance=proof) for proof in (None, None, PROOF["assurance"])]
    await intake.ask(asked, "identity")
    clock.pass_by(days=1)
    for _ in range(2):
        await intake.consume(*[a(warning, about=id_of(path)) for path in (silent, asked, known)])
    assert [letter["kind"] for letter in await intake.letters(silent)] == ["identity_question"]
    assert [
        event["request_id"] for event in await intake.published() if event["type"].endswith("question_sent.v1")
    ] == [id_of(asked), id_of(silent)]


def test_intake_asks_at_last_whichever_way_it_hears_that_it_is_late() -> None:
    configure()
    heard = {
        subscription.event
        for subscriptions in service.subscriptions.values()
        for subscription in subscriptions
        if getattr(subscription.handler, "__func__", None) is Handlers.warn
    }
    assert heard == {TargetMissed, DeadlineApproaching, DeadlineOverdue}


async def test_a_question_whose_words_were_not_kept_on_their_own_is_told_by_the_day_of_its_letter(
    intake: Intake,
) -> None:
    path = await intake.submit(assurance=None)
    question_id = await intake.ask(path, "identity")
    await intake.unit_of_work.pool.execute("DELETE FROM vault.sealed WHERE sealed_id = $1", UUID(question_id))
    await intake.unanswered(path, question_id, "reminder", "identity")
    assert "(see our letter of 2 March 2026)" in (await intake.letters(path))[-1]["body"]
