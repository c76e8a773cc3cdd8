"""Under which country's law a row is, as its words say it; what nobody can tell is never the shorter keeping."""

from pathlib import Path

import pytest

from shared.downstreams.sql.catalog import Relation
from shared.downstreams.sql.declaration.dataset import Dataset
from shared.downstreams.sql.declaration.jurisdiction import Jurisdiction
from shared.downstreams.sql.declaration.tables import Table
from shared.downstreams.sql.finding.jurisdiction import Area, areas, under
from shared.downstreams.sql.statements import Statements

CALLS = """
name = "calls"
[tables.call]
category = "call_record"
primary_key = ["id"]
jurisdiction = { column = "country" }
columns = { id = { class = "T" }, email = { class = "A", identity = "email" }, country = { class = "T" } }
"""


def declared(tmp_path: Path) -> Table:
    (tmp_path / "calls.toml").write_text(CALLS, encoding="utf-8")
    return Dataset.load(str(tmp_path / "calls.toml")).tables["call"]


@pytest.mark.parametrize(
    ("said", "country"),
    [
        *(("DE", "DE"), (" de ", "DE"), ("Germany", "DE"), ("FX", "FR"), ("US", "US")),
        *(("XX", None), ("EU", None), ("D", None), ("", None), (None, None)),
    ],
)
def test_of_a_word_that_means_no_country_nobody_knows_whose_law_a_row_is_under(
    said: str | None, country: str | None
) -> None:
    assert Jurisdiction(column="c", words={"GERMANY": "DE", "fx": "FR"}).of(said) == country


def test_a_law_that_no_row_can_name_may_be_that_of_every_row(tmp_path: Path) -> None:
    table = Statements("public", "call", declared(tmp_path), Relation({}, frozenset()))
    assert areas(table, {"UK"}) == [Area("", frozenset({"UK"}))], "the country is GB, and no word means this one"
    found = areas(table, {"UK", "DE"})
    assert [sorted(each.may_be_of) for each in found] == [["DE", "UK"], ["UK"], ["DE", "UK"]]
    assert [each.is_of for each in found] == ["DE", None, None], "and of no row it is shown"
    assert under(table, "UK") == "false", "so no maximum of it ends anything"
