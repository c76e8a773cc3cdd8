"""How long what the platform holds about a request is kept; policy, not code."""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from shared.domain.toml_file import read_toml

POLICY = Path(__file__).parents[3] / "shared" / "policy" / "retention.toml"

Days = Annotated[int, Field(ge=1, le=366)]
Months = Annotated[int, Field(ge=1, le=120)]


class Retention(BaseModel):
    """The periods of each tier (REQ-E1)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    collected_days: Days
    correspondence_months: Months
    register_months: Months
    idempotency_days: Days
    subject_days: Annotated[int, Field(ge=7, le=90)]
    account_months: Months
    incident_months: Months

    @model_validator(mode="after")
    def _ends_with_the_register(self) -> "Retention":
        if self.register_months < self.correspondence_months:
            raise ValueError("register_months must not be less than correspondence_months: letters belong to a request")
        return self


def retention(path: Path = POLICY) -> Retention:
    """The policy in that file; raises ``Misconfigured`` if it cannot be used."""
    return read_toml(path, Retention)
