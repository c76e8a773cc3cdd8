"""A customer's instruction goes to systems that tell that customer's data apart, and to a person for every other."""

import pytest
from uuid_utils.compat import uuid7

from services.amendment import registers, stacked
from services.amendment.handlers import begin as amend
from shared.domain.events import FulfilmentBlocked, RequestVerified, TaskRecorded
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation, TaskOutcome, TaskReport
from shared.domain.release import Fault, Match
from shared.domain.rights import Right
from shared.domain.topics import ServiceName
from shared.downstreams.contract import Receipt, Record, Result, Task
from shared.fulfilment import by_hand
from shared.fulfilment.store import Completed, NewFulfilment
from tests.fixtures.engine import DUE, Harness, OpenHarness, ScriptedSystem, each
from tests.fixtures.events import a
from tests.fixtures.packages import exporting, pack

EMAIL, PHONE = IdentityType.EMAIL, IdentityType.PHONE
ACME = frozenset({"acme"})


async def instructed(
    harness: Harness, operation: Operation = Operation.ERASE, tenant: str = "acme", right: Right = Right.ERASURE
) -> NewFulfilment:
    subject = await harness.subject(tenant=tenant)
    new = NewFulfilment(uuid7(), subject, right, operation, DUE, tenant=tenant)
    await harness.open(new)
    return new


async def todo(harness: Harness) -> TaskReport:
    """What was last said to wait for a person."""
    query = "SELECT convert_from(value, 'UTF8') FROM outbox ORDER BY position DESC LIMIT 1"
    event = FulfilmentBlocked.model_validate_json(await harness.pool.fetchval(query))
    (task,) = (task for task in event.tasks if task.failure)
    return task


async def test_an_instruction_is_done_where_the_customer_is_told_apart_and_waits_for_a_person_elsewhere(
    open_harness: OpenHarness,
) -> None:
    crm = ScriptedSystem("crm", yields=frozenset({PHONE}))
    cdr = ScriptedSystem("cdr", needs=frozenset({EMAIL, PHONE}), tenants=ACME)
    harness = await open_harness(crm, cdr)
    new = await instructed(harness)
    assert await harness.states(new.request_id) == {"cdr:erase": "ready", "crm:erase": "waiting"}, "nobody is located"
    await harness.worker("cdr").work()
    assert [(task.tenant, task.operation) for task in cdr.asked] == [("acme", "erase")]
    await harness.worker("crm").work()
    assert (crm.asked, harness.completed) == ([], [])
    assert await harness.fulfilment_state(new.request_id) == "blocked"
    task = await todo(harness)
    assert (task.system, task.failure, task.not_asked) == ("crm", "not_supported", True)
    done = task.model_copy(update={"outcome": "erased", "failure": None, "found": 1, "changed": 1, "by_hand": True})
    async with harness.unit_of_work.begin() as tx:
        event = a(TaskRecorded, about=str(new.request_id), task=done)
        await by_hand.record(harness.fulfilments, harness.concludes, [event], tx)
    [completed] = harness.completed
    assert {(report.system, report.not_asked) for report in completed.reports} == {("cdr", None), ("crm", True)}


async def test_what_a_person_must_do_elsewhere_keeps_no_system_that_can_be_asked_waiting(
    open_harness: OpenHarness,
) -> None:
    cdr = ScriptedSystem("cdr", yields=frozenset({PHONE}), tenants=ACME)  # erased after what waits for its numbers
    harness = await open_harness(cdr, ScriptedSystem("tickets", needs=frozenset({PHONE})))
    new = await instructed(harness)
    for operation in (Operation.LOCATE, Operation.ERASE):
        await harness.worker("cdr", operation).work()
    assert await harness.states(new.request_id) == {
        "cdr:locate": "done",
        "cdr:erase": "done",
        "tickets:erase": "failed",
    }


@pytest.mark.parametrize("tenants", [frozenset(), ACME, None])
async def test_another_customers_instruction_is_asked_only_where_any_customer_is_told_apart(
    open_harness: OpenHarness, tenants: frozenset[str] | None
) -> None:
    cdr = ScriptedSystem("cdr", tenants=tenants)
    harness = await open_harness(cdr)
    new = await instructed(harness, tenant="beta")
    await harness.worker("cdr").work()
    assert [task.tenant for task in cdr.asked] == (["beta"] if tenants is None else [])
    assert await harness.fulfilment_state(new.request_id) == ("complete" if tenants is None else "blocked")


async def test_what_was_planned_as_ours_is_not_asked_of_a_system_that_cannot_tell_the_customer_apart(
    open_harness: OpenHarness,
) -> None:
    crm = ScriptedSystem("crm")
    harness = await open_harness(crm)
    subject = await harness.subject(tenant="acme")
    new = NewFulfilment(uuid7(), subject, Right.ERASURE, Operation.ERASE, DUE)
    await harness.open(new)
    await harness.worker("crm").work()
    assert crm.asked == []
    assert await harness.states(new.request_id) == {"crm:erase": "failed"}


async def test_what_follows_an_instruction_is_that_customers_too(open_harness: OpenHarness) -> None:
    crm, cdr = ScriptedSystem("crm"), ScriptedSystem("cdr", tenants=ACME)
    harness = await open_harness(crm, cdr, service=ServiceName.AMENDMENT)
    new = await instructed(harness, Operation.RESTRICT, right=Right.RESTRICTION)
    lift = NewFulfilment(new.request_id, new.subject_ref, new.right, Operation.LIFT, DUE)
    repair = NewFulfilment(new.request_id, new.subject_ref, new.right, Operation.RESTRICT, DUE, {"repair": True})
    await harness.open(lift, repair)
    assert await harness.pool.fetch("SELECT FROM fulfilment WHERE tenant IS DISTINCT FROM 'acme'") == []
    for operation in (Operation.RESTRICT, Operation.LIFT):
        await harness.worker("crm", operation).work()
        await harness.worker("cdr", operation).work()
    assert crm.asked == []
    assert {task.tenant for task in cdr.asked} == {"acme"}


async def test_a_customers_instruction_touches_no_register_of_ours(open_harness: OpenHarness) -> None:
    harness = await open_harness(ScriptedSystem("cdr", tenants=ACME), service=ServiceName.AMENDMENT)
    event = a(
        RequestVerified,
        right=Right.OBJECTION,
        scope="direct_marketing",
        tenant="acme",
        subject=await harness.subject(tenant="acme"),
    )
    async with harness.unit_of_work.begin() as tx:
        await amend(harness.fulfilments, [event], tx)
        stopped = Completed(uuid7(), event.request_id, event.subject, Right.OBJECTION, Operation.SUPPRESS, {}, ())
        await registers.suppress(tx, [stopped], located=True)
        restricted = (event.request_id, event.subject, Right.RESTRICTION, Operation.RESTRICT)
        await stacked.note(tx, [Completed(uuid7(), *restricted, {}, ())])
    assert await harness.pool.fetchval("SELECT tenant FROM fulfilment") == "acme"
    for table in ("register.suppression", "restriction_identity"):
        assert await harness.pool.fetchval(f"SELECT count(*) FROM {table}") == 0, table


async def test_a_number_of_a_customers_user_is_theirs_as_the_register_says_and_an_unknown_one_as_the_customer_does(
    open_harness: OpenHarness,
) -> None:
    known, unknown = "+442079460000", "+442079460999"
    cdr = ScriptedSystem("cdr", needs=frozenset({PHONE}), tenants=frozenset({"acme", "beta"}))
    harness = await open_harness(cdr)
    await harness.register(Identity(PHONE, known), account="acme/1001")
    account = Identity(IdentityType.ACCOUNT_ID, "1001")
    since = harness.unit_of_work.clock.now()
    stated = (account, Identity(PHONE, known), Identity(PHONE, unknown, since))
    asked: dict[str | None, list[str]] = {}
    for tenant in ("acme", "beta"):
        subject = await harness.subject(*stated, tenant=tenant)
        await harness.open(NewFulfilment(uuid7(), subject, Right.ERASURE, Operation.ERASE, DUE, tenant=tenant))
        await harness.worker("cdr").work()
        asked[tenant] = [identity.value for task in cdr.asked if task.tenant == tenant for identity in task.identities]
    assert asked == {"acme": [known, unknown], "beta": [unknown]}


@pytest.mark.parametrize("owner", ["acme", "beta", "", None])
@pytest.mark.parametrize("tenant", ["acme", None])
async def test_what_a_system_gave_of_another_customer_makes_no_package(
    open_harness: OpenHarness, owner: str | None, tenant: str | None
) -> None:
    def collect(task: Task) -> Result:
        record = Record("call", "cdr", {"seconds": 61}, matched=(Match(EMAIL, "ada@example.org", None, owner),))
        return Receipt(task.task_id, TaskOutcome.EXPORTED, found=1, remaining=1, records=(record,))

    cdr = ScriptedSystem("cdr", tenants=ACME, answers={Operation.EXPORT: each(collect)})
    harness = exporting(await open_harness(cdr, service=ServiceName.EXPORT))
    subject = await harness.subject(Identity(EMAIL, "ada@example.org", level="L3"), tenant=tenant)
    await harness.open(NewFulfilment(uuid7(), subject, Right.ACCESS, Operation.EXPORT, DUE, tenant=tenant))
    await harness.worker("cdr", Operation.EXPORT).work()
    await pack(harness)
    fits = (owner or None) == tenant
    assert await harness.outbox() == [f"dsr.fulfilment.{'completed' if fits else 'blocked'}.v1"]
    sentences = await harness.pool.fetch("SELECT why ->> 'sentence' FROM task WHERE failure = 'release_blocked'")
    assert [row[0] for row in sentences] == (
        [] if fits else [f"nothing was handed out: {Fault.ANOTHER_TENANT.sentence}"]
    )
