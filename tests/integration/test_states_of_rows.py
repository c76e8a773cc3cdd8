"""A state of a row by which something stays: where a row does not tell it, nothing goes and a person looks."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from shared.domain.errors import GroundUnknown, Misconfigured
from shared.domain.operations import Operation, TaskOutcome
from shared.downstreams.contract import Receipt
from shared.downstreams.refusals import ErasureRefused
from shared.downstreams.sql.declaration.dataset import Dataset
from shared.downstreams.sweepable import Swept
from tests.fixtures.analytics import due, sweep
from tests.fixtures.cdr import ask, engine, with_tables
from tests.fixtures.downstream import email, task

SCHEMA = """
CREATE TABLE contract (id int PRIMARY KEY, email text, ended date, status text);
CREATE INDEX ON contract (email);
INSERT INTO contract VALUES (1, 'active@x.org', '2019-01-01', 'active'), (2, 'none@x.org', '2019-01-01', NULL),
    (3, 'paused@x.org', '2019-01-01', 'paused'), (4, 'closed@x.org', '2019-01-01', 'closed');
"""
STATE = 'refuse_when = [{ column = "status", in = ["active"], over = ["closed"], reason = "active_contract" }]'
DATASET = """
name = "ledger"
[tables.contract]
category = "ticket"
primary_key = ["id"]
anchors = { resolved = { column = "ended" } }
{state}
[tables.contract.columns]
id = { class = "T" }
email = { class = "A", identity = "email" }
ended = { class = "M" }
status = { class = "M" }
"""


@pytest.mark.parametrize(
    ("over", "unknown"), [(', over = ["closed"]', ["none", "paused"]), ("", ["none"])], ids=["both named", "one named"]
)
async def test_a_row_that_does_not_say_whether_its_contract_is_active_is_a_persons(
    empty_database: str, tmp_path: Path, over: str, unknown: list[str]
) -> None:
    await with_tables(empty_database, SCHEMA)
    state = STATE.replace(', over = ["closed"]', over)
    (tmp_path / "ledger.toml").write_text(DATASET.replace("{state}", state), encoding="utf-8")
    at = datetime(2026, 11, 27, tzinfo=UTC)
    async with engine(empty_database, tmp_path / "ledger.toml", {}) as ledger:
        people = ["active", "none", "paused", "closed"]
        asked = [replace(task(Operation.PLAN, email(f"{who}@x.org")), at=at) for who in people]
        told = dict(zip(people, await ledger.run(*asked), strict=True))
        assert isinstance(told["active"], ErasureRefused)
        assert [who for who, result in told.items() if isinstance(result, GroundUnknown)] == unknown
        assert await sweep(ledger, due("contract", "resolved", "2025-01-01")) == [
            Swept(4 - 1 - len(unknown), 0, 1 + len(unknown))
        ]
        assert len(await ask(empty_database, "SELECT id FROM contract")) == 1 + len(unknown)
        done = await ledger.one(replace(task(Operation.ERASE, email("none@x.org")), at=at))
        assert isinstance(done, GroundUnknown)
        gone = await ledger.one(replace(task(Operation.ERASE, email("closed@x.org")), at=at))
        assert isinstance(gone, Receipt)
        assert gone.outcome is TaskOutcome.NO_MATCH


def test_a_word_that_says_both_is_refused(tmp_path: Path) -> None:
    state = STATE.replace('["closed"]', '["active"]')
    (tmp_path / "ledger.toml").write_text(DATASET.replace("{state}", state), encoding="utf-8")
    with pytest.raises(Misconfigured, match="has the words that are not among those of in"):
        Dataset.load(str(tmp_path / "ledger.toml"))
