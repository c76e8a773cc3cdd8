"""``dsr request``: submits, lists, shows and follows requests through the API."""

import asyncio
import math
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from datetime import timedelta
from typing import Annotated, Any
from uuid import uuid4

import orjson
import typer
from rich.console import Console
from rich.live import Live
from rich.text import Text

from services.cli.acting import Everything, Limit, json_of, print_rows, request_id, rows
from services.cli.api import Api, ApiAway, content_of, run
from services.cli.output import AsJson, plain, say, table, tell
from services.intake.api.examples import EXAMPLES
from shared.domain.errors import DsrError
from shared.domain.rights import Right

request = typer.Typer(help="Requests of data subjects, through the API (DSR_API_URL, DSR_API_KEY).")
RequestId = Annotated[str, typer.Argument(metavar="REQUEST_ID", parser=request_id, help="Its id, or its reference.")]
_TIME = re.compile(r"(\d{1,7})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_FIRST_PAUSE, _LONGEST_PAUSE, _GROWS = 0.3, 5.0, 1.3


class StillOpen(DsrError):
    """A followed request is still open after ``--within``."""


@request.command()
def example(right: Right) -> None:
    """Print a request as `dsr request submit` reads it, to fill in."""
    typer.echo(orjson.dumps(EXAMPLES[right]["value"], option=orjson.OPT_INDENT_2))


@request.command()
def submit(
    file: Annotated[
        typer.FileBinaryRead, typer.Argument(help="JSON: a request, or a list of up to 1,000; -: standard input")
    ] = "-",  # type: ignore[assignment]  # typer opens it
    *,
    follow: Annotated[
        bool, typer.Option("--follow", help="Then follow what was submitted until it is closed.")
    ] = False,
    idempotency_key: Annotated[
        str | None, typer.Option(help="The key of an earlier try, which is then not submitted twice.")
    ] = None,
    as_json: AsJson,
) -> None:
    """Submit a request, or several together or not at all; prints their ids and the codes that open their letters."""
    key = idempotency_key or str(uuid4())

    async def work(api: Api) -> None:
        path, body = _body(file)
        try:
            answer = await api.post(path, body, {"Idempotency-Key": key}, repeatable=True)
        except ApiAway as error:
            raise ApiAway(f"{error}; it is submitted once if you repeat it with --idempotency-key {key}") from None
        accepted = content_of(answer)
        requests = accepted.get("requests", [accepted])
        tell(accepted) if as_json else say("\n".join(map(_accepted, requests)))
        for each in requests if follow else ():
            await _follow(api, each["request_id"], None, as_json=as_json)

    run(work)


@request.command("list")
def list_requests(
    *,
    state: Annotated[str | None, typer.Option(help="only those that stand there, as in_progress")] = None,
    right: Annotated[Right | None, typer.Option(help="only those of that right")] = None,
    due_before: Annotated[str | None, typer.Option(metavar="DAY", help="only those due before, as 2026-12-01")] = None,
    limit: Limit = 100,
    everything: Everything = False,
    as_json: AsJson,
) -> None:
    """Print requests in the order of their acceptance: a channel's own, or for the privacy team all."""
    wanted: dict[str, Any] = {"state": state, "right": right, "due_before": due_before}
    most = None if everything else limit
    run(lambda api: print_rows(api, "/v1/requests", most, as_json=as_json, **wanted))


@request.command()
def show(request_id: RequestId, *, as_json: AsJson) -> None:
    """Print where a request stands: its dates, its answer, and what each system did, in counts."""

    async def work(api: Api) -> None:
        view = content_of(await api.get(f"/v1/requests/{request_id}"))
        tell(view) if as_json else say(shown(view))

    run(work)


@request.command()
def follow(
    request_id: RequestId,
    *,
    within: Annotated[
        str | None, typer.Option(metavar="TIME", help="for how long at most, as 30s, 5m or 2h; status 3 if it is open")
    ] = None,
    as_json: AsJson,
) -> None:
    """Show the progress of a request until it is closed: on a terminal as a table of its tasks, which is redrawn.

    In JSON each line is an `entry` of the timeline or a `state`; the last is that of its closing.
    """
    seconds = duration(within).total_seconds() if within else None
    run(lambda api: _follow(api, request_id, seconds, as_json=as_json))


def duration(text: str) -> timedelta:
    """Reads a time as 30s, 5m, 2h or 1d; raises ``BadParameter``."""
    if not (found := _TIME.fullmatch(text)):
        raise typer.BadParameter("a time is written as 30s, 5m, 2h or 1d")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def shown(view: Mapping[str, Any], timeline: Sequence[Mapping[str, Any]] = ()) -> str:
    """Describes a request: its state, what blocks it, its answer, and a row for each task.

    Until the answer has its tasks, they are read from the ``timeline``.
    """
    outcome = f": {view['outcome']}" if view["outcome"] else ""
    state = f"{view['state']}{outcome}".replace("_", " ")
    warned = f" ({view['warning'].replace('_', ' ')})" if view["warning"] else ""
    heading = f"{view['right']} {view['request_id']}: {state}, due {view['due_on']}{warned}"
    blocked = [f"blocked by {each['kind']}: {each['message']}" for each in view["blocked_by"]]
    tasks = [_task(each) for each in view["tasks"] or progress(timeline)]
    return "\n".join(filter(None, (heading, *blocked, view["answer"], table(tasks) if tasks else "")))


def _task(task: Mapping[str, Any]) -> tuple[str, ...]:
    came = task.get("outcome") or task.get("failure") or "waiting"
    counts = ", ".join(f"{task[name]:,} {name}" for name in ("found", "changed", "remaining") if task.get(name))
    why = task.get("sentence") or task.get("not_searched") or task.get("reason") or ""
    return f"  {task['system']}", task["operation"], came, counts, why


def progress(timeline: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Returns the last report of each task, in the order in which the tasks are worked."""
    found = dict[tuple[str, str], dict[str, Any]]()
    for detail in (entry["detail"] for entry in timeline):
        for step in (step for stage in detail.get("stages", ()) for step in stage):
            system, _, operation = step.partition(":")
            found[system, operation] = {"system": system, "operation": operation}
        if "task_id" in detail and "operation" in detail:  # not where a team has read the identities
            found[detail["system"], detail["operation"]] = detail
    return [*found.values()]


async def _follow(api: Api, request_id: str, within: float | None, *, as_json: bool) -> None:
    """Shows what is new until the request is closed. The API has no push: it is polled, less often in silence."""
    path, pause, state, seen, clock = f"/v1/requests/{request_id}", _FIRST_PAUSE, "", set[bytes](), time.monotonic
    until = clock() + within if within is not None else math.inf
    with nullcontext() if as_json else Live(console=Console(), auto_refresh=False, transient=True) as live:
        while True:
            view = content_of(await api.get(path))  # before the timeline, which then has all that led to this state
            entries = [entry async for page in rows(api, f"{path}/timeline") for entry in page]
            keyed = {orjson.dumps(each): each for each in entries}  # an entry may come late, between others
            new = [{"event": "entry", **each} for key, each in keyed.items() if key not in seen]
            seen.update(keyed)
            if view["state"] != state:
                state = view["state"]
                new.append({"event": "state", "state": state, "outcome": view["outcome"], "due_on": view["due_on"]})
            for each in new if as_json else ():
                tell(each)
            if live:
                live.update(Text(plain(shown(view, entries)), no_wrap=True, overflow="ellipsis"), refresh=True)
            if state == "closed" or (left := until - clock()) <= 0:
                break
            pause = _FIRST_PAUSE if new else min(pause * _GROWS, _LONGEST_PAUSE)
            await asyncio.sleep(min(pause, left))
    if not as_json:
        say(shown(view, entries))
    if state != "closed":
        stands = f"the request stands at {state} after {within:g} seconds"
        raise StillOpen(f"{stands}: follow it again, or longer (--within)")


def _body(file: typer.FileBinaryRead) -> tuple[str, bytes]:
    """Where it goes; the body is sent as it was written, so that the API sees a name that comes twice."""
    if file.isatty():
        raise typer.BadParameter("name a file, or pipe the request in; `dsr request example access` prints one")
    content = file.read()
    if isinstance(found := json_of(content), list):
        return "/v1/requests/batch", b'{"requests": %s}' % content
    if not isinstance(found, dict):
        raise typer.BadParameter("a request is a JSON object, several are a list; `dsr request example` prints one")
    return "/v1/requests", content


def _accepted(request: Mapping[str, Any]) -> str:
    """A request that is stored; only channels get the code of its letters."""
    said = "{request_id}  {state}, due {due_on}".format_map(request)
    return f"{said}, letter code {request['letter_code']}" if request["letter_code"] else said
