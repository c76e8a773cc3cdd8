"""A line that several people use: its subscriber sees an itemised bill, and nobody's request touches its calls."""

from dataclasses import replace
from datetime import UTC, datetime

import orjson
import pytest
from uuid_utils.compat import uuid7

from deploy.demo.seed.cdr import CdrStore
from shared.domain.assignments import AssignedNumber, Line
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation, TaskOutcome
from shared.domain.rights import Right
from shared.domain.topics import ServiceName
from shared.downstreams.contract import Record, Task
from shared.fulfilment.store import NewFulfilment
from shared.storage.register import fill
from tests.fixtures.cdr import ANNA, BORIS, CHIARA, SqlEngine, ask, at, call, number
from tests.fixtures.downstream import task
from tests.fixtures.engine import DUE, Harness, OpenHarness, ScriptedSystem, SetClock
from tests.fixtures.packages import exporting, pack

SINCE = at("2026-01-10")
LINE = replace(number(ANNA, since=SINCE), source="register")
ACCOUNT = Identity(IdentityType.ACCOUNT_ID, "C1", source="crm", level="L2")
BILL = {"started", "seconds", "line", "to"}


def a_copy(*own: Identity) -> Task:
    return replace(task(Operation.EXPORT, *own), lines=(LINE,))


def bill(records: tuple[Record, ...]) -> list[Record]:
    return [record for record in records if record.category == "itemised_bill"]


async def test_a_subscriber_sees_when_and_how_long_was_called_and_a_shortened_number_and_never_who_called_in(
    cdr_store: CdrStore, calls: SqlEngine
) -> None:
    await cdr_store.seed(
        [
            call(ANNA, BORIS, "2026-01-09"),
            call(ANNA, BORIS, "2026-01-11"),
            call(ANNA, CHIARA, "2026-01-12", pai=ANNA),
            call(CHIARA, ANNA, "2026-01-13"),
            call(BORIS, CHIARA, "2026-01-14"),
        ]
    )
    done = await calls.receipt(a_copy())
    assert (done.outcome, done.found, done.categories) == (TaskOutcome.EXPORTED, 2, ("itemised_bill",))
    assert done.not_searched is None
    shown = sorted(bill(done.records), key=lambda record: str(record.data["started"]))
    assert [record.data["to"] for record in shown] == ["+491712345xxx", "+393475551xxx"]
    assert [set(record.data) for record in shown] == [BILL, BILL]
    assert {record.data["line"] for record in shown} == {ANNA}
    assert BORIS[1:] not in str([record.data for record in done.records])


async def test_what_is_theirs_is_shown_whole_beside_the_bill_of_a_line(cdr_store: CdrStore, calls: SqlEngine) -> None:
    await cdr_store.seed([call(ANNA, CHIARA), call(BORIS, CHIARA)])
    done = await calls.receipt(a_copy(number(BORIS)))
    whole = [record.data["to"] for record in done.records if record.category == "call_record"]
    assert (whole, [record.data["to"] for record in bill(done.records)]) == ([CHIARA], ["+393475551xxx"])


async def test_a_bill_counts_for_how_much_one_request_may_touch(cdr_store: CdrStore, calls: SqlEngine) -> None:
    await cdr_store.seed([call(ANNA, CHIARA)])
    assert (await calls.receipt(a_copy())).remaining == 1


class Calls(ScriptedSystem):
    """The store of calls as a system of the engine."""

    itemises = True


async def opened(open_harness: OpenHarness, calls: SqlEngine, *holders: tuple[str, Line]) -> tuple[Harness, Calls]:
    """The engine, and a register in which one number is a line of these accounts."""
    system = Calls("cdr", needs=frozenset({IdentityType.PHONE, IdentityType.SIP_URI}))
    adapter = calls.adapter
    system.answers |= dict.fromkeys((Operation.RESTRICT, Operation.RECTIFY), adapter.amend)
    system.answers |= {Operation.EXPORT: adapter.export, Operation.ERASE: adapter.erase}
    harness = exporting(await open_harness(system, service=ServiceName.EXPORT))
    held = [AssignedNumber(Identity(LINE.type, ANNA, SINCE), account, line) for account, line in holders]
    assert isinstance(harness.unit_of_work.clock, SetClock)
    harness.unit_of_work.clock.pass_by(seconds=1)
    async with harness.pool.acquire() as connection:
        await fill(connection, harness.unit_of_work.vault.keyring, "crm", "crm", held, harness.unit_of_work.clock.now())
    return harness, system


async def ask_for(harness: Harness, right: Right, operation: Operation, *known: Identity) -> NewFulfilment:
    new = NewFulfilment(uuid7(), await harness.subject(*known), right, operation, DUE)
    await harness.open(new)
    await harness.worker("cdr", operation).work()
    await pack(harness)
    return new


OWN = (ACCOUNT, Identity(IdentityType.PHONE, ANNA, level="L2"))


@pytest.mark.parametrize("right", [Right.ACCESS, Right.PORTABILITY])
async def test_the_package_of_a_subscriber_has_the_bill_of_their_line_and_passes_the_release_check(
    open_harness: OpenHarness, cdr_store: CdrStore, calls: SqlEngine, right: Right
) -> None:
    await cdr_store.seed([call(ANNA, BORIS), call(CHIARA, ANNA), call(ANNA, BORIS, "2026-01-09")])
    harness, _ = await opened(open_harness, calls, ("C1", Line.SHARED))
    await ask_for(harness, right, Operation.EXPORT, *OWN)
    assert await harness.outbox() == ["dsr.fulfilment.completed.v1"]
    kinds = {row[0] for row in await harness.pool.fetch("SELECT kind FROM vault.sealed")}
    assert {"package", "release"} <= kinds
    report = orjson.loads(await harness.pool.fetchval("SELECT receipt::text FROM task WHERE operation = 'export'"))
    assert (report["found"], report["by_category"], report.get("not_searched")) == (1, {"itemised_bill": 1}, None)


async def test_whoever_only_uses_a_line_or_proved_it_or_held_it_beside_another_sees_no_bill(
    open_harness: OpenHarness, cdr_store: CdrStore, calls: SqlEngine
) -> None:
    await cdr_store.seed([call(ANNA, BORIS)])
    harness, system = await opened(open_harness, calls, ("C1", Line.SHARED), ("C3", Line.SHARED))
    proved = Identity(IdentityType.PHONE, ANNA, proved_since=datetime(2020, 1, 1, tzinfo=UTC))
    for known in (
        (replace(ACCOUNT, value="C2"), OWN[1]),
        (replace(ACCOUNT, value="C2"), proved),
        (replace(ACCOUNT, source="requester"), OWN[1]),
        OWN,
    ):
        await ask_for(harness, Right.ACCESS, Operation.EXPORT, *known)
    assert not [task for task in system.asked if task.lines or task.identities]
    assert "records" not in [row[0] for row in await harness.pool.fetch("SELECT kind FROM vault.sealed")]


@pytest.mark.parametrize(
    ("right", "operation"), [(Right.ERASURE, Operation.ERASE), (Right.RESTRICTION, Operation.RESTRICT)]
)
async def test_nobodys_erasure_or_restriction_touches_the_calls_of_a_line_that_several_people_use(
    open_harness: OpenHarness, cdr_store: CdrStore, calls: SqlEngine, right: Right, operation: Operation
) -> None:
    await cdr_store.seed([call(ANNA, BORIS), call(CHIARA, ANNA)])
    harness, _ = await opened(open_harness, calls, ("C1", Line.SHARED))
    before = await ask(cdr_store.admin, "SELECT * FROM acc_cdrs")
    await ask_for(harness, right, operation, *OWN)
    assert await ask(cdr_store.admin, "SELECT * FROM acc_cdrs") == before
    assert await ask(cdr_store.reader, "SELECT * FROM acc_cdrs") == before
    assert await harness.outbox() == ["dsr.fulfilment.blocked.v1"]
