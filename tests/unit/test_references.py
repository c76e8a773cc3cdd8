"""In what order rows go whose tables refer to one another, and where none can go first."""

import pytest

from shared.downstreams.sql.catalog import DatasetOutdated
from shared.downstreams.sql.declaration.dataset import Dataset
from shared.downstreams.sql.references import Reference, arranged

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
