"""Replies of teams: stored with the task that asked; one that cannot be is set aside alone."""

import json
import logging
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from shared import fulfilment
from shared.bus.records import Heard
from shared.replies import Replies
from shared.telemetry import Pulse
from tests.fixtures.engine import Office, OpenOffice, ScriptedSystem

TOPIC = "dsr.tasks.billing.replies"


def reply(task_id: UUID, **fields: object) -> Heard:
    said = {"command_id": str(uuid7()), "task_id": str(task_id), "operation": "erase", "outcome": "erased"}
    return Heard(TOPIC, b"k", json.dumps({**said, "found": 2, "changed": 2, **fields}).encode(), {})


async def asked(open_office: OpenOffice) -> tuple[Office, UUID]:
    office = await open_office(ScriptedSystem("billing"))
    async with office.transactions.begin() as tx:
        await fulfilment.open_all(tx, [await office.opening()])
    return office, await office.pool.fetchval("SELECT task_id FROM task")


async def test_a_reply_is_kept_with_its_task_and_hearing_it_twice_changes_nothing(open_office: OpenOffice) -> None:
    office, task_id = await asked(open_office)
    said = reply(task_id)
    await Replies(office.transactions, Pulse()).handle([said, said])
    progress = await office.pool.fetchval("SELECT progress FROM task")
    assert (progress["reply.erase"]["outcome"], progress["reply.erase"]["found"]) == ("erased", 2)


async def test_a_reply_that_cannot_be_kept_is_set_aside_alone_and_never_told_in_the_log(
    open_office: OpenOffice, caplog: pytest.LogCaptureFixture
) -> None:
    office, task_id = await asked(open_office)
    bad = [
        Heard(TOPIC, b"k", b"ada@example.org", {}),
        reply(task_id, remark="ada@example.org"),
        reply(task_id, found=2**70, changed=2**70),
    ]
    with caplog.at_level(logging.DEBUG):
        await Replies(office.transactions, Pulse()).handle([*bad, reply(task_id)])
    letters = await office.pool.fetch("SELECT topic, value FROM outbox ORDER BY position")
    assert [tuple(letter) for letter in letters] == [("dsr.dead-letters.erasure", record.value) for record in bad]
    assert "ada@example.org" not in caplog.text
    assert (await office.pool.fetchval("SELECT progress FROM task"))["reply.erase"]["found"] == 2


async def test_a_reply_to_a_task_of_another_service_is_left_to_it(open_office: OpenOffice) -> None:
    office, _ = await asked(open_office)
    await Replies(office.transactions, Pulse()).handle([reply(uuid7())])
    assert await office.outbox() == []
    assert await office.pool.fetchval("SELECT progress FROM task") == {}
