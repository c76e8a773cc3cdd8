"""What every decision about a request has in common: it is made for a version of it, once, by who may see it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from pydantic import BaseModel

from services.intake import auth, versions
from services.intake.auth import Caller
from services.intake.errors import NotFound
from services.intake.grant import Power
from services.intake.identity.proving import Proving
from services.intake.incidents import record as incidents
from services.intake.instants import Instants
from services.intake.letters.rendering import Letters
from services.intake.repository import Requests
from services.intake.request.aggregate import Request, Transition
from services.intake.request.reasons import Reasons
from services.intake.settings import IntakeSettings
from services.intake.versions import Basis, Decided
from shared.domain.identity_rules import IdentityPolicy
from shared.domain.time_limit_policy import TimeLimitPolicy
from shared.messaging.unit_of_work import UnitOfWork, UnitOfWorkFactory
from shared.storage.postgres import Connection

Bodies = ParamSpec("Bodies")
D = TypeVar("D", bound="Deciding")


@dataclass(frozen=True, slots=True)
class Held:
    """The request that is decided about, locked until the unit of work ends, and who decides."""

    tx: UnitOfWork
    request: Request
    caller: Caller


def decision(
    step: Callable[Concatenate[D, Held, Bodies], Awaitable[Transition]],
) -> Callable[Concatenate[D, Basis, Bodies], Awaitable[Decided]]:
    """Makes a step a decision: taken on the version that it was made for, once; a repeat gets the first answer."""

    @wraps(step)
    async def decide(self: D, basis: Basis, /, *args: Bodies.args, **kwargs: Bodies.kwargs) -> Decided:
        bodies = [body for body in args if isinstance(body, BaseModel)]
        async with self.unit_of_work.begin() as tx:
            requests = await Requests.locked(tx, self.letters, [basis.request_id], basis.caller.actor)
            request = await visible(tx.connection, requests.get(basis.request_id), basis.caller)
            basis.caller.grant.must(Power.SUBMIT)
            basis.caller.grant.must_handle(request.right)
            await incidents.must_not_own(tx.connection, request.request_id, basis.caller.holder)
            made = versions.fingerprint(tx, basis, step.__name__, bodies)
            if request.version != basis.version:
                return await versions.first_answer(tx, basis, made)
            await requests.apply(await step(self, Held(tx, request, basis.caller), *args, **kwargs))
            requests.touch(basis.request_id)
            await requests.save()
            return await versions.remember(tx, basis, made, requests[basis.request_id])

    return decide


@dataclass(frozen=True, slots=True)
class Deciding:
    """What the decisions about a request need.

    Raises:
        NotFound: from every method, for any other caller.
        Forbidden: from every decision, where the key may do no such thing, or state no such proof, or where its holder
            owns an incident of the request.
        PreconditionFailed: from every decision, where the request has changed since the version it was made for.
        IllegalTransition: from every decision that moves the request, where the lifecycle has no such step.
    """

    unit_of_work: UnitOfWorkFactory
    policy: TimeLimitPolicy
    letters: Letters
    identity: IdentityPolicy
    instants: Instants
    reasons: Reasons
    settings: IntakeSettings

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
