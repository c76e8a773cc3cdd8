"""Faults of a part, and the end of each: its start, a first answered query, a first acknowledged produce."""

import asyncio
import logging
import random
import signal
import time
from dataclasses import dataclass
from enum import StrEnum

import asyncpg
import psutil

from deploy.local import postgres_databases as databases
from deploy.local.process import Child, ChildFailedError
from tests.chaos.arena import LINKS, PARTS, Arena
from tests.fixtures.brokers import acknowledges
from tests.fixtures.proxy import Toxic

log = logging.getLogger(__name__)

_AGAIN_SECONDS = 0.1
_ALONE, _SEVERAL = 0.6, 0.9
"""Shares of rounds in which one part or a few are struck; in the others all are."""
_SHORT_SECONDS, _LONG_SECONDS, _LONG = 5.0, 12.0, 0.15
"""Longest duration of a fault: mostly past a lease, in some rounds also past a consumer's session."""


_NOT_STARTED = ("cannot start; no database for us", "cannot start; no broker for us")
"""The last words of a service that was started while a server was away: it is started again until one is there."""


class Kind(StrEnum):
    """Kinds of fault."""

    KILL = "kill"  # -9, and started again
    FREEZE = "freeze"  # SIGSTOP, and SIGCONT
    CUT = "cut"  # connections are reset, new ones too
    DELAY = "delay"
    HALVE = "halve"  # little passes at a time
    SWALLOW = "swallow"  # connections are accepted, and nothing passes


_OF_PARTS = (Kind.KILL, Kind.FREEZE)
_OF_LINKS = {
    Kind.CUT: (Toxic.CUT, 0.0),
    Kind.DELAY: (Toxic.DELAY, 0.15),
    Kind.HALVE: (Toxic.LIMIT, 40_000.0),
    Kind.SWALLOW: (Toxic.SWALLOW, 0.0),
}


@dataclass(frozen=True)
class Fault:
    """A fault of a part, with its duration."""

    part: str
    kind: Kind
    seconds: float


def draw_round(draw: random.Random) -> list[Fault]:
    """Draws one fault, several, or one of every process and server."""
    share = draw.random()
    if share >= _SEVERAL:
        return everything(draw)
    targets = [(part, kind) for part in PARTS for kind in _OF_PARTS]
    targets += [(link, kind) for link in LINKS for kind in _OF_LINKS]
    drawn = draw.sample(targets, 1 if share < _ALONE else draw.randint(2, 4))
    longest = _LONG_SECONDS if draw.random() < _LONG else _SHORT_SECONDS
    return [Fault(part, kind, draw.uniform(0.1, longest)) for part, kind in dict(drawn).items()]


def everything(draw: random.Random) -> list[Fault]:
    """Draws a fault of every process and server."""
    return [Fault(part, draw.choice(_OF_PARTS), draw.uniform(0.1, _SHORT_SECONDS)) for part in PARTS]


class Striker:
    """Lets faults happen, and is the orchestrator that starts what has ended."""

    def __init__(self, arena: Arena) -> None:
        self._arena = arena
        self._struck: set[str] = set()
        self.ended: list[str] = []
        """Services that ended unexpectedly and were started again."""

    async def strike(self, fault: Fault) -> float:
        """Lets it happen, until it is over; when the part is back, on the monotonic clock."""
        if fault.kind in _OF_LINKS:
            link = self._arena.links[fault.part]
            await link.suffer(*_OF_LINKS[fault.kind])
            await asyncio.sleep(fault.seconds)
            await link.suffer(Toxic.NONE)
            return time.monotonic()
        child = self._child(fault.part)
        if fault.kind is Kind.FREEZE:
            frozen = _tree(child)
            _signal(frozen, signal.SIGSTOP)
            try:
                await asyncio.sleep(fault.seconds)
            finally:
                _signal(frozen, signal.SIGCONT)
            began = time.monotonic()
        else:
            self._struck.add(fault.part)
            await asyncio.to_thread(child.kill)
            await asyncio.sleep(fault.seconds)
            began = await self._start(child)
            self._struck.discard(fault.part)
        return await self._back(fault.part) if fault.part in LINKS else began

    async def keep_up(self) -> None:
        """Restarts services that have ended, as an operator would; for ever."""
        while True:
            for name, child in self._arena.services.children.items():
                if name not in self._struck and not child.running:
                    if not any(child.tail(1).startswith(f"dsr-{name} {why}") for why in _NOT_STARTED):
                        self.ended.append(name)
                    log.warning("%s has ended:\n%s", name, child.tail(3))
                    await self._start(child)
            await asyncio.sleep(_AGAIN_SECONDS)  # a child's end is not signalled

    async def _start(self, child: Child) -> float:
        """Starts it until it stays; when that start was."""
        while True:
            began = time.monotonic()
            try:
                if child in self._arena.services.children.values():
                    await asyncio.to_thread(child.spawn)  # that it is ready is not waited for: it may need who is away
                else:
                    await asyncio.to_thread(child.start)
            except ChildFailedError as error:
                log.warning("not started: %s", error)
            else:
                return began

    def _child(self, part: str) -> Child:
        arena = self._arena
        server = arena.brokers.get(part) or arena.databases.get(part)
        return server.child if server else next(c for name, c in arena.services.children.items() if name == part)

    async def _back(self, part: str) -> float:
        """Waits for a server's first answer; when that was."""
        while not await self._answers(part):  # noqa: ASYNC110
            await asyncio.sleep(_AGAIN_SECONDS)  # a return is not signalled
        return time.monotonic()

    async def _answers(self, part: str) -> bool:
        server = self._arena.databases.get(part)
        if server is None:
            return await acknowledges(self._arena.bootstrap)
        try:
            async with asyncio.timeout(1):
                await databases.fetch(server.dsn, "SELECT 1")
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
            return False
        return True


def _tree(child: Child) -> list[psutil.Process]:
    """The process and all that it has started: a database is more than one."""
    try:
        root = psutil.Process(child.pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _signal(processes: list[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            continue
