"""Replies of teams: stored with the task that asked; one that cannot be is set aside alone."""

import json
import logging
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from shared.domain.records import Message
from shared.fulfilment.replies import Replies
from shared.runtime.liveness import Heartbeats
from tests.fixtures.engine import Harness, OpenHarness, ScriptedSystem

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
