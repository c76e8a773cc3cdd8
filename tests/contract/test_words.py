"""No habit of wording that the style guide names is found."""

from collections.abc import Callable, Iterator

import pytest

from tests.contract import words

LONG = " ".join(["word"] * 31)


@pytest.mark.parametrize("habit", words.HABITS)
def test_no_habit_of_wording_is_found(habit: str) -> None:
    assert [*words.HABITS[habit]()] == [], "reword it (CONTRIBUTING.md, How we write)"


@pytest.mark.parametrize(
    ("find", "text", "found"),
    [
        (words.banned, "Told by whoever: told_again(), stole, retold, `anew`, not *told*", ["Told", "whoever", "told"]),
        (words.clauses, 'def f():\n    """Of whom."""\n\nX = """\nWhat\n"""\n"""By what."""\n"""Who it is."""', 3),
        (words.clauses, '"""Counts words."""\n"""Whole rows."""', 0),
        (words.cells, f"| {'x' * 251} | {'x' * 250} |", 1),
        (words.titles, "# one two three four five six seven eight nine\n\n## one two", 1),
        (words.titles, "```sh\n# one two three four five six seven eight nine\n```", 0),
        (words.sentences, f"{LONG}. Short.\n\n- {LONG}\n- short", 2),
        (words.sentences, "Twenty words are few. " * 10, 0),
        (words.sentences, f"First:\n\n    {LONG}\n\nLast.", 0),
        (words.sentences, f"=== ===\n{LONG}\n=== ===\n", 0),
    ],
)
def test_a_habit_is_found(find: Callable[[str], Iterator[str]], text: str, found: list[str] | int) -> None:
    places = list(find(text))
    assert (len(places) if isinstance(found, int) else places) == found
