"""A state that a row declares holds that row: its siblings stay or go by their own periods."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from shared.domain.errors import GroundUnknown
from shared.domain.operations import Kept, Operation
from shared.downstreams.contract import Task
from tests.fixtures.cdr import ask, engine, with_tables
from tests.fixtures.downstream import email, task
from tests.fixtures.policy import signed_policy

SCHEMA = """
CREATE TABLE invoice (id int PRIMARY KEY, email text, ended date, status text, disputed text, note text, kept boolean);
CREATE INDEX ON invoice (email);
INSERT INTO invoice SELECT n, 'pia@x.org', ended::date, status, disputed, 'n', false FROM (VALUES
    (1, '2019-05-01', 'paid', 'no'), (2, '2026-05-01', 'paid', 'no'), (3, '2019-05-01', 'open', 'no'),
    (4, '2019-05-01', 'paid', 'yes'), (5, '2019-05-01', 'open', 'yes')) AS i (n, ended, status, disputed);
"""
DATASET = """
name = "ledger"
[tables.invoice]
category = "billing"
primary_key = ["id"]
anchors = { relationship_end = { column = "ended" } }
occurred = { column = "ended" }
kept = { column = "kept", value = true }
keeps = { fields = { name = [], address = [], vat_number = [], amount = [], contract = ["ended"] } }
refuse_when = [
    { column = "status", in = ["open"], over = ["paid"], reason = "open_invoice" },
    { column = "disputed", in = ["yes"], over = ["no"], reason = "dispute" },
]
[tables.invoice.columns]
id = { class = "T" }
email = { class = "A", identity = "email" }
ended = { class = "M" }
status = { class = "M" }
disputed = { class = "M" }
note = { class = "C" }
kept = { class = "T" }
"""
CONTRACT = """
[tables.contract]
category = "contract"
primary_key = ["id"]
anchors = { relationship_end = { column = "ended" } }
occurred = { column = "ended" }
kept = { column = "kept", value = true }
keeps = { fields = { name = [], address = [], vat_number = [], amount = [], contract = ["ended"] } }
columns.id = { class = "T" }
columns.email = { class = "A", identity = "email" }
columns.ended = { class = "M" }
columns.kept = { class = "T" }
"""
AT = datetime(2026, 11, 27, tzinfo=UTC)
LAST = date(2033, 5, 1)


def asked(operation: Operation, **said: object) -> Task:
    return replace(task(operation, email("pia@x.org")), at=AT, **said)  # type: ignore[arg-type]


def by_rule(kept: Sequence[Kept] | None) -> dict[tuple[str | None, str], tuple[int, date | None]]:
    return {(each.category, each.rule): (each.count, each.last) for each in kept or ()}


async def test_a_state_holds_the_rows_that_say_it_and_the_others_go_or_stay_by_their_own_period(
    empty_database: str, tmp_path: Path
) -> None:
    await with_tables(empty_database, SCHEMA)
    (tmp_path / "ledger.toml").write_text(DATASET, encoding="utf-8")
    async with engine(empty_database, tmp_path / "ledger.toml", {}, signed_policy()) as ledger:
        planned = await ledger.receipt(asked(Operation.PLAN))
        done = await ledger.receipt(asked(Operation.ERASE))
    kept = {
        ("billing", "invoices_84m"): (1, date(2033, 5, 1)),
        ("billing", "open_invoice"): (1, None),
        ("billing", "dispute"): (2, None),
    }
    assert by_rule(planned.kept) == by_rule(done.kept) == kept
    assert (done.found, done.changed, done.remaining) == (5, 1, 4)
    assert await ask(empty_database, "SELECT id, note, kept FROM invoice ORDER BY id") == [
        (2, None, True),
        (3, "n", False),
        (4, "n", False),
        (5, "n", False),
    ]


@pytest.mark.parametrize(("lasts", "left"), [(True, {1, 2, 3, 4, 5}), (False, {2, 3, 4, 5}), (None, {1, 2, 3, 4, 5})])
async def test_what_another_system_tells_holds_every_row_since_nobody_knows_which_it_concerns(
    empty_database: str, tmp_path: Path, *, lasts: bool | None, left: set[int]
) -> None:
    await with_tables(empty_database, SCHEMA)
    (tmp_path / "ledger.toml").write_text(DATASET, encoding="utf-8")
    async with engine(empty_database, tmp_path / "ledger.toml", {}, signed_policy()) as ledger:
        done = await ledger.one(asked(Operation.ERASE, states={"contract_active": lasts}))
    assert isinstance(done, GroundUnknown) is (lasts is None)
    assert {row for (row,) in await ask(empty_database, "SELECT id FROM invoice")} == left


@pytest.mark.parametrize("own_category", [False, True])
async def test_a_state_of_one_table_holds_what_the_policy_says_of_another(
    empty_database: str, tmp_path: Path, *, own_category: bool
) -> None:
    contract = "CREATE TABLE contract (id int PRIMARY KEY, email text, ended date, kept boolean);"
    contract += "CREATE INDEX ON contract (email); INSERT INTO contract VALUES (1, 'pia@x.org', '2015-01-01', false);"
    await with_tables(empty_database, SCHEMA + contract)
    (tmp_path / "ledger.toml").write_text(DATASET + CONTRACT, encoding="utf-8")
    policy = signed_policy()
    if own_category:
        invoice = policy.categories["invoice"]
        apart = {
            "invoice": invoice.model_copy(update={"held_as": invoice.held_as - {"contract"}}),
            "contract": invoice.model_copy(update={"held_as": frozenset(), "kept_by": ("active_contract",)}),
        }
        policy = policy.with_other(categories={**policy.categories, **apart})
    async with engine(empty_database, tmp_path / "ledger.toml", {}, policy) as ledger:
        done = await ledger.receipt(asked(Operation.ERASE))
    told = {rule: each for (held, rule), each in by_rule(done.kept).items() if held == "contract"}
    assert told == ({} if own_category else {"dispute": (1, None)})
    assert (await ask(empty_database, "SELECT id FROM contract") == []) is own_category
