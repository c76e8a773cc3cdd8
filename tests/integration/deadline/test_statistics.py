"""The figures of the privacy officer, counted on a real database and compared with what their definitions give."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import asyncpg
from uuid_utils.compat import uuid7

from services.deadline import statistics
from services.deadline.statistics import ANSWERED_BY_OUTCOME
from shared.runtime import disclosure, metrics
from tests.integration.deadline.conftest import POLICY

NOW = datetime(2026, 6, 15, 16, tzinfo=UTC)
ZONE = ZoneInfo(POLICY.commitment.controller_zone)
DONE = {"right": "access", "outcome": "fulfilled", "timeliness": "on_time", "extended": "no"}

CLOCK = """
INSERT INTO clock (request_id, subject_ref, "right", role, received_at, zones, calendar, due_on, due_at, work_by,
                   statutory_due_on, statutory_due_at, calc_version, responded_at, outcome, timeliness)
VALUES ($1, $1, $2, 'controller', $3, 'UTC', 'DE', $4::timestamptz::date, $4, '2026-01-01', $5::timestamptz::date, $5,
        'v', $6, $7, $8)
"""


async def opened(pool: asyncpg.Pool, right: str, age: float, due_in: float, law_in: float | None = None) -> None:
    """An open request received so many days ago and due in so many days."""
    law = NOW + timedelta(days=due_in + 2 if law_in is None else law_in)
    due = NOW + timedelta(days=due_in)
    await pool.execute(CLOCK, uuid7(), right, NOW - timedelta(days=age), due, law, None, None, None)


async def answered(pool: asyncpg.Pool, days: float, ago: float, outcome: str, timeliness: str = "on_time") -> None:
    """A request for access that took so many days and was answered so many days ago."""
    at = NOW - timedelta(days=ago)
    await pool.execute(CLOCK, uuid7(), "access", at - timedelta(days=days), NOW, NOW, at, outcome, timeliness)


def value(name: str, **labels: str) -> float | None:
    return metrics.PEOPLE.get_sample_value(name, labels)


async def count(pool: asyncpg.Pool) -> None:
    async with pool.acquire() as connection:
        await statistics.count(connection, NOW, POLICY)


async def test_an_open_request_is_counted_once_in_its_age(pool: asyncpg.Pool) -> None:
    for age in (0, 7, 8, 21, 22, 26, 31, 90, 91):
        await opened(pool, "erasure", age, 20)
    await count(pool)
    ages = {bucket: value("dsr_requests_open", right="erasure", age=bucket) for bucket in statistics.AGES}
    assert ages == {**dict.fromkeys(statistics.AGES, 1), "0-7": 2}


async def test_age_is_a_difference_of_days_in_the_controllers_zone(pool: asyncpg.Pool) -> None:
    midnight_in_denver = 10.0 / 24
    await opened(pool, "access", 7 + midnight_in_denver - 1 / 24, 20)  # the seventh day before, late
    await opened(pool, "access", 7 + midnight_in_denver + 1 / 24, 20)  # the eighth day before
    await count(pool)
    assert value("dsr_requests_open", right="access", age="0-7") == 1
    assert value("dsr_requests_open", right="access", age="8-14") == 1


async def test_due_soon_and_overdue_are_separate_by_both_clocks(pool: asyncpg.Pool) -> None:
    await opened(pool, "access", 5, 8)
    await opened(pool, "access", 5, 7)
    await opened(pool, "access", 5, 0.1)
    await opened(pool, "access", 40, -1, law_in=1)
    await opened(pool, "access", 40, -3, law_in=-1)
    await count(pool)
    assert value("dsr_requests_due_soon", right="access") == 2
    assert value("dsr_requests_overdue", right="access", clock="commitment") == 2
    assert value("dsr_requests_overdue", right="access", clock="statutory") == 1
    assert value("dsr_requests_overdue", right="erasure", clock="statutory") == 0
    left = {days: value("dsr_requests_open_by_days_left", days=days) for days in ("over", "0", "7", "8", "more")}
    assert left == {"over": 2, "0": 1, "7": 1, "8": 1, "more": 0}


async def test_what_was_answered_is_counted_by_outcome_and_timeliness_for_thirty_days(pool: asyncpg.Pool) -> None:
    await answered(pool, 3, 1, "fulfilled")
    await answered(pool, 3, 29.9, "fulfilled")
    await answered(pool, 3, 30.1, "fulfilled")
    await answered(pool, 33, 1, "refused", "breach")
    await count(pool)
    assert value("dsr_requests_answered", **DONE) == 2
    assert value("dsr_requests_answered", **DONE | {"outcome": "refused", "timeliness": "breach"}) == 1


async def test_time_to_respond_is_the_nearest_rank_without_withdrawn_ones(pool: asyncpg.Pool) -> None:
    for days in range(1, 21):
        await answered(pool, days, 1, "fulfilled")
    await answered(pool, 300, 1, "withdrawn")
    await count(pool)
    assert value("dsr_time_to_respond_days", right="access", quantile="0.5") == 10
    assert value("dsr_time_to_respond_days", right="access", quantile="0.95") == 19
    assert value("dsr_time_to_respond_days_count", right="access") == 20


async def test_extensions_are_counted_of_what_fell_due_as_first_promised(pool: asyncpg.Pool) -> None:
    for due_in in (-1, -2, -29, -31, 1):
        await opened(pool, "access", 40, due_in)
    promised = "UPDATE clock SET promised_on = $2::timestamptz::date WHERE due_at > $1"  # for June, then later
    await pool.execute(promised, NOW, NOW - timedelta(days=8))
    await count(pool)
    assert value("dsr_requests_reached_due", right="access") == 4
    assert value("dsr_requests_extended", right="access") == 1
    assert value("dsr_requests_extended", right="erasure") == 0


async def test_suspension_is_counted_by_question_with_a_private_sum(pool: asyncpg.Pool) -> None:
    for ago, days in enumerate([1, 2, 3, 4, 5, 10]):
        asked = "INSERT INTO question VALUES ($1, $1, 'identity', $2, $3, true, true)"
        answered_at = NOW - timedelta(days=ago)
        await pool.execute(asked, uuid7(), answered_at - timedelta(days=days), answered_at)
    await pool.execute("INSERT INTO question VALUES ($1, $1, 'identity', $2, NULL, true, true)", uuid7(), NOW)
    await count(pool)
    assert value("dsr_suspension_days", question="identity", quantile="0.5") == 3
    assert value("dsr_suspension_days_sum", question="identity") == 25
    public = disclosure.public_registry()
    assert public.get_sample_value("dsr_suspension_days_count", {"question": "identity"}) == 5
    assert public.get_sample_value("dsr_suspension_days_sum", {"question": "identity"}) is None


async def test_questions_are_counted_by_whether_they_were_asked_in_time_for_thirty_days(pool: asyncpg.Pool) -> None:
    for days, in_time in ((1, True), (2, True), (29, False), (31, False), (1, None)):
        asked = "INSERT INTO question VALUES ($1, $1, 'identity', $2, NULL, true, $3)"
        await pool.execute(asked, uuid7(), NOW - timedelta(days=days), in_time)
    await count(pool)
    assert value("dsr_questions_asked", question="identity", in_time="yes") == 2
    assert value("dsr_questions_asked", question="identity", in_time="no") == 1
    assert value("dsr_questions_asked", question="clarification", in_time="yes") == 0


async def test_requests_for_a_processor_are_counted_apart_and_in_no_other_figure(pool: asyncpg.Pool) -> None:
    for due_in in (1, 0.5, -1):
        await opened(pool, "access", 2, due_in)
    for days in range(1, 21):
        await answered(pool, days, 1, "forwarded", "on_time" if days < 4 else "late_commitment")
    await answered(pool, 3, 31, "forwarded")
    await answered(pool, 9, 1, "withdrawn")
    await pool.execute("UPDATE clock SET role = 'processor'")
    await opened(pool, "access", 2, 1)
    await answered(pool, 6, 1, "fulfilled")
    await count(pool)

    def of(name: str) -> list[float | None]:
        return [value(name, in_time=in_time) for in_time in ("yes", "no")]

    assert of("dsr_processor_requests_open") == [2, 1]
    assert of("dsr_processor_forwarded") == [3, 17]
    assert value("dsr_processor_forwarding_days", quantile="0.5") == 10
    assert value("dsr_processor_forwarding_days", quantile="0.95") == 19
    assert value("dsr_processor_forwarding_days_count") == 20
    assert disclosure.public_registry().get_sample_value("dsr_processor_forwarded", {"in_time": "yes"}) is None
    assert value("dsr_requests_open", right="access", age="0-7") == 1
    assert value("dsr_requests_overdue", right="access", clock="commitment") == 0
    assert value("dsr_requests_reached_due", right="access") == 1
    assert value("dsr_time_to_respond_days_count", right="access") == 1
    outcomes = {
        sample.labels["outcome"]
        for family in ANSWERED_BY_OUTCOME.collect()
        for sample in family.samples
        if sample.labels["right"] == "access"
    }
    assert outcomes == {"fulfilled"}
    await pool.execute("DELETE FROM clock")
    await count(pool)
    assert of("dsr_processor_requests_open") == of("dsr_processor_forwarded") == [0, 0]
    assert value("dsr_processor_forwarding_days_count") is None


async def test_past_values_are_removed(pool: asyncpg.Pool) -> None:
    await answered(pool, 3, 1, "fulfilled")
    await opened(pool, "access", 5, 3)
    await count(pool)
    await pool.execute("DELETE FROM clock")
    await count(pool)
    assert value("dsr_requests_answered", **DONE) is None
    assert value("dsr_time_to_respond_days_count", right="access") is None
    assert value("dsr_requests_due_soon", right="access") == 0


async def test_a_count_reads_an_index_alone(pool: asyncpg.Pool) -> None:
    await opened(pool, "access", 5, 3)
    await answered(pool, 3, 1, "fulfilled")
    of_others = "SELECT gen_random_uuid(), 'milestone', now() FROM generate_series(1, 1000)"
    await pool.execute(f"INSERT INTO timer (request_id, kind, due_at) {of_others}")
    await pool.execute("INSERT INTO timer (request_id, kind, ref) VALUES (gen_random_uuid(), 'retention', 'billing')")
    await pool.execute("VACUUM ANALYZE clock, question, timer")
    by_now = (statistics.ANSWERED, statistics.RESPONDED, statistics.TO_FORWARD, statistics.SUSPENDED, statistics.ASKED)
    open_ones = (NOW.date(), NOW, statistics.age_limits(NOW.date(), ZONE))
    others = {statistics.OPEN: open_ones, statistics.DEFERRED: (NOW, NOW, NOW)}
    for query, arguments in (dict.fromkeys(by_now, (NOW,)) | others).items():
        plan = "\n".join(row[0] for row in await pool.fetch(f"EXPLAIN {query}", *arguments))
        assert "Index Only Scan" in plan
        assert "Seq Scan" not in plan
