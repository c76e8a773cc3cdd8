"""Bodies of what a person says of letters that nobody fetches."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from services.intake.schemas import NFC, Strict
from shared.domain.text import ONE_LINE, Word

Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=60, pattern=ONE_LINE), NFC]


class PostalAddress(Strict):
    """Where letters on paper go: the address that we have on file, not one that the letter we got names."""

    lines: Annotated[tuple[Line, ...], Field(min_length=3, max_length=6)] = Field(
        examples=[["Ada Quarzfels", "Musterstraße 1", "50667 Köln"]],
        description="as it stands in the window of the envelope, from the name on",
    )
    on_file_in: Word = Field(examples=["crm"], description="the system in which you have looked it up")


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
