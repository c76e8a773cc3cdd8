"""When something is said to have been: not in the future, and not so long ago that it must be a mistake; pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from services.intake.core.errors import BadRequest

_NOT_YET = "received_at lies in the future; give the instant at which it arrived"
_LONG_AGO = "received_at lies longer ago than anything is accepted; ask whoever operates this, if it is true"
_BEFORE = "received_at lies before the question was sent; give the instant at which its answer arrived"
_LATER = "received_at lies after the request was entered here; it was here by then"
_NOT_YET_PROVED = "a proof lies in the future; give the time at which it was proved"


@dataclass(frozen=True, slots=True)
class Instants:
    """What is believed of a stated time; ``tolerance``: how wrong a channel's clock may be."""

    tolerance: timedelta = timedelta(minutes=5)
    oldest: timedelta = timedelta(days=731)

    def arrived(self, stated: datetime | None, now: datetime) -> datetime:
        """When something arrived: now, if nothing is said.

        Raises:
            BadRequest: it lies in the future, or too long ago.
        """
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

    def happened(self, stated: datetime, now: datetime, field: str) -> datetime:
        """When something is said to have happened; raises ``BadRequest`` for what lies in the future."""
        if stated > now + self.tolerance:
            raise BadRequest(f"{field} lies in the future; tell it once it has happened", field)
        return stated

    def proved(self, stated: datetime | None, now: datetime, field: str) -> datetime:
        """When something was proved: now, if nothing is said; raises ``BadRequest`` for what lies in the future."""
        if stated is None:
            return now
        if stated > now + self.tolerance:
            raise BadRequest(_NOT_YET_PROVED, field)
        return stated
