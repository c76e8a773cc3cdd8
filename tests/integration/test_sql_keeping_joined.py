"""What a rule keeps of rows that joins lead to: what leads there stays with it, reduced, and goes with the last."""

from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from random import Random

import pytest

from shared.domain.errors import Misconfigured, NotSupported, RuleUnsigned
from shared.domain.operations import Limit, Operation, TaskOutcome
from shared.domain.policy import Policy, parse_period
from shared.downstreams.sql.declaration.dataset import Dataset
from shared.storage.postgres import connected
from tests.fixtures.cdr import SqlEngine, ask, engine
from tests.fixtures.downstream import email, receipt, task
from tests.fixtures.mobile import DATASET, PEOPLE, RULE, SHAPES, E, about, deferred, filled, held
from tests.fixtures.policy import signed_policy


async def test_what_a_plan_says_is_what_the_erasure_does_whatever_leads_to_what_is_kept(
    mobile: SqlEngine, mobile_dsn: str
) -> None:
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
            told = (plan.found, plan.by_category, plan.kept, plan.until, plan.remaining)
            assert told == (said.found, said.by_category, said.kept, said.until, said.remaining), f"seed {seed}"
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


async def test_a_column_that_may_not_be_empty_and_goes_from_what_is_kept_is_named_by_the_check(
    mobile: SqlEngine, mobile_dsn: str
) -> None:
    assert not await mobile.adapter.inspect()
    await ask(mobile_dsn, "ALTER TABLE usage ALTER cell SET NOT NULL")
    assert [
        "public.usage keeps rows without cell, which may not be NULL" in each for each in await mobile.adapter.inspect()
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


async def test_a_row_that_an_erasure_has_left_is_not_filled_again_by_a_correction(
    mobile_dsn: str, tmp_path: Path
) -> None:
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


async def test_what_says_no_beginning_is_told_without_a_day_and_the_rest_goes_on_its_own(
    mobile: SqlEngine, mobile_dsn: str
) -> None:
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


async def test_what_a_hold_covers_stays_as_it_is_with_what_leads_to_it_and_the_rest_goes(
    mobile: SqlEngine, mobile_dsn: str
) -> None:
    async with connected(mobile_dsn) as connection:
        await connection.execute(
            "INSERT INTO customer VALUES (1, 'a', 1, 'anna@example.org', 'Anna', NULL, false);"
            "INSERT INTO address VALUES (1, 1, 'Lindenallee');"
            "INSERT INTO line VALUES (1, 'a', 1, 'home', false);"
            "INSERT INTO usage VALUES (1, 1, '2025-03-31', 60, '+491', 'c', false)"
        )
    before = await held(mobile_dsn)
    plan = await mobile.receipt(replace(about(PEOPLE[0], Operation.PLAN), held=frozenset({"address"})))
    first = replace(about(PEOPLE[0]), held=frozenset({"address"}))
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


async def test_what_a_hold_keeps_is_restricted_and_counted_and_where_there_is_nothing_that_is_what_is_said(
    mobile_dsn: str, tmp_path: Path
) -> None:
    """All that the store holds is covered: it is asked all the same, and nobody says that nobody has looked."""
    async with connected(mobile_dsn) as connection:
        await connection.execute(
            "ALTER TABLE customer ADD usable boolean DEFAULT true, ADD mailing boolean DEFAULT true;"
            "INSERT INTO customer VALUES (1, 'a', 1, 'anna@example.org', 'Anna', NULL, false),"
            " (2, 'a', 2, 'boris@example.org', 'Boris', NULL, false); INSERT INTO address VALUES (1, 1, 'Lindenallee')"
        )
    switches = 'restriction = { column = "usable", value = false }\nmarketing = { column = "mailing", value = false }\n'
    columns = 'kept = { class = "T" }\nusable = { class = "T" }\nmailing = { class = "M" }\n\n[tables.address]'
    declared = DATASET.replace('category = "account"\n', 'category = "account"\n' + switches, 1)
    declared = declared.replace('kept = { class = "T" }\n\n[tables.address]', columns, 1)
    (tmp_path / "held.toml").write_text(declared, encoding="utf-8")
    every = frozenset({"account", "address", "number", "call_record"})
    async with engine(mobile_dsn, tmp_path / "held.toml", {}, signed_policy()) as store:
        anna, chiara = [receipt(r) for r in await store.run(*(replace(about(PEOPLE[n]), held=every) for n in (0, 2)))]
        assert (anna.outcome, anna.found, anna.changed, anna.remaining) == (TaskOutcome.RETAINED, 2, 0, 2)
        said = {each.category: (each.rule, each.count, each.restricted) for each in anna.kept or ()}
        assert said == {"account": ("legal_hold", 1, 1), "address": ("legal_hold", 1, 1)}
        assert chiara.outcome is TaskOutcome.NO_MATCH
        shown = await ask(mobile_dsn, "SELECT id, usable, mailing, name FROM customer ORDER BY id")
        assert [tuple(row) for row in shown] == [(1, False, False, "Anna"), (2, True, True, "Boris")]


def test_a_way_to_what_is_kept_that_cannot_be_restricted_is_refused_when_it_is_read(tmp_path: Path) -> None:
    old, new = 'kept = { column = "kept", value = true }\n[tables.line.', "[tables.line."
    assert DATASET.count(old) == 1
    (tmp_path / "mobile.toml").write_text(DATASET.replace(old, new), encoding="utf-8")
    with pytest.raises(Misconfigured, match="line has keeps, or leads"):
        Dataset.load(str(tmp_path / "mobile.toml"))


def two_rules() -> Policy:
    """The signed policy in which 18 months keep the number that was called, and six months how long it was."""
    policy = signed_policy()
    calls, kind = policy.rules[RULE], policy.categories["call_record"]
    number = calls.model_copy(update={"fields": frozenset({"called_number"})})
    length = {"fields": frozenset({"call_length"}), "period": parse_period("P6M"), "told_as": frozenset()}
    rules = {**policy.rules, RULE: number, "disputes_6m": calls.model_copy(update=length)}
    kept_by = {"call_record": kind.model_copy(update={"kept_by": ("disputes_6m", RULE)})}
    return policy.with_other(rules=rules, categories={**policy.categories, **kept_by})


async def test_of_a_row_that_two_rules_keep_each_day_leaves_what_those_need_that_still_run(
    mobile_dsn: str, tmp_path: Path
) -> None:
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
        waiting = replace(deferred(first, datetime(2028, 4, 2, 12, tzinfo=UTC)), lapsed=frozenset({RULE}))
        await ask(mobile_dsn, "INSERT INTO usage VALUES (9, 1, '2028-01-01', 60, '+499', 'c', false)")
        kept = {each.category: each for each in receipt(await mobile.one(waiting)).kept or ()}
        assert (kept["call_record"].rule, kept["call_record"].count) == (RULE, 3), "all that waits for it stays"
        assert kept["call_record"].reduced == date(2028, 7, 1), "and what the other keeps of one of them has its day"
        assert await ask(mobile_dsn, left) == [(3, "+493", None), (4, "+494", None), (9, "+499", 60)], "of two it came"
        await ask(mobile_dsn, "DELETE FROM usage WHERE id = 9")
        over = replace(deferred(first, datetime(2028, 4, 2, 12, tzinfo=UTC)), confirmed={Limit.UNSIGNED_ROWS: 1})
        refused = await mobile.one(over)
        assert isinstance(refused, RuleUnsigned)
        assert receipt(await mobile.one(replace(over, confirmed={Limit.UNSIGNED_ROWS: 2}))).changed == 4
        assert await ask(mobile_dsn, left) == [], "two persons have confirmed both"
