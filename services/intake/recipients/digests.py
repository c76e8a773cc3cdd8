"""One digest for each recipient and day: whom it concerns, what was done, and which earlier ones they left unanswered.

It is written by the first look of the day that finds something to tell, and sealed under a key of its own. It is
delivered as any letter (``delivery_queue``): by e-mail where the policy names that channel, else printed and posted.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from hashlib import sha256
from typing import Any, Final, Literal
from uuid import UUID

import orjson
from pydantic import BaseModel, Field, JsonValue, TypeAdapter
from uuid_utils.compat import uuid7

from services.intake.access.auth import Caller
from services.intake.core.errors import NotFound, NotReady
from services.intake.core.schemas import Instant, Strict
from services.intake.letters import delivery_queue
from services.intake.recipients import recipients
from services.intake.recipients.recipients import SEALED_AS, overdue_before
from services.intake.request import disclosed
from services.intake.request.letter_kinds import LetterField
from shared.app.service import Running
from shared.domain import reference
from shared.domain.errors import IllegalTransition
from shared.domain.events import NoticeSettled
from shared.domain.identities import IdentityType
from shared.domain.languages import read_languages
from shared.domain.notices import NoticeFacts, NoticeText, Reader, address_in, opened, seal_facts
from shared.domain.policy import Recipient
from shared.domain.sentences import Lines, Sentence, Term, say
from shared.domain.time_limit_policy import TimeLimitPolicy
from shared.messaging.unit_of_work import UnitOfWork, UnitOfWorkFactory
from shared.runtime.loops import run_periodically
from shared.runtime.settings import PolicySettings
from shared.storage.postgres import Connection
from shared.storage.vault import Sealing

NAME: Final = "recipients"
"""Seconds between two rounds."""
KIND: Final = "recipient_notice"
"""The kind of letter."""
_EVERY_SECONDS: Final = 5.0
_MOST: Final = 5_000
"""Requests that one digest tells of; the next day's tells of the rest."""
_EXTENTS = TypeAdapter(dict[str, disclosed.DisclosedExtent | None])
_SILENT = """
SELECT d.digest_id, d.recipient, d.notified_at FROM recipient_digest d
WHERE d.notified_at < $1 AND d.reminded_by IS NULL
  AND EXISTS (SELECT FROM recipient_notice n WHERE n.digest_id = d.digest_id AND n.state = 'notified')
"""
_DUE = f"""
SELECT recipient FROM recipient_notice WHERE settled_at IS NULL AND digest_id IS NULL
UNION SELECT recipient FROM ({_SILENT}) AS silent
EXCEPT SELECT recipient FROM recipient_digest WHERE written_on = $2
"""  # noqa: S608  # constants
_LOCK_NOTICES = """
SELECT request_id, what, extent FROM recipient_notice
WHERE recipient = $1 AND digest_id IS NULL AND settled_at IS NULL
ORDER BY request_id LIMIT $2 FOR UPDATE SKIP LOCKED
"""
_WRITTEN = """
INSERT INTO recipient_digest (digest_id, recipient, written_on, written_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (recipient, written_on) DO NOTHING RETURNING true
"""
_INCLUDE = "UPDATE recipient_notice SET digest_id = $1 WHERE recipient = $2 AND request_id = ANY($3)"
_REMINDS = "UPDATE recipient_digest SET reminded_by = $1 WHERE digest_id = ANY($2)"
_DELIVERED = """
INSERT INTO delivery (letter_id, kind, way, state, written_at, written_on)
VALUES ($1, $2, $3, 'waiting', $4::timestamptz, ($4::timestamptz AT TIME ZONE 'UTC')::date)
"""
_READ = "SELECT digest_id, recipient, written_at, notified_at FROM recipient_digest WHERE digest_id = $1"
_DELIVERED_AT = "UPDATE recipient_digest SET notified_at = $2, sha256 = $3 WHERE digest_id = $1 RETURNING recipient"
_NOTIFIED = """
UPDATE recipient_notice SET state = 'notified', notified_at = $2
WHERE digest_id = $1 AND state = 'underway' RETURNING request_id
"""
_REMINDED = """
SELECT n.request_id FROM recipient_notice n JOIN recipient_digest d USING (digest_id)
WHERE d.reminded_by = $1 AND n.state = 'notified'
"""
_CAME_BACK = """
UPDATE recipient_notice SET state = 'underway', notified_at = NULL WHERE digest_id = $1 AND state = 'notified'
RETURNING request_id
"""
_RETURNED = "UPDATE recipient_digest SET notified_at = NULL WHERE digest_id = $1 RETURNING recipient"
# Who answers a digest answers what it reminds of.
_REPLIED = """
UPDATE recipient_notice SET state = $2, settled_at = $3
WHERE digest_id IN (SELECT digest_id FROM recipient_digest WHERE digest_id = $1 OR reminded_by = $1)
  AND (state = 'notified' OR state = 'acknowledged' AND $2 = 'done') RETURNING request_id, recipient
"""
_REQUESTS = "SELECT request_id FROM recipient_notice WHERE digest_id = $1"
_UNANSWERED = """
SELECT d.digest_id, d.recipient, d.written_at, d.notified_at, r.written_at AS reminded_at, count(*) AS requests
FROM recipient_notice n JOIN recipient_digest d USING (digest_id) JOIN recipient_digest r ON r.digest_id = d.reminded_by
WHERE n.settled_at IS NULL AND n.state = 'notified' AND r.written_at < $1 GROUP BY d.digest_id, r.written_at
ORDER BY r.written_at, d.digest_id LIMIT $2
"""
EXPIRED: Final = """
FROM recipient_digest d WHERE d.written_at < $1
    AND NOT EXISTS (SELECT FROM recipient_notice n WHERE n.digest_id = d.digest_id AND n.state = 'underway')
"""
"""Digests that are past their period; one that has not arrived is not."""
_WHAT: Final[Mapping[disclosed.What, str]] = {
    "corrected": "recipient_notice.corrected",
    "stated": "recipient_notice.stated",
    "erased": "recipient_notice.erased",
    "restricted": "recipient_notice.restricted",
    "lifted": "recipient_notice.lifted",
    "stopped": "recipient_notice.stopped",
}


@dataclass(frozen=True, slots=True)
class Digest:
    """One digest; ``notified_at``: when the mail server had accepted it, or it was posted."""

    digest_id: UUID
    recipient: str
    written_at: datetime
    notified_at: datetime | None


class RecipientReply(Strict):
    """A recipient has said that they have the digest, or that they have done the same."""

    reply: Literal["acknowledged", "done"] = Field(
        title="They say", description="`acknowledged`: they have the digest; `done`: they have done the same"
    )


class UnansweredDigest(BaseModel):
    """A digest whose recipient says nothing: a person asks whether they have it."""

    digest_id: UUID
    recipient: str = Field(description="as the policy names it")
    written_at: Instant
    notified_at: Instant | None
    reminded_at: Instant
    requests: int = Field(description="of how many requests it tells")


async def run(running: Running) -> None:
    """Writes what is due for as long as the service runs."""
    limits, unit_of_work = PolicySettings().read_time_limits(), running.unit_of_work

    async def look() -> None:
        await write_due(unit_of_work, limits)

    await run_periodically(look, NAME, _EVERY_SECONDS, running.stopping, running.heartbeats)


async def unanswered(connection: Connection, silent: datetime, limit: int) -> list[UnansweredDigest]:
    """Digests about which a person must ask the recipient, the longest unanswered first."""
    return [UnansweredDigest(**row) for row in await connection.fetch(_UNANSWERED, silent, limit)]


async def write_due(unit_of_work: UnitOfWorkFactory, limits: TimeLimitPolicy) -> int:
    """Writes a digest to every recipient who has something to learn and had none today; returns how many."""
    policy, now = unit_of_work.policy, unit_of_work.clock.now()
    silent, today, written = overdue_before(policy, limits, now), policy.today(now), 0
    for (name,) in await unit_of_work.pool.fetch(_DUE, silent, today):
        async with unit_of_work.begin() as tx:
            written += await _write(tx, name, silent, today)
    return written


async def _write(tx: UnitOfWork, name: str, before: datetime, today: date) -> bool:
    """One digest, in one transaction; False: another process has written it, or holds what it would tell of."""
    digest_id, recipient = uuid7(), tx.policy.recipients.get(name)
    if not await tx.connection.fetchval(_WRITTEN, digest_id, name, today, tx.now):
        return False
    rows = await tx.connection.fetch(_LOCK_NOTICES, name, _MOST)
    silent = await tx.connection.fetch(f"{_SILENT} AND d.recipient = $2", before, name)
    if not rows and not silent:
        await tx.connection.execute("DELETE FROM recipient_digest WHERE digest_id = $1", digest_id)
        return False
    included = [row["request_id"] for row in rows]
    known = await tx.vault.open_latest(tx.connection, included, SEALED_AS)
    to = recipients.digest_address(recipient) if recipient else name
    country = recipient.country if recipient else None
    reader = Reader(read_languages().customers, tx.policy.controller.zone, country, outside=True)
    reminded = Lines(tuple(say("recipient_notice.silent", notified_on=row["notified_at"]) for row in silent))
    people = [_person(dict(row), known.get(row["request_id"]), recipient) for row in rows]
    people.sort(key=lambda each: str(each["what"]))
    facts = NoticeFacts(KIND, reader, {"to": to, "reminded": reminded}, tx.now, to, people)
    sealing = Sealing(digest_id, "letter", KIND, seal_facts(facts), digest_id)
    record, sealed = tx.vault.new_record(digest_id, b"{}", [sealing], tx.now)
    await tx.vault.insert_subjects(tx.connection, [record])
    await tx.vault.insert_sealed(tx.connection, sealed)
    await tx.connection.execute(_INCLUDE, digest_id, name, included)
    await tx.connection.execute(_REMINDS, digest_id, [row["digest_id"] for row in silent])
    way = "email" if recipient and recipient.channel and address_in(to) else "post"
    await tx.connection.execute(_DELIVERED, digest_id, KIND, way, tx.now)
    delivery_queue.request_digest(tx, digest_id, by_mail=way == "email")
    return True


def _person(row: Mapping[str, Any], sealed: bytes | None, recipient: Recipient | None) -> Mapping[str, LetterField]:
    """Builds the part of a digest about one request; pure."""
    facts = orjson.loads(sealed or b"{}")
    named = [*_identities(facts.get("identities", ()), recipient.identified_by if recipient else ())]
    unknown = say("recipient_notice.not_known" if facts.get("identities") else "recipient_notice.of_before")
    extent = _EXTENTS.validate_python(row["extent"])
    return {
        "what": say(_WHAT[row["what"]]),
        "reference": reference.of(row["request_id"]),
        "extent": Lines(tuple(_extent_text(category, each) for category, each in sorted(extent.items()))),
        "person": Lines(tuple(named or [unknown])),
        "changes": Lines(tuple(_line(field, asserted) for field, asserted in facts.get("changes", ()))),
    }


def _identities(known: Iterable[tuple[str, str, bool]], types: Collection[IdentityType]) -> Iterator[Sentence]:
    """Returns identities for the recipient's search: the proved ones and the name, or else all stated ones."""
    theirs = [each for each in known if each[0] in types]
    proved = [each for each in theirs if each[2]]
    named = [each for each in theirs if each[0] == IdentityType.NAME]
    for kind, value in dict.fromkeys((each[0], each[1]) for each in ([*proved, *named] if proved else theirs)):
        yield _line(Term("known_by", kind), value)


def _extent_text(name: str, extent: disclosed.DisclosedExtent | None) -> Sentence:
    """Says what was done with a category: to all of it, to a part, or to what is kept."""
    category = Term("category", name)
    if extent is None:
        return say("recipient_notice.some_of_it", category=category)
    if not extent.kept:
        return say("recipient_notice.all_of_it", category=category)
    rest = "reduced" if extent.reduced else "held" if extent.held else "kept"
    part = f"recipient_notice.part_{rest}" if extent.gone else f"recipient_notice.all_{rest}"
    until = (say("recipient_notice.until", until=extent.last),) if extent.last else ()
    return say("recipient_notice.with_day", said=(say(part, category=category), *until))


def _line(what: str | Term, value: str) -> Sentence:
    return say("recipient_notice.line", what=what, value=value)


async def record_delivered(tx: UnitOfWork, digest_id: UUID, by_mail: NoticeSettled | None, actor: str | None) -> None:
    """Records that a digest was mailed or posted, and logs it with each request."""
    at = by_mail.occurred_at if by_mail else tx.now
    digest = by_mail.sha256 if by_mail else sha256((await _text(tx, digest_id)).html.encode()).hexdigest()
    recipient = await tx.connection.fetchval(_DELIVERED_AT, digest_id, at, digest)
    known: dict[str, JsonValue] = {"recipient": recipient, "digest_id": str(digest_id), "sha256": digest}
    notified = await tx.connection.fetch(_NOTIFIED, digest_id, at)
    reminded = await tx.connection.fetch(_REMINDED, digest_id)
    for rows, what in ((notified, "recipient.notice_sent"), (reminded, "recipient.reminded")):
        for (request_id,) in rows:
            tx.log_evidence(request_id, what, known, actor)


async def record_undelivered(tx: UnitOfWork, digest_id: UUID) -> None:
    """Records that a digest was not delivered, or came back; an officer sends it again."""
    recipient = await tx.connection.fetchval(_RETURNED, digest_id)
    for (request_id,) in await tx.connection.fetch(_CAME_BACK, digest_id):
        known: dict[str, JsonValue] = {"recipient": recipient, "digest_id": str(digest_id)}
        tx.log_evidence(request_id, "recipient.notice_returned", known)


async def find(connection: Connection, digest_id: UUID) -> Digest:
    """The digest of that id; raises ``NotFound``."""
    row = await connection.fetchrow(_READ, digest_id)
    if row is None:
        raise NotFound("no digest of that id; see those that wait: GET /v1/recipient-digests")
    return Digest(*row)


async def read(tx: UnitOfWork, digest_id: UUID, caller: Caller) -> str:
    """The digest as a page; that it was read is on record; raises as ``find``.

    Raises ``NotReady``.
    """
    await find(tx.connection, digest_id)
    await log_read(tx, digest_id, caller)
    return (await _text(tx, digest_id)).html


async def log_read(tx: UnitOfWork, digest_id: UUID, caller: Caller) -> None:
    """Logs the reader of a digest with each of its requests."""
    for (request_id,) in await tx.connection.fetch(_REQUESTS, digest_id):
        detail: dict[str, JsonValue] = {"digest_id": str(digest_id), "holder": caller.holder}
        tx.log_evidence(request_id, "recipient.digest_read", detail, caller.actor)


async def _text(tx: UnitOfWork, digest_id: UUID) -> NoticeText:
    content = await tx.vault.open_one(tx.connection, digest_id)
    text = opened(content) if content else None
    if not isinstance(text, NoticeText):
        raise NotReady("the digest is being written: try again in a moment")
    return text


async def record_reply(tx: UnitOfWork, digest: Digest, reply: str, caller: Caller) -> None:
    """Records that the recipient has it, or has done the same: no reminder follows; raises ``IllegalTransition``."""
    rows: Sequence[Any] = await tx.connection.fetch(_REPLIED, digest.digest_id, reply, tx.now)
    if not rows:
        raise IllegalTransition(
            f"{digest.recipient} owes no reply to this digest: they were not notified yet, or have replied"
        )
    for request_id, recipient in rows:
        tx.log_evidence(request_id, f"recipient.{reply}", {"recipient": recipient}, caller.actor)


async def delete_expired(tx: UnitOfWork, began: datetime) -> int:
    """Deletes digests that are older than the retention period of letters."""
    gone = [row[0] for row in await tx.connection.fetch(f"DELETE {EXPIRED} RETURNING digest_id", began)]
    await tx.connection.execute("DELETE FROM vault.subject WHERE subject_ref = ANY($1)", gone)
    await tx.connection.execute("DELETE FROM delivery WHERE letter_id = ANY($1)", gone)
    return len(gone)
