"""What is said to PostgreSQL about a table without joins: the set-wise statements whose plans were measured."""

from datetime import UTC, date, datetime
from pathlib import Path

from shared.domain.identities import IdentityType
from shared.domain.policy import parse_period
from shared.downstreams.sql.catalog import Relation
from shared.downstreams.sql.declaration.dataset import Dataset
from shared.downstreams.sql.declaration.tenancy import Tenancy
from shared.downstreams.sql.finding.search_keys import SearchKey
from shared.downstreams.sql.keeping.rules import Ruled
from shared.downstreams.sql.statements import Statements
from tests.fixtures.customer_store import DATASET
from tests.fixtures.policy import signed_policy

GOLDEN = Path(__file__).parent / "golden" / "statements.sql"
_SINCE = datetime(2026, 1, 1, tzinfo=UTC)
OURS = Tenancy({None: ("voice.example.com",)})


def texts(dataset: Dataset, name: str) -> dict[str, str]:
    """Every statement of one table, as far as it has it."""
    table = dataset.tables[name]
    types = dict.fromkeys(table.columns, "text") | ({table.occurred.column: "timestamptz"} if table.occurred else {})
    said = Statements("public", name, table, Relation(types, frozenset({min(table.searched)})), OURS)
    keys = [
        SearchKey(kind, value, since if table.occurred else None, table=name)
        for kind in table.types
        for value, since in (("a", None), ("b", _SINCE))
    ]
    named = {
        "count": said.count,
        "delete": said.delete,
        "foreign": "; ".join(said.foreign),
        "select": said.select(list(table.columns)[:2]),
        "unattributed": said.unattributed or "",
        "count one": said.count_one(keys)[0],
        **{f"erase one {n}": call[0] for n, call in enumerate(said.erase_one(keys))},
    }
    return named | ({f"blank {n}": text for n, text in enumerate(said.blank)} if table.erase == "blank" else {})


def test_a_rule_and_a_bill_change_no_statement_of_a_table_but_by_a_condition(tmp_path: Path) -> None:
    (tmp_path / "customers.toml").write_text(DATASET, encoding="utf-8")
    table = Dataset.load("kamailio").tables["acc_cdrs"]
    types = dict.fromkeys(table.columns, "text") | {"start_time": "timestamp without time zone"}
    plain = Statements("public", "acc_cdrs", table, Relation(types, frozenset()), OURS)
    policy = signed_policy()
    name, rule = "calls_us_18m", policy.rules["calls_us_18m"]
    each = Ruled(plain, name, rule, parse_period("P18M"), "America/New_York", date(2026, 10, 1))
    condition = """ AND t."start_time" < '2025-04-01T04:00:00'::timestamp without time zone"""
    assert each.due.count.replace(condition, "") == plain.count
    assert each.due.count != plain.count
    assert all(condition in statement for statement in each.due.blank)
    assert f"({condition.removeprefix(' AND ')}) IS NOT TRUE" in each.within.count


def test_a_table_without_joins_is_asked_as_it_always_was(tmp_path: Path) -> None:
    (tmp_path / "customers.toml").write_text(DATASET, encoding="utf-8")
    tables = [("kamailio", "acc_cdrs"), *((str(tmp_path / "customers.toml"), name) for name in ("customer", "contact"))]
    said = [
        f"-- {name}: {what}\n{text};\n"
        for where, name in tables
        for what, text in texts(Dataset.load(where), name).items()
    ]
    assert IdentityType.EMAIL in Dataset.load(tables[1][0]).tables["customer"].types
    assert "".join(said) == GOLDEN.read_text(encoding="utf-8")
