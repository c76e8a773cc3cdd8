"""Who does not answer a question is reminded twice and told at last."""

from datetime import UTC, date, datetime, timedelta

import pytest

from services.deadline.sweep import milestones, questions
from shared.domain.events import LetterReturned, QuestionSent, RequestReceived
from shared.domain.rights import Outcome
from tests.fixtures.events import a
from tests.integration.deadline.conftest import ARRIVED, Harness
from tests.integration.deadline.test_sweep import FIVE

LAST = datetime(2026, 4, 1, 4, tzinfo=UTC)  # midnight in New York
ALL = ["reminder 7", "reminder 14", "last_notice 26"]  # asked on 6 March: on the 13th, the 20th, and 1 April


@pytest.fixture
async def asked(deadline: Harness) -> tuple[RequestReceived, QuestionSent]:
    """A request, and the question of who asks, a day after."""
    request = await deadline.receives()
    return request, await deadline.asks(request)


Asked = tuple[RequestReceived, QuestionSent]


async def test_two_reminders_and_the_last_notice_come_each_once_at_the_start_of_their_day(
    deadline: Harness, asked: Asked
) -> None:
    request, _ = asked
    counts = []
    for start in (datetime(2026, 3, 13, 4, tzinfo=UTC), datetime(2026, 3, 20, 4, tzinfo=UTC), LAST):
        for now in (start - timedelta(microseconds=1), start, start + timedelta(hours=5)):
            await deadline.sweeps(questions, at=now)
            counts.append(len((await deadline.said()).get(request.request_id, [])))
    await deadline.sweeps(questions, at=LAST + timedelta(days=100))
    assert counts == [0, 1, 1, 1, 2, 2, 2, 3, 3]
    assert await deadline.said() == {request.request_id: ALL}
    assert await deadline.evidence("deadline.question_unanswered") == [
        {"question": "identity", "notice": notice, "days_open": days}
        for notice, days in (("reminder", 7), ("reminder", 14), ("last_notice", 26))
    ]


@pytest.mark.parametrize(
    ("back_at", "expected"),
    [(datetime(2026, 3, 25, tzinfo=UTC), "reminder 18"), (datetime(2026, 4, 20, tzinfo=UTC), "last_notice 44")],
)
async def test_after_downtime_only_the_latest_that_matters_is_said(
    deadline: Harness, asked: Asked, back_at: datetime, expected: str
) -> None:
    await deadline.sweeps(questions, at=back_at)
    await deadline.sweeps(questions)
    assert await deadline.said() == {asked[0].request_id: [expected]}


async def test_who_answers_in_time_hears_nothing_more(deadline: Harness, asked: Asked) -> None:
    request, question = asked
    await deadline.sweeps(questions, at=datetime(2026, 3, 14, tzinfo=UTC))
    await deadline.answers(question, deadline.now)
    await deadline.sweeps(questions, at=LAST + timedelta(days=10))
    assert await deadline.said() == {request.request_id: ["reminder 7"]}


async def test_a_request_that_was_closed_or_withdrawn_is_not_asked_again(deadline: Harness, asked: Asked) -> None:
    late = await deadline.receives()
    await deadline.asks(late)
    await deadline.closes(asked[0], late, days=2, outcome=Outcome.UNIDENTIFIED)
    await deadline.asks(late, 3)  # heard after the closure
    await deadline.sweeps(questions, at=LAST + timedelta(days=10))
    assert await deadline.said() == {}


async def test_dates_that_move_move_the_last_notice_and_repeat_no_reminder(deadline: Harness, asked: Asked) -> None:
    request, _ = asked
    await deadline.sweeps(questions, at=datetime(2026, 3, 21, tzinfo=UTC))
    await deadline.extends(request, date(2026, 6, 4))
    await deadline.sweeps(questions, at=LAST + timedelta(days=1))
    assert await deadline.said() == {request.request_id: ["reminder 14"]}
    await deadline.sweeps(questions, at=datetime(2026, 6, 2, 4, tzinfo=UTC))  # two working days before Thursday 4 June
    assert await deadline.said() == {request.request_id: ["reminder 14", "last_notice 88"]}


async def test_what_was_said_at_last_is_not_said_again_when_the_dates_move_later(
    deadline: Harness, asked: Asked
) -> None:
    request, _ = asked
    await deadline.sweeps(questions, at=LAST)
    await deadline.asks(request, question="clarification", asked_at=LAST + timedelta(hours=1))
    await deadline.sweeps(questions, at=LAST + timedelta(hours=2))
    assert await deadline.said() == {request.request_id: ["last_notice 26"]}


async def test_a_reopened_request_runs_until_its_new_day_and_what_its_dates_were_stays(
    deadline: Harness, asked: Asked
) -> None:
    request, question = asked
    answered_at = datetime(2026, 4, 20, 12, tzinfo=UTC)
    await deadline.closes(request, responded_at=LAST, outcome=Outcome.UNIDENTIFIED)
    deadline.at(answered_at)
    await deadline.reopens(request, question, answered_at, date(2026, 5, 19))

    row = await deadline.clock(request)
    assert (row["responded_at"], row["outcome"], row["timeliness"]) == (None, None, None)
    assert (row["due_on"], row["work_by"]) == (date(2026, 5, 19), date(2026, 5, 19))
    assert row["statutory_due_on"] == date(2026, 5, 20)  # 45 days from 5 April
    before = await deadline.pool.fetch("SELECT due_on FROM clock_before WHERE cause = 'reopened'")
    assert [each["due_on"] for each in before] == [date(2026, 4, 4)]
    assert await deadline.pool.fetchval("SELECT answered_at FROM question") == answered_at
    assert await deadline.evidence("deadline.reopened") == [{"due_on": "2026-05-19"}]

    deadline.at(datetime(2026, 6, 1, tzinfo=UTC))
    for source in (milestones, questions):
        await deadline.sweeps(source)
    assert await deadline.said() == {request.request_id: FIVE}
    await deadline.closes(request, responded_at=datetime(2026, 5, 20, 4, tzinfo=UTC))
    assert (await deadline.clock(request))["timeliness"] == "late_commitment"


async def test_the_law_is_never_said_to_end_before_the_commitment_of_a_reopened_request(deadline: Harness) -> None:
    request = await deadline.receives()
    question = await deadline.asks(request, 10)  # asked too late to stop the statutory clock
    deadline.at(datetime(2026, 4, 20, 12, tzinfo=UTC))
    await deadline.closes(request, responded_at=LAST, outcome=Outcome.UNIDENTIFIED)
    await deadline.reopens(request, question, deadline.now, date(2026, 5, 10))
    assert (await deadline.clock(request))["statutory_due_on"] == date(2026, 5, 10)
    again = await deadline.asks(request, question="clarification", asked_at=deadline.now)
    await deadline.answers(again, deadline.now + timedelta(days=1))
    row = await deadline.clock(request)
    assert (row["due_on"], row["statutory_due_on"]) == (date(2026, 5, 10), date(2026, 5, 10))


async def test_a_question_whose_letter_came_back_was_never_asked_and_counts_when_it_is_asked_again(
    deadline: Harness, asked: Asked
) -> None:
    request, question = asked
    before = (await deadline.clock(request))["statutory_due_on"]
    await deadline.hears(a(LetterReturned, request, what="question", question_id=question.question_id))
    assert not (await deadline.clock(request))["pausing"]
    await deadline.sweeps(questions, at=LAST + timedelta(days=10))
    assert await deadline.said() == {}
    again = ARRIVED + timedelta(days=2)
    await deadline.hears(a(QuestionSent, request, question_id=question.question_id, asked_at=again))
    assert (await deadline.clock(request))["pausing"]
    assert (await deadline.clock(request))["statutory_due_on"] == before


async def test_the_clock_of_an_answer_that_came_back_runs_on_until_the_subject_has_it(deadline: Harness) -> None:
    request = await deadline.receives()
    await deadline.closes(request, days=3)
    await deadline.hears(a(LetterReturned, request, what="answer", question_id=None))
    clock = await deadline.clock(request)
    assert (clock["responded_at"], clock["outcome"], clock["timeliness"]) == (None, None, None)
    await deadline.sweeps(milestones, days=40)
    assert "overdue statutory" in (await deadline.said())[request.request_id]
    await deadline.closes(request, days=41)
    assert (await deadline.clock(request))["timeliness"] == "breach"
