"""Open requests elsewhere: tickets, the flag in the CRM, the digest and the daily alert."""

import asyncio
from datetime import UTC, datetime, timedelta

from uuid_utils.compat import uuid7

from services.deadline import notifications, repository
from shared.domain.operations import Operation, Step
from shared.domain.rights import Right
from shared.fulfilment import queue as tasks
from shared.fulfilment.store import FulfilmentResult
from shared.storage import systems
from shared.storage.systems import ObservedFinding
from tests.integration.deadline.conftest import ARRIVED, PLANS, Harness, daily, milestones


async def claim(deadline: Harness, system: str, operation: Operation) -> tasks.LeasedTask:
    async with deadline.pool.acquire() as connection:
        process = uuid7()
        await tasks.register(connection, process, timedelta(seconds=30))
        (claimed,) = await tasks.claim(connection, (system, operation), 1, deadline.now, process)
    return claimed


async def flagged(deadline: Harness, claimed: tasks.LeasedTask) -> None:
    """A worker has set the flag."""
    done = FulfilmentResult(
        *(claimed.fulfilment_id, claimed.request_id, claimed.subject_ref, Right(claimed.right), Operation.FLAG),
        claimed.details,
        reports=(),
    )
    async with deadline.unit_of_work.begin() as tx:
        conclusion = tasks.Conclusion(claimed, tasks.TaskState.DONE, None, None, deadline.now)
        await tasks.conclude(tx.connection, [conclusion], deadline.now)
        await notifications.record(deadline.fulfilments, [done], tx)


async def test_a_warning_that_reached_the_privacy_team_is_put_on_record(deadline: Harness) -> None:
    done = FulfilmentResult(
        uuid7(), uuid7(), uuid7(), Right.ACCESS, Operation.ESCALATE, {"level": "overdue_commitment"}, reports=()
    )
    async with deadline.unit_of_work.begin() as tx:
        await notifications.record(deadline.fulfilments, [done], tx)
    assert await deadline.evidence("deadline.escalated") == [{"level": "overdue_commitment", "systems": {}}]


async def test_a_ticket_that_may_exist_is_resolved_with_the_answer(deadline: Harness) -> None:
    warned, quiet = await deadline.receives_many(2)
    await deadline.sweeps(days=28)
    await deadline.closes(quiet, days=28)  # its warning is withdrawn before anybody saw it
    assert (await claim(deadline, "ticketing", Operation.ESCALATE)).request_id == warned.request_id
    await deadline.closes(warned, days=28)
    assert await deadline.details() == [{"level": "resolved", "outcome": "fulfilled"}]


async def test_a_flag_is_set_once_it_is_known_who_asks_and_taken_away_with_the_answer(deadline: Harness) -> None:
    requests = await deadline.receives_many(2)
    await deadline.verifies(*requests)
    await deadline.sweeps(minutes=15)
    assert await deadline.details(Operation.FLAG) == [{"open": True}] * 2
    claimed = await claim(deadline, "crm", Operation.FLAG)
    await deadline.closes(*requests)
    assert await deadline.details(Operation.FLAG) == [{"open": False}]  # the other one was never begun
    assert claimed.request_id in {request.request_id for request in requests}


async def test_a_flag_is_taken_away_by_the_request_alone(deadline: Harness) -> None:
    """A flag is removed without identities, also where the system yields some."""
    deadline.fulfilments.stages_of = {
        **PLANS,
        Operation.FLAG: ((Step("crm", Operation.LOCATE),), *PLANS[Operation.FLAG]),
    }
    request = await deadline.receives()
    await deadline.verifies(request)
    await deadline.sweeps(minutes=15)
    await claim(deadline, "crm", Operation.LOCATE)
    await deadline.closes(request)
    assert await deadline.details(Operation.FLAG) == [{"open": False}]


async def test_customers_instruction_sets_no_flag_in_the_crm(deadline: Harness) -> None:
    instructed, ours = await deadline.receives(tenant="acme"), await deadline.receives()
    await deadline.verifies(instructed, ours)
    await deadline.sweeps(minutes=15)
    assert (await claim(deadline, "crm", Operation.FLAG)).request_id == ours.request_id
    assert await deadline.details(Operation.FLAG) == []


async def test_a_flag_is_for_what_is_still_open_after_a_quarter_of_an_hour(deadline: Harness) -> None:
    quick, slow, not_proven = await deadline.receives_many(3)
    await deadline.verifies(quick, slow)
    assert await deadline.sweeps(minutes=14) == 0
    await deadline.closes(quick)
    assert await deadline.sweeps(minutes=15) == 1
    rows = await deadline.pool.fetch("SELECT request_id, due_on FROM fulfilment")
    assert [tuple(row) for row in rows] == [(slow.request_id, slow.due_on)]
    assert await deadline.sweeps(days=20) == 0  # once, and nothing else has come
    assert await deadline.said() == {}
    flags = await deadline.pool.fetch("SELECT request_id FROM timer WHERE kind = 'flag'")
    assert not_proven.request_id not in {row[0] for row in flags}


async def test_a_flag_is_set_once_whatever_becomes_of_the_dates(deadline: Harness) -> None:
    event = await deadline.receives()
    await deadline.sweeps(days=28)
    await deadline.verifies(event)
    await deadline.sweeps(days=28, minutes=15)
    await deadline.redates(event, ARRIVED.date(), received_at=ARRIVED - timedelta(days=20))
    await deadline.sweeps()
    assert await deadline.details(Operation.FLAG) == [{"open": True}]
    assert await deadline.tickets() == ["approaching_3d", "overdue_statutory"]


async def test_a_flag_that_another_worker_was_setting_meanwhile_is_taken_away_once_more(deadline: Harness) -> None:
    event = await deadline.receives()
    await deadline.verifies(event)
    await deadline.sweeps(minutes=15)
    await claim(deadline, "crm", Operation.FLAG)
    await deadline.closes(event)
    await flagged(deadline, await claim(deadline, "crm", Operation.FLAG))
    assert await deadline.details(Operation.FLAG) == [{"open": False}]


async def begins(deadline: Harness) -> None:
    await deadline.sweep().begin()
    await deadline.only(daily)


async def test_the_digest_counts_by_right_once_a_day_however_long_the_service_was_away(deadline: Harness) -> None:
    await deadline.receives(received_at=ARRIVED - timedelta(days=15))
    await deadline.receives(received_at=ARRIVED - timedelta(days=20), right=Right.ERASURE)
    _, done = await deadline.receives_many(2)
    await deadline.closes(done)
    deadline.at(datetime(2026, 3, 5, 12, tzinfo=UTC))  # five in the morning in Denver
    await begins(deadline)
    sweep = deadline.sweep()
    assert not await sweep.look()
    deadline.at(datetime(2026, 3, 5, 14, tzinfo=UTC))
    assert [await sweep.look() for _ in range(3)] == [1, 0, 0]
    deadline.at(datetime(2026, 3, 9, 14, tzinfo=UTC))
    await begins(deadline)  # another process
    assert [await sweep.look() for _ in range(2)] == [1, 0]
    first, second = await deadline.details()
    assert first["level"] == "digest"
    assert first["lines"][0] == "access: 2 open, 0 due in 7 days, 0 overdue"
    assert first["lines"][2] == "erasure: 1 open, 0 due in 7 days, 0 overdue"
    assert first["lines"][-1] == "all: 3 open, 0 due in 7 days, 0 overdue"
    assert len(first["lines"]) == len(Right) + 1
    assert second["lines"][-1] == "all: 3 open, 1 due in 7 days, 0 overdue"


async def test_digest_lists_once_whom_a_new_system_holds(deadline: Harness) -> None:
    had, had_not = uuid7(), uuid7()
    async with deadline.pool.acquire() as connection:
        await systems.register(connection, {"crm": "a"})
        await systems.register(connection, {"crm": "a", "billing": "b"})
        found = [
            ObservedFinding(had, "located", 3, deadline.now),
            ObservedFinding(had_not, "no_match", 0, deadline.now),
        ]
        await systems.note_findings(connection, "billing", found)
        await systems.switch_on(connection, "billing", "b")
    deadline.at(datetime(2026, 3, 5, 14, tzinfo=UTC))
    await begins(deadline)
    for day in (5, 6):
        deadline.at(datetime(2026, 3, day, 14, tzinfo=UTC))
        assert await deadline.sweep().look() == 1
    first, second = await deadline.details()
    assert first["lines"][-1] == f"billing was switched on; before, it had something of: {had}"
    assert "billing" not in " ".join(second["lines"])


def morning(days: int) -> datetime:
    """Six in the morning in Denver, so many days after the receipt."""
    return ARRIVED.replace(hour=13) + timedelta(days=days)


async def alerts(deadline: Harness) -> list[list[str]]:
    found = [each for each in await deadline.details() if each["level"] == "daily_page"]
    assert all(each["escalate_to"] == ["dpo", "executive"] for each in found)
    return [each["lines"][len(Right) + 1 :] for each in found]


async def test_named_people_get_the_daily_ticket_while_a_request_is_nearly_due(deadline: Harness) -> None:
    event = await deadline.receives()
    await deadline.receives(received_at=ARRIVED + timedelta(days=9))
    deadline.at(morning(26))
    await begins(deadline)
    for day in (26, 27, 28, 33):
        deadline.at(morning(day))
        assert [await deadline.sweep().look() for _ in range(2)] == [1, 0]
    assert await alerts(deadline) == [
        *[[f"{event.request_id}: due on 2026-04-04"]] * 2,
        [f"{event.request_id}: was due on 2026-04-04"],
    ]
    await deadline.closes(event, days=33)
    deadline.at(morning(34))
    assert await deadline.sweep().look()
    assert len(await alerts(deadline)) == 3


async def test_the_daily_ticket_waits_for_its_hour_and_two_instances_open_one(deadline: Harness) -> None:
    await deadline.receives()
    deadline.at(morning(28).replace(hour=10))
    await begins(deadline)
    assert not await deadline.sweep().look()
    deadline.at(morning(28))
    sent = await asyncio.gather(*(deadline.sweep().look() for _ in range(4)))
    assert sorted(sent) == [0, 0, 0, 1]
    assert len(await alerts(deadline)) == 1


async def test_the_daily_ticket_lists_the_longest_due_and_says_that_there_are_more(deadline: Harness) -> None:
    await deadline.receives_many(notifications.LISTED + 6)
    longest = await deadline.receives(received_at=ARRIVED - timedelta(days=3))
    deadline.at(morning(28))
    await begins(deadline)
    assert await deadline.sweep().look()
    (lines,) = await alerts(deadline)
    assert len(lines) == notifications.LISTED + 1
    assert lines[0] == f"{longest.request_id}: was due on 2026-04-01"
    assert lines[-1] == "and more"


async def test_daily_messages_read_open_requests_alone(deadline: Harness) -> None:
    await deadline.receives_many(100)
    await deadline.pool.execute("UPDATE clock SET responded_at = received_at")
    await deadline.receives()
    await deadline.pool.execute("VACUUM ANALYZE clock")
    nearest = (["access"], ARRIVED, ARRIVED.date(), ARRIVED, 100)
    for plan in (
        await deadline.plan(repository.OPEN_BY_RIGHT, ARRIVED, ARRIVED + notifications.SOON),
        await deadline.plan(repository.NEAREST, *nearest),
    ):
        assert "clock_open" in plan
        assert "Seq Scan" not in plan


async def test_one_look_reports_milestones_and_writes_the_daily_ticket(deadline: Harness) -> None:
    await deadline.receives()
    await deadline.only(milestones)
    deadline.at(morning(28))
    await deadline.runs(2)  # it rests
    assert sorted(await deadline.tickets()) == ["approaching_3d", "daily_page"]
