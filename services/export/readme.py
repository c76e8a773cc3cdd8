"""What stands beside the data of a package in plain text: which file is what; pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from services.export.survey import Category
from shared.domain.rights import Right

_WHAT = {
    Right.ACCESS: "a copy of the personal data that we hold about you",
    Right.PORTABILITY: "the personal data that you gave us or that your use of the service produced, to take elsewhere",
}
_TO_LOAD = (
    "schema.json: what every field is, as JSON Schema; contacts.vcf, if there is one: your contacts for address books",
    "We cannot send this to another provider ourselves, since no protocol exists that both sides speak (Art. 20(2)).",
    "",
)


def readme(known: Mapping[str, Category], right: Right, at: datetime, missing: Sequence[str]) -> str:
    """``missing``: the systems whose part is not in it, or not all of it."""
    lines = [f"This package holds {_WHAT[right]}, as of {at:%d %B %Y, %H:%M} UTC.", ""]
    if missing:
        lines += [f"It is not complete: what {', '.join(missing)} may hold is not in it, or not all of it.", ""]
    for name, category in sorted(known.items()):
        lines.append(f"{name}.csv: {category.rows} record(s) from {', '.join(category.systems)}")
    if right is Right.PORTABILITY:
        lines += _TO_LOAD
    lines += [
        "data.jsonl: the same records in one file, one in each line as JSON",
        "package.json: how many records of each kind there are, and every file's length and SHA-256",
        "",
        "In a table a ' before a value, or in one after a semicolon, a tab or a line end, says to a spreadsheet that",
        "what follows is text: take it away, and you have the value.",
        "In data.jsonl there is none.",
        "",
    ]
    return "\n".join(lines)
