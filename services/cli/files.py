"""``dsr suppression check`` compares a mailing list; ``dsr letters print`` writes letters into a file."""

import os
import re
from pathlib import Path
from typing import Annotated

import typer

from services.cli.api import Api, content_of, run
from services.cli.output import AsJson, say, tell

suppression = typer.Typer(help="The list of those who get no marketing, through the API (DSR_API_URL, DSR_API_KEY).")
_PER_CALL = 10_000
_SHEET = re.compile(r'<section class="sheet" id="([0-9a-f-]{36})">')


@suppression.callback()
def _group() -> None:
    """A group of its own, however many commands it has."""


@suppression.command()
def check(
    file: Annotated[
        typer.FileText,
        typer.Argument(encoding="utf-8-sig", help="an address or a number in each line; -: standard input"),
    ],
    *,
    as_json: AsJson,
) -> None:
    """Print whom to take out of a mailing list: who gets no marketing, and what cannot be read.

    Use it for a system that the nightly run does not compare (`dsr downstreams check` names those). Status 1 if
    anything is to be taken out. The key is one that may ask (`dsr api-key new --role channel --may check`).
    """
    points = [(number, said) for number, line in enumerate(file, 1) if (said := line.strip())]

    async def work(api: Api) -> None:
        out = 0
        for part in (points[first : first + _PER_CALL] for first in range(0, len(points), _PER_CALL)):
            asked = [{"type": "email" if "@" in said else "phone", "value": said} for _, said in part]
            checked = content_of(await api.post("/v1/suppression/check", {"contact_points": asked}, repeatable=True))
            for (line, said), answer in zip(part, checked["answers"], strict=True):
                if answer != "not_suppressed":
                    out += 1
                    each = {"line": line, "contact_point": said, "answer": answer}
                    tell(each) if as_json else say(f"{line}  {answer}  {said}")
        if not as_json:
            say(f"{out} of {len(points)} are to be taken out")
        if out:
            raise typer.Exit(1)

    run(work)


def print_letters(
    file: Annotated[Path, typer.Argument(help="where to; a file that is there is left alone; -: standard output")],
    *,
    limit: Annotated[int, typer.Option(min=1, max=200, help="how many at most")] = 50,
    as_json: AsJson,
) -> None:
    """Write the letters that are to be posted into one document (HTML), each with its address, and print their ids.

    Print it at 100 %, and mark what was posted: `dsr act mark-posted letters/ID...`.
    """

    async def work(api: Api) -> None:
        document = (await api.get("/v1/letters/print", kind="text/html", limit=limit)).text
        if not _SHEET.search(document):
            typer.echo("no letter is to be posted: nothing was written", err=True)
            return
        if str(file) == "-":
            typer.echo(document)
            return
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as written:
            written.write(document)
        for letter_id in _SHEET.findall(document):
            tell({"letter_id": letter_id}) if as_json else say(letter_id)

    run(work)
