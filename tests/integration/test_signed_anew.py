"""What waits for the signature of a rule goes on by itself once it is signed, and nothing else does (REQ-R2)."""

import json
import logging
from collections.abc import Mapping, Sequence
from datetime import date
from uuid import UUID

import pytest
from pydantic import JsonValue
from uuid_utils.compat import uuid7

from shared.domain.errors import BlastRadius, GroundInvalid, Refused, RuleUnsigned, TableMissing, Unavailable
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Exceeded, Kept, Limit, Operation, TaskOutcome
from shared.domain.records import Message
from shared.domain.rights import Right
from shared.downstreams.contract import Checkpoint, Receipt, Record, Result, Task
from shared.fulfilment.lapsed import KEPT_ROWS
from shared.fulfilment.replies import Replies
from shared.fulfilment.store import NewFulfilment
from shared.runtime.liveness import Heartbeats
from tests.fixtures.engine import ACCOUNT, DUE, Answer, Harness, OpenHarness, ScriptedSystem, each
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


# A task that ends after its request was withdrawn leaves nothing behind, and waits for nobody.
RECORD = Record("contact", "party", {"name": "Ada"}, portable=True)
NUMBER = Identity(IdentityType.PHONE, "+442079460000")


async def withdrawn_meanwhile(open_harness: OpenHarness, operation: Operation, answer: Answer) -> Harness:
    """An export that was withdrawn while the CRM worked on it, which has answered since."""
    phone = frozenset({IdentityType.PHONE})
    crm = ScriptedSystem("crm", yields=phone)
    harness = await open_harness(crm, ScriptedSystem("cdr", needs=phone))
    [request] = await harness.open(await harness.new_fulfilment(Operation.EXPORT))

    async def withdraw_then_answer(asked: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        await harness.withdraw(request)
        return await answer(asked, save_progress)

    if operation is Operation.EXPORT:
        await harness.worker("crm", Operation.LOCATE).work()
    crm.answers[operation] = withdraw_then_answer
    assert await harness.worker("crm", operation).work() == 1
    assert await harness.fulfilment_state(request) == "cancelled"
    return harness


@pytest.mark.parametrize(
    ("operation", "given"),
    [
        (Operation.LOCATE, {"identities": (NUMBER,)}),
        (Operation.EXPORT, {"records": (RECORD,)}),
    ],
)
async def test_what_a_task_brings_after_the_withdrawal_is_not_kept_but_its_receipt_is(
    open_harness: OpenHarness, operation: Operation, given: dict[str, tuple[object, ...]]
) -> None:
    def found(task: Task) -> Receipt:
        return Receipt(task.task_id, TaskOutcome.EXPORTED, found=1, **given)  # type: ignore[arg-type]

    harness = await withdrawn_meanwhile(open_harness, operation, each(found))
    assert await harness.pool.fetchval("SELECT count(*) FROM vault.sealed") == 0
    receipts = await harness.pool.fetch("SELECT receipt->>'found' FROM task WHERE state = 'done' ORDER BY stage DESC")
    assert receipts[0][0] == "1"


@pytest.mark.parametrize("error", [TableMissing("gone"), Unavailable("away")])
async def test_what_fails_after_the_withdrawal_waits_for_nobody(
    open_harness: OpenHarness, caplog: pytest.LogCaptureFixture, error: TableMissing | Unavailable
) -> None:
    harness = await withdrawn_meanwhile(open_harness, Operation.EXPORT, each(lambda _: error))
    assert await harness.pool.fetchval("SELECT state FROM task WHERE operation = 'export'") == "cancelled"
    assert "waits for a person" not in caplog.text


# Replies of teams: stored with the task that asked; one that cannot be is set aside alone.
TOPIC = "dsr.tasks.billing.replies"


def reply(task_id: UUID, **fields: object) -> Message:
    said = {"command_id": str(uuid7()), "task_id": str(task_id), "operation": "erase", "outcome": "erased"}
    return Message(TOPIC, b"k", json.dumps({**said, "found": 2, "changed": 2, **fields}).encode(), {})


async def asked(open_harness: OpenHarness) -> tuple[Harness, UUID]:
    harness = await open_harness(ScriptedSystem("billing"))
    await harness.open()
    return harness, await harness.pool.fetchval("SELECT task_id FROM task")


def hearing(harness: Harness, alone: tuple[str, ...] = ("billing",)) -> Replies:
    return Replies(harness.unit_of_work, harness.fulfilments, 100, Heartbeats(), alone)


async def test_a_reply_is_kept_with_its_task_and_hearing_it_twice_changes_nothing(open_harness: OpenHarness) -> None:
    harness, task_id = await asked(open_harness)
    said = reply(task_id)
    await hearing(harness).handle([said, said])
    progress = await harness.pool.fetchval("SELECT progress FROM task")
    assert (progress["reply.erase"]["outcome"], progress["reply.erase"]["found"]) == ("erased", 2)


async def test_a_reply_that_cannot_be_kept_is_set_aside_alone_and_never_told_in_the_log(
    open_harness: OpenHarness, caplog: pytest.LogCaptureFixture
) -> None:
    harness, task_id = await asked(open_harness)
    bad = [
        Message(TOPIC, b"k", b"ada@example.org", {}),
        reply(task_id, remark="ada@example.org"),
        reply(task_id, found=2**70, changed=2**70),
    ]
    with caplog.at_level(logging.DEBUG):
        await hearing(harness).handle([*bad, reply(task_id)])
    letters = await harness.pool.fetch("SELECT topic, value FROM outbox ORDER BY position")
    assert [tuple(letter) for letter in letters] == [("dsr.dead-letters.erasure", record.value) for record in bad]
    assert "ada@example.org" not in caplog.text
    assert (await harness.pool.fetchval("SELECT progress FROM task"))["reply.erase"]["found"] == 2


async def test_malformed_replies_are_counted_with_the_task_and_command_that_they_name(
    open_harness: OpenHarness,
) -> None:
    harness, task_id = await asked(open_harness)
    command = str(uuid7())
    wrong = [reply(task_id, found=3, changed=5, command_id=command)] * 2
    other = [reply(uuid7(), found=3, changed=5), Message(TOPIC, b"k", b"ada@example.org", {})]
    await hearing(harness).handle([*wrong, *other])
    assert await harness.pool.fetchval("SELECT progress FROM task") == {"malformed": {"command": command, "times": 2}}


async def test_a_malformed_reply_is_set_aside_by_one_service_alone(open_harness: OpenHarness) -> None:
    harness, task_id = await asked(open_harness)
    ours, theirs, nobodys = reply(task_id, changed=5), reply(uuid7(), changed=5), Message(TOPIC, b"k", b"{", {})
    await hearing(harness, alone=()).handle([ours, theirs, nobodys])
    set_aside = [row["value"] for row in await harness.pool.fetch("SELECT value FROM outbox")]
    assert set_aside == [ours.value], "the service that asked"
    await hearing(harness).handle([theirs, nobodys])
    set_aside = [row["value"] for row in await harness.pool.fetch("SELECT value FROM outbox ORDER BY position")]
    assert set_aside == [ours.value, nobodys.value], "what names no task: the first of those that ask"


async def test_a_reply_to_a_task_of_another_service_is_left_to_it(open_harness: OpenHarness) -> None:
    harness, _ = await asked(open_harness)
    await hearing(harness).handle([reply(uuid7())])
    assert await harness.outbox() == []
    assert await harness.pool.fetchval("SELECT progress FROM task") == {}


async def test_what_a_team_says_after_the_withdrawal_is_on_record_once_and_told_as_what_it_says(
    open_harness: OpenHarness,
) -> None:
    harness, task_id = await asked(open_harness)
    request_id, command = await harness.pool.fetchval("SELECT request_id FROM fulfilment"), str(uuid7())
    await harness.pool.execute("UPDATE task SET progress = $1", {"asked": {"command": command, "times": 1}})
    await harness.withdraw(request_id)
    replies = hearing(harness)
    said = reply(task_id, command_id=command)
    await replies.handle([reply(task_id), said, said])
    assert (await harness.actions(request_id)).count("task.reported_late") == 1
    reported = [json.loads(row["value"]) for row in await harness.pool.fetch("SELECT value FROM outbox")]
    assert [event["type"] for event in reported] == ["dsr.fulfilment.reported.v1"]
    [task] = reported[0]["tasks"]
    assert (task["outcome"], task["changed"], task["reported"]) == (None, 2, True)
