"""Bodies of what a person enters of complaints and of samples."""

from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import Field, StringConstraints, model_validator

from services.intake.schemas import Count, Strict
from shared.domain.moments import Day
from shared.domain.text import Text

LodgedWith = Literal["controller", "authority", "court"]
"""With us (Art. 12(2)), with a supervisory authority (Art. 77), with a court (Art. 79)."""
Verdict = Literal["upheld", "rejected", "withdrawn"]


class Complained(Strict):
    """What somebody complains of."""

    lodged_with: LodgedWith
    received_on: Day = Field(description="when we heard of it")
    note: Text | None = Field(default=None, description="by which reference, and what about; kept sealed")


class ComplaintLodged(Complained):
    """Somebody complains about how a request was handled."""

    request_id: UUID


class ComplaintDecided(Strict):
    """What became of a complaint."""

    decision: Verdict
    decided_on: Day
    note: Text | None = Field(default=None, description="why; kept sealed")


class IntakeSample(Strict):
    """What somebody has found who looked through a sample of what came to support@ in a month."""

    month: Annotated[str, StringConstraints(pattern=r"^20[0-9]{2}-(0[1-9]|1[0-2])$")] = Field(examples=["2026-10"])
    sampled: Annotated[Count, Field(ge=1)] = Field(description="messages that were looked through")
    missed: Count = Field(
        description="requests among them that nobody had entered; enter each with its own receipt date"
    )

    @model_validator(mode="after")
    def _counts(self) -> Self:
        if self.missed > self.sampled:
            raise ValueError("missed cannot be more than sampled")
        return self
