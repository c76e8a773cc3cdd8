"""What the tables of several adapters in the downstreams file have in common."""

from pydantic import BaseModel, ConfigDict, Field

from shared.domain.errors import BlastRadius


class LimitedSettings(BaseModel):
    """A table that limits how much one request may touch; an adapter that tells people apart adds ``max_people``."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    max_rows: int = Field(default=100_000, ge=1, le=1_000_000_000, description="rows that one request may touch")

    def excess(self, *, rows: int = 0, people: int = 0) -> BlastRadius | None:
        """Why one request may not touch as much, or None where it may."""
        for limit, found in (("max_people", people), ("max_rows", rows)):
            allowed = getattr(self, limit, found)
            if found > allowed:
                return BlastRadius(f"{found} are found, and {limit} = {allowed}; nothing was done")
        return None
