"""What of a record that several people are in is left out of the copy of one of them (Art. 15(4)); pure."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from shared.domain.policy.categories import Data
from shared.domain.text import Word


class Other(StrEnum):
    """Whose part of a record it is."""

    WITHHELD = "withheld"  # somebody who withheld their number
    UNCONCERNED = "unconcerned"  # somebody with whom the subject had nothing to do
    OTHERS = "others"  # another party, as far as a dataset does not let others see it
    WRITERS = "writers"  # somebody else who wrote on their ticket


class Redaction(Data):
    """In which ``categories`` the part of somebody else is left out."""

    categories: Literal["all"] | Annotated[frozenset[Word], Field(min_length=1)]

    def holds_in(self, category: str | None) -> bool:
        """Whether it is left out there; in what the policy does not know, always."""
        return self.categories == "all" or category is None or category in self.categories
