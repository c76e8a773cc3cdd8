"""Rows that name nobody themselves: found, shown, changed and erased by the joins that lead to whose they are."""

from pathlib import Path

import pytest

from shared.domain.errors import ForeignHit
from shared.domain.identities import IdentityType
from shared.domain.operations import Operation, TaskOutcome
from shared.domain.release import Match
from shared.downstreams.refusals import ErasureRefused
from shared.downstreams.sql.catalog import DatasetOutdated
from shared.downstreams.sql.settings import SqlSettings
from shared.downstreams.sql.store import SqlStore
from tests.fixtures.cdr import SqlEngine, ask, each, engine
from tests.fixtures.downstream import email, receipt, task
from tests.fixtures.joined_shop import DATASET

ANNA, BORIS, NOBODY = email("anna@example.org"), email("boris@example.org"), email("nobody@example.org")
ERASE, EXPORT, LOCATE = Operation.ERASE, Operation.EXPORT, Operation.LOCATE
ROWS = """
SELECT 'customer', id::text FROM crm.customer UNION ALL SELECT 'address', id::text FROM crm.address
UNION ALL SELECT 'purchase', id::text FROM purchase UNION ALL SELECT 'line', id::text FROM purchase_line
UNION ALL SELECT 'device', serial FROM device UNION ALL SELECT 'note', id::text FROM note
UNION ALL SELECT 'room', id::text FROM room UNION ALL SELECT 'member', customer_id::text FROM member
"""
HERS = {
    *(("customer", "1"), ("customer", "4"), ("address", "1"), ("purchase", "1"), ("purchase", "3"), ("device", "d1")),
    *(("line", "1"), ("line", "2"), ("line", "4"), ("note", "1"), ("room", "1"), ("member", "1"), ("member", "4")),
}
HIS = {
    *(("customer", "2"), ("address", "2"), ("purchase", "2"), ("line", "3"), ("device", "d2"), ("note", "3")),
    *(("room", "2"), ("member", "2")),
}
COUNTS = {
    "account": 2,
    "address": 1,
    "purchase": 2,
    "purchase_line": 3,
    "device": 1,
    "note": 1,
    "room": 1,
    "member": 2,
    "message": 2,
}


@pytest.mark.parametrize("together", [True, False])
async def test_what_joins_lead_to_is_erased_with_the_subject_and_nothing_of_others(
    shop: SqlEngine, shop_dsn: str, *, together: bool
) -> None:
    before = set(await ask(shop_dsn, ROWS))
    if together:
        done = [receipt(one) for one in await shop.run(*each(ERASE, ANNA, NOBODY))]
        assert done[1].outcome is TaskOutcome.NO_MATCH
    else:
        done = [await shop.receipt(task(ERASE, ANNA))]
    assert (done[0].outcome, done[0].by_category) == (TaskOutcome.ERASED, COUNTS)
    assert before - set(await ask(shop_dsn, ROWS)) == HERS
    assert await ask(shop_dsn, "SELECT * FROM message ORDER BY id") == [
        (1, None, 2, None, "good day"),
        (2, 2, 3, "hi", None),
    ]
    again = await shop.receipt(task(ERASE, ANNA))
    assert again.outcome is TaskOutcome.NO_MATCH


async def test_many_subjects_are_erased_together_each_counted_by_itself(shop: SqlEngine, shop_dsn: str) -> None:
    await ask(shop_dsn, "DELETE FROM member; ")
    await ask(shop_dsn, "DELETE FROM message")
    done = [receipt(one).by_category for one in await shop.run(*each(ERASE, ANNA, BORIS))]
    assert done[1] == {"account": 1, "address": 1, "purchase": 1, "purchase_line": 1, "device": 1, "note": 1}
    assert done[0]["purchase_line"] == 3


async def test_a_copy_shows_each_row_once_and_tells_by_whom_it_was_found(shop: SqlEngine) -> None:
    anna, boris = (receipt(one) for one in await shop.run(*each(EXPORT, ANNA, BORIS)))
    assert anna.by_category == COUNTS
    assert anna.found == (await shop.receipt(task(LOCATE, ANNA))).found
    mine = Match(IdentityType.EMAIL, "anna@example.org", None, None)
    assert all(mine in record.matched for record in anna.records)
    titles = {record.data["title"] for one in (anna, boris) for record in one.records if record.category == "room"}
    assert titles == {"Anna alone", "Boris alone"}
    assert {record.data["title"] for record in anna.records if record.category == "room"} == {"Anna alone"}
    sent = next(record.data for record in anna.records if record.data.get("body") == "hello")
    assert "reply" not in sent


async def test_a_row_that_leads_to_somebody_else_as_well_is_touched_for_nobody(shop: SqlEngine, shop_dsn: str) -> None:
    await ask(shop_dsn, "UPDATE crm.customer SET address_id = 1 WHERE id = 3")
    before = await ask(shop_dsn, ROWS)
    results = [await shop.one(task(operation, ANNA)) for operation in (ERASE, EXPORT)]
    assert all(isinstance(one, ForeignHit) and "address" in str(one) for one in results), results
    assert await ask(shop_dsn, ROWS) == before


async def test_a_correction_reaches_a_row_by_its_joins_and_no_other(shop: SqlEngine, shop_dsn: str) -> None:
    done = await shop.receipt(task(Operation.RECTIFY, ANNA, changes=[("street", None, "Rua 2")]))
    assert done.by_category == {"address": 1}
    assert await ask(shop_dsn, "SELECT id FROM crm.address WHERE street = 'Rua 2'") == [(1,)]


async def test_rows_that_no_longer_lead_anywhere_are_found_by_the_keys_they_have(
    shop: SqlEngine, shop_dsn: str
) -> None:
    """A row that refers to somebody who is gone, in a store that promises nothing of its references."""
    await ask(shop_dsn, "DELETE FROM note WHERE id = 1")
    await ask(
        shop_dsn,
        "CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN INSERT INTO note VALUES (9, 5, old.id::text, 'late'); RETURN old; END$$",
    )
    await ask(shop_dsn, "CREATE TRIGGER late AFTER DELETE ON crm.customer FOR EACH ROW EXECUTE FUNCTION late()")
    left = await shop.one(task(ERASE, BORIS))
    assert type(left).__name__ == "ResidueFound", left


async def test_an_open_order_keeps_everything_until_it_is_closed(shop: SqlEngine, shop_dsn: str) -> None:
    await ask(shop_dsn, "UPDATE purchase SET status = 'open' WHERE id = 3")
    before = await ask(shop_dsn, ROWS)
    refused, done = await shop.run(*each(ERASE, ANNA, BORIS))
    assert isinstance(refused, ErasureRefused)
    assert "open_order" in str(refused)
    assert receipt(done).outcome is TaskOutcome.ERASED
    assert {*before} - {*await ask(shop_dsn, ROWS)} == HIS
    assert (await shop.receipt(task(EXPORT, ANNA))).by_category == COUNTS


VIEW = """
[tables.spent]
category = "purchase"
primary_key = ["email"]
columns = { email = { class = "A", identity = "email" }, purchases = { class = "M" } }
"""


async def test_a_view_through_which_nothing_can_be_changed_is_refused(shop_dsn: str, tmp_path: Path) -> None:
    view = (
        "CREATE VIEW spent AS SELECT email, count(*) AS purchases FROM crm.customer c"
        " JOIN purchase p ON p.customer_id = c.id GROUP BY 1"
    )
    await ask(shop_dsn, view)
    written = tmp_path / "shop.toml"
    written.write_text(DATASET + VIEW, encoding="utf-8")
    async with engine(shop_dsn, written, {}) as shop:
        with pytest.raises(DatasetOutdated, match="spent is a view through which nothing can be changed: leave it"):
            await shop.one(task(ERASE, ANNA))


async def test_each_step_of_a_path_is_read_by_an_index(shop_dsn: str, tmp_path: Path) -> None:
    for indexed, columns in (
        *(("purchase", "customer_id"), ("purchase", "guest"), ("purchase_line", "purchase_id")),
        *(("device", "realm, owner"), ("note", "object_id"), ("message", "sender"), ("message", "receiver")),
        *(("member", "customer_id"), ("crm.customer", "phone")),
    ):
        await ask(shop_dsn, f"CREATE INDEX ON {indexed} ({columns})")
    (tmp_path / "shop.toml").write_text(DATASET, encoding="utf-8")
    settings = SqlSettings(dsn_env="DSR_STORE_DSN", dataset=str(tmp_path / "shop.toml"))
    store = SqlStore("shop", settings, {"DSR_STORE_DSN": shop_dsn})
    try:
        async with store.session() as session:
            for table in (table for table in session.tables if table.paths):
                said = {"count": table.count, "select": table.select(table.table.primary_key)}
                for name, statement in said.items():
                    types = ", ".join("text[]" for _ in table.slots)
                    await session.connection.execute(f"PREPARE examined({types}) AS {statement}")
                    values = ", ".join("ARRAY['anna@example.org']" for _ in table.slots)
                    rows = await session.connection.fetch(f"EXPLAIN EXECUTE examined({values})")
                    scans = [row[0] for row in rows if "Seq Scan" in row[0]]
                    assert not scans, (table.name, name, scans)
                    await session.connection.execute("DEALLOCATE examined")
    finally:
        await store.close()
