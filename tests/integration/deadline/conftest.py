"""The deadline service on a database per test: it consumes events, time passes, and its results are read."""

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from uuid_utils.compat import uuid7

from services.deadline.handlers import Deadlines
from services.deadline.settings import DeadlineSettings
from services.deadline.timers import Poll
from shared.app.service import Service
from shared.domain import events
from shared.domain.events import Event, RequestClosed, RequestReceived, TimerFired, TimerKind, type_of
from shared.domain.operations import Operation, Stages, Step
from shared.domain.rights import Outcome
from shared.domain.time_limit import Arrival, due_on
from shared.domain.time_limit_policy import read_policy
from shared.domain.topics import ServiceName
from shared.fulfilment.fulfilments import Fulfilments
from shared.messaging.progress import loop_of
from shared.messaging.unit_of_work import UnitOfWorkFactory
from shared.runtime.liveness import Heartbeats
from shared.storage.keyring import Keyring
from shared.storage.postgres import connect_pool
from shared.storage.vault import Vault
from tests.fixtures.databases import in_process
from tests.fixtures.engine import SetClock
from tests.fixtures.events import a
from tests.fixtures.policy import signed_policy

POLICY = read_policy()
ARRIVED = datetime(2026, 3, 5, 9, tzinfo=UTC)  # due Saturday 4 April, by law Tuesday 7 April
milestones = ("milestone", "flag")
targets, questions, customers, deferrals, daily = ("target",), ("question",), ("customer",), ("retention",), ("daily",)
PLANS: dict[Operation, Stages] = {
    Operation.ESCALATE: ((Step("ticketing", Operation.ESCALATE),),),
    Operation.FLAG: ((Step("crm", Operation.FLAG),),),
}


class Harness:
    """One instance of the service; ``said()``, ``tickets()``, ``clock()`` and ``evidence()`` are what came of it."""

    def __init__(self, unit_of_work: UnitOfWorkFactory, fulfilments: Fulfilments, clock: SetClock) -> None:
        self.unit_of_work = unit_of_work
        self.fulfilments = fulfilments
        self.pool = unit_of_work.pool
        self.time = clock
        self._service = Service("deadline")
        Deadlines(POLICY, fulfilments).subscribe(self._service)

    @property
    def now(self) -> datetime:
        """The time that was set."""
        return self.time.at

    def at(self, instant: datetime | None = None, **since_arrival: float) -> None:
        """Sets the time: to an instant, or to so much after ``ARRIVED``."""
        self.time.at = instant or ARRIVED + timedelta(**since_arrival)

    async def consume(self, *received: Event) -> None:
        """Handles events in one transaction, those of one type together."""
        async with self.unit_of_work.begin() as tx:
            for kind, group in groupby(received, key=type):
                batch = list(group)
                for subscription in self._service.subscriptions.get(type_of(kind), ()):
                    if subscription.right in (None, batch[0].right):
                        await subscription.handler(batch, tx)

    async def receives(self, **said: Any) -> RequestReceived:
        """Consumes one request."""
        (event,) = await self.receives_many(1, **said)
        return event

    async def receives_many(self, number: int, **said: Any) -> list[RequestReceived]:
        """Consumes so many requests, each due as intake would say."""
        usual: dict[str, Any] = {"occurred_at": ARRIVED, "received_at": ARRIVED, "calendar": "DE-BE"}
        known = usual | {"zones": ("Europe/Berlin", "America/New_York")} | said
        arrival = Arrival(known["received_at"], known["zones"], known["calendar"])
        received = [a(RequestReceived, **known) for _ in range(number)]
        day = due_on(arrival, received[0].right, received[0].scope, POLICY, received[0].role)
        received = [event.model_copy(update={"due_on": day}) for event in received]
        await self.consume(*received)
        return received

    async def verifies(self, *requests: RequestReceived) -> None:
        """Consumes proofs of identity."""
        await self.consume(*(a(events.RequestVerified, request) for request in requests))

    async def asks(self, request: RequestReceived, days: float = 1, **said: Any) -> events.QuestionSent:
        """Consumes a question to the requester, so many days after ``ARRIVED``."""
        at = ARRIVED + timedelta(days=days)
        question = a(events.QuestionSent, request, question_id=uuid7(), **{"asked_at": at, "occurred_at": at} | said)
        await self.consume(question)
        return question

    async def answers(self, question: events.QuestionSent, at: datetime) -> None:
        """Consumes the answer to a question."""
        await self.consume(a(events.QuestionAnswered, question, answered_at=at))

    async def closes(
        self, *requests: RequestReceived, days: float = 0, outcome: Outcome = Outcome.FULFILLED, **said: Any
    ) -> None:
        """Consumes closures, so many days after ``ARRIVED``."""
        what = {"responded_at": ARRIVED + timedelta(days=days), "outcome": outcome} | said
        await self.consume(*(a(RequestClosed, request, **what) for request in requests))

    async def extends(self, request: RequestReceived, day: date) -> None:
        """Consumes an approved extension to that day."""
        await self.consume(a(events.RequestExtended, request, due_on=day))

    async def redates(self, request: RequestReceived, day: date, **said: Any) -> None:
        """Consumes a corrected receipt, or a changed policy."""
        what = {"cause": "receipt_corrected", "due_on": day} | said
        await self.consume(a(events.RequestRedated, request, **what))

    async def reopens(self, request: RequestReceived, question: events.QuestionSent, at: datetime, day: date) -> None:
        """Consumes an answer that came after the closure."""
        event = a(events.RequestReopened, request, question_id=question.question_id, answered_at=at, due_on=day)
        await self.consume(event)

    def sweep(self, batch: int = 1_000, heartbeats: Heartbeats | None = None) -> Poll:
        """Returns the poll; by default the whole bus was consumed."""
        if heartbeats is None:
            heartbeats = Heartbeats()
            heartbeats.consumed(loop_of(ServiceName.DEADLINE), time.monotonic())
        return Poll(self.unit_of_work, POLICY, DeadlineSettings(batch=batch), self.fulfilments, heartbeats)

    async def only(self, kinds: tuple[str, ...]) -> None:
        """Forgets the timers of all other kinds."""
        await self.pool.execute("DELETE FROM timer WHERE kind <> ALL($1)", kinds)

    async def sweeps(
        self,
        kinds: tuple[str, ...] = milestones,
        batch: int = 1_000,
        at: datetime | None = None,
        **since: float,
    ) -> int:
        """Looks at the timers of these kinds until none is due, at an instant, or now; returns how many there were."""
        if at or since:
            self.at(at, **since)
        await self.only(kinds)
        sweep, looked_at = self.sweep(batch), 0
        while found := await sweep.look():
            looked_at += found
        return looked_at

    async def runs(self, beats: int, batch: int = 1_000) -> list[str]:
        """Runs the poll until it has said so many times that it is alive; returns by what names."""
        stopping, heartbeats, received = asyncio.Event(), Heartbeats(), list[str]()
        heartbeats.consumed(loop_of(ServiceName.DEADLINE), time.monotonic())

        def beat(loop: str, rests: float = 0.0) -> None:  # noqa: ARG001  # as the real one
            received.append(loop)
            if len(received) == beats:
                stopping.set()

        heartbeats.beat = beat  # type: ignore[method-assign]
        async with asyncio.timeout(60):
            await self.sweep(batch, heartbeats).run(stopping)
        return received

    async def said(self) -> dict[UUID, list[str]]:
        """Returns short texts of the published events, by request."""
        found: dict[UUID, list[str]] = defaultdict(list)
        for row in await self.pool.fetch("SELECT value FROM outbox ORDER BY position"):
            event = events.EVENT_TYPES[json.loads(row["value"])["type"]].model_validate_json(row["value"])
            found[event.request_id].append(_words(event))
        return dict(found)

    async def details(self, operation: Operation = Operation.ESCALATE) -> list[dict[str, Any]]:
        """The details of what waits to be worked, in the order in which it was opened."""
        rows = await self.pool.fetch(
            "SELECT f.details FROM fulfilment f JOIN task t USING (fulfilment_id)"
            " WHERE t.operation = $1 AND t.state = 'ready' ORDER BY f.opened_at, f.details ->> 'level', t.task_id",
            operation,
        )
        return [row[0] for row in rows]

    async def tickets(self) -> list[str]:
        """The levels of the tickets that wait to be opened."""
        return [details["level"] for details in await self.details()]

    async def clock(self, request: RequestReceived) -> asyncpg.Record:
        """The row of a request's clock."""
        row = await self.pool.fetchrow("SELECT * FROM clock WHERE request_id = $1", request.request_id)
        assert row is not None
        return row

    async def evidence(self, action: str) -> list[dict[str, Any]]:
        """The details of what is on record under an action."""
        rows = await self.pool.fetch("SELECT detail FROM evidence.entry WHERE action = $1 ORDER BY seq", action)
        return [json.loads(row[0]) for row in rows]

    async def plan(self, query: str, *values: object) -> str:
        """Returns the executed plan of a query."""
        return "\n".join(row[0] for row in await self.pool.fetch(f"EXPLAIN ANALYZE {query}", *values))


def _words(event: Event) -> str:
    if not isinstance(event, TimerFired):
        return type_of(type(event))
    match event.kind:
        case TimerKind.MILESTONE if event.days:
            return f"{event.step} {event.days}"
        case TimerKind.QUESTION | TimerKind.CUSTOMER:
            return f"{event.step} {event.days}"
        case TimerKind.RETENTION:
            return f"{'+'.join(event.systems)} {event.due_on}"
    return event.step.replace("overdue_", "overdue ")


@pytest.fixture
def clock() -> SetClock:
    """The time of the test."""
    clock = SetClock()
    clock.at = ARRIVED
    return clock


@pytest.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    """Connections of the service."""
    async with await connect_pool(in_process(database, pool_size=4), ServiceName.DEADLINE) as pool:
        yield pool


@pytest.fixture
def deadline(pool: asyncpg.Pool, clock: SetClock, keys: Keyring) -> Harness:
    """The service, with a system for tickets and a CRM."""
    return Harness(
        UnitOfWorkFactory(pool, ServiceName.DEADLINE, clock, Vault(keys), signed_policy()), Fulfilments(PLANS), clock
    )
