"""A stand of a team on the bus: its own service and store, behind a bus that is a list."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
from pydantic import JsonValue

from shared.domain import topics
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Change
from shared.domain.topics import Message
from shared.systems.bus.adapter import BusAdapter
from shared.systems.bus.identity_token import verify
from shared.systems.bus.messages import TaskIdentities, parse_reply, progress_from_reply
from shared.systems.bus.settings import BusSettings
from shared.systems.bus.upload import read_result
from tests.fakes.bus_responder import Billing, answer
from tests.fixtures.engine import SetClock
from tests.fixtures.wire import check

EVERYTHING = {
    "operations": ["erase", "export", "rectify", "restrict", "suppress", "plan"],
    "fields": {"number": "T", "email": "A", "cents": "M"},
    "rectifies": ["email"],
}
"""The table of a team that does every right."""


@dataclass
class MemoryUploads:
    """Uploads in a dictionary; empty until one has come."""

    places: dict[UUID, bytes] = field(default_factory=dict)

    async def expect(self, _system: str, commands: Mapping[UUID, UUID]) -> None:
        for command in commands:
            self.places.setdefault(command, b"")

    async def take(self, commands: Sequence[UUID]) -> Mapping[UUID, bytes]:
        return {command: self.places[command] for command in commands if self.places.get(command)}


@dataclass
class BusStand:
    """A team's own service behind a bus that is a list."""

    store: Billing
    clock: SetClock
    settings: BusSettings = field(default_factory=lambda: BusSettings.model_validate(EVERYTHING))
    people: dict[UUID, tuple[Identity, ...]] = field(default_factory=dict)
    changes: dict[UUID, tuple[Change, ...]] = field(default_factory=dict)
    published: list[Message] = field(default_factory=list)
    replies: list[bytes] = field(default_factory=list)
    token_key: bytes = b"k" * 32
    uploads: MemoryUploads = field(default_factory=MemoryUploads)

    def __post_init__(self) -> None:
        self.adapter = BusAdapter(
            "billing",
            self.settings,
            needs=frozenset({IdentityType.EMAIL}),
            publish=self.publish,
            token_key=self.token_key,
            clock=self.clock,
            uploads=self.uploads,
            categories=frozenset({"account"}),
        )

    async def publish(self, messages: Sequence[Message]) -> None:
        """Deliver each message to the team, and keep its reply."""
        for message in messages:
            self.published.append(message)
            check(message)
            reply = await answer(message.value, self.store, self.identities, self.upload)
            if reply is not None:
                check(Message(topics.replies("billing"), message.key, reply))
                self.replies.append(reply)

    async def identities(self, token: str) -> dict[str, Any]:
        """Answers a token as intake does."""
        claim = verify(token, self.token_key, self.clock.now())
        changes = [each for each in self.changes.get(claim.subject_ref, ()) if each.field in claim.fields]
        identities = TaskIdentities.of(claim.task_id, self.people[claim.subject_ref], changes)
        return identities.model_dump(mode="json")

    async def upload(self, token: str, copy: dict[str, Any]) -> None:
        """Takes a copy as intake does."""
        verify(token, self.token_key, self.clock.now())
        given = read_result(orjson.dumps(copy))
        assert self.uploads.places[given.command_id] in {b"", given.sealed()}
        self.uploads.places[given.command_id] = given.sealed()

    def put(self, email: str, rows: int) -> int:
        with self.store.db:
            self.store.db.executemany("INSERT INTO invoice (email, cents) VALUES (?, 100)", [[email]] * rows)
        return self.holds(email)

    def address(self, email: str) -> str:
        return email

    def holds(self, email: str) -> int:
        return int(self.store.db.execute("SELECT count(*) FROM invoice WHERE email = ?", [email]).fetchone()[0])

    def hear(self, progress: dict[UUID, dict[str, JsonValue]]) -> None:
        while self.replies:
            task_id, reply = progress_from_reply(parse_reply(self.replies.pop(0)))
            progress.setdefault(task_id, {}).update(reply)

    def wait(self, delay: timedelta) -> None:
        self.clock.at += delay
