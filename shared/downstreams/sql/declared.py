"""What a dataset says of a table besides its columns: who is in a row, when it happened, and what restricts it."""

import re
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict

_LONGEST_NAME = 63


def _name(value: str) -> str:
    if not value or "\x00" in value or len(value.encode()) > _LONGEST_NAME:
        raise ValueError("is no name that PostgreSQL can hold")
    return value


Name = Annotated[str, AfterValidator(_name)]
UTC_ZONE = ZoneInfo("UTC")


class Declared(BaseModel):
    """A table of the file; a key that it does not know is a mistake."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Withheld(Declared):
    """How a row tells that a party hid their number: then nothing of theirs is shown to anybody else.

    ``shown``: the words that hide nothing. The column holds one word or a list of them, as a ``Privacy`` header does
    (RFC 3323), in any case; any other word hides, and so does one that nobody has heard of.
    """

    column: Name
    shown: tuple[str, ...] = ("none",)

    def hides(self, said: object) -> bool:
        """Whether a row that says this there hides the party."""
        words = re.split(r"[\s;,]+", "" if said is None else str(said).casefold())
        return not {word for word in words if word} <= {word.casefold() for word in self.shown}


class Party(Declared):
    """A person in a row of several; ``nobody`` are values that identify no one, besides NULL.

    ``seen_by``: to which other parties what tells about it is shown; to all, if left out. ``same_as``: the party that
    it is where both have a value in common, or that one has none: who was dialled mostly is who was reached.
    """

    nobody: tuple[str, ...] = ("",)
    withheld: Withheld | None = None
    seen_by: tuple[str, ...] | None = None
    same_as: str | None = None


class Occurred(Declared):
    """When a row happened, which binds a number to its period; ``timezone`` is that of times that have none."""

    column: Name
    timezone: ZoneInfo = UTC_ZONE


class Period(Declared):
    """The columns that say from when to when a row holds; without ``timezone`` they are in that of ``occurred``."""

    valid_from: Name
    valid_to: Name
    timezone: ZoneInfo | None = None


class Switch(Declared):
    """A boolean column and what it must be for the right to be honoured."""

    column: Name
    value: bool


class SideTable(Declared):
    """A table beside the data that the read path obeys: numbers of people whose data nobody may use (Art. 18)."""

    table: Name
    number: Name
    valid_from: Name
    valid_to: Name
    request: Name
