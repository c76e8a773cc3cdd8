"""Bodies of what a person says of letters that nobody fetches."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from services.intake.schemas import NFC, Strict


class AnotherWay(Strict):
    """How a letter is to be delivered now."""

    way: Literal["email", "post"] = Field(
        description="`email`: once more to the same address; `post`: on paper, to the address of record"
    )


class GivenUp(Strict):
    """Why a letter cannot be delivered by anybody."""

    explanation: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000), NFC] = Field(
        description="what was tried; it is kept sealed"
    )
