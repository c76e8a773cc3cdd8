"""Settings of intake's own: how much may be sent, and how fast; ``DSR_INTAKE_…``."""

from collections.abc import Mapping
from datetime import timedelta
from functools import partial

from pydantic import Field, FilePath

from services.intake.core.instants import Instants
from shared.domain.configuration import Group
from shared.domain.errors import of_variable
from shared.domain.user_events import EMITTERS, Emitter, read_emitters


class IntakeSettings(Group, prefix="DSR_INTAKE_"):
    """Limits of the API (`api/admission.py`); a call beyond one is refused with a problem, and stores nothing."""

    batch_bytes: int = Field(default=4 * 2**20, ge=1, le=64 * 2**20, description="longest body of a batch")
    result_bytes: int = Field(
        default=16 * 2**20, ge=1, le=64 * 2**20, description="longest copy that a team uploads for a task"
    )
    body_bytes: int = Field(default=2**18, ge=1, le=64 * 2**20, description="longest body of any other call")
    batch_numbers: int = Field(default=5_000, ge=1, le=100_000, description="telephone numbers of one batch")
    held_bytes: int = Field(
        default=64 * 2**20,
        ge=2**20,
        le=4 * 2**30,
        description="bytes of all bodies that are under way; of one channel half as many, so twice the longest or more",
    )
    waiting: int = Field(
        default=20_000,
        ge=2_000,
        le=1_000_000,
        description="requests that wait for their commit; of one channel half as many",
    )
    under_way: int = Field(
        default=512, ge=2, le=100_000, description="calls that are answered at a time; of one channel half as many"
    )
    call_rate: float = Field(default=20_000.0, gt=0, le=1_000_000, description="calls a second of one channel")
    refusals_rate: float = Field(
        default=10.0,
        gt=0,
        le=1_000_000,
        description="calls a second without a valid key from one address, ten times as many in a burst",
    )
    proxies: int = Field(
        default=0,
        ge=0,
        le=10,
        description="our proxies in front, each of which adds to X-Forwarded-For; the first entry is the caller",
    )
    tolerance_seconds: float = Field(
        default=300.0, ge=0, le=3600, description="how far in the future a channel's clock may be"
    )
    oldest_days: int = Field(default=731, ge=1, le=36_500, description="how long ago a request or reply may have come")
    erasures_per_hour: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000_000,
        description="erasures of one key in an hour beyond which it is suspended, instead of what the policy says",
    )
    suppression_per_minute: int = Field(
        default=20_000,
        ge=10_000,
        le=10_000_000,
        description="contact points that one channel may ask about in a minute, whether they get no marketing",
    )
    emitters: FilePath = Field(default=EMITTERS, description="TOML file of the services that tell of their users")
    package_days: int = Field(default=14, ge=7, le=30, description="how long a package is kept once it is available")
    package_downloads: int = Field(default=5, ge=1, le=100, description="how often a package is handed out")

    def read_emitters(self) -> Mapping[str, Emitter]:
        """Reads the emitters of events, and what each may send; raises ``Misconfigured``."""
        return of_variable("DSR_INTAKE_EMITTERS", partial(read_emitters, self.emitters))

    @property
    def instants(self) -> Instants:
        """Bounds of stated times."""
        return Instants(timedelta(seconds=self.tolerance_seconds), timedelta(days=self.oldest_days))
