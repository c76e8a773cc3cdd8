"""What the tables of several adapters in the downstreams file have in common."""

from pydantic import BaseModel, ConfigDict, Field

from shared.domain.errors import BlastRadius
from shared.domain.operations import Exceeded, Limit
from shared.downstreams.contract import Task


class LimitedSettings(BaseModel):
    """A table that limits how much one request may touch; an adapter that tells people apart adds ``max_people``."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    max_rows: int = Field(default=100_000, ge=1, le=1_000_000_000, description="rows that one request may touch")

    def excess(self, task: Task, *, rows: int = 0, people: int = 0) -> BlastRadius | None:
        """Why the task may not touch as much, or None where it may, or where two persons have confirmed as much."""
        for limit, found in ((Limit.MAX_PEOPLE, people), (Limit.MAX_ROWS, rows)):
            allowed = max(getattr(self, limit, found), task.confirmed.get(limit, 0))
            if found > allowed:
                exceeded = Exceeded(limit=limit, found=found, allowed=allowed)
                return BlastRadius(f"{found:,} are found, and {limit} = {allowed:,}; nothing was done", exceeded)
        return None
