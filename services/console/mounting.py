"""Mounts the console next to the API, if it has an identity provider."""

from starlette.routing import BaseRoute

from services.console import actions, inbox, incidents, queue, request_page, sign_in, sla_page, tables
from services.console.console import Console, ConsoleContext
from services.console.provider import Provider
from services.console.settings import ConsoleSettings
from services.intake.api.dependencies import Services

_PAGES = (sign_in, queue, request_page, tables, inbox, incidents, sla_page, actions)
"""In this order: the paths of actions are the widest."""


def built(services: Services, settings: ConsoleSettings) -> tuple[Console, list[BaseRoute]]:
    """Returns the console and all its pages."""
    console = Console(ConsoleContext(services, settings, Provider(settings, services.unit_of_work.clock)))
    return console, [route for each in _PAGES for route in each.routes(console)]


def mounted(services: Services) -> list[BaseRoute]:
    """Returns the console; nothing without an identity provider. Raises ``Misconfigured``."""
    settings = ConsoleSettings()
    if settings.issuer is None:
        return []
    console, pages = built(services, settings)
    return console.mounted(pages, services.settings.proxies, settings.pages_a_second)
