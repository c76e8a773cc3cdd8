"""Systems that are not on: a new one observes and counts for nothing, a quarantined one is waited for."""

import json
import logging
from collections.abc import Sequence
from uuid import UUID

import pytest
from prometheus_client import REGISTRY
from uuid_utils.compat import uuid7

from services.amendment import repairs
from shared.domain.errors import Refused, TableMissing, Unavailable
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation, TaskOutcome, Unsearched
from shared.domain.rights import Outcome, Right
from shared.domain.topics import Message
from shared.fulfilment.replies import Replies
from shared.fulfilment.store import NewFulfilment
from shared.runtime.liveness import Heartbeats
from shared.storage.systems import findings
from shared.systems.contract import Checkpoint, NotSearched, Receipt, Result, Task
from tests.fixtures.engine import ACCOUNT, DUE, Answer, Harness, OpenHarness, ScriptedSystem, each

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
    """Works everything that these systems may do."""
    for _ in range(3):
        for system in systems:
            for operation in (Operation.LOCATE, Operation.ERASE):
                await harness.worker(system, operation).work()


async def begun(harness: Harness) -> UUID:
    return (await harness.open())[0]


async def found_by(harness: Harness, system: str) -> list[tuple[UUID, str, int]]:
    async with harness.pool.acquire() as connection:
        return [(each.request_id, each.outcome, each.found) for each in await findings(connection, system)]


async def test_shadow_system_is_asked_by_yielded_identities_and_changes_nothing(harness: Harness) -> None:
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


async def test_new_system_yields_nothing_to_others_before_it_is_enabled(harness: Harness) -> None:
    other = Identity(EMAIL, "another@example.org", source="new")
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


async def test_repair_needs_no_approval(harness: Harness) -> None:
    subject = await harness.subject()
    async with harness.unit_of_work.begin() as tx:
        again = repairs.repair(tx, subject, subject, Right.RESTRICTION, Operation.RESTRICT)
        await harness.fulfilments.open_all(tx, [again])
    assert not any(step.startswith("new") for step in await harness.states(subject))


async def test_long_quarantine_escalates_requests_by_its_name_until_it_ends(harness: Harness) -> None:
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


async def test_task_failed_for_another_reason_waits_beyond_the_quarantine(harness: Harness) -> None:
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


async def test_restarted_request_still_names_a_retired_system(harness: Harness) -> None:
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


# A task that ends after the withdrawal of its request leaves nothing behind and blocks nothing.
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


@pytest.mark.parametrize("error", [TableMissing("gone"), Unavailable("away")])
async def test_failure_after_the_withdrawal_needs_no_person(
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


async def test_unstorable_reply_is_parked_alone(open_harness: OpenHarness, caplog: pytest.LogCaptureFixture) -> None:
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


async def test_malformed_replies_count_by_task_and_command(open_harness: OpenHarness) -> None:
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
    set_aside = [row["value"] for row in await harness.pool.fetch("SELECT value FROM outbox ORDER BY position")]
    assert set_aside == [ours.value], "the service that asked"
    await hearing(harness).handle([theirs, nobodys])
    set_aside = [row["value"] for row in await harness.pool.fetch("SELECT value FROM outbox ORDER BY position")]
    assert set_aside == [ours.value, nobodys.value], "what names no task: the first of those that ask"


async def test_a_reply_to_a_task_of_another_service_is_left_to_it(open_harness: OpenHarness) -> None:
    harness, _ = await asked(open_harness)
    await hearing(harness).handle([reply(uuid7())])
    assert await harness.outbox() == []
    assert await harness.pool.fetchval("SELECT progress FROM task") == {}


async def test_reply_after_the_withdrawal_is_recorded_once(open_harness: OpenHarness) -> None:
    harness, task_id = await asked(open_harness)
    request_id, command = await harness.pool.fetchval("SELECT request_id FROM fulfilment"), str(uuid7())
    await harness.pool.execute("UPDATE task SET progress = $1", {"asked": {"command": command, "times": 1}})
    await harness.withdraw(request_id)
    replies = hearing(harness)
    said = reply(task_id, command_id=command)
    await replies.handle([reply(task_id), said, said])
    assert (await harness.actions(request_id)).count("task.reported_late") == 1
    reported = [
        json.loads(row["value"]) for row in await harness.pool.fetch("SELECT value FROM outbox ORDER BY position")
    ]
    assert [event["type"] for event in reported] == ["dsr.fulfilment.reported.v1"]
    [task] = reported[0]["tasks"]
    assert (task.get("outcome"), task["changed"], task["reported"]) == (None, 2, True)
