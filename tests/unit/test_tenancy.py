"""Whose a row is, is declared for every table and every value, or the file is refused with what to write."""

from pathlib import Path

import pytest

from shared.domain.errors import Misconfigured
from shared.downstreams.sql.declaration.dataset import Dataset
from shared.downstreams.sql.declaration.tenancy import Tenancy
from shared.downstreams.sql.settings import SqlSettings
from tests.unit.test_registry import load

DATASET = """
name = "calls"
[tables.calls]
category = "call"
primary_key = ["id"]
tenant = "served"
columns = { id = { class = "T" }, served = { class = "T" }, src = { class = "A", identity = "phone" } }
[tables.notes]
category = "note"
primary_key = ["id"]
ours = true
columns = { id = { class = "T" }, src = { class = "A", identity = "phone" } }
"""
TABLE = '[calls]\nadapter = "sql"\ndsn_env = "DSN"\ndataset = "calls.toml"\nneeds = ["phone"]\n'
OURS, TENANTS = 'ours = ["sip.us"]\n', 'tenants = { acme = ["Sip.Acme", "pbx.acme"], beta = ["sip.beta"] }\n'
DSN = {"DSN": "postgresql://us@127.0.0.1/calls"}


@pytest.mark.parametrize(
    ("dataset", "table", "says"),
    [
        (DATASET, "", r"\[calls\]: the dataset calls tells tenants apart: write ours = "),
        (DATASET, TENANTS, "write ours = "),
        (DATASET, OURS + TENANTS.replace("sip.beta", "SIP.us"), "sip.us is declared of two"),
        (DATASET, OURS + 'tenants = { Acme = ["sip.acme"] }\n', "tenants"),
        (DATASET, OURS + "tenants = { acme = [] }\n", "tenants"),
        (DATASET.replace("ours = true\n", ""), OURS, "notes does not say whose its rows are: write tenant"),
        (DATASET.replace('tenant = "served"\n', 'tenant = "served"\nours = true\n'), OURS, "its rows are not all ours"),
        (DATASET.replace('tenant = "served"', 'tenant = "whose"'), OURS, "tenant names column whose"),
        (DATASET.replace('tenant = "served"\n', ""), OURS, "no table of the dataset calls tells tenants apart"),
    ],
)
def test_what_does_not_say_whose_each_row_is_is_refused_with_what_to_write(
    tmp_path: Path, dataset: str, table: str, says: str
) -> None:
    (tmp_path / "calls.toml").write_text(dataset)
    with pytest.raises(Misconfigured, match=says):
        load(tmp_path, TABLE + table, DSN)


def test_a_system_is_asked_for_the_customers_that_its_table_names_and_for_no_other(tmp_path: Path) -> None:
    (tmp_path / "calls.toml").write_text(DATASET)
    calls = load(tmp_path, TABLE + OURS + TENANTS, DSN).get("calls")
    assert [calls.tells_apart(tenant) for tenant in (None, "acme", "beta", "gamma")] == [True, True, True, False]


@pytest.mark.parametrize(
    ("written", "owner"),
    [
        ("sip.us", ""),
        ("SIP.US", ""),
        ("sip.acme", "acme"),
        ("pbx.acme", "acme"),
        ("acme", "?acme"),
        (None, "?"),
        (7, "?7"),
    ],
)
def test_a_row_is_whose_its_value_is_declared_to_be_in_any_case_and_else_nobodys(
    tmp_path: Path, written: object, owner: str
) -> None:
    (tmp_path / "calls.toml").write_text(DATASET)
    dataset = Dataset.load(str(tmp_path / "calls.toml"))
    tenants = {"acme": ("Sip.Acme", "pbx.acme")}
    settings = SqlSettings(dsn_env="DSN", dataset="calls.toml", ours=("sip.us",), tenants=tenants)
    assert Tenancy.of(settings, dataset).owner(written) == owner
