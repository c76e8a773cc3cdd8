"""Builds the application of intake: admission, around probes, documentation, portal, console and the API."""

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial

from fastapi import Depends
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.applications import Starlette
from starlette.datastructures import State
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from services.console import mounting as console
from services.intake.access.auth import ApiKeys
from services.intake.actions.use_cases import UseCases
from services.intake.api import actions, downloads, integrations, plans, recipients, requests, resources, submissions
from services.intake.api.admission import Admission
from services.intake.api.dependencies import Services, only_known_parameters
from services.intake.api.document import Api
from services.intake.api.problems import EVERYWHERE, HANDLERS
from services.intake.identity.proving import identity_policy
from services.intake.mail.use_cases import MailUseCases
from services.intake.queries.suppression_check import SuppressionList
from services.intake.request.reasons import read_reasons
from services.intake.reviews.holds import Holds
from services.intake.settings import IntakeSettings
from services.intake.store import lookup
from services.intake.submission.accepting import Submissions
from services.portal import mounting as portal
from shared import __version__
from shared.app.service import Running
from shared.domain.user_events import Emitter
from shared.runtime.settings import PolicySettings

_MODULES = (submissions, requests, downloads, plans, recipients, integrations, actions, resources)
"""In the order in which a path is matched: general paths come last."""


def describe() -> Api:
    """Returns the API with all its routes, for its document; the services that they need are missing."""
    api = Api(
        title="Data subject requests",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        summary="GDPR Art. 7(3), 15-18, 20, 21",
        openapi_tags=[{"name": m.router.tags[0], "description": (m.__doc__ or "").split("\n")[0]} for m in _MODULES],
        responses=EVERYWHERE,
        exception_handlers=HANDLERS,
        dependencies=[Depends(only_known_parameters)],
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    for module in _MODULES:
        api.include_router(module.router)
    return api


@cache
def _built() -> Api:
    """Returns the API with its routes built, which takes 0.3 s, so that the first request need not wait for it."""
    api = describe()
    nowhere = {"type": "http", "method": "GET", "path": "/", "root_path": "", "headers": []}
    for route in api.router.routes:
        route.matches(nowhere)
    return api


def build(
    running: Running,
    probes: Sequence[Route] = (),
    settings: IntakeSettings | None = None,
    submissions_of: Callable[[Running], Submissions] | None = None,
    emitters: Mapping[str, Emitter] | None = None,
) -> ASGIApp:
    """Returns the application over a running service; ``settings``, ``emitters``: by default those of the environment.

    ``submissions_of``: builds what accepts submissions; by default only the API submits.
    """
    settings = settings or IntakeSettings()
    unit_of_work, overlay = running.unit_of_work, running.unit_of_work.policy.overlay
    identity, reasons = identity_policy(overlay), read_reasons(overlay)
    submitted = submissions_of(running) if submissions_of else Submissions.of(running, settings)
    policy, letters = PolicySettings().read_time_limits(), submitted.letters
    api = copy.copy(_built())
    api.state, api.middleware_stack = State(), None
    links = portal.links(unit_of_work, letters, identity.links)
    use_cases = UseCases(
        *(unit_of_work, policy, letters, identity, settings.instants, reasons, settings),
        Holds.of(PolicySettings()),
        MailUseCases(unit_of_work, submitted, links),
    )
    services = api.state.services = Services(
        unit_of_work,
        running.tracing,
        settings,
        submitted,
        use_cases,
        PolicySettings().read_processing(),
        SuppressionList(unit_of_work, settings.suppression_per_minute),
        settings.read_emitters() if emitters is None else emitters,
    )
    api_keys = ApiKeys(unit_of_work.pool, unit_of_work.clock)
    sites = [*portal.mounted(services, links), *console.mounted(services)]
    inside = Starlette(routes=[*probes, *documentation(api), *sites, Mount("", api)], exception_handlers=HANDLERS)
    inside.router.redirect_slashes = False  # a redirect would go to whatever Host was sent
    find = partial(lookup.find_by_reference, unit_of_work.pool)
    return Admission(inside, submissions.unrouted(services), api_keys, settings, find)


def documentation(api: Api) -> list[BaseRoute]:
    """Returns the routes of Swagger UI at ``/docs``, which loads nothing from another host."""
    page = get_swagger_ui_html(
        openapi_url="openapi.json",
        title=api.title,
        swagger_js_url="docs/static/swagger-ui-bundle.js",
        swagger_css_url="docs/static/swagger-ui.css",
        swagger_favicon_url="docs/static/favicon.png",
        swagger_ui_parameters={"validatorUrl": None},
    )
    return [
        Route("/docs", page, methods=["GET"]),
        Mount("/docs/static", StaticFiles(packages=[("fastapi_offline", "static")])),
    ]
