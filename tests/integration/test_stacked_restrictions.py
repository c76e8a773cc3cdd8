"""Restrictions of the same people: each falls alone, and the flag that a system has for a person with the last (M3)."""

from collections.abc import Sequence
from datetime import date
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from services.amendment import handlers
from services.amendment import handlers as amendment
from shared.domain.errors import BlastRadius
from shared.domain.events import FulfilmentBlocked, FulfilmentReported, LiftDecided, RequestVerified, RequestWithdrawn
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Exceeded, Limit, Operation, TaskOutcome, TaskReport
from shared.domain.rights import Outcome, Right
from shared.domain.topics import ServiceName
from shared.downstreams.contract import Checkpoint, Receipt, Result, Task
from shared.fulfilment import handlers as fulfilling
from shared.fulfilment.store import Completed
from shared.storage.subject_data import encode_identities
from shared.storage.vault import Sealing
from tests.fixtures.engine import Harness, OpenHarness, ScriptedSystem, each
from tests.fixtures.events import a
from tests.fixtures.intake import PROOF, Intake, id_of
from tests.integration.test_deferred_answers import flat, waiting
from tests.integration.test_stopped_at_once import EMAIL, FOUND, company, work

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


async def test_flag_stays_while_another_restriction_covers_the_subject(harness: Harness) -> None:
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


async def test_marketing_objection_suppresses_stated_and_later_located_identities(harness: Harness) -> None:
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
async def test_first_of_several_tells_the_former_flag(amending: Harness, *, agents: bool) -> None:
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


# What was restricted is lifted by what it was restricted by; what a system has not lifted is a person's.
LOCATE, RESTRICT, LIFT = Operation.LOCATE, Operation.RESTRICT, Operation.LIFT
SEVERAL = Exceeded(limit=Limit.MAX_PEOPLE, found=2, allowed=1)


async def test_withdrawal_lifts_by_the_same_identities_without_locating(open_harness: OpenHarness) -> None:
    """A shop holds the same address of two people: who else has it is known to nobody, before and after."""
    crm, postbox, shop = company(FOUND)
    several = each(lambda _: BlastRadius("2 are found", SEVERAL))
    register = ScriptedSystem("register", yields=crm.yields, answers={LOCATE: several, RESTRICT: several})
    for system in (crm, postbox, shop):
        system.answers |= dict.fromkeys(
            (RESTRICT, LIFT), each(lambda t: Receipt(t.task_id, TaskOutcome.AMENDED, 1, changed=1))
        )
    harness = await open_harness(crm, postbox, shop, register, service=ServiceName.AMENDMENT)
    harness.concludes = dict.fromkeys((RESTRICT, LIFT), partial(handlers.finish, harness.fulfilments))
    said: dict[str, Any] = {"subject": await harness.subject(EMAIL), "right": Right.RESTRICTION}
    event = a(RequestVerified, **said, scope="unlawful")
    async with harness.unit_of_work.begin() as tx:
        await handlers.begin(harness.fulfilments, [event], tx)
    await work(harness, ("crm", RESTRICT), ("list", RESTRICT), ("crm", LOCATE), ("register", LOCATE))
    assert await harness.fulfilment_state(event.request_id) == "blocked"
    about: dict[str, Any] = {"about": event.request_id, **said}
    async with harness.unit_of_work.begin() as tx:
        await fulfilling.cancel([a(RequestWithdrawn, **about)], tx)
        await handlers.lift(harness.fulfilments, [a(LiftDecided, **about)], tx)
    await work(harness, *((name, operation) for name in harness.systems for operation in (LOCATE, LIFT)))
    lifted = {name: t.identities for name, of in harness.systems.items() for t in of.asked if t.operation is LIFT}
    restricted = {n: t.identities for n, of in harness.systems.items() for t in of.asked if t.operation is RESTRICT}
    assert restricted.keys() == {"crm", "list"}
    assert all(set(identities) <= set(lifted[name]) for name, identities in restricted.items())
    assert "shop" in lifted, "by the account that a system had told, which is known until then"
    assert "restriction.lifted" in await harness.actions(event.request_id)
    async with harness.unit_of_work.begin() as tx:
        known = (await tx.vault.subject_data(tx.connection, [event.subject]))[event.subject]
    assert [each_of.source for each_of in known.identities] == ["requester"], "what was collected is dropped after that"


def report(operation: Operation, outcome: TaskOutcome | None = TaskOutcome.AMENDED, **more: Any) -> TaskReport:
    known = {"task_id": uuid7(), "system": "shop", "operation": operation, "outcome": outcome}
    return TaskReport.model_validate(known | more)


async def withdrawn(intake: Intake) -> str:
    """A restriction of which something was done at once, withdrawn while a person was to look, and not lifted."""
    path = await intake.submit(right="restriction", ground="unlawful", **PROOF)
    about: dict[str, Any] = {"about": id_of(path), "right": Right.RESTRICTION}
    restricted = report(RESTRICT, found=1, changed=1)
    await intake.consume(
        a(FulfilmentReported, **about, operation=RESTRICT, tasks=(restricted,), so_far=True, outcome=Outcome.FULFILLED)
    )
    (await intake.channel.post(f"{path}/withdraw")).raise_for_status()
    letter = (await intake.letters(path))[-1]
    assert letter["kind"] == "withdrawal"
    assert "lifted on" not in flat(letter)
    assert "decided to lift that restriction" in flat(letter)
    stopped = report(LIFT, None, failure="blast_radius", exceeded=SEVERAL)
    await intake.consume(a(FulfilmentBlocked, **about, operation=LIFT, tasks=(stopped,)))
    return path


async def test_stopped_lift_stays_listed_for_review_until_it_is_done(intake: Intake) -> None:
    path = await withdrawn(intake)
    assert await waiting(intake) == [id_of(path)]
    view = await intake.view(path)
    assert "In shop what was restricted is not lifted" in view["waits_for"]
    assert "Not lifted so far, since a person does that by hand: shop." in view["answer"]
    for decision, said in (
        ("decision", {"decision": "retry"}),
        ("confirmation", {"system": "shop", "limit": "max_people"}),
        ("task-result", {"system": "shop", "found": 1, "changed": 1}),
    ):
        answered = await intake.officer.post(f"{path}/{decision}", json=said)
        assert answered.status_code == 200, (decision, answered.text)
    assert {"retry_decided", "task_recorded"} <= {*await intake.types()}
    await intake.complete(path, operation=LIFT, tasks=(report(LIFT, found=1, changed=1, by_hand=True),))
    assert ("waits_for" in await intake.view(path), await waiting(intake)) == (False, [])
    assert "restriction was lifted on" in (await intake.view(path))["answer"]
