"""Bodies of what a person of the privacy team decides about a request."""

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from services.intake.reasons import Answering, Article, Code
from services.intake.schemas import Count, Strict
from shared.domain.operations import Limit
from shared.domain.text import Text


class Confirmation(Strict):
    """That one request may touch as much of a system as its task has found, though that is beyond a limit."""

    system: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,40}$")] = Field(
        description="the system whose task waits"
    )
    limit: Limit = Field(description="the limit that has stopped it")


class TaskResult(Strict):
    """What a person did by hand in a system that has no way to do it, and what they found when they looked again."""

    system: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,40}$")] = Field(
        description="the system whose task has `failure`: `not_supported`"
    )
    found: Count = Field(description="rows or objects of the subject's that were there; 0: nothing was")
    changed: Count = Field(description="how many of them were erased or changed; 0 for a copy")
    note: Text | None = Field(default=None, description="what was done, for the privacy team; kept sealed")

    @model_validator(mode="after")
    def _counts(self) -> Self:
        if self.changed > self.found:
            raise ValueError("changed cannot be more than found")
        return self


class Retry(Strict):
    """What is not done is tried again."""

    decision: Literal["retry"]


class Begin(Strict):
    """An erasure that waits for other requests of the same person does so no longer."""

    decision: Literal["begin"]


class ProposedAnswer(Strict):
    """How a request is to be answered, and why; somebody else must approve it."""

    decision: Answering
    reason: Code = Field(examples=["MANIFESTLY_UNFOUNDED"], description="one of the policy's reasons for that")
    article: Article = Field(examples=["12(5)(b)"], description="of the GDPR, by which the reason holds")
    explanation: Text = Field(description="what the subject is told of it besides; it stands in the letter alone")


Decision = Annotated[Retry | Begin | ProposedAnswer, Field(discriminator="decision")]
"""What a person decides about a request, or proposes."""
