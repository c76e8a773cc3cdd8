"""Pages that ask nothing: the start, the notice of Art. 13, where to complain, and what is not asked for here."""

from dataclasses import dataclass

from babel import Locale
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from services.intake.core.instants import retention
from services.portal.portal import Portal, Works, as_sorted, language_of, spoken
from services.web.site import Visit
from shared.domain.sentences import Sentence, say

_PORT_STEPS = ("portal.port_step_1", "portal.port_step_2", "portal.port_step_3")
_OTHER_STEPS = ("portal.other_step_1", "portal.other_step_2", "portal.other_step_3")
_MONTHS = 12


def routes(portal: Portal) -> list[BaseRoute]:
    """The pages that ask nothing."""
    informing = Informing(portal.works)
    return [
        portal.page("/", informing.home),
        portal.page("/{language}", informing.home),
        portal.page("/{language}/", informing.start),
        portal.page("/{language}/notice", informing.notice),
        portal.page("/{language}/complain", informing.complain),
        portal.page("/{language}/port-my-number", informing.port),
        portal.page("/{language}/for-somebody-else", informing.for_somebody),
    ]


@dataclass(frozen=True)
class Informing:
    """The pages that ask nothing."""

    works: Works

    async def home(self, visit: Visit) -> Response:
        """In the language that the browser asks for."""
        return RedirectResponse(f"{visit.site.base}/{language_of(visit.request)}/", 303)

    async def start(self, visit: Visit) -> Response:
        """What can I ask for, what does it cost, how long does it take?"""
        return visit.page("start.html", days=self._days)

    async def notice(self, visit: Visit) -> Response:
        """What do you do with what I write here (Art. 13)?"""
        periods = retention()
        return visit.page(
            "notice.html",
            months=periods.correspondence_months,
            years=periods.register_months // _MONTHS,
            idle_minutes=self.works.settings.idle_minutes,
        )

    async def complain(self, visit: Visit) -> Response:
        """To whom in my country (Art. 77)?"""
        policy, names = self.works.services.processing, Locale.parse(language_of(visit.request)).territories
        named = ((str(names[code]), authority) for code, authority in policy.authorities.items())
        known = sorted(named, key=lambda each: as_sorted(each[0]))
        return visit.page("complain.html", authorities=known, anywhere=policy.anywhere)

    async def port(self, visit: Visit) -> Response:
        """Taking a number along is no request of this kind, and has a way of its own."""
        return _said(visit, "portal.port_title", (say("portal.port_lead"), say("portal.port_data")), _PORT_STEPS)

    async def for_somebody(self, visit: Visit) -> Response:
        """A person decides about a request for somebody else: how to write to us."""
        due = say("portal.other_due", days=self._days)
        paragraphs = (say("portal.other_lead"), say("portal.other_write"), due, say("portal.other_no_id"))
        return _said(visit, "portal.other_title", paragraphs, _OTHER_STEPS)

    @property
    def _days(self) -> int:
        """Within how many days the privacy notice promises an answer."""
        return self.works.services.use_cases.policy.commitment.days


def _said(visit: Visit, title: str, paragraphs: tuple[Sentence, ...], steps: tuple[str, ...]) -> Response:
    return visit.page(
        "said.html",
        title=spoken(visit, say(title)),
        paragraphs=[spoken(visit, each) for each in paragraphs],
        written=(),
        steps=[spoken(visit, say(each)) for each in steps],
        links=[(f"{visit.site.base}/{language_of(visit.request)}/", spoken(visit, say("portal.to_start")))],
    )
