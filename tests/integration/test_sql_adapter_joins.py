"""Rows that name nobody themselves: found, shown, changed and erased by the joins that lead to whose they are."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared.domain.errors import ForeignHit
from shared.domain.identities import IdentityType
from shared.domain.operations import Operation, TaskOutcome
from shared.domain.release import Match
from shared.downstreams.refusals import ErasureRefused
from shared.downstreams.sql import SqlSettings, schema_for
from shared.downstreams.sql.catalog import DatasetOutdated
from shared.downstreams.sql.store import SqlStore
from shared.storage.postgres import connected
from tests.fixtures.cdr import SqlEngine, ask, each, engine
from tests.fixtures.downstream import email, receipt, task

ANNA, BORIS, NOBODY = email("anna@example.org"), email("boris@example.org"), email("nobody@example.org")
ERASE, EXPORT, LOCATE = Operation.ERASE, Operation.EXPORT, Operation.LOCATE
SCHEMA = """
CREATE SCHEMA crm;
CREATE TABLE crm.address (id int PRIMARY KEY, street text);
CREATE TABLE crm.customer (id int PRIMARY KEY, realm text, number bigint, email text, phone text,
    address_id int REFERENCES crm.address, UNIQUE (realm, number));
CREATE TABLE purchase (id int PRIMARY KEY, customer_id int REFERENCES crm.customer, guest text, status text);
CREATE TABLE purchase_line (id int PRIMARY KEY, purchase_id int REFERENCES purchase, goods text);
CREATE TABLE device (serial text PRIMARY KEY, realm text, owner int);
CREATE TABLE kind (id int PRIMARY KEY, model text);
CREATE TABLE note (id int PRIMARY KEY, kind_id int, object_id text, body text);
CREATE TABLE room (id int PRIMARY KEY, title text);
CREATE TABLE member (room_id int REFERENCES room, customer_id int REFERENCES crm.customer,
    PRIMARY KEY (room_id, customer_id));
CREATE TABLE message (id int PRIMARY KEY, sender int REFERENCES crm.customer, receiver int REFERENCES crm.customer,
    body text, reply text);
INSERT INTO crm.address VALUES (1, 'Lindenallee'), (2, 'Molenweg'), (3, 'Oak Street');
INSERT INTO crm.customer VALUES
    (1, 'a', 7, 'anna@example.org', '+34688886392', 1), (2, 'b', 7, 'boris@example.org', NULL, 2),
    (3, 'a', 8, 'chiara@example.org', NULL, 3), (4, 'c', 9, 'anna@example.org', NULL, NULL);
INSERT INTO purchase VALUES (1, 1, NULL, 'paid'), (2, 2, NULL, 'paid'), (3, NULL, 'anna@example.org', 'paid'),
    (4, 4, 'anna@example.org', 'test');
INSERT INTO purchase_line VALUES (1, 1, 'phone'), (2, 1, 'cable'), (3, 2, 'headset'), (4, 3, 'charger'), (5, 4, 'x');
INSERT INTO device VALUES ('d1', 'a', 7), ('d2', 'b', 7), ('d3', 'a', 8), ('d4', 'c', 7);
INSERT INTO kind VALUES (5, 'customer'), (6, 'purchase');
INSERT INTO note VALUES (1, 5, '1', 'calls often'), (2, 6, '1', 'order 1'), (3, 5, '2', 'never calls'), (4, 5, 'x', '');
INSERT INTO room VALUES (1, 'Anna alone'), (2, 'Boris alone');
INSERT INTO member VALUES (1, 1), (1, 4), (2, 2);
INSERT INTO message VALUES (1, 1, 2, 'hello', 'good day'), (2, 2, 3, 'hi', NULL), (3, 1, 4, 'to myself', NULL);
CREATE INDEX ON crm.customer (email); CREATE INDEX ON crm.customer (address_id);
"""
DATASET = """
name = "shop"
[tables.customer]
schema = "crm"
category = "account"
primary_key = ["id"]
[tables.customer.columns]
id = { class = "T" }
realm = { class = "T" }
number = { class = "M" }
email = { class = "A", identity = "email" }
phone = { class = "A", identity = "phone", yields = true }
address_id = { class = "T" }

[tables.address]
schema = "crm"
category = "address"
primary_key = ["id"]
via = [{ table = "customer", on = { id = "address_id" } }]
columns = { id = { class = "T" }, street = { class = "M", rectifies = "street" } }

[tables.purchase]
category = "purchase"
primary_key = ["id"]
via = [{ table = "customer", on = { customer_id = "id" } }]
where = [{ column = "status", in = ["paid", "open"] }]
refuse_when = [{ column = "status", in = ["open"], reason = "open_order" }]
[tables.purchase.columns]
id = { class = "T" }
customer_id = { class = "T" }
guest = { class = "A", identity = "email" }
status = { class = "M" }

[tables.purchase_line]
category = "purchase_line"
primary_key = ["id"]
via = [{ table = "purchase", on = { purchase_id = "id" } }]
columns = { id = { class = "T" }, purchase_id = { class = "T" }, goods = { class = "M" } }

[tables.device]
category = "device"
primary_key = ["serial"]
via = [{ table = "customer", on = { realm = "realm", owner = "number" } }]
columns = { serial = { class = "M" }, realm = { class = "T" }, owner = { class = "T" } }

[tables.note]
category = "note"
primary_key = ["id"]
columns = { id = { class = "T" }, kind_id = { class = "T" }, object_id = { class = "T" }, body = { class = "C" } }

[[tables.note.via]]
table = "customer"
on.object_id = "id"
on.kind_id = { table = "kind", where = [{ column = "model", in = ["customer"] }] }

[tables.room]
category = "room"
primary_key = ["id"]
via = [{ table = "member", on = { id = "room_id" } }, { table = "customer", on = { customer_id = "id" } }]
columns = { id = { class = "T" }, title = { class = "M" } }

[tables.member]
category = "member"
primary_key = ["room_id", "customer_id"]
via = [{ table = "customer", on = { customer_id = "id" } }]
columns = { room_id = { class = "T" }, customer_id = { class = "T" } }

[tables.message]
category = "message"
primary_key = ["id"]
erase = "blank"
[tables.message.parties]
sender = { via = [{ table = "customer", on = { sender = "id" } }] }
receiver = { via = [{ table = "customer", on = { receiver = "id" } }] }
[tables.message.columns]
id = { class = "T" }
sender = { class = "A", party = "sender" }
receiver = { class = "A", party = "receiver" }
body = { class = "C", party = "sender" }
reply = { class = "C", party = "receiver" }
"""
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


@pytest.fixture
async def shop_dsn(empty_database: str) -> str:
    """The database of a shop, in two schemas."""
    async with connected(empty_database) as connection:
        await connection.execute(SCHEMA + schema_for(empty_database))
        await connection.execute("UPDATE purchase SET customer_id = NULL, status = 'test' WHERE id = 4")
    return empty_database


@pytest.fixture
async def shop(shop_dsn: str, tmp_path: Path) -> AsyncIterator[SqlEngine]:
    """Its adapter."""
    (tmp_path / "shop.toml").write_text(DATASET, encoding="utf-8")
    async with engine(shop_dsn, tmp_path / "shop.toml", {}) as shop:
        yield shop


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


async def test_a_view_is_shown_and_what_it_shows_is_erased_in_its_tables(shop_dsn: str, tmp_path: Path) -> None:
    view = (
        "CREATE VIEW spent AS SELECT email, count(*) AS purchases FROM crm.customer c"
        " JOIN purchase p ON p.customer_id = c.id GROUP BY 1"
    )
    await ask(shop_dsn, view)
    written = tmp_path / "shop.toml"
    written.write_text(DATASET + VIEW, encoding="utf-8")
    async with engine(shop_dsn, written, {}) as shop:
        with pytest.raises(DatasetOutdated, match="spent is a view through which nothing can be changed: write view"):
            await shop.one(task(ERASE, ANNA))
    written.write_text(DATASET + VIEW.replace("primary_key", "view = true\nprimary_key"), encoding="utf-8")
    async with engine(shop_dsn, written, {}) as shop:
        shown = await shop.receipt(task(EXPORT, ANNA))
        assert next(each.data for each in shown.records if "purchases" in each.data)["purchases"] == 1
        assert (await shop.receipt(task(ERASE, ANNA))).by_category == COUNTS


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
                    scans = [row[0] for row in rows if "Seq Scan" in row[0] and " on kind" not in row[0]]
                    assert not scans, (table.name, name, scans)
                    await session.connection.execute("DEALLOCATE examined")
    finally:
        await store.close()
