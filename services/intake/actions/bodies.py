"""Bodies of actions: their titles, descriptions and words make the API's document, the forms and the command."""

from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from services.intake.core.schemas import NFC, NOT_ASKED, PROOFS_OF, Count, Country, IdentityField, Name, Proofs, Strict
from services.intake.core.subject_schemas import DataSubject, Email
from services.intake.request.aggregate import Finding
from shared.domain.clock import Day, Moment
from shared.domain.operations import Limit
from shared.domain.policy_files import Article, Code
from shared.domain.text import LINES, ONE_LINE, Text, Word
from shared.domain.time_limit_policy import Question

System = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,40}$")]
Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=60, pattern=ONE_LINE), NFC]


class Nothing(Strict):
    """An action without fields."""


class ProofRevoked(Strict):
    """A proof was wrong: from now on the identity is not proved."""

    identity: IdentityField = Field(
        examples=["phones.0"], description="its field: email, account_id, or phones.0 for the first number"
    )
    note: Text | None = Field(
        default=None, title="How that came to light", description="For the privacy team; kept sealed"
    )


class ContactConfirmed(Strict):
    """The contact on file of an account has confirmed the request by a link."""

    address: Email


class QuestionAsked(Strict):
    """A question to the requester."""

    question: Question = Field(title="What about")
    text: Text = Field(title="The question, in the language of the person")
    contact_on_file: Email | None = Field(
        default=None,
        title="Contact on file of the account",
        description="of a question who they are: the e-mail address on file for the account that they name; a link goes"
        " there, and the reader who confirms by it is the requester, at L1. For a copy, an erasure or a correction a"
        " second person must approve. May be left out",
    )
    condition_recorded: bool = Field(
        default=False,
        title="On file",
        description="Reasonable doubt (Art. 12(6)), or a large quantity of data (Recital 63), is on file",
    )

    @model_validator(mode="after")
    def _asks_who_they_are(self) -> Self:
        if self.contact_on_file and self.question is not Question.IDENTITY:
            raise ValueError("contact_on_file belongs to the question identity: leave it out")
        return self


class QuestionReply(Strict):
    """A reply of the requester."""

    subject: DataSubject | None = Field(
        default=None,
        description="what else they are known by, where a system could not be searched",
        json_schema_extra=NOT_ASKED,
    )
    proofs: Proofs = Field(
        default=(),
        description=f"of that `subject`, what was proved before too: {PROOFS_OF}",
        json_schema_extra=NOT_ASKED,
    )
    text: Text = Field(title="Their answer", description="Kept sealed")
    received_at: Moment | None = Field(
        default=None, title="When it came", description="When it reached the company; now, if left out"
    )

    @model_validator(mode="after")
    def _proves_what_it_states(self) -> Self:
        if self.proofs and self.subject is None:
            raise ValueError("proofs belong to subject; what was stated before is proved by the action verify")
        return self


class ArrivalCorrection(Strict):
    """When a request really reached the company, and how that came to light."""

    received_at: Moment = Field(title="When it really came")
    country: Country | None = Field(
        default=None, description="where the subject lives, ISO 3166, as DE; as it was, if left out"
    )
    reason: Text = Field(title="How that came to light", description="Kept sealed")


class Extension(Strict):
    """Why a request needs more time, and until when."""

    reason: Annotated[str, StringConstraints(pattern="^[A-Z_]{1,64}$")] = Field(
        examples=["VOLUME"], description="One of the policy's"
    )
    explanation: Annotated[str, StringConstraints(max_length=4000, pattern=LINES), NFC] = Field(
        title="Why, in words that the person reads", description="Ask for no ID copy."
    )
    new_due: Day = Field(title="New date", description="As 2026-03-31")


class Answer(Strict):
    """Why a request is answered so."""

    reason: Code = Field(examples=["MANIFESTLY_UNFOUNDED"], description="One of the policy's reasons for that")
    article: Article = Field(examples=["12(5)(b)"], description="Of the GDPR, by which the reason holds")
    explanation: Text = Field(
        title="Explanation to the person", description="It stands in the letter alone. Ask for no ID copy."
    )


class EndedPart(Answer):
    """An explanation of what became of the data of a retired system. If a copy exists, record a result instead."""

    system: System = Field(description="the system whose task has `failure`: `system_retired`")


class Balancing(Strict):
    """The result of weighing an objection."""

    finding: Finding = Field(
        description="`overridden`: compelling grounds that we can show override it; `legal_claims`: these do; the last"
        " three: it does not apply, since the data are not processed for legitimate interests"
    )
    explanation: Text = Field(title="Why", description="The person reads it, unless the objection is upheld")


class LimitConfirmation(Strict):
    """One request may touch as much of a system as its task has found, though that is beyond a limit."""

    system: System = Field(description="the system whose task waits")
    limit: Limit = Field(description="the limit that has stopped it")


class ManualResult(Strict):
    """The result of work that was done by hand in a system."""

    system: System = Field(
        description="the system whose task has `failure`: `not_supported` or `system_retired`, or `not_searched`:"
        " `shared_identifier`, `line_shared` or `no_longer_theirs`"
    )
    found: Count = Field(description="rows or objects of the subject's that were there; 0: nothing was")
    changed: Count = Field(description="how many of them were erased or changed; 0 for a copy")
    note: Text | None = Field(default=None, title="What was done", description="For the privacy team; kept sealed")

    @model_validator(mode="after")
    def _counts(self) -> Self:
        if self.changed > self.found:
            raise ValueError("changed cannot be more than found")
        return self


class Forwarded(Strict):
    """To whom a request was passed on."""

    controller: Name = Field(title="Customer who decides about the data", description="as their contract names them")
    may_be_named: bool = Field(
        default=False, title="Name", description="The contract lets us name the customer to the person"
    )


class ControllerReply(Strict):
    """The reply of the customer to whom a request was forwarded."""

    text: Text = Field(title="What they say", description="In their words; kept sealed")


class PostalAddress(Strict):
    """Where letters on paper go: the address that we have on file, not one that the letter we got names."""

    lines: Annotated[tuple[Line, ...], Field(min_length=3, max_length=6)] = Field(
        title="Address",
        examples=[["Ada Quarzfels", "Musterstraße 1", "50667 Köln"]],
        description="As it stands in the window of the envelope, from the name on: 3 to 6 lines",
    )
    on_file_in: Word = Field(
        title="System in which you have looked it up", examples=["crm"], description="As the policy names it"
    )
