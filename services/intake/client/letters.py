"""``dsr letters print``: the letters that are to be posted, through the API."""

import os
import re
from pathlib import Path
from typing import Annotated

import typer

from services.intake.client.api import Api, run
from services.intake.client.output import AsJson, say, tell

_SHEET = re.compile(r'<section class="sheet" id="([0-9a-f-]{36})">')


def print_letters(
    file: Annotated[Path, typer.Argument(help="where to; a file that is there is left alone; -: standard output")],
    *,
    limit: Annotated[int, typer.Option(min=1, max=200, help="how many at most")] = 50,
    as_json: AsJson,
) -> None:
    """Write the letters that are to be posted into one document (HTML), each with its address, and print their ids.

    Print it at 100 %, and mark what was posted: `dsr act posted letters/ID...`.
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
