"""Counts habits of wording; `python -m tests.contract.words` lowers the numbers, and lists the places of a habit.

The numbers stand in ``words.json``. A test fails when one rises; the command lowers them and never raises one.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from pathlib import Path

import typer

from deploy.local.paths import ROOT

NUMBERS = Path(__file__).with_name("words.json")
_HERE = {"tests/contract/words.py", "tests/contract/test_words.py"}
_BANNED = re.compile(
    r"(?<![a-z])(anew|besides?|hears|heard|nobody|persons|somebody|told|whoever|whomever"
    r"|at[ _]once|by (?:itself|themselves)|of ours|one of us|puts? before)(?![a-z])",
    re.IGNORECASE,
)
_OPENS = re.compile(r"(?:What|Who|Whose|Whom|Whoever|How|Of|By)\b")
_DOCSTRING = re.compile(r'^([^\n]*?)"""(.*?)"""', re.DOTALL | re.MULTILINE)
_CELL, _TITLE, _SENTENCE = 250, 8, 30

Place = tuple[str, str]
"""The file and what stands there."""


def files(*suffixes: str) -> Iterator[tuple[str, str]]:
    """Yields the path and the text of each file of the repository with these suffixes."""
    folders = (ROOT / name for name in ("deploy", "docs", "services", "shared", "tests"))
    for path in sorted(chain(ROOT.glob("*.md"), *(folder.rglob("*") for folder in folders))):
        name = str(path.relative_to(ROOT))
        if path.suffix in suffixes and name not in _HERE:
            yield name, path.read_text(encoding="utf-8")


def banned(text: str) -> Iterator[str]:
    """Yields the words that have a standard term."""
    yield from _BANNED.findall(text)


def docstrings(code: str) -> Iterator[str]:
    """Yields the documentation of modules, classes, functions and constants."""
    yield from (text for before, text in _DOCSTRING.findall(code) if not before.strip())


def clauses(code: str) -> Iterator[str]:
    """Yields the docstrings that open with a clause in the place of a verb."""
    yield from (text.partition("\n")[0] for text in docstrings(code) if _OPENS.match(text))


def prose(page: str) -> str:
    """Returns a page without its code blocks."""
    return re.sub(r"^( *)```.*?^\1```", "", page, flags=re.DOTALL | re.MULTILINE)


def cells(page: str) -> Iterator[str]:
    """Yields the long cells of tables."""
    rows = (line for line in prose(page).splitlines() if line.lstrip().startswith("|"))
    yield from (cell.strip() for row in rows for cell in row.split("|") if len(cell.strip()) > _CELL)


def titles(page: str) -> Iterator[str]:
    """Yields the long headings."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    yield from (heading for heading in headings if len(heading.split()) > _TITLE)


def sentences(text: str) -> Iterator[str]:
    """Yields the long sentences of a docstring or a page: a paragraph, a cell and an item of a list end one."""
    parts = re.split(r"\n\s*\n|\n\s*(?:[-*#|]|\d+\.)|\||(?<=[.!?:])\s", prose(text))
    yield from (" ".join(part.split()) for part in parts if len(part.split()) > _SENTENCE)


def _in_pages(find: Callable[[str], Iterator[str]]) -> Iterator[Place]:
    yield from ((name, found) for name, text in files(".md") for found in find(text))


def _long_sentences() -> Iterator[Place]:
    yield from _in_pages(sentences)
    for name, code in files(".py"):
        yield from ((name, found) for text in docstrings(code) for found in sentences(text))


HABITS: Mapping[str, Callable[[], Iterator[Place]]] = {
    "banned-words": lambda: ((name, word) for name, text in files(".py", ".md", ".toml") for word in banned(text)),
    "docstrings-without-a-verb": lambda: ((name, text) for name, code in files(".py") for text in clauses(code)),
    "long-table-cells": lambda: _in_pages(cells),
    "long-titles": lambda: _in_pages(titles),
    "long-sentences": _long_sentences,
}


def counted() -> dict[str, int]:
    """Returns how often each habit occurs."""
    return {name: sum(1 for _ in places()) for name, places in HABITS.items()}


def main(habit: str = typer.Argument("", help="list the places of this one")) -> None:
    """Lowers the numbers that fell, or lists the places of a habit."""
    if habit:
        for name, text in HABITS[habit]():
            typer.echo(f"{name}: {text}")
        return
    before = json.loads(NUMBERS.read_text(encoding="utf-8")) if NUMBERS.exists() else {}
    lowered = {name: min(number, before.get(name, number)) for name, number in counted().items()}
    NUMBERS.write_text(json.dumps(lowered, indent=2) + "\n", encoding="utf-8")
    typer.echo(f"wrote {NUMBERS.relative_to(ROOT)}: {lowered}")


if __name__ == "__main__":
    typer.run(main)
