"""A service that reports its users' requests as events, whatever is struck."""

import asyncio
from dataclasses import dataclass

from deploy.demo.client import DsrClient
from shared.messaging.producer import BusAway, Send
from tests.fixtures.user_events import binary

EMITTER = "selfcare"
_AGAIN_SECONDS = 0.2


@dataclass(frozen=True)
class Emitter:
    """Its key, and how it sends."""

    client: DsrClient
    send: Send

    async def tell(self, right: str, data: dict[str, object]) -> None:
        """Sends the event until the broker has it, and once more, like a sender without an acknowledgement."""
        record = binary(EMITTER, f"user.requested.{right}", data)
        for _ in range(2):
            while True:
                try:
                    await self.send([record])
                    break
                except BusAway:
                    await asyncio.sleep(_AGAIN_SECONDS)  # there is no signal of its return
