"""In what order rows go whose tables refer to one another, and where none can go first."""

import pytest

from shared.downstreams.sql.catalog import DatasetOutdated
from shared.downstreams.sql.declaration.dataset import Dataset
from shared.downstreams.sql.references import Reference, arranged, of_one_person

TABLE = {"category": "x", "primary_key": ["id"], "columns": {"id": {"class": "A", "identity": "email"}}}
DATASET = Dataset.model_validate({"name": "some", "tables": dict.fromkeys(("a", "b", "c"), TABLE)})


def key(ends: str, action: str = "a", *, deferrable: bool = False, nullable: bool = False) -> Reference:
    """A foreign key, from the first to the second of two tables."""
    child, parent = (*ends,)
    return Reference(ends, ("public", child), child, parent, ("x",), ("id",), action, deferrable, nullable)


@pytest.mark.parametrize(
    ("keys", "order", "deferred", "emptied"),
    [
        ([], "abc", "", ""),
        ([key("cb"), key("ba")], "cba", "", ""),
        ([key("aa")], "abc", "", ""),
        ([key("ab"), key("ba", "n")], "abc", "", ""),
        ([key("ab"), key("ba", deferrable=True, nullable=True)], "abc", "ba", ""),
        ([key("ab"), key("ba", "c", deferrable=True, nullable=True)], "abc", "", "ba"),
        ([key("ab", "r"), key("bc", nullable=True), key("ca", "r")], "cab", "", "bc"),
    ],
)
def test_what_refers_goes_before_what_it_refers_to(
    keys: list[Reference], order: str, deferred: str, emptied: str
) -> None:
    found = arranged(DATASET, tuple(keys))
    assert "".join(found.order) == order
    assert ["".join(k.name for k in some) for some in (found.deferred, found.emptied)] == [deferred, emptied]


def test_a_circle_that_nothing_opens_is_refused_with_what_to_change() -> None:
    with pytest.raises(
        DatasetOutdated, match=r"a to b \(ab\), b to a \(ba\); make one of these foreign keys DEFERRABLE"
    ):
        arranged(DATASET, (key("ab"), key("ba", "c", deferrable=True)))


@pytest.mark.parametrize(
    ("child", "parent", "action", "same"),
    [
        ("account_id", "account_id", "a", True),
        ("account_id", "account_id", "c", True),
        ("account_id", "account_id", "n", False),
        ("email", "account_id", "a", False),
        (None, "account_id", "a", False),
        ("account_id", None, "a", False),
    ],
    ids=["the same", "taken along", "let go", "another kind", "no identity", "of nobody"],
)
def test_a_row_and_the_one_that_it_refers_to_are_of_one_person_where_both_are_found_by_that(
    child: str | None, parent: str | None, action: str, *, same: bool
) -> None:
    def table(name: str, found_by: str | None) -> dict[str, object]:
        held = {"class": "A"} | ({"identity": found_by} if found_by else {})
        columns = {"id": {"class": "T"}, name: held, "mail": {"class": "A", "identity": "email"}}
        return {"category": "x", "primary_key": ["id"], "columns": columns}

    tables = Dataset.model_validate(
        {"name": "some", "tables": {"a": table("x", child), "b": table("y", parent)}}
    ).tables
    refers = Reference("ab", ("public", "a"), "a", "b", ("x",), ("y",), action, deferrable=False, nullable=True)
    assert of_one_person(refers, tables) is same
