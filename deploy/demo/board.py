"""The requests as they advance, a line each, a cell per downstream; without a terminal a line once they are at rest."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from deploy.demo import tasks
from deploy.demo.client import DsrClient
from deploy.demo.company import Part
from deploy.demo.estate import SYSTEMS
from deploy.demo.finding import Finding
from deploy.demo.tasks import Progressed

_TIMEOUT_SECONDS = 180
_LOOK_EVERY = 0.2
_COLOUR = {
    "closed": "green",
    "awaiting_decision": "red",
    "awaiting_identity": "yellow",
    "awaiting_clarification": "yellow",
}


@dataclass
class SubmittedRequest:
    """A request of the demonstration: its part, where it stands, and then what was downloaded and looked up of it."""

    part: Part
    request_id: str
    view: Mapping[str, Any] = field(default_factory=dict)
    cells: Mapping[str, Progressed] = field(default_factory=dict)
    seconds: float | None = None
    package: bytes = b""
    files: Sequence[Path] = ()
    certificate: Finding = field(default=Finding(holds=False, words="there is no certificate"))  # frozen
    findings: list[Finding] = field(default_factory=list)

    @property
    def state(self) -> str:
        """Where it stands, with its outcome once it has one."""
        told = (self.view.get("state", "received"), self.view.get("outcome"))
        return ": ".join(filter(None, told)).replace("_", " ")

    @property
    def words(self) -> list[str]:
        """How far each system has come, in two or three words."""
        return [self.cells[system].words if system in self.cells else "·" for system in SYSTEMS]

    @property
    def at_rest(self) -> bool:
        """Whether nothing more will happen by itself."""
        return self.view.get("state") in _COLOUR


@dataclass(frozen=True)
class Board:
    """Shows requests until all are at rest."""

    console: Console
    client: DsrClient
    dsn: str

    async def watch(self, requests: Sequence[SubmittedRequest]) -> None:
        """Look until every request has closed or waits for a person, or the time is over."""
        began = time.monotonic()
        terminal = self.console.is_terminal
        with Live(console=self.console, refresh_per_second=10) if terminal else nullcontext() as live:
            while True:
                going = await self._look(requests, began)
                if live:
                    live.update(self._table(requests))
                if not going:
                    return
                await asyncio.sleep(_LOOK_EVERY)

    async def _look(self, requests: Sequence[SubmittedRequest], began: float) -> bool:
        """Bring all up to date; whether to look again."""
        going = [request for request in requests if not request.at_rest]
        for request in going:
            request.view = await self.client.read(request.request_id)
            request.seconds = time.monotonic() - began if request.at_rest else None
        now = time.monotonic() - began
        # Read after the states, so that what is closed is never shown with a task that still runs.
        cells = await tasks.read(self.dsn)
        for request in requests:
            request.cells = cells.get(request.request_id, {})
        for request in going:
            if request.at_rest and not self.console.is_terminal:
                self._line(request, now)
        return now < _TIMEOUT_SECONDS and not all(request.at_rest for request in requests)

    def _line(self, request: SubmittedRequest, now: float) -> None:
        cells = "  ".join(f"{system}: {words:16}" for system, words in zip(SYSTEMS, request.words, strict=True))
        who = f"{request.part.right:18} {request.part.person.name:18}"
        self.console.print(f"{now:6.1f} s  {who} {request.state:29} {cells}", markup=False, soft_wrap=True)

    def _table(self, requests: Sequence[SubmittedRequest]) -> Table:
        table = Table(box=None, pad_edge=False, header_style="dim")
        for column in ("right", "person", "state", *SYSTEMS, "due", ""):
            table.add_column(column, no_wrap=True)
        for request in requests:
            colour = _COLOUR.get(str(request.view.get("state")), "cyan")
            table.add_row(
                request.part.right,
                request.part.person.name,
                f"[{colour}]{request.state}[/]",
                *request.words,
                str(request.view.get("due_on", "")),
                f"[dim]{request.seconds:.1f} s[/]" if request.seconds is not None else "",
            )
        return table
