"""MariaDB, the real server, behind a dataset: what is erased there, and what it takes for equal and we do not."""

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from shared.domain.clock import SystemClock
from shared.domain.errors import (
    DoneBefore,
    DsrError,
    GroundUnknown,
    NotSupported,
    Overtaken,
    SystemRefused,
    Unavailable,
)
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Change, CountUnknown, Operation, ShownRecord, TaskOutcome
from shared.systems import check
from shared.systems.conformance import live
from shared.systems.conformance.checks import Verdict
from shared.systems.engine import retention
from shared.systems.registry import Wiring, refuse_to_send
from shared.systems.sql import change
from shared.systems.sql.adapter import SqlAdapter
from shared.systems.sql.catalog import DatasetOutdated
from shared.systems.sql.mariadb import Maria
from shared.systems.states import ErasureRefused
from shared.systems.sweepable import DueCount, DueRecords, SweepResult
from tests.fixtures.analytics import nothing
from tests.fixtures.downstream import WorkedSystem, email, task
from tests.fixtures.examined import kept
from tests.fixtures.mariadb_shop import ANNAS, DATASET, LONGEST, Shop, cut_off
from tests.fixtures.policy import nothing_kept, signed_policy

BEGAN = 'at = { happened = "began" }'
KEEPS = """at = { happened = "began", call_start = "began" }
keep.bill_of = "caller"
keep.fields.caller_name = []
keep.fields.caller_address = []
keep.fields.caller_number = ["caller"]
keep.fields.called_number = ["callee"]
keep.fields.call_date = ["began"]
keep.fields.call_time = ["began"]
keep.fields.call_length = ["seconds"]"""
SIDE_TABLE = (
    "CREATE TABLE restricted_number (number varchar(20), valid_from datetime(6), valid_to datetime(6) NULL,"
    " request_id char(36), kept tinyint(1) NOT NULL DEFAULT 0, PRIMARY KEY (number, valid_from, request_id))"
)
WITH_SIDE_TABLE = DATASET.replace("\n[tables.customer]", '\nrestrict = "restricted_number"\n[tables.customer]')
LOCATE, EXPORT, ERASE = Operation.LOCATE, Operation.EXPORT, Operation.ERASE
RECTIFY, RESTRICT, LIFT, SUPPRESS = Operation.RECTIFY, Operation.RESTRICT, Operation.LIFT, Operation.SUPPRESS
DOWNSTREAMS = """
[shop]
adapter = "sql"
dsn_env = "SHOP_DSN"
dataset = "shop.toml"
needs = ["email", "phone", "account_id"]
max_people = 2

[shop.conformance]
seed = { sql = [
    "INSERT INTO customer (account_id, name, email, phone) VALUES ({account_id}, {name}, {email}, {phone})",
    "INSERT INTO line (account_id, e164, valid_from) VALUES ({account_id}, {phone}, '2024-01-01')",
    "INSERT INTO purchase (buyer, state) VALUES ({account_id}, 'paid')",
], dsn_env = "OWNER_DSN" }
shared = { sql = [
    "INSERT INTO `call` (began, caller, callee, seconds) VALUES ('2024-05-01 10:00:00', {phone}, {other_phone}, 7)",
], dsn_env = "OWNER_DSN" }
sweep = { sql = [
    "DELETE FROM `call` WHERE seconds = 7",
    "DELETE FROM line WHERE account_id LIKE concat({account_id}, '%')",
    "DELETE FROM customer WHERE account_id LIKE concat({account_id}, '%')",
], dsn_env = "OWNER_DSN" }
rectify = { field = "name", asserted = "Ada Byron" }
"""
ANNA = email("anna@example.org")
SINCE = datetime(2024, 2, 5, tzinfo=UTC)


def number(value: str, since: datetime | None = SINCE) -> Identity:
    return Identity(IdentityType.PHONE, value, since)


async def test_the_conformance_suite_passes_on_it(shop: Shop) -> None:
    (shop.folder / "shop.toml").write_text(DATASET)
    (shop.folder / "downstreams.toml").write_text(DOWNSTREAMS)
    environment = {"SHOP_DSN": shop.dsn, "OWNER_DSN": shop.server.dsn(shop.name)}
    wiring = Wiring(environment, SystemClock(), refuse_to_send, b"", policy=nothing_kept())
    (checked,) = await check.check(shop.folder / "downstreams.toml", wiring)
    assert (checked.live, checked.faults) == (True, ())
    found = (await live.examine(shop.folder / "downstreams.toml", wiring))["shop"]
    assert kept("mariadb", found) == {}
    assert {name for name, each in found.items() if each.verdict is not Verdict.YES} == set()


async def test_the_check_tries_each_operation_and_names_planted_faults(shop: Shop) -> None:
    await shop.run(
        "CREATE TABLE fact (id int PRIMARY KEY, email varchar(90), said varchar(9), KEY (email)) ENGINE = InnoDB"
    )
    declared = """
name = "facts"
[tables.fact]
category = "account"
primary_key = ["id"]
on_erase = "blank"
[tables.fact.columns]
id = { class = "T" }
email = { class = "A", identity = "email" }
said = { class = "A", blank = "removed" }
"""

    async def missing() -> list[str]:
        system = shop.connected(declared)
        assert isinstance(system.adapter, SqlAdapter)
        found = [each.says for each in await system.adapter.inspect() if each.missing]
        await system.close()
        return found

    assert await missing() == []
    await shop.run("ALTER TABLE fact MODIFY said varchar(3)")
    assert ["cannot hold 'removed' in said" in each for each in await missing()] == [True]
    await shop.run("ALTER TABLE fact MODIFY said varchar(9), MODIFY email varchar(90) NOT NULL")
    assert ["keeps rows without email, which may not be NULL" in each for each in await missing()] == [True]
    user = f"u_{shop.name}"
    await shop.run("ALTER TABLE fact MODIFY email varchar(90)", f"REVOKE UPDATE ON {shop.name}.* FROM {user}@'%'")
    grant = f"GRANT UPDATE (`email`, `said`) ON `{shop.name}`.`fact` TO '{user}'@'%'"
    assert [each.partition("let the owner run ")[2] for each in await missing()] == [grant]


async def test_a_neighbour_whom_its_collation_takes_for_the_subject_is_not_touched(
    shop: Shop, system: WorkedSystem
) -> None:
    neighbours = ("'N1', 'Änna', 'ánna@example.org', NULL", "'N2', 'Anna', 'anna@example.org ', NULL")
    for each in neighbours:
        await shop.run(f"INSERT INTO customer (account_id, name, email, phone) VALUES ({each})")
    await shop.run("INSERT INTO purchase (buyer, state) VALUES ('N1', 'paid'), ('N2', 'paid')")
    alike = "SELECT count(*) FROM customer WHERE email = 'anna@example.org'"
    assert (await shop.ask(alike))[0][0] == 3, "to the server they are one"
    copy = await system.receipt(task(EXPORT, ANNA))
    assert {record.data.get("name") for record in copy.records if record.category == "account"} == {"Anna"}
    assert (await system.receipt(task(ERASE, ANNA))).found == 7
    assert await shop.ask("SELECT account_id FROM customer ORDER BY 1") == [("C2",), ("C3",), ("N1",), ("N2",)]
    assert {row[0] for row in await shop.ask("SELECT buyer FROM purchase")} == {"C2", "N1", "N2"}


@pytest.mark.usefixtures("system")
async def test_rows_that_the_server_joins_in_any_case_and_by_long_keys_go_too(shop: Shop) -> None:
    big = 2**64 - 7
    await shop.run(
        "CREATE TABLE box (id bigint unsigned PRIMARY KEY, owner varchar(40), KEY (owner)) ENGINE = InnoDB",
        "CREATE TABLE item (id int PRIMARY KEY, box bigint unsigned, KEY (box)) ENGINE = InnoDB",
        f"INSERT INTO box VALUES ({big}, 'c1'), ({big - 1}, 'C2')",
        f"INSERT INTO item VALUES (1, {big}), (2, {big - 1})",
        f"GRANT SELECT, UPDATE, DELETE ON {shop.name}.* TO u_{shop.name}@'%'",
    )
    boxed = """
[tables.box]
category = "box"
primary_key = ["id"]
belongs_to = [{ table = "customer", on = { owner = "account_id" } }]
columns = { id = { class = "T" }, owner = { class = "T" } }
[tables.item]
category = "item"
primary_key = ["id"]
belongs_to = [{ table = "box", on = { box = "id" } }]
columns = { id = { class = "T" }, box = { class = "T" } }
"""
    boxes = shop.connected(DATASET + boxed)
    erased = await boxes.receipt(task(ERASE, ANNA))
    await boxes.close()
    assert (erased.by_category["box"], erased.by_category["item"]) == (1, 1)
    assert await shop.ask("SELECT owner, item.id FROM box JOIN item ON box = box.id") == [("C2", 2)]


async def test_what_cascades_is_counted_and_a_repeat_tells_the_same(shop: Shop, system: WorkedSystem) -> None:
    planned = await system.receipt(task(Operation.PLAN, ANNA))
    assert planned.by_category == {"account": 1, "number": 1, "order": 5}
    erasing = task(ERASE, email("ANNA@example.org"))
    erased = await system.receipt(erasing)
    assert (erased.outcome, erased.by_category) == (TaskOutcome.ERASED, {"account": 1, "number": 1, "order": 5})
    assert await system.receipt(system.again(erasing)) == erased
    assert await shop.ask(f"SELECT purchase_id, n FROM `{LONGEST}`") == [(3, 1)]
    assert (await system.receipt(task(ERASE, ANNA))).outcome == TaskOutcome.NO_MATCH


async def test_a_number_leads_to_its_period_and_one_party_of_a_call_is_blanked(
    shop: Shop, system: WorkedSystem
) -> None:
    await shop.run("SET SESSION sql_mode = ''", f"INSERT INTO `call` VALUES (4, '0000-00-00', '{ANNAS}', '', 1)")
    located = await system.receipt(task(LOCATE, Identity(IdentityType.ACCOUNT_ID, "C1")))
    assert located.identities == (
        Identity(IdentityType.ACCOUNT_ID, "C1", source="shop", claimed=True),
        Identity(IdentityType.PHONE, ANNAS, datetime(2024, 2, 5, 8, 30, tzinfo=UTC), None, "shop"),
    )
    erased = await system.receipt(task(ERASE, number(ANNAS)))
    assert erased.by_category["call"] == 2
    rows = await shop.ask("SELECT id, caller, callee FROM `call` ORDER BY id")
    assert rows == [(1, "", "+491712345678"), (2, ANNAS, "+491712345678"), (4, ANNAS, "")], (
        "one without a time has no owner"
    )


async def test_switches_are_set_and_put_back(shop: Shop, system: WorkedSystem) -> None:
    states = "SELECT restricted FROM customer ORDER BY account_id"
    restricting = task(RESTRICT, ANNA)
    assert (await system.receipt(restricting)).by_category == {"account": 1, "number": 1, "order": 5}
    assert [row[0] for row in await shop.ask(states)] == [1, 0, 0]
    assert (await system.receipt(replace(task(LIFT, ANNA), request_id=restricting.request_id))).changed == 7
    assert [row[0] for row in await shop.ask(states)] == [0] * 3
    assert (await system.receipt(task(SUPPRESS, ANNA))).changed == 1
    assert [row[0] for row in await shop.ask("SELECT marketing FROM customer ORDER BY account_id")] == [0, 1, 1]
    adapter: Any = system.adapter
    reached = [who for page in [each async for each in adapter.would_get_marketing()] for who in page]
    assert [who[0].value for who in reached] == ["C2", "C3"]
    await shop.run("UPDATE ticket SET email = 'anna@example.org' WHERE id = 3")  # found by the address alone
    partly = await system.one(task(RESTRICT, ANNA))
    assert isinstance(partly, NotSupported), partly
    assert partly.done_before == DoneBefore(found=8, changed=7, remaining=1)


async def test_a_worker_that_slept_changes_nothing_and_one_that_died_has_changed_nothing(
    shop: Shop, system: WorkedSystem
) -> None:
    erasing = task(ERASE, ANNA)
    heir = replace(erasing, attempt=2)
    assert (await system.receipt(heir)).found == 7
    await shop.run("INSERT INTO customer (account_id, email) VALUES ('C9', 'anna@example.org')")
    assert isinstance(await system.one(erasing), Overtaken)
    assert (await shop.ask("SELECT count(*) FROM customer WHERE account_id = 'C9'"))[0][0] == 1


async def test_what_is_not_found_to_be_theirs_stops_an_erasure(shop: Shop, system: WorkedSystem) -> None:
    await shop.run(
        "CREATE TABLE note (id int PRIMARY KEY, about varchar(40),"
        " FOREIGN KEY (about) REFERENCES customer (account_id) ON DELETE CASCADE)"
    )
    with pytest.raises(SystemRefused, match="note"):
        await system.one(task(ERASE, ANNA))
    await shop.run("DROP TABLE note", "UPDATE purchase SET buyer = 'C1', state = 'open' WHERE id = 2")
    for operation in (Operation.PLAN, ERASE):
        refused = await system.one(task(operation, ANNA))
        assert isinstance(refused, DsrError)
        assert refused.code == "erasure_refused"
    state = 'states.dispute = { column = "state", in = ["open"], over = ["paid"] }'
    telling = shop.connected(DATASET.replace('states.open_order = { column = "state", in = ["open"] }', state))
    for operation in (Operation.PLAN, ERASE):
        unruled = await telling.one(task(operation, ANNA))
        assert isinstance(unruled, ErasureRefused), "no rule keeps an order by that"
        assert unruled.states == {"disputed": True}
    await shop.run("UPDATE purchase SET state = 'odd' WHERE id = 2")
    unknown = await telling.one(task(Operation.PLAN, ANNA))
    assert isinstance(unknown, GroundUnknown)
    assert unknown.states == {"disputed": None}
    await telling.close()
    await shop.server.run(f"REVOKE REFERENCES ON *.* FROM u_{shop.name}@'%'")
    with pytest.raises(SystemRefused, match="does not see every table"):
        await system.one(task(ERASE, ANNA))
    assert (await shop.ask("SELECT count(*) FROM customer"))[0][0] == 3


async def test_a_store_that_was_read_back_tells_no_count(shop: Shop, system: WorkedSystem) -> None:
    erasing = task(ERASE, ANNA)
    await system.one(erasing)
    await shop.run("UPDATE dsr_platform.incarnation SET id = uuid()")
    await shop.run("INSERT INTO customer (account_id, email) VALUES ('C9', 'anna@example.org')")
    again = await system.receipt(system.again(erasing))
    assert (again.outcome, again.count_unknown) == (TaskOutcome.ERASED, CountUnknown.STORE_REPLACED)


async def test_what_cannot_be_worked_is_refused_by_name(shop: Shop, system: WorkedSystem) -> None:
    await shop.run("ALTER TABLE `call` ENGINE = MyISAM")
    with pytest.raises(SystemRefused, match="MyISAM"):
        await system.one(task(ERASE, ANNA))
    wrong = shop.connected(dsn=shop.dsn.replace(f":u_{shop.name}@", ":guess@"))
    with pytest.raises(SystemRefused, match="does not let this user in"):
        await wrong.one(task(ERASE, ANNA))
    await wrong.close()


@pytest.mark.usefixtures("system")
async def test_what_a_rule_keeps_is_reduced_and_marked(shop: Shop) -> None:
    ruled = shop.connected(policy=signed_policy())
    with pytest.raises(SystemRefused, match=r"declare at\.call_start and keep.fields"):
        await ruled.one(task(ERASE, ANNA))
    await ruled.close()
    await shop.run(
        "ALTER TABLE `call` ADD cell varchar(9), ADD kept tinyint(1) NOT NULL DEFAULT 0",
        "UPDATE `call` SET cell = 'c'",
        "DELETE FROM `call` WHERE id = 2",
    )
    cell = 'seconds = { class = "M" }\ncell = { class = "M", party = "caller" }\nkept = { class = "T" }'
    dataset = DATASET.replace(BEGAN, f"{KEEPS}\nkeep.mark = {{ kept = true }}").replace(
        'seconds = { class = "M" }', cell
    )
    keeping = shop.connected(dataset, policy=signed_policy())
    at = datetime(2026, 10, 1, 12, tzinfo=UTC)
    planned, done = [
        await keeping.receipt(replace(task(operation, number(ANNAS)), at=at)) for operation in (Operation.PLAN, ERASE)
    ]
    await keeping.close()
    assert (done.outcome, done.ground, done.until) == (TaskOutcome.RETAINED, "calls_us_18m", date(2027, 9, 2))
    assert planned.kept == done.kept
    rows = await shop.ask("SELECT id, caller, callee, seconds, cell, kept FROM `call` ORDER BY id")
    assert rows == [(1, ANNAS, "+491712345678", 5, None, 1), (3, ANNAS, "", 9, None, 1)]


@pytest.mark.usefixtures("system")
async def test_restriction_is_stored_in_a_side_table(shop: Shop) -> None:
    await shop.run(SIDE_TABLE)
    restricting_store = shop.connected(WITH_SIDE_TABLE)
    restricting = task(RESTRICT, number(ANNAS))
    assert (await restricting_store.receipt(restricting)).outcome is TaskOutcome.AMENDED
    await restricting_store.receipt(restricting_store.again(restricting))
    rows = await shop.ask("SELECT number, request_id FROM restricted_number")
    assert rows == [(ANNAS, str(restricting.request_id))]
    assert (
        await restricting_store.receipt(replace(restricting, operation=LIFT, opened_and_stage=(9, 0)))
    ).outcome is TaskOutcome.AMENDED
    assert await shop.ask("SELECT number FROM restricted_number") == []
    await restricting_store.close()


@pytest.mark.usefixtures("system")
async def test_number_of_calls_that_a_rule_keeps_is_marked_in_the_side_table(shop: Shop) -> None:
    await shop.run(SIDE_TABLE, "DELETE FROM `call` WHERE id = 2")
    keeping = shop.connected(WITH_SIDE_TABLE.replace(BEGAN, KEEPS), policy=signed_policy())
    erasing = replace(task(ERASE, number(ANNAS)), at=datetime(2026, 10, 1, 12, tzinfo=UTC))
    held = replace(erasing, held_categories=keeping.adapter.can.declared_categories)
    marks = "SELECT DISTINCT number, request_id, kept FROM restricted_number"
    assert (await keeping.receipt(held)).ground == "legal_hold"
    assert await shop.ask(marks) == [(ANNAS, str(erasing.request_id), 0)]
    assert (await keeping.receipt(keeping.again(erasing))).ground == "calls_us_18m"
    assert await shop.ask(marks) == [(ANNAS, str(erasing.request_id), 1)]
    copy = await keeping.receipt(task(EXPORT, number(ANNAS)))
    assert [each.portable for each in copy.records if each.category == "call"] == [False, False]
    await keeping.close()


@pytest.mark.usefixtures("system")
async def test_statement_stays_with_its_call_until_that_is_deleted(shop: Shop) -> None:
    stating = shop.connected(DATASET.replace('category = "call"\n', 'category = "call"\nstated = true\n'))
    meant = ShownRecord(category="call", fields={"seconds": 9})
    said = Change(field="seconds", asserted="it was 20", record=meant)
    about = replace(task(RECTIFY, number(ANNAS)), changes=(said,), at=datetime(2026, 11, 27, tzinfo=UTC))
    assert (await stating.receipt(about)).corrected == (1,)
    copy = await stating.receipt(task(EXPORT, number(ANNAS)))
    assert [record.data["statement"] for record in copy.records if "statement" in record.data] == [
        "seconds: it was 20 (2026-11-27)"
    ]
    await stating.receipt(task(ERASE, number(ANNAS)))
    assert await shop.ask("SELECT said FROM dsr_platform.stated") == []
    await stating.close()


@pytest.mark.usefixtures("system")
async def test_by_night_people_go_from_rows_that_stay_and_with_them_what_is_rare(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change, "PEOPLE", 2)
    await shop.run(
        "CREATE TABLE visit (id bigint PRIMARY KEY, client varchar(40), seen datetime, page varchar(9), KEY (client))",
        "INSERT INTO visit VALUES (1, 'a', '2024-05-02 10:00', 'home'), (2, 'b', '2024-05-09 11:00', 'home'),"
        " (3, 'a', '2024-05-11 10:00', 'jobs'), (4, 'a', '2026-05-02 10:00', 'home')",
    )
    visits = """
name = "visits"
[tables.visit]
category = "visit"
primary_key = ["id"]
at = { event_time = "seen" }
[tables.visit.columns]
id = { class = "T", anonymous = "redraw" }
client = { class = "A", identity = "client_id" }
seen = { class = "M", anonymous = "month" }
page = { class = "M", anonymous = "rare" }
"""
    web = shop.connected(visits)
    adapter: Any = web.adapter
    past = DueRecords("visit", "event_time", "anonymise", date(2025, 1, 1), ZoneInfo("UTC"))
    assert await adapter.count([past], {}) == [DueCount(3, 4)]
    assert await adapter.sweep([past], {}, nothing) == [SweepResult(3, 0)]
    left = await shop.ask("SELECT client, DATE(seen), page FROM visit WHERE client IS NULL ORDER BY page")
    assert left == [(None, date(2024, 5, 1), None), *[(None, date(2024, 5, 1), "home")] * 2]
    assert await shop.ask("SELECT count(*) FROM visit WHERE id IN (1, 2, 3)") == [(0,)]
    assert await adapter.sweep([past], {}, nothing) == [SweepResult(0, 0)]
    await web.close()


@pytest.mark.usefixtures("system")
async def test_by_night_what_is_past_goes_in_chunks_and_what_is_spared_or_referred_to_stays(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "PAGE", 1)
    await shop.run(
        "ALTER TABLE purchase ADD placed date, ADD country varchar(9)",
        "INSERT INTO purchase (id, buyer, state) VALUES (4, 'C2', 'open')",
        "UPDATE purchase SET placed = '2020-01-01', country = IF(id = 1, 'de ', NULL)",
        f"DELETE FROM `{LONGEST}` WHERE purchase_id = 3",
    )
    dated = DATASET.replace(BEGAN, BEGAN.replace('began"', 'began", call_start = "began"')).replace(
        'replaces = { class = "T" }', 'replaces = { class = "T" }\nplaced = { class = "M" }\ncountry = { class = "M" }'
    )
    dated = dated.replace("states.open", 'at = { placed = "placed" }\ncountry = "country"\nstates.open')
    swept = shop.connected(dated)
    adapter = swept.adapter
    assert isinstance(adapter, SqlAdapter)
    assert {each.table: dict(each.anchors) for each in adapter.dated} == {
        "purchase": {"placed": "placed"},
        "call": {"call_start": "began"},
    }
    zone = ZoneInfo("Europe/Madrid")
    calls = DueRecords("call", "call_start", "delete", date(2026, 3, 3), zone)
    purchases = DueRecords("purchase", "placed", "delete", date(2026, 1, 1), zone)
    spared = {"call": [task(ERASE, number(ANNAS))]}
    counted = await adapter.count([calls, purchases], spared)
    assert counted == [DueCount(1, 3), DueCount(3, 4)]
    assert await adapter.sweep([calls, purchases], spared, nothing) == [SweepResult(1, 1), SweepResult(1, 1)]
    assert await shop.ask("SELECT id FROM `call` ORDER BY id") == [(1,), (3,)]
    assert await shop.ask("SELECT id FROM purchase ORDER BY id") == [(1,), (2,), (4,)], "4 is open, and no one's to end"
    counted = await adapter.count([calls, purchases], {})
    assert counted == [DueCount(1, 2), DueCount(2, 3)], "what stays is past, and missed"
    assert await adapter.count([replace(purchases, country="DE")], {}) == [DueCount(1, 3, undetermined=2)]
    assert await adapter.sweep([replace(purchases, country="FR")], {}, nothing) == [SweepResult(0, 0)]
    [refused] = await adapter.sweep([replace(calls, then="anonymise")], {}, nothing)
    assert isinstance(refused, DatasetOutdated), "it says not what becomes of each column"
    await swept.close()


async def test_a_session_that_was_cut_off_is_an_outage_and_is_not_given_to_anybody_again(shop: Shop) -> None:
    pool = Maria("shop", shop.dsn, most=1, seconds=30)
    with pytest.raises(Unavailable):
        await cut_off(shop, pool)
    async with pool.connection() as connection:
        assert await connection.fetch("SELECT 1") == ((1,),)
    await pool.close()
