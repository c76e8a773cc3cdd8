"""What may be submitted, and what it becomes: every value checked and normalised before anything is stored."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from shared.domain.identities import Identity, IdentityType, normalise
from shared.domain.rights import Right, Role
from shared.domain.time_limit_policy import Question

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class PhoneClaim(_Strict):
    """A number, and since when (and until when) it has been the subject's; E.164 or a national form with ``region``."""

    number: Text
    region: Annotated[str, StringConstraints(pattern="^[A-Z]{2}$")] | None = None
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None


class SubjectClaim(_Strict):
    """Who the request is about, in the requester's words; at least one identity that a system can be searched by."""

    name: Text | None = None
    email: Text | None = None
    phones: Annotated[tuple[PhoneClaim, ...], Field(max_length=50)] = ()
    account_id: Text | None = None
    sip_uri: Text | None = None
    country: Annotated[str, StringConstraints(pattern="^[A-Z]{2}$")] | None = Field(
        default=None, description="where the subject lives, ISO 3166; decides zones and holidays"
    )

    @model_validator(mode="after")
    def _somebody(self) -> Self:
        if not (self.email or self.phones or self.account_id or self.sip_uri):
            message = "give at least one of email, phones, account_id, sip_uri: a name alone finds nobody for certain"
            raise ValueError(message)
        return self

    def identities(self) -> Iterator[Identity]:
        """Each identity in its one spelling; raises ``MalformedIdentity``."""
        for kind, value in (
            (IdentityType.EMAIL, self.email),
            (IdentityType.ACCOUNT_ID, self.account_id),
            (IdentityType.SIP_URI, self.sip_uri),
            (IdentityType.NAME, self.name),
        ):
            if value:
                yield Identity(kind, normalise(kind, value, None))
        for phone in self.phones:
            number = normalise(IdentityType.PHONE, phone.number, phone.region)
            yield Identity(IdentityType.PHONE, number, phone.since, phone.until)


class Change(_Strict):
    """A value that is wrong and what it should be (Art. 16)."""

    field: Annotated[str, StringConstraints(pattern=r"^[a-z_]+(\.[a-z_]+)?$", max_length=64)]
    current: Annotated[str, StringConstraints(max_length=2000)] | None = None
    asserted: Annotated[str, StringConstraints(min_length=1, max_length=2000)]


class Assurance(_Strict):
    """How sure the channel is that the requester is the subject, and how it came to be."""

    level: Literal["L0", "L1", "L2", "L3"]
    method: Annotated[str, StringConstraints(pattern="^[a-z0-9_]{1,64}$")]


class Submission(_Strict):
    """One data subject request."""

    right: Right
    subject: SubjectClaim
    changes: Annotated[tuple[Change, ...], Field(max_length=50)] = ()
    ground: Literal["accuracy_contested", "unlawful", "needed_for_claims", "objection_pending"] | None = None
    scope: Literal["direct_marketing", "legitimate_interests"] | None = None
    received_at: AwareDatetime | None = Field(default=None, description="when it reached the company; now, if left out")
    assurance: Assurance | None = None
    role: Role = Field(
        default="controller",
        description="what we are for the data; processor: a customer of ours decides, and we only forward",
    )

    @model_validator(mode="after")
    def _fits_the_right(self) -> Self:
        if (self.right is Right.RECTIFICATION) != bool(self.changes):
            message = "changes belong to a rectification, and a rectification needs at least one"
            raise ValueError(message)
        if (self.right is Right.RESTRICTION) != (self.ground is not None):
            message = "a ground (Art. 18(1)) belongs to a restriction, and a restriction needs one"
            raise ValueError(message)
        if (self.right is Right.OBJECTION) != (self.scope is not None):
            message = "a scope (Art. 21) belongs to an objection, and an objection needs one"
            raise ValueError(message)
        return self


class Batch(_Strict):
    """Up to 1,000 requests, accepted together or not at all."""

    requests: Annotated[tuple[Submission, ...], Field(min_length=1, max_length=1000)]


class Verification(_Strict):
    """What the requester has proved since."""

    assurance: Assurance


class QuestionAsked(_Strict):
    """What the requester is asked."""

    question: Question
    text: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=4000)]
    condition_recorded: bool = Field(
        default=False, description="reasonable doubt (Art. 12(6)), or a large quantity of data (Recital 63), is on file"
    )


class QuestionReply(_Strict):
    """What the requester answered."""

    subject: SubjectClaim | None = Field(
        default=None, description="what else they are known by, where a system could not be searched"
    )
    text: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=4000)]
    received_at: AwareDatetime | None = Field(default=None, description="when it reached the company; now, if left out")


class ReceiptCorrection(_Strict):
    """When a request really reached the company, and how that came to light."""

    received_at: AwareDatetime
    country: Annotated[str, StringConstraints(pattern="^[A-Z]{2}$")] | None = Field(
        default=None, description="where the subject lives, ISO 3166; as it was, if left out"
    )
    reason: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=4000)]


class Forwarded(_Strict):
    """To whom a request was passed on."""

    controller: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)] = Field(
        description="the customer who decides about the data, as their contract names them"
    )
    may_be_named: bool = Field(default=False, description="the contract lets us name the customer to the subject")


class ExtensionProposal(_Strict):
    """Why a request needs more time, and until when."""

    reason: Annotated[str, StringConstraints(pattern="^[A-Z_]{1,64}$")]
    explanation: Annotated[str, StringConstraints(max_length=4000)]
    new_due: date


class Decision(_Strict):
    """What a person decided about a request whose downstream failed."""

    decision: Literal["retry", "close_partially"]


LATEST_RECEIPT = timedelta(minutes=5)
"""How far a channel's clock may be ahead of ours."""


def received_in_the_future(received_at: datetime, now: datetime) -> bool:
    """Whether a stated receipt lies ahead of any clock error."""
    return received_at > now + LATEST_RECEIPT
