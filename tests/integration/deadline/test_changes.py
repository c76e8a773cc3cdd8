"""How a stored date moves, by an event alone, and that what it was stays on record."""

from datetime import UTC, date, datetime, timedelta

import asyncpg
import pytest

from shared.domain.events import LetterReturned, RequestExtended, RequestReceived
from shared.domain.operations import Operation
from shared.domain.rights import Right
from shared.domain.time_limit import calc_version
from tests.fixtures.events import a
from tests.integration.deadline.conftest import ARRIVED, POLICY, Harness
from tests.integration.deadline.test_sweep import FIVE

FOUND = ARRIVED - timedelta(days=20)  # 13 February: one month is the shorter of the two
FIRST = (date(2026, 4, 4), date(2026, 4, 7))


async def dates(deadline: Harness, request: RequestReceived) -> tuple[date, date]:
    row = await deadline.clock(request)
    return row["due_on"], row["statutory_due_on"]


async def before(deadline: Harness) -> list[tuple[str, date]]:
    return [tuple(row) for row in await deadline.pool.fetch("SELECT cause, due_on FROM clock_before")]


async def test_an_answered_question_moves_the_statutory_limit_alone_and_what_it_was_stays(deadline: Harness) -> None:
    event = await deadline.receives()
    question = await deadline.asks(event)
    assert await dates(deadline, event) == FIRST
    await deadline.answers(question, ARRIVED + timedelta(days=11))
    assert await dates(deadline, event) == (FIRST[0], date(2026, 4, 15))  # ten days from 5 April
    assert await before(deadline) == [("question_answered", FIRST[0])]
    sent = {"question": "identity", "not_counted": None}
    assert await deadline.evidence("deadline.question_sent") == [sent]
    assert await deadline.evidence("deadline.question_answered") == [{}]
    (recomputed,) = await deadline.evidence("deadline.recomputed")
    assert (recomputed["cause"], recomputed["before"]["statutory_due_on"]) == ("question_answered", "2026-04-07")


@pytest.mark.parametrize(
    ("after", "recorded", "reason"), [(6, True, "asked_too_late"), (1, False, "condition_not_recorded")]
)
async def test_a_question_that_does_not_count_moves_nothing_and_the_reason_is_on_record(
    deadline: Harness, after: int, recorded: object, reason: str
) -> None:
    event = await deadline.receives()
    question = await deadline.asks(event, after, condition_recorded=recorded)
    await deadline.answers(question, ARRIVED + timedelta(days=20))
    assert await dates(deadline, event) == FIRST
    assert await before(deadline) == []
    assert (await deadline.evidence("deadline.question_sent"))[0]["not_counted"] == reason


async def test_while_a_question_is_open_only_the_commitment_can_be_overdue(deadline: Harness) -> None:
    event = await deadline.receives()
    question = await deadline.asks(event)
    await deadline.sweeps(days=60)
    assert (await deadline.said())[event.request_id][-1] == "overdue commitment"
    await deadline.answers(question, deadline.now)
    await deadline.sweeps(days=100)
    assert (await deadline.said())[event.request_id][-2:] == ["overdue commitment", "overdue statutory"]


async def test_an_answer_given_while_a_question_is_open_is_judged_with_the_days_of_the_question(
    deadline: Harness,
) -> None:
    event = await deadline.receives()
    await deadline.asks(event)
    await deadline.closes(event, days=40)
    assert (await deadline.clock(event))["timeliness"] == "late_commitment"


async def test_an_extension_moves_both_clocks_and_the_warnings_start_anew(deadline: Harness) -> None:
    event = await deadline.receives()
    await deadline.sweeps(days=28)
    await deadline.extends(event, date(2026, 6, 4))
    assert await dates(deadline, event) == (date(2026, 6, 4), date(2026, 6, 5))
    await deadline.sweeps(at=datetime(2026, 6, 20, tzinfo=UTC))
    assert (await deadline.said())[event.request_id] == [*FIVE[:2], *FIVE]
    assert await deadline.evidence("deadline.extended") == [{"reason": "VOLUME"}]


async def test_an_extension_of_which_nobody_knows_or_heard_too_late_moves_nothing(deadline: Harness) -> None:
    event = await deadline.receives()
    await deadline.extends(event, date(2026, 6, 4))
    await deadline.hears(a(LetterReturned, event, what="extension", question_id=None))
    assert await dates(deadline, event) == FIRST
    assert await before(deadline) == [("extension_returned", date(2026, 6, 4))]
    await deadline.hears(a(RequestExtended, event, due_on=date(2026, 6, 4), told_at=ARRIVED + timedelta(days=40)))
    assert await dates(deadline, event) == FIRST
    assert await deadline.evidence("deadline.extension_too_late") == [{"reason": "VOLUME"}]
    await deadline.extends(event, date(2026, 6, 4))
    assert (await deadline.clock(event))["extended"]


async def test_a_clock_that_has_stopped_moves_no_more(deadline: Harness) -> None:
    event = await deadline.receives()
    await deadline.closes(event)
    await deadline.extends(event, date(2026, 6, 4))
    await deadline.redates(event, date(2026, 3, 13), received_at=FOUND)
    assert await dates(deadline, event) == FIRST
    assert await before(deadline) == []


async def test_a_corrected_receipt_moves_every_date_and_what_they_were_stays(deadline: Harness) -> None:
    event, day, zones = await deadline.receives(), date(2026, 3, 13), ("Europe/Paris", "America/New_York")
    await deadline.redates(event, day, received_at=FOUND, zones=zones, calendar="FR")
    now = await deadline.clock(event)
    assert (now["due_on"], now["statutory_due_on"], now["work_by"]) == (day, day, day)
    assert (now["received_at"], now["zones"], now["calendar"]) == (FOUND, ",".join(zones), "FR")
    assert now["due_at"] == now["statutory_due_at"] == datetime(2026, 3, 13, 23, tzinfo=UTC)
    assert await before(deadline) == [("receipt_corrected", FIRST[0])]
    (entry,) = await deadline.evidence("deadline.recomputed")
    assert entry["cause"] == "receipt_corrected"
    assert entry["before"] == {
        "received_at": ARRIVED.isoformat(),
        "due_on": "2026-04-04",
        "work_by": "2026-04-02",
        "statutory_due_on": "2026-04-07",
    }
    assert entry["after"]["due_on"] == "2026-03-13"


async def test_milestones_that_were_never_said_come_although_later_ones_of_the_old_dates_were(
    deadline: Harness,
) -> None:
    event = await deadline.receives()
    await deadline.sweeps(days=28)
    assert (await deadline.said())[event.request_id] == FIVE[:2]
    await deadline.redates(event, date(2026, 3, 13), received_at=FOUND)
    await deadline.sweeps()
    assert (await deadline.said())[event.request_id] == FIVE


async def test_a_receipt_that_is_corrected_to_a_later_day_is_warned_of_anew(deadline: Harness) -> None:
    event = await deadline.receives()
    await deadline.sweeps(days=25)
    await deadline.redates(event, date(2026, 4, 20), received_at=datetime(2026, 3, 21, 9, tzinfo=UTC))
    await deadline.sweeps()
    assert (await deadline.said())[event.request_id] == FIVE[:1]
    await deadline.sweeps(at=datetime(2026, 4, 14, 9, tzinfo=UTC))
    assert (await deadline.said())[event.request_id] == [*FIVE[:1], *FIVE[:1]]


async def test_a_changed_policy_moves_the_law_s_limit_and_keeps_the_day_that_was_promised(deadline: Harness) -> None:
    event, promised = await deadline.receives(), date(2026, 4, 2)
    await deadline.pool.execute(
        "UPDATE clock SET statutory_due_on = '2026-04-09', calc_version = 'rules-0', due_on = '2026-04-02'"
    )
    for _ in range(2):  # the second finds nothing to move
        await deadline.redates(event, promised, cause="policy_changed")
        now = await deadline.clock(event)
        assert (now["due_on"], now["statutory_due_on"]) == (promised, FIRST[1])
        assert (now["work_by"], now["due_at"]) == (promised, datetime(2026, 4, 2, 22, tzinfo=UTC))
        assert now["calc_version"] == calc_version(POLICY)
        assert await before(deadline) == [("policy_changed", promised)]


async def test_an_extended_clock_stays_extended_when_its_receipt_is_corrected(deadline: Harness) -> None:
    event, day = await deadline.receives(), date(2026, 5, 13)
    await deadline.extends(event, date(2026, 6, 4))
    await deadline.redates(event, day, received_at=FOUND)
    assert (await deadline.clock(event))["extended"]
    assert await dates(deadline, event) == (day, day)


async def test_the_tasks_of_the_clock_itself_move_with_it(deadline: Harness) -> None:
    event = await deadline.receives()
    await deadline.verifies(event)
    await deadline.sweeps(minutes=15)
    await deadline.redates(event, date(2026, 3, 13), received_at=FOUND)
    due_on = await deadline.pool.fetchval("SELECT due_on FROM task WHERE operation = $1", Operation.FLAG)
    assert due_on == date(2026, 3, 13)


@pytest.mark.parametrize(
    ("said", "first", "due_at"),
    [  # Friday 13, two working days: Tuesday 17
        ({"role": "processor"}, date(2026, 3, 9), datetime(2026, 2, 17, 23, tzinfo=UTC)),
        ({"right": Right.OBJECTION, "scope": "direct_marketing"}, date(2026, 3, 7), FOUND + timedelta(hours=48)),
    ],
)
async def test_a_shorter_limit_of_our_own_counts_from_the_corrected_receipt(
    deadline: Harness, said: dict[str, object], first: date, due_at: datetime
) -> None:
    event = await deadline.receives(**said)
    row: asyncpg.Record = await deadline.clock(event)
    assert (row["due_on"], row["role"], row["scope"]) == (first, event.role, event.scope)
    await deadline.redates(event, (due_at - timedelta(hours=1)).date(), received_at=FOUND)
    assert (await deadline.clock(event))["due_at"] == due_at
