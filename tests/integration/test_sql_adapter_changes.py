"""Changing people in SQL stores: corrections (Art. 16), flags (Art. 18, 21), and where there is no place for them."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.demo.seed.cdr import CdrStore
from shared.domain.errors import DoneBefore, NotSupported
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation, TaskOutcome, Unsearched
from shared.systems.contract import Task
from tests.fixtures.cdr import ANNA, BORIS, CHIARA, SqlEngine, ask, at, call, engine, number, store_of
from tests.fixtures.customer_store import CustomerStore
from tests.fixtures.downstream import email, phone, receipt, task

EMAIL, ACCOUNT = email("anna.meier@example.org"), Identity(IdentityType.ACCOUNT_ID, "C1")


async def test_correction_changes_the_wrong_value_once(customer_store: CustomerStore, customers: SqlEngine) -> None:
    changes = (
        ("street", "Lindenallee 14", "Lindenallee 41"),
        ("email", "Anna.MEIER@Example.org", "anna@example.org"),
        ("born", None, "1980-02-29"),
        ("shoe_size", "41", "42"),
    )
    correction = task(Operation.RECTIFY, ACCOUNT, changes=changes)
    first = await customers.receipt(correction)
    stale = task(Operation.RECTIFY, ACCOUNT, changes=[("street", "nowhere", "x")])
    assert (first.outcome, first.changed, first.corrected) == (TaskOutcome.AMENDED, 1, (1, 1, 1, 0))
    assert await customers.one(customers.again(correction)) == first
    left = await customers.receipt(stale)
    assert (left.outcome, left.found, left.changed, left.corrected) == (TaskOutcome.UNCHANGED, 3, 0, (0,))
    right = await customers.receipt(task(Operation.RECTIFY, ACCOUNT, changes=[("street", "nowhere", "Lindenallee 41")]))
    assert (right.outcome, right.changed, right.corrected) == (TaskOutcome.AMENDED, 0, (1,))
    held = "SELECT street, email, born::text FROM customer WHERE account_id = 'C1'"
    assert await customer_store.ask(held) == [("Lindenallee 41", "anna@example.org", "1980-02-29")]
    assert await customer_store.ask("SELECT street FROM customer WHERE account_id = 'C2'") == [("Molenweg 31",)]


async def test_flags_of_one_subject_are_set_and_lifted(customer_store: CustomerStore, customers: SqlEngine) -> None:
    flags = "SELECT account_id, marketing, restricted FROM customer ORDER BY 1"
    suppressed = await customers.receipt(task(Operation.SUPPRESS, EMAIL))
    partly = await customers.one(task(Operation.RESTRICT, EMAIL))
    assert isinstance(partly, NotSupported), "rows that are found by the address alone bear no switch, and lead to none"
    assert str(partly).startswith("contact cannot show a restriction: restrict there by hand")
    assert str(partly).endswith("; in customer it is done")
    assert partly.done_before == DoneBefore(found=3, changed=1, remaining=2)
    assert await customer_store.ask(flags) == [("C1", False, True), ("C2", True, False), ("C3", True, False)]
    await customers.one(task(Operation.LIFT, EMAIL))
    assert (suppressed.outcome, suppressed.by_category) == (TaskOutcome.AMENDED, {"account": 1})
    assert await customer_store.ask(flags) == [("C1", False, False), ("C2", True, False), ("C3", True, False)]


async def test_undeclared_field_or_switch_holds_nothing_unsearched(calls: SqlEngine, customers: SqlEngine) -> None:
    address = task(Operation.RECTIFY, ACCOUNT, changes=[("address.city", None, "Bilbao")])
    assert (await customers.receipt(address)).outcome is TaskOutcome.NOT_HELD
    assert (await calls.receipt(task(Operation.SUPPRESS, phone(ANNA)))).outcome is TaskOutcome.NOT_HELD


ADDRESSES = """
CREATE TABLE address (id int PRIMARY KEY, account_id text, receiver text, city text, country text, note text,
    town text);
INSERT INTO address VALUES (1, 'C1', 'Anna Meier', 'Berlin', 'DE', '', 'Berlin'),
    (2, 'C2', 'Anna Meier', 'Berlin', 'DE', '', 'Berlin');
"""
ADDRESS = """
[tables.address]
category = "address"
primary_key = ["id"]
[tables.address.columns]
id = { class = "T" }
account_id = { class = "A", identity = "account_id" }
receiver = { class = "A" }
city = { class = "A" }
country = { class = "M" }
note = { class = "C" }
town = { class = "A", rectifies = "town" }
"""


async def test_value_under_no_declared_field_is_manual(customer_store: CustomerStore) -> None:
    await customer_store.run(*filter(str.strip, ADDRESSES.split(";")))
    customer_store.dataset.write_text(customer_store.dataset.read_text(encoding="utf-8") + ADDRESS, encoding="utf-8")
    stranger = Identity(IdentityType.ACCOUNT_ID, "C99")
    async with engine(customer_store.dsn, customer_store.dataset, {}) as customers:
        for change, held in (
            (("address.city", "berlin ", "Bilbao"), "address.city, address.town"),
            (("address.city", None, "Bilbao"), "address.city, address.receiver"),
            (("address.country", "DE", "FR"), "address.country"),
            (("address.country", None, "FR"), "address.city, address.country, address.receiver"),
            (("address.street", "Lindenallee 14", "x"), "customer.street"),
        ):
            result = await customers.one(task(Operation.RECTIFY, ACCOUNT, changes=[change]))
            assert isinstance(result, NotSupported), result
            assert str(result).startswith(f"{held} holds what is to be corrected")
            unknown = await customers.receipt(task(Operation.RECTIFY, stranger, changes=[change]))
            assert unknown.outcome is TaskOutcome.NO_MATCH
        changes = [("address.city", "Lisboa", "Bilbao")]
        result = await customers.one(task(Operation.RECTIFY, ACCOUNT, changes=changes))
    assert (receipt(result).outcome, receipt(result).found) == (TaskOutcome.UNCHANGED, 4)


@pytest.mark.parametrize(
    ("change", "left"),
    [
        (("name", None, "Anna Maier"), "address.receiver"),
        (("name", "Anna Meier", "Anna Maier"), "address.receiver"),
        (("town", None, "Bilbao"), "address.city"),
    ],
)
async def test_where_a_correction_finds_its_old_value_elsewhere_a_person_corrects_that(
    customer_store: CustomerStore, change: tuple[str, str | None, str], left: str
) -> None:
    await customer_store.run(*filter(str.strip, ADDRESSES.split(";")))
    customer_store.dataset.write_text(customer_store.dataset.read_text(encoding="utf-8") + ADDRESS, encoding="utf-8")
    async with engine(customer_store.dsn, customer_store.dataset, {}) as customers:
        result = await customers.one(task(Operation.RECTIFY, ACCOUNT, changes=[change]))
    assert isinstance(result, NotSupported)
    assert str(result).startswith(f"{left} holds what is to be corrected")
    assert result.done_before == DoneBefore(found=2, changed=1, remaining=1)


async def test_correction_held_elsewhere_is_partly_manual(customer_store: CustomerStore, customers: SqlEngine) -> None:
    await customer_store.run("UPDATE customer SET email = lower(email) WHERE account_id = 'C1'")
    wrong = [("email", "anna.meier@example.org", "anna@example.org")]
    left = await customers.one(task(Operation.RECTIFY, EMAIL, changes=wrong))
    assert isinstance(left, NotSupported)
    assert "contact.requester holds what is to be corrected" in str(left)
    assert left.done_before == DoneBefore(found=3, changed=1, remaining=2)
    held = "SELECT email FROM customer WHERE account_id = 'C1'"
    assert await customer_store.ask(held) == [("anna@example.org",)]


async def test_store_without_declared_corrections_is_corrected_by_hand(customer_store: CustomerStore) -> None:
    text = customer_store.dataset.read_text(encoding="utf-8")
    bare = re.sub(r', rectifies = "[a-z_.]+"', "", text)
    customer_store.dataset.write_text(bare, encoding="utf-8")
    async with engine(customer_store.dsn, customer_store.dataset, {}) as customers:
        assert Operation.RECTIFY not in customers.adapter.can.not_held
        assert {"contact", "customer"} <= {*customers.adapter.can.missing_declarations["uncorrected"]}
        wrong, name, right, none = await customers.run(
            task(Operation.RECTIFY, EMAIL, changes=[("email", "anna.meier@example.org", "anna@example.org")]),
            task(Operation.RECTIFY, ACCOUNT, changes=[("name", "Anna Meier", "Anna Maier")]),
            task(Operation.RECTIFY, EMAIL, changes=[("email", "old@example.org", "anna@example.org")]),
            task(Operation.RECTIFY, email("x@example.org"), changes=[("email", "x@example.org", "y@example.org")]),
        )
    assert isinstance(wrong, NotSupported)
    assert isinstance(name, NotSupported), "its name is in an identifying column that is not searched"
    assert (receipt(right).outcome, receipt(right).corrected) == (TaskOutcome.UNCHANGED, (0,)), "we hold data of theirs"
    assert receipt(none).outcome is TaskOutcome.NO_MATCH


async def test_rows_that_cannot_show_a_restriction_are_manual(customer_store: CustomerStore) -> None:
    text = customer_store.dataset.read_text(encoding="utf-8")
    text = text.replace("restrict = { restricted = true }\n", "")
    customer_store.dataset.write_text(text, encoding="utf-8")
    stranger = email("x@example.org")
    async with engine(customer_store.dsn, customer_store.dataset, {}) as customers:
        for operation in (Operation.RESTRICT, Operation.LIFT):
            result, nothing = await customers.run(task(operation, EMAIL), task(operation, stranger))
            assert isinstance(result, NotSupported)
            assert "contact, customer" in str(result)
            assert receipt(nothing).outcome is TaskOutcome.NO_MATCH


async def test_stated_number_without_calls_is_not_restricted(cdr_store: CdrStore, calls: SqlEngine) -> None:
    await cdr_store.seed([call(ANNA, BORIS)])
    stated = await calls.receipt(task(Operation.RESTRICT, number(CHIARA, since=at("2026-01-01"))))
    put = "SELECT count(*) FROM restricted_number"
    assert (stated.outcome, await ask(cdr_store.admin, put)) == (TaskOutcome.NO_MATCH, [(0,)])
    vouched = replace(number(CHIARA, since=at("2026-01-01")), source="register")
    assert (await calls.receipt(task(Operation.RESTRICT, vouched))).outcome is TaskOutcome.AMENDED
    assert await ask(cdr_store.admin, put) == [(1,)]


# What a repair and a lift change in a SQL store: what is in force and missing there, and nothing of anybody else's.
EMAIL_REPAIRS = email("anna.meier@example.org")
HELD = "SELECT number FROM restricted_number ORDER BY 1"


def repairing(first: Task, opened: int = 5_000) -> Task:
    """The repair of what that task has put in force, opened later."""
    later = task(first.operation, *first.identities)
    return replace(later, request_id=first.request_id, details={"repair": True}, opened_and_stage=(opened, 0))


async def test_lost_number_is_restored_and_a_foreign_one_kept(cdr_store: CdrStore, calls: SqlEngine) -> None:
    await cdr_store.seed([call(ANNA, BORIS)])
    first = task(Operation.RESTRICT, number(ANNA), number(ANNA, since=at("2026-01-01")))
    await calls.run(first)
    nothing = await calls.receipt(repairing(first))
    assert (nothing.outcome, nothing.changed) == (TaskOutcome.NO_MATCH, 0)
    lost = "DELETE FROM restricted_number WHERE valid_from = '2026-01-01 10:00+00'"
    theirs = "INSERT INTO restricted_number VALUES (gen_random_uuid(), '+34600000000', '2026-01-01', NULL)"
    for statement in (lost, theirs):
        await ask(cdr_store.admin, statement)
    again = repairing(first, 6_000)
    done = await calls.receipt(again)
    assert (done.outcome, done.by_category) == (TaskOutcome.AMENDED, {"restriction": 1})
    assert await calls.receipt(calls.again(again)) == done
    assert await ask(cdr_store.admin, HELD) == [("+34600000000",), (ANNA,), (ANNA,)]


async def test_repair_restricts_no_erased_subject(cdr_store: CdrStore, calls: SqlEngine) -> None:
    await cdr_store.seed([call(ANNA, BORIS)])
    first = task(Operation.RESTRICT, number(ANNA))
    await calls.run(first)
    await calls.one(task(Operation.ERASE, number(ANNA)))
    assert (await calls.receipt(repairing(first))).outcome is TaskOutcome.NO_MATCH
    assert await ask(cdr_store.admin, HELD) == []


async def test_lost_flag_is_set_and_a_foreign_one_kept(customer_store: CustomerStore, customers: SqlEngine) -> None:
    flags = "SELECT account_id FROM customer WHERE restricted ORDER BY 1"
    first = task(Operation.RESTRICT, EMAIL_REPAIRS)
    await customers.run(first)
    assert (await customers.receipt(repairing(first))).outcome is TaskOutcome.NO_MATCH
    await customer_store.run("UPDATE customer SET restricted = account_id = 'C3'")
    assert (await customers.receipt(repairing(first, 6_000))).by_category == {"account": 1}
    assert await customer_store.ask(flags) == [("C1",), ("C3",)]


def marked(first: Task) -> Task:
    """Returns the nightly repair of a lifted restriction, without identities."""
    lift = replace(repairing(first), operation=Operation.LIFT, identities=())
    return replace(lift, details={"repair": True, "marked": True})


async def test_restored_store_drops_flags_of_lifted_requests_alone(cdr_store: CdrStore, calls: SqlEngine) -> None:
    await cdr_store.seed([call(ANNA, BORIS)])
    lifted, other = (task(Operation.RESTRICT, number(each)) for each in (ANNA, BORIS))
    for each in (lifted, other):
        await calls.run(each)
    again = marked(lifted)
    done = await calls.receipt(again)
    assert (done.outcome, done.by_category) == (TaskOutcome.AMENDED, {"restriction": 1})
    assert await calls.receipt(calls.again(again)) == done
    assert await ask(cdr_store.admin, HELD) == [(BORIS,)]


async def test_a_flag_bears_no_mark_and_is_left_alone(customer_store: CustomerStore, customers: SqlEngine) -> None:
    first = task(Operation.RESTRICT, EMAIL_REPAIRS)
    await customers.run(first)
    assert (await customers.receipt(marked(first))).outcome is TaskOutcome.NO_MATCH
    assert await customer_store.ask("SELECT account_id FROM customer WHERE restricted") == [("C1",)]


async def test_foreign_switch_outlasts_our_lift(customer_store: CustomerStore, customers: SqlEngine) -> None:
    await customer_store.run("DELETE FROM contact")  # it cannot show a restriction
    await customer_store.run("UPDATE customer SET restricted = true WHERE account_id = 'C1'")
    restrictions = [task(Operation.RESTRICT, email(each)) for each in ("anna.meier@example.org", "a.meier@example.net")]
    left: list[str] = []
    for restriction, bore in zip(restrictions, (True, False), strict=True):
        await customers.receipt(restriction)
        await customers.receipt(customers.again(restriction))  # a repeat sees what the first attempt has set
        flags = customers.notes[restriction.task_id]["flags"]
        assert isinstance(flags, dict)
        assert [*flags.values()] == [bore]
        assert not any(key in reference for reference in flags for key in ("C1", "C2")), "a key may be who it is"
        left += [reference for reference, was_set in flags.items() if was_set]
    for restriction in restrictions:
        await customers.receipt(task(Operation.LIFT, *restriction.identities, left={"system": [*left]}))
    shown = await customer_store.ask("SELECT account_id FROM customer WHERE restricted")
    assert shown == [("C1",)]


# What honours a restriction in a store is put back as it was.

ANNAS_ADDRESS = email("anna@example.org")
SCHEMA = """
CREATE TABLE customer (id int PRIMARY KEY, email text, state boolean NOT NULL DEFAULT false,
    mails boolean NOT NULL DEFAULT true);
INSERT INTO customer VALUES (1, 'anna@example.org'), (2, 'boris@example.org');
"""
DATASET = """
name = "customers"
[tables.customer]
category = "account"
primary_key = ["id"]
restrict = { state = true }
no_marketing = { mails = false }
[tables.customer.columns]
id = { class = "T" }
email = { class = "A", identity = "email" }
state = { class = "T" }
mails = { class = "T" }
"""
STATES = "SELECT id, state::text FROM customer ORDER BY id"
dsn, switching = store_of(SCHEMA, DATASET)


async def test_lifted_restriction_restores_the_former_state(switching: SqlEngine, dsn: str) -> None:
    before = await ask(dsn, STATES)
    restrict = task(Operation.RESTRICT, ANNAS_ADDRESS)
    assert (await switching.receipt(restrict)).by_category == {"account": 1}
    assert (await switching.receipt(replace(restrict, task_id=task(Operation.RESTRICT).task_id))).changed == 1
    assert await ask(dsn, STATES) != before
    lift = replace(restrict, task_id=task(Operation.LIFT).task_id, operation=Operation.LIFT, attempt=2)
    assert (await switching.receipt(lift)).changed == 1
    assert await ask(dsn, STATES) == before


async def test_stop_of_marketing_needs_nothing_by_which_other_tables_are_searched(dsn: str, tmp_path: Path) -> None:
    await ask(dsn, "CREATE TABLE call (id int PRIMARY KEY, caller text, began timestamptz)")
    calls = """
[tables.call]
category = "call"
primary_key = ["id"]
at = { happened = "began" }
columns.id = { class = "T" }
columns.caller = { class = "A", identity = "phone" }
columns.began = { class = "M" }
"""
    (tmp_path / "store.toml").write_text(DATASET + calls, encoding="utf-8")
    async with engine(dsn, tmp_path / "store.toml", {}) as switching:
        stopped = await switching.receipt(task(Operation.SUPPRESS, ANNAS_ADDRESS))
        copied = await switching.receipt(task(Operation.EXPORT, ANNAS_ADDRESS))
    assert (stopped.found, stopped.not_searched) == (1, None)
    assert copied.not_searched is Unsearched.NOTHING_TO_SEARCH_BY
