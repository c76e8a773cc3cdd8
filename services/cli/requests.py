"""``dsr request``: hand requests in, list, show and follow them, through the API."""

import asyncio
import math
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final
from uuid import uuid4

import orjson
import typer

from services.cli.acting import Everything, Limit, json_of, print_rows, request_id, rows
from services.cli.api import Api, ApiAway, run, told_by
from services.cli.output import AsJson, pairs, say, table, tell
from services.intake.api.examples import EXAMPLES
from shared.domain.errors import DsrError
from shared.domain.rights import Right

request = typer.Typer(help="Requests of data subjects, through the API (DSR_API_URL, DSR_API_KEY).")
RequestId = Annotated[str, typer.Argument(metavar="REQUEST_ID", parser=request_id, help="Its id, or its reference.")]
_TIME = re.compile(r"(\d{1,7})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_FIRST_PAUSE, _LONGEST_PAUSE, _GROWS = 0.3, 5.0, 1.3
_UNSAID: Final = {"task_id", "signature", "system", "operation", "searched_by", "categories", "by_category", "kept"}
"""Fields of a task's receipt that only a program reads."""
_FIRST: Final = ("outcome", "failure", "found", "changed", "remaining")
"""Fields that people read first."""


class StillOpen(DsrError):
    """A request that is followed is not closed within the time that one would wait for it."""


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
    as_json: AsJson,
) -> None:
    """Submit a request, or several together or not at all; prints their ids and the codes that open their letters."""
    key = idempotency_key or str(uuid4())

    async def work(api: Api) -> None:
        path, body = _body(_read(file))
        try:
            answer = await api.post(path, body, {"Idempotency-Key": key}, repeatable=True)
        except ApiAway as error:
            raise ApiAway(f"{error}; it is submitted once if you repeat it with --idempotency-key {key}") from None
        accepted = told_by(answer)
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
        view = told_by(await api.get(f"/v1/requests/{request_id}"))
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
    """Print what is done about a request as it is done, task by task, until it is closed.

    In JSON each line is an `entry` of the timeline or a `state`; the last is that of its closing.
    """
    seconds = duration(within).total_seconds() if within else None
    run(lambda api: _follow(api, request_id, seconds, as_json=as_json))


def duration(text: str) -> timedelta:
    """A time as 30s, 5m, 2h or 1d; raises ``BadParameter``."""
    if not (found := _TIME.fullmatch(text)):
        raise typer.BadParameter("a time is written as 30s, 5m, 2h or 1d")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def shown(view: Mapping[str, Any]) -> str:
    """A request: where it stands, what blocks it, its answer, and a row for each task."""
    outcome = f": {view['outcome']}" if view["outcome"] else ""
    state = f"{view['state']}{outcome}".replace("_", " ")
    warned = f" ({view['warning'].replace('_', ' ')})" if view["warning"] else ""
    heading = f"{view['right']} {view['request_id']}: {state}, due {view['due_on']}{warned}"
    blocked = [f"blocked by {each['kind']}: {each['message']}" for each in view["blocked_by"]]
    tasks = [_task(each) for each in view["tasks"]]
    return "\n".join(filter(None, (heading, *blocked, view["answer"], table(tasks) if tasks else "")))


def _task(task: Mapping[str, Any]) -> tuple[str, ...]:
    came = task.get("outcome") or task.get("failure") or "not begun"
    counts = ", ".join(f"{task[name]:,} {name}" for name in ("found", "changed", "remaining") if task.get(name))
    why = task.get("sentence") or task.get("not_searched") or ""
    return f"  {task['system']}", task["operation"], came, counts, why


async def _follow(api: Api, request_id: str, within: float | None, *, as_json: bool) -> None:
    """Prints what is new until the request is closed; the API has no push, so it is asked less often in silence."""
    path, pause, state, seen = f"/v1/requests/{request_id}", _FIRST_PAUSE, "", Counter[bytes]()
    until = asyncio.get_running_loop().time() + within if within is not None else math.inf
    while True:
        view = told_by(await api.get(path))  # before the timeline, which then has all that led to this state
        entries = [entry async for page in rows(api, f"{path}/timeline") for entry in page]
        new = news(entries, seen)
        if view["state"] != state:
            state = view["state"]
            new.append({"event": "state", "state": state, "outcome": view["outcome"], "due_on": view["due_on"]})
        for each in new:
            tell(each) if as_json else say(line(each))
        if state == "closed":
            break
        pause = _FIRST_PAUSE if new else min(pause * _GROWS, _LONGEST_PAUSE)
        if (left := until - asyncio.get_running_loop().time()) <= 0:
            stands = f"the request stands at {state} after {within:g} seconds"
            raise StillOpen(f"{stands}: follow it again, or longer (--within)")
        await asyncio.sleep(min(pause, left))
    if not as_json:
        say(shown(view))


def news(timeline: Sequence[Mapping[str, Any]], seen: Counter[bytes]) -> list[dict[str, Any]]:
    """The entries that were not seen yet, in their order; one may come late between others."""
    now = Counter(map(_key, timeline))
    new = now - seen
    seen.update(new)
    found = list[dict[str, Any]]()
    for entry in timeline:
        if new[_key(entry)] > 0:
            new[_key(entry)] -= 1
            found.append({"event": "entry", **entry})
    return found


def line(new: Mapping[str, Any]) -> str:
    """The line of an entry or of a new state that a person reads."""
    if new["event"] == "state":
        outcome = f": {new['outcome']}" if new["outcome"] else ""
        return f"{'':20}  {new['state']}{outcome}, due {new['due_on']}".replace("_", " ")
    detail, at = new["detail"], f"{new['at'][:19].replace('T', ' ')}Z"
    said = {name: value for name, value in detail.items() if name not in _UNSAID and value not in (None, 0)}
    if "stages" in detail:
        stages = (" and ".join(step.partition(":")[0] for step in stage) for stage in detail["stages"])
        text = f"{detail['operation']}: {', then '.join(stages)}"
    elif "system" in detail:
        text = f"{detail.get('operation', '')} {detail['system']}: {pairs(said, _FIRST)}"
    else:
        text = pairs(said)
    return f"{at}  {new['service']:9}  {new['action']:22}  {text}".rstrip()


def _key(entry: Mapping[str, Any]) -> bytes:
    return orjson.dumps(entry, option=orjson.OPT_SORT_KEYS)


def _read(file: Path) -> bytes:
    if str(file) != "-":
        return file.read_bytes()
    if sys.stdin.isatty():
        raise typer.BadParameter("name a file, or pipe the request in; `dsr request example access` prints one")
    return sys.stdin.buffer.read()


def _body(content: bytes) -> tuple[str, bytes]:
    """Where it goes; the body is sent as it was written, so that the API sees a name that comes twice."""
    if isinstance(found := json_of(content), list):
        return "/v1/requests/batch", b'{"requests": %s}' % content
    if not isinstance(found, dict):
        raise typer.BadParameter(
            "a request is a JSON object, several are a list of them; `dsr request example` has one"
        )
    return "/v1/requests", content


def _accepted(request: Mapping[str, Any]) -> str:
    """A request that is stored; only channels get the code of its letters."""
    said = "{request_id}  {state}, due {due_on}".format_map(request)
    return f"{said}, letter code {request['letter_code']}" if request["letter_code"] else said
