"""What routes are given: the services of the running intake, and who calls."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from services.intake.auth import ApiKeys, Caller
from services.intake.submission import Submissions
from services.intake.use_cases import UseCases
from shared.messaging.unit_of_work import UnitOfWorkFactory
from shared.runtime.telemetry import Tracing

_bearer = HTTPBearer(
    scheme_name="apiKey",
    bearerFormat="dsr_<id>_<secret>",
    description="An API key, made by `dsr api-key new --role ROLE`. The role `channel` submits and follows its own"
    " requests, `privacy` sees and decides all, `downstream:<system>` fetches the identities of its tasks.",
    auto_error=False,
)


@dataclass(frozen=True)
class Services:
    """What the routes work with; the application has it in its state."""

    unit_of_work: UnitOfWorkFactory
    tracing: Tracing
    api_keys: ApiKeys
    submissions: Submissions
    use_cases: UseCases


async def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


UseServices = Annotated[Services, Depends(_services)]


async def caller(
    services: UseServices, bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> Caller:
    """Whoever has a valid API key; raises ``Unauthorised``."""
    return await services.api_keys.caller(bearer.credentials if bearer else None)


AnyCaller = Annotated[Caller, Depends(caller)]


async def privacy(caller: AnyCaller) -> Caller:
    """Somebody of the privacy team; raises ``Forbidden``."""
    caller.must_be("privacy")
    return caller


PrivacyTeam = Annotated[Caller, Depends(privacy)]
