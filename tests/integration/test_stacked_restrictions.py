"""Restrictions of the same people: each falls alone, and the flag that a system has for a person with the last (M3)."""

from collections.abc import Sequence
from datetime import date
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from services.amendment import handlers as amendment
from shared.domain.events import LiftDecided, RequestVerified
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation, TaskOutcome, TaskReport
from shared.domain.rights import Right
from shared.domain.topics import ServiceName
from shared.downstreams.contract import Checkpoint, Receipt, Result, Task
from shared.fulfilment.store import Completed
from shared.storage.subject_data import encode_identities
from shared.storage.vault import Sealing
from tests.fixtures.engine import Harness, OpenHarness, ScriptedSystem
from tests.fixtures.events import a

ADA, ACCOUNT = Identity(IdentityType.EMAIL, "ada@example.org"), Identity(IdentityType.ACCOUNT_ID, "C-1")
ELSE = Identity(IdentityType.EMAIL, "noa@example.org")
DUE = date(2026, 4, 2)


@pytest.fixture
async def harness(open_harness: OpenHarness) -> Harness:
    """Amendment with a CRM, which has one flag for a person, and a store of calls, which counts requests."""
    harness = await open_harness(ScriptedSystem("crm"), ScriptedSystem("calls"), service=ServiceName.AMENDMENT)
    harness.fulfilments.one_flag = {"crm"}
    return harness


async def restricted(harness: Harness, *identities: Identity) -> LiftDecided:
    """What lifts a restriction that is in force."""
    event = a(RequestVerified, right=Right.RESTRICTION, subject=await harness.subject(*identities), due_on=DUE)
    await conclude(harness, event.request_id, event.subject, Operation.RESTRICT)
    return a(LiftDecided, about=event, due_on=DUE)


async def conclude(harness: Harness, request_id: UUID, subject: UUID, operation: Operation) -> None:
    report = TaskReport(task_id=uuid7(), system="crm", operation=operation, outcome=TaskOutcome.AMENDED, found=1)
    done = Completed(uuid7(), request_id, subject, Right.RESTRICTION, operation, {}, (report,))
    async with harness.unit_of_work.begin() as tx:
        await amendment.finish(harness.fulfilments, [done], tx)


async def lift(harness: Harness, *decided: LiftDecided) -> None:
    async with harness.unit_of_work.begin() as tx:
        await amendment.lift(harness.fulfilments, decided, tx)


async def lifted_in(harness: Harness, decided: LiftDecided) -> set[str]:
    states = await harness.states(decided.request_id)
    return {step.partition(":")[0] for step in states if step.endswith(":lift")}


async def test_a_flag_stays_while_another_restriction_covers_the_same_people_and_falls_with_the_last(
    harness: Harness,
) -> None:
    first, second = [await restricted(harness, ADA, ACCOUNT) for _ in range(2)]
    await lift(harness, first)
    assert await lifted_in(harness, first) == {"calls"}
    assert "restriction.kept_by_another" in await harness.actions(first.request_id)
    await lift(harness, second)
    assert await lifted_in(harness, second) == {"crm", "calls"}


async def test_of_two_that_are_lifted_at_once_the_flag_falls(harness: Harness) -> None:
    first, second = [await restricted(harness, ADA) for _ in range(2)]
    await lift(harness, first, second)
    assert await lifted_in(harness, first) == await lifted_in(harness, second) == {"crm", "calls"}


async def test_nobody_stays_restricted_by_a_restriction_of_somebody_else(harness: Harness) -> None:
    first, _other = await restricted(harness, ADA), await restricted(harness, ELSE)
    await lift(harness, first)
    assert await lifted_in(harness, first) == {"crm", "calls"}


async def test_where_the_other_covers_only_some_of_them_the_flag_is_put_back_at_once(harness: Harness) -> None:
    first, other = await restricted(harness, ADA, ELSE), await restricted(harness, ADA)
    await lift(harness, first)
    assert await lifted_in(harness, first) == {"crm", "calls"}
    assert await harness.states(other.request_id) == {}
    await conclude(harness, first.request_id, first.subject, Operation.LIFT)
    assert await harness.states(other.request_id) == {"crm:restrict": "ready"}


async def test_what_has_flags_alone_has_nothing_to_lift_and_says_so(harness: Harness) -> None:
    harness.fulfilments.one_flag = {"crm", "calls"}
    first, _second = [await restricted(harness, ADA) for _ in range(2)]
    await lift(harness, first)
    assert await harness.states(first.request_id) == {}
    assert await harness.pool.fetchval("SELECT count(*) FROM restriction WHERE lifted_at IS NOT NULL") == 1
    assert "dsr.fulfilment.completed.v1" in await harness.outbox()


async def test_an_objection_to_marketing_suppresses_what_was_stated_at_once_and_what_is_located_later(
    harness: Harness,
) -> None:
    event = a(RequestVerified, right=Right.OBJECTION, subject=await harness.subject(ADA), scope="direct_marketing")
    async with harness.unit_of_work.begin() as tx:
        await amendment.begin(harness.fulfilments, [event], tx)
    assert await harness.pool.fetchval("SELECT count(*) FROM register.suppression") == 1
    phone = Identity(IdentityType.PHONE, "+493023125001", source="crm")
    async with harness.unit_of_work.begin() as tx:
        named = Sealing(event.subject, "identities", "crm", encode_identities([phone]))
        await tx.vault.seal(tx.connection, [named], tx.now)
    done = Completed(uuid7(), event.request_id, event.subject, Right.OBJECTION, Operation.SUPPRESS, {}, ())
    async with harness.unit_of_work.begin() as tx:
        await amendment.finish(harness.fulfilments, [done], tx)
    channels = await harness.pool.fetch("SELECT channel FROM register.suppression ORDER BY channel")
    assert [row[0] for row in channels] == ["email", "phone"]
    assert (await harness.actions(event.request_id)).count("suppression.added") == 2


async def found(harness: Harness, **flags: bool) -> LiftDecided:
    """What lifts a restriction that has begun in the CRM, which has noted of whom the flag was set before."""
    event = a(RequestVerified, right=Right.RESTRICTION, subject=await harness.subject(ADA, ACCOUNT), due_on=DUE)

    async def note(tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        await save_progress({task.task_id: {"flags": {**flags}} for task in tasks})
        return [Receipt(task.task_id, TaskOutcome.AMENDED, found=1, changed=1) for task in tasks]

    harness.systems["crm"].answers[Operation.RESTRICT] = note
    async with harness.unit_of_work.begin() as tx:
        await amendment.begin(harness.fulfilments, [event], tx)
    for system in harness.systems:
        await harness.worker(system, Operation.RESTRICT).work()
    return a(LiftDecided, about=event, due_on=DUE)


async def left(harness: Harness, decided: LiftDecided) -> object:
    """Whose flag the lift of a request is told to leave."""
    query = "SELECT details -> 'left' FROM fulfilment WHERE request_id = $1 AND operation = 'lift'"
    return await harness.pool.fetchval(query, decided.request_id)


@pytest.fixture
def amending(harness: Harness) -> Harness:
    """The same, and what is completed is concluded."""
    harness.concludes = dict.fromkeys(
        Operation, lambda completed, tx: amendment.finish(harness.fulfilments, completed, tx)
    )
    return harness


async def test_a_flag_that_an_agent_had_set_before_ours_is_left_by_the_lift(amending: Harness) -> None:
    first = await found(amending, p12=True, p13=False)
    await lift(amending, first)
    assert await left(amending, first) == {"crm": ["p12"]}
    assert "restriction.left_as_found" in await amending.actions(first.request_id)
    for system in amending.systems:
        await amending.worker(system, Operation.LIFT).work()
    assert await amending.pool.fetchval("SELECT count(*) FROM restriction_flag") == 0


@pytest.mark.parametrize("agents", [True, False])
async def test_of_several_of_ours_the_first_tells_whether_the_flag_was_there_before(
    amending: Harness, *, agents: bool
) -> None:
    first, second = await found(amending, p12=agents), await found(amending, p12=True)
    await lift(amending, first)
    for system in amending.systems:
        await amending.worker(system, Operation.LIFT).work()
    await lift(amending, second)
    assert await left(amending, second) == ({"crm": ["p12"]} if agents else None)


async def test_of_two_at_once_one_that_has_seen_no_flag_speaks_for_both(amending: Harness) -> None:
    later = await found(amending, p12=True)  # it saw what the other had just set, and was noted before it
    earlier = await found(amending, p12=False)
    await lift(amending, earlier, later)
    assert (await left(amending, earlier), await left(amending, later)) == (None, None)
