"""A package is made outside of any transaction: one process has it in hand, another takes it over, it counts once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from secrets import token_hex
from typing import Any

import pytest
from orjson import dumps
from uuid_utils.compat import uuid7

from services.export import handlers as export
from services.export import package as built
from services.export.package import Part
from shared.domain.events import RequestClosed, RequestWithdrawn
from shared.domain.operations import Operation, TaskOutcome
from shared.domain.release import Match
from shared.domain.rights import Outcome, Right
from shared.domain.topics import ServiceName
from shared.downstreams.contract import Receipt, Record
from shared.fulfilment.lease import Lease
from shared.fulfilment.store import NewFulfilment
from shared.storage.vault import Sealing
from tests.fixtures.engine import DUE, Harness, OpenHarness, ScriptedSystem, SetClock, each
from tests.fixtures.events import a
from tests.fixtures.packages import described, exporting, fetched, maker, pack

FOUND = (Match("email", "ada@example.org"),)
MANY = tuple(Record("calls", "cdrs", {"value": token_hex(800_000)}, matched=FOUND) for _ in range(2))
"""Records that do not pack well: more than a chunk, so that a part of the package is stored before its end."""


async def copied(open_harness: OpenHarness, *records: Record) -> tuple[Harness, NewFulfilment]:
    """An access of which everything is collected."""
    given = each(lambda task: Receipt(task.task_id, TaskOutcome.EXPORTED, found=len(records), records=records))
    system = ScriptedSystem("cdr", answers={Operation.EXPORT: given})
    harness = exporting(await open_harness(system, service=ServiceName.EXPORT))
    new = NewFulfilment(uuid7(), await harness.subject(), Right.ACCESS, Operation.EXPORT, DUE)
    await harness.open(new)
    await harness.worker("cdr", Operation.EXPORT).work()
    return harness, new


async def left(harness: Harness) -> dict[str, int]:
    kinds = "SELECT kind, count(*) FROM vault.sealed WHERE kind <> 'identities' GROUP BY kind"
    return {row[0]: row[1] for row in await harness.pool.fetch(kinds)}


def standing_still(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Lets whoever makes a package stop when all of it but its last chunk is stored."""
    reached, build = asyncio.Event(), built.build

    async def slow(*arguments: Any) -> Any:
        found = await build(*arguments)
        if not reached.is_set():
            reached.set()
            await asyncio.Event().wait()
        return found

    monkeypatch.setattr(built, "build", slow)
    return reached


@asynccontextmanager
async def given_up(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Lease]:
    """A process that has a part of a package stored, and then does not go on."""
    lease, reached = await harness.new_lease(), standing_still(monkeypatch)
    first = maker(harness, lease)
    due = await first.claim()
    assert due
    hanging = asyncio.create_task(first.make(due))
    await asyncio.wait({hanging, asyncio.ensure_future(reached.wait())}, return_when=asyncio.FIRST_COMPLETED)
    assert not hanging.done(), "it came to its end, or broke"
    try:
        yield lease
    finally:
        hanging.cancel()


async def test_package_of_a_dead_process_is_rebuilt(open_harness: OpenHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    harness, new = await copied(open_harness, *MANY)
    async with given_up(harness, monkeypatch) as lease:
        assert await left(harness) == {"records": 1, "package": 1, "release": 1}, "stored, and nobody's to read"
        assert await harness.outbox() == []
        assert await pack(harness) == 0, "it is in the hands of a process that is alive"
        await harness.silence(lease)
        await harness.reap()
        assert await pack(harness) == 1
    assert await harness.outbox() == ["dsr.fulfilment.completed.v1"]
    assert (await harness.actions(new.request_id)).count("package.built") == 1
    assert await left(harness) == {"package": 1, "release": 1}
    package_id = await harness.pool.fetchval("SELECT sealed_id FROM vault.sealed WHERE kind = 'package'")
    assert len(described(await fetched(harness, package_id))["records"]) == len(MANY)


async def test_late_builder_stores_nothing(open_harness: OpenHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    harness, new = await copied(open_harness, *MANY)
    woken, build = asyncio.Event(), built.build
    lease = await harness.new_lease()
    slept = asyncio.Event()

    async def sleeping(parts: Any, about: Any, write: Any) -> Any:
        if not slept.is_set():
            slept.set()
            await woken.wait()
        return await build(parts, about, write)

    monkeypatch.setattr(built, "build", sleeping)
    first = maker(harness, lease)
    due = await first.claim()
    assert due
    asleep = asyncio.create_task(first.make(due))
    await slept.wait()
    await harness.silence(lease)
    await harness.reap()
    assert await pack(harness) == 1
    woken.set()
    await asleep
    assert await pack(harness) == 0
    assert await harness.outbox() == ["dsr.fulfilment.completed.v1"]
    assert (await harness.actions(new.request_id)).count("package.built") == 1
    assert await harness.pool.fetchval("SELECT count(DISTINCT sealed_id) FROM vault.chunk") == 1


@pytest.mark.parametrize("how", ["withdrawn", "closed"])
async def test_unneeded_package_is_gone(open_harness: OpenHarness, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    harness, new = await copied(open_harness, *MANY)
    about: dict[str, Any] = {"about": str(new.request_id), "right": new.right, "subject": new.subject_ref}
    build, began, goes_on = built.build, asyncio.Event(), asyncio.Event()

    async def sleeping(parts: Any, about: Any, write: Any) -> Any:
        async def late(content: bytes) -> None:
            began.set()
            await goes_on.wait()
            await write(content)

        return await build(parts, about, late)

    monkeypatch.setattr(built, "build", sleeping)
    packing = asyncio.create_task(pack(harness))
    await began.wait()
    async with harness.unit_of_work.begin() as tx:
        if how == "withdrawn":
            await export.cancel([a(RequestWithdrawn, **about)], tx)
        else:
            await export.close([a(RequestClosed, **about, outcome=Outcome.WITHDRAWN)], tx)
    goes_on.set()
    assert await packing == 1
    assert await left(harness) == {}, "what was packed meanwhile is stored no more"


async def test_change_during_packing_rebuilds(open_harness: OpenHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    harness, new = await copied(open_harness, Record("calls", "cdrs", {"value": "then"}, matched=FOUND))
    build, times = built.build, iter(range(9))

    async def interrupted(parts: Any, about: Any, write: Any) -> Any:
        if next(times) == 0:
            more = [["calls", "cdrs", {"value": "later"}, True, [["email", "ada@example.org", None]], {}, {}]]
            async with harness.unit_of_work.begin() as tx:
                piece = Sealing(new.subject_ref, "records", "cdr", dumps(more))
                await tx.vault.seal(tx.connection, [piece], tx.now)
        return await build(parts, about, write)

    monkeypatch.setattr(built, "build", interrupted)
    assert await pack(harness) == 2
    package_id = await harness.pool.fetchval("SELECT sealed_id FROM vault.sealed WHERE kind = 'package'")
    found = described(await fetched(harness, package_id))["records"]
    assert [each["data"]["value"] for each in found] == ["then", "later"]


async def test_what_no_package_can_be_made_of_holds_up_no_other_and_comes_before_a_person(
    open_harness: OpenHarness, clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness, new = await copied(open_harness, Record("calls", "cdrs", {"value": "strange"}, matched=FOUND))
    build = built.build

    async def breaking(parts: list[Part], about: Any, write: Any) -> Any:
        if b"strange" in await parts[0].open():
            raise ZeroDivisionError
        return await build(parts, about, write)

    monkeypatch.setattr(built, "build", breaking)
    for _ in range(6):
        assert await pack(harness) == 1
        clock.pass_by(hours=1)
    assert await harness.outbox() == ["dsr.fulfilment.blocked.v1"]
    assert await harness.pool.fetchval("SELECT failure FROM task") == "unforeseen_error"
    assert await harness.fulfilment_state(new.request_id) == "blocked"
    monkeypatch.setattr(built, "build", build)
    await harness.retry(new.request_id)
    await harness.worker("cdr", Operation.EXPORT).work()
    await pack(harness)
    assert (await harness.outbox())[-1] == "dsr.fulfilment.completed.v1"


async def test_a_key_that_is_gone_when_the_package_is_made_comes_before_a_person(open_harness: OpenHarness) -> None:
    harness, new = await copied(open_harness, MANY[0])
    async with harness.unit_of_work.begin() as tx:
        await tx.vault.shred(tx.connection, [new.subject_ref], tx.now)
    await pack(harness)
    assert await harness.outbox() == ["dsr.fulfilment.blocked.v1"]
    assert await harness.pool.fetchval("SELECT failure FROM task") == "key_gone"
