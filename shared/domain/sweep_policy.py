"""How the nightly sweep goes about its work; policy, not code."""

from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from shared.domain.text import Word
from shared.domain.toml_file import read_with_ours

POLICY = Path(__file__).parents[1] / "policy" / "sweep.toml"


class SweepPolicy(BaseModel):
    """When a night begins, how much of a table it may remove unasked, and which restrictions it spares.

    ``copied_within_days``: so long from proof it spares what a copy was asked of that is not made yet.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    begins_at_hour: Annotated[int, Field(ge=0, le=23)]
    share: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
    few: Annotated[int, Field(ge=0, le=100_000)]
    spares: frozenset[Word]
    copied_within_days: Annotated[int, Field(ge=0, le=30)]

    def is_too_much(self, due: int, rows: int) -> bool:
        """Whether two persons must say that so many rows of so many may go in one night."""
        return due > self.few and due > self.share * rows

    def night(self, local: datetime) -> "datetime":
        """The beginning of the night that this local time, or the day that it is in, belongs to."""
        begins = timedelta(hours=self.begins_at_hour)
        return (local - begins).replace(hour=0, minute=0, second=0, microsecond=0)


@cache
def sweep_policy(overlay: Path | None = None) -> SweepPolicy:
    """The policy as shipped with the company's own in that folder over it; ``Misconfigured`` if it cannot be used."""
    return read_with_ours(POLICY, SweepPolicy, overlay)
