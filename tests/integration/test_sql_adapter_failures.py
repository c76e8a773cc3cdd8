"""Every named failure of a SQL store is found first, and changes no other person's data."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deploy.demo.seed.cdr import CdrStore
from shared.domain.errors import (
    ColumnUnmapped,
    DataStillPresent,
    DsrError,
    LimitExceeded,
    TableMissing,
    Unavailable,
)
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation, TaskOutcome
from shared.storage.postgres import connected
from shared.systems.sql.catalog import DatasetOutdated
from tests.fixtures.cdr import ANNA, CHIARA, SqlEngine, at, call, each, engine, number, with_tables
from tests.fixtures.customer_store import CustomerStore
from tests.fixtures.downstream import email, phone, receipt, task
from tests.fixtures.explained import Explained

EMAIL, BORIS = email("anna.meier@example.org"), email("boris@example.org")
ACCOUNT = Identity(IdentityType.ACCOUNT_ID, "C1")
ERASE, EXPORT, LOCATE = Operation.ERASE, Operation.EXPORT, Operation.LOCATE
RESTRICT, SUPPRESS = Operation.RESTRICT, Operation.SUPPRESS
DUMP = "SELECT c::text FROM customer c ORDER BY 1"
CLASSIFIED_MEANWHILE = "ALTER TABLE contact ADD COLUMN callback_number text"
TWO_OF_ONE_ADDRESS = "UPDATE customer SET email = 'Anna.Meier@example.org' WHERE account_id = 'C2'"


@pytest.mark.parametrize(
    ("change", "operations", "error", "says"),
    [
        ("DROP TABLE contact", (ERASE, EXPORT, LOCATE, RESTRICT), TableMissing, "contact"),
        (CLASSIFIED_MEANWHILE, (ERASE, EXPORT, RESTRICT), ColumnUnmapped, "callback_number"),
        ("ALTER TABLE contact ADD COLUMN urgent boolean", (EXPORT, LOCATE), ColumnUnmapped, "urgent"),
        ("ALTER TABLE contact DROP COLUMN requester", (ERASE,), DatasetOutdated, "requester"),
        (TWO_OF_ONE_ADDRESS, (ERASE, EXPORT, LOCATE, RESTRICT), LimitExceeded, "max_people = 1"),
    ],
)
async def test_a_store_that_is_not_as_declared_is_refused_before_anything_is_done(
    customer_store: CustomerStore,
    customers: SqlEngine,
    change: str,
    operations: Sequence[Operation],
    error: type[DsrError],
    says: str,
) -> None:
    await customer_store.run(change)
    before = await customer_store.ask(DUMP)
    for operation in operations:
        with pytest.raises(error, match=says):  # noqa: PT012 - a failure of one task is returned, one of all is raised
            result = await customers.one(task(operation, EMAIL))
            raise result if isinstance(result, Exception) else AssertionError(result)
    assert await customer_store.ask(DUMP) == before


async def test_shared_address_stops_marketing_for_all(customer_store: CustomerStore, customers: SqlEngine) -> None:
    await customer_store.run(TWO_OF_ONE_ADDRESS)
    stopped = await customers.receipt(task(SUPPRESS, EMAIL))
    assert (stopped.outcome, stopped.found, stopped.remaining) == (TaskOutcome.AMENDED, 2, 0)


async def test_harmless_new_column_does_not_block_erasure(customer_store: CustomerStore, customers: SqlEngine) -> None:
    await customer_store.run("ALTER TABLE contact ADD COLUMN urgent boolean")
    assert (await customers.receipt(task(ERASE, EMAIL))).outcome is TaskOutcome.ERASED


async def test_loose_equality_never_erases_a_neighbour(customer_store: CustomerStore, customers: SqlEngine) -> None:
    await customer_store.run(
        "CREATE EXTENSION citext",
        "ALTER TABLE number_assignment ALTER COLUMN account_id TYPE citext",
        "INSERT INTO number_assignment VALUES ('c1', '+34600000009', '2024-02-05', NULL)",
    )
    hers, done = await customers.run(*each(ERASE, Identity(IdentityType.ACCOUNT_ID, "C1"), BORIS))
    assert receipt(hers).by_category == {"account": 1, "number": 2}
    assert receipt(done).by_category == {"account": 1, "contact": 1}
    assert await customer_store.ask("SELECT account_id FROM number_assignment ORDER BY 1") == [("c1",), ("C2",)]


@pytest.mark.parametrize("settings", [{"max_rows": 2}])
async def test_max_rows_stops_one_request_alone(customer_store: CustomerStore, customers: SqlEngine) -> None:
    refused, done = await customers.run(*each(ERASE, EMAIL, BORIS))
    assert isinstance(refused, LimitExceeded)
    assert isinstance(await customers.one(task(ERASE, EMAIL)), LimitExceeded)
    assert receipt(done).found == 2
    assert await customer_store.ask("SELECT account_id FROM customer ORDER BY 1") == [("C1",), ("C2",)]


@pytest.mark.parametrize("settings", [{"max_rows": 1, "max_people": 2}])
async def test_max_rows_of_a_change_stops_one_request(customer_store: CustomerStore, customers: SqlEngine) -> None:
    await customer_store.run(TWO_OF_ONE_ADDRESS)
    refused, done = await customers.run(*each(SUPPRESS, EMAIL, BORIS))
    assert isinstance(refused, LimitExceeded)
    assert receipt(done).changed == 1
    marketing = await customer_store.ask("SELECT marketing FROM customer ORDER BY account_id")
    assert marketing == [(True,), (True,), (False,)]


UNDOES = """
CREATE FUNCTION undo() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN {instead}; END';
CREATE TRIGGER undo BEFORE {event} ON {table} FOR EACH ROW EXECUTE FUNCTION undo();
"""


async def test_yes_without_a_lift_is_found_out(customer_store: CustomerStore, customers: SqlEngine) -> None:
    await customer_store.run("UPDATE customer SET restricted = true")
    async with connected(customer_store.dsn) as owner:
        await owner.execute(UNDOES.format(event="UPDATE", table="customer", instead="old"))
    assert isinstance(await customers.one(task(Operation.LIFT, EMAIL)), DataStillPresent)


@pytest.mark.parametrize(
    ("operation", "event", "instead"), [(RESTRICT, "INSERT", "NULL"), (Operation.LIFT, "DELETE", "NULL")]
)
async def test_a_store_that_says_yes_and_keeps_no_restriction_or_every_one_is_found_out(
    cdr_store: CdrStore, calls: SqlEngine, operation: Operation, event: str, instead: str
) -> None:
    await cdr_store.seed([call(ANNA, CHIARA)])
    restriction = task(RESTRICT, number(ANNA))
    if operation is Operation.LIFT:
        await calls.receipt(restriction)
    async with connected(cdr_store.admin) as owner:
        await owner.execute(UNDOES.format(event=event, table="restricted_number", instead=instead))
    assert isinstance(await calls.one(replace(restriction, operation=operation)), DataStillPresent)


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize(("since", "until", "gone"), [("2024-01-01", "2026-01-10", 1), ("2010-01-01", "2020-01-01", 0)])
async def test_where_rows_are_deleted_those_of_the_next_holder_of_a_number_stay(
    customer_store: CustomerStore, customers: SqlEngine, since: str, until: str, gone: int, *, together: bool
) -> None:
    former = phone("+34918750146", at(since), at(until))
    tasks = each(ERASE, former, *([BORIS] if together else []))
    done = receipt((await customers.run(*tasks))[0])
    assert done.by_category == ({"number": 1} if gone else {})
    held = [("C1", "+34688886392"), ("C1", "+34918750146"), ("C2", "+34918750146")]
    left = held[:1] + held[2:] if gone else held
    assert await customer_store.ask("SELECT account_id, e164 FROM number_assignment ORDER BY 1, 2") == left


@pytest.mark.parametrize(("arrivals", "caught"), [(3, True), (100, False)])
async def test_rows_that_keep_arriving_are_erased_a_few_times_and_then_reported(
    customer_store: CustomerStore, customers: SqlEngine, arrivals: int, *, caught: bool
) -> None:
    await customer_store.run(
        f"""CREATE FUNCTION arrive() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            INSERT INTO contact SELECT max(id) + 1, old.requester, 'one more', now() FROM (SELECT max(id) AS id
            FROM contact UNION ALL SELECT old.id) known HAVING max(id) < {3 + arrivals}; RETURN NULL; END $$""",
        "CREATE TRIGGER arrive AFTER DELETE ON contact FOR EACH ROW WHEN (old.id >= 2) EXECUTE FUNCTION arrive()",
    )
    result = await customers.one(task(ERASE, EMAIL))
    if caught:
        done = receipt(result)
        assert (done.found, done.changed, done.remaining) == (3 + arrivals, 3 + arrivals, 0)
    else:
        assert isinstance(result, DataStillPresent)


async def test_locked_row_is_awaited_briefly_and_retried(customer_store: CustomerStore, customers: SqlEngine) -> None:
    async with connected(customer_store.dsn) as other, other.transaction():
        await other.execute("UPDATE customer SET street = street WHERE account_id = 'C1'")
        with pytest.raises(Unavailable):
            await customers.one(task(ERASE, EMAIL))


async def test_a_store_that_is_away_is_tried_again_later(customer_store: CustomerStore) -> None:
    async with engine("postgresql://unknown@127.0.0.1:1/none", customer_store.dataset, {}) as away:
        with pytest.raises(Unavailable):
            await away.one(task(ERASE, EMAIL))


async def test_injection_in_an_identity_is_a_value(customer_store: CustomerStore, customers: SqlEngine) -> None:
    attack = Identity(IdentityType.EMAIL, "x'); DELETE FROM customer; --@example.org")
    assert (await customers.receipt(task(ERASE, attack))).outcome is TaskOutcome.NO_MATCH
    assert await customer_store.ask("SELECT count(*) FROM customer") == [(3,)]


async def test_names_of_tables_and_columns_are_quoted_whatever_is_in_them(customer_store: CustomerStore) -> None:
    await customer_store.run('ALTER TABLE contact RENAME TO "con""tact; --"')
    await customer_store.run('ALTER TABLE "con""tact; --" RENAME COLUMN subject TO "sub ject"')
    text = customer_store.dataset.read_text(encoding="utf-8")
    text = text.replace("tables.contact", "tables.'con\"tact; --'").replace("subject =", "'sub ject' =")
    customer_store.dataset.write_text(text, encoding="utf-8")
    async with engine(customer_store.dsn, customer_store.dataset, {}) as customers:
        done = await customers.receipt(task(ERASE, EMAIL, ACCOUNT))
    assert done.by_category == {"account": 1, "number": 2, "contact": 2}


# How PostgreSQL executes the statements of many subjects: by index, however many come together.
EMPTY = "acc_cdrs_default"
"""The partition for calls of a month that has none yet: how nothing is read does not matter."""
OUR_OWN = ("progress", "incarnation", "kept", "stated")


def nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


@pytest.mark.parametrize("subjects", [1, 1_000])
async def test_no_statement_reads_a_table_from_end_to_end(
    cdr_store: CdrStore, calls: SqlEngine, explained: Explained, subjects: int
) -> None:
    some = [f"+3469{i:07d}" for i in range(2_000)]
    pairs = list(zip(some, reversed(some), strict=True))
    await cdr_store.seed([call(a, b) for a, b in pairs] + [call(a, b, missed=True) for a, b in pairs])
    sought = each(ERASE, *map(number, some[:subjects]))
    for operation in (EXPORT, LOCATE, ERASE):
        await calls.run(*(replace(asked, operation=operation) for asked in sought))
    assert {statement.partition(" ")[0] for statement in explained.plans} == {"SELECT", "UPDATE"}
    for statement, plan in explained.plans.items():
        read = [node for node in nodes(plan) if node.get("Relation Name") not in {None, EMPTY, *OUR_OWN}]
        assert "Seq Scan" not in [node["Node Type"] for node in read], statement
        assert all("Index Cond" in node for node in nodes(plan) if node["Node Type"] == "Index Scan"), statement


async def test_deletion_never_scans_blanked_rows(empty_database: str, tmp_path: Path, explained: Explained) -> None:
    """Statistics learn late of what erasures leave behind; until then an index on it would seem the shortest way."""
    await with_tables(empty_database, LINES)
    (tmp_path / "lines.toml").write_text(LINES_DATASET)
    async with engine(empty_database, tmp_path / "lines.toml", {"max_people": 1_000}) as lines:
        await lines.run(*each(ERASE, *(number(f"+3469{i:07d}") for i in range(30))))
    deletes = [
        plan for statement, plan in explained.plans.items() if "DELETE FROM" in statement and '"line"' in statement
    ]
    assert deletes
    for plan in deletes:
        assert ["(id" in node["Index Cond"] for node in nodes(plan) if "Index Cond" in node] == [True], plan


LINES = """
CREATE TABLE line (id bigint PRIMARY KEY, caller text, callee text) WITH (autovacuum_enabled = off);
INSERT INTO line SELECT n, '+3469' || lpad((n % 400)::text, 7, '0'), '+3479' || lpad((n % 400)::text, 7, '0')
FROM generate_series(1, 20000) n;
CREATE INDEX ON line (caller);
CREATE INDEX ON line (callee);
ANALYZE line;
UPDATE line SET caller = '' WHERE id % 2 = 0;
UPDATE line SET callee = '' WHERE id % 2 = 1;
"""
LINES_DATASET = """
name = "lines"
[tables.line]
category = "call"
primary_key = ["id"]
on_erase = "blank"
parties = { caller = {}, callee = {} }
[tables.line.columns]
id = { class = "T" }
caller = { class = "A", identity = "phone", party = "caller", blank = "" }
callee = { class = "A", identity = "phone", party = "callee", blank = "" }
"""


@pytest.mark.parametrize("settings", [{"tenants": {"acme": ["acme.example"]}}])
async def test_what_may_be_anybodys_is_counted_by_index_with_each_call(
    cdr_store: CdrStore, calls: SqlEngine, explained: Explained
) -> None:
    await cdr_store.seed([call(f"+3469{i:07d}", f"+3479{i:07d}", missed=i % 2 > 0) for i in range(2_000)])
    for tenant in (None, "acme"):
        await calls.run(replace(task(EXPORT, number(ANNA)), tenant=tenant))
    counted = [(statement, plan) for statement, plan in explained.plans.items() if statement.startswith("SELECT count")]
    assert len(counted) == 6, "of three tables, for us and for a tenant"
    for statement, plan in counted:
        read = [node for node in nodes(plan) if "Scan" in node["Node Type"] and "Plans" not in node]
        assert read
        assert all("Index" in node["Node Type"] for node in read if node.get("Relation Name") != EMPTY), statement
