"""What is done by hand with letters that nobody fetches: listed, printed, sent, given up, through the API."""

import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

import typer

from services.intake.client.api import Api, ApiRefused, run, told_by
from services.intake.client.output import AsJson, plain, say, tell
from services.intake.client.shapes import LetterList, Moved

LetterIds = Annotated[list[UUID], typer.Argument(metavar="LETTER_ID...")]
_PAGE = 1000
_SHEET = re.compile(r'<section class="sheet" id="([0-9a-f-]{36})">')


def list_letters(*, as_json: AsJson = False) -> None:
    """Print the letters that wait to be sent, or for a person to see to them, the oldest first, and why."""

    async def work(api: Api) -> None:
        after = None
        while page := told_by(await api.get("/v1/letters", after=after, limit=_PAGE), LetterList)["letters"]:
            for each in page:
                tell(each) if as_json else say(_row(each))
            after = page[-1]["letter_id"]

    run(work)


def print_letters(
    file: Annotated[Path, typer.Argument(help="where to; a file that is there is left alone; -: standard output")],
    *,
    limit: Annotated[int, typer.Option(min=1, max=200, help="how many at most")] = 50,
    as_json: AsJson = False,
) -> None:
    """Write the letters that are to be posted into one document (HTML), each with its address, and print their ids.

    Print it at 100 %, and mark what was posted: `dsr letters send --posted LETTER_ID...`.
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


def send(
    letter_ids: LetterIds,
    *,
    posted: Annotated[bool, typer.Option("--posted", help="They were put into the post today.")] = False,
    way: Annotated[
        Literal["email", "post"] | None,
        typer.Option("--by", help="Have them delivered once more by e-mail, or on paper to the address of record."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Mark letters as posted, or have them delivered once more or another way; status 1 if one of them is refused.

    `dsr letters list` says which wait; a letter that goes by e-mail is sent by itself.
    """

    async def work(api: Api) -> None:
        if posted == (way is not None):
            raise typer.BadParameter("say one of: --posted, --by email, --by post")
        if way:
            await _move(api, letter_ids, "delivery", {"way": way}, as_json=as_json)
        else:
            await _move(api, letter_ids, "posted", None, as_json=as_json)

    run(work)


def give_up(letter_id: UUID, *, as_json: AsJson = False) -> None:
    """Give up a letter that nobody can deliver; what was tried is read from standard input, and kept sealed.

    An answer counts as given from then on; a restriction that it was to lift stays, since nobody was told,
    unless systems have lifted it before the letter came back.
    """
    if sys.stdin.isatty():
        typer.echo("What was tried? (end with Ctrl-D)", err=True)

    async def work(api: Api) -> None:
        await _move(api, [letter_id], "given-up", {"explanation": sys.stdin.read()}, as_json=as_json)

    run(work)


async def _move(
    api: Api, letter_ids: Sequence[UUID], step: str, body: Mapping[str, str] | None, *, as_json: bool
) -> None:
    """Does it letter by letter: what is refused of one leaves the others alone."""
    refused = False
    for letter_id in letter_ids:
        try:
            moved = told_by(await api.post(f"/v1/letters/{letter_id}/{step}", body), Moved)
        except ApiRefused as error:
            refused = True
            typer.echo(plain(f"dsr: letter {letter_id}: {error}"), err=True)
        else:
            tell(moved) if as_json else say(f"{letter_id}  {moved['state']}")
    if refused:
        raise typer.Exit(1)


def _row(letter: Mapping[str, Any]) -> str:
    fault = f" ({letter['fault']})" if letter["fault"] else ""
    cells = letter["letter_id"], letter["written_at"][:10], f"{letter['kind']:20}", f"{letter['way']:5}"
    return "  ".join((*cells, f"{letter['state']}{fault}", f"request {letter['request_id']}"))
