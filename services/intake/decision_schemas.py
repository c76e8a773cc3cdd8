"""Bodies of what a person of the privacy team decides about a request."""

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from services.intake.request.reasons import Answering
from services.intake.schemas import Count, IdentityField, Name, Strict
from shared.domain.answer_reasons import Article, Code
from shared.domain.operations import Limit
from shared.domain.text import Text


class Confirmation(Strict):
    """That one request may touch as much of a system as its task has found, though that is beyond a limit."""

    system: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,40}$")] = Field(
        description="the system whose task waits"
    )
    limit: Limit = Field(description="the limit that has stopped it")


class ProofTakenBack(Strict):
    """That what was said to prove an identity was wrong: from then on it is not proved."""

    identity: IdentityField = Field(
        examples=["phones.0"], description="the field of `subject` that holds it; a number by its place there"
    )
    note: Text | None = Field(default=None, description="how that came to light, for the privacy team; kept sealed")


class ProofLifted(Strict):
    """That links and codes which were stopped are the requester's after all."""

    note: Text | None = Field(default=None, description="how you know, for the privacy team; kept sealed")


class ResultByHand(Strict):
    """What a person did by hand in a system that cannot do it, and what they found when they looked again."""

    system: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,40}$")] = Field(
        description="the system whose task has `failure`: `not_supported` or `system_retired`, or `not_searched`:"
        " `held_by_others`, `line_shared` or `no_longer_theirs`"
    )
    found: Count = Field(description="rows or objects of the subject's that were there; 0: nothing was")
    changed: Count = Field(description="how many of them were erased or changed; 0 for a copy")
    note: Text | None = Field(default=None, description="what was done, for the privacy team; kept sealed")

    @model_validator(mode="after")
    def _counts(self) -> Self:
        if self.changed > self.found:
            raise ValueError("changed cannot be more than found")
        return self


class Forwarded(Strict):
    """To whom a request was passed on."""

    controller: Name = Field(description="the customer who decides about the data, as their contract names them")
    may_be_named: bool = Field(default=False, description="the contract lets us name the customer to the subject")


class ControllerReply(Strict):
    """What the customer to whom a request was passed on says: that they have it, how they go on."""

    text: Text = Field(description="in their words; kept sealed")


class Retry(Strict):
    """What is not done is tried again."""

    decision: Literal["retry"]


class Begin(Strict):
    """Begin an erasure that waits for copies or restrictions of the same person; two persons must decide it."""

    decision: Literal["begin"]


class ProposedAnswer(Strict):
    """How a request is to be answered, and why; somebody else must approve it."""

    decision: Answering
    reason: Code = Field(examples=["MANIFESTLY_UNFOUNDED"], description="one of the policy's reasons for that")
    article: Article = Field(examples=["12(5)(b)"], description="of the GDPR, by which the reason holds")
    explanation: Text = Field(description="what the subject is told of it besides; it stands in the letter alone")


class EndedPart(Strict):
    """What became of what a system held that was retired before a request was done there; somebody else must agree.

    It ends what is missing there. Where a person can still look, enter what they found as a task's result instead.
    """

    decision: Literal["end_part"]
    system: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,40}$")] = Field(
        description="the system whose task has `failure`: `system_retired`"
    )
    reason: Code = Field(examples=["SYSTEM_DESTROYED"], description="one of the policy's reasons for that")
    article: Article = Field(examples=["12(4)"], description="of the GDPR, by which the reason holds")
    explanation: Text = Field(
        description="what the subject is told of it besides, as who has the data now; it stands in the letter alone"
    )


Proposing = ProposedAnswer | EndedPart
"""What takes a second person."""

Decision = Annotated[Retry | Begin | Proposing, Field(discriminator="decision")]
"""What a person decides about a request, or proposes."""
