"""Entering what no mailbox of ours has: a letter, a mail to somebody else, a call; by the day on which it came."""

from collections.abc import Sequence
from typing import Final

from starlette.routing import BaseRoute

from services.intake.actions.action import plain
from services.intake.console.console import Console, Works, person_of
from services.intake.console.decisions.decision import LANGUAGES, Asked, Decision, Options, Subject, saying
from services.intake.console.decisions.page import About, Find, routes_of
from services.intake.console.roles import Power
from services.intake.entered import EnteredByHand, enter
from services.intake.web.site import Visit
from shared.domain.rights import Right

_GROUNDS: Final = ("accuracy_contested", "unlawful", "needed_for_claims", "objection_pending")
_SCOPES: Final = ("direct_marketing", "legitimate_interests")


def purposes(subject: Subject) -> Options:
    """To what consent can be withdrawn, by the policy."""
    return plain(*sorted(subject.works.services.unit_of_work.policy.consents))


MESSAGE: Final[Sequence[Asked]] = (
    Asked("rights", "What it asks for", "choices", options=lambda _: plain(*Right)),
    Asked("subject.name", "Name"),
    Asked("subject.email", "E-mail address", hint="At least one of address, account and number is needed"),
    Asked("subject.account_id", "Account"),
    Asked("subject.phones", "Telephone numbers", "numbers", "One a line; without a country code, that of the country"),
    Asked(
        "subject.country", "Country", hint="ISO 3166, as DE; for holidays, language and numbers without country code"
    ),
    Asked("language", "Language", "choose", "That of the country, if left out", lambda _: [*LANGUAGES.items()]),
    Asked("ground", "Of a restriction: its ground", "choose", options=lambda _: plain(*_GROUNDS)),
    Asked("scope", "Of an objection: to what", "choose", options=lambda _: plain(*_SCOPES)),
    Asked("purposes", "Of a withdrawal of consent: to what", "choices", options=purposes),
    Asked("field", "Of a correction: what is wrong", hint="name, email, phone, address.street, address.city, …"),
    Asked("current", "Of a correction: what we have", hint="Needed where we hold several, as of numbers"),
    Asked("asserted", "Of a correction: what is right"),
)
"""What is entered of any message."""


async def _enter(subject: Subject, _: str, said: EnteredByHand) -> str:
    services = subject.works.services
    stored = await enter(services.unit_of_work, services.submissions, said, subject.person.caller)
    return f"/requests/{stored[0].request_id}"


ENTER = Decision(
    name="new",
    title="Enter a request",
    power=Power.HANDLE,
    when=lambda _: True,
    does=saying(
        "It becomes a request, or several as one case, dated by the day on which it came.",
        "The person gets an acknowledgement. Nothing is proved by it: who asks is asked as of any other request.",
    ),
    body=EnteredByHand,
    asks=(
        Asked("came_by", "It came as", "choose", options=lambda _: plain("letter", "email", "call")),
        Asked("received_at", "When it came to us", "moment", "As 2026-03-31 14:30, or the day alone"),
        Asked(
            "channel",
            "The answer goes",
            "choose",
            "On paper it goes to the address of record, which you look up",
            lambda _: [("post", "on paper"), ("email", "by e-mail, to the address below")],
        ),
        *MESSAGE,
    ),
    do=_enter,
)


def routes(console: Console) -> list[BaseRoute]:
    """The page."""
    return routes_of(console, "", [ENTER], _new(console.works))


def _new(works: Works) -> Find:
    async def find(visit: Visit) -> About:
        return About(Subject(works, person_of(visit)), "A letter, a mail or a call", "/")

    return find
