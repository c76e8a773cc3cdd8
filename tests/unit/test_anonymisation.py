"""A dataset says of every column what becomes of it when its people go, and keeps nothing that leads back to them."""

from pathlib import Path

import pytest

from shared.domain.errors import Misconfigured
from shared.downstreams.sql.declaration.dataset import Dataset
from shared.downstreams.sql.inspection import Found, SeenColumn, faults_of
from shared.downstreams.sql.quoting import quoted

ANONYMISE = """
blank = ["client", "account"]
redraw = ["id"]
coarsen = { at = "month" }
rare = ["country"]
same = ["kind"]
person = "client"
"""
VISITS = """
name = "visits"
[tables.visit]
category = "analytics"
primary_key = ["id"]
anchors = {{ event = {{ column = "at" }} }}
[tables.visit.anonymise]
{anonymise}
[tables.visit.columns]
id = {{ class = "T" }}
at = {{ class = "M" }}
client = {{ class = "A" }}
account = {{ class = "A", identity = "account_id" }}
account_key = {{ class = "A", identity = "account_id", generated = true }}
country = {{ class = "M" }}
kind = {{ class = "M" }}
"""


def load(tmp_path: Path, anonymise: str, text: str = VISITS) -> Dataset:
    path = tmp_path / "visits.toml"
    path.write_text(text.format(anonymise=anonymise), encoding="utf-8")
    return Dataset.load(str(path))


def test_every_column_has_its_end(tmp_path: Path) -> None:
    declared = load(tmp_path, ANONYMISE).tables["visit"].anonymise
    assert declared is not None
    assert (declared.coarsen, declared.people) == ({"at": "month"}, 10)


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ('same = ["kind"]', "", "does not say what becomes of column kind: name it in blank, redraw"),
        ('"account"]', '"account", "kind"]', "names column kind twice"),
        ('"account"]', '"account", "place"]', "names column place, which is not declared"),
        ('"account"]', '"account", "account_key"]', "names account_key, which follows from another column"),
        ('["client", "account"]', '["client"]', "does not say what becomes of column account"),
        ('same = ["kind"]', 'same = ["kind", "account"]', "names column account twice"),
        ('["country"]', '["country", "account"]', "names column account twice"),
        ('person = "client"', "", "rare needs person"),
        ('person = "client"', 'person = "country"', "tells people apart by country, which must go"),
    ],
)
def test_what_would_leave_somebody_in_it_is_refused(tmp_path: Path, before: str, after: str, says: str) -> None:
    assert before in ANONYMISE
    with pytest.raises(Misconfigured, match=says):
        load(tmp_path, ANONYMISE.replace(before, after))


def test_what_tells_who_it_is_about_is_kept_in_no_way(tmp_path: Path) -> None:
    keeps = ANONYMISE.replace('"client", "account"', '"client"').replace('["kind"]', '["kind", "account"]')
    with pytest.raises(Misconfigured, match="keeps account, which tells who it is about: name it in blank"):
        load(tmp_path, keeps)


def test_a_row_without_an_anchor_never_loses_its_people(tmp_path: Path) -> None:
    text = VISITS.replace('anchors = {{ event = {{ column = "at" }} }}\n', "")
    with pytest.raises(Misconfigured, match="anonymise needs anchors"):
        load(tmp_path, ANONYMISE, text)


def test_an_anchor_is_a_declared_column(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="anchors names column seen, which is not declared"):
        load(tmp_path, ANONYMISE, VISITS.replace('column = "at"', 'column = "seen"'))


def test_rows_of_nobody_knows_whose_customer_are_not_counted_by_our_periods(tmp_path: Path) -> None:
    other = VISITS + '\n[tables.log]\ncategory = "analytics"\nprimary_key = ["id"]\ntenant = "owner"\n'
    other += '[tables.log.columns]\nid = {{ class = "T" }}\nowner = {{ class = "T" }}\n'
    other += 'account = {{ class = "A", identity = "account_id" }}\n'
    with pytest.raises(Misconfigured, match="visit"):
        load(tmp_path, ANONYMISE, other)


def test_a_check_asks_for_the_right_to_change_what_a_night_anonymises(tmp_path: Path) -> None:
    table = load(tmp_path, ANONYMISE).tables["visit"]
    may = {name: SeenColumn(readable=True, changeable=name in {"client", "kind"}) for name in table.columns}
    found = Found(may, insertable=False, deletable=True)
    told = [*faults_of(("public", "visit"), table, found, "dsr_web", quoted)]
    granted = 'GRANT UPDATE ("account", "at", "country", "id") ON "public"."visit" TO dsr_web'
    assert told == [f"this role may not do what is declared: let the owner run {granted}"]
