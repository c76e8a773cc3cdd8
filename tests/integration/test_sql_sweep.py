"""What is past a ceiling goes for everybody: set-wise, in order, and nothing else."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deploy.demo.company.model import Call
from deploy.demo.seed.cdr import CdrStore
from shared.domain.errors import Refused
from shared.domain.operations import Operation
from shared.downstreams.sweepable import Counted, Due, SweepStopped, Swept
from tests.fixtures.analytics import counted, due, sweep
from tests.fixtures.cdr import ANNA, BORIS, CHIARA, SqlEngine, ask, at, call, engine, number, with_tables
from tests.fixtures.downstream import task

CALLS = "acc_cdrs"
BEGINNING = "call_start"


async def days(store: CdrStore, table: str = CALLS, column: str = "start_time") -> list[str]:
    """The days of the rows that are left."""
    return [row[0] for row in await ask(store.admin, f"SELECT {column}::date::text FROM {table} ORDER BY 1")]


async def test_expired_rows_go_and_kept_ones_stay_in_all_tables(cdr_store: CdrStore, calls: SqlEngine) -> None:
    old = [call(ANNA, BORIS, day) for day in ("2024-11-02", "2024-12-01", "2025-01-09")]
    await cdr_store.seed([*old, call(BORIS, CHIARA, "2025-01-10"), call(ANNA, BORIS, "2026-01-10")])
    dues = [due(table, BEGINNING, "2025-01-10") for table in (CALLS, "acc", "missed_calls")]
    assert await counted(calls, dues[0]) == (3, 5)
    assert await days(cdr_store) == ["2024-11-02", "2024-12-01", "2025-01-09", "2025-01-10", "2026-01-10"]
    assert await sweep(calls, *dues) == [Swept(3, 0), Swept(3, 0), Swept(0, 0)]
    assert await days(cdr_store) == await days(cdr_store, "acc", "time") == ["2025-01-10", "2026-01-10"]
    assert await sweep(calls, *dues) == [Swept(0, 0)] * 3


async def test_the_day_is_that_of_the_rules_zone(cdr_store: CdrStore, calls: SqlEngine) -> None:
    await cdr_store.seed([replaced(call(ANNA, BORIS, "2025-01-09"), hour) for hour in (14, 16)])
    assert await sweep(calls, due(CALLS, BEGINNING, "2025-01-10", zone="Asia/Tokyo")) == [Swept(1, 0)]
    left = await ask(cdr_store.admin, "SELECT extract(hour FROM start_time)::int FROM acc_cdrs")
    assert left == [(16,)]


def replaced(one: Call, hour: int) -> Call:
    """The same call at another hour of its day."""
    return one._replace(start=one.start.replace(hour=hour), end=one.end.replace(hour=hour))


async def test_whose_rows_are_spared_stay_and_in_their_time_alone(cdr_store: CdrStore, calls: SqlEngine) -> None:
    """Anna had the number until June, and Chiara has it since."""
    await cdr_store.seed(
        [call(ANNA, BORIS, "2024-05-02"), call(BORIS, ANNA, "2024-05-03"), call(ANNA, BORIS, "2024-07-02")]
    )
    held = task(Operation.ERASE, number(ANNA, until=at("2024-06-01")))
    done = await sweep(calls, due(CALLS, BEGINNING, "2025-01-01"), spared={"call_record": [held]})
    assert done == [Swept(1, 2)]
    assert await days(cdr_store) == ["2024-05-02", "2024-05-03"]


async def test_what_we_process_for_a_customer_is_not_ours_to_end(cdr_store: CdrStore, calls: SqlEngine) -> None:
    await cdr_store.seed([call(ANNA, BORIS, "2024-05-02"), call(ANNA, CHIARA, "2024-05-03")])
    await ask(cdr_store.admin, "UPDATE acc_cdrs SET served_domain = 'sip.acme.example' WHERE callee = $1", CHIARA)
    assert await counted(calls, due(CALLS, BEGINNING, "2025-01-01")) == (1, 2)
    assert await sweep(calls, due(CALLS, BEGINNING, "2025-01-01")) == [Swept(1, 0)]
    assert await ask(cdr_store.admin, "SELECT callee FROM acc_cdrs") == [(CHIARA,)]


@pytest.mark.parametrize("settings", [{"lock_seconds": 0.01, "timeout_seconds": 20}], ids=["windows are cut short"])
async def test_stopped_sweep_resumes(cdr_store: CdrStore, calls: SqlEngine, settings: Mapping[str, Any]) -> None:
    del settings
    made = [call(ANNA, BORIS, f"2024-05-{day:02}") for day in range(1, 29)]
    await cdr_store.seed(made * 100)
    told: list[int] = []

    async def stops(_due: Due, gone: int) -> None:
        told.append(gone)
        if sum(told):
            raise SweepStopped("another one has the turn")

    one = due(CALLS, BEGINNING, "2024-05-29")
    with pytest.raises(SweepStopped):
        await calls.adapter.sweep([one], {}, stops)
    left = len(await days(cdr_store))
    assert left == 2_800 - sum(told)
    assert await sweep(calls, one) == [Swept(left, 0)]


async def test_referring_rows_go_first_and_referenced_ones_stay(empty_database: str, tmp_path: Path) -> None:
    await with_tables(empty_database, ORDERS)
    (tmp_path / "orders.toml").write_text(ORDERS_DATASET)
    async with engine(empty_database, tmp_path / "orders.toml", {}) as orders:
        dues = [due("purchase", "ordered", "2025-01-01"), due("line", "added", "2025-01-01")]
        assert await sweep(orders, *dues) == [Swept(1, 0), Swept(1, 0)]
        assert await ask(empty_database, "SELECT id FROM purchase ORDER BY 1") == [(2,), (3,)]


ORDERS = """
CREATE TABLE purchase (id bigint PRIMARY KEY, email text, ordered date);
CREATE INDEX ON purchase (email);
CREATE TABLE line (id bigint PRIMARY KEY, purchase_id bigint REFERENCES purchase ON DELETE CASCADE, added date);
INSERT INTO purchase VALUES (1, 'a@example.org', '2024-01-01'), (2, 'b@example.org', '2024-01-01'),
    (3, 'c@example.org', NULL);
INSERT INTO line VALUES (1, 1, '2024-01-01'), (2, 2, '2026-01-01');
"""
ORDERS_DATASET = """
name = "orders"
[tables.purchase]
category = "order"
primary_key = ["id"]
anchors = { ordered = { column = "ordered" } }
columns = { id = { class = "T" }, email = { class = "A", identity = "email" }, ordered = { class = "M" } }
[tables.line]
category = "order"
primary_key = ["id"]
anchors = { added = { column = "added" } }
via = [{ table = "purchase", on = { purchase_id = "id" } }]
columns = { id = { class = "T" }, purchase_id = { class = "T" }, added = { class = "M" } }
"""


async def test_row_in_a_protected_state_goes_after_it(empty_database: str, tmp_path: Path) -> None:
    await with_tables(empty_database, TICKETS)
    (tmp_path / "desk.toml").write_text(TICKETS_DATASET)
    async with engine(empty_database, tmp_path / "desk.toml", {}) as desk:
        one = due("ticket", "resolved", "2025-01-01")
        assert await counted(desk, one) == (2, 4)
        assert await sweep(desk, one) == [Swept(2, 1)]
        assert await ask(empty_database, "SELECT id FROM ticket ORDER BY 1") == [(1,), (4,)]
        await ask(empty_database, "UPDATE ticket SET status = 'closed'")
        assert await sweep(desk, one) == [Swept(1, 0)]
        assert await ask(empty_database, "SELECT id FROM ticket") == [(4,)]


TICKETS = """
CREATE TABLE ticket (id bigint, email text, resolved date, status text, PRIMARY KEY (id));
CREATE INDEX ON ticket (email);
INSERT INTO ticket VALUES (1, 'a@example.org', '2019-05-01', 'open'), (2, 'a@example.org', '2019-06-01', 'closed'),
    (3, 'b@example.org', '2020-05-01', NULL), (4, 'c@example.org', '2026-01-01', 'closed');
"""
TICKETS_DATASET = """
name = "desk"
[tables.ticket]
category = "ticket"
primary_key = ["id"]
anchors = { resolved = { column = "resolved" } }
refuse_when = [{ column = "status", in = ["open"], reason = "open_ticket" }]
[tables.ticket.columns]
id = { class = "T" }
email = { class = "A", identity = "email" }
resolved = { class = "M" }
status = { class = "M" }
"""


async def test_ceiling_of_one_country_counts_rows_without_a_country(empty_database: str, tmp_path: Path) -> None:
    await with_tables(empty_database, BILLED)
    (tmp_path / "bills.toml").write_text(BILLED_DATASET)
    async with engine(empty_database, tmp_path / "bills.toml", {}) as bills:
        german = replace(due("call", "invoice_date", "2025-01-01"), country="DE")
        assert await bills.adapter.count([german], {}) == [Counted(3, 10, undetermined=3)]
        assert await sweep(bills, german) == [Swept(3, 1)], "one of them is in dispute"
        left = [(each,) for each in ("", "DE", "DE", "FR", "XX", "us", None)]
        assert sorted(await ask(empty_database, "SELECT country FROM call"), key=str) == sorted(left, key=str)
        assert await sweep(bills, due("call", "invoice_date", "2025-01-01")) == [Swept(5, 1)]


BILLED = """
CREATE TABLE call (id bigint PRIMARY KEY, email text, billed date, country text, state text);
CREATE INDEX ON call (email);
INSERT INTO call SELECT n, 'a@example.org', '2024-01-01', c, 'paid'
    FROM unnest(ARRAY['DE', ' de', 'Germany', 'FR', 'us', NULL, '', 'XX']) WITH ORDINALITY AS w (c, n);
INSERT INTO call VALUES (10, 'b@example.org', '2024-01-01', 'DE', 'disputed'),
    (11, 'b@example.org', '2026-01-01', 'DE', 'paid');
"""
BILLED_DATASET = """
name = "bills"
[tables.call]
category = "call_record"
primary_key = ["id"]
anchors = { invoice_date = { column = "billed" } }
jurisdiction = { column = "country", words = { germany = "DE" } }
refuse_when = [{ column = "state", in = ["disputed"], reason = "dispute" }]
[tables.call.columns]
id = { class = "T" }
email = { class = "A", identity = "email" }
billed = { class = "M" }
country = { class = "M" }
state = { class = "M" }
"""


async def test_one_table_that_cannot_be_swept_stops_no_other(cdr_store: CdrStore, calls: SqlEngine) -> None:
    await cdr_store.seed([call(ANNA, BORIS, "2024-05-02"), call(ANNA, BORIS, "2024-05-02", missed=True)])
    results: Sequence[Swept | Refused] = await sweep(
        calls, due(CALLS, BEGINNING, "2025-01-01", "anonymise"), due("missed_calls", BEGINNING, "2025-01-01")
    )
    refused, swept = results
    assert isinstance(refused, Refused)
    assert "does not say what becomes of its columns" in str(refused)
    assert swept == Swept(1, 0)
    assert await days(cdr_store) == ["2024-05-02"]
