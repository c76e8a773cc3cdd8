"""Gives routes the services of the running intake, the caller and the version."""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Annotated, Any

from fastapi import Depends, Header, Query, Request
from fastapi.dependencies.models import Dependant
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from services.intake.access.auth import Caller
from services.intake.actions.use_cases import UseCases
from services.intake.api.problems import documented
from services.intake.core.errors import (
    BadRequest,
    NotFound,
    PreconditionFailed,
    PreconditionRequired,
    TooLarge,
    UnsupportedType,
)
from services.intake.queries.suppression_check import SuppressionList
from services.intake.settings import IntakeSettings
from services.intake.submission.accepting import Submissions
from shared.domain.errors import IllegalTransition
from shared.domain.policy import Policy
from shared.domain.user_events import Emitter
from shared.messaging.unit_of_work import UnitOfWork, UnitOfWorkFactory
from shared.runtime.telemetry import Tracing


@dataclass(eq=False)
class DryRunFactory(UnitOfWorkFactory):
    """Opens units of work that are rolled back: nothing is stored, published or recorded, and nothing is done after."""

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[UnitOfWork]:
        """A transaction that ends as if it had never been, however its block ends."""
        async with self.pool.acquire() as connection:
            transaction = connection.transaction()
            await transaction.start()
            try:
                yield UnitOfWork(connection, self)
            finally:
                await transaction.rollback()


def dry_run_factory(real: UnitOfWorkFactory) -> DryRunFactory:
    """The same of which nothing is kept."""
    return DryRunFactory(real.pool, real.service, real.clock, real.vault, real.policy)


_bearer = HTTPBearer(
    scheme_name="apiKey",
    bearerFormat="dsr_<id>_<secret>",
    description="An API key, made by `dsr api-key new --role ROLE --holder WHO`. The role `channel` submits and follows"
    " its own requests as far as its key was made for, `privacy` sees and decides all, `downstream:<system>` fetches"
    " the identities of its tasks.",
    auto_error=False,
)


@dataclass(frozen=True)
class Services:
    """Services of the routes, kept in the state of the application."""

    unit_of_work: UnitOfWorkFactory
    tracing: Tracing
    settings: IntakeSettings
    submissions: Submissions
    use_cases: UseCases
    processing: Policy
    suppression: SuppressionList
    emitters: Mapping[str, Emitter]
    stores: bool = True

    def dry_run(self) -> "Services":
        """The same, with which everything is checked and nothing is done."""
        dry_run = dry_run_factory(self.unit_of_work)
        return replace(
            self,
            stores=False,
            unit_of_work=dry_run,
            use_cases=replace(
                self.use_cases,
                unit_of_work=dry_run,
                mail=replace(self.use_cases.mail, unit_of_work=dry_run),
            ),
        )


async def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


async def only_known_parameters(request: Request) -> None:
    """Refuses a parameter of the query that the route does not have, or that comes twice: it would be left unheeded."""
    route = request.scope["route"]
    known = _parameters(route.dependant)
    seen = set[str]()
    for name, _ in request.query_params.multi_items():
        if name not in known:
            takes = f"it takes {', '.join(sorted(known))}" if known else "it takes none"
            raise BadRequest(f"a parameter that this address does not have; {takes}", "query")
        if name in seen:
            raise BadRequest(f"{name} comes twice; send it once", name)
        seen.add(name)


def _parameters(dependant: Dependant) -> set[str]:
    """Query parameters of a route and of its dependencies."""
    own = {str(each.alias) for each in dependant.query_params}
    return own.union(*map(_parameters, dependant.dependencies))


UseServices = Annotated[Services, Depends(_services)]
DryRun = Annotated[
    bool,
    Query(
        description="Check it, and do nothing: the answer is that of the decision, or its refusal, and nothing of it is"
        " kept or sent. What it would make has another id, once it is made."
    ),
]


async def _dry_runnable(services: UseServices, *, dry_run: DryRun = False) -> Services:
    return services.dry_run() if dry_run else services


DryRunnable = Annotated[Services, Depends(_dry_runnable)]
"""With ``dry_run`` a decision is checked, and not made."""


async def caller(request: Request, _: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> Caller:
    """Returns the caller whom `Admission` has admitted."""
    found: Caller = request.state.caller
    return found


AnyCaller = Annotated[Caller, Depends(caller)]


async def privacy(caller: AnyCaller) -> None:
    """Lets the privacy team pass alone; raises ``Forbidden``."""
    caller.must_be("privacy")


PRIVACY_TEAM = (Depends(privacy),)
TAGGED: dict[int | str, dict[str, Any]] = {
    200: {
        "headers": {
            "ETag": {"description": "The version of the request, for `If-Match`", "schema": {"type": "string"}},
        }
    }
}
"""Documents an answer with an entity tag."""
DECIDING = TAGGED | documented(
    BadRequest, NotFound, IllegalTransition, PreconditionFailed, TooLarge, UnsupportedType, PreconditionRequired
)
"""Documents the problems of a decision."""
_ETAG = re.compile('"([1-9][0-9]{0,17}|[0-9a-f]{32})"')


def etag(version: int | str) -> str:
    """The strong entity tag of a version of a request."""
    return f'"{version}"'


async def version(
    *,
    if_match: Annotated[
        str,
        Header(
            alias="If-Match",
            description="The `ETag` of what this is decided about, as `GET` or the last action gave it. Any action is"
            " refused once that has changed, so a caller who got no answer may repeat it: nothing is done twice.",
        ),
    ],
) -> str:
    """The version that the caller has seen; raises ``PreconditionRequired``, ``BadRequest``."""
    if if_match == "*":
        raise PreconditionRequired("any version is none: read it, and send the ETag that you get as If-Match")
    tag = _ETAG.fullmatch(if_match)
    if tag is None:
        raise BadRequest('If-Match takes one ETag, unchanged, as "7"; a proxy between us must not make it weak')
    return tag[1]


Version = Annotated[str, Depends(version)]
"""The version that is decided about."""
