"""What a table must say so that a rule can keep rows of it: what is missing is said with what to write."""

import re
from typing import Any

import pytest
from pydantic import ValidationError

from shared.downstreams.sql.declaration.tables import Table

CONTRACT: dict[str, Any] = {
    "category": "contract",
    "primary_key": ["id"],
    "columns": {
        "id": {"class": "T"},
        "email": {"class": "A", "identity": "email"},
        "ended": {"class": "M"},
        "signed": {"class": "M"},
        "kept": {"class": "T"},
    },
    "occurred": {"column": "ended"},
    "anchors": {"relationship_end": {"column": "ended"}},
    "keeps": {"fields": {"name": []}},
    "kept": {"column": "kept", "value": True},
}


@pytest.mark.parametrize(
    ("instead", "says"),
    [
        ({"occurred": None}, 'keeps needs occurred, by which .*: write occurred = { column = "ended" }'),
        ({"occurred": {"column": "signed"}}, "occurred names signed and anchors name ended; let both name the one"),
        ({"anchors": {}}, "there are no anchors: name in anchors the one from which its rule counts"),
        (
            {"anchors": {"relationship_end": {"column": "ended"}, "invoice_date": {"column": "signed"}}},
            "anchors name ended, signed: name in anchors the one",
        ),
    ],
)
def test_what_keeps_lacks_is_said_with_what_to_write(instead: dict[str, Any], says: str) -> None:
    Table.model_validate(CONTRACT)
    with pytest.raises(ValidationError) as wrong:
        Table.model_validate(CONTRACT | instead)
    assert re.search(says, str(wrong.value))
