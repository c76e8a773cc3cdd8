"""Reads each new mail of the mailbox once, then waits for the server's word; the mailbox stays unchanged.

IMAPClient blocks, so it has a thread of its own. Each round searches until there is nothing new, so that mail which
was announced meanwhile is found too. A connection that is silent for too long counts as dead.

One process reads the mailbox at a time. It notes each try before it reads a mail: after two tries that ended the
process, an officer gets the head of the mail alone.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any, Final, TypeVar
from uuid import UUID

from imapclient import IMAPClient
from imapclient.exceptions import IMAPClientError
from prometheus_client import Gauge
from uuid_utils.compat import uuid7

from services.correspondence.mail import parser_process
from services.correspondence.settings import ImapSettings, SmtpSettings, listed
from shared.app.service import Running
from shared.domain.events import MailReceived
from shared.domain.mail_content import CONTENT, KIND, READ, Incoming, MailKind, OurMail, unreadable
from shared.domain.rights import Right
from shared.messaging.unit_of_work import UnitOfWork
from shared.runtime.loops import retry_while_unavailable, sleep_until_stopped
from shared.storage.vault import Sealing

log = logging.getLogger(__name__)
T = TypeVar("T")

MAILBOX_READ_AT = Gauge("dsr_mailbox_read_timestamp_seconds", "When the mailbox was last read to its end")
NAME: Final = "mailbox"
"""The name of the loop."""
AWAY: Final = (IMAPClientError, OSError)
_UNREADABLE: Final = (AttributeError, LookupError, TypeError, ValueError)
"""Errors of IMAPClient at an unexpected answer."""
_TRIES: Final = 2
"""Attempts to read one mail; then an officer gets its head, and reads it in the mailbox."""
_FOR_ONE: Final = timedelta(minutes=3)
"""Duration of the lease: longer than reading one mail may take."""
_HEAD_BYTES: Final = 2**18
_LISTEN_SECONDS = 10.0
"""Shorter than the limit for a stalled loop."""
_NO_MAIL = b"Subject: [A mail that the mailbox does not hand out]\r\n\r\n[UID %d of our mailbox: read it there.]\r\n"
_NO_TEXT = b"\r\n\r\n[Only the head is kept of a mail that is too long or cannot be read. Read it in the mailbox.]\r\n"
_DROPPED: Final = frozenset({MailKind.DELAYED, MailKind.OURS})
"""Kinds of mail that are not stored."""
_SINCE = "SELECT uid FROM mailbox WHERE name = $1 AND uidvalidity = $2"
# One row for each mailbox: a mail is claimed if no other is being read, and if it is still unread.
_CLAIM = """
INSERT INTO mailbox AS m (name, uidvalidity, trying, tries, until) VALUES ($1, $2, $3, 1, $5)
ON CONFLICT (name) DO UPDATE SET uidvalidity = $2, trying = $3, until = $5,
    uid = CASE WHEN m.uidvalidity = $2 THEN m.uid END,
    tries = CASE WHEN m.uidvalidity = $2 AND m.trying = $3 THEN m.tries + 1 ELSE 1 END
WHERE m.until <= $4 AND (m.uidvalidity <> $2 OR coalesce(m.uid, 0) < $3) RETURNING tries
"""
_RELEASE = "UPDATE mailbox SET until = $3 WHERE name = $1 AND trying = $2"
_UNTIL = "UPDATE mailbox SET uid = $3, until = $4 WHERE name = $1 AND uidvalidity = $2 AND trying = $3"


@dataclass(frozen=True, slots=True)
class Fetched:
    """A raw mail and the mailbox's time of receipt (UTC)."""

    raw: bytes
    arrived_at: datetime


class ImapConnection:
    """A connection to the mailbox; every method blocks, and raises one of ``AWAY``."""

    def __init__(self, settings: ImapSettings) -> None:
        self._settings = settings
        implicit, context = settings.tls == "implicit", settings.tls_context()
        timeout = settings.timeout_seconds
        self._client = IMAPClient(
            settings.host, settings.port, ssl=implicit, ssl_context=context if implicit else None, timeout=timeout
        )
        if settings.tls == "starttls":
            self._client.starttls(context)
        password = settings.password.get_secret_value() if settings.password else ""
        self._client.login(settings.username, password)
        selected = self._client.select_folder(settings.folder, readonly=True)
        self.uidvalidity = int(selected[b"UIDVALIDITY"])

    def new(self, after: int | None, since: date) -> list[int]:
        """Returns the mails after a known one, else those since a day, the oldest first."""
        found = self._client.search(["SINCE", since] if after is None else ["UID", f"{after + 1}:*"])
        return sorted(uid for uid in found if after is None or uid > after)

    def fetch(self, uid: int, longest: int) -> Fetched | None:
        """Returns a mail, or the head of a longer one; None if it was removed."""
        known: Any = self._client.fetch([uid], ["RFC822.SIZE", "INTERNALDATE"]).get(uid)
        if known is None:
            return None
        whole = int(known[b"RFC822.SIZE"]) <= longest
        part = "[]" if whole else f"[HEADER]<0.{_HEAD_BYTES}>"
        got: Any = self._client.fetch([uid], [f"BODY.PEEK{part}"]).get(uid, {})
        raw = got.get(b"BODY[]" if whole else b"BODY[HEADER]<0>")
        if raw is None:
            return None
        return Fetched(raw if whole else raw.rstrip() + _NO_TEXT, _utc(known[b"INTERNALDATE"]))

    def listen(self) -> None:
        """Starts IDLE."""
        self._client.idle()

    def has_changed(self, seconds: float) -> bool:
        """Returns whether the server announced a change within so many seconds."""
        return any(len(each) > 1 and each[1] in {b"EXISTS", b"RECENT"} for each in self._client.idle_check(seconds))

    def listen_no_more(self) -> None:
        """Ends IDLE, and checks that the server still answers."""
        self._client.idle_done()
        self._client.noop()

    def close(self) -> None:
        """Closes the connection."""
        self._client.shutdown()


def _utc(at: datetime) -> datetime:
    """Converts the naive local time of IMAPClient to UTC."""
    return at.astimezone(UTC)


async def store(tx: UnitOfWork, raw: bytes, mail: Incoming) -> UUID:
    """Seals a mail with what was read of it, under a key of its own, and publishes that it is there; returns its id."""
    mail_id = uuid7()
    if mail.kind not in _DROPPED:
        content = CONTENT.dump_json(mail.content)
        pieces = [Sealing(mail_id, KIND, str(mail_id), raw), Sealing(mail_id, READ, str(mail_id), content)]
        record, sealed = tx.vault.new_record(mail_id, b"{}", pieces, tx.now)
        await tx.vault.insert_subjects(tx.connection, [record])
        await tx.vault.insert_sealed(tx.connection, sealed)
    tx.publish(
        MailReceived(
            request_id=mail_id,
            right=Right.ACCESS,
            occurred_at=tx.now,
            kind=mail.kind,
            digest=mail.digest.hex(),
            received_at=mail.received_at,
            by_our_exchanger=mail.by_our_exchanger,
            letters=tuple(mail.letters),
        )
    )
    return mail_id


class MailboxReader:
    """Reads one mailbox, for as long as its server answers."""

    def __init__(self, running: Running, settings: ImapSettings, ours: OurMail) -> None:
        self._unit_of_work = running.unit_of_work
        self._heartbeats = running.heartbeats
        self._stopping = running.stopping
        self._settings = settings
        self._ours = ours
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="imap")
        self._away = False

    async def run(self) -> None:
        """Connects, reads and listens until ``stopping`` is set."""
        while not self._stopping.is_set():
            try:
                connection = await self._in_thread(partial(ImapConnection, self._settings))
                try:
                    await self._attend(connection)
                finally:
                    await self._in_thread(connection.close)
            except AWAY as error:
                if not self._away:
                    log.warning("the mailbox cannot be read: %s", type(error).__name__)
                self._away = True
                await sleep_until_stopped(self._settings.backoff_seconds, NAME, self._stopping, self._heartbeats)
        self._thread.shutdown(wait=False)

    async def _attend(self, connection: ImapConnection) -> None:
        while not self._stopping.is_set():
            while await self.read_new(connection) and not self._stopping.is_set():
                continue  # what arrived meanwhile was not announced to us
            await self._in_thread(connection.listen)
            waited = 0.0
            while not self._stopping.is_set() and waited < self._settings.idle_seconds:
                self._heartbeats.beat(NAME)
                step = min(_LISTEN_SECONDS, self._settings.idle_seconds - waited)
                if await self._in_thread(partial(connection.has_changed, step)):
                    break
                waited += step
            await self._in_thread(connection.listen_no_more)

    async def read_new(self, connection: ImapConnection) -> int:
        """Takes in what is new, one after the other; how many were, and 0 where another process reads it."""
        name, validity = self._settings.name, connection.uidvalidity
        known = await self._retried(partial(self._unit_of_work.pool.fetchval, _SINCE, name, validity))
        now = self._unit_of_work.clock.now()
        since = (now - timedelta(days=self._settings.first_days)).date()
        uids: list[int] = await self._in_thread(partial(connection.new, known, since))
        for uid in uids:
            if not await self._take(connection, uid):
                return 0
        if self._away:
            log.info("the mailbox is read again")
        self._away = False
        MAILBOX_READ_AT.set(self._unit_of_work.clock.now().timestamp())
        return len(uids)

    async def _take(self, connection: ImapConnection, uid: int) -> bool:
        """Reads one mail and continues after an error; returns False if another process holds the mailbox."""
        now, validity = self._unit_of_work.clock.now(), connection.uidvalidity
        claim = (self._settings.name, validity, uid, now, now + _FOR_ONE)
        tries = await self._retried(partial(self._unit_of_work.pool.fetchval, _CLAIM, *claim))
        if tries is None:
            return False
        try:
            mail, read = await self._read(connection, uid, tries)
        except AWAY:
            release = (self._settings.name, uid, now)
            await self._retried(partial(self._unit_of_work.pool.execute, _RELEASE, *release))
            raise
        await self._retried(partial(self._store, validity, uid, mail, read))
        return True

    async def _read(self, connection: ImapConnection, uid: int, tries: int) -> tuple[bytes, Incoming | None]:
        """Returns the original and its proposal; None if it was removed."""
        if tries > _TRIES:
            log.warning("mail unreadable, needs a person: UID %d, tries %d", uid, tries - 1)
            head = await self._head(connection, uid)
            return (head.raw, unreadable(head.raw, head.arrived_at, self._ours)) if head else (b"", None)
        mail = await self._in_thread(partial(connection.fetch, uid, self._settings.message_bytes))
        if mail is None:
            return b"", None
        reading = asyncio.ensure_future(parser_process.read(mail.raw, mail.arrived_at, self._ours))
        while not (await asyncio.wait([reading], timeout=_LISTEN_SECONDS))[0]:
            self._heartbeats.beat(NAME)
        return mail.raw, reading.result()

    async def _head(self, connection: ImapConnection, uid: int) -> Fetched | None:
        """Returns the head of a mail, or a placeholder if the server does not return it."""
        try:
            return await self._in_thread(partial(connection.fetch, uid, 0))
        except AWAY:
            return Fetched(_NO_MAIL % uid, self._unit_of_work.clock.now())

    async def _store(self, validity: int, uid: int, raw: bytes, mail: Incoming | None) -> None:
        async with self._unit_of_work.begin() as tx:
            if mail:
                await store(tx, raw, mail)
            await tx.connection.execute(_UNTIL, self._settings.name, validity, uid, tx.now)

    async def _in_thread(self, do: Callable[[], T]) -> T:
        self._heartbeats.beat(NAME)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, do)
        except _UNREADABLE as error:
            raise IMAPClientError(f"the server's answer cannot be read: {type(error).__name__}") from error

    async def _retried(self, do: Any) -> Any:
        return await retry_while_unavailable(do, NAME, self._heartbeats)


def configured_addresses(secret: bytes, imap: ImapSettings, smtp: SmtpSettings) -> OurMail:
    """Returns our own addresses and exchangers, by the settings."""
    own = listed(imap.addresses) | listed(",".join(filter(None, (smtp.sender, smtp.bounces))))
    return OurMail(secret, own, listed(imap.exchangers))


async def run(running: Running, settings: ImapSettings, smtp: SmtpSettings) -> None:
    """Reads for as long as the service runs; where no mailbox is named there is nothing to do."""
    if settings.host is None:
        while not running.stopping.is_set():
            await sleep_until_stopped(_LISTEN_SECONDS, NAME, running.stopping, running.heartbeats)
        return
    known = configured_addresses(running.unit_of_work.vault.keyring.lookup, settings, smtp)
    await MailboxReader(running, settings, known).run()
