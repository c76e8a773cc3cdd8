"""Mounts the portal next to the API, if it has an address."""

from starlette.routing import BaseRoute

from services.intake.access.quota import RateLimiter
from services.intake.api.dependencies import Services
from services.intake.identity.proof_links import ProofLinks
from services.intake.letters.letter_facts import LetterFacts
from services.portal import ask, follow, inform, prove
from services.portal.portal import BASE, Portal, PortalContext
from services.portal.settings import PortalSettings
from services.portal.sign_in import SignInTokens
from shared.domain.proofs import LinkPolicy
from shared.messaging.unit_of_work import UnitOfWorkFactory

_HOUR = 3600


def links(unit_of_work: UnitOfWorkFactory, letters: LetterFacts, policy: LinkPolicy) -> ProofLinks | None:
    """Returns the sender of the links that the portal opens; None without an address."""
    settings = PortalSettings()
    if not settings.url:
        return None
    return ProofLinks(unit_of_work, letters, policy, settings.url + BASE)


def mounted(services: Services, links: ProofLinks | None) -> list[BaseRoute]:
    """Returns the portal; nothing without an address. Raises ``Misconfigured``."""
    if links is None:
        return []
    settings = PortalSettings()
    each = _HOUR / settings.sendings_an_hour
    sendings = RateLimiter(1 / each, _HOUR - each)
    portal = Portal(PortalContext(services, settings, links, SignInTokens.of(settings), sendings))
    pages = [route for each in (inform, ask, prove, follow) for route in each.routes(portal)]
    return portal.mounted(pages, services.settings.proxies, settings.pages_a_second)
