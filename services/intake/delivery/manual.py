"""Delivers letters manually: prints and posts them, sends them another way, or gives them up."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal
from uuid import UUID

import orjson
from jinja2 import Environment
from pydantic import Field, StringConstraints
from uuid_utils.compat import uuid7

from services.intake.access.auth import Caller
from services.intake.core.errors import NotFound
from services.intake.core.schemas import NFC, Strict
from services.intake.delivery import outcomes
from services.intake.letters import delivery_queue
from services.intake.letters.delivery_queue import Delivery
from services.intake.letters.letter_facts import LetterFacts
from services.intake.recipients import digests
from services.intake.store import repository
from shared.domain.errors import IllegalTransition
from shared.domain.notices import NoticeText, opened
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage.postgres import Connection
from shared.storage.vault import Sealing

_TO_PRINT = """
SELECT letter_id, request_id FROM delivery WHERE way = 'post' AND state = 'waiting' ORDER BY letter_id LIMIT $1
"""
_OPEN_STATES = frozenset({"waiting", "needs_attention"})

MARGIN: Final = 20.0
"""Millimetres around a sheet of A4; the template has the place of the window and of the text."""
LINES: Final = 6
_BODY = re.compile(r"<body>(.*)</body>", re.DOTALL)
_SHEETS = Environment(autoescape=True, keep_trailing_newline=True).from_string(
    Path(__file__).with_name("sheets.html").read_text("utf-8")
)


@dataclass(frozen=True, slots=True)
class PrintedLetter:
    """A letter that is to be posted, and the lines of its address."""

    letter_id: UUID
    html: str
    address: Sequence[str]


def document(pages: Iterable[PrintedLetter], sender: Sequence[str]) -> str:
    """Returns the letters as one document, a sheet or more each; ``sender``: the lines above the address, made one."""
    words = [(page, found[1] if (found := _BODY.search(page.html)) else "") for page in pages]
    return _SHEETS.render(margin=MARGIN, back=" · ".join(sender), pages=words)


class AnotherWay(Strict):
    """The way in which a letter is to be delivered now."""

    way: Literal["email", "post"] = Field(
        title="Way", description="`email`: once more to the same address; `post`: on paper, to the address of record"
    )


class GivenUp(Strict):
    """The reason why a letter cannot be delivered."""

    explanation: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000), NFC] = Field(
        title="What was tried", description="Kept sealed"
    )


async def find_delivery(connection: Connection, letter_id: UUID) -> Delivery:
    """Returns the delivery of a letter; raises ``NotFound``."""
    letter = await delivery_queue.read_delivery(connection, letter_id)
    if letter is None:
        raise NotFound("no such letter, or one that its reader fetches")
    return letter


async def printed_letters(tx: UnitOfWork, caller: Caller, limit: int) -> list[PrintedLetter]:
    """Returns letters to print, with their postal addresses; logs the reader."""
    rows = await tx.connection.fetch(_TO_PRINT, limit)
    found = [await _printed_letter(tx, letter_id, request_id, caller) for letter_id, request_id in rows]
    return [page for page in found if page]


async def mark_posted(tx: UnitOfWork, letters: LetterFacts, letter: Delivery, actor: str) -> None:
    """Records that a letter was posted today, so its effects hold; raises ``IllegalTransition``."""
    _check_open(letter)
    if letter.way != "post":
        raise IllegalTransition("it goes by e-mail; have it sent by post before you mark it as posted")
    await outcomes.record_sent(tx, letters, letter.letter_id, actor)


async def redeliver(tx: UnitOfWork, letter: Delivery, redelivery: AnotherWay, actor: str) -> None:
    """Queues a letter again: by e-mail to a proved address, or by post to the address of record.

    A letter to a third party goes only to its own address. Raises ``IllegalTransition``.
    """
    _check_open(letter)
    request = await repository.read(tx.connection, letter.request_id) if letter.request_id else None
    if redelivery.way == "email":
        if fault := await delivery_queue.readdress(tx, request, letter):
            otherwise = "tell them yourself" if letter.kind in delivery_queue.OWN_ADDRESS else "send it by post"
            raise IllegalTransition(f"there is no e-mail address to send it to: {fault}; {otherwise}")
    elif request and letter.kind in delivery_queue.OWN_ADDRESS:
        raise IllegalTransition(
            "the address of record is the requester's, and this letter goes to another person: send it by e-mail, or"
            " tell them yourself"
        )
    elif request and not await tx.vault.list_pieces(tx.connection, request.request_id, delivery_queue.POSTAL_ADDRESS):
        raise IllegalTransition("no address of record is entered: enter it, and then have it sent by post")
    if not await delivery_queue.resend(tx, request, letter, redelivery.way):
        raise IllegalTransition(f"it waits to go by {letter.way} already: wait for that, or give it up")
    detail = {"letter_id": str(letter.letter_id), "kind": letter.kind, "way": redelivery.way}
    if request:
        tx.log_evidence(request.request_id, "letter.sent_another_way", detail, actor)


async def give_up(tx: UnitOfWork, letters: LetterFacts, letter: Delivery, explanation: GivenUp, actor: str) -> None:
    """Gives up the delivery, and seals the explanation; raises ``IllegalTransition``."""
    _check_open(letter)
    place = uuid7()
    subject = letter.request_id or letter.letter_id
    words = Sealing(subject, "explanation", "given_up", explanation.explanation.encode(), place)
    await tx.vault.seal(tx.connection, [words], tx.now)
    await outcomes.record_given_up(tx, letters, letter.letter_id, place, actor)


async def _printed_letter(
    tx: UnitOfWork, letter_id: UUID, request_id: UUID | None, caller: Caller
) -> PrintedLetter | None:
    """Returns a letter with its address; None if it is not rendered yet."""
    sealed = await tx.vault.open_one(tx.connection, letter_id)
    letter = opened(sealed) if sealed else None
    if not isinstance(letter, NoticeText):
        return None
    if request_id is None:
        await digests.log_read(tx, letter_id, caller)
        return PrintedLetter(letter_id, letter.html, (letter.to or "").split(", ")[:LINES])
    [(_, _, address), *_] = await tx.vault.open_kind(tx.connection, request_id, delivery_queue.POSTAL_ADDRESS)
    detail = {"letter_id": str(letter_id), "holder": caller.holder}
    tx.log_evidence(request_id, "letter.printed", detail, caller.actor)
    return PrintedLetter(letter_id, letter.html, orjson.loads(address))


def _check_open(letter: Delivery) -> None:
    if letter.state not in _OPEN_STATES:
        raise IllegalTransition(f"the letter is {letter.state.replace('_', ' ')}")
