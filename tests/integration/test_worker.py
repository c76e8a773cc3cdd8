"""The worker: claim with a lease, call, conclude; whatever a downstream does, each task has one result that counts."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest
from pydantic import JsonValue

from shared.domain.errors import TableMissing, Unavailable
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation, TaskOutcome
from shared.downstreams.contract import Checkpoint, Pending, Receipt, Record, Result, Task
from shared.fulfilment import queue as tasks
from shared.runtime.liveness import Heartbeats
from tests.fixtures.engine import DUE, OpenHarness, ScriptedSystem, SetClock, each
from tests.fixtures.worker_harness import CRM, cut_off, opened


async def test_a_batch_is_claimed_called_and_concluded(open_harness: OpenHarness) -> None:
    crm = ScriptedSystem("crm")
    harness = await open_harness(crm)
    requests = await opened(harness, 20)
    assert await harness.worker("crm").work() == 20
    assert len(crm.asked) == 20
    assert {done.request_id for done in harness.completed} == set(requests)
    assert await harness.actions(requests[0]) == ["fulfilment.opened", "task.concluded"]
    assert await harness.outbox() == ["dsr.fulfilment.completed.v1"] * 20
    assert await harness.worker("crm").work() == 0


async def test_a_task_carries_whose_it_is_what_is_known_and_by_when_it_is_due(open_harness: OpenHarness) -> None:
    crm = ScriptedSystem("crm")
    harness = await open_harness(crm)
    [request] = await opened(harness)
    await harness.worker("crm").work()
    [task] = crm.asked
    assert (task.request_id, task.due_on, task.attempt) == (request, DUE, 1)
    assert task.identities == (Identity(IdentityType.EMAIL, "ada@example.org", level="L2"),)
    assert task.details["right"] == "erasure"


async def test_an_unavailable_system_is_asked_again_after_a_pause_that_grows(
    open_harness: OpenHarness, clock: SetClock
) -> None:
    crm = ScriptedSystem("crm")

    crm.answers[Operation.ERASE] = each(lambda _: Unavailable("no answer"))
    harness = await open_harness(crm)
    [request] = await opened(harness)
    worker = harness.worker("crm", backoff_seconds=1)
    assert await worker.work() == 1
    assert await worker.work() == 0
    clock.pass_by(seconds=1)
    assert await worker.work() == 1
    del crm.answers[Operation.ERASE]
    clock.pass_by(seconds=8)
    assert await worker.work() == 1
    assert await harness.actions(request) == ["fulfilment.opened", "task.postponed", "task.concluded"]
    assert [task.attempt for task in crm.asked] == [1, 2, 3]


async def test_a_refusal_fails_its_own_task_and_no_other(open_harness: OpenHarness) -> None:
    crm = ScriptedSystem("crm")

    async def refuse_the_first(asked: Sequence[Task], _save_progress: Checkpoint) -> Sequence[Result]:
        return [TableMissing("acc_cdrs"), *(Receipt(task.task_id, TaskOutcome.ERASED, 1, 1) for task in asked[1:])]

    crm.answers[Operation.ERASE] = refuse_the_first
    harness = await open_harness(crm)
    first, second = await opened(harness, 2)
    await harness.worker("crm").work()
    assert await harness.states(first) == {"crm:erase": "failed"}
    assert await harness.states(second) == {"crm:erase": "done"}
    assert await harness.fulfilment_state(first) == "blocked"
    assert sorted(await harness.outbox()) == ["dsr.fulfilment.blocked.v1", "dsr.fulfilment.completed.v1"]


async def test_an_error_that_nobody_foresaw_fails_only_the_task_that_caused_it_and_tells_nothing(
    open_harness: OpenHarness, caplog: pytest.LogCaptureFixture
) -> None:
    crm = ScriptedSystem("crm")
    bad: set[UUID] = set()

    async def break_on_some(asked: Sequence[Task], _save_progress: Checkpoint) -> Sequence[Result]:
        for task in asked:
            if task.request_id in bad:
                raise KeyError(task.identities[0].value)
        return [Receipt(task.task_id, TaskOutcome.ERASED, 1, 1) for task in asked]

    crm.answers[Operation.ERASE] = break_on_some
    harness = await open_harness(crm)
    requests = await opened(harness, 5)
    bad.add(requests[2])
    with caplog.at_level(logging.DEBUG):
        await harness.worker("crm").work()
    states = [(await harness.states(request))["crm:erase"] for request in requests]
    assert states == ["done", "done", "failed", "done", "done"]
    assert await harness.pool.fetchval("SELECT failure FROM task WHERE state = 'failed'") == "unforeseen_error"
    assert "KeyError at" in caplog.text
    assert "break_on_some" in caplog.text
    assert "ada@example.org" not in caplog.text


async def test_a_task_that_its_system_fails_on_is_tried_for_ever_and_its_neighbours_are_done(
    open_harness: OpenHarness, clock: SetClock
) -> None:
    crm = ScriptedSystem("crm")
    bad: set[UUID] = set()

    async def fail_on_some(asked: Sequence[Task], _save_progress: Checkpoint) -> Sequence[Result]:
        if bad.intersection(task.request_id for task in asked):
            raise Unavailable("the CRM failed")
        return [Receipt(task.task_id, TaskOutcome.ERASED, 1, 1) for task in asked]

    crm.answers[Operation.ERASE] = fail_on_some
    harness = await open_harness(crm)
    requests = await opened(harness, 20)
    bad.add(requests[0])
    worker = harness.worker("crm", backoff_seconds=1)
    for _ in range(40):
        await worker.work()
        clock.pass_by(seconds=8)
    states = [(await harness.states(request))["crm:erase"] for request in requests]
    assert states == ["ready", *["done"] * 19]


async def test_an_answer_for_too_few_tasks_is_an_answer_for_none(open_harness: OpenHarness) -> None:
    crm = ScriptedSystem("crm")

    async def forget_one(asked: Sequence[Task], _save_progress: Checkpoint) -> Sequence[Result]:
        return [Receipt(task.task_id, TaskOutcome.ERASED, 1, 1) for task in asked[1:]]

    crm.answers[Operation.ERASE] = forget_one
    harness = await open_harness(crm)
    await opened(harness, 3)
    await harness.worker("crm").work()
    assert await harness.pool.fetchval("SELECT count(*) FROM task WHERE failure = 'unforeseen_error'") == 3


async def test_pending_asks_again_later_and_a_reply_meanwhile_makes_it_due_at_once(
    open_harness: OpenHarness, clock: SetClock
) -> None:
    crm = ScriptedSystem("crm")

    async def wait_for_the_team(asked: Sequence[Task], _save_progress: Checkpoint) -> Sequence[Result]:
        clock.pass_by(seconds=1)
        async with harness.pool.acquire() as connection:
            for task in asked[1:]:
                reply: dict[str, JsonValue] = {"reply.erase": {"found": 1}}
                assert await tasks.store_reply(connection, "crm", task.task_id, reply, clock.now()) == CRM
        return [Pending(task.task_id, timedelta(hours=6)) for task in asked]

    crm.answers[Operation.ERASE] = wait_for_the_team
    harness = await open_harness(crm)
    _, answered = await opened(harness, 2)
    worker = harness.worker("crm")
    assert await worker.work() == 2
    del crm.answers[Operation.ERASE]
    assert await worker.work() == 1
    assert (crm.asked[-1].request_id, crm.asked[-1].progress) == (answered, {"reply.erase": {"found": 1}})
    clock.pass_by(hours=6)
    assert await worker.work() == 1


async def test_a_reply_of_another_system_or_to_a_finished_task_is_no_ones(
    open_harness: OpenHarness, clock: SetClock
) -> None:
    harness = await open_harness(ScriptedSystem("crm"))
    await opened(harness)
    task_id = await harness.pool.fetchval("SELECT task_id FROM task")
    async with harness.pool.acquire() as connection:
        assert await tasks.store_reply(connection, "other", task_id, {"found": 1}, clock.now()) is None
        await harness.worker("crm").work()
        assert await tasks.store_reply(connection, "crm", task_id, {"found": 1}, clock.now()) is None
    assert await harness.pool.fetchval("SELECT progress FROM task") == {}


async def test_who_cannot_be_searched_for_is_not_asked_about(open_harness: OpenHarness) -> None:
    cdr = ScriptedSystem("cdr", needs=frozenset({IdentityType.PHONE}))
    harness = await open_harness(cdr)
    [request] = await opened(harness)
    await harness.worker("cdr").work()
    assert cdr.asked == []
    receipt = await harness.pool.fetchval("SELECT receipt FROM task")
    assert (receipt["outcome"], receipt["not_searched"]) == (TaskOutcome.NOT_SEARCHED, "nothing_to_search_by")
    assert (await harness.fulfilment_state(request), harness.completed) == ("blocked", [])


async def test_a_subject_whose_key_was_shredded_fails_the_task_by_name(
    open_harness: OpenHarness, clock: SetClock
) -> None:
    crm = ScriptedSystem("crm")

    async def shred_meanwhile(asked: Sequence[Task], _save_progress: Checkpoint) -> Sequence[Result]:
        async with harness.unit_of_work.begin() as tx:
            await tx.vault.shred(tx.connection, [asked[0].subject_ref], clock.now())
        record = Record("contact", "party", {"name": "Ada"})
        return [Receipt(task.task_id, TaskOutcome.EXPORTED, found=1, records=(record,)) for task in asked]

    crm.answers[Operation.ERASE] = shred_meanwhile
    harness = await open_harness(crm)
    requests = await opened(harness, 2)
    await harness.worker("crm").work()
    rows = await harness.pool.fetch("SELECT failure FROM task ORDER BY task_id")
    assert [row[0] for row in rows] == ["key_gone", None]
    assert await harness.pool.fetchval("SELECT count(*) FROM vault.sealed") == 1
    assert await harness.states(requests[0]) == {"crm:erase": "failed"}


async def test_what_was_done_is_concluded_once_the_database_is_back(open_harness: OpenHarness, database: str) -> None:
    crm = ScriptedSystem("crm")

    async def cut_the_database(asked: Sequence[Task], _save_progress: Checkpoint) -> Sequence[Result]:
        outsider = await asyncpg.connect(database)
        ended = await outsider.fetchval(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'dsr-erasure'"
        )
        await outsider.close()
        assert ended
        return [Receipt(task.task_id, TaskOutcome.ERASED, 1, 1) for task in asked]

    crm.answers[Operation.ERASE] = cut_the_database
    harness = await open_harness(crm)
    [request] = await opened(harness)
    async with asyncio.timeout(20):
        assert await harness.worker("crm").work() == 1
    assert await harness.states(request) == {"crm:erase": "done"}
    assert len(crm.asked) == 1


async def test_tasks_of_which_an_outage_hid_whom_they_are_about_are_worked_all_the_same(
    open_harness: OpenHarness,
) -> None:
    crm = ScriptedSystem("crm")
    harness = await open_harness(crm)
    [request] = await opened(harness)
    vault = cut_off(harness)
    async with asyncio.timeout(20):
        assert await harness.worker("crm").work() == 1
    assert (vault.cut, await harness.states(request)) == (True, {"crm:erase": "done"})
    assert [task.attempt for task in crm.asked] == [1]


async def test_a_worker_works_until_told_to_stop_and_then_finishes_what_it_has(open_harness: OpenHarness) -> None:
    begun, stopping = asyncio.Event(), asyncio.Event()
    crm = ScriptedSystem("crm")

    async def stop_meanwhile(asked: Sequence[Task], _save_progress: Checkpoint) -> Sequence[Result]:
        begun.set()
        await stopping.wait()
        return [Receipt(task.task_id, TaskOutcome.ERASED, 1, 1) for task in asked]

    crm.answers[Operation.ERASE] = stop_meanwhile
    harness = await open_harness(crm)
    [request] = await opened(harness)
    working = asyncio.create_task(harness.worker("crm").run(stopping, Heartbeats()))
    await begun.wait()
    stopping.set()
    async with asyncio.timeout(10):
        await working
    assert await harness.states(request) == {"crm:erase": "done"}


async def test_what_systems_yield_and_hand_out_is_sealed_for_the_subject(open_harness: OpenHarness) -> None:
    crm = ScriptedSystem("crm")
    number = Identity(IdentityType.PHONE, "+442079460000", source="crm")
    record = Record("contact", "party", {"name": "Ada"})
    found = Receipt(UUID(int=0), TaskOutcome.EXPORTED, 1, identities=(number,), records=(record,))
    crm.answers[Operation.ERASE] = each(lambda task: replace(found, task_id=task.task_id))
    harness = await open_harness(crm)
    await opened(harness)
    await harness.worker("crm").work()
    subject = crm.asked[0].subject_ref
    async with harness.unit_of_work.begin() as tx:
        known = await tx.vault.subject_data(tx.connection, [subject])
        [(_, source, content)] = await tx.vault.open_kind(tx.connection, subject, "records")
    assert known[subject].identities[-1] == number
    assert (source, b"Ada" in content) == ("crm", True)
