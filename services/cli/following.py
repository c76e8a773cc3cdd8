"""``dsr request follow``: what is done about a request, as it is done, until it is closed.

The API has no push, so it is asked again, less often in silence. Tasks are read from the timeline:
``fulfilment.opened`` names them, ``task.concluded`` ends one.
"""

import asyncio
import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
import typer

from services.cli.acting import rows
from services.cli.api import Api, told_by
from services.cli.output import pairs, plain, tell
from shared.domain.errors import DsrError

_FIRST_PAUSE, _LONGEST_PAUSE, _GROWS = 0.3, 5.0, 1.3
_CLEARED = "\r\x1b[K"
_OPENED: Final = frozenset({"fulfilment.opened", "fulfilment.begun_anew"})
_ENDED: Final = frozenset({"task.concluded", "task.recorded"})
_UNSAID = frozenset({"task_id", "signature", "system", "operation", "searched_by", "categories", "by_category", "kept"})
"""Fields of a task's receipt that only a program reads."""
_FIRST = ("outcome", "failure", "found", "changed", "remaining")
"""Fields that people read first."""


class StillOpen(DsrError):
    """A request that is followed is not closed within the time that one would wait for it."""


@dataclass
class Progress:
    """The part of the timeline that was seen; ``tasks``: the outcome of each by its system and operation."""

    state: str = ""
    tasks: dict[tuple[str, str], str] = field(default_factory=dict)
    _seen: Counter[bytes] = field(default_factory=Counter)

    def news(self, view: Mapping[str, Any], timeline: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
        """News since the last call, in order: entries of the timeline, tasks that changed, a new state."""
        now = Counter(map(_key, timeline))
        new, self._seen = now - self._seen, now
        for entry in timeline:
            if new[_key(entry)] > 0:
                new[_key(entry)] -= 1
                yield {"event": "entry", **entry}
                yield from self._tasks(entry)
        if view["state"] != self.state:
            self.state = view["state"]
            yield {"event": "state", "state": self.state, "outcome": view["outcome"], "due_on": view["due_on"]}

    @property
    def summary(self) -> str:
        """The progress of the tasks in a line: ``erase 1 of 2: cdr · crm fulfilled``."""
        found = list[str]()
        for operation in dict.fromkeys(operation for _, operation in self.tasks):
            of_it = {system: ended for (system, each), ended in self.tasks.items() if each == operation}
            cells = ", ".join(f"{system} {ended or '·'}" for system, ended in of_it.items())
            found.append(f"{operation} {sum(map(bool, of_it.values()))} of {len(of_it)}: {cells}")
        return "; ".join(found)

    def _tasks(self, entry: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        detail = entry["detail"]
        if entry["action"] in _OPENED:
            for step in (step for stage in detail.get("stages", ()) for step in stage):
                system, _, operation = step.partition(":")
                yield self._task(system, operation, "")
        elif entry["action"] in _ENDED and {"system", "operation"} <= {*detail}:
            ended = detail.get("outcome") or detail.get("failure") or "by_hand"
            yield self._task(detail["system"], detail["operation"], ended)

    def _task(self, system: str, operation: str, ended: str) -> dict[str, Any]:
        self.tasks[system, operation] = ended
        return {"event": "task", "system": system, "operation": operation, "ended": ended or None}


async def follow(api: Api, request_id: str, within: float | None, *, as_json: bool) -> Mapping[str, Any]:
    """Shows what happens until the request is closed; returns how it stands then.

    Raises:
        StillOpen: it is not closed after ``within`` seconds.
    """
    progress, live, pause = Progress(), not as_json and sys.stdout.isatty(), _FIRST_PAUSE
    view, _ = await _look(api, request_id, progress, live=live, as_json=as_json)
    with suppress(TimeoutError):
        async with asyncio.timeout(within):
            while view["state"] != "closed":
                await asyncio.sleep(pause)
                view, new = await _look(api, request_id, progress, live=live, as_json=as_json)
                pause = _FIRST_PAUSE if new else min(pause * _GROWS, _LONGEST_PAUSE)
    if live:
        typer.echo(_CLEARED, nl=False)
    if view["state"] != "closed":
        stands = f"the request stands at {view['state']} after {within:g} seconds"
        raise StillOpen(f"{stands}: follow it again, or longer (--within)")
    return view


async def _look(
    api: Api, request_id: str, progress: Progress, *, live: bool, as_json: bool
) -> tuple[dict[str, Any], bool]:
    """Shows what is new; on a terminal the last line says how far the tasks are."""
    path = f"/v1/requests/{request_id}"
    view = told_by(await api.get(path))  # before the timeline, which then has all that led to this state
    entries = [entry async for page in rows(api, f"{path}/timeline") for entry in page]
    new = list(progress.news(view, entries))
    for each in new:
        if as_json:
            tell(each)
        elif said := line(each):
            typer.echo(f"{_CLEARED if live else ''}{plain(said)}")
    if live:
        fits = shutil.get_terminal_size().columns - 1  # a line that is broken could not be taken away again
        typer.echo(f"{_CLEARED}{plain(progress.summary)[:fits]}", nl=False)
    return view, bool(new)


def line(new: Mapping[str, Any]) -> str | None:
    """The line that a person reads; None where an entry has said it."""
    if new["event"] == "state":
        outcome = f": {new['outcome']}" if new["outcome"] else ""
        return f"{'':20}  {new['state']}{outcome}, due {new['due_on']}".replace("_", " ")
    if new["event"] == "task":
        return None
    detail, at = new["detail"], f"{new['at'][:19].replace('T', ' ')}Z"
    if new["action"] in _OPENED and "stages" in detail:
        stages = (" and ".join(step.partition(":")[0] for step in stage) for stage in detail["stages"])
        said = f"{detail['operation']}: {', then '.join(stages)}"
    elif new["action"] in _ENDED and "system" in detail:
        rest = {name: value for name, value in detail.items() if name not in _UNSAID and value not in (None, 0)}
        said = f"{detail.get('operation', '')} {detail['system']}: {pairs(rest, _FIRST)}"
    else:
        said = pairs({name: value for name, value in detail.items() if name not in _UNSAID})
    return f"{at}  {new['service']:9}  {new['action']:22}  {said}".rstrip()


def _key(entry: Mapping[str, Any]) -> bytes:
    return orjson.dumps(entry, option=orjson.OPT_SORT_KEYS)
