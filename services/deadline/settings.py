"""Settings of the deadline service's own; ``DSR_DEADLINE_…``."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class DeadlineSettings(BaseSettings):
    """How often the clocks are looked at, and when what is said daily is written."""

    model_config = SettingsConfigDict(env_prefix="DSR_DEADLINE_", title="DSR_DEADLINE_", frozen=True)

    sweep_seconds: float = Field(default=1.0, gt=0, description="how often to look for milestones that have come")
    batch: int = Field(default=1_000, gt=0, description="rows of one transaction")
    digest_hour: int = Field(
        default=7,
        ge=0,
        le=23,
        description="from which hour on the daily digest and page are written, where the controller is",
    )
    on_the_way_seconds: float = Field(
        default=60, ge=0, description="how long a step may be on its way to us before its target counts as missed"
    )
