"""A table that is filed by an account alone says so where it could not be searched, beside one that was."""

from pathlib import Path

from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation, TaskOutcome, Unsearched
from shared.downstreams.contract import Receipt
from shared.downstreams.sql.catalog import Relation
from shared.downstreams.sql.declaration.dataset import Dataset
from shared.downstreams.sql.finding.examination import covered
from shared.downstreams.sql.statements import Statements
from tests.fixtures.downstream import email, task

SHOP = """
name = "shop"
[tables.reader]
category = "contact"
primary_key = ["id"]
columns = { id = { class = "T" }, email = { class = "A", identity = "email" } }
[tables.bill]
category = "invoice"
primary_key = ["id"]
columns = { id = { class = "T" }, owner = { class = "A", identity = "account_id" } }
"""


def test_what_was_not_searched_for_want_of_an_account_is_told_by_its_kind_of_data(tmp_path: Path) -> None:
    (tmp_path / "shop.toml").write_text(SHOP, encoding="utf-8")
    declared = Dataset.load(str(tmp_path / "shop.toml")).tables
    types = Relation({"id": "integer", "email": "text", "owner": "text"}, frozenset())
    tables = [Statements("public", name, table, types) for name, table in declared.items()]
    account = Identity(IdentityType.ACCOUNT_ID, "C-19")
    asked = [task(Operation.EXPORT, email("ada@example.org")), task(Operation.EXPORT, email("b@example.org"), account)]
    found = [Receipt(each.task_id, TaskOutcome.NO_MATCH) for each in asked]
    without, known = covered(tables, asked, found)
    assert isinstance(without, Receipt)
    assert isinstance(known, Receipt)
    assert (without.not_searched, without.categories, without.by_account) == (
        Unsearched.NO_ACCOUNT,
        ("contact",),
        ("invoice",),
    )
    assert (known.not_searched, known.categories, known.by_account) == (None, ("contact", "invoice"), None)
