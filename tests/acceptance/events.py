"""The bus as other teams use it: user events that they send, and where requests stand as they read it."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from tests.acceptance.client import Case, Door, Person
from tests.fixtures.wire import JUNK

STRUCTURED = [("content-type", b"application/cloudevents+json; charset=UTF-8")]
_JUNK = [(name, said.encode()) for name, said in JUNK.items()]


@dataclass(frozen=True)
class Emitter:
    """A service of the company: it posts identities with its key, and its events name them by a token."""

    name: str
    door: Door
    kafka: AIOKafkaProducer

    async def say(self, kind: str, token: str, event_id: str = "", *, junk: bool = False, **data: Any) -> None:
        """Sends one event about whom the token stands for; ``junk``: one that the contract does not know."""
        event = {"specversion": "1.0", "id": event_id or str(uuid4()), "source": f"/{self.name}", "type": kind}
        await self._send(json.dumps({**event, "data": {"subject": token, **data}}).encode(), _JUNK if junk else [])

    async def say_in_headers(self, kind: str, token: str, **data: Any) -> None:
        """Sends one event in the binary mode of CloudEvents: what it is stands in the headers."""
        event = {"ce_specversion": "1.0", "ce_id": str(uuid4()), "ce_source": f"/{self.name}", "ce_type": kind}
        headers = [(name, said.encode()) for name, said in {**event, "content-type": "application/json"}.items()]
        value = json.dumps({"subject": token, **data}).encode()
        await self.kafka.send_and_wait(f"user.events.{self.name}", value, headers=headers)

    async def send(self, value: bytes) -> None:
        """Sends one record of junk."""
        await self._send(value, _JUNK)

    async def _send(self, value: bytes, more: list[tuple[str, bytes]]) -> None:
        await self.kafka.send_and_wait(f"user.events.{self.name}", value, headers=STRUCTURED + more)

    async def asks(self, person: Person, right: str, **data: Any) -> Case:
        """Asks for a person's right by an event; returns the request."""
        said = person.submission(right)
        changes = {"changes": said.pop("changes")} if "changes" in said else {}
        stated = {name: said.pop(name) for name in ("subject", "assurance", "proofs")}
        token = await self.door.token({**stated, **changes})
        await self.say(f"user.requested.{said.pop('right')}", token, **said, **data)
        return Case(self.door, token)


@asynccontextmanager
async def emitter(name: str, door: Door, bootstrap: str) -> AsyncIterator[Emitter]:
    """An emitter with that key, connected to the broker."""
    async with AIOKafkaProducer(bootstrap_servers=bootstrap) as kafka:
        yield Emitter(name, door, kafka)


async def statuses(bootstrap: str, request_id: str, state: str = "closed") -> list[Mapping[str, Any]]:
    """Returns the records of a request on ``dsr.status``, up to that state."""
    found: list[Mapping[str, Any]] = []
    async with AIOKafkaConsumer("dsr.status", bootstrap_servers=bootstrap, auto_offset_reset="earliest") as consumer:
        async for record in consumer:
            if record.key == request_id.encode():
                found.append(json.loads(record.value))
                if found[-1]["state"] == state:
                    break
    return found
