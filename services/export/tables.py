"""Tables of a package: CSV as RFC 4180 has it, which no spreadsheet takes for formulas; pure."""

import csv
import io
from collections.abc import Iterable, Sequence

import orjson
from pydantic import JsonValue

from services.export.pieces import Piece

MARK = "'"
"""Stands before a text that a spreadsheet would compute, or that begins with it: whoever takes it away has the text."""
_COMPUTED = ("=", "@", "+", "-", "\t", "\r", "\n", MARK)


def heading(columns: Sequence[str]) -> bytes:
    """The first line of a table with these fields, in UTF-8; system and place come first."""
    return _lines([["system", "source", *map(cell, columns)]])


def rows(pieces: Iterable[Piece], columns: Sequence[str]) -> bytes:
    """A line for each; a field that one does not have is empty."""
    return _lines(map(cell, [one.system, one.source, *(one.data.get(name) for name in columns)]) for one in pieces)


def cell(value: JsonValue) -> str:
    """A value as it stands in a table: texts as they are, or after a mark, everything else as JSON writes it."""
    match value:
        case None:
            return ""
        case str() if value.startswith(_COMPUTED):
            return MARK + value
        case str():
            return value
        case _:
            return orjson.dumps(value).decode()


def _lines(lines: Iterable[Iterable[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(lines)
    return text.getvalue().encode()
