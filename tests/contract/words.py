"""Finds habits of wording: a test fails where there is one, and as a command it lists the places."""

import ast
import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from itertools import chain

from deploy.local.paths import ROOT

_NOT_PROSE = {"tests/contract/words.py", "tests/contract/test_words.py", "docs/benchmarks.md"}
"""Files that name the habits, and the page of figures, which a program writes."""
_BANNED = re.compile(
    r"(?<![a-z])(anew|besides?|hears|heard|nobody|persons|somebody|told|whoever|whomever"
    r"|at[ _]once|by (?:itself|themselves)|of ours|one of us|puts? before)(?![a-z])",
    re.IGNORECASE,
)
_OPENS = re.compile(r"(?:What|Who|Whose|Whom|Whoever|How|Of|By)\b")
_QUOTED = re.compile(r"`[^`\n]*`|\*\w[^*\n]*\*|\"\w+\"")
"""Code, a word that is spoken of, and a value of one word."""
_CODE = re.compile(
    r"^( *)```.*?^\1```|^=+ [= ]+$.*^=+ [= ]+$|(?<=\n\n) {4}\S[^\n]*\n(?: {4}[^\n]*\n|\n)*", re.DOTALL | re.MULTILINE
)
"""Blocks of code, indented ones too, and tables of a docstring."""
_CELL, _TITLE, _SENTENCE = 250, 8, 30

Place = tuple[str, str]
"""The file and what stands there."""


def files(*suffixes: str) -> Iterator[tuple[str, str]]:
    """Yields the path and the text of each file of the repository with these suffixes."""
    folders = (ROOT / name for name in ("deploy", "docs", "services", "shared", "tests"))
    for path in sorted(chain(ROOT.glob("*.md"), *(folder.rglob("*") for folder in folders))):
        name = str(path.relative_to(ROOT))
        if path.suffix in suffixes and name not in _NOT_PROSE:
            yield name, path.read_text(encoding="utf-8")


def banned(text: str) -> Iterator[str]:
    """Yields the words that have a standard term."""
    yield from _BANNED.findall(_QUOTED.sub("_", text))


@cache
def docstrings(code: str) -> Sequence[str]:
    """Returns the documentation of modules, classes, functions and constants."""
    found = []
    for node in ast.walk(ast.parse(code)):
        match node:
            case ast.Expr(ast.Constant(str(text))):
                found.append(inspect.cleandoc(text))
    return found


def clauses(code: str) -> Iterator[str]:
    """Yields the docstrings that open with a clause in the place of a verb."""
    yield from (text.partition("\n")[0] for text in docstrings(code) if _OPENS.match(text))


def prose(page: str) -> str:
    """Returns a page or a docstring without its code."""
    return _CODE.sub("", page)


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


if __name__ == "__main__":
    for habit, places in HABITS.items():
        for name, text in places():
            print(f"{habit}: {name}: {text}")  # noqa: T201
