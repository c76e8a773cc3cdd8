"""What intake does when nobody answers: reminders, the last notice, a closure that may be resumed."""

from functools import partial
from uuid import UUID

import pytest

from services.intake import handlers, silence
from services.intake.__main__ import configure, service
from services.intake.letters import Letters
from shared.domain.events import DeadlineApproaching, DeadlineOverdue, FulfilmentBlocked, TargetMissed
from shared.runtime.metrics import PEOPLE
from tests.fixtures.engine import SetClock
from tests.fixtures.silent_requests import (
    LAST,
    PROOF,
    WORDS,
    actions,
    ask,
    ask_at_last,
    complete,
    counted,
    hear,
    id_of,
    letters,
    partly,
    types,
    unidentified,
    view,
)
from tests.integration.test_intake_timing import Door, door

__all__ = ["door", "partly", "unidentified"]


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


async def test_what_was_clear_is_the_answer_where_the_rest_is_never_explained(door: Door, partly: str) -> None:
    shown = await view(door, partly)
    assert (shown["state"], shown["outcome"], shown["resumable"]) == ("closed", "partially_fulfilled", True)
    assert (await letters(door, partly))[-1]["kind"] == "clarification_last_notice"
    assert (await door.said())[-1]["resumable"] is True


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
    async with door.harness.begin() as tx:
        await handlers.blocked([blocked], tx, letters=Letters())
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
        async with door.harness.begin() as tx:
            await ask_at_last(events, tx)
    sent = [event for event in await door.said() if event["type"] == "dsr.request.question_sent.v1"]
    (letter,) = await letters(door, silent)
    assert [UUID(event["request_id"]) for event in sent] == [UUID(id_of(asked)), UUID(id_of(silent))]
    assert (letter["kind"], "confirm your request" in letter["body"]) == ("identity_question", True)
    assert sent[-1]["condition_recorded"] is False
    await hear(door, silent, sent[-1]["question_id"], "last_notice", "identity")
    assert (await view(door, silent))["outcome"] == "unidentified"


@pytest.mark.parametrize(
    ("warning", "more"),
    [
        (DeadlineApproaching, {"due_on": "2026-03-04", "days_left": 1}),
        (DeadlineOverdue, {"due_on": "2026-03-04", "clock": "commitment"}),
    ],
)
async def test_whose_limit_is_too_short_for_that_target_is_asked_once_when_its_warnings_come(
    door: Door, clock: SetClock, warning: type[DeadlineApproaching | DeadlineOverdue], more: dict[str, object]
) -> None:
    silent, asked, known = await door.submit(assurance=None), await door.submit(assurance=None), await door.submit()
    await ask(door, asked, "identity")
    clock.pass_by(days=1)
    events = [
        warning.model_validate({"request_id": id_of(path), "occurred_at": clock.at, "right": "access", **more})
        for path in (silent, asked, known)
    ]
    for _ in range(2):
        async with door.harness.begin() as tx:
            await ask_at_last(events, tx)
    assert [letter["kind"] for letter in await letters(door, silent)] == ["identity_question"]
    assert [event["request_id"] for event in await door.said() if event["type"].endswith("question_sent.v1")] == [
        id_of(asked),
        id_of(silent),
    ]


def test_intake_asks_at_last_whichever_way_it_hears_that_it_is_late() -> None:
    configure()
    heard = {
        subscription.event
        for subscriptions in service.subscriptions.values()
        for subscription in subscriptions
        if isinstance(subscription.handler, partial) and subscription.handler.func is silence.ask_at_last
    }
    assert heard == {TargetMissed, DeadlineApproaching, DeadlineOverdue}


async def test_a_question_whose_words_were_not_kept_on_their_own_is_told_by_the_day_of_its_letter(
    door: Door,
) -> None:
    path = await door.submit(assurance=None)
    question_id = await ask(door, path, "identity")
    await door.harness.pool.execute("DELETE FROM vault.sealed WHERE sealed_id = $1", UUID(question_id))
    await hear(door, path, question_id, "reminder", "identity")
    assert "(see our letter of 02 March 2026)" in (await letters(door, path))[-1]["body"]
