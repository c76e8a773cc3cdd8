"""``dsr suppression check``: a list of one's own, compared with that of those who get no marketing, by hand."""

import csv
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from services.intake.client.api import Api, run, strange, told_by
from services.intake.client.output import AsJson, say, tell
from shared.domain.errors import Misconfigured

suppression = typer.Typer(help="The list of those who get no marketing, through the API (DSR_API_URL, DSR_API_KEY).")
_AT_ONCE = 10_000
_MAILED = "not_suppressed"


@suppression.callback()
def _group() -> None:
    """A group of its own, however many commands it has."""


@suppression.command()
def check(
    file: Annotated[Path, typer.Argument(help="an address or a number in each line, or CSV; -: standard input")],
    *,
    column: Annotated[str | None, typer.Option(help="of CSV with a line of names: the column to compare.")] = None,
    as_json: AsJson,
) -> None:
    """Print whom of a list to take out before it is used: who gets no marketing, and what nobody can read.

    For the list of a system that is not compared by itself each night (`dsr downstreams check` names those). Status 1
    if anything is to be taken out. The key is one that may ask (`dsr api-key new --role channel --may check`).
    """
    points = [(line, said) for line, said in _read(file, column) if said]

    async def work(api: Api) -> None:
        out = 0
        for first in range(0, len(points), _AT_ONCE):
            part = points[first : first + _AT_ONCE]
            asked = {"contact_points": [_point(said) for _, said in part]}
            told = told_by(await api.post("/v1/suppression/check", asked, repeatable=True))
            answered = told["answers"]
            if len(answered) != len(part):
                raise strange(f"{len(answered)} answers to {len(part)} questions")
            for (line, said), answer in zip(part, answered, strict=True):
                if answer != _MAILED:
                    out += 1
                    each = {"line": line, "contact_point": said, "answer": answer}
                    tell(each) if as_json else say(f"{line}  {answer}  {said}")
        if not as_json:
            say(f"{out} of {len(points)} are to be taken out")
        if out:
            raise typer.Exit(1)

    run(work)


def _point(said: str) -> dict[str, Any]:
    return {"type": "email" if "@" in said else "phone", "value": said}


def _read(file: Path, column: str | None) -> Sequence[tuple[int, str]]:
    """What stands in each line, with its number.

    Raises:
        Misconfigured: there is no such file or column.
    """
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"{file} cannot be read: {getattr(error, 'strerror', None) or 'it is no UTF-8'}") from None
    lines = text.splitlines()
    if column is None:
        return [(number, line.strip()) for number, line in enumerate(lines, 1)]
    apart = max(";,\t", key=(lines or [""])[0].count)
    rows = csv.DictReader(lines, delimiter=apart)
    if column not in (rows.fieldnames or ()):  # what stands there may be somebody's, where it is no line of names
        told = f"its first line has {len(rows.fieldnames)} of other names" if rows.fieldnames else "it is empty"
        raise Misconfigured(f"{file} has no column {column}: {told}; name one of its first line, or leave --column out")
    return [(rows.line_num, (row[column] or "").strip()) for row in rows]
