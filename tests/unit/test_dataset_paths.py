"""Paths from a table of a dataset to the person: one that leads to nobody is refused by name."""

from pathlib import Path

import pytest

from shared.domain.errors import Misconfigured
from tests.unit.test_dataset import load

JOINED = """
name = "shop"
[tables.customer]
category = "account"
primary_key = ["id"]
columns = { id = { class = "T" }, email = { class = "A", identity = "email" } }
[tables.order]
category = "order"
primary_key = ["id"]
via = [{ table = "customer", on = { customer_id = "id" } }]
columns = { id = { class = "T" }, customer_id = { class = "T" } }
"""
TO_ORDER = 'primary_key = ["id"]\nvia = [{ table = "order", on = { id = "customer_id" } }]'


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ('{ table = "customer"', '{ table = "client"', "via ends at client, which is not declared"),
        ("{ customer_id =", "{ client =", "via names column client"),
        ('"id" } }]', '{ is = "5" } } }]', "the join with customer names no column of it"),
        (
            'on = { customer_id = "id" }',
            'on = { customer_id = "id" }, party = "buyer"',
            "party buyer, which it has not",
        ),
        ("via = [{", 'where = [{ column = "id" }]\nvia = [{', "needs either in = "),
        ("via = [{", 'erase = "blank"\nvia = [{', "leaves customer_id, by which its person is found"),
        ('via = [{ table = "customer", on = { customer_id = "id" } }]\n', "", "table which does, as via = "),
        ('primary_key = ["id"]', TO_ORDER, "via leads round in a circle"),
    ],
)
def test_a_path_that_leads_to_nobody_is_refused_by_name(tmp_path: Path, before: str, after: str, says: str) -> None:
    load(tmp_path, JOINED)
    with pytest.raises(Misconfigured, match=says):
        load(tmp_path, JOINED.replace(before, after, 1))
