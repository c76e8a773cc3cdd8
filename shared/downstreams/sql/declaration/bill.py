"""What an itemised bill shows of a call: which columns, as a dataset declares, and how much of a number, as policy."""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Protocol, Self

import phonenumbers
from pydantic import BaseModel, ConfigDict, Field

from shared.domain.identities import Identity, IdentityType
from shared.domain.toml_file import read_toml

ITEMISED_BILL = "itemised_bill"
"""The category of calls that are shown as an itemised bill shows them."""
_POLICY = Path(__file__).parents[3] / "policy" / "itemised_bill.toml"
_HIDDEN = "x"

Digits = Annotated[int, Field(ge=0, le=15)]


class _Column(Protocol):
    @property
    def party(self) -> str | None: ...

    @property
    def shown(self) -> bool: ...


class Itemised(BaseModel):
    """Of calls made from a line that several people use, what an itemised bill shows to its subscriber.

    ``by``: the columns by which the party who called is found; ``dialled``: the number that they called, which is
    shortened; ``columns``: what is shown besides, as when and how long, and what it cost.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    by: tuple[str, ...] = Field(min_length=1)
    dialled: str
    columns: tuple[str, ...] = Field(min_length=1)

    @property
    def names(self) -> tuple[str, ...]:
        """Every column that it names, of which one may be named twice."""
        return (*self.by, self.dialled, *self.columns)

    def mistakes(self, columns: Mapping[str, _Column], searched: Collection[str], *, timed: bool) -> Iterator[str]:
        """Where it would show more than that, or nobody could be found; all that it names is among the columns."""
        if not timed or not set(self.by) <= set(searched):
            yield "itemised needs the time of a call, and by columns that hold an identity of who called"
        if len({columns[name].party for name in self.by}) > 1:
            yield "itemised.by names columns of several parties; only who called has the bill"
        if any(columns[name].party is not None or not columns[name].shown for name in self.columns):
            yield "itemised.columns may be of no party, and must be shown"


class ShortenedNumbers(BaseModel):
    """How many of the last digits of a number that was dialled a bill hides, by the country of the line."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    hidden_digits: Digits
    hidden_digits_in: Mapping[str, Digits] = Field(default_factory=dict)

    @classmethod
    def load(cls) -> Self:
        """The policy that ships with the product.

        Raises:
            Misconfigured: the file cannot be used.
        """
        return read_toml(_POLICY, cls)

    def shortened(self, dialled: str, line: Identity) -> str:
        """A number without its last digits; of a user of a domain nothing but how long the name is."""
        digits = dialled.lstrip("+")
        if not digits.isdigit():
            return _HIDDEN * len(dialled)
        hidden = min(self._hidden(line), len(digits))
        return dialled[: len(dialled) - hidden] + _HIDDEN * hidden

    def _hidden(self, line: Identity) -> int:
        if line.type is not IdentityType.PHONE:
            return self.hidden_digits
        country = phonenumbers.region_code_for_number(phonenumbers.parse(line.value, None))
        return self.hidden_digits_in.get(country or "", self.hidden_digits)
