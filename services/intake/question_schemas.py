"""Bodies of the API about questions to the requester, and what they answer."""

from typing import Self

from pydantic import Field, model_validator

from services.intake.schemas import PROOFS_OF, Proofs, Strict
from services.intake.subject_schemas import DataSubject, Email
from shared.domain.moments import Moment
from shared.domain.text import Text
from shared.domain.time_limit_policy import Question


class QuestionAsked(Strict):
    """What the requester is asked."""

    question: Question
    text: Text
    condition_recorded: bool = Field(
        default=False, description="reasonable doubt (Art. 12(6)), or a large quantity of data (Recital 63), is on file"
    )
    contact_on_file: Email | None = Field(
        default=None,
        description="of a question who they are: the e-mail address on file for the account that they name; a link goes"
        " there, and the reader who confirms by it is the requester, at L1",
    )

    @model_validator(mode="after")
    def _asks_who_they_are(self) -> Self:
        if self.contact_on_file and self.question is not Question.IDENTITY:
            raise ValueError("contact_on_file belongs to the question identity: leave it out")
        return self


class QuestionReply(Strict):
    """What the requester answered."""

    subject: DataSubject | None = Field(
        default=None, description="what else they are known by, where a system could not be searched"
    )
    proofs: Proofs = Field(default=(), description=f"of that `subject`, what was proved before too: {PROOFS_OF}")
    text: Text
    received_at: Moment | None = Field(default=None, description="when it reached the company; now, if left out")

    @model_validator(mode="after")
    def _proves_what_it_states(self) -> Self:
        if self.proofs and self.subject is None:
            raise ValueError("proofs belong to subject; what was stated before is proved by /verify")
        return self
