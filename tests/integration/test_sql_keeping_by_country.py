"""A rule by the law of another country keeps every row, or a person is asked: no row says whose law it is under."""

from datetime import date
from pathlib import Path

import pytest

from shared.domain.errors import GroundUnknown
from shared.domain.operations import COUNTRY_UNKNOWN, Operation
from shared.domain.policy import WhereUnknown, parse_period
from shared.storage.postgres import connected
from tests.fixtures.cdr import engine
from tests.fixtures.downstream import receipt
from tests.fixtures.mobile import DATASET, RULE, about
from tests.fixtures.policy import signed_policy

GERMAN = "calls_de_24m"


@pytest.mark.parametrize("where_unknown", WhereUnknown)
async def test_a_rule_of_another_country_keeps_what_it_may_concern_or_has_a_person_asked(
    mobile_dsn: str, tmp_path: Path, where_unknown: WhereUnknown
) -> None:
    async with connected(mobile_dsn) as connection:
        await connection.execute("INSERT INTO customer VALUES (1, 'r', 1, 'anna@example.org', 'Anna', NULL, false)")
        await connection.execute("INSERT INTO line VALUES (1, 'r', 1, 'home', false)")
        await connection.execute("INSERT INTO usage VALUES (1, 1, '2026-09-30', 60, '+49', 'c', false)")
    (tmp_path / "mobile.toml").write_text(DATASET, encoding="utf-8")
    policy = signed_policy()
    calls, kind = policy.rules[RULE], policy.categories["call_record"]
    german = {"jurisdiction": "DE", "period": parse_period("P24M"), "told_as": frozenset()}
    german["where_unknown"] = where_unknown
    rules = {**policy.rules, GERMAN: calls.model_copy(update=german)}
    kept_by = {"call_record": kind.model_copy(update={"kept_by": (GERMAN, RULE)})}
    policy = policy.with_other(rules=rules, categories={**policy.categories, **kept_by})
    async with engine(mobile_dsn, tmp_path / "mobile.toml", {}, policy) as mobile:
        for operation in (Operation.PLAN, Operation.ERASE):
            result = await mobile.one(about("anna@example.org", operation))
            if where_unknown is WhereUnknown.ASK:
                assert isinstance(result, GroundUnknown)
                assert "calls_de_24m keeps where the law of DE applies" in str(result)
                continue
            told = receipt(result)
            calls_kept = [(k.rule, k.count, k.last) for k in told.kept or () if k.category == "call_record"]
            assert (told.ground, calls_kept) == (COUNTRY_UNKNOWN, [(GERMAN, 1, date(2028, 9, 30))])
