"""A file of assignments: what it says, and the line that cannot be used, without what stands in it."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from shared.domain.assignments import AssignedNumber, Line
from shared.domain.errors import Misconfigured
from shared.domain.identities import Identity, IdentityType
from shared.fulfilment.assignments import rows_of

HEADER = "number,account_id,valid_from,valid_to,line\n"
JANUARY, MARCH = datetime(2025, 1, 1, tzinfo=UTC), datetime(2025, 3, 1, tzinfo=UTC)


def test_a_file_says_whose_each_number_is(tmp_path: Path) -> None:
    file = tmp_path / "numbers.csv"
    file.write_text(
        f"{HEADER}+442079460000,C1,2025-01-01T00:00:00Z,2025-03-01T01:00:00+01:00,personal\n"
        "sip:Ada@PBX.example.org,C2,2025-01-01T00:00:00+00:00,,shared\n"
    )
    assert list(rows_of(file)) == [
        AssignedNumber(Identity(IdentityType.PHONE, "+442079460000", JANUARY, MARCH), "C1"),
        AssignedNumber(Identity(IdentityType.SIP_URI, "sip:Ada@pbx.example.org", JANUARY), "C2", Line.SHARED),
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("number;account\n", "the first line must be number,account_id,valid_from,valid_to,line"),
        ("", "the first line must be"),
        (f"{HEADER}4420794,C1,2025-01-01T00:00:00Z,,personal\n", "line 2: not a"),
        (f"{HEADER}+442079460000,C1,2025-01-01,,personal\n", "line 2: a time, a line or a field"),
        (f"{HEADER}+442079460000,C1,soon,,personal\n", "line 2: a time"),
        (f"{HEADER}+442079460000,C1,2025-01-01T00:00:00Z,2024-01-01T00:00:00Z,personal\n", "line 2: a time"),
        (f"{HEADER}+442079460000,C1,2025-01-01T00:00:00Z,,both\n", "line 2: a time"),
        (f"{HEADER}+442079460000,C1\n", "line 2: a time"),
        (f"{HEADER}+442079460000,,2025-01-01T00:00:00Z,,personal\n", "line 2: not an account id"),
    ],
)
def test_a_line_that_cannot_be_used_is_named_and_not_repeated(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "numbers.csv"
    file.write_text(text)
    with pytest.raises(Misconfigured) as caught:
        list(rows_of(file))
    assert says in str(caught.value)
    assert "4420794" not in str(caught.value)
