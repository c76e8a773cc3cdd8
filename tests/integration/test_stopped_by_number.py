"""Marketing stops by a number that is stated, whosever it is: nothing is handed out or lost by that (Art. 21(3))."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from uuid_utils.compat import uuid7

from shared.domain.assignments import AssignedNumber
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation, TaskOutcome, Unsearched
from shared.domain.rights import Right
from shared.domain.topics import ServiceName
from shared.downstreams.contract import Receipt
from shared.fulfilment.store import NewFulfilment
from shared.storage.register import fill
from tests.fixtures.cdr import SqlEngine
from tests.fixtures.downstream import task
from tests.fixtures.engine import DUE, Harness, OpenHarness, ScriptedSystem, each

LOCATE, SUPPRESS, RESTRICT = Operation.LOCATE, Operation.SUPPRESS, Operation.RESTRICT
EMAIL, PHONE, ACCOUNT = IdentityType.EMAIL, IdentityType.PHONE, IdentityType.ACCOUNT_ID
RITA = Identity(PHONE, "+4930222005")
EVER, BEFORE = datetime(2020, 1, 1, tzinfo=UTC), datetime(2021, 1, 1, tzinfo=UTC)
KNOWN_BY_CLUB = Identity(PHONE, RITA.value, EVER, source="club")
MARKETING: dict[str, Any] = {"scope": "direct_marketing"}
WITHDRAWN: dict[str, Any] = {"purposes": ["marketing"], "marketing": True}


async def stopped(
    open_harness: OpenHarness,
    *holders: str,
    stated: tuple[Identity, ...] = (RITA,),
    right: Right = Right.OBJECTION,
    operation: Operation = SUPPRESS,
    **details: Any,
) -> tuple[Harness, list[ScriptedSystem]]:
    """A request worked in a club that tells accounts and in a list of calls to make, and whom the register names."""
    club = ScriptedSystem("club", frozenset({EMAIL, PHONE}), frozenset({ACCOUNT, PHONE}))
    member = (Identity(ACCOUNT, "M-5", source="club"), KNOWN_BY_CLUB)
    club.answers[LOCATE] = each(lambda t: Receipt(t.task_id, TaskOutcome.LOCATED, 1, identities=member))
    systems = [club, ScriptedSystem("dialler", frozenset({PHONE}))]
    harness = await open_harness(*systems, service=ServiceName.AMENDMENT)
    if holders:
        rows = [AssignedNumber(replace(KNOWN_BY_CLUB, source="crm"), holder) for holder in holders]
        async with harness.pool.acquire() as connection:
            keys = harness.unit_of_work.vault.keyring
            await fill(connection, keys, "crm", "crm", rows, harness.unit_of_work.clock.now())
    new = NewFulfilment(uuid7(), await harness.subject(*stated), right, operation, DUE, details)
    await harness.open(new)
    for _ in range(2):
        harness.unit_of_work.clock.pass_by(minutes=30)  # type: ignore[attr-defined]  # a clock of the test
        for place in ((name, step) for step in (LOCATE, operation) for name in harness.systems):
            if place in harness.fulfilments.steps:
                await harness.worker(*place).work()
    return harness, systems


def told(system: ScriptedSystem, operation: Operation) -> list[set[str]]:
    return [{each.value for each in task.identities} for task in system.asked if task.operation is operation]


@pytest.mark.parametrize(
    ("holders", "right", "details"),
    [
        ((), Right.OBJECTION, MARKETING),
        (("C-9",), Right.CONSENT_WITHDRAWAL, WITHDRAWN),
        (("C-8", "C-9"), Right.OBJECTION, MARKETING),
    ],
    ids=["empty", "another's", "in doubt"],
)
async def test_a_number_alone_stops_marketing_everywhere_and_leaves_nothing_to_a_person(
    open_harness: OpenHarness, holders: tuple[str, ...], right: Right, details: dict[str, Any]
) -> None:
    harness, (club, dialler) = await stopped(open_harness, *holders, right=right, **details)
    assert told(club, SUPPRESS) == told(dialler, SUPPRESS) == [{RITA.value}]
    assert told(club, LOCATE) == [], "whose account it is is nobody's matter"
    assert [each.request_id for each in harness.completed]
    said = "SELECT count(*) FROM task WHERE failure IS NOT NULL OR operation = 'suppress' AND receipt ? 'not_searched'"
    assert await harness.pool.fetchval(said) == 0


async def test_a_number_that_a_system_tells_of_them_against_the_register_is_stopped_as_stated(
    open_harness: OpenHarness,
) -> None:
    address = Identity(EMAIL, "rita@example.org")
    harness, (_, dialler) = await stopped(open_harness, "C-9", stated=(address, RITA), **MARKETING)
    assert {RITA.value} in told(dialler, SUPPRESS)
    assert [each.request_id for each in harness.completed]
    assert await harness.pool.fetchval("SELECT count(*) FROM register.conflict") == 0


async def test_what_a_system_alone_tells_is_stopped_as_the_register_says(open_harness: OpenHarness) -> None:
    address = Identity(EMAIL, "rita@example.org")
    harness, (_, dialler) = await stopped(open_harness, "C-9", stated=(address,), **MARKETING)
    assert told(dialler, SUPPRESS) == []
    assert harness.completed == []


async def test_a_number_that_was_theirs_stops_nothing_of_whoever_has_it_today(open_harness: OpenHarness) -> None:
    former = replace(RITA, valid_from=EVER, valid_to=BEFORE)
    harness, (_, dialler) = await stopped(open_harness, stated=(former,), **MARKETING)
    assert told(dialler, SUPPRESS) == []
    assert harness.completed == []


@pytest.mark.parametrize(
    ("right", "operation", "details"),
    [
        (Right.OBJECTION, RESTRICT, {"scope": "legitimate_interests"}),
        (Right.ERASURE, Operation.ERASE, {}),
    ],
    ids=["weighed", "erasure"],
)
async def test_nothing_else_is_done_by_a_number_for_which_nobody_vouches(
    open_harness: OpenHarness, right: Right, operation: Operation, details: dict[str, Any]
) -> None:
    _, systems = await stopped(open_harness, right=right, operation=operation, **details)
    assert [task for system in systems for task in system.asked] == []


async def test_what_goes_with_a_consent_is_not_erased_by_it(open_harness: OpenHarness) -> None:
    club = ScriptedSystem("club", frozenset({PHONE}), frozenset({ACCOUNT}), categories=frozenset({"newsletter"}))
    club.erases_by_category = True
    harness = await open_harness(club, service=ServiceName.AMENDMENT)
    details: dict[str, Any] = {**WITHDRAWN, "ends": ["newsletter"]}
    subject = await harness.subject(RITA)
    await harness.open(NewFulfilment(uuid7(), subject, Right.CONSENT_WITHDRAWAL, SUPPRESS, DUE, details))
    for operation in (SUPPRESS, LOCATE, SUPPRESS):
        harness.unit_of_work.clock.pass_by(minutes=30)  # type: ignore[attr-defined]  # a clock of the test
        await harness.worker("club", operation).work()
    assert told(club, SUPPRESS) == [{RITA.value}], "its use stops at once"
    said = "SELECT receipt ->> 'not_searched' FROM task WHERE operation = 'suppress' AND NOT at_once"
    assert await harness.pool.fetchval(said) == Unsearched.NUMBER_NOT_VOUCHED_FOR


async def test_a_store_stops_it_by_a_number_of_which_nobody_says_since_when_it_was_theirs(customers: SqlEngine) -> None:
    anna = Identity(PHONE, "+34688886392")
    receipt = await customers.receipt(task(SUPPRESS, anna))
    assert (receipt.changed, receipt.not_searched) == (1, None)
