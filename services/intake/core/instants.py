"""Moments that people state, and how long the platform keeps what it holds about a request."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from services.intake.core.errors import BadRequest
from shared.domain.toml_file import read_toml

_NOT_YET = "received_at lies in the future; give the instant at which it arrived"
_LONG_AGO = "received_at lies longer ago than anything is accepted; ask the operator, if it is true"
_BEFORE = "received_at lies before the question was sent; give the instant at which its answer arrived"
_LATER = "received_at lies after the request was entered here; it was here by then"


@dataclass(frozen=True, slots=True)
class Instants:
    """Checks stated times; ``tolerance``: how wrong a channel's clock may be."""

    tolerance: timedelta = timedelta(minutes=5)
    oldest: timedelta = timedelta(days=731)

    def arrived(self, stated: datetime | None, now: datetime) -> datetime:
        """When something arrived: now, if nothing is said; raises ``BadRequest``."""
        if stated is None:
            return now
        if stated > now + self.tolerance:
            raise BadRequest(_NOT_YET, "received_at")
        if stated < now - self.oldest:
            raise BadRequest(_LONG_AGO, "received_at")
        return stated

    def entered(self, stated: datetime, accepted_at: datetime, now: datetime) -> datetime:
        """When a request that was accepted then had really arrived; raises ``BadRequest``."""
        if self.arrived(stated, now) > accepted_at + self.tolerance:
            raise BadRequest(_LATER, "received_at")
        return stated

    def replied(self, stated: datetime | None, asked_at: datetime | None, now: datetime) -> datetime:
        """When the answer to a question arrived: never before it was sent; raises ``BadRequest``."""
        received_at = self.arrived(stated, now)
        if asked_at is None:
            return received_at
        if received_at < asked_at - self.tolerance:
            raise BadRequest(_BEFORE, "received_at")
        return max(received_at, asked_at)

    def happened(self, stated: datetime | None, now: datetime, field: str) -> datetime:
        """Returns when something happened: now, if nothing is said; raises ``BadRequest`` for the future."""
        if stated is not None and stated > now + self.tolerance:
            raise BadRequest(f"{field} lies in the future; tell it once it has happened", field)
        return stated or now


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
