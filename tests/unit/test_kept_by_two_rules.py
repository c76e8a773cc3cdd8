"""What is told of rows that two rules keep: each counts its period from the local day in its own zone."""

from dataclasses import replace
from datetime import UTC, date, datetime

from shared.domain.policy import parse_period
from shared.downstreams.sql.catalog import Relation
from shared.downstreams.sql.declaration.dataset import Dataset
from shared.downstreams.sql.declaration.tenancy import Tenancy
from shared.downstreams.sql.keeping.counting import Rows
from shared.downstreams.sql.keeping.rules import Ruled
from shared.downstreams.sql.statements import Statements
from tests.fixtures.policy import signed_policy

_NEW_YEAR_IN_BERLIN = datetime(2025, 12, 31, 23, 30, tzinfo=UTC)


def test_each_of_two_rules_counts_from_the_local_day_in_its_own_zone() -> None:
    table = Dataset.load("kamailio").tables["acc_cdrs"]
    types = dict.fromkeys(table.columns, "text") | {"start_time": "timestamp with time zone"}
    plain = Statements("public", "acc_cdrs", table, Relation(types, frozenset()), Tenancy({None: ("ours",)}))
    rule, today = signed_policy().rules["calls_us_18m"], date(2026, 1, 10)
    longer = Ruled(plain, "in_berlin", rule, parse_period("P18M"), "Europe/Berlin", today)
    shorter = Ruled(plain, "in_new_york", rule, parse_period("P6M"), "America/New_York", today)
    told = replace(shorter, longer=(longer,)).kept(Rows(1, _NEW_YEAR_IN_BERLIN, _NEW_YEAR_IN_BERLIN))
    assert (told.rule, told.first, told.last) == ("in_berlin", date(2027, 7, 1), date(2027, 7, 1))
    assert (told.anchor, told.reduced) == (date(2025, 12, 31), date(2026, 6, 30))
    alone = longer.kept(Rows(1, _NEW_YEAR_IN_BERLIN, _NEW_YEAR_IN_BERLIN))
    assert (alone.first, alone.anchor, alone.reduced) == (date(2027, 7, 1), date(2026, 1, 1), None)
