"""What a person of ours writes back to a mail: in its thread, to the address that it came from, in its language.

It is a letter like any other, with our words around theirs, and answers no request: no clock stops for it. Whoever
wrote the mail has proved nothing, and nobody types where it goes.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from pydantic import Field, JsonValue

from services.intake.auth import Caller
from services.intake.errors import BadRequest, PreconditionFailed
from services.intake.identity.assurance import IdentityPolicy
from services.intake.letters import delivery
from services.intake.letters.rendering import Letter, Letters, Reader
from services.intake.mail import answers, apart, form, inbox
from services.intake.mail.inbox import Mail
from services.intake.mail.incoming import Incoming, MailKind, Ours
from services.intake.mail.message import address_in
from services.intake.mail.proposal import mail_policy, propose
from services.intake.request.letter_kinds import LetterField
from services.intake.schemas import Strict
from shared.domain.errors import IllegalTransition, Shredded
from shared.domain.text import Text
from shared.domain.wording import Language
from shared.messaging.unit_of_work import UnitOfWorkFactory

MOST: Final = 20
"""Answers to one mail: a conversation goes on with the mails that come back."""
_NOT: Final = {
    MailKind.AUTOMATIC: "a machine seems to have written it, and machines are not answered",
    MailKind.BOUNCE: "it is a report about a letter of ours, and those are not answered",
    MailKind.DELAYED: "it is a report about a letter of ours, and those are not answered",
    MailKind.OURS: "it is a letter of ours that came back, and those are not answered",
    MailKind.UNREADABLE: "it cannot be taken apart, so nobody knows where an answer would go",
}


class MailAnswer(Strict):
    """What is written back to whoever has written a mail."""

    text: Text = Field(
        description="in the language of the mail; salutation, sender and the contact for data protection stand around"
        " it. It must ask for no identity document, and whoever has written has proved nothing."
    )
    language: Language | None = Field(
        default=None, description="that in which the mail seems to be written, if left out"
    )
    answers: int = Field(
        default=0,
        ge=0,
        description="how many were written back to this mail before, as you have seen; with any other number nothing"
        " goes out, so that whoever got no answer from us may simply repeat",
    )


@dataclass(frozen=True, slots=True)
class Prepared:
    """An answer as it will go out: to which address, after which Message-IDs, and the letter."""

    mail: Mail
    to: str
    thread: Sequence[str]
    letter: Letter


@dataclass(frozen=True, slots=True)
class Answering:
    """Writes back to mails; each answer is on record under the id of the mail, or of the request that it belongs to.

    Raises:
        NotFound: there is no such mail.
        Shredded: it is no longer kept, and with it nobody knows where it came from.
        BadRequest: the words ask for an identity document, or it must be said in which language they are.
        IllegalTransition: it is none that is answered (``unanswerable``), or has had ``MOST`` answers.
    """

    unit_of_work: UnitOfWorkFactory
    letters: Letters
    identity: IdentityPolicy
    ours: Ours

    async def preview(self, mail_id: UUID, said: MailAnswer, caller: Caller) -> Prepared:
        """The answer as it would go out; nothing is sent. It shows where the mail came from, which is on record."""
        prepared = await self._prepare(mail_id, said)
        async with self.unit_of_work.begin() as tx:
            detail: dict[str, JsonValue] = {"mail_id": str(mail_id), "holder": caller.holder}
            tx.log_evidence(prepared.mail.request_id or mail_id, "mail.read", detail, caller.actor)
        return prepared

    async def answer(self, mail_id: UUID, said: MailAnswer, caller: Caller) -> UUID:
        """Has the answer sent; returns the id of the letter. What becomes of the mail itself is decided apart.

        Raises:
            PreconditionFailed: somebody else has written back meanwhile, or the same was sent before.
        """
        prepared = await self._prepare(mail_id, said)
        async with self.unit_of_work.begin() as tx:
            await inbox.lock(tx, mail_id)
            mail = await inbox.read(tx.connection, mail_id)
            if mail is None or mail.state == "dismissed":
                raise Shredded("the mail was no request, and is not kept")
            written = await answers.count(tx, mail_id)
            if written != said.answers:
                raise PreconditionFailed("another answer was written to this mail meanwhile: open it again, and look")
            if written >= MOST:
                raise IllegalTransition(f"it has had {MOST} answers: go on with what comes back")
            goes = (prepared.to, prepared.thread)
            letter_id = await answers.write(tx, mail_id, prepared.letter, goes, caller.holder)
            detail: dict[str, JsonValue] = {
                "mail_id": str(mail_id),
                "holder": caller.holder,
                "letter_id": str(letter_id),
                "kind": delivery.OF_MAIL,
                "language": prepared.letter.language,
            }
            tx.log_evidence(mail.request_id or mail_id, "mail.answered", detail, caller.actor)
        return letter_id

    async def written(self, mail_id: UUID) -> int:
        """How many answers a mail has had."""
        async with self.unit_of_work.begin() as tx:
            return await answers.count(tx, mail_id)

    async def _prepare(self, mail_id: UUID, said: MailAnswer) -> Prepared:
        self.identity.must_not_ask_for_a_document(said.text)
        async with self.unit_of_work.begin() as tx:
            mail, raw = await inbox.opened(tx, mail_id)
        content, written = await apart.read(raw, mail.received_at, self.ours), form.read(raw, mail_id)
        if reason := unanswerable(content):
            raise IllegalTransition(reason)
        language = said.language or (written.language if written else await self._seems(content))
        if language is None:
            raise BadRequest("the language of the mail cannot be told: say in which one you have written", "language")
        policy = self.letters.policy
        known: Mapping[str, LetterField] = {"received_on": mail.received_at, "reference": str(mail_id)}
        reader = Reader(language, policy.controller.zone, None)
        letter = self.letters.write(
            delivery.OF_MAIL, reader, {**known, "explanation": said.text}, self.unit_of_work.clock.now()
        )
        # A form has a Message-ID of ours that no mailbox has ever seen.
        return Prepared(mail, content.answer_to, () if written else content.thread, letter)

    @staticmethod
    async def _seems(content: Incoming) -> Language | None:
        return (await asyncio.to_thread(propose, content, mail_policy())).language


def unanswerable(content: Incoming) -> str | None:
    """Why nobody may write back to such a mail; None: somebody may; pure."""
    if content.kind in _NOT:
        return _NOT[content.kind]
    return None if address_in(content.answer_to) else "it says no address of theirs to which an answer could go"
