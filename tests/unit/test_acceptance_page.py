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
    assert _without_a_test(rows) == []


def test_all_that_is_shown_of_what_is_kept_has_a_test_that_exists() -> None:
    shown = PAGE.partition("| shown | by |\n|---|---|\n")[2].partition("\n\n")[0].splitlines()
    assert shown
    assert _without_a_test({row: row for row in shown}) == []


def _without_a_test(rows: Mapping[str, str]) -> list[str]:
    """Rows that name no test, and tests that do not exist."""
    wrong = []
    for number, row in rows.items():
        named = re.findall(r"`([\w/]+\.py)::(\w+)`", row)
        texts = {file: (Path("tests") / file).read_text(encoding="utf-8") for file, _ in named}
        wrong += [name for file, name in named if f"def {name}(" not in texts[file]] if named else [number]
    return wrong
