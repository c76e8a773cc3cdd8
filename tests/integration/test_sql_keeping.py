"""Calls kept by a rule in an erasure: only its fields, until their day, restricted."""

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import JsonValue

from deploy.demo.seed.cdr import CdrStore
from shared.domain.errors import GroundUnknown, Misconfigured, NotSupported, RuleUnsigned
from shared.domain.operations import Kept, Limit, Operation, TaskOutcome
from shared.domain.policy import Policy, parse_period
from shared.systems.contract import Receipt, Task
from shared.systems.sql.dataset import Dataset
from shared.systems.sql.settings import SHIPPED
from shared.systems.states import ErasureRefused
from shared.systems.sweepable import SweepResult
from tests.fixtures.analytics import due, sweep
from tests.fixtures.cdr import ANNA, BORIS, CHIARA, OURS, SqlEngine, ask, call, engine, missing, number, with_tables
from tests.fixtures.downstream import email, receipt, task
from tests.fixtures.policy import none_signed, signed_policy

RULE = "calls_us_18m"
E = datetime(2026, 10, 1, 12, tzinfo=UTC)
DAYS = ("2025-01-15", "2025-03-31", "2025-04-01", "2026-09-30")


@pytest.fixture
async def keeping(cdr_store: CdrStore, settings: Mapping[str, Any]) -> AsyncIterator[SqlEngine]:
    """The adapter of the call records, where rules are signed."""
    async with engine(cdr_store.privacy, "kamailio", {"ours": [OURS], **settings}, signed_policy()) as keeping:
        yield keeping


def erasure(*numbers: str, at: datetime = E) -> Task:
    return replace(task(Operation.ERASE, *(number(each, until=E) for each in numbers)), at=at)


def deferred(first: Task, at: datetime, period: str = "P18M") -> Task:
    """Returns the erasure of the same request on a later day, with the announced period."""
    again = task(Operation.ERASE, *first.identities)
    details: Mapping[str, JsonValue] = {"deferred": True, "announced": {first.system: {RULE: period}}}
    return replace(
        again, request_id=first.request_id, system=first.system, details=details, at=at, opened_and_stage=(1, 0)
    )


async def days(store: CdrStore) -> list[str]:
    return [row[0] for row in await ask(store.admin, "SELECT start_time::date::text FROM acc_cdrs ORDER BY start_time")]


async def test_expired_calls_go_and_others_are_reduced_as_planned(cdr_store: CdrStore, keeping: SqlEngine) -> None:
    await cdr_store.seed([call(ANNA, BORIS, day) for day in DAYS])
    before = await ask(cdr_store.admin, "SELECT caller, callid FROM acc_cdrs")
    planned = await keeping.receipt(replace(task(Operation.PLAN, number(ANNA, until=E)), at=E))
    assert await ask(cdr_store.admin, "SELECT caller, callid FROM acc_cdrs") == before, "a plan changes nothing"
    done = await keeping.receipt(erasure(ANNA))
    assert (planned.outcome, planned.found) == (TaskOutcome.PLANNED, done.found)
    assert (planned.kept, planned.until, planned.ground) == (done.kept, done.until, done.ground)
    assert (done.outcome, done.ground, done.until) == (TaskOutcome.RETAINED, RULE, date(2028, 3, 30))
    assert (done.by_category["call_record"], done.remaining, done.found - done.changed) == (4, 2, 2)
    first, last = date(2026, 10, 1), date(2028, 3, 30)
    assert done.kept == (
        Kept(
            category="call_record", rule=RULE, count=2, first=first, last=last, anchor=date(2025, 4, 1), period="P18M"
        ),
    )
    left = "SELECT caller, callee, duration, callid, src_ip, user_agent FROM acc_cdrs WHERE caller <> ''"
    assert await ask(cdr_store.admin, left) == [(ANNA, BORIS, 120, "", "", "")] * 2
    gone = await ask(cdr_store.admin, "SELECT caller, callee FROM acc_cdrs WHERE caller = ''")
    assert gone == [("", BORIS)] * 2, "what was past its day is as blank as ever, and the other's record stays"
    assert await ask(cdr_store.admin, "SELECT count(*) FROM acc WHERE src_user <> ''") == [(0,)]
    shown = await ask(cdr_store.admin, "SELECT DISTINCT caller, callee FROM readable.acc_cdrs")
    assert shown == [("", BORIS)], "what is kept is restricted on the read path"


async def test_repeat_gives_the_same_receipt_and_calls_go_by_day(cdr_store: CdrStore, keeping: SqlEngine) -> None:
    await cdr_store.seed([call(ANNA, "", day) for day in DAYS])
    first = erasure(ANNA)
    done = await keeping.receipt(first)
    assert await keeping.receipt(keeping.again(first)) == done
    assert await days(cdr_store) == [*DAYS[2:]]
    woken = await keeping.receipt(deferred(first, datetime(2026, 10, 2, 12, tzinfo=UTC)))
    assert (woken.outcome, woken.changed, woken.remaining) == (TaskOutcome.RETAINED, 1, 1)
    assert woken.kept is not None
    assert (woken.kept[0].first, await days(cdr_store)) == (date(2028, 3, 30), [DAYS[3]])
    assert await ask(cdr_store.admin, "SELECT count(*) > 0 FROM restricted_number") == [(True,)]
    last = await keeping.receipt(deferred(first, datetime(2028, 3, 31, 12, tzinfo=UTC)))
    assert (last.outcome, last.kept, await days(cdr_store)) == (TaskOutcome.ERASED, None, [])
    assert await ask(cdr_store.admin, "SELECT count(*) FROM restricted_number") == [(0,)]


async def test_call_kept_for_another_bill_no_longer_finds_the_erased(cdr_store: CdrStore, keeping: SqlEngine) -> None:
    await cdr_store.seed([call(BORIS, ANNA, DAYS[3]), call(ANNA, CHIARA, DAYS[3])])
    copy = task(Operation.EXPORT, number(ANNA))
    before = await keeping.receipt(copy)
    assert before.by_category["call_record"] == 2
    assert all(each.portable for each in before.records if each.category == "call_record")
    done = await keeping.receipt(erasure(ANNA))
    assert done.kept is not None
    assert done.kept[0].count == 2
    exported = await keeping.receipt(task(Operation.EXPORT, number(ANNA)))
    assert exported.by_category == {"call_record": 1, "restriction": 1}, "her own bill, and that it is restricted"
    assert not [each for each in exported.records if each.portable], "kept by a rule alone, and by no contract"
    await keeping.receipt(task(Operation.RESTRICT, number(BORIS, until=E)))
    theirs = await keeping.receipt(task(Operation.EXPORT, number(BORIS)))
    calls = [each for each in theirs.records if each.category == "call_record"]
    assert [each.portable for each in calls] == [True], "a restriction alone ends no contract"


async def test_kept_call_restricted_by_number_is_not_refilled(cdr_store: CdrStore, tmp_path: Path) -> None:
    text = (SHIPPED / "kamailio.toml").read_text(encoding="utf-8")
    device = 'user_agent = { class = "M", '
    assert text.count(device) == 1
    (tmp_path / "kamailio.toml").write_text(text.replace(device, f'{device}rectifies = "device", '), encoding="utf-8")
    await cdr_store.seed([call(ANNA, BORIS, DAYS[3]), call(BORIS, ANNA, DAYS[3])])
    async with engine(cdr_store.privacy, tmp_path / "kamailio.toml", {"ours": [OURS]}, signed_policy()) as calls:
        assert (await calls.receipt(erasure(ANNA))).outcome is TaskOutcome.RETAINED
        anna, boris = (task(Operation.RECTIFY, number(who), changes=[("device", None, "x")]) for who in (ANNA, BORIS))
        assert isinstance(await calls.one(anna), NotSupported)
        assert (await calls.receipt(boris)).corrected == (1,), "the record of the other is theirs"
    devices = "SELECT callee, user_agent FROM acc_cdrs ORDER BY user_agent"
    assert await ask(cdr_store.admin, devices) == [(BORIS, ""), (ANNA, "x")]


async def test_second_request_counts_nothing_reduced_before(cdr_store: CdrStore, keeping: SqlEngine) -> None:
    await cdr_store.seed([call(who, CHIARA, day) for who in (ANNA, BORIS) for day in DAYS[2:]])
    first = await keeping.receipt(erasure(ANNA))
    assert (first.changed, first.reduced) == (2, {"call_record": 2})
    again, of_another = map(receipt, await keeping.run(erasure(ANNA), erasure(BORIS)))
    assert (again.outcome, again.reduced) == (TaskOutcome.RETAINED, {})
    assert again.changed == again.by_category["restriction"], "the mark of that request, in whose place another comes"
    assert of_another.reduced == {"call_record": 2}, "whichever other person is erased"
    alone = await keeping.receipt(replace(erasure(ANNA), attempt=2))
    assert alone.reduced == {}


@pytest.mark.parametrize("confirmed", [False, True])
async def test_unsigned_rule_keeps_nothing_once_two_people_confirm(
    cdr_store: CdrStore, settings: Mapping[str, Any], *, confirmed: bool
) -> None:
    await cdr_store.seed([call(ANNA, "", day) for day in DAYS])
    policy = none_signed(signed_policy())
    async with engine(cdr_store.privacy, "kamailio", {"ours": [OURS], **settings}, policy) as unsigned:
        asked = replace(erasure(ANNA), confirmed={Limit.UNSIGNED_ROWS: 4} if confirmed else {})
        result = await unsigned.one(asked)
        if confirmed:
            assert (receipt(result).outcome, await days(cdr_store)) == (TaskOutcome.ERASED, [])
        else:
            assert isinstance(result, RuleUnsigned)
            assert result.exceeded
            assert (result.exceeded.limit, result.exceeded.found) == (Limit.UNSIGNED_ROWS, 4), "also what would be past"
            planned = await unsigned.one(replace(asked, operation=Operation.PLAN))
            assert isinstance(planned, RuleUnsigned)
            assert planned.found
            assert planned.found["call_record"] == 4, "who decides sees what was found"
            assert ("call_record", RULE, 4) in [(each.category, each.rule, each.count) for each in planned.unsigned]
            assert await days(cdr_store) == [*DAYS]


@pytest.mark.parametrize(("known", "signed"), [(True, True), (True, False), (None, True)])
async def test_calls_stay_whole_while_a_bill_is_disputed_and_a_person_looks_where_that_is_not_known_or_not_signed(
    cdr_store: CdrStore, settings: Mapping[str, Any], *, known: bool | None, signed: bool
) -> None:
    await cdr_store.seed([call(ANNA, BORIS, day) for day in DAYS])
    policy = signed_policy() if signed else none_signed(signed_policy())
    whole = "SELECT start_time::date::text, caller, callee, callid, src_ip FROM acc_cdrs ORDER BY start_time"
    before = await ask(cdr_store.admin, whole)
    async with engine(cdr_store.privacy, "kamailio", {"ours": [OURS], **settings}, policy) as keeping:
        assert keeping.adapter.can.may_refuse
        disputed = replace(erasure(ANNA), states={"disputed": known})
        plan, result = [await keeping.one(each) for each in (replace(disputed, operation=Operation.PLAN), disputed)]
        assert await ask(cdr_store.admin, whole) == before
        if known and signed:
            done = receipt(result)
            assert (done.ground, done.until, done.remaining) == ("dispute", None, 4)
            assert receipt(plan).kept == done.kept
            over = replace(deferred(erasure(ANNA), E), request_id=disputed.request_id, states={"disputed": False})
            assert (await keeping.receipt(over)).ground == RULE, "once it is settled the rule of the period holds alone"
            assert await days(cdr_store) == [*DAYS], "what is past its day is blank; the other party's record stays"
        else:
            assert isinstance(result, GroundUnknown if signed else RuleUnsigned)
            assert type(plan) is type(result)


def ruled(period: str) -> Policy:
    policy = signed_policy()
    rule = policy.rules[RULE].model_copy(update={"period": parse_period(period)})
    return policy.with_other(rules={**policy.rules, RULE: rule})


@pytest.mark.parametrize(("period", "left"), [("P12M", [DAYS[3]]), ("P24M", [DAYS[3]])])
async def test_shorter_rule_applies_immediately_and_a_longer_one_never_to_announced_days(
    cdr_store: CdrStore, keeping: SqlEngine, settings: Mapping[str, Any], period: str, left: list[str]
) -> None:
    await cdr_store.seed([call(ANNA, "", day) for day in (*DAYS[2:3], "2025-09-01", DAYS[3])])
    first = erasure(ANNA)
    assert (await keeping.receipt(first)).remaining == 3
    at = E if period == "P12M" else datetime(2027, 3, 2, 12, tzinfo=UTC)
    async with engine(cdr_store.privacy, "kamailio", {"ours": [OURS], **settings}, ruled(period)) as changed:
        await changed.receipt(deferred(first, at))
    assert await days(cdr_store) == left


async def test_batch_keeps_by_subject_and_nothing_of_a_tenant(cdr_store: CdrStore, keeping: SqlEngine) -> None:
    await cdr_store.seed([call(ANNA, "", DAYS[0]), call(BORIS, "", DAYS[3]), call(CHIARA, BORIS, DAYS[3])])
    results = [receipt(each) for each in await keeping.run(erasure(ANNA), erasure(BORIS), erasure(CHIARA))]
    kept = [each.kept[0].count if each.kept else 0 for each in results]
    assert kept == [0, 2, 1]
    assert results[0].outcome is TaskOutcome.ERASED


async def test_held_calls_are_restricted_by_number_until_deletion(cdr_store: CdrStore, keeping: SqlEngine) -> None:
    await cdr_store.seed([call(ANNA, "", day) for day in DAYS])
    first = replace(erasure(ANNA), held_categories=keeping.adapter.can.declared_categories)
    done = await keeping.receipt(first)
    assert (done.outcome, done.ground, done.changed) == (TaskOutcome.RETAINED, "legal_hold", 0)
    assert {(each.category, each.rule, each.count, each.restricted) for each in done.kept or ()} == {
        ("call_record", "legal_hold", 4, 4),
        ("call_signalling", "legal_hold", 4, 4),
    }
    shown = await ask(cdr_store.admin, "SELECT count(*) FROM readable.acc_cdrs WHERE caller <> ''")
    assert (shown, await days(cdr_store)) == ([(0,)], [*DAYS])
    marks = "SELECT DISTINCT kept FROM restricted_number"
    assert await ask(cdr_store.admin, marks) == [(False,)], "a hold restricts, and no rule keeps them"
    await keeping.receipt(deferred(first, datetime(2026, 10, 2, 12, tzinfo=UTC)))
    assert await ask(cdr_store.admin, marks) == [(True,)], "once the hold has ended a rule keeps them"
    await keeping.receipt(deferred(first, datetime(2028, 3, 31, 12, tzinfo=UTC)))
    assert await ask(cdr_store.admin, "SELECT count(*) FROM restricted_number") == [(0,)]


# A state of a row by which something stays: where a row does not tell it, nothing goes and a person looks.
SCHEMA = """
CREATE TABLE contract (id int PRIMARY KEY, email text, ended date, status text, kept boolean);
CREATE INDEX ON contract (email);
INSERT INTO contract VALUES (1, 'active@x.org', '2019-01-01', 'active'), (2, 'none@x.org', '2019-01-01', NULL),
    (3, 'paused@x.org', '2019-01-01', 'paused'), (4, 'closed@x.org', '2019-01-01', 'closed');
"""
STATE = 'states.active_contract = { column = "status", in = ["active"], over = ["closed"] }'
DATASET = """
name = "ledger"
[tables.contract]
category = "ticket"
primary_key = ["id"]
at = { resolved = "ended" }
{state}
[tables.contract.columns]
id = { class = "T" }
email = { class = "A", identity = "email" }
ended = { class = "M" }
status = { class = "M" }
kept = { class = "T" }
"""


@pytest.mark.parametrize(
    ("over", "unknown"), [(', over = ["closed"]', ["none", "paused"]), ("", ["none"])], ids=["both named", "one named"]
)
async def test_unknown_row_state_is_manual(empty_database: str, tmp_path: Path, over: str, unknown: list[str]) -> None:
    await with_tables(empty_database, SCHEMA)
    state = STATE.replace(', over = ["closed"]', over)
    (tmp_path / "ledger.toml").write_text(DATASET.replace("{state}", state), encoding="utf-8")
    at = datetime(2026, 11, 27, tzinfo=UTC)
    async with engine(empty_database, tmp_path / "ledger.toml", {}) as ledger:
        people = ["active", "none", "paused", "closed"]
        asked = [replace(task(Operation.PLAN, email(f"{who}@x.org")), at=at) for who in people]
        results = dict(zip(people, await ledger.run(*asked), strict=True))
        assert isinstance(results["active"], ErasureRefused)
        assert [who for who, result in results.items() if isinstance(result, GroundUnknown)] == unknown
        assert await sweep(ledger, due("contract", "resolved", "2025-01-01")) == [
            SweepResult(4 - 1 - len(unknown), 1 + len(unknown))
        ]
        assert len(await ask(empty_database, "SELECT id FROM contract")) == 1 + len(unknown)
        done = await ledger.one(replace(task(Operation.ERASE, email("none@x.org")), at=at))
        assert isinstance(done, GroundUnknown)
        gone = await ledger.one(replace(task(Operation.ERASE, email("closed@x.org")), at=at))
        assert isinstance(gone, Receipt)
        assert gone.outcome is TaskOutcome.NO_MATCH


CALLS = """
name = "calls"
[tables.call]
category = "call_record"
primary_key = ["id"]
at = { happened = "started", call_start = "started" }
keep.mark = { kept = true }
states.dispute = { column = "disputed", in = ["yes"], over = ["no"] }
columns.id = { class = "T" }
columns.email = { class = "A", identity = "email" }
columns.started = { class = "M" }
columns.disputed = { class = "M" }
columns.cell = { class = "M" }
columns.kept = { class = "T" }
[tables.call.keep.fields]
caller_name = []
caller_address = []
caller_number = []
called_number = []
call_date = ["started"]
call_time = []
call_length = []
"""


async def test_end_of_a_dispute_stays_readable_in_kept_rows(empty_database: str, tmp_path: Path) -> None:
    schema = """
CREATE TABLE call (id int PRIMARY KEY, email text, started date, disputed text, cell text, kept boolean);
CREATE INDEX ON call (email);
INSERT INTO call VALUES (1, 'a@x.org', '2026-09-30', 'no', 'c', false), (2, 'b@x.org', '2024-09-30', 'yes', 'c', false);
"""
    await with_tables(empty_database, schema)
    (tmp_path / "calls.toml").write_text(CALLS, encoding="utf-8")
    first = [task(Operation.ERASE, email("a@x.org")), task(Operation.ERASE, email("b@x.org"))]
    async with engine(empty_database, tmp_path / "calls.toml", {}, signed_policy()) as calls:
        done = await calls.run(*(replace(each, at=datetime(2026, 11, 27, tzinfo=UTC)) for each in first))
        assert [receipt(each).ground for each in done] == ["calls_us_18m", "dispute"]
        assert await ask(empty_database, "SELECT disputed, cell, kept FROM call ORDER BY id") == [
            ("no", None, True),
            ("yes", "c", False),
        ]
        later = replace(task(Operation.ERASE, email("a@x.org")), at=datetime(2028, 4, 1, tzinfo=UTC))
        assert receipt(await calls.one(later)).outcome is TaskOutcome.ERASED


def test_a_word_that_says_both_is_refused(tmp_path: Path) -> None:
    state = STATE.replace('["closed"]', '["active"]')
    (tmp_path / "ledger.toml").write_text(DATASET.replace("{state}", state), encoding="utf-8")
    with pytest.raises(Misconfigured, match="has the words that are not among those of in"):
        Dataset.load(str(tmp_path / "ledger.toml"))


# A state that a row declares holds that row: its siblings stay or go by their own periods.
SCHEMA_OF_ROW = """
CREATE TABLE invoice (id int PRIMARY KEY, email text, ended date, status text, disputed text, note text, kept boolean);
CREATE INDEX ON invoice (email);
INSERT INTO invoice SELECT n, 'pia@x.org', ended::date, status, disputed, 'n', false FROM (VALUES
    (1, '2019-05-01', 'paid', 'no'), (2, '2026-05-01', 'paid', 'no'), (3, '2019-05-01', 'open', 'no'),
    (4, '2019-05-01', 'paid', 'yes'), (5, '2019-05-01', 'open', 'yes')) AS i (n, ended, status, disputed);
"""
DATASET_OF_ROW = """
name = "ledger"
[tables.invoice]
category = "billing"
primary_key = ["id"]
at = { happened = "ended", relationship_end = "ended" }
keep.mark = { kept = true }
keep.fields = { name = [], address = [], vat_number = [], amount = [], contract = ["ended"] }
states.open_invoice = { column = "status", in = ["open"], over = ["paid"] }
states.dispute = { column = "disputed", in = ["yes"], over = ["no"] }
[tables.invoice.columns]
id = { class = "T" }
email = { class = "A", identity = "email" }
ended = { class = "M" }
status = { class = "M" }
disputed = { class = "M" }
note = { class = "C" }
kept = { class = "T" }
"""
AT = datetime(2026, 11, 27, tzinfo=UTC)
LAST = date(2033, 5, 1)


def asked(operation: Operation, **said: object) -> Task:
    return replace(task(operation, email("pia@x.org")), at=AT, **said)  # type: ignore[arg-type]


def by_rule(kept: Sequence[Kept] | None) -> dict[tuple[str | None, str], tuple[int, date | None]]:
    return {(each.category, each.rule): (each.count, each.last) for each in kept or ()}


async def test_state_keeps_its_own_rows_and_others_follow_their_period(empty_database: str, tmp_path: Path) -> None:
    await with_tables(empty_database, SCHEMA_OF_ROW)
    (tmp_path / "ledger.toml").write_text(DATASET_OF_ROW, encoding="utf-8")
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
        (3, None, True),
        (4, "n", False),
        (5, "n", False),
    ], "of an open invoice its fields stay, restricted; what is disputed stays as it is"
    restricted = {each.rule: each.restricted for each in done.kept or ()}
    assert restricted == {"invoices_84m": None, "open_invoice": 1, "dispute": None}


# The dataset of four tables that a team reads, in at most 45 lines: customers, orders, invoices and a newsletter.
PAGE = (Path(__file__).parents[2] / "docs" / "plug-in" / "sql.md").read_text(encoding="utf-8")
FOUR_TABLES = """
CREATE TABLE customer (id text PRIMARY KEY, email text, name text, kept boolean, restricted boolean);
CREATE TABLE customer_order (order_id int PRIMARY KEY, customer_id text REFERENCES customer, goods text);
CREATE TABLE invoice (id int PRIMARY KEY, customer_id text REFERENCES customer, amount int, ended date, status text,
    kept boolean);
CREATE TABLE newsletter (email text PRIMARY KEY, sent boolean);
INSERT INTO customer VALUES ('C1', 'pia@x.org', 'Pia', false, false), ('C2', 'ben@x.org', 'Ben', false, false);
INSERT INTO customer_order VALUES (1, 'C1', 'a lamp'), (2, 'C2', 'a chair');
INSERT INTO invoice VALUES (1, 'C1', 10, '2015-05-01', 'paid', false), (2, 'C1', 20, '2015-05-01', 'open', false),
    (3, 'C1', 30, '2026-05-01', 'paid', false), (4, 'C2', 40, '2015-05-01', 'paid', false);
INSERT INTO newsletter VALUES ('pia@x.org', true), ('ben@x.org', true);
"""


async def test_the_four_tables_of_the_page_do_each_operation(empty_database: str, tmp_path: Path) -> None:
    _, dataset = re.findall(r"```toml\n(name = .*?)```", PAGE, re.DOTALL)
    assert len(dataset.splitlines()) <= 45
    await with_tables(empty_database, FOUR_TABLES)
    (tmp_path / "orders.toml").write_text(dataset, encoding="utf-8")
    async with engine(empty_database, tmp_path / "orders.toml", {}, signed_policy()) as orders:
        assert await missing(orders) == []
        assert orders.adapter.can.policy_conflicts == ()
        copied = await orders.receipt(asked(Operation.EXPORT))
        stopped = await orders.receipt(asked(Operation.SUPPRESS))
        planned = await orders.receipt(asked(Operation.PLAN))
        done = await orders.receipt(asked(Operation.ERASE))
    assert (copied.found, stopped.by_category) == (6, {"newsletter": 1})
    assert by_rule(planned.kept) == by_rule(done.kept)
    assert {rule for _, rule in by_rule(done.kept)} == {"invoices_84m", "open_invoice"}
    assert await ask(empty_database, "SELECT id, kept FROM invoice ORDER BY id") == [(2, True), (3, True), (4, False)]
    assert await ask(empty_database, "SELECT order_id FROM customer_order") == [(2,)]
    assert await ask(empty_database, "SELECT email FROM newsletter") == [("ben@x.org",)]
