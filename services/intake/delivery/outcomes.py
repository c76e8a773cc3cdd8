"""Records the result of a delivery: accepted, posted, returned or given up."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, Literal
from uuid import UUID

from pydantic import JsonValue

from services.intake.core.metrics import LETTERS_SENT, LETTERS_STOPPED
from services.intake.letters import delivery_queue
from services.intake.letters.delivery_queue import Delivery
from services.intake.letters.letter_facts import LetterFacts
from services.intake.recipients import digests
from services.intake.request import delivery_effects as deliveries
from services.intake.request.aggregate import Transition
from services.intake.request.delivery_effects import OnDelivery, announced_effects, without_lift
from services.intake.store.repository import Requests
from shared.domain.events import LiftDecided, NoticeSettled
from shared.messaging.unit_of_work import UnitOfWork

Fault = Literal[
    "refused",
    "put_off",
    "returned",
    "address_not_proved",
    "address_unknown",
    "address_unusable",
    "key_gone",
    "acknowledged_today",
]
"""The reason why a letter needs manual delivery, or was not sent."""
_MARK = "UPDATE delivery SET state = $2, fault = $3, sent_at = $4 WHERE letter_id = $1"
_ON_DELIVERY = "UPDATE delivery SET awaited = $2 WHERE letter_id = $1"
_EXTENSION_NOTIFIED = "UPDATE extension SET notified_at = $2 WHERE request_id = $1"
_ENDED: Final = frozenset({"sent", "given_up", "cancelled"})


async def record_sent(
    tx: UnitOfWork,
    letters: LetterFacts,
    letter_id: UUID,
    actor: str | None = None,
    by_mail: NoticeSettled | None = None,
) -> Delivery | None:
    """Records that a letter was accepted or posted, and lets it take effect.

    None: it is not one that waits, so nothing has changed. ``by_mail``: when the server took it, and what was sent.
    """
    requests, letter = await _lock(tx, letters, letter_id, actor)
    if letter is None or letter.state in _ENDED:
        return None
    at = by_mail.occurred_at if by_mail else tx.now
    await tx.connection.execute(_MARK, letter_id, "sent", None, at)
    tx.after_commit(LETTERS_SENT.labels(letter.way).inc)
    if letter.request_id is None:
        await digests.record_delivered(tx, letter_id, by_mail, actor)
        return letter
    _log(tx, letter, "letter.sent", {"sha256": by_mail.sha256} if by_mail else {}, actor)
    request = requests[letter.request_id]
    awaited = [each for each in letter.awaited if "there" not in each]
    await _note_extension(tx, awaited, letter.request_id, at)
    transition = deliveries.on_delivered(request, letter.awaited, at)
    if any(isinstance(event, LiftDecided) for event in transition.published):
        await tx.connection.execute(_ON_DELIVERY, letter_id, without_lift(letter.awaited))
    await _apply(requests, transition)
    return letter


async def record_failed(tx: UnitOfWork, letters: LetterFacts, letter_id: UUID, fault: Fault) -> Delivery | None:
    """Hands a letter that failed or came back to an officer; its content does not take effect.

    Returns None if its delivery has ended, or is manual already.
    """
    requests, letter = await _lock(tx, letters, letter_id, None)
    back = fault == "returned"
    if letter is None or letter.state != ("sent" if back else "waiting"):
        return None
    await tx.connection.execute(_MARK, letter_id, "needs_attention", fault, None)
    tx.after_commit(LETTERS_STOPPED.labels(fault).inc)
    if letter.request_id is None:
        await digests.record_undelivered(tx, letter_id)
        return letter
    request = requests[letter.request_id]
    _log(tx, letter, "letter.returned" if back else "letter.stopped", {"fault": fault})
    if undone := announced_effects(letter.awaited):
        await tx.connection.execute(_ON_DELIVERY, letter_id, undone)
    elif back:
        undone = [*letter.awaited]
    await _note_extension(tx, undone, letter.request_id, None)
    await _apply(requests, deliveries.on_returned(request, undone))
    return letter


async def record_given_up(
    tx: UnitOfWork, letters: LetterFacts, letter_id: UUID, explanation: UUID, actor: str
) -> Delivery | None:
    """Gives up a letter that cannot be delivered; None if its delivery has ended."""
    requests, letter = await _lock(tx, letters, letter_id, actor)
    if letter is None or letter.state in _ENDED:
        return None
    await tx.connection.execute(_MARK, letter_id, "given_up", letter.fault, None)
    if letter.request_id is None:
        await digests.record_undelivered(tx, letter_id)
        return letter
    _log(tx, letter, "letter.given_up", {"explanation": str(explanation)}, actor)
    await _apply(requests, deliveries.on_undeliverable(requests[letter.request_id], letter.awaited, tx.now))
    return letter


async def _lock(
    tx: UnitOfWork, letters: LetterFacts, letter_id: UUID, actor: str | None
) -> tuple[Requests, Delivery | None]:
    """The request of a letter, locked before it, as everybody locks them."""
    about = "SELECT request_id FROM delivery WHERE letter_id = $1"
    request_id = await tx.connection.fetchval(about, letter_id)
    requests = await Requests.locked(tx, letters, [request_id] if request_id else [], actor)
    return requests, await delivery_queue.read_delivery(tx.connection, letter_id, lock=True)


async def _note_extension(
    tx: UnitOfWork, on_delivery: Sequence[OnDelivery], request_id: UUID, at: datetime | None
) -> None:
    if any(each["what"] == "extension" for each in on_delivery):
        await tx.connection.execute(_EXTENSION_NOTIFIED, request_id, at)


async def _apply(requests: Requests, transition: Transition) -> None:
    requests.apply_delivery(transition)
    await requests.save()


def _log(
    tx: UnitOfWork, letter: Delivery, action: str, detail: Mapping[str, JsonValue], actor: str | None = None
) -> None:
    named: dict[str, JsonValue] = {"letter_id": str(letter.letter_id), "kind": letter.kind, "way": letter.way}
    if letter.request_id:
        tx.log_evidence(letter.request_id, action, {**named, **detail}, actor)
