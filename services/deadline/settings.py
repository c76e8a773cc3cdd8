"""Settings of the deadline service's own; ``DSR_DEADLINE_…``."""

from pydantic import Field

from shared.domain.configuration import Group


class DeadlineSettings(Group, prefix="DSR_DEADLINE_"):
    """Intervals of the polls of timers and of the register's source, and the hour of the daily digest."""

    sweep_seconds: float = Field(default=5.0, gt=0, le=3_600, description="how often to look for due timers")
    assignments_seconds: float = Field(
        default=900.0, ge=1, le=86_400, description="how often the number register is read"
    )
    batch: int = Field(default=1_000, ge=1, le=100_000, description="rows of one transaction")
    digest_hour: int = Field(default=7, ge=0, le=23, description="hour of the daily digest, controller's zone")
    on_the_way_seconds: float = Field(default=60, ge=0, le=86_400, description="grace before a target counts as missed")
