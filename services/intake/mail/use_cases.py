"""Lets staff read mail, make it a request, or dismiss it."""

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal
from uuid import UUID

import orjson
from pydantic import BaseModel, Field, JsonValue
from uuid_utils.compat import uuid7

from services.intake.access.auth import Caller
from services.intake.core.errors import BadRequest
from services.intake.core.schemas import Instant, Strict
from services.intake.identity import proof_links
from services.intake.identity.proof_links import ProofLinks
from services.intake.letters.sealed_letters import MASK, mask_links, possible_tokens
from services.intake.mail import inbox
from services.intake.mail.inbox import Mail
from services.intake.request import lifecycle
from services.intake.store import lookup
from services.intake.submission.accepting import Submissions
from services.intake.submission.manual_entry import Entered
from services.intake.submission.writer import SubmissionBatch, SubmissionContext
from shared.domain.mail_content import CONTENT, KIND, MailContent, MailProposal
from shared.messaging.unit_of_work import UnitOfWork, UnitOfWorkFactory
from shared.storage.postgres import Connection

OpenMailState = Literal["proposed", "reply"]
DismissalReason = Literal[
    "advertising", "automatic", "duplicate", "not_about_personal_data", "answered_otherwise", "other"
]
_FIRST_PLACE = (datetime(1970, 1, 1, tzinfo=UTC), UUID(int=0))
_REFERENCE = re.compile(r"\bCCP[-\s–.]{0,3}\w{4}[-\s–.]{0,3}\w{4}\b", re.IGNORECASE)
_LONG_WORD = re.compile(r"[A-Za-z0-9_-]{20,}")
"""A possible token of a link, or a code: a list shows none."""


class Dismissed(Strict):
    """Why a mail is no request, or needs nothing more."""

    reason: DismissalReason = Field(title="Reason")


class MailView(BaseModel):
    """A mail, what it says and what it seems to ask for; a list masks the sender and has no parts."""

    mail_id: UUID
    state: Literal["proposed", "reply", "confirmed", "done"]
    received_at: Instant = Field(description="when it reached us: a time limit runs from then")
    by_mx: bool = Field(description="as our mail exchanger has written; else as the mailbox says")
    request_id: UUID | None = Field(description="the request that it answers")
    names: UUID | None = Field(
        default=None, description="the request whose reference it names; that does not show who has written it"
    )
    stranger: bool = Field(default=False, description="it answers a letter that went to another address")
    content: MailContent


@dataclass(frozen=True, slots=True)
class MailUseCases:
    """Decides about mail; everything is on record under the id of the mail.

    ``links``: by which the writer can prove who they are; None where there is no portal to open them.
    ``one``: held while an original is open, so that a process holds one long mail in memory.

    Raises:
        NotFound: there is no such mail.
        IllegalTransition: it is decided already.
        Shredded: it is no longer kept.
    """

    unit_of_work: UnitOfWorkFactory
    submissions: Submissions
    links: ProofLinks | None
    one: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def waiting(self, state: OpenMailState | None, after: UUID | None, limit: int) -> Sequence[MailView]:
        """Mails that wait for a person, by when they reached us, with what a list may show."""
        async with self.unit_of_work.begin() as tx:
            return await self.listed(tx, state, after, limit)

    async def listed(
        self, tx: UnitOfWork, state: OpenMailState | None, after: UUID | None, limit: int
    ) -> Sequence[MailView]:
        """The same within a unit of work."""
        last = await inbox.read(tx.connection, after) if after else None
        if after and last is None:
            raise BadRequest("Invalid cursor. Omit it to get the first page.", "cursor")
        place = (last.received_at, last.mail_id) if last else _FIRST_PLACE
        mails = await inbox.open_mails(tx.connection, state, place, limit)
        known = await inbox.contents(tx, mails)
        return [_view(each, _list_content(known.get(each.mail_id, MailContent(readable=False)))) for each in mails]

    async def read(self, mail_id: UUID, caller: Caller) -> MailView:
        """Opens what was read of a mail; the opening is on record.

        A proof link that it spells otherwise than a letter does is ended.
        """
        async with self.unit_of_work.begin() as tx:
            return await self.show(tx, mail_id, caller)

    async def show(self, tx: UnitOfWork, mail_id: UUID, caller: Caller) -> MailView:
        """The same within a unit of work."""
        mail, sealed = await inbox.open_mail(tx, mail_id)
        tx.log_evidence(mail.request_id or mail_id, "mail.read", _evidence(mail, caller), caller.actor)
        content = CONTENT.validate_json(sealed)
        text = "\n".join((content.subject, content.name, content.text, *(each.name for each in content.attachments)))
        ended = await proof_links.end_links(tx, await asyncio.to_thread(possible_tokens, text))
        names, stranger = (
            await _named_request(tx.connection, text),
            await _is_from_other_address(tx, mail, content.sender),
        )
        return _view(
            mail, _masked_content(content, partial(_mask_tokens, tokens=ended)), names=names, stranger=stranger
        )

    async def raw(self, mail_id: UUID, caller: Caller) -> bytes:
        """The original, with its files; the reading is on record.

        It may quote a letter, and one that came back quotes all of it: the links of the request that it answers
        are good no more then.
        """
        async with self.unit_of_work.begin() as tx:
            mail, raw = await inbox.open_mail(tx, mail_id, KIND)
            tx.log_evidence(mail.request_id or mail_id, "mail.fetched", _evidence(mail, caller), caller.actor)
            if mail.request_id:
                await proof_links.end(tx, mail.request_id)
        return raw

    async def confirm(self, tx: UnitOfWork, mail_id: UUID, entry: Entered, caller: Caller) -> None:
        """Makes it a request, or several: submitted as any other, with the day on which it reached us.

        If the requester must prove who they are, a link goes to the address that they gave, as the portal sends one.
        Raises ``BadRequest`` if a right lacks what it needs, or there is no address to answer at.
        """
        mail, sealed = await inbox.open_mail(tx, mail_id)
        asked = [("", each) for each in entry.requests(channel="email", received_at=mail.received_at)]
        one_case, in_reply_to = len(asked) > 1, CONTENT.validate_json(sealed).message_id or None
        prepared = self.submissions.prepare(asked, caller, one_case=one_case, in_reply_to=in_reply_to)
        context = SubmissionContext(caller, None, mail.digest, None)
        [stored] = await self.submissions.write(tx, [SubmissionBatch(context, prepared)])
        if isinstance(stored, Exception):
            raise stored
        first = stored[0].request_id
        async with self.one:
            await inbox.move_to_request(tx, first, mail_id, mail.request_id or mail_id)
        await inbox.decide(tx, mail_id, "confirmed", caller.actor, request_id=first)
        detail = _evidence(mail, caller) | {"by_mx": mail.by_mx, "requests": [str(each.request_id) for each in stored]}
        tx.log_evidence(first, "mail.confirmed", detail, caller.actor)
        unproved = [each.request_id for each in stored if each.state == lifecycle.State.AWAITING_IDENTITY]
        if self.links and unproved:  # by one link all that came in one message is proved
            await self.links.write(tx, unproved[0], uuid7())

    async def dismiss(self, tx: UnitOfWork, mail_id: UUID, dismissal: Dismissed, caller: Caller) -> None:
        """Ends a mail that is no request, or an answer that was read; keeps its key, the reason and who decided."""
        mail = await inbox.find(tx.connection, mail_id)
        done = "done" if mail.request_id else "dismissed"
        await inbox.decide(tx, mail_id, done, caller.actor, reason=dismissal.reason)
        detail = _evidence(mail, caller) | {"reason": dismissal.reason}
        tx.log_evidence(mail.request_id or mail_id, "mail.dismissed", detail, caller.actor)


def _view(mail: Mail, content: MailContent, **more: Any) -> MailView:
    return MailView(**asdict(mail), content=content, **more)


async def _is_from_other_address(tx: UnitOfWork, mail: Mail, sender: str) -> bool:
    """Returns whether a mail answers a request whose letters go to another address."""
    known = await tx.vault.statements(tx.connection, [mail.request_id]) if mail.request_id else {}
    return any(sender not in map(str.lower, orjson.loads(each)["to"]) for each in known.values())


async def _named_request(connection: Connection, text: str) -> UUID | None:
    """Returns the first request whose reference stands in the words of a mail."""
    for each in dict.fromkeys(_REFERENCE.findall(text)):
        if found := await lookup.find_by_reference(connection, each):
            return found
    return None


def _list_content(content: MailContent) -> MailContent:
    """Only what a list shows: the sender masked, the subject without long words, and no identities."""
    local, at, domain = content.sender.partition("@")
    proposal = content.proposal
    return MailContent(
        sender=f"{local[:1]}{MASK}{at}{domain}" if at else "",
        subject=_LONG_WORD.sub(MASK, mask_links(content.subject)),
        checks=content.checks,
        authenticated=content.authenticated,
        language=content.language,
        proposal=MailProposal(proposal.rights, proposal.mentioned, proposal.no_subject, urgent=proposal.urgent),
        cut=content.cut,
        readable=content.readable,
    )


def _masked_content(content: MailContent, mask: Callable[[str], str]) -> MailContent:
    """Masks links and codes wherever the page shows words of a mail: a code may look like a telephone number."""
    parts = [replace(each, title=mask(each.title), text=mask(each.text)) for each in content.parts]
    name, subject, proposal = mask(content.name), mask(content.subject), content.proposal
    shown = "\n".join((subject, *(each.text for each in parts)))
    return replace(
        content,
        name=name,
        subject=subject,
        parts=parts,
        attachments=[replace(each, name=mask(each.name)) for each in content.attachments],
        proposal=replace(
            proposal, name=name if proposal.name else None, phones=[each for each in proposal.phones if each in shown]
        ),
    )


def _mask_tokens(text: str, tokens: Sequence[str]) -> str:
    for each in tokens:
        text = text.replace(each, MASK)
    return mask_links(text)


def _evidence(mail: Mail, caller: Caller) -> dict[str, JsonValue]:
    return {"mail_id": str(mail.mail_id), "holder": caller.holder}
