"""The mailbox is read: whatever is new in it, once, and the server's word awaited; the mailbox stays as it is.

IMAPClient blocks, so it has a thread of its own. Each round searches until there is nothing new, whatever made it
begin: what was announced while nobody listened is found all the same. A connection that says nothing for too long
counts as dead.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any, Final, TypeVar

from imapclient import IMAPClient
from imapclient.exceptions import IMAPClientError

from services.intake.letters.rendering import Letters
from services.intake.mail import apart, inbox
from services.intake.mail.incoming import Incoming, MailKind, Ours
from services.intake.mail.settings import ImapSettings, SmtpSettings, listed
from services.intake.metrics import MAIL, MAIL_WAIT, MAIL_WAITING, MAILBOX_READ_AT
from shared.app.service import Running
from shared.messaging.unit_of_work import UnitOfWorkFactory
from shared.runtime.loops import retry_while_unavailable, sleep_until_stopped

log = logging.getLogger(__name__)
T = TypeVar("T")

NAME: Final = "mailbox"
"""Of the loop."""
AWAY: Final = (IMAPClientError, OSError)
_UNREADABLE: Final = (AttributeError, LookupError, TypeError, ValueError)
"""What IMAPClient raises at an answer that it does not expect."""
_TRIES: Final = 3
"""Of fetching one mail; then a person looks for it in the mailbox."""
_HEAD_BYTES: Final = 2**18
_LISTEN_SECONDS = 10.0
"""Less than a loop may stand still for."""
_NO_MAIL = b"Subject: [A mail that the mailbox does not hand out]\r\n\r\n[UID %d of our mailbox: read it there.]\r\n"
_NO_TEXT = b"\r\n\r\n[The mail was longer than is kept. Its beginning is above; read the rest in the mailbox.]\r\n"
_SINCE = "SELECT uid FROM mailbox WHERE name = $1 AND uidvalidity = $2"
_UNTIL = """
INSERT INTO mailbox (name, uidvalidity, uid, read_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (name) DO UPDATE SET uidvalidity = $2, uid = $3, read_at = $4
"""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A mail as it lies in the mailbox, and when that says it came (UTC)."""

    uid: int
    raw: bytes
    arrived_at: datetime


class Connection:
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
        """The mails after that one, or where none is known those since that day, the oldest first."""
        found = self._client.search(["SINCE", since] if after is None else ["UID", f"{after + 1}:*"])
        return sorted(uid for uid in found if after is None or uid > after)

    def fetch(self, uid: int) -> Fetched | None:
        """That mail; of one that is too long its head; None: somebody has removed it meanwhile."""
        known: Any = self._client.fetch([uid], ["RFC822.SIZE", "INTERNALDATE"]).get(uid)
        if known is None:
            return None
        whole = int(known[b"RFC822.SIZE"]) <= self._settings.message_bytes
        part = "[]" if whole else f"[HEADER]<0.{_HEAD_BYTES}>"
        got: Any = self._client.fetch([uid], [f"BODY.PEEK{part}"]).get(uid, {})
        raw = got.get(b"BODY[]" if whole else b"BODY[HEADER]<0>")
        if raw is None:
            return None
        return Fetched(uid, raw if whole else raw.rstrip() + _NO_TEXT, _utc(known[b"INTERNALDATE"]))

    def listen(self) -> None:
        """Tells the server that its word is awaited."""
        self._client.idle()

    def heard(self, seconds: float) -> bool:
        """Whether the server has said that something has changed, within so many seconds."""
        return any(len(each) > 1 and each[1] in {b"EXISTS", b"RECENT"} for each in self._client.idle_check(seconds))

    def listen_no_more(self) -> None:
        """Ends that, and asks whether the server is still there: one that is gone is noticed only here."""
        self._client.idle_done()
        self._client.noop()

    def close(self) -> None:
        """Leaves."""
        self._client.shutdown()


def _utc(at: datetime) -> datetime:
    """IMAPClient gives local time without a zone."""
    return at.astimezone(UTC)


class Reader:
    """Reads one mailbox, for as long as its server answers."""

    def __init__(self, running: Running, settings: ImapSettings, ours: Ours, letters: Letters) -> None:
        self._unit_of_work = running.unit_of_work
        self._heartbeats = running.heartbeats
        self._stopping = running.stopping
        self._settings = settings
        self._ours = ours
        self._letters = letters
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="imap")
        self._away = False
        self._failing, self._failures = 0, 0

    async def run(self) -> None:
        """Connects, reads and listens until told to stop, again and again."""
        while not self._stopping.is_set():
            try:
                connection = await self._in_thread(partial(Connection, self._settings))
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

    async def _attend(self, connection: Connection) -> None:
        while not self._stopping.is_set():
            while await self.read_new(connection) and not self._stopping.is_set():
                continue  # what has come meanwhile was announced to nobody who listens
            await self._in_thread(connection.listen)
            waited = 0.0
            while not self._stopping.is_set() and waited < self._settings.idle_seconds:
                self._heartbeats.beat(NAME)
                step = min(_LISTEN_SECONDS, self._settings.idle_seconds - waited)
                if await self._in_thread(partial(connection.heard, step)):
                    break
                waited += step
            await self._in_thread(connection.listen_no_more)

    async def read_new(self, connection: Connection) -> int:
        """Takes in what is new, one after the other; how many were."""
        name, validity = self._settings.name, connection.uidvalidity
        known = await self._retried(partial(self._unit_of_work.pool.fetchval, _SINCE, name, validity))
        now = self._unit_of_work.clock.now()
        since = (now - timedelta(days=self._settings.first_days)).date()
        uids: list[int] = await self._in_thread(partial(connection.new, known, since))
        for uid in uids:
            if mail := await self._fetched(connection, uid):
                await self._take(mail)
            await self._retried(partial(self._note, validity, uid))
        if self._away:
            log.info("the mailbox is read again")
        self._away = False
        MAILBOX_READ_AT.set(self._unit_of_work.clock.now().timestamp())
        await self._retried(partial(count, self._unit_of_work))
        return len(uids)

    async def _fetched(self, connection: Connection, uid: int) -> Fetched | None:
        """One mail, or what stands for it where the server has failed to hand it out again and again."""
        try:
            mail = await self._in_thread(partial(connection.fetch, uid))
        except AWAY:
            self._failures = self._failures + 1 if uid == self._failing else 1
            self._failing = uid
            if self._failures < _TRIES:
                raise
            log.warning("a mail cannot be fetched, and a person is told to look for it: UID %d", uid)
            mail = Fetched(uid, _NO_MAIL % uid, self._unit_of_work.clock.now())
        self._failures = 0
        return mail

    async def _take(self, mail: Fetched) -> None:
        """Whatever is wrong with one mail, the next is read."""
        reading = asyncio.ensure_future(apart.read(mail.raw, mail.arrived_at, self._ours))
        while not (await asyncio.wait([reading], timeout=_LISTEN_SECONDS))[0]:
            self._heartbeats.beat(NAME)
        await self._retried(partial(self._store, mail.raw, reading.result()))

    async def _store(self, raw: bytes, mail: Incoming) -> None:
        async with self._unit_of_work.begin() as tx:
            await inbox.take(tx, self._letters, raw, mail, self._ours)

    async def _note(self, validity: int, uid: int) -> None:
        now = self._unit_of_work.clock.now()
        await self._unit_of_work.pool.execute(_UNTIL, self._settings.name, validity, uid, now)

    async def _in_thread(self, do: Callable[[], T]) -> T:
        self._heartbeats.beat(NAME)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, do)
        except _UNREADABLE as error:
            raise IMAPClientError(f"the server's answer cannot be read: {type(error).__name__}") from error

    async def _retried(self, do: Any) -> Any:
        return await retry_while_unavailable(do, NAME, self._heartbeats)


def ours(secret: bytes, imap: ImapSettings, smtp: SmtpSettings) -> Ours:
    """What is ours, by the settings."""
    own = listed(imap.addresses) | listed(",".join(filter(None, (smtp.sender, smtp.bounces))))
    return Ours(secret, own, listed(imap.exchangers))


async def run(running: Running, settings: ImapSettings, smtp: SmtpSettings) -> None:
    """Reads for as long as the service runs; where no mailbox is named there is nothing to do."""
    for kind in MailKind:
        MAIL.labels(kind)  # shown as 0 until the first
    if settings.host is None:
        while not running.stopping.is_set():
            await sleep_until_stopped(_LISTEN_SECONDS, NAME, running.stopping, running.heartbeats)
        return
    known = ours(running.unit_of_work.vault.keyring.lookup, settings, smtp)
    await Reader(running, settings, known, Letters()).run()


async def count(unit_of_work: UnitOfWorkFactory) -> None:
    """Counts what waits for a person, and for how long."""
    now = unit_of_work.clock.now()
    found = {row[0]: (row[1], row[2]) for row in await unit_of_work.pool.fetch(inbox.COUNTED)}
    for state in ("proposed", "reply"):
        MAIL_WAITING.labels(state).set(found.get(state, (0, now))[0])
    oldest = min((since for _, since in found.values()), default=now)
    MAIL_WAIT.set(max(0.0, (now - oldest).total_seconds()))
