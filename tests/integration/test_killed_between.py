"""Intake and correspondence are killed at every await between a decision and the delivery of its letter."""

import asyncio
import json
from collections.abc import Coroutine, Generator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import asyncpg

from services.correspondence import handlers as correspondence
from services.correspondence.post import Sender
from services.correspondence.rendering import Renderer
from services.intake.events.handlers import EventHandlers
from services.intake.letters.letter_facts import LetterFacts
from shared.domain.events import Event, FulfilmentCompleted, NoticeRequested, NoticeSettled, type_of
from shared.domain.rights import Right
from shared.domain.time_limit_policy import read_policy
from shared.domain.topics import Message, ServiceName
from shared.messaging.dispatcher import Dispatcher, Handler, Subscription
from shared.messaging.outbox import message
from shared.messaging.unit_of_work import UnitOfWorkFactory
from shared.runtime.liveness import Heartbeats
from shared.runtime.loops import Wakeup
from tests.fixtures.engine import TRACING
from tests.fixtures.events import a
from tests.fixtures.intake import Intake, id_of
from tests.fixtures.letters_sent import PROVED, asked, column, send
from tests.fixtures.mail_server import MailServer

POINTS = ("intake decides", "correspondence renders", "correspondence sends", "intake reads that it was sent")
"""The steps in which a process dies, at each of their awaits."""
FEWEST = 40
"""Awaits of all steps together, or this test kills nothing."""


@dataclass
class Way:
    """Walks the way of one letter, from the decision to its delivery; what was not acknowledged comes again."""

    intake: Intake
    server: MailServer
    decided: Message
    acknowledged: set[bytes] = field(default_factory=set)
    step: str = ""

    async def walk(self) -> None:
        """Goes all of it, as processes that have just started do."""
        factory, letters = self.intake.correspondence.unit_of_work, LetterFacts()
        decides = EventHandlers(letters, read_policy())
        intake = consumer(
            self.intake.unit_of_work, {FulfilmentCompleted: decides.complete, NoticeSettled: decides.settle}
        )
        renders = correspondence.NoticeHandlers(Renderer(letters.policy), Wakeup())
        self.step = POINTS[0]
        await self.consume(intake, [self.decided])
        self.step = POINTS[1]
        await self.consume(consumer(factory, {NoticeRequested: renders.request}), await self.outbox("intake"))
        self.step = POINTS[2]
        await Sender(factory, self.server.settings, Heartbeats()).send_due()
        self.step = POINTS[3]
        await self.consume(intake, await self.outbox("correspondence"))

    async def consume(self, by: Dispatcher, records: list[Message]) -> None:
        await by.handle([each for each in records if each.value not in self.acknowledged])
        self.acknowledged |= {each.value for each in records}

    async def outbox(self, service: str) -> list[Message]:
        """Returns what is about this request."""
        query = f"SELECT * FROM {service}.outbox WHERE topic LIKE 'dsr.%s' AND key = $1 ORDER BY position"
        rows = await self.intake.unit_of_work.pool.fetch(query, self.decided.key)
        return [read(row) for row in rows if row["topic"] in {"dsr.notices", "dsr.deliveries"}]


class Dies:
    """Awaits work, and has its task cancelled at the await of that number: what it has not committed is gone."""

    def __init__(self, work: Coroutine[Any, Any, None], at: int) -> None:
        self._work, self._at = work.__await__(), at
        self.reached = False

    def __await__(self) -> Generator[Any, Any, None]:
        task, go, given = asyncio.current_task(), self._work.send, None
        for number in count(1):
            try:
                waits = go(given)
            except StopIteration:
                return
            if number == self._at and task:
                self.reached = True
                task.get_loop().call_soon(task.cancel)
            try:
                yield waits
                go, given = self._work.send, None
            except asyncio.CancelledError as error:
                go, given = self._work.throw, error


async def test_each_letter_is_sent_under_one_message_id_and_noted_once_wherever_a_process_dies(
    intake: Intake, server: MailServer
) -> None:
    died = list[str]()
    for number in count(1):
        path = await asked(intake, subject={"email": f"ada.{number}@example.org", "country": "DE"}, **PROVED)
        await send(intake, server)
        server.taken.clear()
        completed = a(FulfilmentCompleted, about=id_of(path), right=Right.ACCESS)
        way = Way(intake, server, message(completed, ServiceName.EXPORT, None))
        way.acknowledged = {
            each.value for service in ("intake", "correspondence") for each in await way.outbox(service)
        }
        if not await dies(way, number):
            break
        died.append(way.step)
        intake.clock.pass_by(hours=1)
        await way.walk()
        timeline = (await intake.officer.get(f"{path}/timeline")).json()["data"]
        sent = [each["detail"]["kind"] for each in timeline if each["action"] == "letter.sent"]
        assert sent == ["acknowledgement", "answer"], (number, died[-1])
        assert len({taken.mail["Message-ID"] for taken in server.taken}) == 1, (number, died[-1])
        assert await column(intake, path, "responded_at"), (number, died[-1])
    assert tuple(dict.fromkeys(died)) == POINTS
    assert len(died) >= FEWEST


async def dies(way: Way, number: int) -> bool:
    """Returns whether it had so many awaits, at the last of which it died."""
    dies = Dies(way.walk(), number)

    async def walk() -> None:
        await dies

    with suppress(asyncio.CancelledError):
        await asyncio.create_task(walk())
    return dies.reached


def consumer(unit_of_work: UnitOfWorkFactory, handlers: Mapping[type[Event], Handler]) -> Dispatcher:
    wanted = {type_of(event): [Subscription(event, handler, None)] for event, handler in handlers.items()}
    return Dispatcher(wanted, unit_of_work, TRACING, 100, Heartbeats())


def read(row: asyncpg.Record) -> Message:
    return Message(row["topic"], row["key"], row["value"], json.loads(row["headers"]), 0, row["position"])
