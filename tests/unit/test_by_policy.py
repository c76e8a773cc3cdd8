"""What the policy does with a category on the day of an erasure is declared in the dataset, or refused by name."""

from pathlib import Path

import pytest

from shared.domain.policy import read_policy
from shared.downstreams.sql.by_policy import undeclared
from shared.downstreams.sql.dataset import Dataset
from shared.downstreams.sql.mariadb.unsupported import kept_by_policy
from tests.fixtures.policy import doing

TEXT = """
name = "shop"
[tables.visit]
category = "analytics"
primary_key = ["id"]
anchors = { event_time = { column = "at" } }
{more}
[tables.visit.columns]
id = { class = "T" }
at = { class = "M" }
email = { class = "A", identity = "email"{party} }
"""
ANONYMISE = 'anonymise = { blank = ["email"], redraw = ["id"], coarsen = { at = "month" } }'
PARTIES = "parties = { a = {}, b = {} }"


def dataset(tmp_path: Path, more: str = "") -> Dataset:
    party = ', party = "a"' if "parties" in more else ""
    text = TEXT.replace("{more}", more).replace("{party}", party)
    if party:
        text += 'other = { class = "A", party = "b" }\n'
        text = text.replace('blank = ["email"]', 'blank = ["email", "other"]')
    (tmp_path / "shop.toml").write_text(text, encoding="utf-8")
    return Dataset.load(str(tmp_path / "shop.toml"))


def folder(tmp_path: Path) -> Path:
    (tmp_path / "over").mkdir()
    return tmp_path / "over"


@pytest.mark.parametrize(
    ("on_erasure", "ruled", "more", "says"),
    [
        ("delete", False, "", None),
        ("keep", False, "", "no rule of its kept_by says on which ground and until when"),
        ("keep", True, "", "declare anchors.event_time and keeps"),
        ("restrict", True, "", "declare anchors.event_time and keeps"),
        ("anonymise", False, "", "declare anonymise"),
        ("anonymise", False, ANONYMISE, None),
        ("anonymise", False, f'{ANONYMISE}\n{PARTIES}\nerase = "blank"', "several people are in a row"),
    ],
)
def test_what_a_store_cannot_do_with_a_category_is_said_by_name_and_nothing_is_deleted_instead(
    tmp_path: Path, on_erasure: str, more: str, says: str | None, *, ruled: bool
) -> None:
    found = list(undeclared(dataset(tmp_path, more), doing(folder(tmp_path), on_erasure, ruled=ruled)))
    assert [says in each for each in found if says] == ([True] if says else [])
    assert len(found) == (1 if says else 0)


@pytest.mark.parametrize(("on_erasure", "by_hand"), [("delete", False), ("keep", True), ("anonymise", True)])
def test_on_mariadb_a_person_does_what_is_not_deleting(tmp_path: Path, on_erasure: str, *, by_hand: bool) -> None:
    assert bool([*kept_by_policy(dataset(tmp_path), doing(folder(tmp_path), on_erasure))]) is by_hand


def test_what_customers_alone_decide_about_is_not_ours_to_keep(tmp_path: Path) -> None:
    text = TEXT.replace("{more}", 'tenant = "owner"').replace("{party}", "").replace('"analytics"', '"recording"')
    (tmp_path / "pbx.toml").write_text(f'{text}owner = {{ class = "T" }}\n', encoding="utf-8")
    assert not [*undeclared(Dataset.load(str(tmp_path / "pbx.toml")), read_policy())]
