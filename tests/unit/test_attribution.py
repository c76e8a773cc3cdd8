"""Whose rows are, where a number changed hands: the worked example of ``attribute``, row by row."""

from datetime import UTC, datetime

import pytest

from shared.domain.identities import IdentityType
from shared.downstreams.sql.catalog import Relation
from shared.downstreams.sql.declaration.tables import Table
from shared.downstreams.sql.finding.attribution import attribute
from shared.downstreams.sql.finding.search_keys import SearchKey, wanted
from shared.downstreams.sql.statements import Statements

NUMBER = "+34688886392"
TABLE = Table.model_validate(
    {
        "category": "call",
        "primary_key": ["at"],
        "occurred": {"column": "at"},
        "columns": {"at": {"class": "T"}, "number": {"class": "A", "identity": "phone"}},
    }
)


def day(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-{text}").replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("first", "last", "rows", "strays", "mixed"),
    [
        ("01-02", "01-09", {0: 7}, set(), set()),
        ("01-05", "03-02", {}, {0, 1}, {0, 1}),
        ("02-01", "02-20", {}, {0, 1}, set()),
        ("03-05", "03-20", {1: 7}, set(), set()),
    ],
)
@pytest.mark.parametrize("held_twice", [False, True])
def test_rows_count_for_the_holder_of_their_time(
    first: str, last: str, rows: dict[int, int], strays: set[int], mixed: set[int], *, held_twice: bool
) -> None:
    until, since = (
        SearchKey(IdentityType.PHONE, NUMBER, None, day("01-10"), table="call"),
        SearchKey(IdentityType.PHONE, NUMBER, day("03-01"), table="call"),
    )
    later = (
        [SearchKey(IdentityType.PHONE, NUMBER, day("11-01"), table="call")] if held_twice else []
    )  # in which order makes no difference
    statements = Statements("public", "call", TABLE, Relation({}, ()))
    asked = wanted([[until, *later], [*later, since]], statements.slots)
    found = attribute([(NUMBER, 7, day(first), day(last))], statements, asked)  # type: ignore[list-item]
    assert (found.rows, found.strays, found.mixed) == (rows, strays, mixed)
