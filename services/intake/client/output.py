"""How commands print: lines for people, JSON with one value in each line for programs, and nothing to obey."""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import orjson
import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, one value in each line.")]
_OBEYED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def say(text: str) -> None:
    """Print a line, or several, for people."""
    typer.echo(plain(text))


def tell(value: Any) -> None:
    """Print one value for a program, at once: whoever reads a pipe sees it when it happens."""
    typer.echo(orjson.dumps(value))


def plain(text: str) -> str:
    """The text without characters that a terminal obeys instead of showing them."""
    return _OBEYED.sub("\N{REPLACEMENT CHARACTER}", text)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows in columns as wide as their longest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def pairs(values: Mapping[str, Any]) -> str:
    """Names with their values, in a line; a value that is no text as JSON."""
    return " ".join(f"{name}={told(value)}" for name, value in values.items())


def told(value: Any) -> str:
    """A value as people read it."""
    return value if isinstance(value, str) else orjson.dumps(value).decode()
