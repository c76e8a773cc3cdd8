"""Handles letters by hand: print and post them, send them another way, or give one up."""

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
from services.intake.letters import delivery
from services.intake.letters.delivery import Delivery
from services.intake.letters.rendering import Letters
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
_WAITS = frozenset({"waiting", "needs_attention"})

MARGIN: Final = 20.0
"""Millimetres around a sheet of A4; the template has the place of the window and of the text."""
LINES: Final = 6
_BODY = re.compile(r"<body>(.*)</body>", re.DOTALL)
_SHEETS = Environment(autoescape=True, keep_trailing_newline=True).from_string(
    Path(__file__).with_name("sheets.html").read_text("utf-8")
)


@dataclass(frozen=True, slots=True)
class Page:
    """A letter that is to be posted, and the lines of its address."""

    letter_id: UUID
    html: str
    address: Sequence[str]


def document(pages: Iterable[Page], sender: Sequence[str]) -> str:
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


async def read(connection: Connection, letter_id: UUID) -> Delivery:
    """A letter that is delivered; raises ``NotFound``."""
    letter = await delivery.read(connection, letter_id)
    if letter is None:
        raise NotFound("no such letter, or one that its reader fetches")
    return letter


async def pages(tx: UnitOfWork, caller: Caller, limit: int) -> list[Page]:
    """The letters that are to be posted, each with its address of record; the evidence names the reader."""
    rows = await tx.connection.fetch(_TO_PRINT, limit)
    found = [await _page(tx, letter_id, request_id, caller) for letter_id, request_id in rows]
    return [page for page in found if page]


async def posted(tx: UnitOfWork, letters: Letters, letter: Delivery, actor: str) -> None:
    """Marks it as posted today: its reader knows what it says; raises ``IllegalTransition``."""
    _must_wait(letter)
    if letter.way != "post":
        raise IllegalTransition("it goes by e-mail; have it sent by post before you mark it as posted")
    await outcomes.sent(tx, letters, letter.letter_id, actor)


async def deliver(tx: UnitOfWork, letter: Delivery, said: AnotherWay, actor: str) -> None:
    """Delivers it again: by e-mail to an address that is proved, or on paper to the address of record.

    A letter to another person than the requester goes only where it says. Raises ``IllegalTransition``.
    """
    _must_wait(letter)
    request = await repository.read(tx.connection, letter.request_id) if letter.request_id else None
    if said.way == "email":
        if fault := await delivery.readdress(tx, request, letter):
            otherwise = "tell them yourself" if letter.kind in delivery.BY_ADDRESS else "send it by post"
            raise IllegalTransition(f"there is no e-mail address to send it to: {fault}; {otherwise}")
    elif request and letter.kind in delivery.BY_ADDRESS:
        raise IllegalTransition(
            "the address of record is the requester's, and this letter goes to another person: send it by e-mail, or"
            " tell them yourself"
        )
    elif request and not await tx.vault.places(tx.connection, request.request_id, delivery.POSTAL):
        raise IllegalTransition("no address of record is entered: enter it, and then have it sent by post")
    if not await delivery.send_by(tx, request, letter, said.way):
        raise IllegalTransition(f"it waits to go by {letter.way} already: wait for that, or give it up")
    detail = {"letter_id": str(letter.letter_id), "kind": letter.kind, "way": said.way}
    if request:
        tx.log_evidence(request.request_id, "letter.sent_another_way", detail, actor)


async def give_up(tx: UnitOfWork, letters: Letters, letter: Delivery, said: GivenUp, actor: str) -> None:
    """Ends its delivery and seals why; raises ``IllegalTransition``."""
    _must_wait(letter)
    place = uuid7()
    subject = letter.request_id or letter.letter_id
    words = Sealing(subject, "explanation", "given_up", said.explanation.encode(), place)
    await tx.vault.seal(tx.connection, [words], tx.now)
    await outcomes.given_up(tx, letters, letter.letter_id, place, actor)


async def _page(tx: UnitOfWork, letter_id: UUID, request_id: UUID | None, caller: Caller) -> Page | None:
    """Returns the page of a letter; None: it is not rendered yet. A digest goes to the recipient that it names."""
    sealed = await tx.vault.open_one(tx.connection, letter_id)
    letter = opened(sealed) if sealed else None
    if not isinstance(letter, NoticeText):
        return None
    if request_id is None:
        await digests.note_reading(tx, letter_id, caller)
        return Page(letter_id, letter.html, (letter.to or "").split(", ")[:LINES])
    [(_, _, address), *_] = await tx.vault.open_kind(tx.connection, request_id, delivery.POSTAL)
    detail = {"letter_id": str(letter_id), "holder": caller.holder}
    tx.log_evidence(request_id, "letter.printed", detail, caller.actor)
    return Page(letter_id, letter.html, orjson.loads(address))


def _must_wait(letter: Delivery) -> None:
    if letter.state not in _WAITS:
        raise IllegalTransition(f"the letter is {letter.state.replace('_', ' ')}")
