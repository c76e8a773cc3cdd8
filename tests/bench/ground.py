"""What every bench stands on: a real database server, a folder of its own, and how often to repeat."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import typer

from deploy.local.platform import Platform


class Void(Exception):
    """The counts after the run are not what they must be, so its figure means nothing."""


@dataclass(frozen=True)
class Ground:
    """Where benches run."""

    platform: Platform
    directory: Path
    repeats: int

    async def checkpoint(self) -> None:
        """Puts what earlier runs have left in memory on disk, so that no run pays for another."""
        connection = await asyncpg.connect(self.platform.postgres_dsn)
        try:
            await connection.execute("CHECKPOINT")
        finally:
            await connection.close()

    def say(self, what: str) -> None:
        """A line of progress."""
        typer.echo(f"   {what}", err=True)

    async def interleaved(
        self, arms: Mapping[str, Callable[[], Awaitable[float]]], unit: str, *, times: int = 1
    ) -> dict[str, list[float]]:
        """What each arm measured, in turn and back again (A B B A A B), each after a checkpoint.

        ``times``: so many times as often as is usual, for what is soon measured.
        """
        figures: dict[str, list[float]] = {arm: [] for arm in arms}
        repeats = self.repeats * times
        for turn in range(repeats):
            for arm in list(arms) if turn % 2 == 0 else list(arms)[::-1]:
                await self.checkpoint()
                figures[arm].append(await arms[arm]())
                self.say(f"{turn + 1}/{repeats} {arm}: {figures[arm][-1]:.4g} {unit}")
        return figures


def must(what: str, found: object, expected: object) -> None:
    """Voids the run unless what was found is what is expected."""
    if found != expected:
        message = f"{what}: {found}, expected {expected}"
        raise Void(message)


async def until(true: Callable[[], Awaitable[object]], within: float, every: float) -> None:
    """Waits for what only looking can tell, such as rows in the database of somebody else; raises ``TimeoutError``."""
    async with asyncio.timeout(within):
        while True:
            if await true():
                return
            await asyncio.sleep(every)
