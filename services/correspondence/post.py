"""Sends letters by SMTP, one after the other, and again after a pause if the server does not take them.

A letter is claimed before it is sent, and noted as sent after the server's 250. A process that dies in between leaves
it to be sent once more under the same Message-ID, by which a mailbox shows it once. With the server away letters wait.
"""

import hashlib
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

from services.correspondence.message import Outgoing, compose, message_id, return_path
from services.correspondence.settings import SmtpSettings
from shared.app.service import Running
from shared.domain import notices as tokens
from shared.domain.errors import Shredded
from shared.domain.events import DeliveryFault, NoticeSettled
from shared.domain.notices import NoticeText, address_in, opened
from shared.domain.text import in_ascii
from shared.messaging.unit_of_work import UnitOfWork, UnitOfWorkFactory
from shared.runtime.liveness import Heartbeats
from shared.runtime.loops import Wakeup, retry_while_unavailable, run_periodically

log = logging.getLogger(__name__)

NAME = "letters"
"""The name of the loop."""
_STEPS: Final = 8
"""Server answers that one letter may wait for; its lease lasts as long."""
_AT_A_TIME = 90
"""Letters of one connection: servers close it after a hundred."""
_LOST = 3
"""Successive broken connections after which the server counts as unavailable."""
_KEEP: Final = timedelta(days=400)
"""Days until a settled letter is deleted: longer than a request lasts."""
_FORGET_SECONDS = 3_600.0
_CLOSING, _PERMANENT = 421, 500
_CLAIM = """
UPDATE notice SET next_try_at = $2, tries = tries + 1 WHERE notice_id = (
    SELECT n.notice_id FROM notice n
    WHERE n.state = 'waiting' AND n.next_try_at <= $1 AND NOT EXISTS (
        SELECT FROM notice e WHERE e.request_id = n.request_id AND e.notice_id < n.notice_id AND e.state = 'waiting')
    ORDER BY n.next_try_at LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING notice_id, request_id, threaded, written_at, tries
"""
_LATER = "UPDATE notice SET next_try_at = $2 WHERE notice_id = $1 AND state = 'waiting'"
_PUT_OFF = """
UPDATE notice SET put_off_at = coalesce(put_off_at, $2) WHERE notice_id = $1 AND state = 'waiting' RETURNING put_off_at
"""
_SENT_BEFORE = """
SELECT notice_id FROM notice WHERE request_id = $1 AND notice_id < $2 AND state = 'sent' ORDER BY notice_id
"""
_SETTLE = """
UPDATE notice SET state = $2, settled_at = $3 WHERE notice_id = $1 AND state = 'waiting' RETURNING request_id, "right"
"""
_FORGET = "DELETE FROM notice WHERE state <> 'waiting' AND settled_at < $1"


@dataclass(frozen=True, slots=True)
class ClaimedNotice:
    """Holds a letter that this process sends now."""

    notice_id: UUID
    request_id: UUID
    threaded: bool
    written_at: datetime
    tries: int


async def settle(
    tx: UnitOfWork, notice_id: UUID, fault: DeliveryFault | None = None, sha256: str | None = None
) -> None:
    """Records the result of a letter once, and publishes it."""
    state = "failed" if fault else "sent"
    row = await tx.connection.fetchrow(_SETTLE, notice_id, state, tx.now)
    if row:
        known = {"request_id": row["request_id"], "right": row["right"], "occurred_at": tx.now}
        settled = {"notice_id": notice_id, "state": state, "fault": fault, "sha256": sha256}
        tx.publish(NoticeSettled.model_validate(known | settled))


class Sender:
    """Sends what is due, a connection at a time."""

    def __init__(self, unit_of_work: UnitOfWorkFactory, settings: SmtpSettings, heartbeats: Heartbeats) -> None:
        self._unit_of_work = unit_of_work
        self._heartbeats = heartbeats
        self._settings = settings
        self._secret = unit_of_work.vault.keyring.lookup
        self._tls = settings.tls_context()
        self._away = False

    async def send_due(self) -> int:
        """Sends letters until none is due, the server is away, or a connection has had enough; returns how many.

        A letter that ends a connection does not keep the next from going out by another.
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

    async def _claim(self) -> ClaimedNotice | None:
        async with self._unit_of_work.begin() as tx:
            until = tx.now + timedelta(seconds=_STEPS * self._settings.timeout_seconds)
            row = await tx.connection.fetchrow(_CLAIM, tx.now, until)
        return ClaimedNotice(*row) if row else None

    async def _open(self, claimed: ClaimedNotice) -> Outgoing | None:
        """Returns the letter with where it goes; None: a person must see to it."""
        try:
            async with self._unit_of_work.begin() as tx:
                return await self._read(tx, claimed)
        except Shredded:
            await self._stop(claimed, "key_gone")
        except _UnusableError as error:
            await self._stop(claimed, error.fault)
        return None

    async def _read(self, tx: UnitOfWork, claimed: ClaimedNotice) -> Outgoing:
        usual = orjson.loads(await tx.vault.statement(tx.connection, claimed.request_id))
        sealed = await tx.vault.open_one(tx.connection, claimed.notice_id)
        letter = opened(sealed) if sealed else None
        address = address_in(letter.to or "") if letter else None
        if not isinstance(letter, NoticeText) or address is None:
            raise _UnusableError("address_unknown")
        to = in_ascii(address)
        if not to.isascii():
            raise _UnusableError("address_unusable")
        before: Sequence[str] = ()
        if claimed.threaded:
            sender = self._settings.sender or ""
            rows = await tx.connection.fetch(_SENT_BEFORE, claimed.request_id, claimed.notice_id)
            ours = [message_id(tokens.token(self._secret, row[0]), sender) for row in rows]
            before = [*filter(None, [usual.get("follows")]), *ours]
        token = tokens.token(self._secret, claimed.notice_id)
        return Outgoing(token, to, letter.language, letter.subject, letter.html, claimed.written_at, before)

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

    async def _send(self, server: aiosmtplib.SMTP, claimed: ClaimedNotice, letter: Outgoing) -> bool:
        """Sends a letter and records the result; returns whether to continue with this server."""
        settings, company = self._settings, self._unit_of_work.policy.controller.name
        sender = settings.sender or ""
        try:
            mail = compose(letter, sender, company)
            back = return_path(letter.token, settings.return_address)
            await server.sendmail(back, [letter.to], mail)
        except ValueError:  # of this letter alone: no other waits for it
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
        sha256 = hashlib.sha256(letter.html.encode()).hexdigest()
        await retry_while_unavailable(partial(self._settle, claimed, None, sha256), NAME, self._heartbeats)
        return True

    async def _settle(self, claimed: ClaimedNotice, fault: DeliveryFault | None, sha256: str | None = None) -> None:
        async with self._unit_of_work.begin() as tx:
            await settle(tx, claimed.notice_id, fault, sha256)

    async def _stop(self, claimed: ClaimedNotice, fault: DeliveryFault) -> None:
        log.warning("a letter of request %s waits for a person: %s", claimed.request_id, fault)
        await self._settle(claimed, fault)

    async def _wait(self, claimed: ClaimedNotice, error: Exception) -> None:
        """Handles an unavailable server."""
        if not self._away:
            log.warning("letters wait for the mail server: %s", type(error).__name__)
        self._away = True
        await self._later(claimed)

    async def _put_off(self, claimed: ClaimedNotice) -> None:
        """Handles a temporary refusal (4xx); after the limit, an officer must act."""
        async with self._unit_of_work.begin() as tx:
            since: datetime | None = await tx.connection.fetchval(_PUT_OFF, claimed.notice_id, tx.now)
            for_long = since is not None and tx.now - since >= timedelta(hours=self._settings.put_off_hours)
        await (self._stop(claimed, "put_off") if for_long else self._later(claimed))

    async def _later(self, claimed: ClaimedNotice) -> None:
        """Schedules a retry after a growing pause."""
        settings = self._settings
        pause = min(settings.backoff_max_seconds, settings.backoff_seconds * 2 ** min(claimed.tries - 1, 30))
        async with self._unit_of_work.begin() as tx:
            await tx.connection.execute(_LATER, claimed.notice_id, tx.now + timedelta(seconds=pause))


class _UnusableError(Exception):
    def __init__(self, fault: DeliveryFault) -> None:
        super().__init__(fault)
        self.fault = fault


async def run(running: Running, settings: SmtpSettings, wakeup: Wakeup) -> None:
    """Sends for as long as the service runs; ``wakeup``: a letter was queued. Without a server letters wait."""
    sender = Sender(running.unit_of_work, settings, running.heartbeats) if settings.host else None

    async def look() -> None:
        while sender and await sender.send_due() == _AT_A_TIME:
            pass

    each = settings.poll_seconds
    await run_periodically(look, NAME, each, running.stopping, running.heartbeats, share=0, wakeup=wakeup)


async def forget(running: Running) -> None:
    """Deletes letters that were settled long ago."""

    async def look() -> None:
        await running.unit_of_work.pool.execute(_FORGET, running.unit_of_work.clock.now() - _KEEP)

    await run_periodically(look, "settled letters", _FORGET_SECONDS, running.stopping, running.heartbeats)
