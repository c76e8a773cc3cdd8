"""Systems that are not on: a new one observes and counts for nothing, a quarantined one is waited for."""

from uuid import UUID

import pytest
from prometheus_client import REGISTRY

from shared.domain.errors import Refused, TableMissing, Unavailable
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation, TaskOutcome, Unsearched
from shared.domain.rights import Outcome, Right
from shared.downstreams.contract import NotSearched, Receipt, Result
from shared.fulfilment import repairs
from shared.fulfilment.store import NewFulfilment
from shared.storage.systems import findings
from tests.fixtures.engine import ACCOUNT, DUE, Harness, OpenHarness, ScriptedSystem, each

EMAIL, PHONE = IdentityType.EMAIL, IdentityType.PHONE
NUMBER = Identity(PHONE, "+442079460000", source="crm")


@pytest.fixture
async def harness(open_harness: OpenHarness) -> Harness:
    """A CRM that yields numbers, a store of calls that is searched by them, and a new system, also by numbers."""
    found = each(lambda task: Receipt(task.task_id, TaskOutcome.LOCATED, found=1, identities=(NUMBER, ACCOUNT)))
    crm = ScriptedSystem("crm", frozenset({EMAIL}), frozenset({PHONE}), {Operation.LOCATE: found}, fingerprint="c1")
    cdr = ScriptedSystem("cdr", needs=frozenset({PHONE}), fingerprint="d1")
    new = ScriptedSystem("new", needs=frozenset({PHONE}), fingerprint="n1")
    harness = await open_harness(crm, cdr, new)
    await harness.register(NUMBER)
    await harness.stand(crm="on", cdr="on", new="observe")
    return harness


async def worked(harness: Harness, *systems: str) -> None:
    """Everything that these may do is done."""
    for _ in range(3):
        for system in systems:
            for operation in (Operation.LOCATE, Operation.ERASE):
                await harness.worker(system, operation).work()


async def begun(harness: Harness) -> UUID:
    return (await harness.open())[0]


async def found_by(harness: Harness, system: str) -> list[tuple[UUID, str, int]]:
    async with harness.pool.acquire() as connection:
        return [(each.request_id, each.outcome, each.found) for each in await findings(connection, system)]


async def test_a_new_system_is_asked_by_what_others_yield_and_nothing_is_changed_or_waited_for(
    harness: Harness,
) -> None:
    request = await begun(harness)
    await worked(harness, "crm", "cdr")
    [done] = harness.completed
    assert (done.outcome, {report.system for report in done.reports}) == (Outcome.FULFILLED, {"crm", "cdr"})
    assert await harness.fulfilment_state(request) == "complete"
    await worked(harness, "new")
    assert [task.operation for task in harness.systems["new"].asked] == [Operation.LOCATE]
    assert NUMBER.value in {each.value for each in harness.systems["new"].asked[0].identities}
    assert await found_by(harness, "new") == [(request, "located", 2)]
    assert len(harness.completed) == 1
    assert await harness.actions(request) == ["fulfilment.opened", *["task.concluded"] * 3]


async def test_what_a_new_system_yields_reaches_nobody_before_it_is_on(harness: Harness) -> None:
    other = Identity(EMAIL, "somebody.else@example.org", source="new")
    harness.systems["new"].answers[Operation.LOCATE] = each(
        lambda task: Receipt(task.task_id, TaskOutcome.LOCATED, found=1, identities=(other,))
    )
    await begun(harness)
    await harness.worker("crm", Operation.LOCATE).work()
    await worked(harness, "new", "cdr")
    assert all(other not in task.identities for task in harness.systems["cdr"].asked)
    assert await harness.pool.fetchval("SELECT count(*) FROM vault.sealed WHERE source = 'new'") == 0


@pytest.mark.parametrize(
    ("result", "noted"),
    [
        (lambda _: TableMissing("acc_cdrs"), ("table_missing", 0)),
        (lambda task: NotSearched(task.task_id, Unsearched.NUMBER_WITHOUT_PERIOD), ("not_searched", 0)),
        (lambda _: Unavailable("away"), None),
    ],
)
async def test_whatever_a_new_system_answers_stops_no_request_and_waits_for_no_person(
    harness: Harness, result: type[Result], noted: tuple[str, int] | None
) -> None:
    harness.systems["new"].answers[Operation.LOCATE] = each(result)
    request = await begun(harness)
    await worked(harness, "crm", "new", "cdr")
    assert (await harness.fulfilment_state(request), harness.completed[0].outcome) == ("complete", Outcome.FULFILLED)
    assert await found_by(harness, "new") == ([(request, *noted)] if noted else [])
    assert await harness.pool.fetchval("SELECT count(*) FROM task WHERE state = 'failed'") == 0
    assert "dsr.fulfilment.blocked.v1" not in await harness.outbox()


async def test_once_it_is_on_it_is_waited_for_and_what_only_asked_is_dropped(harness: Harness) -> None:
    before = await begun(harness)
    await harness.stand(new="on")
    await harness.look_where_systems_stand()
    assert (await harness.states(before))["new:locate"] == "cancelled"
    after = await begun(harness)
    await worked(harness, "crm", "cdr")
    assert await harness.fulfilment_state(before) == "complete"
    assert await harness.fulfilment_state(after) == "open"
    await worked(harness, "new", "crm")
    assert await harness.fulfilment_state(after) == "complete"
    assert {report.system for report in harness.completed[-1].reports} == {"crm", "cdr", "new"}


async def test_nobody_is_asked_for_what_only_sets_right_what_is_in_force(harness: Harness) -> None:
    subject = await harness.subject()
    async with harness.unit_of_work.begin() as tx:
        again = repairs.repair(tx, subject, subject, Right.RESTRICTION, Operation.RESTRICT)
        await harness.fulfilments.open_all(tx, [again])
    assert not any(step.startswith("new") for step in await harness.states(subject))


async def test_what_needs_a_quarantined_system_waits_and_goes_on_by_itself_once_it_is_on(harness: Harness) -> None:
    request = await begun(harness)
    await harness.stand(cdr="quarantined")
    await harness.pool.execute("UPDATE downstreams.system SET since = now()")
    await worked(harness, "crm", "cdr")
    await harness.look_where_systems_stand()
    assert harness.systems["cdr"].asked == []
    assert (await harness.states(request))["cdr:erase"] == "ready"
    await harness.stand(cdr="on")
    await worked(harness, "cdr", "crm")
    assert await harness.fulfilment_state(request) == "complete"


async def test_a_long_quarantine_brings_requests_before_a_person_with_its_name_and_ends_that_again(
    harness: Harness,
) -> None:
    request = await begun(harness)
    await harness.stand(cdr="quarantined")
    await worked(harness, "crm", "cdr")
    await harness.look_where_systems_stand()
    await harness.look_where_systems_stand()
    assert await harness.fulfilment_state(request) == "blocked"
    failure = "SELECT failure FROM task WHERE system = 'cdr'"
    assert await harness.pool.fetchval(failure) == "system_quarantined"
    assert harness.completed == []
    await harness.retry(request)
    await harness.look_where_systems_stand()
    assert await harness.fulfilment_state(request) == "blocked"
    assert (await harness.outbox()).count("dsr.fulfilment.blocked.v1") == 2
    await harness.stand(cdr="on")
    await harness.look_where_systems_stand()
    await worked(harness, "cdr", "crm")
    assert await harness.fulfilment_state(request) == "complete"
    assert {report.outcome for report in harness.completed[0].reports} == {"located", "erased"}
    assert "fulfilment.resumed" in await harness.actions(request)


async def test_what_failed_for_a_reason_of_its_own_still_waits_for_a_person_when_a_quarantine_ends(
    harness: Harness,
) -> None:
    harness.systems["crm"].answers[Operation.ERASE] = each(lambda _: Refused("no"))
    await harness.stand(new="on", cdr="quarantined")
    request = await begun(harness)
    harness.systems["new"].answers[Operation.ERASE] = each(lambda _: Refused("no"))
    await worked(harness, "crm", "new")
    await harness.look_where_systems_stand()
    await harness.stand(cdr="on")
    await harness.look_where_systems_stand()
    await worked(harness, "cdr")
    assert await harness.fulfilment_state(request) == "blocked"
    states = await harness.states(request)
    assert (states["cdr:erase"], states["new:erase"]) == ("done", "failed")


async def test_a_process_that_has_read_another_definition_than_the_accepted_one_works_nothing(
    harness: Harness,
) -> None:
    await begun(harness)
    await harness.worker("crm", Operation.LOCATE).work()
    harness.systems["cdr"].fingerprint = "d2"
    assert await harness.worker("cdr").work() == 0
    harness.systems["cdr"].fingerprint = "d1"
    assert await harness.worker("cdr").work() == 1


async def test_a_retired_system_leaves_its_open_tasks_to_a_person_by_its_name(harness: Harness) -> None:
    request = await begun(harness)
    await harness.stand(cdr="retired")
    await worked(harness, "crm", "cdr")
    await harness.look_where_systems_stand()
    assert await harness.fulfilment_state(request) == "blocked"
    assert await harness.pool.fetchval("SELECT failure FROM task WHERE system = 'cdr'") == "system_retired"
    later = await begun(harness)
    assert not any(step.startswith("cdr") for step in await harness.states(later))


async def test_what_a_retired_system_had_to_keep_ends_with_a_person_instead_of_a_dead_letter(harness: Harness) -> None:
    await harness.stand(cdr="retired")
    ref = await harness.subject()
    kept = NewFulfilment(
        ref, ref, Right.ERASURE, Operation.ERASE, DUE, {"deferred": True}, systems=frozenset({"cdr", "crm"})
    )
    await harness.open(kept)
    await worked(harness, "crm")
    await harness.look_where_systems_stand()
    assert await harness.fulfilment_state(ref) == "blocked"
    assert await harness.states(ref) == {"crm:erase": "done", "cdr:erase": "failed"}


async def test_what_is_begun_anew_still_names_a_system_that_was_retired_meanwhile(harness: Harness) -> None:
    request = await begun(harness)
    harness.systems["cdr"].answers[Operation.ERASE] = each(
        lambda task: NotSearched(task.task_id, Unsearched.NUMBER_WITHOUT_PERIOD)
    )
    await worked(harness, "crm", "cdr")
    assert await harness.fulfilment_state(request) == "blocked"
    await harness.stand(cdr="retired")
    await harness.retry(request)
    await worked(harness, "crm")
    await harness.look_where_systems_stand()
    assert await harness.fulfilment_state(request) == "blocked"
    assert harness.completed == []


async def test_a_withdrawn_request_is_not_brought_before_a_person(harness: Harness) -> None:
    request = await begun(harness)
    await harness.stand(crm="quarantined")
    await harness.withdraw(request)
    await harness.look_where_systems_stand()
    assert set((await harness.states(request)).values()) == {"cancelled"}
    assert "dsr.fulfilment.blocked.v1" not in await harness.outbox()


async def test_where_each_system_stands_is_measured_and_another_definition_is_a_quarantine(harness: Harness) -> None:
    def seen(system: str) -> set[str]:
        labels = {"service": "erasure", "system": system}
        states = ("observe", "on", "quarantined", "retired")
        value = REGISTRY.get_sample_value
        return {state for state in states if value("dsr_downstream_state", {**labels, "state": state})}

    await harness.look_where_systems_stand()
    assert (seen("crm"), seen("new")) == ({"on"}, {"observe"})
    await harness.stand(crm="quarantined")
    harness.systems["cdr"].fingerprint = "d2"
    await harness.look_where_systems_stand()
    assert (seen("crm"), seen("cdr")) == ({"quarantined"}, {"quarantined"})
