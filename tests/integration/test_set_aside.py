"""Above its limit of records that were set aside a topic is left alone, until somebody says so."""

import json
from collections.abc import Sequence
from uuid import UUID

import pytest

from shared.domain.events import RequestVerified, RetentionEnded
from shared.domain.records import Message
from shared.domain.rights import Right
from shared.domain.topics import ServiceName
from shared.messaging.dead_letters import REPLAYED_FOR, paused_since, resume
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage.evidence import verify
from shared.storage.postgres import connected
from tests.fixtures.dispatching import (
    PERSONAL,
    Diary,
    as_sent,
    dead_letters,
    dispatcher,
    heard,
    noted,
    spoiled,
    unreadable,
    verified,
)
from tests.fixtures.engine import OpenHarness, SetClock
from tests.fixtures.events import a


async def test_above_its_limit_of_dead_letters_a_topic_is_left_alone_and_others_are_not(
    open_harness: OpenHarness, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    harness, diary = await open_harness(), Diary()
    listener = dispatcher(harness, (RequestVerified, diary.begin), (RetentionEnded, diary.begin), limit=2)
    elsewhere = heard(a(RetentionEnded, right=Right.ERASURE))
    bad = [unreadable(offset=offset) for offset in range(5)]
    good = heard(verified())
    assert await listener.handle([*bad, good, elsewhere]) == [*bad[3:], good]
    assert (len(await dead_letters(harness)), await noted(harness)) == (3, 1)
    assert "it is paused: dsr consumers resume erasure dsr.requests" in caplog.text

    after_a_restart = dispatcher(harness, (RequestVerified, diary.begin), limit=2)
    assert await after_a_restart.paused_topics() == {"dsr.requests"}
    assert await after_a_restart.handle([good]) == [good]
    async with connected(database) as operator:
        assert [(each[0], each[1]) for each in await paused_since(operator)] == [("erasure", "dsr.requests")]
        assert [await resume(operator, ServiceName.ERASURE, "dsr.requests") for _ in range(2)] == [True, False]
    assert await after_a_restart.paused_topics() == set()
    assert await after_a_restart.handle([good]) == []
    assert await noted(harness) == 2


async def test_of_a_batch_the_one_record_whose_evidence_would_hold_what_somebody_typed_is_set_aside(
    open_harness: OpenHarness, database: str
) -> None:
    harness, events = await open_harness(), [verified() for _ in range(5)]

    async def note(batch: Sequence[RequestVerified], tx: UnitOfWork) -> None:
        for event in batch:
            said = PERSONAL if event.event_id == bad.event_id else "code"
            tx.log_evidence(event.request_id, "noted", {"said": said})

    bad = events[2]
    listener = dispatcher(harness, (RequestVerified, note))
    assert await listener.handle([heard(event) for event in events]) == []
    [letter] = await dead_letters(harness)
    assert UUID(json.loads(letter["value"])["request_id"]) == bad.request_id
    noted_of = await harness.pool.fetch("SELECT request_id, detail FROM evidence.entry ORDER BY seq")
    assert [row["request_id"] for row in noted_of] == [each.request_id for each in events if each is not bad]
    assert PERSONAL not in str(noted_of) + str(dict(letter))
    assert await verify(database) == {"erasure": None}


async def test_dead_letters_of_another_day_do_not_count(open_harness: OpenHarness, clock: SetClock) -> None:
    harness = await open_harness()
    listener = dispatcher(harness, limit=2)
    for _ in range(3):
        assert await listener.handle([unreadable(), unreadable()]) == []
        clock.pass_by(days=1)
    assert await listener.paused_topics() == set()


async def test_what_is_sent_again_is_heard_by_whom_it_is_for_alone_and_set_aside_no_second_time(
    open_harness: OpenHarness,
) -> None:
    harness = await open_harness()
    listener = dispatcher(harness, (RequestVerified, Diary().begin), limit=1)
    good, bad = heard(verified()), spoiled(verified())
    for service, wanted in ((ServiceName.ERASURE, True), (ServiceName.DEADLINE, False)):
        again = Message(good.topic, good.key, good.value, {**good.headers, REPLAYED_FOR: service})
        assert listener.wants(as_sent(again)) is wanted
    broken = [Message(bad.topic, bad.key, bad.value, {**bad.headers, REPLAYED_FOR: ServiceName.ERASURE})] * 5
    assert await listener.handle([*broken, good]) == []
    assert await noted(harness) == 1
    assert await dead_letters(harness) == []
    assert await listener.paused_topics() == frozenset()
