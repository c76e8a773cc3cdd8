"""What a person does with mail: reads it, makes it a request, or says why it is none."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, JsonValue, ValidationError
from uuid_utils.compat import uuid7

from services.intake.auth import Caller
from services.intake.errors import BadRequest, NotFound
from services.intake.group_commit import Accepted, SubmissionContext, Submitted
from services.intake.identity import proof_links
from services.intake.identity.proof_links import ProofLinks
from services.intake.letters.masked import MASK, masked, tokens_shown
from services.intake.mail import apart, inbox
from services.intake.mail.inbox import Mail
from services.intake.mail.incoming import Incoming, Ours
from services.intake.mail.proposal import Proposal, mail_policy, propose
from services.intake.request import lifecycle
from services.intake.schemas import Strict
from services.intake.submission import Submissions
from services.intake.submission_schemas import Submission
from shared.domain.errors import IllegalTransition
from shared.messaging.unit_of_work import UnitOfWorkFactory

State = Literal["proposed", "reply"]
NoRequest = Literal["advertising", "automatic", "duplicate", "not_about_personal_data", "answered_otherwise", "other"]
_FIRST = (datetime(1970, 1, 1, tzinfo=UTC), UUID(int=0))
_OURS = ("channel", "received_at", "assurance", "proofs")
"""Fields of a submission that the mail says, or that no mail can."""


class Confirmed(Strict):
    """What a mail asks for, as whoever has read it enters it; each right as a submission of its own."""

    requests: Annotated[tuple[Submission, ...], Field(min_length=1, max_length=8)] = Field(
        description="of one message, under one case number. Leave out `channel` and `received_at`, which the mail says,"
        " and `assurance` and `proofs`: a mail proves nothing, whoever it says it is from. `subject.email` is the"
        " address of the person whom the request is about, never that of a sender who asks for another."
    )


class Dismissed(Strict):
    """Why a mail is no request, or needs nothing more."""

    reason: NoRequest


@dataclass(frozen=True, slots=True)
class Read:
    """A mail, what it says, and what it seems to ask for."""

    mail: Mail
    content: Incoming
    proposal: Proposal


@dataclass(frozen=True, slots=True)
class MailUseCases:
    """Decides about mail; everything is on record under the id of the mail.

    ``links``: by which whoever has written can prove at once who they are; None where there is no portal to open them.
    ``one``: held while an original is parsed, so that a process holds one long mail in memory for its pages.

    Raises:
        NotFound: there is no such mail.
        IllegalTransition: somebody has decided about it.
        Shredded: it is no longer kept.
    """

    unit_of_work: UnitOfWorkFactory
    submissions: Submissions
    ours: Ours
    links: ProofLinks | None
    one: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def waiting(self, state: State, after: UUID | None, limit: int) -> Sequence[Mail]:
        """Mails that wait for a person, by when they reached us."""
        async with self.unit_of_work.pool.acquire() as connection:
            last = await inbox.read(connection, after) if after else None
            place = (last.received_at, last.mail_id) if last else _FIRST
            return await inbox.waiting(connection, state, place, limit)

    async def read(self, mail_id: UUID, caller: Caller) -> Read:
        """What a mail says, and what it seems to ask for; the reading is on record.

        A link of ours that it spells otherwise than a letter does is good no more.
        """
        async with self.one:
            mail, content = await self._read(mail_id, caller)
        # It may quote a letter of ours.
        said = f"{content.subject}\n{content.name}\n{content.text}"
        tokens = await asyncio.to_thread(tokens_shown, said)
        async with self.unit_of_work.begin() as tx:
            ended = await proof_links.end_shown(tx, tokens)
            shown = replace(content, text=_without(content.text, ended), subject=_without(content.subject, ended))
        proposal = await asyncio.to_thread(propose, content, mail_policy())
        return Read(mail, shown, proposal)

    async def raw(self, mail_id: UUID, caller: Caller) -> bytes:
        """The original, with its files; the reading is on record.

        It may quote a letter of ours, and one that came back quotes all of it: the links of the request that it answers
        are good no more then.
        """
        async with self.unit_of_work.begin() as tx:
            mail, raw = await inbox.opened(tx, mail_id)
            tx.log_evidence(mail.request_id or mail_id, "mail.fetched", _named(mail, caller), caller.actor)
            if mail.request_id:
                await proof_links.end(tx, mail.request_id)
        return raw

    async def _read(self, mail_id: UUID, caller: Caller) -> tuple[Mail, Incoming]:
        async with self.unit_of_work.begin() as tx:
            mail, raw = await inbox.opened(tx, mail_id)
            tx.log_evidence(mail.request_id or mail_id, "mail.read", _named(mail, caller), caller.actor)
        return mail, await apart.read(raw, mail.received_at, self.ours)

    async def confirm(self, mail_id: UUID, said: Confirmed, caller: Caller) -> list[Accepted]:
        """It is a request, or several: submitted as any other, with the day on which it reached us.

        Where that takes a proof of who asks, a link goes to the address that they gave, as the portal sends one.

        Raises:
            BadRequest: a field is stated that the mail says, or that no mail can; or one is missing.
        """
        _must_not_state(said)
        async with self.one:
            return await self._confirm(mail_id, said, caller)

    async def _confirm(self, mail_id: UUID, said: Confirmed, caller: Caller) -> list[Accepted]:
        async with self.unit_of_work.begin() as tx:
            mail, raw = await inbox.opened(tx, mail_id)
        content = await apart.read(raw, mail.received_at, self.ours)
        each_of = enumerate(said.requests)
        async with self.unit_of_work.begin() as tx:
            asked = [(f"requests.{place}.", _received(mail, place, each)) for place, each in each_of]
            together = len(asked) > 1
            prepared = self.submissions.prepare(asked, caller, together=together, follows=content.message_id or None)
            context = SubmissionContext(caller, None, mail.digest, None)
            [stored] = await self.submissions.write(tx, [Submitted(context, prepared)])
            if isinstance(stored, Exception):
                raise stored
            first = stored[0].request_id
            if not await inbox.decide(tx, mail_id, "confirmed", caller.actor, request_id=first):
                raise IllegalTransition("somebody else has decided about this mail meanwhile: open it again, and look")
            await inbox.keep_with(tx, first, mail_id, raw)
            detail = _named(mail, caller) | {"by_mx": mail.by_mx, "requests": [str(each.request_id) for each in stored]}
            tx.log_evidence(first, "mail.confirmed", detail, caller.actor)
            unproved = [each.request_id for each in stored if each.state == lifecycle.State.AWAITING_IDENTITY]
            if self.links and unproved:  # by one link all that came in one message is proved
                await self.links.write(tx, unproved[0], uuid7())
        return stored

    async def dismiss(self, mail_id: UUID, said: Dismissed, caller: Caller) -> None:
        """It is no request, or an answer that was read: its key, the reason and who has decided are kept, no more."""
        async with self.unit_of_work.begin() as tx:
            mail = await inbox.read(tx.connection, mail_id)
            if mail is None:
                raise NotFound("no such mail")
            done = "done" if mail.request_id else "dismissed"
            if not await inbox.decide(tx, mail_id, done, caller.actor, reason=said.reason):
                raise IllegalTransition("somebody else has decided about this mail meanwhile: open it again, and look")
            detail = _named(mail, caller) | {"reason": said.reason}
            tx.log_evidence(mail.request_id or mail_id, "mail.dismissed", detail, caller.actor)


def _without(text: str, tokens: Sequence[str]) -> str:
    for each in tokens:
        text = text.replace(each, MASK)
    return masked(text)


def _named(mail: Mail, caller: Caller) -> dict[str, JsonValue]:
    return {"mail_id": str(mail.mail_id), "holder": caller.holder}


def _received(mail: Mail, place: int, said: Submission) -> Submission:
    """What is entered of a mail, as it came; raises ``BadRequest`` where a request by e-mail lacks something."""
    known = {"channel": "email", "received_at": mail.received_at}
    try:
        return Submission.model_validate({**said.model_dump(exclude_unset=True), **known})
    except ValidationError as error:
        message = str(error.errors(include_url=False, include_input=False)[0]["msg"])
        raise BadRequest(message.removeprefix("Value error, "), f"requests.{place}") from None


def _must_not_state(said: Confirmed) -> None:
    for place, each in enumerate(said.requests):
        if stated := [name for name in _OURS if name in each.model_fields_set]:
            raise BadRequest(
                f"leave out {stated[0]}: the mail says when it came, and proves nothing",
                f"requests.{place}.{stated[0]}",
            )
