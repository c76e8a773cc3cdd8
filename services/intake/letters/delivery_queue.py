"""Queues letters that are mailed, printed or delivered by hand, in one table.

A requester who wrote by e-mail gets letters at the address that they gave. Once an identity is proved, letters go to
a proved address, since they may say what was found. A requester who wrote by post gets paper at the address of record.
"""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from services.intake.letters import portal_notifications, sealed_letters
from services.intake.letters.letter_facts import LetterFacts
from services.intake.request.delivery_effects import OnDelivery
from services.intake.request.letter_kinds import ANSWERS, TO_ORGANISATIONS, LetterKind
from services.intake.request.stored_request import StoredRequest
from shared.domain.events import NoticeRequested
from shared.domain.identities import Identity, IdentityType
from shared.domain.notices import NoticeFacts, address_in, address_of, addressed, opened
from shared.domain.rights import NOTHING, Right
from shared.messaging.unit_of_work import UnitOfWork, UnitOfWorkFactory
from shared.storage.postgres import Connection
from shared.storage.subject_data import SubjectData
from shared.storage.vault import Sealing

TO_THIRD_PARTIES: Final[frozenset[str]] = TO_ORGANISATIONS | {"old_contact"}
"""Letters to others than the requester."""
OWN_ADDRESS: Final[frozenset[str]] = TO_THIRD_PARTIES | {"proof_link", "portal_news"}
"""Letters with an address of their own; without an e-mail address they are delivered by hand."""
POSTAL_ADDRESS: Final = "postal_address"
"""The kind of a sealed address of record."""
_POLL_PAUSES: Final = (0.03, 0.05, 0.1, 0.2, 0.4, 0.8)
"""Seconds between looks for a text; who reads waits for all of them only where correspondence is away or busy."""
_INSERT = """
INSERT INTO delivery (letter_id, request_id, kind, way, state, fault, awaited, address,
                      written_at, written_on)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::timestamptz, ($9::timestamptz AT TIME ZONE 'UTC')::date)
ON CONFLICT (address, written_on) WHERE kind = 'acknowledgement' AND way = 'email' AND state <> 'cancelled'
DO NOTHING RETURNING true
"""
_COLUMNS = (*("letter_id", "request_id", "kind", "way", "state", "fault", "awaited", "written_at", "written_on"),)
_READ = """
SELECT letter_id, request_id, kind, way, state, fault, coalesce(awaited, '[]'), written_at FROM delivery
"""
_OPEN = f"""
{_READ} WHERE state IN ('waiting', 'needs_attention') AND letter_id > $1
   AND ($3::text IS NULL OR state = $3) AND ($4::text IS NULL OR way = $4) ORDER BY letter_id LIMIT $2
"""
# Letters to requesters: no other letter goes to that address.
_PRINT_ADDRESSED = """
UPDATE delivery SET state = 'waiting', fault = NULL
WHERE request_id = $1 AND way = 'post' AND fault = 'address_unknown' AND kind <> ALL($2)
"""
# Once the subject's key is gone nothing else tells where they are reached: their answer lies with the letters.
_LAST_ANSWER = """
SELECT letter_id FROM delivery WHERE request_id = $1 AND way = 'email' AND state = 'sent' AND kind = ANY($2)
ORDER BY letter_id DESC LIMIT 1
"""
# Not while it may be under way: it would be delivered twice.
_RESEND = """
UPDATE delivery SET way = $2, state = 'waiting', fault = NULL, sent_at = NULL
WHERE letter_id = $1 AND state = 'needs_attention' RETURNING true
"""


@dataclass(frozen=True, slots=True)
class NewLetter:
    """A new letter to seal, and to send unless it is fetched; ``on_delivery``: effects of its delivery."""

    request: StoredRequest
    sealing: Sealing
    on_delivery: Sequence[OnDelivery] = ()


@dataclass(frozen=True, slots=True)
class Delivery:
    """The delivery of a letter; ``request_id``: None for a digest to a recipient."""

    letter_id: UUID
    request_id: UUID | None
    kind: LetterKind
    way: str
    state: str
    fault: str | None
    awaited: Sequence[OnDelivery]
    written_at: datetime


async def store_letters(
    tx: UnitOfWork, letters: LetterFacts, written: Sequence[NewLetter], more: Sequence[Sealing] = ()
) -> None:
    """Seals letters in one batch, queues those that are sent, and requests their rendering.

    A requester in the portal gets a mail that announces the letter. ``more``: further pieces to seal.

    Raises ``Shredded``.
    """
    everything = [*written, *await _portal_notifications(tx, letters, written)]
    sealings, delivered = await _address_letters(tx, everything)
    await tx.vault.seal(tx.connection, [*sealings, *more], tx.now)
    for each in everything:
        if (letter_id := each.sealing.sealed_id) in delivered:
            _request_rendering(tx, each.request, letter_id, each.sealing.source, by_mail=delivered[letter_id])


async def queue_acknowledgements(
    tx: UnitOfWork, new_requests: Sequence[tuple[StoredRequest, sealed_letters.NewCorrespondence]]
) -> None:
    """Queues the acknowledgements of new requests, which are sealed already.

    An address gets one a day, to limit what forged mails can cause.
    """
    for request, new in new_requests:
        if new.acknowledgement is None:
            continue
        letter, by_mail = NewLetter(request, new.acknowledgement), False
        if request.channel == "post":
            await _insert(tx, letter, *await _postal_state(tx, request))
        elif request.channel == "email":
            [stated, *_] = (each for each in new.identities if each.type is IdentityType.EMAIL)
            mark = tx.vault.keyring.fingerprint(stated)
            by_mail = await _insert(tx, letter, "email", "waiting", None, mark)
            if not by_mail:
                await _insert(tx, letter, "email", "cancelled", "acknowledged_today", mark)
        if by_mail or request.channel == "post":
            _request_rendering(tx, request, new.acknowledgement.sealed_id, "acknowledgement", by_mail=by_mail)


async def request_texts(tx: UnitOfWork, request: StoredRequest) -> bool:
    """Requests rendering of letters that are only fetched, at their first reading; returns whether any lacks a text.

    Raises ``Shredded``.
    """
    coming = await _unrendered(tx, request.request_id)
    for letter_id, kind in coming:
        _request_rendering(tx, request, letter_id, kind, by_mail=False)
    return bool(coming)


async def wait_for_texts(unit_of_work: UnitOfWorkFactory, request_id: UUID) -> None:
    """Waits up to 1.6 seconds until every letter of a request is rendered."""
    for pause in _POLL_PAUSES:
        await asyncio.sleep(pause)
        async with unit_of_work.begin() as tx:
            if not await _unrendered(tx, request_id):
                return


async def _unrendered(tx: UnitOfWork, request_id: UUID) -> list[tuple[UUID, str]]:
    letters = await tx.vault.open_kind(tx.connection, request_id, "letter")
    return [(each, kind) for each, kind, content in letters if isinstance(opened(content), NoticeFacts)]


async def read_delivery(connection: Connection, letter_id: UUID, *, lock: bool = False) -> Delivery | None:
    """Returns the delivery of a letter, if it has one; to lock it, lock its request before."""
    rows = await connection.fetch(f"{_READ} WHERE letter_id = $1{' FOR UPDATE' if lock else ''}", letter_id)
    return Delivery(*rows[0]) if rows else None


async def open_deliveries(
    connection: Connection, after: UUID | None, limit: int, state: str | None = None, way: str | None = None
) -> list[Delivery]:
    """Returns open deliveries, the oldest first, from the one after ``after`` on; of one state or way if given."""
    return [Delivery(*row) for row in await connection.fetch(_OPEN, after or UUID(int=0), limit, state, way)]


async def drop_effects(connection: Connection, request_id: UUID) -> None:
    """Removes the effects of a request's letters; a later delivery changes nothing."""
    await connection.execute("UPDATE delivery SET awaited = NULL WHERE request_id = $1", request_id)


async def print_addressed(connection: Connection, request_id: UUID) -> None:
    """Queues letters for print that lacked the address of record."""
    await connection.execute(_PRINT_ADDRESSED, request_id, sorted(OWN_ADDRESS))


async def resend(tx: UnitOfWork, request: StoredRequest | None, letter: Delivery, way: str) -> bool:
    """Queues a letter that needs attention again, by e-mail or post; returns whether it did."""
    done = bool(await tx.connection.fetchval(_RESEND, letter.letter_id, way))
    if done and way == "email":
        if request:
            _request_rendering(tx, request, letter.letter_id, letter.kind, by_mail=True)
        else:
            request_digest(tx, letter.letter_id, by_mail=True)
    return done


def request_digest(tx: UnitOfWork, digest_id: UUID, *, by_mail: bool) -> None:
    """Requests rendering of a recipient digest, and its sending by e-mail."""
    about = {"request_id": digest_id, "right": Right.ERASURE, "occurred_at": tx.now}
    asked = {"notice_id": digest_id, "kind": "recipient_notice", "by_mail": by_mail, "threaded": False}
    tx.publish(NoticeRequested.model_validate(about | asked))


def _request_rendering(tx: UnitOfWork, request: StoredRequest, letter_id: UUID, kind: str, *, by_mail: bool) -> None:
    """Publishes ``NoticeRequested``: correspondence renders the letter, and mails it if ``by_mail``."""
    threaded = kind not in TO_THIRD_PARTIES
    tx.publish(NoticeRequested.about(request, notice_id=letter_id, kind=kind, by_mail=by_mail, threaded=threaded))


async def readdress(tx: UnitOfWork, request: StoredRequest | None, letter: Delivery) -> str | None:
    """Addresses a letter to the e-mail address that is proved by now; returns the fault if there is none.

    A letter with an address of its own is sent there again.
    """
    letter_id = letter.letter_id
    content = await tx.vault.open_one(tx.connection, letter_id, lock=True)
    if letter.kind in OWN_ADDRESS:
        return None if address_in(address_of(content or b"{}") or "") else "address_unknown"
    if request is None:
        return "address_unknown"
    known = (await tx.vault.subject_data(tx.connection, [request.subject_ref])).get(request.subject_ref)
    address, fault = await _email_address(tx, request, known)
    if address and content:
        sealing = Sealing(request.request_id, "letter", "", addressed(content, address), letter_id)
        await tx.vault.replace(tx.connection, sealing)
    return fault


async def _portal_notifications(tx: UnitOfWork, letters: LetterFacts, written: Sequence[NewLetter]) -> list[NewLetter]:
    """Returns the mails that announce letters in the portal, with the decisions of those letters."""
    there, news = [each for each in written if each.sealing.source not in OWN_ADDRESS], []
    for request, letter in await portal_notifications.notifications(tx, [each.request for each in there]):
        sealing = sealed_letters.compose(letters, request, letter, tx.now)
        theirs = (each for each in there if each.request.request_id == request.request_id)
        on_delivery = [decision for each in theirs for decision in each.on_delivery]
        tx.log_evidence(request.request_id, "letter.written", sealed_letters.letter_evidence(sealing))
        news.append(NewLetter(request, sealing, on_delivery))
    return news


async def _address_letters(tx: UnitOfWork, written: Sequence[NewLetter]) -> tuple[list[Sealing], dict[UUID, bool]]:
    """Adds addresses to letters and queues them; returns them, and by id whether each is mailed now."""
    mailed = [each.request for each in written if each.request.channel == "email"]
    known = await tx.vault.subject_data(tx.connection, [each.subject_ref for each in mailed]) if mailed else {}
    sealings, delivered, rows = list[Sealing](), dict[UUID, bool](), list[tuple[object, ...]]()

    def note(letter: NewLetter, way: str, state: str, fault: str | None = None) -> None:
        known = (letter.sealing.sealed_id, letter.sealing.subject_ref, letter.sealing.source)
        delivered[letter.sealing.sealed_id] = (way, state) == ("email", "waiting")
        rows.append((*known, way, state, fault, [*letter.on_delivery] or None, tx.now, tx.now.astimezone(UTC).date()))

    for each in written:
        sealing = each.sealing
        if sealing.source in OWN_ADDRESS:
            if address_in(address_of(sealing.content) or ""):
                note(each, "email", "waiting")
            else:
                note(each, "post", "needs_attention", "address_unknown")
        elif each.request.channel == "post":
            note(each, *await _postal_state(tx, each.request))
        elif each.request.channel == "email":
            to, fault = await _email_address(tx, each.request, known.get(each.request.subject_ref))
            sealing = replace(sealing, content=addressed(sealing.content, to)) if to else sealing
            note(each, "email", "needs_attention" if fault else "waiting", fault)
        sealings.append(sealing)
    if rows:
        await tx.connection.copy_records_to_table("delivery", records=rows, columns=_COLUMNS)
    return sealings, delivered


async def _email_address(
    tx: UnitOfWork, request: StoredRequest, known: SubjectData | None
) -> tuple[str | None, str | None]:
    """Returns the e-mail address of a requester, or the fault; after an erasure, that of the last answer."""
    if known:
        return _best_address(known.identities)
    last = await tx.connection.fetchval(_LAST_ANSWER, request.request_id, sorted(ANSWERS))
    content = await tx.vault.open_one(tx.connection, last) if last else None
    to = address_of(content or b"{}")
    return (to, None) if to else (None, "address_unknown")


def _best_address(known: Sequence[Identity]) -> tuple[str | None, str | None]:
    """Returns the address of a letter, or the fault that needs manual delivery; pure.

    Before any proof a letter reveals nothing, and goes to the stated address.
    """
    addresses = [each for each in known if each.type is IdentityType.EMAIL and each.source == "requester"]
    proved = [each for each in addresses if each.level > NOTHING]
    if any(each.level > NOTHING for each in known) and not proved:
        return None, "address_not_proved"
    return (proved or addresses)[0].value if addresses else None, None if addresses else "address_unknown"


async def _postal_state(tx: UnitOfWork, request: StoredRequest) -> tuple[str, str, str | None]:
    known = await tx.vault.list_pieces(tx.connection, request.request_id, POSTAL_ADDRESS)
    return ("post", "waiting", None) if known else ("post", "needs_attention", "address_unknown")


async def _insert(  # the columns
    tx: UnitOfWork, letter: NewLetter, way: str, state: str, fault: str | None = None, address: bytes | None = None
) -> bool:
    sealing, on_delivery = letter.sealing, [*letter.on_delivery] or None
    given = (sealing.sealed_id, sealing.subject_ref, sealing.source, way, state, fault, on_delivery, address, tx.now)
    return bool(await tx.connection.fetchval(_INSERT, *given))


_NOT_DELIVERED: Final = frozenset({"waiting", "needs_attention"})
_PENDING_EFFECTS: Final = {
    "answer": "The answer does not count as given, and the time limit runs on",
    "question": "The question does not count as asked, and no time limit stops for it",
    "lift": "The restriction stays, since they must be informed before it is lifted (Art. 18(3))",
}


def pending_effects(state: str, on_delivery: Sequence[OnDelivery]) -> Iterator[str]:
    """Yields the consequences, while a letter is not delivered."""
    if state not in _NOT_DELIVERED:
        return
    known = [each for each in on_delivery if "there" not in each]
    for each in known:
        if each["what"] == "extension":
            yield (
                f"The extension to {each['due_on']} does not hold, and it is due on {each['due_before']}, unless the"
                f" letter is delivered in time (Art. 12(3))."
            )
        elif effect := _PENDING_EFFECTS.get(str(each["what"])):
            yield f"{effect}, until the letter is delivered."


def describe_state(kind: str, state: str, fault: str | None) -> str:
    """Returns the state of a delivery in one sentence."""
    letter = f"The letter \u201c{kind.replace('_', ' ')}\u201d"
    if state == "waiting":
        return f"{letter} is still to be delivered."
    return f"{letter} waits for a person: {(fault or 'reason unknown').replace('_', ' ')}."
