"""Pages that only inform: the start, the privacy notice (Art. 13), complaints, and what the portal does not do."""

from dataclasses import dataclass

from babel import Locale
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from services.intake.core.instants import retention
from services.portal.portal import Portal, PortalContext, as_sorted, language_of, spoken
from services.web.site import Visit
from shared.domain.sentences import Sentence, say

_PORT_STEPS = ("portal.port_step_1", "portal.port_step_2", "portal.port_step_3")
_OTHER_STEPS = ("portal.other_step_1", "portal.other_step_2", "portal.other_step_3")
_MONTHS = 12


def routes(portal: Portal) -> list[BaseRoute]:
    """The pages that only inform."""
    informing = InformationPages(portal.context)
    return [
        portal.page("/", informing.home),
        portal.page("/{language}", informing.home),
        portal.page("/{language}/", informing.start),
        portal.page("/{language}/notice", informing.notice),
        portal.page("/{language}/complain", informing.complain),
        portal.page("/{language}/port-my-number", informing.port),
        portal.page("/{language}/for-another", informing.for_another),
    ]


@dataclass(frozen=True)
class InformationPages:
    """The pages that only inform."""

    context: PortalContext

    async def home(self, visit: Visit) -> Response:
        """Redirects to the language of the browser."""
        return RedirectResponse(f"{visit.site.base}/{language_of(visit.request)}/", 303)

    async def start(self, visit: Visit) -> Response:
        """Explains what can be requested, at no cost, and by when we answer."""
        return visit.page("start.html", days=self._days)

    async def notice(self, visit: Visit) -> Response:
        """Shows the privacy notice (Art. 13)."""
        periods = retention()
        return visit.page(
            "notice.html",
            months=periods.correspondence_months,
            years=periods.register_months // _MONTHS,
            idle_minutes=self.context.settings.idle_minutes,
        )

    async def complain(self, visit: Visit) -> Response:
        """Lists the supervisory authorities (Art. 77)."""
        policy, names = self.context.services.processing, Locale.parse(language_of(visit.request)).territories
        named = ((str(names[code]), authority) for code, authority in policy.authorities.items())
        known = sorted(named, key=lambda each: as_sorted(each[0]))
        return visit.page("complain.html", authorities=known, anywhere=policy.anywhere)

    async def port(self, visit: Visit) -> Response:
        """Explains how to port a number, which is not a privacy request."""
        return _said(visit, "portal.port_title", (say("portal.port_lead"), say("portal.port_data")), _PORT_STEPS)

    async def for_another(self, visit: Visit) -> Response:
        """Explains how to write to us for another person."""
        due = say("portal.other_due", days=self._days)
        paragraphs = (say("portal.other_lead"), say("portal.other_write"), due, say("portal.other_no_id"))
        return _said(visit, "portal.other_title", paragraphs, _OTHER_STEPS)

    @property
    def _days(self) -> int:
        """Returns the days within which the privacy notice promises an answer."""
        return self.context.services.use_cases.policy.commitment.days


def _said(visit: Visit, title: str, paragraphs: tuple[Sentence, ...], steps: tuple[str, ...]) -> Response:
    return visit.page(
        "said.html",
        title=spoken(visit, say(title)),
        paragraphs=[spoken(visit, each) for each in paragraphs],
        written=(),
        steps=[spoken(visit, say(each)) for each in steps],
        links=[(f"{visit.site.base}/{language_of(visit.request)}/", spoken(visit, say("portal.to_start")))],
    )
