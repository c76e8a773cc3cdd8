"""Enters a request that came by post, mail or phone, as an officer has read it.

It is dated by the day of its arrival. It proves no identity, so the requester must prove it as for any other request.
"""

import hmac
from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue, ValidationError

from services.intake.access.auth import Caller
from services.intake.access.grant import Power
from services.intake.core.errors import BadRequest
from services.intake.core.schemas import Strict, place_of
from services.intake.core.subject_schemas import DataSubject
from services.intake.submission.accepting import Submissions
from services.intake.submission.schemas import Ground, Scope, Submission
from services.intake.submission.writer import AcceptedRequest, SubmissionBatch, SubmissionContext
from shared.domain.clock import Moment
from shared.domain.languages import Language
from shared.domain.rights import Right
from shared.domain.text import Word
from shared.messaging.unit_of_work import UnitOfWorkFactory

_OF_RIGHTS = {"ground": Right.RESTRICTION, "scope": Right.OBJECTION, "purposes": Right.CONSENT_WITHDRAWAL}


class Entered(Strict):
    """The rights that a message asks for, and its subject; several rights become one case."""

    rights: Annotated[tuple[Right, ...], Field(min_length=1, max_length=8)] = Field(title="What it asks for")
    subject: DataSubject
    language: Language | None = Field(default=None, title="Language", description="That of the country, if left out")
    ground: Ground | None = Field(default=None, title="Of a restriction: its ground")
    scope: Scope | None = Field(default=None, title="Of an objection: to what")
    purposes: tuple[Word, ...] = Field(default=(), title="Of a withdrawal of consent: to what")
    field: str | None = Field(
        default=None,
        title="Of a correction: what is wrong",
        description="name, email, phone, address.street, address.city, …",
    )
    current: str | None = Field(
        default=None,
        title="Of a correction: what we have",
        description="Needed where we hold several, such as numbers",
    )
    asserted: str | None = Field(default=None, title="Of a correction: what is right")

    def requests(self, **known: object) -> tuple[Submission, ...]:
        """Returns a submission for each right; raises ``BadRequest`` if one lacks a field."""
        return tuple(self._one(right, known) for right in dict.fromkeys(self.rights))

    def _one(self, right: Right, known: dict[str, object]) -> Submission:
        subject = self.subject.model_dump(exclude_unset=True)
        for each in subject.get("phones", ()):  # without a country code it is dialled where they live
            each.setdefault("region", None if str(each["number"]).startswith("+") else self.subject.country)
        body: dict[str, Any] = {"right": right, "subject": subject, **known}
        if self.language:
            body["language"] = self.language
        body |= {name: getattr(self, name) for name, of in _OF_RIGHTS.items() if of is right and getattr(self, name)}
        if right is Right.RECTIFICATION and self.field:
            body["changes"] = [{"field": self.field, "current": self.current, "asserted": self.asserted or ""}]
        try:
            return Submission.model_validate(body)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(str(each) for each in place_of(first) if each not in {"changes", 0})
            raise BadRequest(f"{right}: {str(first['msg']).removeprefix('Value error, ')}", place or "rights") from None


class EnteredByHand(Entered):
    """A message that is not in our mailbox: how and when it came, and how it is answered."""

    came_by: Literal["letter", "email", "call"] = Field(title="It came as")
    channel: Literal["email", "post"] = Field(
        title="The answer goes by", description="By post it goes to the address of record, which you look up"
    )
    received_at: Moment = Field(title="When it came to us")


async def enter(
    factory: UnitOfWorkFactory, submissions: Submissions, entry: EnteredByHand, caller: Caller
) -> list[AcceptedRequest]:
    """Stores an entered request, and logs who entered it; a repeat on the same day returns the first result.

    Raises:
        Forbidden: the caller may submit nothing.
        BadRequest: a right lacks what it needs, or it cannot have come then.
        MalformedIdentity: an identity cannot be one of its type.
    """
    caller.grant.must(Power.SUBMIT)
    requests = entry.requests(channel=entry.channel, received_at=entry.received_at)
    prepared = submissions.prepare([("", each) for each in requests], caller, one_case=len(requests) > 1)
    async with factory.begin() as tx:
        text = f"entered\0{caller.holder}\0{tx.now.date()}\0{entry.model_dump_json()}".encode()
        digest = hmac.digest(tx.vault.keyring.lookup, text, "sha256")
        [stored] = await submissions.write(
            tx, [SubmissionBatch(SubmissionContext(caller, digest, digest, None), prepared)]
        )
        if isinstance(stored, Exception):
            raise stored
        detail: dict[str, JsonValue] = {"came_by": entry.came_by, "holder": caller.holder}
        for each in stored:
            if not each.replayed:
                tx.log_evidence(each.request_id, "request.entered", detail, caller.actor)
    return stored
