"""One platform for all scenarios, which go through it one after the other."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.fixtures.stack import Stack, stack_alone

SUBJECTS = 600
ENV = {"DSR_HTTP_LINGER_SECONDS": "4", "DSR_PROCESS_DRAIN_SECONDS": "5", "DSR_PROCESS_OUTBOX_SECONDS": "5"}


@pytest.fixture(scope="package")
def people() -> Iterator[int]:
    """The numbers of those who have not asked for anything yet."""
    return iter(range(SUBJECTS))


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def platform_of_its_own(run_folder: Path) -> AsyncIterator[Stack]:
    """All five services, on servers that may be taken away."""
    async with stack_alone(run_folder / "chaos", SUBJECTS, env=ENV) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="package")
async def running(platform_of_its_own: Stack) -> Stack:
    """The platform, of which everything runs again whatever the scenario before has done."""
    for each in (platform_of_its_own.postgres, platform_of_its_own.kafka):
        await asyncio.to_thread(each.start)
    await asyncio.gather(*(asyncio.to_thread(child.start) for child in platform_of_its_own.services.children.values()))
    return platform_of_its_own
