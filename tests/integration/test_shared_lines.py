"""A line that several people use: nobody's request copies or touches its calls, and a person is asked."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from uuid_utils.compat import uuid7

from deploy.demo.seed.cdr import CdrStore
from shared.domain.assignments import AssignedNumber, Line
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation
from shared.domain.rights import Right
from shared.domain.topics import ServiceName
from shared.fulfilment.store import NewFulfilment
from shared.storage.register import fill
from tests.fixtures.cdr import ANNA, BORIS, CHIARA, SqlEngine, ask, at, call
from tests.fixtures.engine import DUE, Harness, OpenHarness, ScriptedSystem, SetClock
from tests.fixtures.packages import exporting, pack

ACCOUNT = Identity(IdentityType.ACCOUNT_ID, "C1", source="crm", level="L2")
LINE = Identity(IdentityType.PHONE, ANNA, level="L2")
PROVED = Identity(IdentityType.PHONE, ANNA, proved_since=datetime(2020, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("right", "operation"),
    [
        (Right.ACCESS, Operation.EXPORT),
        (Right.PORTABILITY, Operation.EXPORT),
        (Right.ERASURE, Operation.ERASE),
        (Right.RESTRICTION, Operation.RESTRICT),
    ],
)
async def test_no_request_copies_or_touches_the_calls_of_a_line_that_several_people_use_and_a_person_is_asked(
    open_harness: OpenHarness, cdr_store: CdrStore, calls: SqlEngine, right: Right, operation: Operation
) -> None:
    await cdr_store.seed([call(ANNA, BORIS), call(CHIARA, ANNA)])
    system = ScriptedSystem("cdr", needs=frozenset({IdentityType.PHONE, IdentityType.SIP_URI}))
    adapter = calls.adapter
    system.answers |= {Operation.RESTRICT: adapter.amend, Operation.EXPORT: adapter.export}
    system.answers |= {Operation.ERASE: adapter.erase}
    harness = exporting(await open_harness(system, service=ServiceName.EXPORT))
    assert isinstance(harness.unit_of_work.clock, SetClock)
    harness.unit_of_work.clock.pass_by(seconds=1)
    held = AssignedNumber(Identity(IdentityType.PHONE, ANNA, at("2026-01-10")), "C1", Line.SHARED)
    async with harness.pool.acquire() as connection:
        keyring, now = harness.unit_of_work.vault.keyring, harness.unit_of_work.clock.now()
        await fill(connection, keyring, "crm", "crm", [held], now)
    before = await ask(cdr_store.admin, "SELECT * FROM acc_cdrs")
    for user in ((ACCOUNT, LINE), (replace(ACCOUNT, value="C2"), LINE), (replace(ACCOUNT, value="C2"), PROVED)):
        why = await refused(harness, right, operation, *user)
        assert why in {"line_shared", "number_not_vouched_for", "assignment_in_doubt"}
        assert (why == "line_shared") is (user[0] is ACCOUNT)
    assert not system.asked
    assert await ask(cdr_store.admin, "SELECT * FROM acc_cdrs") == before
    assert await ask(cdr_store.reader, "SELECT * FROM acc_cdrs") == before


async def refused(harness: Harness, right: Right, operation: Operation, *known: Identity) -> str:
    """Asks for somebody; why the calls were not searched."""
    new = NewFulfilment(uuid7(), await harness.subject(*known), right, operation, DUE)
    await harness.open(new)
    await harness.worker("cdr", operation).work()
    await pack(harness)
    assert await harness.outbox() == ["dsr.fulfilment.blocked.v1"]
    await harness.pool.execute("DELETE FROM outbox")
    why = "SELECT coalesce(receipt::json->>'not_searched', failure) FROM task"
    return str(await harness.pool.fetchval(f"{why} ORDER BY task_id DESC LIMIT 1"))
