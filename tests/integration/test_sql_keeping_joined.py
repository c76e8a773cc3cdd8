"""Kept rows that joins lead to: rows that lead there stay too, reduced, until the last is released."""

from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from random import Random

import pytest

from shared.domain.errors import GroundUnknown, Misconfigured, NotSupported, RuleUnsigned, WrongPersonMatch
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import COUNTRY_UNKNOWN, Limit, Operation, TaskOutcome
from shared.domain.policy import Policy, WhereUnknown, parse_period
from shared.storage.postgres import connected
from shared.systems.contract import Task
from shared.systems.sql.dataset import Dataset
from tests.fixtures.cdr import SqlEngine, ask, engine, missing, store_of
from tests.fixtures.downstream import email, receipt, task
from tests.fixtures.mobile import DATASET, PEOPLE, RULE, SHAPES, E, about, deferred, filled, held
from tests.fixtures.policy import signed_policy


async def test_plan_equals_the_erasure_whatever_leads_to_kept_rows(mobile: SqlEngine, mobile_dsn: str) -> None:
    kept_at_all = 0
    for seed in range(SHAPES):
        random = Random(seed)  # noqa: S311  # shapes, no secrets
        theirs, before = await filled(mobile_dsn, random), await held(mobile_dsn)
        erased = random.sample(PEOPLE, 2)
        plans = [receipt(each) for each in await mobile.run(*(about(who, Operation.PLAN) for who in erased))]
        assert await held(mobile_dsn) == before, f"seed {seed}: a plan changes nothing"
        done = [receipt(each) for each in await mobile.run(*map(about, erased))]
        after = await held(mobile_dsn)
        for who, plan, said in zip(erased, plans, done, strict=True):
            planned = (plan.found, plan.by_category, plan.kept, plan.until, plan.remaining)
            assert planned == (said.found, said.by_category, said.kept, said.until, said.remaining), f"seed {seed}"
            assert said.remaining == len(theirs[who]["stay"]), f"seed {seed}"
            kept_at_all += said.remaining
        gone = set().union(*(theirs[who]["go"] for who in erased))
        assert before.keys() - after.keys() == gone, f"seed {seed}"
        stay = set().union(*(theirs[who]["stay"] for who in erased))
        assert all(after[row] == before[row] for row in after.keys() - stay), f"seed {seed}: others are as they were"
        for table, key in stay:
            first, second, third, kept = after[table, key]
            wanted = {"customer": (None, None), "line": (str(second), third), "usage": (None, third)}[table]
            assert (kept, second, third) == (True, *wanted), f"seed {seed}: {table} {key} is reduced and restricted"
            assert first == ("" if table == "line" else before[table, key][0]), f"seed {seed}"
    assert kept_at_all > 0


async def test_required_column_that_is_to_be_blanked_is_named_by_the_check(mobile: SqlEngine, mobile_dsn: str) -> None:
    assert not await missing(mobile)
    await ask(mobile_dsn, "ALTER TABLE usage ALTER cell SET NOT NULL")
    assert [
        "public.usage keeps rows without cell, which may not be NULL" in each for each in await missing(mobile)
    ] == [True]


async def test_what_leads_to_kept_rows_goes_with_the_last_of_them(mobile: SqlEngine, mobile_dsn: str) -> None:
    person = (
        "INSERT INTO customer VALUES (1, 'a', 1, 'anna@example.org', 'Anna', NULL, false);"
        "INSERT INTO line VALUES (1, 'a', 1, 'home', false), (2, 'a', 1, 'car', false);"
        "INSERT INTO usage VALUES (1, 1, '2025-04-01', 60, '+491', 'c', false),"
        " (2, 2, '2026-09-30', 60, '+492', 'c', false)"
    )
    async with connected(mobile_dsn) as connection:
        await connection.execute(person)
    first = about(PEOPLE[0])
    done = await mobile.receipt(first)
    assert (done.outcome, done.ground, done.until, done.remaining) == (
        *(TaskOutcome.RETAINED, RULE),
        *(date(2028, 3, 30), 5),
    )
    assert done.kept is not None
    assert {(each.category, each.first, each.count) for each in done.kept} == {
        ("call_record", date(2026, 10, 1), 2),
        ("number", date(2026, 10, 1), 2),
        ("account", date(2028, 3, 30), 1),
    }, "a row that leads to both goes with the last of them"
    assert await mobile.receipt(mobile.again(first)) == done
    woken = await mobile.receipt(deferred(first, datetime(2026, 10, 2, 12, tzinfo=UTC)))
    assert (woken.changed, set(await held(mobile_dsn))) == (2, {("customer", 1), ("line", 2), ("usage", 2)})
    last = await mobile.receipt(deferred(first, datetime(2028, 3, 31, 12, tzinfo=UTC)))
    assert (last.outcome, last.kept, await held(mobile_dsn)) == (TaskOutcome.ERASED, None, {})


async def test_row_left_by_an_erasure_is_not_refilled(mobile_dsn: str, tmp_path: Path) -> None:
    name = 'name = { class = "A" }'
    assert DATASET.count(name) == 1
    dataset = DATASET.replace(name, 'name = { class = "A", rectifies = "name" }')
    (tmp_path / "mobile.toml").write_text(dataset, encoding="utf-8")
    async with connected(mobile_dsn) as connection:
        await connection.execute(
            "INSERT INTO customer VALUES (1, 'a', 1, 'anna@example.org', 'Anna', NULL, false),"
            " (2, 'a', 2, 'boris@example.org', 'Boris', NULL, false);"
            "INSERT INTO line VALUES (1, 'a', 1, 'home', false);"
            "INSERT INTO usage VALUES (1, 1, '2026-09-30', 60, '+491', 'c', false)"
        )
    names = "SELECT name FROM customer ORDER BY id"
    async with engine(mobile_dsn, tmp_path / "mobile.toml", {}, signed_policy()) as mobile:
        assert (await mobile.receipt(about(PEOPLE[0]))).outcome is TaskOutcome.RETAINED
        anna, boris = (task(Operation.RECTIFY, email(who), changes=[("name", None, "Other")]) for who in PEOPLE[:2])
        left = await mobile.one(anna)
        assert isinstance(left, NotSupported)
        assert "customer holds of theirs only what an erasure has left" in str(left)
        assert (await mobile.receipt(boris)).corrected == (1,)
        assert await ask(mobile_dsn, names) == [(None,), ("Other",)]
        await ask(mobile_dsn, "UPDATE customer SET email = 'anna@example.org' WHERE id = 2")
        again = task(Operation.RECTIFY, email(PEOPLE[0]), changes=[("name", None, "Anna")])
        assert (await mobile.receipt(again)).corrected == (1,), "who is a customer again has what they use corrected"
        assert await ask(mobile_dsn, names) == [(None,), ("Anna",)]


async def test_category_without_a_beginning_has_no_day(mobile: SqlEngine, mobile_dsn: str) -> None:
    person = (
        "INSERT INTO customer VALUES (1, 'a', 1, 'anna@example.org', 'Anna', NULL, false);"
        "INSERT INTO line VALUES (1, 'a', 1, 'home', false);"
        "INSERT INTO usage VALUES (1, 1, '2025-04-01', 60, '+491', 'c', false),"
        " (2, 1, NULL, 60, '+492', 'c', false), (3, 1, '2024-12-01', 60, '+493', 'c', false)"
    )
    async with connected(mobile_dsn) as connection:
        await connection.execute(person)
    plan = await mobile.receipt(about(PEOPLE[0], Operation.PLAN))
    first = about(PEOPLE[0])
    done = await mobile.receipt(first)
    assert (plan.kept, plan.remaining) == (done.kept, done.remaining)
    assert (done.outcome, done.until, done.remaining) == (TaskOutcome.RETAINED, None, 4)
    day = date(2026, 10, 1)
    assert [(each.category, each.count, each.first, each.last, each.period) for each in done.kept or ()] == [
        ("call_record", 1, day, day, "P18M"),
        ("call_record", 1, None, None, "P18M"),
        ("number", 1, None, None, "P18M"),
        ("account", 1, None, None, "P18M"),
    ]
    woken = await mobile.receipt(deferred(first, datetime(2026, 10, 2, 12, tzinfo=UTC)))
    assert (woken.changed, set(await held(mobile_dsn))) == (1, {("customer", 1), ("line", 1), ("usage", 2)})
    await ask(mobile_dsn, "UPDATE usage SET started = '2024-12-01'")
    last = await mobile.receipt(deferred(first, datetime(2026, 10, 3, 12, tzinfo=UTC)))
    assert (last.outcome, await held(mobile_dsn)) == (TaskOutcome.ERASED, {}), "a person has entered its day"


async def test_held_rows_stay_with_their_links_and_the_rest_goes(mobile: SqlEngine, mobile_dsn: str) -> None:
    async with connected(mobile_dsn) as connection:
        await connection.execute(
            "INSERT INTO customer VALUES (1, 'a', 1, 'anna@example.org', 'Anna', NULL, false);"
            "INSERT INTO address VALUES (1, 1, 'Lindenallee');"
            "INSERT INTO line VALUES (1, 'a', 1, 'home', false);"
            "INSERT INTO usage VALUES (1, 1, '2025-03-31', 60, '+491', 'c', false)"
        )
    before = await held(mobile_dsn)
    plan = await mobile.receipt(replace(about(PEOPLE[0], Operation.PLAN), held_categories=frozenset({"address"})))
    first = replace(about(PEOPLE[0]), held_categories=frozenset({"address"}))
    done, other = [receipt(each) for each in await mobile.run(first, about(PEOPLE[1]))]
    assert (done.outcome, done.ground, done.until, done.changed) == (TaskOutcome.RETAINED, "legal_hold", None, 2)
    kept = tuple(each.model_copy(update={"restricted": None}) for each in done.kept or ())
    assert (plan.kept, plan.by_category, other.outcome) == (kept, done.by_category, TaskOutcome.NO_MATCH)
    assert [each.restricted for each in done.kept or () if each.category == "address"] == [0], "nothing there shows it"
    assert {(each.category, each.rule, each.count, each.last) for each in kept} == {
        ("address", "legal_hold", 1, None),
        ("account", "legal_hold", 1, None),
    }
    left = await held(mobile_dsn)
    assert left == {place: before[place] for place in (("customer", 1), ("address", 1))}
    assert (await mobile.receipt(deferred(first, E))).outcome is TaskOutcome.ERASED, "once it is lifted"
    assert await held(mobile_dsn) == {}


async def test_held_rows_are_restricted_and_counted(mobile_dsn: str, tmp_path: Path) -> None:
    """The store is searched even if a hold covers everything."""
    async with connected(mobile_dsn) as connection:
        await connection.execute(
            "ALTER TABLE customer ADD usable boolean DEFAULT true, ADD mailing boolean DEFAULT true;"
            "INSERT INTO customer VALUES (1, 'a', 1, 'anna@example.org', 'Anna', NULL, false),"
            " (2, 'a', 2, 'boris@example.org', 'Boris', NULL, false); INSERT INTO address VALUES (1, 1, 'Lindenallee')"
        )
    switches = "restrict = { usable = false }\nno_marketing = { mailing = false }\n"
    columns = 'kept = { class = "T" }\nusable = { class = "T" }\nmailing = { class = "M" }\n\n[tables.address]'
    declared = DATASET.replace('category = "account"\n', 'category = "account"\n' + switches, 1)
    declared = declared.replace('kept = { class = "T" }\n\n[tables.address]', columns, 1)
    (tmp_path / "held.toml").write_text(declared, encoding="utf-8")
    every = frozenset({"account", "address", "number", "call_record"})
    async with engine(mobile_dsn, tmp_path / "held.toml", {}, signed_policy()) as store:
        anna, chiara = [
            receipt(r) for r in await store.run(*(replace(about(PEOPLE[n]), held_categories=every) for n in (0, 2)))
        ]
        assert (anna.outcome, anna.found, anna.changed, anna.remaining) == (TaskOutcome.RETAINED, 2, 0, 2)
        said = {each.category: (each.rule, each.count, each.restricted) for each in anna.kept or ()}
        assert said == {"account": ("legal_hold", 1, 1), "address": ("legal_hold", 1, 1)}
        assert chiara.outcome is TaskOutcome.NO_MATCH
        shown = await ask(mobile_dsn, "SELECT id, usable, mailing, name FROM customer ORDER BY id")
        assert [tuple(row) for row in shown] == [(1, False, False, "Anna"), (2, True, True, "Boris")]


def test_a_way_to_what_is_kept_that_cannot_be_restricted_is_refused_when_it_is_read(tmp_path: Path) -> None:
    old, new = "keep.mark = { kept = true }\n[tables.line.", "[tables.line."
    assert DATASET.count(old) == 1
    (tmp_path / "mobile.toml").write_text(DATASET.replace(old, new), encoding="utf-8")
    with pytest.raises(Misconfigured, match=r"line has keep\.fields, or leads"):
        Dataset.load(str(tmp_path / "mobile.toml"))


def two_rules() -> Policy:
    """The signed policy in which 18 months keep the number that was called, and six months how long it was."""
    policy = signed_policy()
    calls, kind = policy.rules[RULE], policy.categories["call_record"]
    number = calls.model_copy(update={"fields": frozenset({"called_number"})})
    length = {"fields": frozenset({"call_length"}), "period": parse_period("P6M"), "reported_as": frozenset()}
    rules = {**policy.rules, RULE: number, "disputes_6m": calls.model_copy(update=length)}
    kept_by = {"call_record": kind.model_copy(update={"kept_by": ("disputes_6m", RULE)})}
    return policy.with_other(rules=rules, categories={**policy.categories, **kept_by})


async def test_row_kept_by_two_rules_loses_fields_day_by_day(mobile_dsn: str, tmp_path: Path) -> None:
    (tmp_path / "mobile.toml").write_text(DATASET, encoding="utf-8")
    async with connected(mobile_dsn) as connection:
        await connection.execute(
            "INSERT INTO customer VALUES (1, 'r', 1, 'anna@example.org', 'Anna', '1970-01-01', false);"
            "INSERT INTO line VALUES (1, 'r', 1, 'home', false);"
            "INSERT INTO usage SELECT n, 1, day::date, 60, '+49' || n, 'c', false"
            " FROM unnest(ARRAY['2024-12-01', '2025-04-01', '2026-09-30', '2026-10-01']) WITH ORDINALITY AS d (day, n)"
        )
    left = "SELECT id, dialled, seconds FROM usage ORDER BY id"
    async with engine(mobile_dsn, tmp_path / "mobile.toml", {}, two_rules()) as mobile:
        first = about("anna@example.org")
        plan = receipt(await mobile.one(about("anna@example.org", Operation.PLAN)))
        done = receipt(await mobile.one(first))
        assert done.kept == plan.kept
        assert (done.by_category["call_record"], done.found, done.remaining) == (4, 6, 5), "each row counts once"
        kept = {each.category: each for each in done.kept or ()}
        said = kept["call_record"]
        assert (said.rule, said.count, said.last) == (RULE, 3, date(2028, 4, 1)), "until the last rule ends"
        assert said.first == date(2026, 10, 1), "the first day on which a row goes"
        assert said.reduced == date(2027, 3, 30), "the first day on which something of a row goes"
        assert kept["number"].count == kept["account"].count == 1, "what leads to either stays"
        assert await ask(mobile_dsn, left) == [(2, "+492", None), (3, "+493", 60), (4, "+494", 60)]
    lapsed = two_rules()
    nobodys = {**lapsed.rules, RULE: lapsed.rules[RULE].model_copy(update={"sign_off": None})}
    async with engine(mobile_dsn, tmp_path / "mobile.toml", {}, lapsed.with_other(rules=nobodys)) as mobile:
        later = receipt(await mobile.one(deferred(first, datetime(2027, 3, 31, 12, tzinfo=UTC))))
        assert later.kept, "what it has kept stays until its day, and holds up nothing of another rule"
        assert await ask(mobile_dsn, left) == [(3, "+493", None), (4, "+494", 60)], "six months are over for one"
        over = replace(deferred(first, datetime(2028, 4, 2, 12, tzinfo=UTC)), confirmed={Limit.UNSIGNED_ROWS: 1})
        refused = await mobile.one(over)
        assert isinstance(refused, RuleUnsigned)
        assert receipt(await mobile.one(replace(over, confirmed={Limit.UNSIGNED_ROWS: 2}))).changed == 4
        assert await ask(mobile_dsn, left) == [], "two people have confirmed both"


# A rule of one country keeps what is under its law, and what does not say under whose it is.
def by_country(where_unknown: str | None = None) -> Policy:
    """The signed policy in which a law of Germany keeps 24 months what everybody's rule keeps 18."""
    policy = signed_policy()
    calls, kind = policy.rules[RULE], policy.categories["call_record"]
    german = {"jurisdiction": "DE", "period": parse_period("P24M"), "reported_as": frozenset()}
    unknown = {"where_unknown": where_unknown} if where_unknown else {}
    rules = {**policy.rules, GERMAN: calls.model_copy(update=german | unknown)}
    kept_by = {"call_record": kind.model_copy(update={"kept_by": (GERMAN, RULE)})}
    return policy.with_other(rules=rules, categories={**policy.categories, **kept_by})


GERMAN = "calls_de_24m"


BY_COUNTRY = DATASET.replace("[tables.usage.columns]", '[tables.usage.columns]\ncountry = { class = "T" }').replace(
    "[tables.usage.keep.fields]",
    'country = "country"\n[tables.usage.keep.fields]',
)


async def test_foreign_rule_may_keep_rows_that_state_no_country(mobile_dsn: str, tmp_path: Path) -> None:
    (tmp_path / "mobile.toml").write_text(BY_COUNTRY, encoding="utf-8")
    says = {"anna": " de", "boris": "fr", "chiara": "XX", "dora": None}
    async with connected(mobile_dsn) as connection:
        await connection.execute("ALTER TABLE usage ADD country text")
        for n, (who, country) in enumerate(says.items(), 1):
            await connection.execute(
                "INSERT INTO customer VALUES ($1, 'r', $1, $2, 'N', NULL, false)", n, f"{who}@example.org"
            )
            await connection.execute("INSERT INTO line VALUES ($1, 'r', $1, 'home', false)", n)
            rows = [(10 * n, n, date(2024, 12, 1), country), (10 * n + 1, n, date(2026, 9, 30), country)]
            await connection.executemany("INSERT INTO usage VALUES ($1, $2, $3, 60, '+49', 'c', false, $4)", rows)
    async with engine(mobile_dsn, tmp_path / "mobile.toml", {}, by_country(WhereUnknown.KEEP)) as mobile:
        tasks = {who: about(f"{who}@example.org") for who in says}
        plans = [
            receipt(each)
            for each in await mobile.run(*(about(t.identities[0].value, Operation.PLAN) for t in tasks.values()))
        ]
        done = [receipt(each) for each in await mobile.run(*tasks.values())]
        assert [each.kept for each in plans] == [each.kept for each in done]
        kept = {
            w: [(k.rule, k.count, k.last) for k in d.kept or () if k.category == "call_record"]
            for w, d in zip(says, done, strict=True)
        }
        longer = [(GERMAN, 2, date(2028, 9, 30))]
        assert kept == {"anna": longer, "boris": [(RULE, 1, date(2028, 3, 30))], "chiara": longer, "dora": longer}
        grounds = [{each.ground for each in said.kept or ()} for said in done]
        assert grounds == [{GERMAN}, {RULE}, {COUNTRY_UNKNOWN}, {COUNTRY_UNKNOWN}], "of whom no country is known"
        assert (done[0].changed, done[0].reduced and done[0].reduced["call_record"]) == (0, 2), (
            "nothing of hers has gone"
        )
        assert receipt(await mobile.one(about("anna@example.org"))).reduced == {}, "an earlier request has left it so"
        assert [each.ground for each in done] == [GERMAN, RULE, COUNTRY_UNKNOWN, COUNTRY_UNKNOWN]
        assert await ask(mobile_dsn, "SELECT id FROM usage ORDER BY 1") == [(n,) for n in (10, 11, 21, 30, 31, 40, 41)]
        assert await ask(mobile_dsn, "SELECT country FROM usage WHERE id % 10 = 1 ORDER BY id") == [
            (each,) for each in says.values()
        ]
        again = deferred(tasks["boris"], datetime(2028, 3, 31, 12, tzinfo=UTC))
        assert receipt(await mobile.one(again)).outcome is TaskOutcome.ERASED, (
            "it says still that no German rule is for it"
        )


async def test_unknown_country_is_left_to_a_person(mobile_dsn: str, tmp_path: Path) -> None:
    (tmp_path / "mobile.toml").write_text(BY_COUNTRY, encoding="utf-8")
    async with connected(mobile_dsn) as connection:
        await connection.execute("ALTER TABLE usage ADD country text")
        for n, (who, country) in enumerate({"anna": "DE", "boris": "fr", "chiara": "XX"}.items(), 1):
            await connection.execute(
                "INSERT INTO customer VALUES ($1, 'r', $1, $2, 'N', NULL, false)", n, f"{who}@example.org"
            )
            await connection.execute("INSERT INTO line VALUES ($1, 'r', $1, 'home', false)", n)
            use = "INSERT INTO usage VALUES ($1, $1, '2026-09-30', 60, '+49', 'c', false, $2)"
            await connection.execute(use, n, country)
    async with engine(mobile_dsn, tmp_path / "mobile.toml", {}, by_country()) as mobile:
        for operation in (Operation.PLAN, Operation.ERASE):
            anna, boris, chiara = await mobile.run(
                *(about(f"{who}@example.org", operation) for who in ("anna", "boris", "chiara"))
            )
            assert [receipt(each).ground for each in (anna, boris)] == [GERMAN, RULE]
            assert isinstance(chiara, GroundUnknown)
            assert "calls_de_24m keeps only for DE, and nothing there shows the country" in str(chiara)
    assert (3,) in await ask(mobile_dsn, "SELECT id FROM usage WHERE seconds IS NOT NULL"), "nothing was done to it"


# What a rule keeps of rows that refer to their person by a foreign key, and not by a join of the dataset.
SCHEMA = """
CREATE TABLE customer (id int PRIMARY KEY, email text, name text, kept boolean);
CREATE TABLE usage (id int PRIMARY KEY, customer int REFERENCES customer, started date, dialled text, cell text,
    kept boolean);
CREATE INDEX ON customer (email); CREATE INDEX ON usage (customer);
INSERT INTO customer VALUES (1, 'anna@example.org', 'Anna'), (2, 'boris@example.org', 'Boris'),
    (3, 'chiara@example.org', 'Chiara');
INSERT INTO usage VALUES (1, 1, '2025-04-01', '+491', 'c'), (2, 1, '2024-12-01', '+492', 'c'),
    (3, 2, '2024-12-01', '+493', 'c'), (4, 3, '2026-09-01', '+494', 'c');
"""
KEPT = "keep.mark = { kept = true }\n"
DATASET_RULES = f"""
name = "calls"
[tables.customer]
category = "account"
primary_key = ["id"]
{KEPT}[tables.customer.columns]
id = {{ class = "A", identity = "account_id", yields = true }}
email = {{ class = "A", identity = "email" }}
name = {{ class = "A" }}
kept = {{ class = "T" }}
[tables.usage]
category = "call_record"
primary_key = ["id"]
at = {{ happened = "started", call_start = "started" }}
{KEPT}[tables.usage.keep.fields]
caller_name = []
caller_address = []
caller_number = []
called_number = ["dialled"]
call_date = ["started"]
call_time = []
call_length = []
[tables.usage.columns]
id = {{ class = "T" }}
customer = {{ class = "A", identity = "account_id" }}
started = {{ class = "M" }}
dialled = {{ class = "B" }}
cell = {{ class = "M" }}
kept = {{ class = "T" }}
"""
dsn, calls = store_of(SCHEMA, DATASET_RULES, signed_policy)


def of(who: str, account: str, operation: Operation = Operation.ERASE) -> Task:
    """A task about a customer who was located."""
    known = about(f"{who}@example.org", operation)
    return replace(known, identities=(*known.identities, Identity(IdentityType.ACCOUNT_ID, account, source="store")))


async def left(dsn: str) -> list[tuple[object, ...]]:
    """Returns the rows left in both tables."""
    return await ask(dsn, "SELECT 'c', id, name, kept FROM customer UNION SELECT 'u', id, cell, kept FROM usage")


async def test_customer_stays_reduced_with_kept_calls(calls: SqlEngine, dsn: str) -> None:
    assert not await missing(calls)
    first = of("anna", "1")
    plan = await calls.receipt(of("anna", "1", Operation.PLAN))
    done, other = [await calls.receipt(first), await calls.receipt(of("boris", "2"))]
    assert (done.outcome, done.ground, done.changed, other.outcome) == (
        *(TaskOutcome.RETAINED, RULE, 1),
        TaskOutcome.ERASED,
    )
    assert (plan.found, plan.by_category, plan.kept) == (done.found, done.by_category, done.kept)
    assert {(each.category, each.count, each.last) for each in done.kept or ()} == {
        ("call_record", 1, date(2026, 10, 1)),
        ("account", 1, date(2026, 10, 1)),
    }
    assert set(await left(dsn)) == {
        ("c", 1, None, True),
        ("u", 1, None, True),
        ("c", 3, "Chiara", None),
        ("u", 4, "c", None),
    }
    last = await calls.receipt(deferred(first, datetime(2026, 10, 2, 12, tzinfo=UTC)))
    assert (last.outcome, set(await left(dsn))) == (TaskOutcome.ERASED, {("c", 3, "Chiara", None), ("u", 4, "c", None)})


async def test_a_customer_stays_whole_with_the_calls_that_a_hold_covers(calls: SqlEngine, dsn: str) -> None:
    before = await left(dsn)
    done = await calls.receipt(replace(of("anna", "1"), held_categories=frozenset({"call_record"})))
    assert (done.outcome, done.changed, {each.category for each in done.kept or ()}) == (
        *(TaskOutcome.RETAINED, 0),
        {"call_record", "account"},
    )
    assert set(await left(dsn)) == set(before)


async def test_unrestrictable_customer_is_named_by_both_commands(calls: SqlEngine, dsn: str, tmp_path: Path) -> None:
    (tmp_path / "open.toml").write_text(DATASET_RULES.replace(KEPT, "", 1), encoding="utf-8")
    async with engine(dsn, tmp_path / "open.toml", {}, signed_policy()) as unrestricted:
        [says] = await missing(unrestricted)
        assert "write keep.mark = " in says
        refused = await unrestricted.one(of("anna", "1"))
    assert isinstance(refused, WrongPersonMatch)
    assert "since they are kept or another person's" in str(refused)
    stranger = await calls.one(replace(of("boris", "2"), identities=of("boris", "9").identities))
    assert isinstance(stranger, WrongPersonMatch), "calls of an account that is not found to be theirs stop it still"
