"""Writes letters to the subject, and seals them under the second key of their request.

That key is a vault record with the ID of the request. It survives an erasure, and is destroyed when the record of the
request expires. Its statement says how the subject is reached. A decision seals the facts of its letter (``write``).
The service correspondence renders them (``NoticeRequested``): immediately if the letter is sent or printed, else when
it is first read.
"""

import base64
import hmac
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Final
from urllib.parse import unquote
from uuid import UUID

import orjson
from pydantic import JsonValue
from uuid_utils.compat import uuid7

from services.intake.access.auth import Caller
from services.intake.letters.cases import Case
from services.intake.letters.rendering import Letters
from services.intake.request.aggregate import Request, Transition
from services.intake.request.letter_kinds import TO_OTHERS, LetterOf
from services.intake.request.lifecycle import State
from services.intake.request.messages.answer import standing
from services.intake.request.stored_request import StoredRequest
from shared.domain import notices, reference
from shared.domain.identities import Identity, IdentityType
from shared.domain.notices import NoticeFacts, NoticeText, seal_facts, text_of
from shared.domain.sentences import Fact, Term, say
from shared.domain.time_limit_policy import Question
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage.keyring import Keyring
from shared.storage.vault import Row, Sealing, Vault

log = logging.getLogger(__name__)
_REACHED_BY = (IdentityType.EMAIL, IdentityType.PHONE, IdentityType.SIP_URI, IdentityType.ACCOUNT_ID)
"""Types of identities to which letters go; of the stated ones, the best proved counts."""
_CODE_BYTES = 15
_WRITTEN = """
SELECT letter_id, l.kind, l.written_at, d.state AS delivery FROM letter l LEFT JOIN delivery d USING (letter_id)
WHERE l.request_id = $1 ORDER BY letter_id
"""


@dataclass(frozen=True, slots=True)
class NewCorrespondence:
    """Holds the rows of a new request's letters: their key, and the acknowledgement as it is sealed.

    Of several requests in one message only the first has an acknowledgement. ``identities``: those that the requester
    stated, by which staff find the request again.
    """

    record: Row
    acknowledgement: Sealing | None
    sealed: Sequence[Row]
    identities: Sequence[Identity]


def letter_code(keyring: Keyring, request_id: UUID) -> str:
    """Returns the code that opens the letters of a request together with its reference."""
    digest = keyring.hash(b"letters\0" + request_id.bytes)
    return base64.b32encode(digest[:_CODE_BYTES]).decode()


def is_letter_code(keyring: Keyring, request_id: UUID, shown: str) -> bool:
    """Returns whether that is the code of these letters."""
    return hmac.compare_digest(letter_code(keyring, request_id).encode(), shown.encode())


def begin(
    vault: Vault,
    letters: Letters,
    request: StoredRequest,
    identities: Sequence[Identity],
    now: datetime,
    case: Case | None = None,
    follows: str | None = None,
) -> NewCorrespondence:
    """Makes the key for the letters of a new request, and writes its acknowledgement.

    ``identities``: those that the requester stated; the letters of an instruction go to the customer. ``case``: the
    requests of one message, which the acknowledgement of the first names. ``follows``: the Message-ID of the mail by
    which the request came.
    """
    to = [request.tenant] if request.tenant else _address(request, identities)
    name = next((each.value for each in identities if each.type is IdentityType.NAME), "")
    statement = orjson.dumps({"to": to, "name": name, **({"follows": follows} if follows else {})})
    if case is not None and request.request_id != case.case_id:
        record, sealed = vault.new_record(request.request_id, statement, [], now)
        return NewCorrespondence(record, None, sealed, identities)
    codes = [_code_for(vault.keyring, request, each) for each, *_ in case.requests] if case else []
    others = case.acknowledged(codes) if case else ""
    acknowledgement = write(letters, request, _acknowledgement(vault.keyring, request, now, others, to[-1]), now)
    record, sealed = vault.new_record(request.request_id, statement, [acknowledgement], now)
    return NewCorrespondence(record, acknowledgement, sealed, identities)


def _acknowledgement(keyring: Keyring, request: StoredRequest, now: datetime, others: Fact, address: str) -> LetterOf:
    """Returns the acknowledgement, which goes to the address of the mail, and says nothing of what is held."""
    to = {"to": address} if request.channel == "email" else {}
    said, code = standing(request, now.date()), _code_for(keyring, request, request.request_id)
    return ("acknowledgement", {"standing": said, "code": code, "also": others, **to})


def _code_for(keyring: Keyring, request: StoredRequest, request_id: UUID) -> str:
    """Returns the code of a request that came by the API; no code for any other channel.

    By e-mail and by post letters go to the requester; the portal shows them after proof.
    """
    return letter_code(keyring, request_id) if request.channel == "api" else ""


def write(letters: Letters, request: StoredRequest, letter_of: LetterOf, now: datetime) -> Sealing:
    """Returns the facts of a letter, to be sealed. A field ``to`` addresses it; by default the requester gets it."""
    kind, fields = letter_of
    known = {"received_on": request.received_at, "reference": reference.of(request.request_id), **fields}
    known = {"asked": Term("asked", request.right), **known}
    if request.tenant:
        known = {"instruction": request.instruction_id or "", "customer": request.tenant, **known}
    elif not ("to" in fields or request.anonymous or request.state is State.AWAITING_IDENTITY):
        known = {"greeted": "yes", **known}
    to = str(fields["to"]) if "to" in fields else None
    facts = NoticeFacts(kind, letters.reader(request, kind), known, now, to)
    return Sealing(request.request_id, "letter", kind, seal_facts(facts))


def named(letter: Sealing) -> dict[str, JsonValue]:
    """Returns the evidence of a letter."""
    return {"letter_id": str(letter.sealed_id), "kind": letter.source}


async def seal(
    tx: UnitOfWork, request: StoredRequest, kind: str, source: str, content: bytes, place: UUID | None = None
) -> UUID:
    """Puts words about a person into the vault, in that place if one is given; returns where.

    What identifies them lies under the subject's key, everything else under that of the correspondence.
    """
    ref = request.subject_ref if kind == "identities" else request.request_id
    sealing = Sealing(ref, kind, source, content, place or uuid7())
    await tx.vault.seal(tx.connection, [sealing], tx.now)
    return sealing.sealed_id


async def ask(
    tx: UnitOfWork, request: Request, asked: Question, words: str, *, recorded: bool, own: bool = False
) -> Transition:
    """A question is sent: its words are kept on their own too, since reminders quote them."""
    question_id = uuid7()
    transition = request.ask(asked, question_id, words, tx.now, recorded=recorded, own=own)
    await seal(tx, request, "question", asked, words.encode(), question_id)
    return transition


async def words_of(tx: UnitOfWork, letters: Letters, request: StoredRequest) -> str:
    """The words of the question that is open; where they were not kept on their own, the day of its letter."""
    if request.question is None:
        return ""
    sealed = await tx.vault.open_one(tx.connection, request.question.question_id)
    see_letter = say("question.see_letter", asked_on=request.question.asked_at)
    return sealed.decode() if sealed else letters.words(see_letter, letters.reader(request))


async def read(tx: UnitOfWork, request: StoredRequest, caller: Caller, *, by_code: bool) -> list[dict[str, object]]:
    """Every letter of a request, the oldest first, and to whom it goes; who has read them is on record.

    One that is not rendered yet has no text, and is not ``ready``.

    Letters to a customer are for the privacy team alone, since the subject may not learn who that is.
    Links and codes are for the subject alone (``masked``). Once the subject's key is shredded, addresses are not
    shown (REQ-R11).

    Raises ``Shredded``.
    """
    request_id = request.request_id
    usual = orjson.loads(await tx.vault.statement(tx.connection, request_id))
    erased = not await tx.vault.unshredded(tx.connection, [request.subject_ref])
    rows = await tx.connection.fetch(_WRITTEN, request_id)  # first: whatever is listed has words then
    opened = await tx.vault.open_kind(tx.connection, request_id, "letter")
    words = {letter_id: content for letter_id, _, content in opened}
    tx.log_evidence(request_id, "letters.read", {"holder": caller.holder, "by_code": by_code}, caller.actor)
    shown = [row for row in rows if caller.role == "privacy" or row["kind"] not in TO_OTHERS]
    ids = [row["letter_id"] for row in shown]
    contents = [_as_read(notices.opened(words[each]), caller, erased=erased) for each in ids]
    return [
        {"to": usual["to"], **row, **each, **_unaddressed(row["kind"], erased=erased)}
        for row, each in zip(shown, contents, strict=True)
    ]


def _as_read(letter: NoticeFacts | NoticeText, caller: Caller, *, erased: bool) -> dict[str, object]:
    to = {"to": [letter.to]} if letter.to else {}
    if isinstance(letter, NoticeFacts):
        return {"language": letter.reader.language, "subject": "", "html": "", "body": "", "ready": False, **to}
    html = masked(letter.html) if caller.role == "privacy" else letter.html
    html = unnamed(html) if erased else html
    text = {"language": letter.language, "subject": letter.subject, "html": html, "body": text_of(html)}
    return {**text, "ready": True, **to}


def _unaddressed(kind: str, *, erased: bool) -> dict[str, list[str]]:
    return {"to": []} if erased and kind not in TO_OTHERS else {}


def _address(request: StoredRequest, said: Sequence[Identity]) -> list[str]:
    name = [each.value for each in said if each.type is IdentityType.NAME]
    by = (IdentityType.EMAIL,) if request.channel == "email" else _REACHED_BY
    stated = [each for kind in by for each in said if each.type is kind]
    points = [each.value for each in sorted(stated, key=attrgetter("level"), reverse=True)]
    return name + points[:1]


MASK: Final = "••••"
_LINK: Final = re.compile(r"(/portal/[a-z]{2}/(?:prove|contact)/)[\w-]+")
_TOKEN: Final = 22
"""Characters of the token of a link (128 bits)."""
_WHOLE: Final = re.compile(rf"(/portal/[a-z]{{2}}/prove/)[\w-]{{{_TOKEN}}}(?![\w-])")
_BREAK: Final = re.compile(r"[\s>|\u200b\u00ad]+")
_RUN: Final = re.compile(rf"[A-Za-z0-9_-]{{{_TOKEN},}}")
_OF_LETTERS: Final = re.compile(r"(?<![A-Z2-7])[A-Z2-7]{24}(?![A-Z2-7])")
"""The code that opens letters (``letter_code``)."""
_GREETING: Final = re.compile(r'<p class="dear">.*?</p>\n?', re.DOTALL)
_OF_LINK: Final = re.compile(r"(?<!\d)\d{4}[ \u00a0]?\d{4}(?!\d)")
"""Matches the code next to a link."""


def masked(text: str) -> str:
    """Masks links and codes in a letter, or in a mail that quotes one; eight digits are a code only next to a link."""
    without, links = _LINK.subn(rf"\1{MASK}", text)
    if links:
        without = _OF_LINK.sub(MASK, without)
    return _OF_LETTERS.sub(MASK, without)


def unnamed(html: str) -> str:
    """A letter without the greeting that names its reader."""
    return _GREETING.sub("", html)


def tokens_shown(text: str) -> set[str]:
    """Returns possible tokens of links in a shown text, except in links that are masked.

    Mail filters rewrite links, mail programs break them over quoted lines, and a token may stand alone.
    """
    return {each for spelled in _spellings(_WHOLE.sub(MASK, text)) for each in _windows(spelled)}


def _spellings(text: str) -> Iterator[str]:
    for _ in range(3):  # a filter may rewrite what another has rewritten
        yield text
        yield _BREAK.sub("", text)
        text = unquote(text)


def _windows(text: str) -> Iterator[str]:
    for run in _RUN.findall(text):
        yield from (run[at : at + _TOKEN] for at in range(len(run) - _TOKEN + 1))


_NAMED, _UNNAMED = "named", "unnamed"


async def note(
    tx: UnitOfWork, request: StoredRequest, controller: str, *, may_be_named: bool
) -> Mapping[str, JsonValue]:
    """Keeps to whom a request goes; returns what is on record of it."""
    how = _NAMED if may_be_named else _UNNAMED
    place = await seal(tx, request, "controller", how, controller.encode())
    return {"controller": str(place), "named_to_subject": may_be_named}


async def controller(tx: UnitOfWork, request: StoredRequest, *, to_subject: bool) -> str | None:
    """To whom a request was passed on; for the subject only if the customer may be named to them.

    Raises ``Shredded``.
    """
    known = await tx.vault.open_kind(tx.connection, request.request_id, "controller")
    if not known:
        return None
    _, how, name = known[-1]
    return None if to_subject and how != _NAMED else name.decode()


def by_name(controller: str | None) -> Fact:
    """The customer to whom a request was passed on, by name or, where the contract forbids it, without."""
    return controller or say("forwarding.unnamed")
