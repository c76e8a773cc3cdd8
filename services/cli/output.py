"""Prints tables for people on a terminal, and JSON with one value in each line for programs."""

import re
import sys
from collections.abc import Mapping, Sequence
from textwrap import indent
from typing import Annotated, Any

import orjson
import typer

AsJson = Annotated[
    bool,
    typer.Option(
        "--json/--text",
        default_factory=lambda: not sys.stdout.isatty(),
        show_default="JSON in a pipe",
        help="Print JSON, one value in each line, or text for people.",
    ),
]
_OBEYED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def say(text: str) -> None:
    """Prints a line, or several, for people."""
    typer.echo(plain(text))


def tell(value: Any) -> None:
    """Prints one value for a program, without delay."""
    typer.echo(orjson.dumps(value))


def plain(text: str) -> str:
    """The text without characters that a terminal obeys instead of showing them."""
    return _OBEYED.sub("\N{REPLACEMENT CHARACTER}", text)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows in columns as wide as their longest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def listed(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows of the API as a table with a line of names; what is nested is left to JSON."""
    names = dict.fromkeys(name for row in rows for name, value in row.items() if not isinstance(value, dict))
    return table([[name.upper() for name in names], *([cell(row.get(name)) for name in names] for row in rows)])


def shown(view: Mapping[str, Any]) -> str:
    """An object of the API: its fields in lines, what is nested in it below, lists of plain objects as tables."""
    lines = list[str]()
    for name, value in view.items():
        rows = value if isinstance(value, list) and all(isinstance(each, dict) for each in value) else None
        if isinstance(value, dict) or (rows and any(isinstance(each, dict) for row in rows for each in row.values())):
            lines += [f"{name}:", *(indent(shown(each), "  ") for each in rows or [value])]
        elif rows:
            lines += [f"{name}:", listed(rows)]
        elif value not in (None, []):
            lines.append(f"{name}: {cell(value)}")
    return "\n".join(lines)


def cell(value: Any) -> str:
    """A value as people read it, in one line."""
    if value is None or isinstance(value, str):
        return " ".join(value.split()) if value else "–"
    plain_list = isinstance(value, list) and not any(isinstance(each, dict) for each in value)
    return ", ".join(map(str, value)) if plain_list else orjson.dumps(value).decode()
