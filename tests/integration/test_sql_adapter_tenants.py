"""A customer's instruction finds, shows and changes rows of that customer alone; ours finds none of a customer's."""

import random
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from deploy.demo.company.model import Call
from deploy.demo.seed.cdr import CdrStore
from shared.domain.errors import NotSupported
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation, TaskOutcome
from shared.domain.release import KnownFacts, ReleaseFault, first_fault, instructed_of, values_of
from shared.systems.contract import Task
from tests.fixtures.cdr import (
    ANNA,
    BORIS,
    CHIARA,
    LONG_AGO,
    OURS,
    SqlEngine,
    ask,
    at,
    call,
    engine,
    number,
    with_tables,
)
from tests.fixtures.customer_store import DATASET, CustomerStore
from tests.fixtures.downstream import email, receipt, task
from tests.fixtures.policy import signed_policy

TENANTS = {"acme": ["sip.acme.example", "pbx.acme.example"], "beta": ["sip.beta.example"]}
WHOSE = {"acme": "SIP.acme.example", "beta": "sip.beta.example", None: OURS, "unknown": "sip.unknown.example"}
ROWS = {"acme": 2, "beta": 3, None: 4, "unknown": 1}
"""Calls of Anna's in the rows of each."""
TABLES = ("acc_cdrs", "acc", "missed_calls")
ANYBODY = pytest.mark.parametrize("tenant", ["acme", "beta", None])


@pytest.fixture
def settings() -> Mapping[str, Any]:
    return {"tenants": TENANTS}


@pytest.fixture
async def shared_calls(cdr_store: CdrStore) -> CdrStore:
    """One switch for all: the same two people call each other for two customers and for the company."""
    made: dict[str | None, list[Call]] = {
        tenant: [call(ANNA, BORIS, missed=n == 1) if n % 2 else call(BORIS, ANNA) for n in range(rows)]
        for tenant, rows in ROWS.items()
    }
    await cdr_store.seed([each for calls in made.values() for each in calls])
    for tenant, calls in made.items():
        for table in TABLES:
            serve = f"UPDATE {table} SET served_domain = $1 WHERE callid = ANY($2)"  # ours
            await ask(cdr_store.admin, serve, WHOSE[tenant], [each.callid for each in calls])
    return cdr_store


def of(tenant: str | None, operation: Operation, *changed: Any) -> Task:
    return replace(task(operation, number(ANNA), *changed), tenant=tenant)


async def rows_of(store: CdrStore) -> dict[str | None, list[str]]:
    """Returns every row of every table, by tenant."""
    found: dict[str | None, list[str]] = {}
    for tenant, domain in WHOSE.items():
        for table in TABLES:
            query = f"SELECT t::text FROM {table} t WHERE served_domain = $1 ORDER BY 1"  # ours
            found.setdefault(tenant, []).extend(row[0] for row in await ask(store.admin, query, domain))
    return found


def entries(tenant: str | None) -> int:
    """Counts a tenant's rows: an answered call is in two tables."""
    return 2 * ROWS[tenant] - 1


@ANYBODY
async def test_task_finds_rows_of_its_tenant(shared_calls: CdrStore, calls: SqlEngine, tenant: str | None) -> None:
    located = await calls.receipt(of(tenant, Operation.LOCATE))
    shown = await calls.receipt(of(tenant, Operation.EXPORT))
    assert (located.found, shown.found, len(shown.records)) == (entries(tenant),) * 3
    assert shown.unattributed == (2 if tenant is None else None), "an undeclared value has no owner"
    before = await rows_of(shared_calls)
    erased = await calls.receipt(of(tenant, Operation.ERASE))
    assert (erased.outcome, erased.changed, erased.remaining) == (TaskOutcome.ERASED, entries(tenant), 0)
    after = await rows_of(shared_calls)
    assert {whose for whose in WHOSE if after[whose] != before[whose]} == {tenant}
    assert ANNA not in str(after[tenant])


async def test_one_call_finds_rows_of_each_tenant(shared_calls: CdrStore, calls: SqlEngine) -> None:
    tasks = [of(tenant, Operation.ERASE) for tenant in ("beta", None, "acme", "beta")]
    done = [receipt(result) for result in await calls.run(*tasks)]
    assert [each.task_id for each in done] == [each.task_id for each in tasks]
    assert [each.changed for each in done[:3]] == [entries(tenant) for tenant in ("beta", None, "acme")]
    assert [whose for whose, rows in (await rows_of(shared_calls)).items() if ANNA in str(rows)] == ["unknown"]


@ANYBODY
async def test_release_check_keeps_to_the_tenant(shared_calls: CdrStore, calls: SqlEngine, tenant: str | None) -> None:
    del shared_calls
    shown = await calls.receipt(of(tenant, Operation.EXPORT))
    stated = [number(ANNA)]
    values, since = values_of(stated), instructed_of(stated, ())
    known = KnownFacts(LONG_AGO, values=values, proved=since, tenant=tenant)
    matched = [record.matched for record in shown.records]
    assert first_fault(matched, known) is None
    others = {"acme", "beta", None} - {tenant}
    assert {first_fault(matched, replace(known, tenant=other)) for other in others} == {ReleaseFault.ANOTHER_TENANT}


async def test_statement_of_a_tenant_reaches_its_own_rows_alone(shared_calls: CdrStore, calls: SqlEngine) -> None:
    drawn = random.Random(12)  # noqa: S311  # draws nothing secret
    numbers = [ANNA, BORIS, CHIARA]

    def stated() -> list[Identity]:
        return [
            number(drawn.choice(numbers), at("2025-01-01") - timedelta(days=drawn.randint(0, 999)))
            for _ in range(drawn.randint(1, 3))
        ]

    before = await rows_of(shared_calls)
    for operation in (Operation.EXPORT, Operation.LOCATE, Operation.ERASE):
        for _ in range(8):
            asked = [replace(task(operation, *stated()), tenant=drawn.choice(["acme", "beta"])) for _ in range(4)]
            for asks, result in zip(asked, await calls.run(*asked), strict=True):
                owners = {match.tenant for record in receipt(result).records for match in record.matched}
                assert owners <= {asks.tenant}
    after = await rows_of(shared_calls)
    assert {whose for whose in WHOSE if after[whose] == before[whose]} == {None, "unknown"}


async def test_number_restriction_of_one_tenant_is_manual(shared_calls: CdrStore, calls: SqlEngine) -> None:
    for operation in (Operation.RESTRICT, Operation.LIFT):
        assert isinstance(await calls.one(of("acme", operation)), NotSupported)
    assert await ask(shared_calls.admin, "SELECT * FROM restricted_number") == []


async def test_undeclared_tenant_is_not_searched(shared_calls: CdrStore, calls: SqlEngine) -> None:
    before = await rows_of(shared_calls)
    for operation in (Operation.LOCATE, Operation.EXPORT, Operation.ERASE):
        assert isinstance(await calls.one(of("gamma", operation)), NotSupported)
    assert await rows_of(shared_calls) == before


@pytest.mark.parametrize("tenant", ["acme", None])
async def test_correction_keeps_to_a_tenant(customer_store: CustomerStore, tmp_path: Path, tenant: str | None) -> None:
    anna = "('A1', 'Anna Meier', 'anna.meier@example.org', 'A')"
    await customer_store.run(
        "DELETE FROM contact",  # it cannot show a restriction
        "ALTER TABLE customer ADD COLUMN served text NOT NULL DEFAULT 'us'",
        f"INSERT INTO customer (account_id, name, email, served) VALUES {anna}",
    )
    text = DATASET.replace('person = "account_id"\n', 'tenant = "served"\n', 1)
    text = text.replace("restricted = { class", 'served = { class = "T" }\nrestricted = { class', 1)
    for table in ("number_assignment", "contact"):
        text = text.replace(f"[tables.{table}]\n", f"[tables.{table}]\nours = true\n", 1)
    (tmp_path / "two.toml").write_text(text)
    query = "SELECT account_id, email, marketing, restricted FROM customer WHERE email ILIKE 'anna%' ORDER BY 1"
    async with engine(customer_store.dsn, tmp_path / "two.toml", {"ours": ["us"], "tenants": {"acme": ["a"]}}) as store:
        theirs = email("anna.meier@example.org")
        wrong = ("email", "anna.meier@example.org" if tenant else "Anna.MEIER@Example.org", "anna@example.com")
        for operation in (Operation.RESTRICT, Operation.SUPPRESS, Operation.RECTIFY):
            asked = task(operation, theirs, changes=[wrong] if operation is Operation.RECTIFY else ())
            assert (await store.receipt(replace(asked, tenant=tenant))).changed == 1
    changed, kept = ("A1", "C1") if tenant else ("C1", "A1")
    rows = {row[0]: row[1:] for row in await customer_store.ask(query)}
    assert rows[changed] == ("anna@example.com", False, True)
    assert rows[kept][1:] == (True, False)


# A store whose rows say a day and no time: found, copied, planned and erased as any other, a number in whole days.
SCHEMA = """
CREATE TABLE contract (id int PRIMARY KEY, email text, phone text, ended date, seen date, fee int, kept boolean);
CREATE INDEX ON contract (email); CREATE INDEX ON contract (phone);
INSERT INTO contract SELECT n, 'anna@example.org', '+4930111', day::date, day::date, 5, false
FROM unnest(ARRAY['2019-01-01', '2026-03-01', '2026-03-02', '2026-06-01', '2026-06-02']) WITH ORDINALITY AS d (day, n);
INSERT INTO contract VALUES (9, 'anna@example.org', '+4930111', NULL, NULL, 5, false);
"""
DATASET_DAYS = """
name = "ledger"
[tables.contract]
category = "invoice"
primary_key = ["id"]
at = { happened = "ended", relationship_end = "ended", valid_from = "ended", valid_to = "seen" }
timezone = "Europe/Berlin"
keep.mark = { kept = true }
keep.fields = { name = [], address = [], vat_number = [], amount = ["fee"], contract = ["id"] }
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
    (tmp_path / "ledger.toml").write_text(DATASET_DAYS, encoding="utf-8")
    async with engine(empty_database, tmp_path / "ledger.toml", {}, signed_policy()) as ledger:
        yield ledger


def about(operation: Operation, *identities: Identity) -> Task:
    states = {"invoice_open": False, "disputed": False}
    return replace(task(operation, *identities), at=AT, states=states)


async def test_dated_rows_are_copied_located_planned_and_erased(ledger: SqlEngine, empty_database: str) -> None:
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
    """It was another person's until ten on the first of March, and is again since midnight after the first of June."""
    copy = await ledger.receipt(about(Operation.EXPORT, NUMBER))
    assert sorted(str(record.data["ended"]) for record in copy.records) == ["2026-03-02", "2026-06-01"]
    longer = replace(NUMBER, valid_to=datetime(2026, 6, 1, 21, 59, tzinfo=UTC))
    assert len((await ledger.receipt(about(Operation.EXPORT, longer))).records) == 1, (
        "a minute of that day is another's"
    )
