"""``dsr request``: hand requests in, list and follow them, and decide about them, through the API."""

import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID, uuid4

import orjson
import typer

from services.intake.api.examples import EXAMPLES
from services.intake.client import deciding, reading, shapes
from services.intake.client.api import Api, ApiAway, run, told_by
from services.intake.client.following import Screen
from services.intake.client.following import follow as follow_one
from services.intake.client.output import AsJson, say, tell
from shared.domain import reference
from shared.domain.rights import Right

request = typer.Typer(help="Requests of data subjects, through the API (DSR_API_URL, DSR_API_KEY).")


def _named(text: str) -> str:
    """An id, or a reference as it is spelled; raises ``BadParameter``."""
    with suppress(ValueError):
        return str(UUID(text))
    if named := reference.read(text):
        return named
    raise typer.BadParameter(f"write an id, or a reference as {reference.EXAMPLE}: compare each character")


RequestId = Annotated[str, typer.Argument(metavar="REQUEST_ID", parser=_named, help="Its id, or its reference.")]
_PAGE = 500


@request.command()
def example(right: Right) -> None:
    """Print a request as `dsr request submit` reads it, to fill in."""
    typer.echo(orjson.dumps(EXAMPLES[right]["value"], option=orjson.OPT_INDENT_2))


@request.command()
def submit(
    file: Annotated[Path, typer.Argument(help="JSON: a request, or a list of up to 1,000; -: standard input")] = Path(
        "-"
    ),
    *,
    follow: Annotated[
        bool, typer.Option("--follow", help="Then follow what was submitted until it is closed.")
    ] = False,
    idempotency_key: Annotated[
        str | None, typer.Option(help="The key of an earlier try, which is then not submitted twice.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Submit a request, or several together or not at all; prints their ids and the codes that open their letters."""
    key = idempotency_key or str(uuid4())

    async def work(api: Api) -> None:
        path, body = _body(_read(file))
        try:
            answer = await api.post(path, body, {"Idempotency-Key": key}, repeatable=True)
        except ApiAway as error:
            raise ApiAway(f"{error}; it is submitted once if you repeat it with --idempotency-key {key}") from None
        accepted = told_by(answer, shapes.Accepted)
        requests = accepted.get("requests", [accepted])
        if as_json:
            tell(accepted)
        else:
            say("\n".join(map(_accepted, requests)))
        for each in requests if follow else ():
            await _follow(api, each["request_id"], None, as_json=as_json)

    run(work)


@request.command("list")
def list_requests(
    *,
    state: Annotated[str | None, typer.Option(help="only those that stand there, as in_progress")] = None,
    right: Annotated[Right | None, typer.Option(help="only those of that right")] = None,
    due_before: Annotated[str | None, typer.Option(metavar="DAY", help="only those due before, as 2026-12-01")] = None,
    limit: Annotated[int, typer.Option(min=1, help="how many at most")] = 100,
    everything: Annotated[bool, typer.Option("--all", help="All of them, however many there are.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print requests in the order of their acceptance: a channel's own, or for the privacy team all."""

    async def work(api: Api) -> None:
        cursor, left = None, limit
        while everything or left:
            size = _PAGE if everything else min(left, _PAGE)
            wanted: dict[str, Any] = {"state": state, "right": right, "due_before": due_before}
            page = told_by(await api.get("/v1/requests", **wanted, cursor=cursor, limit=size), shapes.RequestList)
            for each in page["requests"]:
                tell(each) if as_json else say(reading.row(each))
            cursor, left = page["cursor"], left - len(page["requests"])
            if cursor is None:
                return
        typer.echo("there are more: --limit or --all", err=True)

    run(work)


@request.command()
def show(request_id: RequestId, *, as_json: AsJson = False) -> None:
    """Print where a request stands: its dates, its answer, and what each system did, in counts."""

    async def work(api: Api) -> None:
        view = told_by(await api.get(f"/v1/requests/{request_id}"), shapes.RequestShown)
        tell(view) if as_json else say(reading.shown(view))

    run(work)


@request.command()
def follow(
    request_id: RequestId,
    *,
    within: Annotated[
        str | None, typer.Option(metavar="TIME", help="for how long at most, as 30s, 5m or 2h; status 3 if it is open")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print what is done about a request as it is done, task by task, until it is closed.

    On a terminal the last line says how far its tasks are. With --json each line is an `entry` of the timeline, a
    `task` with what came of it, or a `state`; the last is that of its closing.
    """
    seconds = reading.duration(within).total_seconds() if within else None
    run(lambda api: _follow(api, request_id, seconds, as_json=as_json))


@request.command()
def decide(
    request_id: RequestId,
    decision: Annotated[str | None, typer.Argument(help="which; without one, those that there are")] = None,
    fields: deciding.Fields = None,
    *,
    yes: deciding.Yes = False,
    dry_run: deciding.DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Decide about a request, or propose or approve it where that takes two persons; shows first what it will do.

    It is decided for the request as it was shown: where that has changed meanwhile, nothing is done.
    """
    how = deciding.How(yes, dry_run, as_json)
    run(lambda api: deciding.decide(api, request_id, decision, deciding.typed(fields or ()), how))


async def _follow(api: Api, request_id: str, within: float | None, *, as_json: bool) -> None:
    view = await follow_one(api, request_id, Screen(as_json=as_json), within)
    if not as_json:
        say(reading.shown(view))


def _read(file: Path) -> bytes:
    if str(file) != "-":
        return file.read_bytes()
    if sys.stdin.isatty():
        raise typer.BadParameter("name a file, or pipe the request in; `dsr request example access` prints one")
    return sys.stdin.buffer.read()


def _body(content: bytes) -> tuple[str, bytes]:
    """Where it goes; the body is sent as it was written, so that the API sees a name that comes twice."""
    try:
        found = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise typer.BadParameter(f"the request is not JSON (line {error.lineno}, column {error.colno})") from None
    several = isinstance(found, list)
    if not several and not isinstance(found, dict):
        raise typer.BadParameter(
            "a request is a JSON object, several are a list of them; `dsr request example` has one"
        )
    return ("/v1/requests/batch", b'{"requests": %s}' % content) if several else ("/v1/requests", content)


def _accepted(request: Mapping[str, Any]) -> str:
    """A request that is stored; what opens its letters is told to channels alone."""
    said = "{request_id}  {state}, due {due_on}".format_map(request)
    return f"{said}, letter code {request['letter_code']}" if request["letter_code"] else said
