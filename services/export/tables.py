"""Tables of a package: CSV as RFC 4180 has it, which no spreadsheet takes for formulas; pure.

In much of Europe lists are separated by semicolons or tabs: a spreadsheet may cut a line there and compute what then
begins a cell. That is marked as well.
"""

import csv
import io
import re
from collections.abc import Iterable, Sequence

import orjson
from pydantic import JsonValue

from services.export.pieces import Piece

MARK = "'"
"""Precedes what a spreadsheet would compute, or what begins with it, at the start of a text and after a separator in
it; without it the text is as stored."""
_COMPUTED = rf"[=@+\-\uff1d\uff20\uff0b\uff0d{MARK}]"
_PASSED_OVER = r"\s\"\ufeff\u200b-\u200f\u2060"
"""Characters that may come before it at the beginning of a cell."""
_SUSPECT = re.compile(rf"^[\t\r\n]|(?:^|[;{_PASSED_OVER}]){_COMPUTED}")
_BEGINS_SO = re.compile(rf"[\t\r\n]|[{_PASSED_OVER}]*{_COMPUTED}")
_GAP = re.compile(rf"([;{_PASSED_OVER}]+)({_COMPUTED}?)")
_SEPARATOR = re.compile(r"[;\t\r\n]")


def heading(columns: Sequence[str]) -> bytes:
    """Returns the heading line in UTF-8; system and source come first."""
    return _lines([["system", "source", *map(cell, columns)]])


def rows(pieces: Iterable[Piece], columns: Sequence[str]) -> bytes:
    """Returns a line for each record; a missing field is empty."""
    return _lines(map(cell, [one.system, one.source, *(one.data.get(name) for name in columns)]) for one in pieces)


def cell(value: JsonValue) -> str:
    """Returns a value as a table cell: text as it is or after a mark, other values as JSON."""
    match value:
        case None:
            return ""
        case str():
            return _marked(value)
        case dict() | list():
            return _marked(orjson.dumps(value).decode())
        case _:
            return orjson.dumps(value).decode()


def _marked(text: str) -> str:
    if not _SUSPECT.search(text):
        return text
    return (MARK if _BEGINS_SO.match(text) else "") + _GAP.sub(_marked_after, text)


def _marked_after(gap: re.Match[str]) -> str:
    before, computed = gap.groups()
    return before + MARK + computed if computed and _SEPARATOR.search(before) else gap[0]


def _lines(lines: Iterable[Iterable[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows(lines)
    return text.getvalue().encode()
