"""What tests/acceptance/README.md names is there: a test for each number of the reviews, and for all that is shown."""

import re
from collections.abc import Mapping
from pathlib import Path

PAGE = Path("tests/acceptance/README.md").read_text(encoding="utf-8")
NUMBERS = (
    *(f"C{number}" for number in (1, 2, 3, 4, 5, 7, 8, 9, 10, 11)),
    *(f"M{number}" for number in (3, 4, 5, 6, 10, 11, 12, 13, 14, 15, 17)),
    *(f"S{number}" for number in (1, 3, 8, 10, 19)),
)


def test_every_number_has_a_test_and_every_test_that_is_named_exists() -> None:
    rows = {
        number: row
        for row in re.findall(r"^\| ([CMS]\d.*)$", PAGE, re.MULTILINE)
        for number in re.findall(r"[CMS]\d+", row.split("|")[0])
    }
    assert rows.keys() == set(NUMBERS)
    _named_and_there(rows)


def test_all_that_is_shown_of_what_is_kept_has_a_test_that_exists() -> None:
    table = PAGE.partition("| shown | by |\n|---|---|\n")[2].partition("\n\n")[0]
    _named_and_there({row: row for row in table.splitlines()})


def _named_and_there(rows: Mapping[str, str]) -> None:
    assert rows
    for number, row in rows.items():
        named = re.findall(r"`([\w/]+\.py)::(\w+)`", row)
        assert named, number
        absent = [
            name for file, name in named if f"def {name}(" not in (Path("tests") / file).read_text(encoding="utf-8")
        ]
        assert absent == [], number
