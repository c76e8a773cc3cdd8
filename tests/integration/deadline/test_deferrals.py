"""Deferred erasures: what a system had to keep is released once its day is over and the request answered."""

from datetime import UTC, date, datetime, timedelta
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from uuid_utils.compat import uuid7

from services.deadline import retention, statistics
from services.deadline.timers import Poll
from shared.domain.events import FulfilmentBlocked, FulfilmentCompleted, RequestReceived, RetryRequested
from shared.domain.operations import Kept, Operation, TaskOutcome, TaskReport
from shared.domain.policy import Policy, parse_period
from shared.domain.rights import Outcome, Right
from shared.messaging import inbox
from shared.runtime import disclosure, metrics
from tests.fixtures.events import a
from tests.fixtures.freezing import Freezing
from tests.fixtures.live import eventually
from tests.fixtures.policy import signed_policy
from tests.integration.deadline.conftest import ARRIVED, POLICY, Harness, daily, deferrals, milestones

ZONE = ZoneInfo(POLICY.commitment.controller_zone)
UNTIL = date(2026, 9, 30)
OVER = datetime(2026, 10, 1, 6, tzinfo=UTC)  # the first instant of the next day in Denver


def report(outcome: TaskOutcome | None, system: str, **said: object) -> TaskReport:
    what = {"task_id": uuid7(), "system": system, "operation": Operation.ERASE, "outcome": outcome}
    return TaskReport.model_validate(what | said)


def kept(system: str = "billing", until: date | None = UNTIL) -> TaskReport:
    return report(TaskOutcome.RETAINED, system, ground="tax_law", until=until, found=3, remaining=3)


def erased(system: str = "billing") -> TaskReport:
    return report(TaskOutcome.ERASED, system, found=3, changed=3)


async def tells(deadline: Harness, request: RequestReceived, *reports: TaskReport) -> None:
    await deadline.consume(a(FulfilmentCompleted, request, operation=Operation.ERASE, tasks=reports))


async def erasure(deadline: Harness, *reports: TaskReport) -> RequestReceived:
    """An erasure that was answered although these tasks kept something."""
    request = await deadline.receives(right=Right.ERASURE)
    await tells(deadline, request, *reports)
    await deadline.closes(request, days=1)
    return request


async def states(deadline: Harness) -> dict[str, str]:
    state = "CASE WHEN reported <> '' THEN reported WHEN due_at IS NULL THEN 'held' ELSE 'scheduled' END"
    query = f"SELECT ref, {state} FROM timer WHERE kind = 'retention' ORDER BY ref"  # a test's own
    return {row[0]: row[1] for row in await deadline.pool.fetch(query)}


async def redates(deadline: Harness) -> int:
    async with deadline.unit_of_work.begin() as tx:
        return await retention.redate(tx)


async def test_what_was_kept_is_released_when_its_day_is_over_and_not_a_moment_before(deadline: Harness) -> None:
    request = await erasure(deadline, kept("billing"), kept("archive"), erased("crm"))
    assert await deadline.sweeps(deferrals, at=OVER - timedelta(microseconds=1)) == 0
    assert await deadline.sweeps(deferrals, at=OVER) == 2
    assert await deadline.said() == {request.request_id: ["archive+billing 2026-10-01"]}
    value = await deadline.pool.fetchval("SELECT convert_from(value, 'UTF8')::json ->> 'subject' FROM outbox")
    assert value == str(request.subject)
    assert await deadline.evidence("erasure.deferred") == [
        {"system": system, "ground": "tax_law", "until": "2026-09-30", "state": "scheduled"}
        for system in ("billing", "archive")
    ]


async def test_nothing_is_released_before_the_request_is_answered(deadline: Harness) -> None:
    request = await deadline.receives(right=Right.ERASURE)
    await deadline.pool.execute("DELETE FROM clock")
    await tells(deadline, request, kept(until=date(2026, 3, 1)))  # before the request itself
    await deadline.consume(request)
    assert await deadline.sweeps(deferrals) == 0
    await deadline.closes(request)
    assert await deadline.sweeps(deferrals) == 1
    assert len(await deadline.said()) == 1


async def test_data_kept_next_to_a_failure_are_known_after_a_manual_closure(deadline: Harness) -> None:
    request, retained = await deadline.receives(right=Right.ERASURE), kept()
    failed = report(None, "crm", failure="refused")
    await deadline.consume(a(FulfilmentBlocked, request, operation=Operation.ERASE, tasks=(retained, failed)))
    await tells(deadline, request, retained, erased("crm"))
    await deadline.closes(request)
    assert await states(deadline) == {"billing": "scheduled"}
    assert len(await deadline.evidence("erasure.deferred")) == 1


async def test_deferred_erasure_ends_or_is_scheduled_again(deadline: Harness) -> None:
    request = await erasure(deadline, first := kept("billing"), kept("archive"))
    await deadline.sweeps(deferrals, at=OVER)
    await tells(deadline, request, erased("billing"), kept("archive", UNTIL + timedelta(days=365)))
    assert await states(deadline) == {"archive": "scheduled", "billing": "done"}
    await tells(deadline, request, first)  # an old report says nothing new
    assert await states(deadline) == {"archive": "scheduled", "billing": "done"}
    assert await deadline.evidence("erasure.executed") == [{"system": "billing", "outcome": "erased"}]
    assert await deadline.sweeps(deferrals, at=OVER + timedelta(days=365)) == 1


def by_rule(period: str = "P18M", rule: str = "calls_us_18m") -> TaskReport:
    """Calls from 1 October 2026 on, of which the first goes when 18 months are over."""
    first, last = date(2028, 4, 1), date(2029, 3, 1)
    each = Kept(
        category="call_record", rule=rule, count=3, first=first, last=last, anchor=date(2026, 10, 1), period=period
    )
    return kept("cdr", last).model_copy(update={"ground": rule, "kept": (each,)})


def shortened(period: str, *, signed: bool = True) -> Policy:
    policy = signed_policy()
    rule = policy.rules["calls_us_18m"].model_copy(update={"period": parse_period(period)})
    rule = rule if signed else rule.model_copy(update={"sign_off": None})
    return policy.with_other(rules={**policy.rules, "calls_us_18m": rule})


@pytest.mark.parametrize(
    ("period", "signed", "due"),
    [("P12M", True, "2027-10-02"), ("P12M", False, "2028-04-02"), ("P24M", True, "2028-04-02")],
)
async def test_only_a_signed_shorter_rule_moves_days(deadline: Harness, period: str, due: str, *, signed: bool) -> None:
    await erasure(deadline, by_rule())
    assert await redates(deadline) == 0, "nothing has changed"
    deadline.unit_of_work.policy = shortened(period, signed=signed)
    assert await redates(deadline) == 1
    day = await deadline.pool.fetchval(
        "SELECT due_at AT TIME ZONE 'America/Denver' FROM timer WHERE kind = 'retention'"
    )
    assert str(day)[:10] == due
    redated = [{"system": "cdr", "policy": deadline.unit_of_work.policy.version}] if due == "2027-10-02" else []
    assert await deadline.evidence("erasure.redated") == redated


async def test_data_released_by_a_shorter_rule_are_not_late(deadline: Harness) -> None:
    await erasure(deadline, by_rule())
    deadline.at(datetime(2028, 3, 1, tzinfo=UTC))
    deadline.unit_of_work.policy = shortened("P6M")
    assert await redates(deadline) == 1
    assert await deadline.sweeps(deferrals) == 1
    assert [each["late"] for each in await deadline.evidence("erasure.due")] == [False]


async def test_what_is_kept_by_rule_is_due_when_the_first_of_it_is_and_not_the_last(deadline: Harness) -> None:
    await erasure(deadline, by_rule())
    assert await deadline.sweeps(deferrals, at=datetime(2028, 4, 2, 5, tzinfo=UTC)) == 0
    assert await deadline.sweeps(deferrals, at=datetime(2028, 4, 2, 6, tzinfo=UTC)) == 1
    [said] = await deadline.evidence("erasure.deferred")
    assert [each["rule"] for each in said["kept"]] == ["calls_us_18m"]


async def test_data_without_a_day_delay_nothing_and_need_a_person_once_alone(deadline: Harness) -> None:
    dated = by_rule()
    undated = Kept(category="call_record", rule="calls_us_18m", count=1, period="P18M")
    both = dated.model_copy(update={"until": None, "kept": (undated, *(dated.kept or ()))})
    request = await erasure(deadline, both)
    assert await deadline.sweeps(deferrals, at=datetime(2028, 4, 2, 5, tzinfo=UTC)) == 0
    assert await deadline.sweeps(deferrals, at=datetime(2028, 4, 2, 6, tzinfo=UTC)) == 1
    await tells(deadline, request, kept("cdr", None).model_copy(update={"kept": (undated,)}))
    assert [each["state"] for each in await deadline.evidence("erasure.deferred")] == ["scheduled", "held"]


async def test_what_an_open_invoice_keeps_is_searched_again_every_six_months(deadline: Harness) -> None:
    deadline.at(OVER)
    lasts = {"until": None, "kept": (Kept(category="invoice", rule="open_invoice", count=1),)}
    request = await erasure(deadline, kept("crm").model_copy(update=lasts))
    for review in (datetime(2027, 4, 2, 6, tzinfo=UTC), datetime(2027, 10, 3, 6, tzinfo=UTC)):
        assert await states(deadline) == {"crm": "scheduled"}
        assert await deadline.sweeps(deferrals, at=review - timedelta(microseconds=1)) == 0
        assert await deadline.sweeps(deferrals, at=review) == 1, (
            "1 April is over, and half a year after the look that it brings"
        )
        await tells(deadline, request, kept("crm").model_copy(update=lasts))


async def test_a_system_that_always_names_a_day_that_is_over_is_asked_once_and_then_held(deadline: Harness) -> None:
    deadline.at(OVER)
    request = await erasure(deadline, kept())
    assert await deadline.sweeps(deferrals) == 1
    await tells(deadline, request, kept())
    assert await deadline.sweeps(deferrals) == 0
    assert await states(deadline) == {"billing": "held"}


async def test_paused_deferral_waits_for_review_and_answer(deadline: Harness, caplog: pytest.LogCaptureFixture) -> None:
    request = await deadline.receives(right=Right.ERASURE)
    await tells(deadline, request, kept(until=None))
    waits = f"retained data needs a decision request_id={request.request_id} system=billing"
    assert [(r.levelname, r.getMessage()) for r in caplog.records] == [("WARNING", waits)]
    await deadline.consume(a(RetryRequested, request))
    await deadline.closes(request)
    assert await deadline.sweeps(deferrals, days=9_000) == 0
    assert await states(deadline) == {"billing": "held"}
    await deadline.consume(a(RetryRequested, request))
    assert await deadline.sweeps(deferrals) == 1
    assert await deadline.evidence("erasure.let_go") == [{"system": "billing"}]


@pytest.mark.parametrize("first", [True, False])
async def test_a_withdrawn_request_erases_nothing_later(deadline: Harness, *, first: bool) -> None:
    request = await deadline.receives(right=Right.ERASURE)
    if first:
        await tells(deadline, request, kept())
    await deadline.closes(request, outcome=Outcome.WITHDRAWN)
    if not first:
        await tells(deadline, request, kept())
    assert await states(deadline) == {}


async def test_deferred_erasures_are_counted_by_system_and_small_counts_hidden(deadline: Harness) -> None:
    today = ARRIVED.astimezone(ZONE).date()
    for days, number in {31: 5, 29: 1, -1: 2, -2: 3}.items():
        for _ in range(number):
            await erasure(deadline, kept(until=today + timedelta(days=days)))
    await erasure(deadline, kept("archive", until=None))
    await tells(deadline, await erasure(deadline, kept("archive")), erased("archive"))
    async with deadline.pool.acquire() as connection:
        await statistics.count(connection, ARRIVED, POLICY)
    exact = {
        (system, state): metrics.PEOPLE.get_sample_value("dsr_erasures_deferred", {"system": system, "state": state})
        for system in ("billing", "archive")
        for state in statistics.DEFERRED_STATES
    }
    assert {place: number for place, number in exact.items() if number} == {
        ("billing", "scheduled"): 5,
        ("billing", "due_in_30_days"): 1,
        ("billing", "due"): 2,
        ("billing", "late"): 3,
        ("archive", "held"): 1,
    }
    public = disclosure.public_registry()
    assert public.get_sample_value("dsr_erasures_deferred", {"system": "billing", "state": "scheduled"}) == 5
    assert public.get_sample_value("dsr_erasures_deferred", {"system": "billing", "state": "late"}) is None


# A deadline service that freezes while it says something: another says it, and what wakes says it no second time.
def frozen(deadline: Harness) -> tuple[Freezing, Poll]:
    """Another process of the service, which freezes before its first commit, and its sweep."""
    freezing = Freezing(deadline.unit_of_work)
    awake = deadline.sweep()
    return freezing, Poll(freezing, POLICY, awake.settings, deadline.fulfilments, awake.heartbeats)


async def test_what_a_frozen_sweep_had_in_hand_is_said_by_another_and_once(deadline: Harness) -> None:
    request = await deadline.receives()
    await deadline.only(milestones)
    deadline.at(ARRIVED + timedelta(days=28))
    freezing, sleeping = frozen(deadline)
    async with freezing.asleep(sleeping.look()):
        assert await deadline.said() == {}
        await eventually(deadline.sweep().look)
    said = (await deadline.said())[request.request_id]
    assert said
    assert said == list(dict.fromkeys(said))
    assert len(await deadline.tickets()) == 1
    assert await deadline.sweeps() == 0


async def test_frozen_writer_of_a_daily_message_is_replaced_once(deadline: Harness) -> None:
    await deadline.receives()
    deadline.at(ARRIVED + timedelta(days=29, hours=5))
    freezing, sleeping = frozen(deadline)
    await deadline.sweep().begin()
    await deadline.only(daily)
    async with freezing.asleep(sleeping.look()):
        assert await deadline.tickets() == []
        await eventually(deadline.sweep().look)
    assert await deadline.tickets() == ["daily_page"]
    assert not await deadline.sweep().look()


async def test_frozen_process_stops_no_cleanup(deadline: Harness) -> None:
    old = deadline.now - 2 * inbox.KEEP
    await deadline.pool.execute("INSERT INTO inbox VALUES ($1, $2)", uuid4(), old)

    async def forget(by: Freezing | None = None) -> bool:
        async with (by or deadline.unit_of_work).begin() as tx:
            await inbox.forget(tx.connection, deadline.now - inbox.KEEP)
        return True

    freezing, _ = frozen(deadline)
    async with freezing.asleep(forget(freezing)):
        await forget()
    assert await deadline.pool.fetchval("SELECT count(*) FROM inbox") == 0
