"""Gives a bench a real database server, a folder of its own, and the number of repeats."""

import asyncio
import secrets
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import typer

from deploy.local import postgres_databases as databases
from deploy.local.paths import ROOT
from deploy.local.platform import Platform
from deploy.local.ports import accepts, free_port
from deploy.local.process import Child
from tests.fixtures import stores
from tests.fixtures.stack import Stack, stack
from tests.fixtures.stores import CALLS_EACH, Stores


class Void(Exception):
    """The counts after the run are not what they must be, so its figure means nothing."""


@dataclass(frozen=True)
class Ground:
    """The platform and folder of a bench."""

    platform: Platform
    directory: Path
    repeats: int

    async def checkpoint(self) -> None:
        """Puts what earlier runs have left in memory on disk, so that no run pays for another."""
        await databases.fetch(self.platform.postgres_dsn, "CHECKPOINT")

    @asynccontextmanager
    async def database(self) -> AsyncIterator[str]:
        """The DSN of an empty database, until the block ends."""
        name = f"bench_{secrets.token_hex(4)}"
        yield await databases.create(self.platform.postgres_dsn, name)
        await databases.drop(self.platform.postgres_dsn, name)

    @asynccontextmanager
    async def seeded(self, subjects: int, *, calls_each: int = CALLS_EACH) -> AsyncIterator[Stores]:
        """The three stores with that many subjects, until the block ends."""
        name, folder = f"seed_{secrets.token_hex(3)}", self.directory / "stores"
        made = await stores.seed(self.platform, name, subjects, folder, calls_each=calls_each)
        await self.checkpoint()
        yield made
        await stores.drop(self.platform, made)

    @asynccontextmanager
    async def copied(self, seeded: Stores) -> AsyncIterator[Stores]:
        """Fresh copies of seeded stores, until the block ends."""
        copied = await stores.copy(self.platform, seeded, f"run_{secrets.token_hex(3)}")
        await self.checkpoint()
        yield copied
        await stores.drop(self.platform, copied)

    def services(self, of: Stores, env: Mapping[str, str] = {}) -> AbstractAsyncContextManager[Stack]:
        """All five services over these stores."""
        return stack(self.platform, of, self.directory, env)

    @asynccontextmanager
    async def program(self, name: str, module: str, *arguments: object) -> AsyncIterator[int]:
        """Runs a module with a port and arguments until the block ends; yields the port."""
        port, log = free_port(), self.directory / f"{name}.log"
        command = [sys.executable, "-m", module, str(port), *map(str, arguments)]
        child = Child(name, command, log=log, ready=accepts(port), cwd=ROOT)
        await asyncio.to_thread(child.start)
        try:
            yield port
        finally:
            await asyncio.to_thread(child.stop)

    def say(self, what: str) -> None:
        """A line of progress."""
        typer.echo(f"   {what}", err=True)

    async def interleaved(
        self, arms: Mapping[str, Callable[[], Awaitable[float]]], unit: str
    ) -> dict[str, list[float]]:
        """Returns what each arm measured, in turn and back (A B B A A B), each after a checkpoint."""
        figures: dict[str, list[float]] = {arm: [] for arm in arms}
        for turn in range(self.repeats):
            for arm in list(arms) if turn % 2 == 0 else list(arms)[::-1]:
                await self.checkpoint()
                figures[arm].append(await arms[arm]())
                self.say(f"{turn + 1}/{self.repeats} {arm}: {figures[arm][-1]:.4g} {unit}")
        return figures


def must(what: str, found: object, expected: object) -> None:
    """Voids the run unless what was found is what is expected."""
    if found != expected:
        message = f"{what}: {found}, expected {expected}"
        raise Void(message)
