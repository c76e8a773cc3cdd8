"""Following a request until it is closed: the API has no push, so it is asked again, less often in silence."""

import asyncio
import shutil
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import typer

from services.intake.client.api import Api, told_by
from services.intake.client.output import plain, say, tell
from services.intake.client.progress import Progress, line
from services.intake.client.shapes import RequestShown, Timeline
from shared.domain.errors import DsrError

_FIRST_PAUSE, _LONGEST_PAUSE, _GROWS = 0.3, 5.0, 1.3
_CLEARED = "\r\x1b[K"


class StillOpen(DsrError):
    """A request that is followed is not closed within the time that one would wait for it."""


class Screen:
    """Where progress is shown: on a terminal a last line that changes, in a pipe lines alone, for a program JSON."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._live = not as_json and sys.stdout.isatty()

    def show(self, new: Mapping[str, Any]) -> None:
        """Print what has happened."""
        if self._as_json:
            tell(new)
        elif said := line(new):
            self.clear()
            say(said)

    def standing(self, progress: Progress) -> None:
        """Show how far the tasks are, in the last line of a terminal."""
        if self._live:
            fits = shutil.get_terminal_size().columns - 1  # a line that is broken could not be taken away again
            typer.echo(f"{_CLEARED}{plain(progress.summary)[:fits]}", nl=False)

    def clear(self) -> None:
        """Take the last line away again."""
        if self._live:
            typer.echo(_CLEARED, nl=False)


async def follow(api: Api, request_id: str, screen: Screen, within: float | None) -> Mapping[str, Any]:
    """Shows what happens until the request is closed; how it stands then, as the API says it.

    Raises:
        StillOpen: it is not closed after ``within`` seconds.
    """
    progress = Progress()
    view, _ = await _look(api, request_id, progress, screen)
    with suppress(TimeoutError):
        async with asyncio.timeout(within):
            pause = _FIRST_PAUSE
            while view["state"] != "closed":
                await asyncio.sleep(pause)
                view, new = await _look(api, request_id, progress, screen)
                pause = _FIRST_PAUSE if new else min(pause * _GROWS, _LONGEST_PAUSE)
    screen.clear()
    if view["state"] != "closed":
        stands = f"the request stands at {view['state']} after {within:g} seconds"
        raise StillOpen(f"{stands}: follow it again, or longer (--within)")
    return view


async def _look(api: Api, request_id: str, progress: Progress, screen: Screen) -> tuple[dict[str, Any], bool]:
    """How it stands, and whether anything has happened, which is shown."""
    path = f"/v1/requests/{request_id}"
    view = told_by(await api.get(path), RequestShown)  # before the timeline, which then has all that led to this state
    entries = told_by(await api.get(f"{path}/timeline"), Timeline)["entries"]
    new = list(progress.news(view, entries))
    for each in new:
        screen.show(each)
    screen.standing(progress)
    return view, bool(new)
