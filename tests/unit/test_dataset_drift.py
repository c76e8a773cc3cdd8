"""In what a database has drifted from its dataset is told table by table, and what is still the same is not."""

from typing import Any

import pytest

from shared.downstreams.sql.declaration.dataset import Dataset
from shared.downstreams.sql.drafting.drift import drift
from shared.downstreams.sql.drafting.shapes import Shapes, TableShape
from tests.unit.test_dataset_draft import key, table

COLUMNS = {
    "id": {"class": "T", "type": "bigint"},
    "email": {"class": "A", "identity": "email", "type": "text"},
    "data": {"class": "T"},
    "town": {"class": "M", "json": "data"},
}
DATASET = Dataset.model_validate(
    {
        "name": "shop",
        "impersonal": {"migration": ["id"]},
        "tables": {"customer": {"category": "account", "primary_key": ["id"], "columns": COLUMNS}},
    }
)
CUSTOMER, MIGRATION = table("customer", "id:bigint email data:jsonb"), table("migration", "id:int")


@pytest.mark.parametrize(
    ("tables", "told"),
    [
        ([CUSTOMER, MIGRATION], []),
        ([table("customer", "id:bigint email data:jsonb born:date")], [("column_new", "public.customer", "born")]),
        ([table("customer", "id:bigint data:jsonb")], [("column_gone", "public.customer", "email")]),
        ([table("customer", "id:text email data:text")], [("type_changed", "public.customer", "id")]),
        ([MIGRATION], [("table_gone", "public.customer", None)]),
        ([CUSTOMER, table("order", "id:int")], [("table_new", "public.order", None)]),
        ([CUSTOMER, table("order", "id:int", schema="far")], []),
        ([CUSTOMER, table("customer_view", "id:int", kind="view")], []),
        ([CUSTOMER, table("migration", "id:int by")], [("column_new", "public.migration", "by")]),
        (
            [CUSTOMER, table("order", "id:int who:int", key("who", "customer"), schema="far")],
            [("table_refers", "far.order", None)],
        ),
        (
            [CUSTOMER, table("migration", "id:int who:int", key("who", "customer"))],
            [("table_refers", "public.migration", None)],
        ),
    ],
)
def test_each_difference_is_told_once_with_what_to_do(tables: list[TableShape], told: list[tuple[Any, ...]]) -> None:
    found = drift(DATASET, Shapes("shop", {each.place: each for each in tables}), ["public"])
    assert [(each.kind, each.table, each.column) for each in found] == told
    assert all(each.says for each in found)


def test_a_table_is_about_people_or_about_nobody_and_not_both() -> None:
    declared = DATASET.model_dump(by_alias=True, exclude_unset=True)
    with pytest.raises(ValueError, match="table customer is declared, and impersonal names it too"):
        Dataset.model_validate({**declared, "impersonal": {"customer": ["id"]}})
