"""In which tables a restriction is obeyed, where some bear its switch and others do not (Art. 18)."""

from collections.abc import Mapping
from typing import Any

import pytest

from shared.downstreams.sql.changing.unswitched import reach
from shared.downstreams.sql.declaration.tables import Table


def table(*, via: str = "", key: str = "id", **said: Any) -> Table:
    """A table of a few columns; ``via``: the one to which its rows lead."""
    columns = {
        "id": {"class": "T"},
        "owner": {"class": "T"},
        "account": {"class": "A", "identity": "account_id"},
        "email": {"class": "A", "identity": "email"},
        "restricted": {"class": "T"},
    }
    used = {name: columns[name] for name in {"id", "owner", key, *said.pop("columns", ())}}
    if via:
        said["via"] = [{"table": via, "on": {"owner": "id"}}]
    if said.pop("switch", False):
        said["restriction"] = {"column": "restricted", "value": True}
        used["restricted"] = columns["restricted"]
    return Table.model_validate({"category": "any", "primary_key": [key], "columns": used, **said})


CUSTOMER = table(key="account", switch=True)


@pytest.mark.parametrize(
    ("tables", "reached"),
    [
        ({"customer": CUSTOMER, "news": table(columns=["email"])}, {"customer"}),
        ({"customer": CUSTOMER, "call": table(columns=["account"])}, {"customer", "call"}),
        (
            {"order": table(via="customer"), "item": table(via="order"), "customer": CUSTOMER},
            {"customer", "order", "item"},
        ),
        ({"order": table(via="customer"), "item": table(via="order")}, set()),
        ({"call": table(columns=["account"], switch=True), "customer": table(key="account")}, {"call"}),
    ],
    ids=[
        "by an address",
        "by the account",
        "through others",
        "no switch",
        "not of one account",
    ],
)
def test_a_restriction_reaches_what_bears_the_switch_and_what_leads_there(
    tables: Mapping[str, Table], reached: set[str]
) -> None:
    assert reach(tables) == reached
