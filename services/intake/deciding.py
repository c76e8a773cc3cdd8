"""What every action about a request needs, and who may see a request."""

from dataclasses import dataclass

from services.intake import auth
from services.intake.auth import Caller
from services.intake.errors import NotFound
from services.intake.holds import Holds
from services.intake.identity.proving import Proving
from services.intake.instants import Instants
from services.intake.letters.rendering import Letters
from services.intake.request.aggregate import Request
from services.intake.request.reasons import Reasons
from services.intake.settings import IntakeSettings
from shared.domain.identity_rules import IdentityPolicy
from shared.domain.time_limit_policy import TimeLimitPolicy
from shared.messaging.unit_of_work import UnitOfWorkFactory
from shared.storage.postgres import Connection


@dataclass(frozen=True, slots=True)
class Deciding:
    """The policies, and where units of work begin."""

    unit_of_work: UnitOfWorkFactory
    policy: TimeLimitPolicy
    letters: Letters
    identity: IdentityPolicy
    instants: Instants
    reasons: Reasons
    settings: IntakeSettings
    holds: Holds

    @property
    def proving(self) -> Proving:
        """How what is said to be proved becomes a level."""
        return Proving(self.identity, self.instants)


async def _theirs(connection: Connection, request: Request, caller: Caller) -> bool:
    if request.tenant != caller.grant.tenant:
        return False
    return caller.follows == request.request_id or await auth.same_channel(connection, caller, request.key_id)


async def visible(connection: Connection, request: Request | None, caller: Caller) -> Request:
    """The request, for the privacy team and for the channel that submitted it, by whichever key of the same tenant.

    The portal sees besides what somebody has shown to be theirs.
    """
    if request and (caller.role == "privacy" or await _theirs(connection, request, caller)):
        return request
    raise NotFound("no such request for this key")
