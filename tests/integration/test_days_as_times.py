"""A store whose rows say a day and no time: found, copied, planned and erased as any other, a number in whole days."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation, TaskOutcome
from shared.downstreams.contract import Task
from tests.fixtures.cdr import SqlEngine, ask, engine, with_tables
from tests.fixtures.downstream import email, task
from tests.fixtures.policy import signed_policy

SCHEMA = """
CREATE TABLE contract (id int PRIMARY KEY, email text, phone text, ended date, seen date, fee int, kept boolean);
CREATE INDEX ON contract (email); CREATE INDEX ON contract (phone);
INSERT INTO contract SELECT n, 'anna@example.org', '+4930111', day::date, day::date, 5, false
FROM unnest(ARRAY['2019-01-01', '2026-03-01', '2026-03-02', '2026-06-01', '2026-06-02']) WITH ORDINALITY AS d (day, n);
INSERT INTO contract VALUES (9, 'anna@example.org', '+4930111', NULL, NULL, 5, false);
"""
DATASET = """
name = "ledger"
[tables.contract]
category = "invoice"
primary_key = ["id"]
occurred = { column = "ended", timezone = "Europe/Berlin" }
anchors = { relationship_end = { column = "ended", timezone = "Europe/Berlin" } }
period = { valid_from = "ended", valid_to = "seen" }
kept = { column = "kept", value = true }
keeps = { fields = { name = [], address = [], vat_number = [], amount = ["fee"], contract = ["id"] } }
[tables.contract.columns]
id = { class = "M" }
email = { class = "A", identity = "email", yields = true }
phone = { class = "A", identity = "phone", yields = true }
ended = { class = "M" }
seen = { class = "M" }
fee = { class = "M" }
kept = { class = "T" }
"""
AT = datetime(2026, 11, 27, 12, tzinfo=UTC)
NUMBER = Identity(
    IdentityType.PHONE,
    "+4930111",
    datetime(2026, 3, 1, 9, tzinfo=UTC),
    datetime(2026, 6, 1, 22, tzinfo=UTC),
    level="L2",
)


@pytest.fixture
async def ledger(empty_database: str, tmp_path: Path) -> AsyncIterator[SqlEngine]:
    """Contracts by the day on which they ended, where rules are signed."""
    await with_tables(empty_database, SCHEMA)
    (tmp_path / "ledger.toml").write_text(DATASET, encoding="utf-8")
    async with engine(empty_database, tmp_path / "ledger.toml", {}, signed_policy()) as ledger:
        yield ledger


def about(operation: Operation, *identities: Identity) -> Task:
    states = {"invoice_open": False, "disputed": False}
    return replace(task(operation, *identities), at=AT, states=states)


async def test_what_is_kept_by_a_day_is_copied_located_planned_and_erased(
    ledger: SqlEngine, empty_database: str
) -> None:
    anna = email("anna@example.org")
    copy = await ledger.receipt(about(Operation.EXPORT, anna))
    assert (copy.outcome, len(copy.records)) == (TaskOutcome.EXPORTED, 6)
    times = {match.at for record in copy.records for match in record.matched}
    assert datetime(2026, 2, 28, 23, tzinfo=UTC) in times, "of a day its beginning, where the store is"
    assert (await ledger.receipt(about(Operation.LOCATE, anna))).found == 6
    plan = await ledger.receipt(about(Operation.PLAN, anna))
    done = await ledger.receipt(about(Operation.ERASE, anna))
    assert plan.kept == done.kept
    assert await ask(empty_database, "SELECT id FROM contract ORDER BY 1") == [(n,) for n in (2, 3, 4, 5, 9)]
    again = await ledger.receipt(about(Operation.EXPORT, anna))
    assert (len(again.records), any(each.portable for each in again.records)) == (5, False)


async def test_a_number_finds_the_days_that_lie_in_its_period_as_a_whole(ledger: SqlEngine) -> None:
    """It was somebody else's until ten on the first of March, and is again since midnight after the first of June."""
    copy = await ledger.receipt(about(Operation.EXPORT, NUMBER))
    assert sorted(str(record.data["ended"]) for record in copy.records) == ["2026-03-02", "2026-06-01"]
    longer = replace(NUMBER, valid_to=datetime(2026, 6, 1, 21, 59, tzinfo=UTC))
    assert len((await ledger.receipt(about(Operation.EXPORT, longer))).records) == 1, (
        "a minute of that day is another's"
    )
