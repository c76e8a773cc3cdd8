"""A rule of one country keeps what is under its law, and what does not say under whose it is."""

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from shared.domain.errors import GroundUnknown, Misconfigured
from shared.domain.operations import COUNTRY_UNKNOWN, Operation, TaskOutcome
from shared.domain.policy import Policy, WhereUnknown, parse_period
from shared.downstreams.sql.declaration.dataset import Dataset
from shared.storage.postgres import connected
from tests.fixtures.cdr import ask, engine
from tests.fixtures.downstream import receipt
from tests.fixtures.mobile import DATASET, RULE, about, deferred
from tests.fixtures.policy import signed_policy


def by_country() -> Policy:
    """The signed policy in which a law of Germany keeps 24 months what everybody's rule keeps 18."""
    policy = signed_policy()
    calls, kind = policy.rules[RULE], policy.categories["call_record"]
    german = {"jurisdiction": "DE", "period": parse_period("P24M"), "told_as": frozenset()}
    rules = {**policy.rules, GERMAN: calls.model_copy(update=german)}
    kept_by = {"call_record": kind.model_copy(update={"kept_by": (GERMAN, RULE)})}
    return policy.with_other(rules=rules, categories={**policy.categories, **kept_by})


GERMAN = "calls_de_24m"


JURISDICTION = """
[tables.usage.jurisdiction]
column = "name"
via = [{ table = "line", on = { line_id = "id" } }, { table = "customer", on = { realm = "realm", owner = "number" } }]
words = { Allemagne = "DE" }
"""


async def test_a_rule_of_another_country_keeps_what_is_under_its_law_and_what_does_not_say_so(
    mobile_dsn: str, tmp_path: Path
) -> None:
    dataset = DATASET.replace('via = [{ table = "line", on = { line_id = "id" } }]', LED)
    (tmp_path / "mobile.toml").write_text(f"{dataset}{JURISDICTION}", encoding="utf-8")
    says = {"anna": " allemagne", "boris": "fr", "chiara": "XX", "dora": None}
    async with connected(mobile_dsn) as connection:
        for n, (who, country) in enumerate(says.items(), 1):
            await connection.execute(
                "INSERT INTO customer VALUES ($1, 'r', $1, $2, $3, NULL, false)", n, f"{who}@example.org", country
            )
            await connection.execute("INSERT INTO line VALUES ($1, 'r', $1, 'home', false)", n)
            rows = [(10 * n, n, date(2024, 12, 1)), (10 * n + 1, n, date(2026, 9, 30))]
            await connection.executemany("INSERT INTO usage VALUES ($1, $2, $3, 60, '+49', 'c', false)", rows)
    async with engine(mobile_dsn, tmp_path / "mobile.toml", {}, by_country()) as mobile:
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
        assert await ask(mobile_dsn, "SELECT name FROM customer ORDER BY id") == [(each,) for each in says.values()]
        again = deferred(tasks["boris"], datetime(2028, 3, 31, 12, tzinfo=UTC))
        assert receipt(await mobile.one(again)).outcome is TaskOutcome.ERASED, (
            "it says still that no German rule is for it"
        )


async def test_where_the_policy_says_so_a_person_decides_about_what_does_not_say_its_country(
    mobile_dsn: str, tmp_path: Path
) -> None:
    dataset = DATASET.replace('via = [{ table = "line", on = { line_id = "id" } }]', LED)
    (tmp_path / "mobile.toml").write_text(f"{dataset}{JURISDICTION}", encoding="utf-8")
    async with connected(mobile_dsn) as connection:
        for n, (who, country) in enumerate({"anna": "Allemagne", "boris": "fr", "chiara": "XX"}.items(), 1):
            await connection.execute(
                "INSERT INTO customer VALUES ($1, 'r', $1, $2, $3, NULL, false)", n, f"{who}@example.org", country
            )
            await connection.execute("INSERT INTO line VALUES ($1, 'r', $1, 'home', false)", n)
            await connection.execute("INSERT INTO usage VALUES ($1, $1, '2026-09-30', 60, '+49', 'c', false)", n)
    policy = by_country()
    asking = policy.rules[GERMAN].model_copy(update={"where_unknown": WhereUnknown.ASK})
    policy = policy.with_other(rules={**policy.rules, GERMAN: asking})
    async with engine(mobile_dsn, tmp_path / "mobile.toml", {}, policy) as mobile:
        for operation in (Operation.PLAN, Operation.ERASE):
            anna, boris, chiara = await mobile.run(
                *(about(f"{who}@example.org", operation) for who in ("anna", "boris", "chiara"))
            )
            assert [receipt(each).ground for each in (anna, boris)] == [GERMAN, RULE]
            assert isinstance(chiara, GroundUnknown)
            assert "calls_de_24m keeps where the law of DE applies" in str(chiara)
    assert (3,) in await ask(mobile_dsn, "SELECT id FROM usage WHERE seconds IS NOT NULL"), "nothing was done to it"


LED = (
    'via = [{ table = "line", on = { line_id = "id" } },'
    ' { table = "customer", on = { realm = "realm", owner = "number" } }]'
)


def test_what_says_the_country_of_kept_rows_stays_with_them_or_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mobile.toml").write_text(f"{DATASET}{JURISDICTION}", encoding="utf-8")
    with pytest.raises(Misconfigured, match="let the joins of jurisdiction be the beginning of a via"):
        Dataset.load(str(tmp_path / "mobile.toml"))
