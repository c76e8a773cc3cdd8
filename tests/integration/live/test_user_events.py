"""What other services tell of their users, over a real broker, and where it stands as other services read it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from uuid_utils.compat import uuid7

from deploy.demo.client import DsrClient
from shared.domain import topics
from shared.domain.assignments import AssignedNumber
from shared.domain.identities import Identity, IdentityType
from shared.domain.records import Message
from shared.domain.rights import Right
from shared.domain.topics import ServiceName
from shared.domain.user_events import TYPES
from shared.messaging.producer import BusAway, KafkaProducer
from shared.messaging.replay import dead_letters
from shared.runtime.settings import KafkaSettings
from shared.storage import keyring
from shared.storage.postgres import connected
from shared.storage.register import fill
from tests.fixtures.guarded import guarded_broker
from tests.fixtures.live import EVERY_RIGHT, Live, eventually
from tests.fixtures.user_events import PROVED, binary, structured
from tests.fixtures.wire import JUNK

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
NUMBER = "+442079460123"
SAID: dict[str, dict[str, object]] = {
    "user.objected_to_marketing": {},
    "user.consent_withdrawn": {"purpose": "marketing"},
    "user.account_closed": {"closed_at": "2026-03-01T00:00:00+01:00"},
    "number.assigned": {"since": "2026-01-01T00:00:00+00:00", "line": "personal"},
    "number.released": {"until": "2026-02-01T00:00:00+00:00"},
    "number.ported": {"direction": "in", "at": "2026-02-01T00:00:00+00:00"},
}
"""The data of an event beside its subject."""


class Emitter:
    """A service that posts identities with a key of its own and sends events."""

    def __init__(self, live: Live, name: str, producer: KafkaProducer) -> None:
        self.name = name
        self.key = live.services.key("channel", name)
        self.api = DsrClient(live.services.url, self.key)
        self._producer = producer

    async def post(self, subject: dict[str, object], **said: object) -> str:
        proved = {} if self.name == "numbering" else PROVED  # whose a number is needs no proof
        answer = await self.api.post("/v1/subjects", json={"subject": subject, **proved, **said})
        return str(answer.raise_for_status().json()["subject"])

    async def send(self, *records: Message) -> None:
        await self._producer.send(records)

    async def say(self, kind: str, token: str, **data: object) -> Message:
        record = binary(self.name, kind, {"subject": token, **data})
        await self.send(record)
        return record


@pytest.fixture
async def producer(live: Live) -> AsyncIterator[KafkaProducer]:
    made = KafkaProducer(KafkaSettings(bootstrap=live.services.env["DSR_KAFKA_BOOTSTRAP"]))
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def selfcare(live: Live, producer: KafkaProducer) -> AsyncIterator[Emitter]:
    emitter = Emitter(live, "selfcare", producer)
    async with emitter.api:
        yield emitter


@pytest.fixture
async def numbering(live: Live, producer: KafkaProducer) -> AsyncIterator[Emitter]:
    emitter = Emitter(live, "numbering", producer)
    async with emitter.api:
        yield emitter


async def used(live: Live, tokens: list[str]) -> None:
    """Waits until each of them was handled."""
    query = "SELECT count(*) FROM intake.subject_token WHERE token = ANY($1::uuid[]) AND used_at IS NOT NULL"

    async def handled() -> bool:
        async with connected(live.dsn) as connection:
            return bool(await connection.fetchval(query, tokens) == len(tokens))

    await eventually(handled)


async def set_aside(live: Live, number: int, *, topic: str) -> list[str]:
    """Why records of that topic were set aside, once there are so many."""
    settings = KafkaSettings(bootstrap=live.services.env["DSR_KAFKA_BOOTSTRAP"])

    async def reasons() -> list[str]:
        found = [each.reason async for each in dead_letters(settings, ServiceName.INTAKE) if each.topic == topic]
        return found if len(found) >= number else []

    return list(await eventually(reasons))


@pytest.fixture
async def filled(live: Live) -> AsyncIterator[None]:
    """A register that was filled, until the test ends: others have none."""
    known = AssignedNumber(Identity(IdentityType.PHONE, "+442079460999", LONG_AGO), "C0")
    async with connected(live.dsn) as connection:
        await fill(connection, keyring.load(live.services.keyring), "crm", "crm", [known], LONG_AGO)
        yield
        await connection.execute("DELETE FROM register.assignment; DELETE FROM register.source")


@pytest.mark.usefixtures("filled")
async def test_each_type_of_event_takes_effect(live: Live, selfcare: Emitter, numbering: Emitter) -> None:
    rights = dict[str, str]()
    for right, more in EVERY_RIGHT.items():
        changes = {"changes": more["changes"]} if "changes" in more else {}
        asked = {name: value for name, value in more.items() if name != "changes"}
        token = await selfcare.post({"account_id": live.somebody().account_id}, **changes)
        rights[token] = right
        await selfcare.say(f"user.requested.{right}", token, **asked)
    told = list[str]()
    for kind, data in SAID.items():
        emitter = numbering if kind.startswith("number.") else selfcare
        subject: dict[str, object] = {"account_id": live.somebody().account_id}
        if emitter is numbering:
            subject = {"account_id": "C4711", "phones": [{"number": NUMBER}]}
        told.append(await emitter.post(subject))
        await emitter.say(kind, told[-1], **data)
    await used(live, [*rights, *told])
    assert {f"user.requested.{right}" for right in Right} | set(SAID) == set(TYPES)
    views = {token: await selfcare.api.read(token) for token in (*rights, *told[:2])}
    assert {token: view["right"] for token, view in views.items()} == rights | dict(
        zip(told, ("objection", "consent_withdrawal"), strict=False)
    )
    async with connected(live.dsn) as connection:
        assert await connection.fetchval("SELECT count(*) FROM intake.closed_account") == 1
        fingerprint = keyring.load(live.services.keyring).fingerprint(Identity(IdentityType.PHONE, NUMBER))
        held = "SELECT valid_from, valid_to FROM register.assignment WHERE identity = $1 ORDER BY 1"
        january, february = (datetime(2026, month, 1, tzinfo=UTC) for month in (1, 2))
        assert [*map(tuple, await connection.fetch(held, fingerprint))] == [(january, february), (february, None)]


async def test_a_repeat_an_unknown_type_and_junk_cost_nothing_but_themselves_and_a_flood_delays_nobody_else(
    live: Live, selfcare: Emitter, numbering: Emitter
) -> None:
    token = await selfcare.post({"account_id": live.somebody().account_id})
    record = structured("selfcare", "user.requested.access", {"subject": token}, "once")
    await selfcare.send(record, record, binary("selfcare", "user.logged_in", {}, **JUNK))
    mail = (f"ada{n}@example.org" for n in range(150))
    junk = [binary("selfcare", "user.requested.access", {"subject": each}, **JUNK) for each in mail]
    await selfcare.send(*junk)
    last = await selfcare.post({"account_id": live.somebody().account_id})
    await selfcare.say("user.requested.access", last)
    topic = topics.user_events("selfcare")
    assert "malformed_event: data.subject" in (await set_aside(live, 101, topic=topic))[0]
    paused = "consumers", "paused"
    await eventually(lambda: asyncio.to_thread(lambda: topic in live.services.command(*paused)))
    stranger = await numbering.post({"account_id": "C4712", "phones": [{"number": NUMBER}]})
    await numbering.say("number.assigned", stranger, **SAID["number.assigned"])
    of_numbers = await set_aside(live, 1, topic=topics.user_events("numbering"))  # though selfcare stands still
    assert of_numbers[-1].startswith("register_unfilled: ")
    await used(live, [token])
    async with live.api() as client:
        other = await client.submit(live.somebody().submission())
        await client.follow(other, lambda view: bool(view["tasks"]))
    await asyncio.to_thread(live.services.command, "consumers", "resume", "intake", topic)
    await used(live, [last])
    view = await selfcare.api.read(token)
    assert (view["right"], view["request_id"]) == ("access", token)
    async with connected(live.dsn) as connection:
        count = "SELECT count(*) FROM evidence.entry WHERE request_id = $1::uuid AND action = 'request.received'"
        assert await connection.fetchval(count, token) == 1


@pytest.fixture(scope="module")
def strangers(run_folder: Path) -> Iterator[Any]:
    with guarded_broker(run_folder / "strangers", {}) as broker:
        yield broker


async def test_an_emitter_is_refused_by_the_broker_on_the_topic_of_another_and_reads_none(strangers: Any) -> None:
    producer = KafkaProducer(strangers.as_user("dsr-emitter-numbering"))
    await producer.start()
    event = {"subject": str(uuid7())}
    await producer.send([binary("numbering", "number.assigned", {**event, **SAID["number.assigned"]})])
    with pytest.raises(BusAway) as refused:
        await producer.send([binary("selfcare", "user.requested.erasure", event)])
    assert type(refused.value.__cause__).__name__ == "TopicAuthorizationFailedError"
    given_up = [task for task in asyncio.all_tasks() if "_retire" in repr(task.get_coro())]
    await asyncio.gather(*given_up)  # a refusal makes a producer end by itself
    await producer.stop()
