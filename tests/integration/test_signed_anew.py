"""What waits for the signature of a rule goes on by itself once it is signed, and nothing else does (REQ-R2)."""

from collections.abc import Mapping
from datetime import date
from uuid import UUID

import pytest
from pydantic import JsonValue
from uuid_utils.compat import uuid7

from shared.domain.errors import BlastRadius, GroundInvalid, Refused, RuleUnsigned
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Exceeded, Kept, Limit, Operation, TaskOutcome
from shared.domain.rights import Right
from shared.downstreams.contract import Receipt
from shared.fulfilment.lapsed import KEPT_ROWS
from shared.fulfilment.store import NewFulfilment
from tests.fixtures.engine import ACCOUNT, DUE, Harness, OpenHarness, ScriptedSystem, each
from tests.fixtures.policy import none_signed

CALLS, INVOICES = "calls_us_18m", "invoices_84m"
ERASE, LOCATE = Operation.ERASE, Operation.LOCATE


def waits_for(rule: str, again: date | None = None) -> Refused:
    failure = RuleUnsigned("3 rows wait", Exceeded(limit=Limit.UNSIGNED_ROWS, found=3, allowed=0))
    failure.unsigned, failure.again = (Kept(category="call", rule=rule, count=3),), again
    return failure


def keeps_unsigned(rule: str) -> Refused:
    failure = GroundInvalid(f"billing keeps data by {rule}, which has no valid sign-off")
    failure.unsigned = (Kept(category="call", rule=rule, count=3),)
    return failure


async def stopped(open_harness: OpenHarness, **failures: Refused) -> tuple[Harness, UUID]:
    """An erasure that each of these systems has refused, by a policy in which nobody has signed anything."""
    systems = [
        ScriptedSystem(name, answers={ERASE: each(lambda _, failure=failure: failure)})  # type: ignore[misc]  # bound
        for name, failure in failures.items()
    ]
    harness = await open_harness(*systems)
    [request_id] = await harness.open()
    for name in failures:
        await harness.worker(name).work()
    assert {*(await harness.states(request_id)).values()} == {"failed"}
    return harness, request_id


async def look(harness: Harness) -> None:
    """What every service does now and then; it is tried again a moment later."""
    await harness.look_where_systems_stand()
    harness.unit_of_work.clock.pass_by(seconds=3)  # type: ignore[attr-defined]  # a clock of the test


@pytest.mark.parametrize("failure", [waits_for, keeps_unsigned])
async def test_what_waits_for_a_signature_goes_on_by_itself_and_what_waits_for_a_person_does_not(
    open_harness: OpenHarness, failure: object
) -> None:
    excess = BlastRadius("7 are found", Exceeded(limit=Limit.MAX_ROWS, found=7, allowed=5))
    waits = failure(CALLS)  # type: ignore[operator]  # one of the two above
    harness, request_id = await stopped(open_harness, cdr=waits, billing=waits_for(INVOICES), crm=excess)
    policy = harness.unit_of_work.policy
    harness.unit_of_work.policy = none_signed(policy)
    await look(harness)
    assert {*(await harness.states(request_id)).values()} == {"failed"}, "nobody has signed anything"
    signs = {**harness.unit_of_work.policy.rules, CALLS: policy.rules[CALLS]}
    harness.unit_of_work.policy = policy.with_other(rules=signs)
    del harness.systems["cdr"].answers[ERASE]
    await look(harness)
    assert await harness.states(request_id) == {"cdr:erase": "ready", "billing:erase": "failed", "crm:erase": "failed"}
    await harness.worker("cdr").work()
    assert await harness.pool.fetchval("SELECT state FROM fulfilment") == "blocked", "the rest still waits"
    harness.unit_of_work.policy = policy
    del harness.systems["billing"].answers[ERASE]
    await look(harness)
    await harness.worker("billing").work()
    assert await harness.states(request_id) == {"cdr:erase": "done", "billing:erase": "done", "crm:erase": "failed"}
    assert (await harness.actions(request_id)).count("fulfilment.resumed") == 2


async def test_what_is_due_by_other_rules_is_taken_up_on_its_day_whatever_waits_beside_it(
    open_harness: OpenHarness,
) -> None:
    tomorrow = date(2026, 3, 2)
    harness, request_id = await stopped(open_harness, cdr=waits_for(CALLS, again=tomorrow))
    harness.unit_of_work.policy = none_signed(harness.unit_of_work.policy)
    for days in (0, 1):
        assert await harness.states(request_id) == {"cdr:erase": "failed"}, f"day {days}: it is not over"
        await look(harness)
        harness.unit_of_work.clock.pass_by(days=1)  # type: ignore[attr-defined]  # a clock of the test
    await look(harness)
    assert await harness.states(request_id) == {"cdr:erase": "ready"}


async def test_on_its_day_what_waits_for_a_signature_stops_no_other_system(open_harness: OpenHarness) -> None:
    found = each(lambda task: Receipt(task.task_id, TaskOutcome.LOCATED, 1, identities=(ACCOUNT,)))
    crm = ScriptedSystem("crm", yields=frozenset({IdentityType.ACCOUNT_ID}), answers={LOCATE: found})
    shop = ScriptedSystem("shop", frozenset({IdentityType.ACCOUNT_ID}))
    harness = await open_harness(crm, shop)
    harness.unit_of_work.policy = none_signed(harness.unit_of_work.policy)
    kept: dict[str, JsonValue] = {KEPT_ROWS: {"shop": {CALLS: {"rows": 3, "first": "2026-01-01"}}}}
    email = Identity(IdentityType.EMAIL, "ada@example.org", level="L2")
    details: Mapping[str, JsonValue] = {"deferred": True, **kept}
    new = NewFulfilment(uuid7(), await harness.subject(email), Right.ERASURE, ERASE, DUE, details)
    [request_id] = await harness.open(new)
    for step in (("crm", LOCATE), ("shop", ERASE), ("crm", ERASE)):
        await harness.worker(*step).work()
    assert await harness.states(request_id) == {"crm:locate": "done", "shop:erase": "failed", "crm:erase": "done"}
    assert [task.operation for task in shop.asked] == [], "nothing was done to it"


async def test_a_store_that_tells_rows_apart_is_asked_to_leave_what_waits(open_harness: OpenHarness) -> None:
    kept = Kept(category="call", rule=CALLS, count=2, first=DUE, last=DUE)
    told = each(lambda task: Receipt(task.task_id, TaskOutcome.RETAINED, 3, 1, 2, ground=CALLS, kept=(kept,)))
    shop = ScriptedSystem("shop", answers={ERASE: told})
    shop.__dict__["spares_by_category"] = True
    harness = await open_harness(shop)
    harness.unit_of_work.policy = none_signed(harness.unit_of_work.policy)
    rows: dict[str, JsonValue] = {KEPT_ROWS: {"shop": {CALLS: {"rows": 2, "first": "2026-01-01"}}}}
    new = NewFulfilment(uuid7(), await harness.subject(), Right.ERASURE, ERASE, DUE, {"deferred": True, **rows})
    [request_id] = await harness.open(new)
    await harness.worker("shop").work()
    [task] = shop.asked
    assert task.lapsed == {CALLS}
    why = await harness.pool.fetchval("SELECT why FROM task")
    assert await harness.states(request_id) == {"shop:erase": "failed"}
    assert (why["rules"], why["changed"], why["exceeded"]["found"]) == ([CALLS], 1, 2)
