"""What was restricted is lifted by what it was restricted by; what a system has not lifted is a person's."""

from functools import partial
from typing import Any

from uuid_utils.compat import uuid7

from services.amendment import handlers
from shared.domain.errors import BlastRadius
from shared.domain.events import (
    FulfilmentBlocked,
    FulfilmentReported,
    LiftDecided,
    RequestVerified,
    RequestWithdrawn,
)
from shared.domain.operations import Exceeded, Limit, Operation, TaskOutcome, TaskReport
from shared.domain.rights import Outcome, Right
from shared.domain.topics import ServiceName
from shared.downstreams.contract import Receipt
from shared.fulfilment import handlers as fulfilling
from tests.fixtures.engine import OpenHarness, ScriptedSystem, each
from tests.fixtures.events import a
from tests.fixtures.intake import PROOF, Intake, id_of
from tests.integration.test_deferred_answers import flat, waiting
from tests.integration.test_stopped_at_once import EMAIL, FOUND, company, work

LOCATE, RESTRICT, LIFT = Operation.LOCATE, Operation.RESTRICT, Operation.LIFT
SEVERAL = Exceeded(limit=Limit.MAX_PEOPLE, found=2, allowed=1)


async def test_a_withdrawal_lifts_what_was_restricted_by_the_same_identities_and_waits_for_no_locating(
    open_harness: OpenHarness,
) -> None:
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


async def test_a_lift_that_was_stopped_stands_in_the_list_of_what_waits_for_a_person_until_it_is_done(
    intake: Intake,
) -> None:
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
