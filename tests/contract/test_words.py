"""Habits of wording become no more: the committed numbers fall alone."""

import json
from collections.abc import Callable, Iterator

import pytest

from tests.contract import words

LONG = " ".join(["word"] * 31)


def test_no_habit_occurs_more_often_than_is_committed(capsys: pytest.CaptureFixture[str]) -> None:
    committed, counted = json.loads(words.NUMBERS.read_text(encoding="utf-8")), words.counted()
    rose = {name: f"{number}, not {committed[name]}" for name, number in counted.items() if number > committed[name]}
    assert rose == {}, "reword; `python -m tests.contract.words HABIT` lists the places (CONTRIBUTING.md, How we write)"
    if counted != committed:
        with capsys.disabled():
            print("fewer habits of wording: write it down with `python -m tests.contract.words`")  # noqa: T201


@pytest.mark.parametrize(
    ("find", "text", "found"),
    [
        (words.banned, "Told by whoever: told_again(), stole, retold", ["Told", "whoever", "told"]),
        (words.clauses, 'def f():\n    """Of whom."""\n\nX = """\nWhat\n"""\n"""By what."""\n"""Who it is."""', 3),
        (words.clauses, '"""Counts words."""\n"""Whole rows."""', 0),
        (words.cells, f"| {'x' * 251} | {'x' * 250} |", 1),
        (words.titles, "# one two three four five six seven eight nine\n\n## one two", 1),
        (words.titles, "```sh\n# one two three four five six seven eight nine\n```", 0),
        (words.sentences, f"{LONG}. Short.\n\n- {LONG}\n- short", 2),
        (words.sentences, "Twenty words are few. " * 10, 0),
    ],
)
def test_a_habit_is_found(find: Callable[[str], Iterator[str]], text: str, found: list[str] | int) -> None:
    places = list(find(text))
    assert (len(places) if isinstance(found, int) else places) == found
