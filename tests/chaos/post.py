"""A mail server that takes letters, and sometimes does not: it breaks off before or after, or says that it is busy."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial

from aiosmtpd.smtp import SMTP, Envelope, Session

from deploy.local import postgres_databases as databases
from deploy.local.ports import HOST

_WAITS = "SELECT count(*) FROM intake.delivery WHERE way = 'email' AND state = 'waiting'"
_NOT_SENT = "SELECT letter_id::text, state, fault FROM intake.delivery WHERE way = 'email' AND state <> 'sent'"
_SENT = "SELECT count(*) FROM intake.delivery WHERE way = 'email' AND state = 'sent'"
_DRAIN_SECONDS = 60.0


@dataclass
class PostOffice:
    """``taken``: letters answered with 250, by Message-ID; ``unsure``: those whose answer may have been lost."""

    draw: random.Random
    port: int = 0
    taken: Counter[str] = field(default_factory=Counter)
    unsure: set[str] = field(default_factory=set)

    @property
    def env(self) -> Mapping[str, str]:
        """Returns intake's settings for sending letters here."""
        settings = {"HOST": HOST, "PORT": self.port, "TLS": "none", "SENDER": "privacy@example.org"}
        pace = {"TIMEOUT_SECONDS": 2, "POLL_SECONDS": 0.2, "BACKOFF_SECONDS": 0.2, "BACKOFF_MAX_SECONDS": 2}
        return {f"DSR_SMTP_{name}": str(value) for name, value in {**settings, **pace}.items()}

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802  # aiosmtpd's
        """Rejects one letter in ten at first."""
        content = envelope.content
        assert isinstance(content, bytes)
        head = content.partition(b"\r\n\r\n")[0].decode("ascii", "replace")
        [message_id] = [line for line in head.splitlines() if line.lower().startswith("message-id:")]
        match self.draw.randrange(30):
            case 0:
                self._break_off(server)
            case 1:
                return "451 busy"
            case 2:
                self.unsure.add(message_id)
                self._break_off(server)
            case _:
                self.taken[message_id] += 1
        return "250 OK"

    async def wrong(self, dsn: str, faults: int) -> Mapping[str, list[str]]:
        """Returns what is wrong with the letters once all are out, or time is up.

        A letter may come twice, with one Message-ID, if its sender was struck between the 250 and its note; at most
        once per fault.
        """
        with suppress(TimeoutError):
            await asyncio.wait_for(self._empty(dsn), _DRAIN_SECONDS)
        lost = [f"{row[0]} is {row[1]} {row[2]}" for row in await databases.fetch(dsn, _NOT_SENT)]
        [[sent]] = await databases.fetch(dsn, _SENT)
        had = self.taken.keys() | self.unsure
        if sent > len(had):
            lost.append(f"{sent} are noted as sent, {len(had)} have come")
        again = [f"{each} came {times} times" for each, times in self.taken.items() if times > 1]
        return {"letters lost": lost, "letters twice": again if len(again) > faults else []}

    async def _empty(self, dsn: str) -> None:
        while (await databases.fetch(dsn, _WAITS))[0][0]:  # noqa: ASYNC110  # a table signals nothing
            await asyncio.sleep(0.5)  # so it is asked again

    def _break_off(self, server: SMTP) -> None:
        assert server.transport is not None
        server.transport.close()


@asynccontextmanager
async def post_office(draw: random.Random) -> AsyncIterator[PostOffice]:
    """One that listens on a port of its own."""
    loop, office = asyncio.get_running_loop(), PostOffice(draw)
    server = await loop.create_server(partial(SMTP, office, hostname="mail.example.org", loop=loop), HOST, 0)
    async with server:
        office.port = server.sockets[0].getsockname()[1]
        yield office
