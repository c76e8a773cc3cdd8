"""However a store writes an address or a number, whose it is is found; of what may be anybody's it is said."""

from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.demo.seed.cdr import CdrStore
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation, TaskOutcome, Unsearched
from shared.downstreams.contract import NotSearched
from tests.fixtures.cdr import ANNA, BORIS, CHIARA, OURS, SqlEngine, ask, at, call, each, engine, number, with_tables
from tests.fixtures.customer_store import CustomerStore
from tests.fixtures.downstream import email, receipt, task

ERASE, EXPORT = Operation.ERASE, Operation.EXPORT
EMAIL = email("anna.meier@example.org")
SIP = Identity(IdentityType.SIP_URI, "sip:anna@pbx.example", at("2026-01-01"))
CALLS = """
CREATE TABLE call (id bigint PRIMARY KEY, caller text NOT NULL, host text NOT NULL, started timestamptz NOT NULL);
CREATE INDEX ON call (regexp_replace(caller, '[^0-9+]', '', 'g'));
CREATE INDEX ON call (('sip:' || caller || '@' || lower(host)));
INSERT INTO call SELECT n, caller, 'PBX.example', '2026-02-01' FROM unnest(ARRAY[
    '+34 688 886 392', '0034688886392', '34688886392', '688-886-392', '00034688886392',
    '1001', '688886393', 'anna', 'ANNA']) WITH ORDINALITY c (caller, n);
"""
DATASET = """
name = "calls"
[tables.call]
category = "call"
primary_key = ["id"]
occurred = {{ column = "started" }}
[tables.call.columns]
id = {{ class = "T" }}
caller = {{ class = "A", {0} }}
host = {{ class = "T" }}
started = {{ class = "M" }}
"""


@pytest.mark.parametrize(
    ("declared", "known", "gone"),
    [
        ('identity = "phone", match = "digits", region = "ES"', number(ANNA), [1, 2, 3, 4, 5]),
        ('identity = "phone"', number(ANNA), []),
        ('identity = "sip_uri", domain = "host"', SIP, [8]),
    ],
    ids=["dialled", "as it stands", "a SIP user"],
)
async def test_a_number_is_found_in_every_spelling_that_a_dataset_declares_and_nobody_elses(
    empty_database: str, tmp_path: Path, declared: str, known: Identity, gone: list[int]
) -> None:
    await with_tables(empty_database, CALLS)
    (tmp_path / "calls.toml").write_text(DATASET.format(declared), encoding="utf-8")
    async with engine(empty_database, tmp_path / "calls.toml", {}) as calls:
        copied = await calls.receipt(task(EXPORT, known))
        erased = await calls.receipt(task(ERASE, known))
        undated = await calls.one(task(ERASE, Identity(known.type, known.value)))
    left = await ask(empty_database, "SELECT id FROM call ORDER BY id")
    assert (copied.found, erased.changed) == (len(gone), len(gone))
    assert [row[0] for row in left] == [n for n in range(1, 10) if n not in gone]
    assert isinstance(undated, NotSearched)
    assert undated.reason is Unsearched.NUMBER_WITHOUT_PERIOD


async def test_an_address_is_found_with_blanks_around_it_and_in_any_case(
    customer_store: CustomerStore, customers: SqlEngine
) -> None:
    await customer_store.run(
        "CREATE EXTENSION citext",
        "ALTER TABLE contact ALTER COLUMN requester TYPE citext",
        "INSERT INTO contact VALUES (4, 'ANNA.meier@example.org', 'In capitals', '2026-02-03 09:00+00')",
    )
    assert (await customers.receipt(task(ERASE, EMAIL))).by_category == {"account": 1, "contact": 3}
    await customer_store.run(
        "ALTER TABLE contact ALTER COLUMN requester TYPE text",
        "INSERT INTO contact VALUES (5, ' Anna.Meier@example.org ', 'With blanks', '2026-02-03 09:00+00')",
        "CREATE INDEX ON contact (lower(btrim(requester)))",
    )
    text = customer_store.dataset.read_text(encoding="utf-8")
    requester = 'requester = { class = "A", identity = "email"'
    customer_store.dataset.write_text(text.replace(requester, f'{requester}, match = "trimmed"'), encoding="utf-8")
    async with engine(customer_store.dsn, customer_store.dataset, {}) as trimming:
        assert (await trimming.receipt(task(ERASE, EMAIL))).by_category == {"contact": 1}
    assert await customer_store.ask("SELECT id FROM contact") == [(3,)]
    await customer_store.run(
        "INSERT INTO contact VALUES (6, 'a@xn--exmple-cua.org', 'In ASCII', '2026-02-03 09:00+00')"
    )
    assert (await customers.receipt(task(ERASE, email("a@exämple.org")))).changed == 1, "its domain has two spellings"


TYPED: dict[str, Callable[[str], str]] = {
    "bigint": lambda account: account.removeprefix("C"),
    "uuid": lambda account: f"00000000-0000-0000-0000-00000000000{account.removeprefix('C')}",
    "citext": lambda account: account,
}


@pytest.mark.parametrize("kind", [*TYPED, "view"])
async def test_a_table_of_two_identity_types_may_hold_one_of_any_type(
    customer_store: CustomerStore, tmp_path: Path, kind: str
) -> None:
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


async def test_national_spellings_extensions_and_sip_users_are_found_where_the_switch_says_where_and_whose_they_are(
    cdr_store: CdrStore, calls: SqlEngine
) -> None:
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


async def test_a_call_that_shows_another_number_than_the_network_knows_is_not_of_whoever_has_the_number_shown(
    cdr_store: CdrStore, calls: SqlEngine
) -> None:
    await cdr_store.seed([call(ANNA, BORIS), call(CHIARA, BORIS, pai=CHIARA), call(ANNA, BORIS, pai=ANNA)])
    await ask(cdr_store.admin, "UPDATE acc_cdrs SET caller = $1 WHERE pai IS NOT NULL", ANNA)
    await ask(cdr_store.admin, "UPDATE acc SET src_user = $1 WHERE src_pai IS NOT NULL", ANNA)
    shown, known = await calls.run(*each(EXPORT, number(ANNA), number(CHIARA)))
    assert (receipt(shown).found, receipt(known).found) == (4, 2)
    assert CHIARA not in str(receipt(shown).records)
    done = await calls.receipt(task(ERASE, number(ANNA)))
    assert (done.changed, done.unattributed) == (4, 2)
    assert await ask(cdr_store.admin, "SELECT caller, pai FROM acc_cdrs WHERE pai IS NOT NULL") == [(ANNA, CHIARA)]


async def test_rows_with_numbers_that_may_be_anybodys_are_counted_with_whatever_is_said_of_a_number(
    cdr_store: CdrStore, calls: SqlEngine
) -> None:
    await cdr_store.seed([call(ANNA, BORIS), call("1001", BORIS), call("hotline", "112", missed=True)])
    await ask(cdr_store.admin, "UPDATE acc_cdrs SET caller_domain = ''")
    await ask(cdr_store.admin, "UPDATE missed_calls SET src_domain = ''")
    mine, nothing, without = await calls.run(task(ERASE, number(ANNA)), task(ERASE, number(CHIARA)), task(ERASE, EMAIL))
    assert receipt(mine).outcome is TaskOutcome.ERASED
    assert receipt(mine).unattributed == receipt(nothing).unattributed == 2
    assert isinstance(without, NotSearched)


async def test_where_every_number_is_somebodys_nothing_is_said_of_it(cdr_store: CdrStore, calls: SqlEngine) -> None:
    await cdr_store.seed([call(ANNA, BORIS), call(ANNA, BORIS, pai=ANNA)])
    assert receipt(await calls.one(task(ERASE, number(ANNA)))).unattributed is None


async def test_what_turns_up_between_two_answers_is_counted_with_the_second(
    cdr_store: CdrStore, calls: SqlEngine
) -> None:
    await cdr_store.seed([call(ANNA, BORIS)])
    assert (await calls.receipt(task(EXPORT, number(ANNA)))).unattributed is None
    await ask(cdr_store.admin, "INSERT INTO acc_cdrs (caller, callee) VALUES ('1001', $1)", BORIS)
    assert [(await calls.receipt(task(each, number(ANNA)))).unattributed for each in (EXPORT, ERASE)] == [1, 1]


async def test_a_number_in_a_uri_or_with_an_extension_is_found_and_digits_that_fit_two_lines_are_nobodys(
    cdr_store: CdrStore, calls: SqlEngine
) -> None:
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


async def test_the_calls_of_a_sip_user_that_the_register_vouches_for_are_found_by_user_and_domain(
    cdr_store: CdrStore, calls: SqlEngine
) -> None:
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
