"""How else a switch may have written a number: only what can be read as nothing else."""

import pytest

from shared.domain.spellings import spellings


@pytest.mark.parametrize(
    ("number", "region", "written"),
    [
        ("+34688886392", "ES", {"688886392"}),
        ("+34688886392", "GB", set()),
        ("+442079460000", "GB", {"02079460000"}),
        ("+34688886392", "US", {"01134688886392"}),
        ("+390612345678", "IT", {"0612345678"}),
    ],
)
def test_a_number_is_written_abroad_and_at_home_as_it_is_dialled(number: str, region: str, written: set[str]) -> None:
    digits = number[1:]
    found = spellings(number, region)
    assert found[0] == number
    assert set(found) == {number, digits, f"00{digits}", f"000{digits}"} | written


def test_what_would_be_somebody_elses_too_is_not_searched() -> None:
    arkansas, norway = "+14792123456", "+4792123456"
    assert "4792123456" not in spellings(arkansas, "US") + spellings(norway, "US")
    assert "4792123456" in spellings(norway, "NO")
