"""Letters go out: one after the other to the mail server of ours, and again after a while if it does not take them.

A letter is claimed before it is sent and noted as sent after the server's 250. Whoever dies between the two leaves it
to be sent once more, under the same Message-ID, by which a mailbox shows it once: that is the only way in which one is
sent twice. With the server away letters wait; nothing else does.
"""

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final
from uuid import UUID

import aiosmtplib
import orjson

from services.intake.letters import correspondence, delivered, delivery
from services.intake.letters.delivered import Fault
from services.intake.letters.rendering import Letters
from services.intake.mail import tokens
from services.intake.mail.message import Outgoing, address_in, compose, message_id, return_path
from services.intake.mail.settings import SmtpSettings
from services.intake.metrics import LETTER_WAIT, LETTERS, LETTERS_SENT
from shared.app.service import Running
from shared.domain.errors import Shredded
from shared.domain.text import in_ascii
from shared.messaging.unit_of_work import UnitOfWork, UnitOfWorkFactory
from shared.runtime.liveness import Heartbeats
from shared.runtime.loops import retry_while_unavailable, run_periodically

log = logging.getLogger(__name__)

NAME = "letters"
"""Of the loop."""
_WAYS = ("email", "post")
_STEPS: Final = 8
"""Answers of the server that one letter may wait for; its claim lasts as long."""
_AT_A_TIME = 90
"""Letters of one connection: servers close it after a hundred."""
_LOST = 3
"""Connections that may break off one after the other until the server counts as away."""
_CLOSING, _PERMANENT = 421, 500
_CLAIM = """
UPDATE delivery SET next_try_at = $2, tries = tries + 1 WHERE letter_id = (
    SELECT d.letter_id FROM delivery d
    WHERE d.state = 'waiting' AND d.way = 'email' AND d.next_try_at <= $1 AND NOT EXISTS (
        SELECT FROM delivery e WHERE e.request_id = d.request_id AND e.letter_id < d.letter_id
          AND e.state = 'waiting' AND e.way = 'email')
    ORDER BY d.next_try_at LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING letter_id, request_id, kind, written_at, tries
"""
_LATER = "UPDATE delivery SET next_try_at = $2 WHERE letter_id = $1 AND state = 'waiting'"
_PUT_OFF = """
UPDATE delivery SET put_off_at = coalesce(put_off_at, $2) WHERE letter_id = $1 AND state = 'waiting'
RETURNING put_off_at
"""
_SENT_BEFORE = """
SELECT letter_id FROM delivery WHERE request_id = $1 AND letter_id < $2 AND way = 'email' AND state = 'sent'
ORDER BY letter_id
"""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A letter that this process sends now."""

    letter_id: UUID
    request_id: UUID
    kind: str
    written_at: datetime
    tries: int


class Sender:
    """Sends what is due, a connection at a time."""

    def __init__(
        self, unit_of_work: UnitOfWorkFactory, settings: SmtpSettings, letters: Letters, heartbeats: Heartbeats
    ) -> None:
        self._unit_of_work = unit_of_work
        self._heartbeats = heartbeats
        self._settings = settings
        self._letters = letters
        self._secret = unit_of_work.vault.keyring.lookup
        self._tls = settings.tls_context()
        self._away = False

    async def send_due(self) -> int:
        """Sends letters until none is due, the server does not answer, or a connection has had enough; how many.

        One that ends a connection does not keep the next from going out by another.
        """
        done, lost, server = 0, 0, None
        try:
            while done < _AT_A_TIME and lost < _LOST and (claimed := await self._claim()):
                self._heartbeats.beat(NAME)
                if (letter := await self._open(claimed)) is None:
                    continue
                try:
                    server = server or await self._connect()
                except (aiosmtplib.SMTPException, OSError) as error:
                    await self._wait(claimed, error)
                    break
                if await self._send(server, claimed, letter):
                    done, lost = done + 1, 0
                else:
                    lost += 1
                    server.close()
                    server = None
        finally:
            if server is not None:
                with suppress(aiosmtplib.SMTPException, OSError):
                    await server.quit()
        return done

    async def _claim(self) -> Claimed | None:
        async with self._unit_of_work.begin() as tx:
            until = tx.now + timedelta(seconds=_STEPS * self._settings.timeout_seconds)
            row = await tx.connection.fetchrow(_CLAIM, tx.now, until)
        return Claimed(*row) if row else None

    async def _open(self, claimed: Claimed) -> Outgoing | None:
        """The letter with where it goes; None: a person must see to it."""
        try:
            async with self._unit_of_work.begin() as tx:
                return await self._read(tx, claimed)
        except Shredded:
            await self._stop(claimed, "key_gone")
        except _UnusableError as error:
            await self._stop(claimed, error.fault)
        except correspondence.NotRendered:  # no other letter waits for this one
            await self._stop(claimed, "not_rendered")
        return None

    async def _read(self, tx: UnitOfWork, claimed: Claimed) -> Outgoing:
        usual = orjson.loads(await tx.vault.statement(tx.connection, claimed.request_id))
        sealed = await tx.vault.open_one(tx.connection, claimed.letter_id)
        if sealed is None:
            raise _UnusableError("address_unknown")
        content = await correspondence.rendered(tx, self._letters, claimed.request_id, claimed.letter_id, sealed)
        # An acknowledgement goes where they have written from, and says nothing; any other letter says where it goes.
        said = content.get("to") or (usual["to"][-1:] if claimed.kind == "acknowledgement" else ())
        address = address_in(said[0]) if said else None
        if address is None:
            raise _UnusableError("address_unknown")
        to = in_ascii(address)
        if not to.isascii():
            raise _UnusableError("address_unusable")
        sender = self._settings.sender or ""
        if claimed.kind in delivery.TO_STRANGERS:  # who follow no thread of the requester's
            before: Sequence[str] = ()
        else:
            rows = await tx.connection.fetch(_SENT_BEFORE, claimed.request_id, claimed.letter_id)
            ours = [message_id(tokens.token(self._secret, row[0]), sender) for row in rows]
            before = [*filter(None, [usual.get("follows")]), *ours]
        token = tokens.token(self._secret, claimed.letter_id)
        return Outgoing(token, to, content["language"], content["subject"], content["html"], claimed.written_at, before)

    async def _connect(self) -> aiosmtplib.SMTP:
        settings = self._settings
        password = settings.password.get_secret_value() if settings.password else None
        server = aiosmtplib.SMTP(
            hostname=settings.host,
            port=settings.port,
            username=settings.username,
            password=password,
            use_tls=settings.tls == "implicit",
            start_tls=settings.tls == "starttls",
            tls_context=self._tls,
            timeout=settings.timeout_seconds,
        )
        await server.connect()
        if self._away:
            log.info("the mail server answers again")
        self._away = False
        return server

    async def _send(self, server: aiosmtplib.SMTP, claimed: Claimed, letter: Outgoing) -> bool:
        """Hands one over, and notes what became of it; whether the server may be asked for another."""
        settings, company = self._settings, self._unit_of_work.policy.controller.name
        sender = settings.sender or ""
        try:
            mail = compose(letter, sender, company)
            back = return_path(letter.token, settings.return_address)
            await server.sendmail(back, [letter.to], mail)
        except ValueError:  # of this letter alone: nobody else waits for it
            await self._stop(claimed, "address_unusable")
            return True
        except (aiosmtplib.SMTPRecipientsRefused, aiosmtplib.SMTPResponseException) as error:
            code = error.code if isinstance(error, aiosmtplib.SMTPResponseException) else error.recipients[0].code
            if code >= _PERMANENT:
                await self._stop(claimed, "refused")
            elif code == _CLOSING:  # it says nothing of this letter
                await self._later(claimed)
            else:
                await self._put_off(claimed)
            return code != _CLOSING
        except (aiosmtplib.SMTPException, OSError) as error:
            await self._wait(claimed, error)
            return False
        # with the database away it is noted once that is back, and not sent again
        await retry_while_unavailable(partial(self._note, claimed), NAME, self._heartbeats)
        return True

    async def _note(self, claimed: Claimed) -> None:
        async with self._unit_of_work.begin() as tx:
            await delivered.sent(tx, self._letters, claimed.letter_id)

    async def _stop(self, claimed: Claimed, fault: Fault) -> None:
        log.warning("a letter of request %s waits for a person: %s", claimed.request_id, fault)
        async with self._unit_of_work.begin() as tx:
            await delivered.stopped(tx, self._letters, claimed.letter_id, fault)

    async def _wait(self, claimed: Claimed, error: Exception) -> None:
        """The server is away, or takes nothing."""
        if not self._away:
            log.warning("letters wait for the mail server: %s", type(error).__name__)
        self._away = True
        await self._later(claimed)

    async def _put_off(self, claimed: Claimed) -> None:
        """The server does not take it for now (4xx); if it has said so for long enough, a person must see to it."""
        async with self._unit_of_work.begin() as tx:
            since: datetime | None = await tx.connection.fetchval(_PUT_OFF, claimed.letter_id, tx.now)
            for_long = since is not None and tx.now - since >= timedelta(hours=self._settings.put_off_hours)
        await (self._stop(claimed, "put_off") if for_long else self._later(claimed))

    async def _later(self, claimed: Claimed) -> None:
        """It is tried again after a pause that grows."""
        settings = self._settings
        pause = min(settings.backoff_max_seconds, settings.backoff_seconds * 2 ** min(claimed.tries - 1, 30))
        async with self._unit_of_work.begin() as tx:
            await tx.connection.execute(_LATER, claimed.letter_id, tx.now + timedelta(seconds=pause))


class _UnusableError(Exception):
    def __init__(self, fault: Fault) -> None:
        super().__init__(fault)
        self.fault = fault


async def run(running: Running, settings: SmtpSettings) -> None:
    """Sends for as long as the service runs, and counts what waits."""
    for way in _WAYS:
        LETTERS_SENT.labels(way)  # shown as 0 until the first
    sender = Sender(running.unit_of_work, settings, Letters(), running.heartbeats) if settings.host else None

    async def look() -> None:
        if sender:
            await sender.send_due()
        await count(running.unit_of_work)

    await run_periodically(look, NAME, settings.poll_seconds, running.stopping, running.heartbeats, share=0)


async def count(unit_of_work: UnitOfWorkFactory) -> None:
    """Counts what waits, and for how long the oldest does."""
    now = unit_of_work.clock.now()
    rows = await unit_of_work.pool.fetch(delivery.COUNTED)
    found = {(way, state): (number, since) for way, state, number, since in rows}
    for way in _WAYS:
        for state in ("waiting", "person"):
            LETTERS.labels(way, state).set(found.get((way, state), (0, now))[0])
        waits = found.get((way, "waiting"), (0, now))[1]
        LETTER_WAIT.labels(way).set(max(0.0, (now - waits).total_seconds()))
