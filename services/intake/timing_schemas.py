"""Bodies of what people decide about the dates of a request."""

from typing import Annotated

from pydantic import Field, StringConstraints

from services.intake.schemas import NFC, Country, Strict
from shared.domain.moments import Day, Moment
from shared.domain.text import LINES, Text


class ArrivalCorrection(Strict):
    """When a request really reached the company, and how that came to light."""

    received_at: Moment
    country: Country | None = Field(
        default=None, description="where the subject lives, ISO 3166; as it was, if left out"
    )
    reason: Text


class ExtensionProposal(Strict):
    """Why a request needs more time, and until when."""

    reason: Annotated[str, StringConstraints(pattern="^[A-Z_]{1,64}$")] = Field(examples=["VOLUME"])
    explanation: Annotated[str, StringConstraints(max_length=4000, pattern=LINES), NFC]
    new_due: Day
