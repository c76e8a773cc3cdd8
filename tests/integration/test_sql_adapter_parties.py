"""Two parties in a row, one found by a join and one by its own column: every operation works, by every identity."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from shared.domain.errors import NotSupported
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import NOTIFICATIONS, Operation, TaskOutcome
from shared.downstreams.contract import Receipt
from shared.downstreams.protocols import CAN
from tests.fixtures.cdr import SqlEngine, ask, engine, with_tables
from tests.fixtures.downstream import email, phone, receipt, task

SCHEMA = """
CREATE TABLE customer (id int PRIMARY KEY, email text);
CREATE TABLE delivery (id int PRIMARY KEY, buyer int REFERENCES customer, courier text, line text, at timestamptz,
    wish text, remark text, quiet boolean NOT NULL DEFAULT false);
CREATE TABLE parcel (id int PRIMARY KEY, delivery_id int REFERENCES delivery, size text, quiet boolean DEFAULT false);
INSERT INTO customer VALUES (1, 'anna@example.org'), (2, 'boris@example.org');
INSERT INTO delivery VALUES (1, 1, 'carla@example.org', '+34600000001', '2026-03-01', 'by night', 'friendly'),
    (2, 2, 'carla@example.org', '+34600000001', '2026-03-02', 'by day', 'strict');
INSERT INTO parcel VALUES (1, 1, 'small'), (2, 2, 'large');
"""
DATASET = """
name = "deliveries"
[tables.customer]
category = "account"
primary_key = ["id"]
columns = {{ id = {{ class = "T" }}, email = {{ class = "A", identity = "email" }} }}

[tables.delivery]
category = "delivery"
primary_key = ["id"]
erase = "blank"
marketing = {{ column = "quiet", value = true }}
{occurred}
[tables.delivery.parties]
buyer = {{ via = [{{ table = "customer", on = {{ buyer = "id" }} }}] }}
courier = {{}}
[tables.delivery.columns]
id = {{ class = "T" }}
buyer = {{ class = "A", party = "buyer" }}
courier = {{ class = "A", identity = "email", party = "courier" }}
line = {{ class = "A", identity = "phone", party = "courier" }}
at = {{ class = "M" }}
wish = {{ class = "C", party = "buyer" }}
remark = {{ class = "C", party = "courier"{rectifies} }}
quiet = {{ class = "T" }}

[tables.parcel]
category = "parcel"
primary_key = ["id"]
via = [{{ table = "delivery", on = {{ delivery_id = "id" }}, party = "buyer" }}]
restriction = {{ column = "quiet", value = true }}
[tables.parcel.columns]
id = {{ class = "T" }}
delivery_id = {{ class = "T" }}
size = {{ class = "M" }}
quiet = {{ class = "T" }}
"""
SINCE = datetime(2020, 1, 1, tzinfo=UTC)
ANNA, CARLA, LINE = email("anna@example.org"), email("carla@example.org"), phone("+34600000001", SINCE)
SUBJECTS = {
    "the one by a join": (ANNA,),
    "the one by an address": (CARLA,),
    "the one by a number": (LINE,),
    "both ways": (CARLA, LINE),
    "as either": (ANNA, LINE),
    "nobody": (email("nobody@example.org"), Identity(IdentityType.ACCOUNT_ID, "9")),
}
OPERATIONS = sorted({*CAN} - NOTIFICATIONS, key=lambda each: each is Operation.ERASE)


@pytest.fixture(params=[True, False], ids=["timed", "timeless"])
def timed(request: pytest.FixtureRequest) -> bool:
    """Whether a row says when it happened, so that a number counts in its period alone."""
    return bool(request.param)


@pytest.fixture(params=["", ', rectifies = "remark"'], ids=["uncorrectable", "correctable"])
async def deliveries(
    request: pytest.FixtureRequest, empty_database: str, tmp_path: Path, *, timed: bool
) -> AsyncIterator[SqlEngine]:
    """The adapter of that store."""
    dataset = DATASET.format(rectifies=request.param, occurred='occurred = { column = "at" }' if timed else "")
    (tmp_path / "deliveries.toml").write_text(dataset, encoding="utf-8")
    dsn = await with_tables(empty_database, SCHEMA)
    async with engine(dsn, tmp_path / "deliveries.toml", {}) as system:
        yield system


async def test_every_operation_answers(deliveries: SqlEngine) -> None:
    for operation in OPERATIONS:
        changes = [("remark", None, "kind")] if operation is Operation.RECTIFY else []
        for name, subject in SUBJECTS.items():
            tasks = [task(operation, *subject, changes=changes), task(operation, *subject, changes=changes)]
            for result in [*await deliveries.run(*tasks), await deliveries.one(tasks[0])]:
                assert isinstance(result, Receipt | NotSupported), (operation, name, result)


async def test_each_party_loses_what_is_theirs(deliveries: SqlEngine, empty_database: str) -> None:
    assert receipt(await deliveries.one(task(Operation.ERASE, ANNA))).outcome is TaskOutcome.ERASED
    rows = "SELECT id, buyer, courier, wish, remark FROM delivery ORDER BY id"
    kept = (2, 2, "carla@example.org", "by day", "strict")
    assert await ask(empty_database, rows) == [(1, None, "carla@example.org", None, "friendly"), kept]
    assert await ask(empty_database, "SELECT id FROM parcel") == [(2,)]
