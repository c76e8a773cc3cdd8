"""The package: a ZIP of JSON and CSV that the subject can read and another provider can load (Art. 15(3), Art. 20(1)).

Pure: bytes in, bytes out.
"""

import csv
import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson
from pydantic import JsonValue

from shared.domain.rights import Right

_WHAT = {
    Right.ACCESS: "a copy of the personal data that we hold about you",
    Right.PORTABILITY: "the personal data that you gave us or that your use of the service produced, to take elsewhere",
}


@dataclass(frozen=True, slots=True)
class Piece:
    """One thing that a system holds about the subject."""

    system: str
    category: str
    source: str
    data: dict[str, JsonValue]


def read(pieces: Sequence[tuple[str, bytes]], right: Right) -> list[Piece]:
    """Decodes collected records (system, JSON); portability takes the portable ones only (Art. 20(1))."""
    return [
        Piece(system, category, source, data)
        for system, content in pieces
        for category, source, data, portable, *_ in orjson.loads(content)
        if portable or right is Right.ACCESS
    ]


def build(pieces: Sequence[Piece], right: Right, at: datetime, missing: Sequence[str] = ()) -> bytes:
    """A ZIP: ``data.json`` with all, a CSV per category (UTF-8, RFC 4180), ``README.txt`` saying what is what.

    ``missing``: the systems whose part is not in it, or not all of it.
    """
    categories = sorted({piece.category for piece in pieces})
    everything: dict[str, object] = {"right": right, "made_at": at.isoformat(), "records": pieces}
    if missing:
        everything["missing"] = missing
    stamp = at.timetuple()[:6]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:

        def add(name: str, content: bytes) -> None:
            archive.writestr(zipfile.ZipInfo(name, stamp), content, zipfile.ZIP_DEFLATED)

        add("data.json", orjson.dumps(everything, option=orjson.OPT_INDENT_2))
        for category in categories:
            add(f"{category}.csv", _table([piece for piece in pieces if piece.category == category]))
        add("README.txt", _explain(pieces, categories, right, at, missing).encode())
    return buffer.getvalue()


def _table(pieces: Sequence[Piece]) -> bytes:
    columns = list(dict.fromkeys(name for piece in pieces for name in piece.data))
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["system", "source", *map(_cell, columns)])
    for piece in pieces:
        writer.writerow(map(_cell, [piece.system, piece.source, *(piece.data.get(name) for name in columns)]))
    return text.getvalue().encode()


def _cell(value: JsonValue) -> str:
    match value:
        case None:
            return ""
        case str() if value.startswith(("=", "@", "+", "-", "\t", "\r")):
            return f"'{value}"  # a spreadsheet must not compute what somebody wrote, nor take a number for a sum
        case str():
            return value
        case _:
            return orjson.dumps(value).decode()


def _explain(
    pieces: Sequence[Piece], categories: Sequence[str], right: Right, at: datetime, missing: Sequence[str]
) -> str:
    lines = [f"This package holds {_WHAT[right]}, as of {at:%d %B %Y, %H:%M} UTC.", ""]
    if missing:
        lines += [f"It is not complete: what {', '.join(missing)} may hold is not in it, or not all of it.", ""]
    for category in categories:
        count = sum(piece.category == category for piece in pieces)
        systems = ", ".join(sorted({piece.system for piece in pieces if piece.category == category}))
        lines.append(f"{category}.csv: {count} record(s) from {systems}")
    lines += ["data.json: the same records in one file, with the names of the fields as our systems use them", ""]
    lines += ["In a table a ' before a value says to a spreadsheet that it is text; in data.json there is none.", ""]
    return "\n".join(lines)
