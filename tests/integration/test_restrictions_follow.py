"""A restriction hides a number in the time in which the register says it was the subject's, and no longer."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import pytest

from deploy.demo.seed.cdr import CdrStore
from services.amendment import handlers as amendment
from services.amendment import nightly
from shared.domain.assignments import AssignedNumber, Line
from shared.domain.events import RequestVerified
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation
from shared.domain.rights import Right
from shared.domain.topics import ServiceName
from shared.storage.register import fill
from tests.fixtures.cdr import ANNA, BORIS, CHIARA, LONG_AGO, SqlEngine, ask, at, call, number
from tests.fixtures.engine import ACCOUNT, DUE, Harness, OpenHarness, ScriptedSystem, SetClock
from tests.fixtures.events import a

CDR, OTHER = "cdr", "C2"
HER_CALL, LATER = ("", BORIS), (ANNA, CHIARA)
"""As readers see them: hers hidden, and that of whoever has the number next."""
HELD = "SELECT number, valid_from, valid_to FROM restricted_number"


@dataclass
class CallStore(ScriptedSystem):
    """The store of calls as a system of the engine."""

    needs: frozenset[IdentityType] = frozenset({IdentityType.PHONE})
    keeps_periods: bool = False


def mine(until: datetime | None = None, *, line: Line = Line.PERSONAL) -> AssignedNumber:
    return AssignedNumber(number(ANNA, until=until), ACCOUNT.value, line)


def theirs(since: datetime) -> AssignedNumber:
    return AssignedNumber(number(ANNA, since), OTHER)


async def read(harness: Harness, *rows: AssignedNumber) -> None:
    """One reading of the register's source."""
    keys, source = harness.unit_of_work.vault.keyring, ACCOUNT.source
    async with harness.pool.acquire() as connection:
        await fill(connection, keys, source, source, rows, harness.unit_of_work.clock.now())


async def look(harness: Harness, clock: SetClock, **later: float) -> int:
    """The look of somewhat later; how many tasks it had for the store."""
    clock.pass_by(**later)
    await nightly.look_at_all(harness.unit_of_work, harness.fulfilments)
    return await harness.worker(CDR, Operation.RESTRICT).work()


async def seen(store: CdrStore) -> Sequence[tuple[object, ...]]:
    return await ask(store.reader, "SELECT caller, callee FROM acc_cdrs ORDER BY start_time")


@pytest.fixture
async def harness(open_harness: OpenHarness, cdr_store: CdrStore, calls: SqlEngine) -> Harness:
    """Her open number is restricted, and of two calls with it one is of a time in which it is no longer hers."""
    await cdr_store.seed([call(ANNA, BORIS, "2026-02-01"), call(ANNA, CHIARA, "2026-03-01")])
    store = CallStore(CDR, answers={Operation.RESTRICT: calls.adapter.amend}, keeps_periods=calls.adapter.keeps_periods)
    harness = await open_harness(store, service=ServiceName.AMENDMENT)
    harness.concludes = dict.fromkeys(Operation, partial(amendment.finish, harness.fulfilments))
    await read(harness, mine())
    subject = await harness.subject(ACCOUNT, Identity(IdentityType.PHONE, ANNA, source="crm"))
    event = a(RequestVerified, right=Right.RESTRICTION, subject=subject, scope="unlawful", due_on=DUE)
    async with harness.unit_of_work.begin() as tx:
        await amendment.begin(harness.fulfilments, [event], tx)
    assert await harness.worker(CDR, Operation.RESTRICT).work() == 1
    assert await ask(cdr_store.admin, HELD) == [(ANNA, LONG_AGO, None)]
    assert await seen(cdr_store) == [HER_CALL, ("", CHIARA)]
    return harness


async def test_whoever_has_a_number_next_is_not_hidden_and_the_time_of_who_had_it_stays_hidden(
    harness: Harness, cdr_store: CdrStore, clock: SetClock
) -> None:
    clock.pass_by(minutes=5)
    await read(harness, mine(at("2026-02-15")), theirs(at("2026-02-20")))
    assert await look(harness, clock, minutes=1) == 1  # the same day: what the register learns is looked at at once
    assert await ask(cdr_store.admin, HELD) == [(ANNA, LONG_AGO, at("2026-02-15"))]
    assert await seen(cdr_store) == [HER_CALL, LATER]
    assert await look(harness, clock, minutes=1) == 0
    assert await look(harness, clock, days=1) == 1  # and each night
    assert await ask(cdr_store.admin, HELD) == [(ANNA, LONG_AGO, at("2026-02-15"))]


async def test_a_number_that_has_passed_on_is_followed_also_where_no_call_of_the_restricted_time_is_left(
    harness: Harness, cdr_store: CdrStore, clock: SetClock
) -> None:
    for table in ("acc_cdrs WHERE start_time", "acc WHERE time"):
        await ask(cdr_store.admin, f"DELETE FROM {table} < '2026-02-15'")
    clock.pass_by(minutes=5)
    await read(harness, mine(at("2026-02-15")), theirs(at("2026-02-20")))
    assert await look(harness, clock, minutes=1) == 1
    assert await seen(cdr_store) == [LATER]


async def test_a_line_that_turns_out_to_be_shared_hides_nobody(
    harness: Harness, cdr_store: CdrStore, clock: SetClock
) -> None:
    clock.pass_by(minutes=5)
    await read(harness, mine(line=Line.SHARED))
    assert await look(harness, clock, minutes=1) == 1
    assert await ask(cdr_store.admin, HELD) == []


async def test_while_the_register_contradicts_itself_everything_stays_as_it_is(
    harness: Harness, cdr_store: CdrStore, clock: SetClock
) -> None:
    clock.pass_by(minutes=5)
    await read(harness, mine(at("2026-02-25")), theirs(at("2026-02-20")))
    assert await look(harness, clock, minutes=1) == 1
    assert await ask(cdr_store.admin, HELD) == [(ANNA, LONG_AGO, None)]


async def test_a_number_that_the_register_does_not_know_stays_hidden(
    harness: Harness, cdr_store: CdrStore, clock: SetClock
) -> None:
    await harness.pool.execute("DELETE FROM register.assignment")
    await look(harness, clock, days=1)
    assert await ask(cdr_store.admin, HELD) == [(ANNA, LONG_AGO, None)]
