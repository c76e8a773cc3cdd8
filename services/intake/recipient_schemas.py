"""Bodies of the API about recipients and what they were told (Art. 19)."""

from typing import Literal

from pydantic import Field

from services.intake.schemas import Strict
from shared.domain.text import Text, Word

_NAMED = "the recipient, as the policy names it"


class RecipientReply(Strict):
    """A recipient has said that they have the digest, or that they have done the same."""

    reply: Literal["acknowledged", "done"]


class Waiver(Strict):
    """A recipient is not told: it is impossible, or takes an effort out of proportion (Art. 19)."""

    recipient: Word = Field(description=_NAMED)
    cause: Literal["impossible", "disproportionate"]
    explanation: Text = Field(description="why; it is sealed")


class WaiverApproval(Strict):
    """Another person agrees that a recipient is not told."""

    recipient: Word = Field(description=_NAMED)
