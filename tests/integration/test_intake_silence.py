"""What intake does when nobody answers: reminders, the last notice, a closure that may be resumed, a late answer."""

from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from prometheus_client import CollectorRegistry

from services.intake import handlers, silence
from services.intake.letters import Letters
from shared.events import FulfilmentBlocked, FulfilmentCompleted, QuestionUnanswered, TargetMissed
from shared.metrics import PEOPLE
from tests.fixtures.engine import SetClock
from tests.integration.test_intake_timing import Door, door

__all__ = ["door"]
unanswered, ask_at_last = (partial(handler, letters=Letters()) for handler in (silence.unanswered, silence.ask_at_last))
WORDS = "Which Quarzfels account is yours?"
LAST = datetime(2026, 3, 30, 4, tzinfo=UTC)  # the commitment ends on Wednesday 1 April
LATER = datetime(2026, 4, 20, 12, tzinfo=UTC)
PROOF = {"assurance": {"level": "L2", "method": "account"}}


def id_of(path: str) -> str:
    return path.rpartition("/")[2]


async def ask(door: Door, path: str, kind: str) -> str:
    answer = await door.officer.post(f"{path}/question", json={"question": kind, "text": WORDS})
    assert answer.status_code == 200, answer.text
    return str((await door.said())[-1]["question_id"])


async def hear(door: Door, path: str, question_id: str, notice: str, kind: str, times: int = 1) -> None:
    event = QuestionUnanswered.model_validate(
        {
            "request_id": id_of(path),
            "occurred_at": door.office.clock.now(),
            "right": "access",
            "question_id": question_id,
            "question": kind,
            "notice": notice,
            "days_open": 7,
        }
    )
    async with door.office.begin() as tx:
        await unanswered([event] * times, tx)


async def complete(door: Door, path: str, outcome: str = "fulfilled") -> None:
    event = FulfilmentCompleted.model_validate(
        {
            "request_id": id_of(path),
            "occurred_at": door.office.clock.now(),
            "right": "access",
            "operation": "export",
            "outcome": outcome,
            "tasks": (),
        }
    )
    async with door.office.begin() as tx:
        await handlers.complete([event], tx)


async def view(door: Door, path: str) -> dict[str, Any]:
    found: dict[str, Any] = (await door.channel.get(path)).json()
    return found


async def letters(door: Door, path: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await door.channel.get(f"{path}/letters")).json()["letters"]
    return found


async def actions(door: Door, path: str) -> list[str]:
    return [entry["action"] for entry in (await door.channel.get(f"{path}/timeline")).json()["entries"]]


async def types(door: Door) -> list[str]:
    return [event["type"].split(".")[2] for event in await door.said()]


def counted(registry: CollectorRegistry, event: str) -> float:
    return registry.get_sample_value("dsr_requests_total", {"right": "access", "event": event}) or 0


@pytest.fixture
async def unidentified(door: Door, clock: SetClock) -> str:
    """A request that was closed because nobody could say who asks."""
    path = await door.submit(assurance=None)
    question_id = await ask(door, path, "identity")
    clock.at = LAST
    await hear(door, path, question_id, "last_notice", "identity")
    return path


@pytest.fixture
async def partly(door: Door, clock: SetClock) -> str:
    """A request whose clear part was done, and that was closed because nobody could say what the rest means."""
    path = await door.submit()
    question_id = await ask(door, path, "clarification")
    await complete(door, path)
    clock.at = LAST
    await hear(door, path, question_id, "last_notice", "clarification")
    return path


async def test_a_reminder_is_a_letter_with_the_question_and_nothing_else_changes(door: Door, clock: SetClock) -> None:
    path = await door.submit(assurance=None)
    question_id = await ask(door, path, "identity")
    clock.pass_by(days=7)
    await hear(door, path, question_id, "reminder", "identity")
    (_, reminder) = await letters(door, path)
    assert (await view(door, path))["state"] == "awaiting_identity"
    assert reminder["kind"] == "question_reminder"
    for words in (WORDS, "On 02 March 2026 we asked you", "Bundesbeauftragte", "judicial remedy"):
        assert words in reminder["body"]
    assert await types(door) == ["received", "question_sent"]


async def test_without_proof_of_identity_the_request_closes_as_unidentified_with_everything_the_law_wants_told(
    door: Door, clock: SetClock
) -> None:
    before = counted(PEOPLE, "identity_abandoned")
    path = await door.submit(assurance=None)
    question_id = await ask(door, path, "identity")
    clock.at = LAST
    await hear(door, path, question_id, "last_notice", "identity")
    shown = await view(door, path)
    notice = (await letters(door, path))[-1]
    closed = (await door.said())[-1]

    assert (shown["state"], shown["outcome"], shown["resumable"]) == ("closed", "unidentified", True)
    assert "answer it at any time" in shown["answer"]
    assert notice["kind"] == "identity_last_notice"
    for words in (WORDS, "You may resume it at any time", "Bundesbeauftragte", "complaint", "judicial remedy"):
        assert words in notice["body"]
    assert (closed["type"], closed["outcome"], closed["resumable"]) == ("dsr.request.closed.v1", "unidentified", True)
    assert (await actions(door, path))[-3:] == ["letter.written", "question.given_up", "request.closed"]
    assert counted(PEOPLE, "identity_abandoned") == before + 1


async def test_proof_that_comes_late_reopens_the_request_with_the_time_that_was_left(
    door: Door, clock: SetClock, unidentified: str
) -> None:
    await door.office.pool.execute("UPDATE request SET warning = 'due_in_3_days'")
    clock.at = LATER
    verified = await door.channel.post(f"{unidentified}/verify", json=PROOF)
    shown = await view(door, unidentified)
    told = (await letters(door, unidentified))[-1]
    said = await door.said()
    certificate = await door.channel.get(f"{unidentified}/certificate")

    assert verified.json()["state"] == "in_progress"
    assert (shown["outcome"], shown["closed_at"], shown["resumable"], shown["warning"]) == (None, None, False, None)
    assert shown["due_on"] == "2026-05-20"  # thirty days were left, and thirty days are a fresh commitment
    assert (told["kind"], "20 May 2026" in told["body"]) == ("reopened", True)
    assert await types(door) == ["received", "question_sent", "closed", "reopened", "verified"]
    assert [event["due_on"] for event in said[-2:]] == ["2026-05-20"] * 2
    assert said[-2]["question_id"] == said[1]["question_id"]
    assert certificate.status_code == 409  # it is open again

    await complete(door, unidentified)
    again = await door.channel.post(f"{unidentified}/verify", json=PROOF)
    certificate = await door.channel.get(f"{unidentified}/certificate")
    assert (again.status_code, again.json()["type"]) == (409, "urn:dsr:problem:illegal_transition")
    assert (certificate.json()["request"]["outcome"], (await view(door, unidentified))["resumable"]) == (
        "fulfilled",
        False,
    )
    assert (await actions(door, unidentified)).count("request.closed") == 2


async def test_proof_that_is_not_enough_reopens_nothing(door: Door, unidentified: str) -> None:
    weak = await door.channel.post(
        f"{unidentified}/verify", json={"assurance": {"level": "L1", "method": "email_link"}}
    )
    reply = await door.channel.post(f"{unidentified}/reply", json={"text": "It is me"})
    assert (weak.status_code, reply.status_code) == (400, 409)
    assert (await view(door, unidentified))["outcome"] == "unidentified"


async def test_what_was_clear_is_the_answer_where_the_rest_is_never_explained(door: Door, partly: str) -> None:
    shown = await view(door, partly)
    assert (shown["state"], shown["outcome"], shown["resumable"]) == ("closed", "partially_fulfilled", True)
    assert (await letters(door, partly))[-1]["kind"] == "clarification_last_notice"
    assert (await door.said())[-1]["resumable"] is True


async def test_an_explanation_that_comes_late_reopens_the_request_and_the_work_begins_again(
    door: Door, clock: SetClock, partly: str
) -> None:
    clock.at = LATER
    proof = await door.channel.post(f"{partly}/verify", json=PROOF)
    replied = await door.channel.post(
        f"{partly}/reply", json={"text": "everything", "received_at": "2026-04-18T08:00:00Z"}
    )
    (reopened, verified) = (await door.said())[-2:]
    assert (proof.status_code, replied.json()["state"]) == (409, "in_progress")
    assert (reopened["type"], reopened["answered_at"]) == ("dsr.request.reopened.v1", "2026-04-18T08:00:00Z")
    assert (reopened["due_on"], verified["due_on"]) == ("2026-05-18", "2026-05-18")
    await complete(door, partly)
    assert (await view(door, partly))["outcome"] == "fulfilled"


async def test_work_that_still_runs_at_the_last_notice_closes_the_request_in_part_when_it_ends(
    door: Door, clock: SetClock
) -> None:
    path = await door.submit()
    question_id = await ask(door, path, "clarification")
    clock.at = LAST
    await hear(door, path, question_id, "last_notice", "clarification")
    running = await view(door, path)
    await complete(door, path)
    shown = await view(door, path)
    assert (running["state"], running["outcome"], running["resumable"]) == ("in_progress", None, False)
    assert (shown["outcome"], shown["resumable"]) == ("partially_fulfilled", True)


async def test_an_explanation_that_comes_while_the_work_still_runs_makes_it_whole_again(
    door: Door, clock: SetClock
) -> None:
    path = await door.submit()
    question_id = await ask(door, path, "clarification")
    clock.at = LAST
    await hear(door, path, question_id, "last_notice", "clarification")
    replied = await door.channel.post(f"{path}/reply", json={"text": "everything"})
    await complete(door, path)
    assert replied.json()["state"] == "in_progress"
    assert (await view(door, path))["outcome"] == "fulfilled"
    assert "reopened" not in await types(door)


async def test_a_decision_of_a_person_about_failed_work_stays_theirs_after_the_last_notice(
    door: Door, clock: SetClock
) -> None:
    path = await door.submit()
    question_id = await ask(door, path, "clarification")
    blocked = FulfilmentBlocked.model_validate(
        {
            "request_id": id_of(path),
            "occurred_at": clock.at,
            "right": "access",
            "operation": "export",
            "tasks": (),
        }
    )
    async with door.office.begin() as tx:
        await handlers.ask_a_person([blocked], tx)
    clock.at = LAST
    await hear(door, path, question_id, "last_notice", "clarification")
    waiting = (await view(door, path))["state"]
    retried = await door.officer.post(f"{path}/decision", json={"decision": "retry"})
    await complete(door, path)
    shown = await view(door, path)
    assert (waiting, retried.json()["state"]) == ("awaiting_decision", "in_progress")
    assert (shown["outcome"], shown["resumable"]) == ("partially_fulfilled", True)


@pytest.mark.parametrize("notice", ["reminder", "last_notice"])
async def test_a_notice_about_a_question_that_was_answered_meanwhile_does_nothing_and_is_named(
    door: Door, notice: str
) -> None:
    path = await door.submit(assurance=None)
    question_id = await ask(door, path, "identity")
    await door.channel.post(f"{path}/verify", json=PROOF)
    await hear(door, path, question_id, notice, "identity")
    assert (await actions(door, path))[-1] == "question.notice_late"
    assert (await view(door, path))["state"] == "in_progress"
    assert [letter["kind"] for letter in await letters(door, path)] == ["identity_question"]


async def test_the_last_notice_is_written_once_however_often_it_is_heard(door: Door, clock: SetClock) -> None:
    path = await door.submit(assurance=None)
    question_id = await ask(door, path, "identity")
    clock.at = LAST
    await hear(door, path, question_id, "last_notice", "identity", times=2)
    await hear(door, path, question_id, "reminder", "identity")
    kinds = [letter["kind"] for letter in await letters(door, path)]
    assert kinds == ["identity_question", "identity_last_notice"]
    assert (await types(door)).count("closed") == 1
    assert (await actions(door, path)).count("question.notice_late") == 2


async def test_who_no_longer_wants_it_withdraws_what_might_have_been_resumed(door: Door, unidentified: str) -> None:
    withdrawn = await door.channel.post(f"{unidentified}/withdraw")
    late = await door.channel.post(f"{unidentified}/verify", json=PROOF)
    closed = (await door.said())[-1]
    shown = await view(door, unidentified)
    assert (withdrawn.status_code, late.status_code) == (200, 409)
    assert (shown["outcome"], shown["resumable"]) == ("withdrawn", False)
    assert (closed["outcome"], closed["resumable"]) == ("withdrawn", False)


async def test_whom_nobody_has_asked_in_time_is_asked_by_the_platform_and_nobody_twice(
    door: Door, clock: SetClock
) -> None:
    silent, asked, known = await door.submit(assurance=None), await door.submit(assurance=None), await door.submit()
    await ask(door, asked, "identity")
    clock.pass_by(days=3)
    events = [
        TargetMissed.model_validate(
            {
                "request_id": id_of(path),
                "occurred_at": clock.at,
                "right": "access",
                "target": target,
                "target_on": "2026-03-05",
                "escalate_to": "team_lead",
            }
        )
        for path in (silent, asked, known)
        for target in ("triage", "question_sent")
    ]
    for _ in range(2):
        async with door.office.begin() as tx:
            await ask_at_last(events, tx)
    sent = [event for event in await door.said() if event["type"] == "dsr.request.question_sent.v1"]
    (letter,) = await letters(door, silent)
    assert [UUID(event["request_id"]) for event in sent] == [UUID(id_of(asked)), UUID(id_of(silent))]
    assert (letter["kind"], "confirm your request" in letter["body"]) == ("identity_question", True)
    assert sent[-1]["condition_recorded"] is False
    await hear(door, silent, sent[-1]["question_id"], "last_notice", "identity")
    assert (await view(door, silent))["outcome"] == "unidentified"


async def test_a_question_whose_words_were_not_kept_on_their_own_is_told_by_the_day_of_its_letter(
    door: Door,
) -> None:
    path = await door.submit(assurance=None)
    question_id = await ask(door, path, "identity")
    await door.office.pool.execute("DELETE FROM vault.sealed WHERE sealed_id = $1", UUID(question_id))
    await hear(door, path, question_id, "reminder", "identity")
    assert "(see our letter of 02 March 2026)" in (await letters(door, path))[-1]["body"]
