"""The worker: claim with a lease, call, conclude; whatever a downstream does, each task has one result that counts."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from functools import partial
from uuid import UUID

import asyncpg
import pytest
from pydantic import JsonValue
from uuid_utils.compat import uuid7

from services.amendment import handlers as amendment
from services.deadline import notifications
from services.deadline.clock import start
from shared.domain.clock import SystemClock
from shared.domain.errors import Refused, TableMissing, Unavailable
from shared.domain.events import RequestExtended, RequestReceived, RequestRedated, RequestVerified
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation, Step, TaskOutcome
from shared.domain.proofs import ProofAction
from shared.domain.rights import Right
from shared.domain.time_limit_policy import read_policy
from shared.domain.topics import ServiceName
from shared.fulfilment import handlers as fulfilling
from shared.fulfilment import lease as leasing
from shared.fulfilment import queue
from shared.fulfilment import queue as tasks
from shared.fulfilment.completion import TaskCompletion
from shared.fulfilment.fulfilments import Fulfilments
from shared.fulfilment.lease import Lease, Reaper
from shared.fulfilment.store import FulfilmentResult, lock_fulfilments
from shared.fulfilment.worker import Worker
from shared.messaging.unit_of_work import UnitOfWork, UnitOfWorkFactory
from shared.runtime.liveness import Heartbeats
from shared.runtime.settings import WorkSettings
from shared.storage import keyring
from shared.storage.postgres import PostgresSettings, connect_pool
from shared.storage.subject_data import SubjectData
from shared.storage.vault import Vault
from shared.systems.capabilities import Capabilities
from shared.systems.contract import Checkpoint, CopiedRecord, Pending, Receipt, Result, Task
from shared.systems.downstream import Downstream
from tests.fixtures.databases import in_process
from tests.fixtures.engine import DUE, TRACING, Harness, OpenHarness, ScriptedSystem, SetClock, each
from tests.fixtures.events import a
from tests.fixtures.live import eventually
from tests.fixtures.worker_harness import CRM, claimed, cut_off, opened


@pytest.fixture
def crm() -> ScriptedSystem:
    return ScriptedSystem("crm")


@pytest.fixture
async def harness(open_harness: OpenHarness, crm: ScriptedSystem) -> Harness:
    """The engine of erasure over the CRM."""
    return await open_harness(crm)


async def test_a_batch_is_claimed_called_and_concluded(crm: ScriptedSystem, harness: Harness) -> None:
    requests = await opened(harness, 20)
    assert await harness.worker("crm").work() == 20
    assert len(crm.asked) == 20
    assert {done.request_id for done in harness.completed} == set(requests)
    assert await harness.actions(requests[0]) == ["fulfilment.opened", "task.concluded"]
    assert await harness.outbox() == ["dsr.fulfilment.completed.v1"] * 20
    assert await harness.worker("crm").work() == 0


async def test_a_task_carries_whose_it_is_what_is_known_and_by_when_it_is_due(harness: Harness) -> None:
    crm = harness.systems["crm"]
    [request] = await opened(harness)
    await harness.worker("crm").work()
    [task] = crm.asked
    assert (task.request_id, task.due_on, task.attempt) == (request, DUE, 1)
    assert task.identities == (Identity(IdentityType.EMAIL, "ada@example.org", level="L2"),)
    assert task.details["right"] == "erasure"


async def test_unavailable_system_is_asked_with_growing_pauses(harness: Harness, clock: SetClock) -> None:
    crm = harness.systems["crm"]
    crm.answers[Operation.ERASE] = each(lambda _: Unavailable("no answer"))
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


async def test_unforeseen_error_fails_one_task(harness: Harness, caplog: pytest.LogCaptureFixture) -> None:
    crm = harness.systems["crm"]
    bad: set[UUID] = set()

    async def break_on_some(asked: Sequence[Task], _save_progress: Checkpoint) -> Sequence[Result]:
        for task in asked:
            if task.request_id in bad:
                raise KeyError(task.identities[0].value)
        return [Receipt(task.task_id, TaskOutcome.ERASED, 1, 1) for task in asked]

    crm.answers[Operation.ERASE] = break_on_some
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


async def test_an_answer_for_too_few_tasks_is_an_answer_for_none(crm: ScriptedSystem, harness: Harness) -> None:
    async def forget_one(asked: Sequence[Task], _save_progress: Checkpoint) -> Sequence[Result]:
        return [Receipt(task.task_id, TaskOutcome.ERASED, 1, 1) for task in asked[1:]]

    crm.answers[Operation.ERASE] = forget_one
    await opened(harness, 3)
    await harness.worker("crm").work()
    assert await harness.pool.fetchval("SELECT count(*) FROM task WHERE failure = 'unforeseen_error'") == 3


async def test_pending_task_is_asked_later_or_at_its_reply(harness: Harness, clock: SetClock) -> None:
    crm = harness.systems["crm"]

    async def wait_for_the_team(asked: Sequence[Task], _save_progress: Checkpoint) -> Sequence[Result]:
        clock.pass_by(seconds=1)
        async with harness.pool.acquire() as connection:
            for task in asked[1:]:
                reply: dict[str, JsonValue] = {"reply.erase": {"found": 1}}
                assert await tasks.store_reply(connection, "crm", task.task_id, reply, clock.now()) == CRM
        return [Pending(task.task_id, timedelta(hours=6)) for task in asked]

    crm.answers[Operation.ERASE] = wait_for_the_team
    _, answered = await opened(harness, 2)
    worker = harness.worker("crm")
    assert await worker.work() == 2
    del crm.answers[Operation.ERASE]
    assert await worker.work() == 1
    assert (crm.asked[-1].request_id, crm.asked[-1].progress) == (answered, {"reply.erase": {"found": 1}})
    clock.pass_by(hours=6)
    assert await worker.work() == 1


async def test_reply_to_a_failed_task_counts_at_its_retry(open_harness: OpenHarness, clock: SetClock) -> None:
    async def refuse(asked: Sequence[Task], _save_progress: Checkpoint) -> Sequence[Result]:
        return [Refused("no") for _ in asked]

    crm = ScriptedSystem("crm", answers={Operation.ERASE: refuse})
    harness = await open_harness(crm)
    await opened(harness)
    await harness.worker("crm").work()
    [(task_id, state)] = await harness.pool.fetch("SELECT task_id, state FROM task")
    assert state == "failed"
    async with harness.pool.acquire() as connection:
        for erased in (3, 0, 2):
            late = ("before", erased)
            assert await tasks.store_reply(connection, "crm", task_id, {}, clock.now(), late) is None
    assert (await harness.pool.fetchval("SELECT progress FROM task"))["found"] == 3


async def test_reply_of_another_system_has_no_effect(harness: Harness, clock: SetClock) -> None:
    await opened(harness)
    task_id = await harness.pool.fetchval("SELECT task_id FROM task")
    async with harness.pool.acquire() as connection:
        assert await tasks.store_reply(connection, "other", task_id, {"found": 1}, clock.now()) is None
        await harness.worker("crm").work()
        assert await tasks.store_reply(connection, "crm", task_id, {"found": 1}, clock.now()) is None
    assert await harness.pool.fetchval("SELECT progress FROM task") == {}


async def test_shredded_key_fails_the_task_by_name(crm: ScriptedSystem, harness: Harness, clock: SetClock) -> None:
    async def shred_meanwhile(asked: Sequence[Task], _save_progress: Checkpoint) -> Sequence[Result]:
        async with harness.unit_of_work.begin() as tx:
            await tx.vault.shred(tx.connection, [asked[0].subject_ref], clock.now())
        record = CopiedRecord("contact", "party", {"name": "Ada"})
        return [Receipt(task.task_id, TaskOutcome.EXPORTED, found=1, records=(record,)) for task in asked]

    crm.answers[Operation.ERASE] = shred_meanwhile
    requests = await opened(harness, 2)
    await harness.worker("crm").work()
    rows = await harness.pool.fetch("SELECT failure FROM task ORDER BY task_id")
    assert [row[0] for row in rows] == ["key_gone", None]
    assert await harness.pool.fetchval("SELECT count(*) FROM vault.sealed") == 1
    assert await harness.states(requests[0]) == {"crm:erase": "failed"}


async def test_what_was_done_is_concluded_once_the_database_is_back(harness: Harness, database: str) -> None:
    crm = harness.systems["crm"]

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
    [request] = await opened(harness)
    async with asyncio.timeout(60):
        assert await harness.worker("crm").work() == 1
    assert await harness.states(request) == {"crm:erase": "done"}
    assert len(crm.asked) == 1


async def test_tasks_with_unread_identities_in_an_outage_are_worked(crm: ScriptedSystem, harness: Harness) -> None:
    [request] = await opened(harness)
    vault = cut_off(harness)
    async with asyncio.timeout(60):
        assert await harness.worker("crm").work() == 1
    assert (vault.cut, await harness.states(request)) == (True, {"crm:erase": "done"})
    assert [task.attempt for task in crm.asked] == [1]


async def test_worker_runs_until_stopped_and_finishes_its_tasks(harness: Harness) -> None:
    begun, stopping = asyncio.Event(), asyncio.Event()
    crm = harness.systems["crm"]

    async def stop_meanwhile(asked: Sequence[Task], _save_progress: Checkpoint) -> Sequence[Result]:
        begun.set()
        await stopping.wait()
        return [Receipt(task.task_id, TaskOutcome.ERASED, 1, 1) for task in asked]

    crm.answers[Operation.ERASE] = stop_meanwhile
    [request] = await opened(harness)
    working = asyncio.create_task(harness.worker("crm").run(stopping, Heartbeats()))
    await begun.wait()
    stopping.set()
    async with asyncio.timeout(60):
        await working
    assert await harness.states(request) == {"crm:erase": "done"}


async def test_what_systems_yield_and_hand_out_is_sealed_for_the_subject(crm: ScriptedSystem, harness: Harness) -> None:
    number = Identity(IdentityType.PHONE, "+442079460000", source="crm")
    record = CopiedRecord("contact", "party", {"name": "Ada"})
    found = Receipt(UUID(int=0), TaskOutcome.EXPORTED, 1, identities=(number,), records=(record,))
    crm.answers[Operation.ERASE] = each(lambda task: replace(found, task_id=task.task_id))
    await opened(harness)
    await harness.worker("crm").work()
    subject = crm.asked[0].subject_ref
    async with harness.unit_of_work.begin() as tx:
        known = await tx.vault.subject_data(tx.connection, [subject])
        [(_, source, content)] = await tx.vault.open_kind(tx.connection, subject, "records")
    assert known[subject].identities[-1] == number
    assert (source, b"Ada" in content) == ("crm", True)


# Leases on a real database: a process that went silent is replaced, and what it still does ends and does not count.
async def taken_over(harness: Harness, clock: SetClock) -> tuple[tasks.LeasedTask, tasks.LeasedTask]:
    """A task that one process has claimed, and after its lease another one."""
    [mine] = await claimed(harness, clock)
    await harness.silence(harness.lease)
    await harness.reap()
    [theirs] = await claimed(harness, clock, by=await harness.new_lease())
    return mine, theirs


async def test_a_late_conclusion_of_a_worker_that_lost_its_lease_has_no_effect(harness: Harness) -> None:
    slow, quick = asyncio.Event(), asyncio.Event()
    crm = harness.systems["crm"]

    async def hang(asked: Sequence[Task], _save_progress: Checkpoint) -> Sequence[Result]:
        del crm.answers[Operation.ERASE]
        slow.set()
        await quick.wait()
        return [TableMissing("late") for _ in asked]

    crm.answers[Operation.ERASE] = hang
    [request] = await opened(harness)
    first = asyncio.create_task(harness.worker("crm").work())
    await slow.wait()
    await harness.silence(harness.lease)
    assert await harness.reap() == {CRM: 1}
    assert await harness.worker("crm", lease=await harness.new_lease()).work() == 1
    quick.set()
    assert await first == 1
    assert await harness.states(request) == {"crm:erase": "done"}
    assert await harness.fulfilment_state(request) == "complete"
    assert await harness.actions(request) == ["fulfilment.opened", "task.concluded"]


async def test_what_is_put_back_is_worked_when_its_pause_is_over(crm: ScriptedSystem, harness: Harness) -> None:
    crm.answers[Operation.ERASE] = each(lambda task: Unavailable("busy") if task.attempt < 3 else done(task))
    harness.unit_of_work = replace(harness.unit_of_work, clock=SystemClock())
    [request] = await opened(harness)
    stopping = asyncio.Event()
    worker = harness.worker("crm", poll_seconds=60, backoff_seconds=0.05, backoff_max_seconds=0.1)
    working = asyncio.create_task(worker.run(stopping, Heartbeats()))

    async def is_done() -> bool:
        return await harness.fulfilment_state(request) == "complete"

    await eventually(is_done, within=20)
    stopping.set()
    await working
    assert await harness.states(request) == {"crm:erase": "done"}
    assert await harness.actions(request) == ["fulfilment.opened", "task.postponed", "task.concluded"]


def done(task: Task) -> Receipt:
    return Receipt(task.task_id, TaskOutcome.ERASED, found=1, changed=1)


async def test_late_conclusion_before_the_heir_has_no_effect(harness: Harness, clock: SetClock) -> None:
    [request] = await opened(harness)
    mine, theirs = await taken_over(harness, clock)
    assert (mine.attempt, theirs.attempt) == (1, 2)
    async with harness.pool.acquire() as connection:
        late = tasks.Conclusion(mine, tasks.TaskState.FAILED, None, "late", clock.now())
        assert await tasks.conclude(connection, [late], clock.now()) == set()
        assert await harness.states(request) == {"crm:erase": "leased"}
        timely = tasks.Conclusion(theirs, tasks.TaskState.DONE, None, None, clock.now())
        assert await tasks.conclude(connection, [timely], clock.now()) == {theirs.task_id}


@pytest.mark.parametrize("taken", [True, False])
async def test_lost_lease_stops_the_work_too(crm: ScriptedSystem, harness: Harness, *, taken: bool) -> None:
    begun, stopped = asyncio.Event(), asyncio.Event()

    async def work_for_ever(_asked: Sequence[Task], _save_progress: Checkpoint) -> Sequence[Result]:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()
        raise AssertionError

    crm.answers[Operation.ERASE] = work_for_ever
    [request] = await opened(harness)
    monotonic = [0.0]
    lease = Lease(3600, lambda: monotonic[0])
    await harness.renew(lease)
    working = asyncio.create_task(harness.worker("crm", lease=lease).work())
    await begun.wait()
    if taken:
        await harness.silence(lease)
        assert await harness.reap() == {CRM: 1}
        await harness.renew(lease)
    else:  # it slept, or the database was away, for longer than the lease
        monotonic[0] = 3601.0
        lease.expire()
    async with asyncio.timeout(60):
        assert await working == 1
    assert stopped.is_set()
    assert await harness.states(request) == {"crm:erase": "ready"}
    assert await harness.outbox() == []


async def test_a_process_that_lost_its_lease_works_on_by_a_new_one(harness: Harness) -> None:
    [request] = await opened(harness)
    lost = harness.lease.holder
    await harness.silence(harness.lease)
    await harness.reap()
    assert await harness.worker("crm").work() == 0, "nothing may be claimed without a lease"
    await harness.renew(harness.lease)
    assert harness.lease.holder != lost
    assert await harness.worker("crm").work() == 1
    assert await harness.states(request) == {"crm:erase": "done"}


async def test_what_was_claimed_by_a_lease_that_is_lost_by_now_is_not_begun(harness: Harness) -> None:
    lost = harness.lease.holder
    await harness.lose_lease()

    async def begin() -> None:
        pytest.fail("it was begun")

    with pytest.raises(tasks.LeaseLost):
        await harness.lease.run_leased(lost, begin())


async def test_thread_renews_the_lease_under_load(harness: Harness, clock: SetClock, database: str) -> None:
    await opened(harness)
    lease, ended = Lease(2), asyncio.Event()
    running = asyncio.create_task(lease.run(PostgresSettings(dsn=database), ServiceName.ERASURE, ended, Heartbeats()))
    registered = "SELECT alive_until FROM worker_process WHERE process_id = $1"
    until = await eventually(partial(harness.pool.fetchval, registered, lease.holder))
    [_] = await claimed(harness, clock, by=lease)
    held = lease.holder
    free = time.monotonic() + 2.2
    while time.monotonic() < free:
        pass
    assert await harness.reap() == {}
    assert await harness.pool.fetchval(registered, lease.holder) > until
    assert lease.holder == held
    ended.set()
    await running
    assert await harness.reap() == {CRM: 1}


async def test_a_thread_that_cannot_renew_ends_its_process(database: str) -> None:
    lease = Lease(0.6)
    without_migrations = ServiceName.INTAKE  # which has no tasks
    with pytest.raises(Exception, match="worker_process"):
        await lease.run(PostgresSettings(dsn=database), without_migrations, asyncio.Event(), Heartbeats())


async def test_task_that_ends_its_process_twice_is_leased_alone(harness: Harness, clock: SetClock) -> None:
    await opened(harness, 3)
    for _ in range(2):
        assert len(await claimed(harness, clock)) == 3
        assert await harness.lose_lease() == {CRM: 3}
    [poison] = await claimed(harness, clock)
    assert await harness.lose_lease() == {CRM: 1}
    others = [await claimed(harness, clock) for _ in range(3)]
    assert [len(each) for each in others] == [1, 1, 0]
    assert poison.task_id not in {claim.task_id for each in others for claim in each}
    clock.pass_by(seconds=8)
    assert [claim.task_id for claim in await claimed(harness, clock)] == [poison.task_id]


async def test_what_came_through_a_call_is_no_longer_worked_alone(harness: Harness, clock: SetClock) -> None:
    crm = harness.systems["crm"]
    await opened(harness, 3)
    for _ in range(2):
        await claimed(harness, clock)
        await harness.lose_lease()

    async def be_away(_asked: Sequence[Task], _save_progress: Checkpoint) -> Sequence[Result]:
        raise Unavailable("no answer")

    crm.answers[Operation.ERASE] = be_away
    worker = harness.worker("crm")
    assert [await worker.work() for _ in range(4)] == [1, 1, 1, 0]
    clock.pass_by(seconds=60)
    assert len(await claimed(harness, clock)) == 3


async def test_a_note_is_there_at_the_next_attempt(crm: ScriptedSystem, harness: Harness, clock: SetClock) -> None:
    async def count_then_break(asked: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        await save_progress({task.task_id: {"found": 7} for task in asked})
        await save_progress({task.task_id: {"party": "42"} for task in asked})
        raise Unavailable("the line broke after the erasure")

    crm.answers[Operation.ERASE] = count_then_break
    await opened(harness, 2)
    worker = harness.worker("crm")
    await worker.work()
    del crm.answers[Operation.ERASE]
    clock.pass_by(seconds=8)
    await worker.work()
    assert [task.progress for task in crm.asked[2:]] == [{"found": 7, "party": "42"}] * 2


async def test_a_note_fails_once_the_lease_is_lost(harness: Harness, clock: SetClock) -> None:
    await opened(harness)
    mine, theirs = await taken_over(harness, clock)
    async with harness.pool.acquire() as connection:
        with pytest.raises(tasks.LeaseLost):
            await tasks.save_progress(connection, {mine.task_id: mine.attempt}, {mine.task_id: {"found": 1}})
        await tasks.save_progress(connection, {theirs.task_id: theirs.attempt}, {theirs.task_id: {"found": 2}})
    assert await harness.pool.fetchval("SELECT progress FROM task") == {"found": 2}


async def test_a_worker_that_lost_one_lease_still_gives_back_the_others(crm: ScriptedSystem, harness: Harness) -> None:
    async def lose_one(asked: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        await harness.pool.execute("UPDATE task SET attempt = attempt + 1 WHERE task_id = $1", asked[0].task_id)
        await save_progress({task.task_id: {"found": 1} for task in asked})
        pytest.fail("nothing irreversible may follow a note that failed")

    crm.answers[Operation.ERASE] = lose_one
    requests = await opened(harness, 2)
    await harness.worker("crm").work()
    states = sorted([(await harness.states(request))["crm:erase"] for request in requests])
    assert states == ["leased", "ready"]


# A silent worker is replaced at the next check, but not while the database was away for all.
class Moment:
    """Monotonic seconds that the test sets."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def monotonic(self) -> float:
        return self.seconds


@pytest.mark.parametrize(
    ("pause", "away", "taken"), [(0.5, False, True), (4, False, False), (0.5, True, False)], ids=str
)
async def test_check_takes_back_silent_leases_unless_the_database_was_away(
    harness: Harness,
    clock: SetClock,
    monkeypatch: pytest.MonkeyPatch,
    pause: float,
    *,
    away: bool,
    taken: bool,
) -> None:
    moment = Moment()
    monkeypatch.setattr(leasing, "time", moment)
    [request] = await opened(harness)
    await claimed(harness, clock)
    settings = WorkSettings.model_validate({"downstreams": "none", "lease_seconds": 0.5})
    looks = Reaper(harness.unit_of_work, harness.fulfilments, settings)
    await looks.run()
    assert await harness.states(request) == {"crm:erase": "leased"}
    await harness.silence(harness.lease)
    if away:
        with monkeypatch.context() as patched:
            patched.setattr(queue, "reap", _be_away)
            with pytest.raises(asyncpg.ConnectionDoesNotExistError):
                await looks.run()
    moment.seconds += pause
    await looks.run()
    assert await harness.states(request) == {"crm:erase": "ready" if taken else "leased"}
    moment.seconds += 0.5
    await looks.run()
    assert await harness.states(request) == {"crm:erase": "ready"}


async def _be_away(*_: object) -> None:
    raise asyncpg.ConnectionDoesNotExistError


# Work follows its request: what is open moves to the new due date and is worked in the new order.
WAITS = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"
SOONER, LATER = DUE - timedelta(days=9), DUE + timedelta(days=61)


def extended(request_id: UUID) -> RequestExtended:
    return a(RequestExtended, about=request_id, right=Right.ERASURE, due_on=LATER)


def redated(request_id: UUID) -> RequestRedated:
    return a(RequestRedated, about=request_id, right=Right.ERASURE, due_on=SOONER)


async def hear(harness: Harness, *events: RequestExtended | RequestRedated) -> None:
    async with harness.unit_of_work.begin() as tx:
        await fulfilling.reschedule(events, tx)


async def days(harness: Harness, request_id: UUID) -> dict[str, date]:
    rows = await harness.pool.fetch(
        "SELECT t.state, t.due_on FROM task t JOIN fulfilment f USING (fulfilment_id) WHERE f.request_id = $1"
        " UNION ALL SELECT 'fulfilment', due_on FROM fulfilment WHERE request_id = $1",
        request_id,
    )
    return {row[0]: row[1] for row in rows}


@pytest.mark.parametrize("service", [ServiceName.ERASURE, ServiceName.EXPORT, ServiceName.AMENDMENT])
async def test_sooner_due_is_worked_first(open_harness: OpenHarness, clock: SetClock, service: ServiceName) -> None:
    harness = await open_harness(ScriptedSystem("crm"), service=service)
    first, second, third = await opened(harness, 3)
    await hear(harness, extended(first), redated(third))
    claims = await claimed(harness, clock)
    assert [(claim.request_id, claim.due_on) for claim in claims] == [(third, SOONER), (second, DUE), (first, LATER)]
    assert await harness.actions(first) == ["fulfilment.opened", "fulfilment.rescheduled"]
    assert await harness.actions(second) == ["fulfilment.opened"]


async def test_the_last_of_several_new_dates_of_a_request_counts(harness: Harness) -> None:
    [request] = await opened(harness)
    await hear(harness, extended(request), redated(request))
    assert await days(harness, request) == {"ready": SOONER, "fulfilment": SOONER}


async def test_stages_to_come_move_too_and_what_is_done_keeps_its_date(open_harness: OpenHarness) -> None:
    crm = ScriptedSystem("crm", yields=frozenset({IdentityType.PHONE}))
    harness = await open_harness(crm, ScriptedSystem("cdr", needs=frozenset({IdentityType.PHONE})))
    [request] = await opened(harness)
    await harness.worker("crm", Operation.LOCATE).work()
    await hear(harness, redated(request))
    assert await days(harness, request) == {"done": DUE, "ready": SOONER, "waiting": SOONER, "fulfilment": SOONER}


async def test_task_in_hand_is_redated_and_concluded(harness: Harness, clock: SetClock) -> None:
    [request] = await opened(harness)
    [claim] = await claimed(harness, clock)
    await hear(harness, redated(request))
    assert await days(harness, request) == {"leased": SOONER, "fulfilment": SOONER}
    conclusion = tasks.Conclusion(claim, tasks.TaskState.READY, None, "unavailable", clock.now())
    async with harness.pool.acquire() as connection:
        assert await tasks.conclude(connection, [conclusion], clock.now()) == {claim.task_id}
    assert [claim.due_on for claim in await claimed(harness, clock)] == [SOONER]


async def test_new_date_and_conclusion_do_not_block(harness: Harness, clock: SetClock) -> None:
    [request] = await opened(harness)
    [claim] = await claimed(harness, clock)
    conclusion = tasks.Conclusion(claim, tasks.TaskState.FAILED, None, "refused", clock.now())
    async with harness.unit_of_work.begin() as tx:
        assert await tasks.conclude(tx.connection, [conclusion], clock.now()) == {claim.task_id}
        moving = asyncio.create_task(hear(harness, redated(request)))
        await asyncio.wait_for(moving, 10)
        await lock_fulfilments(tx, {claim.fulfilment_id})
        await tasks.follow_due_dates(tx.connection, [claim.task_id])
    assert await days(harness, request) == {"failed": SOONER, "fulfilment": SOONER}


async def test_a_failed_task_is_tried_again_by_its_new_date(harness: Harness, clock: SetClock) -> None:
    crm = harness.systems["crm"]
    crm.answers[Operation.ERASE] = each(lambda _: Refused("an invoice is unpaid"))
    [request] = await opened(harness)
    await harness.worker("crm").work()
    assert await harness.fulfilment_state(request) == "blocked"
    await hear(harness, redated(request))
    await harness.retry(request)
    assert [claim.due_on for claim in await claimed(harness, clock)] == [SOONER]


async def test_what_was_withdrawn_or_is_not_known_here_is_left_alone(harness: Harness) -> None:
    [request] = await opened(harness)
    await harness.withdraw(request)
    await hear(harness, redated(request), redated(uuid7()))
    assert await days(harness, request) == {"cancelled": DUE, "fulfilment": DUE}


# A request that is due tomorrow and was submitted behind many others is worked next, in every service.
MANY, MORE_THAN_A_BATCH, BATCH, CHUNK = 10_000, 300, 200, 500
EXPORT = partial(fulfilling.begin, Operation.EXPORT)
Begin = Callable[[Fulfilments, Sequence[RequestVerified], UnitOfWork], Awaitable[None]]


@dataclass
class Store:
    """A downstream that notes what it was asked, in order."""

    asked: list[UUID] = field(default_factory=list)
    can: Capabilities = field(default_factory=Capabilities)

    async def close(self) -> None:
        """Nothing to close."""

    async def _do(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        del save_progress
        self.asked += [task.request_id for task in tasks]
        return [Receipt(task.task_id, TaskOutcome.AMENDED, found=1, changed=1) for task in tasks]

    erase = export = amend = flag = _do


async def _nothing(completed: Sequence[FulfilmentResult], tx: UnitOfWork) -> None:
    """Nothing follows in this test."""


async def flag(fulfilments: Fulfilments, events: Sequence[RequestVerified], tx: UnitOfWork) -> None:
    """Flags open requests as the deadline service's poll does."""
    policy = read_policy()
    clocks = [start(each, each, policy, None) for each in (a(RequestReceived, event) for event in events)]
    await notifications.flag(fulfilments, tx, clocks)


@pytest.mark.parametrize(
    ("service", "begin", "right", "operation", "number"),
    [
        (ServiceName.ERASURE, partial(fulfilling.begin, Operation.ERASE), Right.ERASURE, Operation.ERASE, MANY),
        (ServiceName.EXPORT, EXPORT, Right.ACCESS, Operation.EXPORT, MORE_THAN_A_BATCH),
        (ServiceName.EXPORT, EXPORT, Right.PORTABILITY, Operation.EXPORT, MORE_THAN_A_BATCH),
        (ServiceName.AMENDMENT, amendment.begin, Right.RECTIFICATION, Operation.RECTIFY, MORE_THAN_A_BATCH),
        (ServiceName.AMENDMENT, amendment.begin, Right.RESTRICTION, Operation.RESTRICT, MORE_THAN_A_BATCH),
        (ServiceName.AMENDMENT, amendment.begin, Right.OBJECTION, Operation.SUPPRESS, MORE_THAN_A_BATCH),
        (ServiceName.DEADLINE, flag, Right.ACCESS, Operation.FLAG, MORE_THAN_A_BATCH),
    ],
)
async def test_what_is_due_tomorrow_is_worked_next_behind_many_others(
    database: str,
    clock: SetClock,
    keys: keyring.Keyring,
    service: ServiceName,
    begin: Begin,
    right: Right,
    operation: Operation,
    number: int,
) -> None:
    store = Store()
    async with await connect_pool(in_process(database), service) as pool:
        harness = UnitOfWorkFactory(pool, service, clock, Vault(keys))
        fulfilments = Fulfilments({operation: ((Step("store", operation),),)})
        subject = uuid7()
        known = SubjectData((Identity(IdentityType.EMAIL, "ada@example.org"),))
        today = clock.now().date()

        def verified(due_on: date) -> RequestVerified:
            return a(RequestVerified, right=right, subject=subject, due_on=due_on)

        others = [verified(today + timedelta(days=28)) for _ in range(number)]
        urgent = verified(today + timedelta(days=1))
        async with harness.begin() as tx:
            await tx.vault.insert_subjects(tx.connection, [tx.vault.new_subject(subject, known, tx.now)])
        for batch in (*(others[n : n + CHUNK] for n in range(0, number, CHUNK)), [urgent]):
            async with harness.begin() as tx:
                await begin(fulfilments, batch, tx)
        settings = WorkSettings.model_validate({"downstreams": "none", "batch": BATCH})
        declared = Downstream("store", frozenset(), adapter=store, needed=dict.fromkeys(ProofAction, "L0"))
        lease = Lease(3600)
        async with pool.acquire() as connection:
            await lease.renew(connection)
        worker = Worker(
            declared,
            operation,
            TaskCompletion(harness, fulfilments, dict.fromkeys(Operation, _nothing), settings),
            TRACING,
            lease,
        )
        assert await worker.work() == BATCH
    assert store.asked[0] == urgent.request_id
    assert store.asked[1:] == [event.request_id for event in others[: BATCH - 1]]
