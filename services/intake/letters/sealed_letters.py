"""Writes letters to the subject, and seals them under the second key of their request.

That key is a vault record with the ID of the request. It survives an erasure, and is destroyed when the record of the
request expires. Its statement says how the subject is reached. A decision seals the facts of its letter (``compose``).
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
from services.intake.letters.letter_facts import LetterFacts
from services.intake.request.aggregate import Request, Transition
from services.intake.request.letter_kinds import TO_ORGANISATIONS, LetterOf
from services.intake.request.lifecycle import State
from services.intake.request.messages.answer import status_sentences
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
_CONTACT_TYPES = (IdentityType.EMAIL, IdentityType.PHONE, IdentityType.SIP_URI, IdentityType.ACCOUNT_ID)
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


def new_correspondence(
    vault: Vault,
    letters: LetterFacts,
    request: StoredRequest,
    identities: Sequence[Identity],
    now: datetime,
    case: Case | None = None,
    in_reply_to: str | None = None,
) -> NewCorrespondence:
    """Builds the vault record for the letters of a new request, and its acknowledgement.

    ``identities``: those that the requester stated; the letters of an instruction go to the customer. ``case``: the
    requests of one message, which the acknowledgement of the first names. ``in_reply_to``: the Message-ID of
    its mail.
    """
    addressee = [request.tenant] if request.tenant else _recipient_lines(request, identities)
    name = next((each.value for each in identities if each.type is IdentityType.NAME), "")
    statement = orjson.dumps({"to": addressee, "name": name, **({"follows": in_reply_to} if in_reply_to else {})})
    if case is not None and request.request_id != case.case_id:
        record, sealed = vault.new_record(request.request_id, statement, [], now)
        return NewCorrespondence(record, None, sealed, identities)
    codes = [_code_for(vault.keyring, request, each) for each, *_ in case.requests] if case else []
    others = case.acknowledgement_of_others(codes) if case else ""
    acknowledgement = compose(
        letters, request, _acknowledgement(vault.keyring, request, now, others, addressee[-1]), now
    )
    record, sealed = vault.new_record(request.request_id, statement, [acknowledgement], now)
    return NewCorrespondence(record, acknowledgement, sealed, identities)


def _acknowledgement(keyring: Keyring, request: StoredRequest, now: datetime, others: Fact, address: str) -> LetterOf:
    """Returns the acknowledgement, which goes to the address of the mail, and says nothing of what is held."""
    to = {"to": address} if request.channel == "email" else {}
    said, code = status_sentences(request, now.date()), _code_for(keyring, request, request.request_id)
    return ("acknowledgement", {"standing": said, "code": code, "also": others, **to})


def _code_for(keyring: Keyring, request: StoredRequest, request_id: UUID) -> str:
    """Returns the code of a request that came by the API; no code for any other channel.

    By e-mail and by post letters go to the requester; the portal shows them after proof.
    """
    return letter_code(keyring, request_id) if request.channel == "api" else ""


def compose(letters: LetterFacts, request: StoredRequest, letter_of: LetterOf, now: datetime) -> Sealing:
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


def letter_evidence(letter: Sealing) -> dict[str, JsonValue]:
    """Returns the evidence of a letter."""
    return {"letter_id": str(letter.sealed_id), "kind": letter.source}


async def seal_text(
    tx: UnitOfWork, request: StoredRequest, kind: str, source: str, content: bytes, place: UUID | None = None
) -> UUID:
    """Seals a text about a person; returns its id, which is ``place`` if given.

    Identities are sealed under the subject's key, everything else under the key of the correspondence.
    """
    ref = request.subject_ref if kind == "identities" else request.request_id
    sealing = Sealing(ref, kind, source, content, place or uuid7())
    await tx.vault.seal(tx.connection, [sealing], tx.now)
    return sealing.sealed_id


async def ask_question(
    tx: UnitOfWork, request: Request, asked: Question, words: str, *, recorded: bool, own: bool = False
) -> Transition:
    """Returns the transition that sends a question, and seals its text for reminders to quote."""
    question_id = uuid7()
    transition = request.ask(asked, question_id, words, tx.now, recorded=recorded, own=own)
    await seal_text(tx, request, "question", asked, words.encode(), question_id)
    return transition


async def question_text(tx: UnitOfWork, letters: LetterFacts, request: StoredRequest) -> str:
    """Returns the text of the open question; if it was not sealed, a reference to its letter."""
    if request.question is None:
        return ""
    sealed = await tx.vault.open_one(tx.connection, request.question.question_id)
    see_letter = say("question.see_letter", asked_on=request.question.asked_at)
    return sealed.decode() if sealed else letters.words(see_letter, letters.reader(request))


async def read_letters(
    tx: UnitOfWork, request: StoredRequest, caller: Caller, *, by_code: bool
) -> list[dict[str, object]]:
    """Returns every letter of a request, oldest first, with its addressee; logs the reader.

    A letter that is not rendered yet has no text, and is not ``ready``.

    Letters to a customer are for the privacy team alone, since the subject may not learn who that is.
    Links and codes are for the subject alone (``mask_links``). Once the subject's key is shredded, addresses are not
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
    shown = [row for row in rows if caller.role == "privacy" or row["kind"] not in TO_ORGANISATIONS]
    ids = [row["letter_id"] for row in shown]
    contents = [_letter_view(notices.opened(words[each]), caller, erased=erased) for each in ids]
    return [
        {"to": usual["to"], **row, **each, **_hide_address(row["kind"], erased=erased)}
        for row, each in zip(shown, contents, strict=True)
    ]


def _letter_view(letter: NoticeFacts | NoticeText, caller: Caller, *, erased: bool) -> dict[str, object]:
    to = {"to": [letter.to]} if letter.to else {}
    if isinstance(letter, NoticeFacts):
        return {"language": letter.reader.language, "subject": "", "html": "", "body": "", "ready": False, **to}
    html = mask_links(letter.html) if caller.role == "privacy" else letter.html
    html = without_greeting(html) if erased else html
    text = {"language": letter.language, "subject": letter.subject, "html": html, "body": text_of(html)}
    return {**text, "ready": True, **to}


def _hide_address(kind: str, *, erased: bool) -> dict[str, list[str]]:
    return {"to": []} if erased and kind not in TO_ORGANISATIONS else {}


def _recipient_lines(request: StoredRequest, said: Sequence[Identity]) -> list[str]:
    name = [each.value for each in said if each.type is IdentityType.NAME]
    by = (IdentityType.EMAIL,) if request.channel == "email" else _CONTACT_TYPES
    stated = [each for kind in by for each in said if each.type is kind]
    points = [each.value for each in sorted(stated, key=attrgetter("level"), reverse=True)]
    return name + points[:1]


MASK: Final = "••••"
_LINK: Final = re.compile(r"(/portal/[a-z]{2}/(?:prove|contact)/)[\w-]+")
_TOKEN: Final = 22
"""Characters of the token of a link (128 bits)."""
_PROVE_LINK: Final = re.compile(rf"(/portal/[a-z]{{2}}/prove/)[\w-]{{{_TOKEN}}}(?![\w-])")
_BREAK: Final = re.compile(r"[\s>|\u200b\u00ad]+")
_TOKEN_RUN: Final = re.compile(rf"[A-Za-z0-9_-]{{{_TOKEN},}}")
_LETTER_CODE: Final = re.compile(r"(?<![A-Z2-7])[A-Z2-7]{24}(?![A-Z2-7])")
"""The code that opens letters (``letter_code``)."""
_GREETING: Final = re.compile(r'<p class="dear">.*?</p>\n?', re.DOTALL)
_LINK_CODE: Final = re.compile(r"(?<!\d)\d{4}[ \u00a0]?\d{4}(?!\d)")
"""Matches the code next to a link."""


def mask_links(text: str) -> str:
    """Masks links and codes in a letter, or in a mail that quotes one; eight digits are a code only next to a link."""
    without, links = _LINK.subn(rf"\1{MASK}", text)
    if links:
        without = _LINK_CODE.sub(MASK, without)
    return _LETTER_CODE.sub(MASK, without)


def without_greeting(html: str) -> str:
    """Returns a letter without the greeting that names its reader."""
    return _GREETING.sub("", html)


def possible_tokens(text: str) -> set[str]:
    """Returns all possible link tokens of a text that is about to be shown, except in links that are masked.

    Mail filters rewrite links, mail programs break them over quoted lines, and a token may stand alone.
    """
    return {each for spelled in _spellings(_PROVE_LINK.sub(MASK, text)) for each in _windows(spelled)}


def _spellings(text: str) -> Iterator[str]:
    for _ in range(3):  # a filter may rewrite what another has rewritten
        yield text
        yield _BREAK.sub("", text)
        text = unquote(text)


def _windows(text: str) -> Iterator[str]:
    for run in _TOKEN_RUN.findall(text):
        yield from (run[at : at + _TOKEN] for at in range(len(run) - _TOKEN + 1))


_NAMED, _UNNAMED = "named", "unnamed"


async def keep_controller(
    tx: UnitOfWork, request: StoredRequest, controller: str, *, may_be_named: bool
) -> Mapping[str, JsonValue]:
    """Seals the name of the customer to whom a request is forwarded; returns its evidence."""
    how = _NAMED if may_be_named else _UNNAMED
    place = await seal_text(tx, request, "controller", how, controller.encode())
    return {"controller": str(place), "named_to_subject": may_be_named}


async def controller_name(tx: UnitOfWork, request: StoredRequest, *, to_subject: bool) -> str | None:
    """Returns the customer to whom a request was forwarded; to the subject only if the contract allows it.

    Raises ``Shredded``.
    """
    known = await tx.vault.open_kind(tx.connection, request.request_id, "controller")
    if not known:
        return None
    _, how, name = known[-1]
    return None if to_subject and how != _NAMED else name.decode()


def controller_fact(controller: str | None) -> Fact:
    """Returns the customer's name for a letter, or a phrase without it."""
    return controller or say("forwarding.unnamed")
