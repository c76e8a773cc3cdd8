"""Finding people in SQL stores, and showing to each what is theirs."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest

from deploy.demo.seed.cdr import CdrStore
from services.export.pieces import Piece
from shared.domain.errors import LimitExceeded, NotSupported
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import NOTIFICATIONS, Operation, TaskOutcome, Unsearched
from shared.domain.rights import Right
from shared.systems.contract import NotSearched, Receipt
from shared.systems.protocols import METHODS
from tests.fixtures.cdr import (
    ANNA,
    BORIS,
    CHIARA,
    OURS,
    SqlEngine,
    ask,
    at,
    call,
    each,
    engine,
    forms_of,
    number,
    with_tables,
)
from tests.fixtures.customer_store import CustomerStore
from tests.fixtures.downstream import email, phone, receipt, task
from tests.fixtures.explained import Explained
from tests.fixtures.packages import made_of, unpacked

EMAIL, ACCOUNT = email("anna.meier@example.org"), Identity(IdentityType.ACCOUNT_ID, "C1")


async def test_address_in_any_case_yields_the_account_and_numbers_with_periods(customers: SqlEngine) -> None:
    located, unknown = await customers.run(
        task(Operation.LOCATE, EMAIL, phone(ANNA)), task(Operation.LOCATE, email("x@example.org"))
    )
    found = {(i.type, i.value, i.valid_from, i.valid_to, i.source) for i in receipt(located).identities}
    since = at("2024-02-05").replace(hour=8, minute=30)
    assert found == {
        (IdentityType.ACCOUNT_ID, "C1", None, None, "store"),
        (IdentityType.NAME, "Anna Meier", None, None, "store"),
        (IdentityType.PHONE, ANNA, since, None, "store"),
        (IdentityType.PHONE, "+34918750146", since, at("2026-01-10"), "store"),
    }
    assert receipt(unknown).outcome is TaskOutcome.NO_MATCH


async def test_stated_account_is_yielded_by_the_store_that_knows_it(customers: SqlEngine) -> None:
    stated = replace(ACCOUNT, source="requester")
    located = await customers.receipt(task(Operation.LOCATE, stated))
    assert replace(ACCOUNT, source="store", claimed=True) in located.identities


async def test_corrected_address_finds_no_one_today(customers: SqlEngine, customer_store: CustomerStore) -> None:
    former = Identity(IdentityType.EMAIL, "boris@example.org", None, at("2026-01-10"), "crm")
    assert (await customers.receipt(task(Operation.ERASE, former))).found == 0
    assert customers.adapter.can.respects_periods
    text = customer_store.dataset.read_text(encoding="utf-8")
    timeless = text.partition("[tables.number_assignment]")[0]
    customer_store.dataset.write_text(timeless, encoding="utf-8")
    async with engine(customer_store.dsn, customer_store.dataset, {}) as plain:
        assert not plain.adapter.can.respects_periods, "a person looks"


async def test_period_without_a_zone_has_the_declared_zone(customer_store: CustomerStore) -> None:
    naive = "timestamp USING {0} AT TIME ZONE 'UTC'"
    changes = (f"ALTER {name} TYPE {naive.format(name)}" for name in ("valid_from", "valid_to"))
    await customer_store.run(f"ALTER TABLE number_assignment {', '.join(changes)}")
    text = customer_store.dataset.read_text(encoding="utf-8")
    text = text.replace('valid_to = "valid_to" }', 'valid_to = "valid_to" }\ntimezone = "Europe/Madrid"')
    customer_store.dataset.write_text(text, encoding="utf-8")
    async with engine(customer_store.dsn, customer_store.dataset, {}) as customers:
        located = await customers.receipt(task(Operation.LOCATE, EMAIL))
    periods = {(i.valid_from, i.valid_to) for i in located.identities if i.value == "+34918750146"}
    assert periods == {(at("2024-02-05").replace(hour=7, minute=30), at("2026-01-10").replace(hour=9))}


async def test_an_address_and_a_number_of_two_people_do_not_make_them_one(customers: SqlEngine) -> None:
    result = await customers.one(task(Operation.LOCATE, EMAIL, phone(BORIS)))
    assert isinstance(result, LimitExceeded)


async def test_reassigned_number_finds_no_one_today(customer_store: CustomerStore, customers: SqlEngine) -> None:
    given_up = number(ANNA, until=at("2026-01-10"))
    done = await customers.receipt(task(Operation.ERASE, given_up))
    assert done.by_category.get("account", 0) == 0
    assert await customer_store.ask("SELECT count(*) FROM customer") == [(3,)]


async def test_reassigned_number_shows_each_holder_their_calls(cdr_store: CdrStore, calls: SqlEngine) -> None:
    days = ("2025-12-24", "2026-01-09", "2026-01-10", "2026-02-14", "2026-03-01", "2026-04-01")
    await cdr_store.seed([call(ANNA, CHIARA, day) for day in days])
    x, y = number(ANNA, until=at("2026-01-10")), number(ANNA, since=at("2026-03-01"))
    results = await calls.run(*each(Operation.EXPORT, x, y))
    shown = [[str(r.data["started"])[:10] for r in receipt(e).records if r.category == "call_record"] for e in results]
    assert [sorted(each) for each in shown] == [list(days[:2]), list(days[4:])]


async def test_withheld_number_is_not_shown_to_the_called_party(cdr_store: CdrStore, calls: SqlEngine) -> None:
    await cdr_store.seed([call(ANNA, BORIS, pai=ANNA), call(CHIARA, BORIS), call(BORIS, ANNA)])
    await ask(cdr_store.admin, "UPDATE acc_cdrs SET callid = pai || '@198.18.0.7' WHERE pai IS NOT NULL")
    unowned = "UPDATE acc SET method = 'x' || substr(src_pai, 2) WHERE src_pai IS NOT NULL"
    await ask(cdr_store.admin, unowned)
    called, caller = await calls.run(*each(Operation.EXPORT, number(BORIS), number(ANNA)))
    records = receipt(called).records
    shown = [dict(r.data) for r in records if r.category == "call_record" and r.data["to"] == BORIS]
    assert sorted(str(data["from"]) for data in shown) == [CHIARA, "withheld"]
    withheld = [r for r in records if r.data["from"] == "withheld"]
    package = orjson.dumps([[r.category, r.source, r.data] for r in withheld])
    assert all(r.hidden["from"] == "withheld" for r in withheld), "each field that hides something says so, and why"
    [open_] = [r for r in records if r.category == "call_record" and r.data["from"] == CHIARA]
    assert (open_.hidden["network_number"], "from" in open_.hidden) == ("others", False)
    assert not open_.hidden.keys() & open_.data.keys(), "what is left out is named all the same"
    assert ANNA.encode() not in package
    assert ANNA[1:].encode() not in package
    assert b"198.18.0.7" not in orjson.dumps([r.data for r in records if r.data["to"] == BORIS])
    own = [r.data for r in receipt(caller).records if r.category == "call_record" and r.data["to"] == BORIS]
    assert [(data["network_number"], data["number_withheld"], data["device"]) for data in own] == [
        (ANNA, "yes", "Linphone/5.2.6")
    ]


@pytest.mark.parametrize("privacy", ["id", "user", "HEADER", "id;critical", "session, none", "of-tomorrow"])
async def test_withheld_number_is_nowhere_in_a_package(cdr_store: CdrStore, calls: SqlEngine, privacy: str) -> None:
    await cdr_store.seed([call(ANNA, BORIS)])
    for form in forms_of(ANNA):
        said = {"callid": form.decode(), "privacy": privacy}
        await ask(cdr_store.admin, "UPDATE acc_cdrs SET callid = $1, privacy = $2", *said.values())
        await ask(cdr_store.admin, "UPDATE acc SET method = left($1, 16), privacy = $2", *said.values())
        found = await calls.receipt(task(Operation.EXPORT, number(BORIS)))
        pieces = [Piece("cdr", r.category, r.source, dict(r.data)) for r in found.records]
        content = b"".join(unpacked(await made_of(pieces, Right.ACCESS, at("2026-03-02"))).values())
        assert not [each for each in forms_of(ANNA) if each in content and len(each) <= len(form)]
        assert b"withheld" in content


async def test_diverted_call_keeps_the_other_two_parties(cdr_store: CdrStore, calls: SqlEngine) -> None:
    await cdr_store.seed([call(CHIARA, BORIS), call(CHIARA, ANNA)])
    await ask(cdr_store.admin, "UPDATE acc SET dst_ouser = $1 WHERE dst_user = $2", ANNA, BORIS)
    kept = "SELECT src_user, dst_ouser, dst_user FROM acc ORDER BY dst_user"
    done = await calls.receipt(task(Operation.ERASE, number(ANNA)))
    assert done.by_category == {"call_record": 1, "call_signalling": 2}
    assert await ask(cdr_store.admin, kept) == [(CHIARA, "", ""), (CHIARA, "", BORIS)]
    both = await calls.run(*each(Operation.ERASE, number(BORIS), number(CHIARA)))
    assert [receipt(one).by_category["call_signalling"] for one in both] == [1, 2]
    assert await ask(cdr_store.admin, kept) == []


async def test_of_a_diverted_call_each_of_three_is_shown_their_own(cdr_store: CdrStore, calls: SqlEngine) -> None:
    await cdr_store.seed([call(CHIARA, BORIS)])
    await ask(cdr_store.admin, "UPDATE acc SET dst_ouser = $1", ANNA)
    for subject, shown in {
        CHIARA: {"from": CHIARA, "dialled": ANNA, "to": "withheld"},  # they had no contact with Boris
        ANNA: {"from": CHIARA, "dialled": ANNA, "to": BORIS},  # it was she who had it diverted
        BORIS: {"from": CHIARA, "dialled": "withheld", "to": BORIS},  # nor did he dial or divert anything
    }.items():
        records = (await calls.receipt(task(Operation.EXPORT, number(subject)))).records
        [data] = [r.data for r in records if r.category == "call_signalling"]
        assert {label: data[label] for label in shown} == shown
        hidden = [value for value in (ANNA, BORIS, CHIARA) if value not in shown.values()]
        assert not [value for value in hidden if value in str(data)]


async def test_direct_call_hides_no_party(cdr_store: CdrStore, calls: SqlEngine) -> None:
    await cdr_store.seed([call(CHIARA, BORIS)])
    for dialled in (BORIS, BORIS.replace("+", "00"), ""):
        await ask(cdr_store.admin, "UPDATE acc SET dst_ouser = $1", dialled)
        for subject in (CHIARA, BORIS):
            records = (await calls.receipt(task(Operation.EXPORT, number(subject)))).records
            assert "withheld" not in [r.data.get("to") for r in records]


async def test_dialled_number_is_shown_without_the_other_device(cdr_store: CdrStore, calls: SqlEngine) -> None:
    await cdr_store.seed([call(ANNA, BORIS)])
    caller, called = await calls.run(*each(Operation.EXPORT, number(ANNA), number(BORIS)))
    outgoing, incoming = (
        next(r.data for r in receipt(e).records if r.category == "call_record") for e in (caller, called)
    )
    assert outgoing["to"] == BORIS
    assert outgoing["address"] == "198.18.0.7"
    assert incoming["from"] == ANNA
    assert incoming.keys() == {"started", "ended", "seconds", "from", "to"}
    assert (incoming["started"], incoming["seconds"]) == ("2026-03-02T10:00:00+00:00", 120.0)


@pytest.mark.parametrize("operation", [Operation.EXPORT, Operation.ERASE, Operation.RESTRICT])
@pytest.mark.parametrize("dated", [True, False])
async def test_whatever_is_asked_what_a_number_without_its_period_leaves_unsearched_is_said(
    cdr_store: CdrStore, calls: SqlEngine, operation: Operation, *, dated: bool
) -> None:
    await cdr_store.seed([call(ANNA, BORIS), call(CHIARA, BORIS)])
    known = (number(ANNA), phone(CHIARA)) if dated else (phone(CHIARA),)
    asked = task(operation, *known)
    result = await calls.one(asked)
    if dated:
        assert receipt(result).not_searched is Unsearched.NUMBER_WITHOUT_PERIOD
        assert receipt(result).found == 2
    else:
        assert result == NotSearched(asked.task_id, Unsearched.NUMBER_WITHOUT_PERIOD)
    assert await ask(cdr_store.admin, "SELECT count(*) FROM acc_cdrs WHERE caller = $1", CHIARA) == [(1,)]


async def test_a_store_is_searched_if_every_table_is_or_another_of_its_tables_leads_there(customers: SqlEngine) -> None:
    for known, reason in (
        ((EMAIL,), None),
        ((ACCOUNT,), None),
        ((EMAIL, phone(CHIARA)), Unsearched.NUMBER_WITHOUT_PERIOD),
        ((EMAIL, number(ANNA), phone(ANNA)), None),  # dated by another system
        ((Identity(IdentityType.SIP_URI, "sip:anna@example.org"),), Unsearched.NOTHING_TO_SEARCH_BY),
    ):
        result = await customers.one(task(Operation.EXPORT, *known))
        assert (result.reason if isinstance(result, NotSearched) else receipt(result).not_searched) is reason


@pytest.mark.parametrize("operation", [Operation.EXPORT, Operation.ERASE])
async def test_each_searched_category_is_named(cdr_store: CdrStore, calls: SqlEngine, operation: Operation) -> None:
    await cdr_store.seed([call(ANNA, BORIS)])
    found, nothing = await calls.run(*each(operation, number(ANNA), number(CHIARA)))
    every = ("call_record", "call_signalling", "missed_call", "restriction")
    assert receipt(found).categories == receipt(nothing).categories == every


# However a store writes an address or a number, whose it is is found; of what may be anybody's it is said.
ERASE, EXPORT = Operation.ERASE, Operation.EXPORT
EMAIL_OF_SPELLINGS = email("anna.meier@example.org")
SIP = Identity(IdentityType.SIP_URI, "sip:anna@pbx.example", at("2026-01-01"))
CALLS = """
CREATE TABLE call (id bigint PRIMARY KEY, caller text NOT NULL, host text NOT NULL, started timestamptz NOT NULL);
CREATE INDEX ON call (caller);
INSERT INTO call SELECT n, caller, 'PBX.example', '2026-02-01' FROM unnest(ARRAY[
    '+34688886392', '0034688886392', '34688886392', '688886392', '00034688886392',
    '1001', '688886393', 'anna', 'ANNA']) WITH ORDINALITY c (caller, n);
"""
DATASET = """
name = "calls"
[tables.call]
category = "call"
primary_key = ["id"]
at = { happened = "started" }
[tables.call.columns]
id = { class = "T" }
caller = { class = "A", identity = "phone" }
host = { class = "T" }
started = { class = "M" }
"""


async def test_a_number_is_found_as_it_stands_there(empty_database: str, tmp_path: Path) -> None:
    known = number(ANNA)
    await with_tables(empty_database, CALLS)
    (tmp_path / "calls.toml").write_text(DATASET, encoding="utf-8")
    async with engine(empty_database, tmp_path / "calls.toml", {}) as calls:
        copied = await calls.receipt(task(EXPORT, known))
        erased = await calls.receipt(task(ERASE, known))
        undated = await calls.one(task(ERASE, Identity(known.type, known.value)))
    left = await ask(empty_database, "SELECT id FROM call ORDER BY id")
    assert (copied.found, erased.changed) == (1, 1)
    assert [row[0] for row in left] == [*range(2, 10)]
    assert isinstance(undated, NotSearched)
    assert undated.reason is Unsearched.NUMBER_WITHOUT_PERIOD


async def test_address_is_found_in_any_case(customer_store: CustomerStore, customers: SqlEngine) -> None:
    await customer_store.run(
        "CREATE EXTENSION citext",
        "ALTER TABLE contact ALTER COLUMN requester TYPE citext",
        "INSERT INTO contact VALUES (4, 'ANNA.meier@example.org', 'In capitals', '2026-02-03 09:00+00')",
    )
    assert (await customers.receipt(task(ERASE, EMAIL_OF_SPELLINGS))).by_category == {"account": 1, "contact": 3}
    await customer_store.run(
        "ALTER TABLE contact ALTER COLUMN requester TYPE text",
        "INSERT INTO contact VALUES (6, 'a@xn--exmple-cua.org', 'In ASCII', '2026-02-03 09:00+00')",
    )
    assert (await customers.receipt(task(ERASE, email("a@exämple.org")))).changed == 1, "its domain has two spellings"


TYPED: dict[str, Callable[[str], str]] = {
    "bigint": lambda account: account.removeprefix("C"),
    "uuid": lambda account: f"00000000-0000-0000-0000-00000000000{account.removeprefix('C')}",
    "citext": lambda account: account,
}


@pytest.mark.parametrize("kind", [*TYPED, "view"])
async def test_column_of_two_types_holds_either(customer_store: CustomerStore, tmp_path: Path, kind: str) -> None:
    """A view and what is compared in another way than byte by byte are looked at for others' rows first."""
    text = customer_store.dataset.read_text(encoding="utf-8")
    start, end = text.index("[tables.customer]"), text.index("[tables.number_assignment]")
    dataset = tmp_path / "numbers.toml"
    dataset.write_text(text[:start] + text[end : text.index("[tables.contact]")], encoding="utf-8")
    if kind == "view":
        renamed = "ALTER TABLE number_assignment RENAME TO assigned"
        await customer_store.run(renamed, "CREATE VIEW number_assignment AS SELECT * FROM assigned")
        account = "C1"
    else:
        account = TYPED[kind]("C1")
        written = "substr(account_id, 2)" if kind != "citext" else "account_id"
        padded = f"lpad({written}, 32, '0')" if kind == "uuid" else written
        await customer_store.run(
            "CREATE EXTENSION citext",
            f"ALTER TABLE number_assignment ALTER COLUMN account_id TYPE {kind} USING ({padded})::{kind}",
        )
    known = Identity(IdentityType.ACCOUNT_ID, account)
    async with engine(customer_store.dsn, dataset, {}) as numbers:
        done = await numbers.run(*each(ERASE, known, number(BORIS)))
    assert [receipt(one).changed for one in done] == [2, 0]


async def test_numbers_are_found_in_national_and_sip_spellings(cdr_store: CdrStore, calls: SqlEngine) -> None:
    national = ["688886392", "0688886392", "12025550132", "2025550132", "03023125077", "0612345678"]
    await cdr_store.seed([call(spelled, BORIS) for spelled in [*national, "1001", "Anna"]])
    for spelled, region in zip(national, ("ES", "FR", "US", "US", "DE", "IT"), strict=True):
        for table, column in (("acc_cdrs", "caller"), ("acc", "src_user")):
            await ask(cdr_store.admin, f"UPDATE {table} SET region = $1 WHERE {column} = $2", region, spelled)
    numbers = [number(n) for n in ("+34688886392", "+33688886392", "+12025550132", "+493023125077", "+390612345678")]
    users = [
        Identity(IdentityType.SIP_URI, f"sip:{name}@voice.example.com", at("2026-01-01")) for name in ("1001", "Anna")
    ]
    exported = await calls.run(*each(EXPORT, *numbers, *users, SIP, number("+688886392")))
    assert [receipt(one).found for one in exported] == [2, 2, 4, 2, 2, 2, 2, 0, 0]
    erased = await calls.run(*each(ERASE, *numbers, *users))
    assert [receipt(one).unattributed for one in erased] == [None] * 7
    assert await ask(cdr_store.admin, "SELECT DISTINCT caller FROM acc_cdrs") == [("",)]


async def test_call_with_a_spoofed_number_is_not_of_its_holder(cdr_store: CdrStore, calls: SqlEngine) -> None:
    await cdr_store.seed([call(ANNA, BORIS), call(CHIARA, BORIS, pai=CHIARA), call(ANNA, BORIS, pai=ANNA)])
    await ask(cdr_store.admin, "UPDATE acc_cdrs SET caller = $1 WHERE pai IS NOT NULL", ANNA)
    await ask(cdr_store.admin, "UPDATE acc SET src_user = $1 WHERE src_pai IS NOT NULL", ANNA)
    shown, known = await calls.run(*each(EXPORT, number(ANNA), number(CHIARA)))
    assert (receipt(shown).found, receipt(known).found) == (4, 2)
    assert CHIARA not in str(receipt(shown).records)
    done = await calls.receipt(task(ERASE, number(ANNA)))
    assert (done.changed, done.unattributed) == (4, 2)
    assert await ask(cdr_store.admin, "SELECT caller, pai FROM acc_cdrs WHERE pai IS NOT NULL") == [(ANNA, CHIARA)]


async def test_ambiguous_numbers_are_counted_with_each_answer(cdr_store: CdrStore, calls: SqlEngine) -> None:
    await cdr_store.seed([call(ANNA, BORIS), call("1001", BORIS), call("hotline", "112", missed=True)])
    await ask(cdr_store.admin, "UPDATE acc_cdrs SET caller_domain = ''")
    await ask(cdr_store.admin, "UPDATE missed_calls SET src_domain = ''")
    mine, nothing, without = await calls.run(
        task(ERASE, number(ANNA)), task(ERASE, number(CHIARA)), task(ERASE, EMAIL_OF_SPELLINGS)
    )
    assert receipt(mine).outcome is TaskOutcome.ERASED
    assert receipt(mine).unattributed == receipt(nothing).unattributed == 2
    assert isinstance(without, NotSearched)


async def test_where_every_number_is_somebodys_nothing_is_said_of_it(cdr_store: CdrStore, calls: SqlEngine) -> None:
    await cdr_store.seed([call(ANNA, BORIS), call(ANNA, BORIS, pai=ANNA)])
    assert receipt(await calls.one(task(ERASE, number(ANNA)))).unattributed is None


async def test_rows_added_between_two_answers_are_counted(cdr_store: CdrStore, calls: SqlEngine) -> None:
    await cdr_store.seed([call(ANNA, BORIS)])
    assert (await calls.receipt(task(EXPORT, number(ANNA)))).unattributed is None
    await ask(cdr_store.admin, "INSERT INTO acc_cdrs (caller, callee) VALUES ('1001', $1)", BORIS)
    assert [(await calls.receipt(task(each, number(ANNA)))).unattributed for each in (EXPORT, ERASE)] == [1, 1]


async def test_number_in_a_uri_or_with_an_extension_is_found(cdr_store: CdrStore, calls: SqlEngine) -> None:
    """As switches write them that say neither where one dials so nor, of some, in which domain."""
    await cdr_store.seed([])
    found = [f"{ANNA};ext=5", f"sip:{ANNA}@pbx", f"tel:{ANNA};phone-context=x", f"00{ANNA[1:]}"]
    lost = ["4315550858", "688886392", ANNA[1:], f"sip:{ANNA[1:]}@pbx", "1001"]
    insert = (
        "INSERT INTO acc_cdrs (start_time, caller, callee, caller_domain) SELECT '2026-02-01', s, $2, $3"
        " FROM unnest($1::text[]) s"
    )
    await ask(cdr_store.admin, insert, [*found, *lost], CHIARA, "")
    await ask(cdr_store.admin, insert, lost[:-1], CHIARA, OURS)
    users = [Identity(IdentityType.SIP_URI, f"sip:{lost[0]}@{OURS}", at("2026-01-01"))]
    others = [number(n) for n in ("+4315550858", "+14315550858", "+688886392")]
    exported = await calls.run(*each(EXPORT, number(ANNA), *others, *users))
    assert [receipt(one).found for one in exported] == [len(found), 0, 0, 0, 0]
    erased = await calls.receipt(task(ERASE, number(ANNA)))
    assert (erased.changed, erased.unattributed) == (len(found), 2 * len(lost) - 1)
    left = await ask(cdr_store.admin, "SELECT caller FROM acc_cdrs WHERE caller <> ''")
    assert sorted(row[0] for row in left) == sorted([*lost, *lost[:-1]])


async def test_calls_of_a_registered_sip_user_are_found(cdr_store: CdrStore, calls: SqlEngine) -> None:
    await cdr_store.seed([])
    lena = Identity(IdentityType.SIP_URI, "sip:lena@pbx.example.com", at("2025-01-01"))
    cdr = "INSERT INTO acc_cdrs (start_time, caller, callee, caller_domain) VALUES ('2026-02-01', $1, $2, $3)"
    for written, domain in (("lena", "PBX.example.com"), ("sip:lena@pbx.example.com", ""), ("lena", "other.example")):
        await ask(cdr_store.admin, cdr, written, BORIS, domain)
    acc = "INSERT INTO acc (time, src_user, src_domain, dst_ouser, dst_user) VALUES ('2026-02-01', $1, $2, $3, $3)"
    await ask(cdr_store.admin, acc, "lena", "pbx.example.com", BORIS)
    copied = await calls.receipt(task(EXPORT, lena, number(ANNA)))
    assert (copied.found, copied.not_searched, copied.unattributed) == (3, None, None)
    assert (await calls.receipt(task(ERASE, lena))).changed == 3
    assert await ask(cdr_store.admin, "SELECT caller_domain FROM acc_cdrs WHERE caller <> ''") == [("other.example",)]


# Two parties in a row, one found by a join and one by its own column: every operation works, by every identity.
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
DATASET_OF_PARTIES = """
name = "deliveries"
[tables.customer]
category = "account"
primary_key = ["id"]
columns = {{ id = {{ class = "T" }}, email = {{ class = "A", identity = "email" }} }}

[tables.delivery]
category = "delivery"
primary_key = ["id"]
on_erase = "blank"
no_marketing = {{ quiet = true }}
{occurred}
[tables.delivery.parties]
buyer = {{ belongs_to = [{{ table = "customer", on = {{ buyer = "id" }} }}] }}
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
belongs_to = [{{ table = "delivery", on = {{ delivery_id = "id" }}, party = "buyer" }}]
restrict = {{ quiet = true }}
[tables.parcel.columns]
id = {{ class = "T" }}
delivery_id = {{ class = "T" }}
size = {{ class = "M" }}
quiet = {{ class = "T" }}
"""
SINCE = datetime(2020, 1, 1, tzinfo=UTC)
ANNA_OF_PARTIES, CARLA, LINE = email("anna@example.org"), email("carla@example.org"), phone("+34600000001", SINCE)
SUBJECTS = {
    "the one by a join": (ANNA_OF_PARTIES,),
    "the one by an address": (CARLA,),
    "the one by a number": (LINE,),
    "both ways": (CARLA, LINE),
    "as either": (ANNA_OF_PARTIES, LINE),
    "unknown": (email("unknown@example.org"), Identity(IdentityType.ACCOUNT_ID, "9")),
}
OPERATIONS = sorted({*METHODS} - NOTIFICATIONS, key=lambda each: each is Operation.ERASE)


@pytest.fixture(params=[True, False], ids=["timed", "timeless"])
def timed(request: pytest.FixtureRequest) -> bool:
    """Whether a row says when it happened, so that a number counts in its period alone."""
    return bool(request.param)


@pytest.fixture(params=["", ', rectifies = "remark"'], ids=["uncorrectable", "correctable"])
async def deliveries(
    request: pytest.FixtureRequest, empty_database: str, tmp_path: Path, *, timed: bool
) -> AsyncIterator[SqlEngine]:
    """The adapter of that store."""
    dataset = DATASET_OF_PARTIES.format(rectifies=request.param, occurred='at = { happened = "at" }' if timed else "")
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
    assert receipt(await deliveries.one(task(Operation.ERASE, ANNA_OF_PARTIES))).outcome is TaskOutcome.ERASED
    rows = "SELECT id, buyer, courier, wish, remark FROM delivery ORDER BY id"
    kept = (2, 2, "carla@example.org", "by day", "strict")
    assert await ask(empty_database, rows) == [(1, None, "carla@example.org", None, "friendly"), kept]
    assert await ask(empty_database, "SELECT id FROM parcel") == [(2,)]


# How many statements an operation costs: few, whatever is declared.
@pytest.mark.parametrize(
    ("operation", "most"), [(Operation.EXPORT, 8), (Operation.RESTRICT, 12), (Operation.ERASE, 25)], ids=str
)
async def test_statements_of_an_operation_over_three_tables_are_few(
    customers: SqlEngine, explained: Explained, operation: Operation, most: int
) -> None:
    await customers.one(task(Operation.LOCATE, email("x@example.org")))  # what the catalogs say is known by then
    explained.sent.clear()
    await customers.one(task(operation, EMAIL, ACCOUNT))
    assert len(explained.sent) <= most, explained.sent
