"""Asking: one question a page, the answers to check, and sending them, by the same use case as the API."""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from pydantic import JsonValue, ValidationError
from starlette.responses import Response
from starlette.routing import BaseRoute
from uuid_utils.compat import uuid7

from services.intake.errors import BadRequest
from services.intake.group_commit import SubmissionContext
from services.intake.portal import draft as drafts
from services.intake.portal.draft import Draft, Fault, SignedIn
from services.intake.portal.portal import LINKED, ON_FILE, Portal, Works, at, countries, language_of, spoken
from services.intake.portal.question import checked, choose, errors_of, option
from services.intake.request.lifecycle import State
from services.intake.web.site import Visit
from shared.domain.identities import MalformedIdentity
from shared.domain.rights import Right
from shared.domain.sentences import Term, say

RIGHTS = (
    Right.ACCESS,
    Right.RECTIFICATION,
    Right.ERASURE,
    Right.OBJECTION,
    Right.CONSENT_WITHDRAWAL,
    Right.RESTRICTION,
    Right.PORTABILITY,
)
"""In the order in which people look for them."""


def routes(portal: Portal) -> list[BaseRoute]:
    """The pages of asking."""
    asking = Asking(portal.works)
    pages = {
        "right": asking.right,
        "detail": asking.detail,
        "whom": asking.whom,
        "contact": asking.contact,
        "details": asking.details,
        "check": asking.check,
    }
    return [
        *(portal.page(f"/{{language}}/ask/{name}", page, sends=True) for name, page in pages.items()),
        portal.page("/{language}/sent", asking.sent),
    ]


@dataclass(frozen=True)
class Asking:
    """The pages of asking; what was said so far is held by the session, and nothing is stored before it is sent."""

    works: Works

    @property
    def _today(self) -> date:
        return self.works.services.unit_of_work.clock.now().date()

    async def right(self, visit: Visit) -> Response:
        """What do you want us to do?"""
        draft = draft_of(visit)
        faults: list[Fault] = []
        if visit.sent:
            right, faults = drafts.read_right(visit.form)
            if right:
                same = right == draft.right
                return _goes_on(visit, draft.with_(right=right, detail=draft.detail if same else {}))
        options = [option(visit, f"portal_right.{right}", right) for right in RIGHTS]
        besides = ("/port-my-number", spoken(visit, say("portal.port_title")))
        chosen = (draft.right,) if draft.right else ()
        return choose(visit, "right", "portal.right_title", options, chosen, faults, besides=besides, back="/")

    async def detail(self, visit: Visit) -> Response:
        """What exactly: what is wrong, why, or to what?"""
        draft = draft_of(visit)
        if draft.right is None or not draft.needs_detail:
            return at(visit, f"/ask/{draft.next}")
        if draft.right is Right.RECTIFICATION:
            return await self._correction(visit, draft)
        faults: list[Fault] = []
        if visit.sent:
            detail, faults = drafts.read_detail(
                draft.right, visit.form, self.works.services.unit_of_work.policy.consents
            )
            if not faults:
                return _goes_on(visit, draft.with_(detail=detail))
        if draft.right is Right.CONSENT_WITHDRAWAL:
            purposes = self.works.services.unit_of_work.policy.purposes
            named = sorted(self.works.services.unit_of_work.policy.consents)
            options = [(name, _purpose(visit, name, purposes[name].words), "") for name in named]
            chosen: Sequence[str] = draft.detail.get("purposes", ())
            return choose(visit, "purposes", "portal.consent_title", options, chosen, faults, kind="checkbox")
        if draft.right is Right.RESTRICTION:
            options = [option(visit, f"portal_ground.{each}", each) for each in drafts.GROUNDS]
            return choose(visit, "ground", "portal.ground_title", options, (draft.detail.get("ground"),), faults)
        options = [option(visit, f"portal_scope.{each}", each) for each in drafts.SCOPES]
        return choose(visit, "scope", "portal.scope_title", options, (draft.detail.get("scope"),), faults)

    async def whom(self, visit: Visit) -> Response:
        """For you, or for somebody else?"""
        draft = draft_of(visit)
        faults: list[Fault] = []
        if visit.sent:
            if visit.form.get("whom") == "other":
                return at(visit, "/for-somebody-else")
            if visit.form.get("whom") == "me":
                return _goes_on(visit, draft.with_(whom="me"))
            faults = [("whom", say("portal_error.choose"))]
        options = [option(visit, f"portal_whom.{each}", each) for each in ("me", "other")]
        return choose(visit, "whom", "portal.whom_title", options, (draft.whom,), faults)

    async def contact(self, visit: Visit) -> Response:
        """Where may we write to?"""
        draft, language = draft_of(visit), language_of(visit.request)
        faults: list[Fault] = []
        values = {"email": draft.email, "name": draft.name, "country": draft.country}
        if visit.sent:
            values, faults = drafts.read_contact(visit.form, frozenset(code for code, _ in countries(language)))
            if not faults:
                # A number without its country's code is read as it is dialled there.
                good = not drafts.wrong_numbers(draft.numbers, values["country"], self._today)
                return _goes_on(visit, draft.with_(**values, details=draft.details and good))
        elif (signed_in := signed_in_of(visit)) and signed_in.email and not draft.email:
            values["email"] = signed_in.email
        options = [("", spoken(visit, say("portal.country_none"))), *countries(language)]
        return visit.page("contact.html", errors_of(visit, faults), values=values, countries=options)

    async def details(self, visit: Visit) -> Response:
        """By what else may we find you?"""
        draft = draft_of(visit)
        faults: list[Fault] = []
        if visit.sent:
            said, faults = drafts.read_details(visit.form, draft.country, self._today)
            if not faults:
                return _goes_on(visit, draft.with_(**said, details=True))
        elif not draft.details:
            faults = drafts.wrong_numbers(draft.numbers, draft.country, self._today)
        numbers = [
            {"place": place, **{name: visit.form.get(f"{name}{place}") for name in ("number", "since", "until")}}
            for place in drafts.NUMBERS
        ]
        if not visit.sent:
            numbers = [{"place": place, **_number(draft, place)} for place in drafts.NUMBERS]
        values = {"account": visit.form.get("account") if visit.sent else draft.account}
        more = any(value for each in numbers[1:] for name, value in each.items() if name != "place")
        return visit.page("details.html", errors_of(visit, faults), values=values, numbers=numbers, more=more)

    async def check(self, visit: Visit) -> Response:
        """Is this right? Then it is sent."""
        draft = draft_of(visit)
        if draft.next != "check":
            done = "sent" in visit.session.data and "draft" not in visit.session.data
            return at(visit, "/sent" if done else f"/ask/{draft.next}")
        if visit.sent and visit.form.get("shown") == draft.mark:
            return await self._send(visit, draft)
        return checked(visit, self._answers(visit, draft), "portal.check_next_text", draft.mark, "/ask/details")

    async def sent(self, visit: Visit) -> Response:
        """What happens next, and by when?"""
        said = visit.session.data.get("sent")
        if not isinstance(said, dict):
            return at(visit, "/")
        links = self.works.services.use_cases.identity.links
        return visit.page(
            "sent.html",
            **said,
            hours=links.hours,
            minutes=links.code_minutes,
            sign_in=self.works.settings.sign_in_url if said["prove"] else None,
            follows=visit.session.data.get("request") == said["reference"],
        )

    async def _correction(self, visit: Visit, draft: Draft) -> Response:
        faults: list[Fault] = []
        if visit.sent:
            detail, faults = drafts.read_correction(visit.form)
            if not faults:
                return _goes_on(visit, draft.with_(detail=detail))
            values = {name: visit.form.get(name) for name in ("field", "current", "asserted", "contested")}
        else:
            (change,) = draft.detail.get("changes", ({},))
            values = {name: change.get(name) or "" for name in ("field", "current", "asserted")}
            values["contested"] = "yes" if draft.detail.get("contested") else ""
        options = [(each, _field(visit, each), "") for each in drafts.FIELDS]
        return visit.page("correction.html", errors_of(visit, faults), values=values, options=options)

    def _answers(self, visit: Visit, draft: Draft) -> Sequence[tuple[str, str, str]]:
        """What was said, each with its label and the page on which it can be changed."""

        def said(key: str) -> str:
            return spoken(visit, say(key))

        detail = {
            Right.RESTRICTION: lambda: said(f"portal_ground.{draft.detail['ground']}"),
            Right.OBJECTION: lambda: said(f"portal_scope.{draft.detail['scope']}"),
            Right.CONSENT_WITHDRAWAL: lambda: "\n".join(
                _purpose(visit, each, self.works.services.unit_of_work.policy.purposes[each].words)
                for each in draft.detail["purposes"]
            ),
            Right.RECTIFICATION: lambda: "\n".join(
                f"{_field(visit, each['field'])}: {each['current'] or '…'} → {each['asserted']}"
                for each in draft.detail["changes"]
            ),
        }
        exactly = detail.get(draft.right) if draft.right else None
        country = dict(countries(language_of(visit.request))).get(draft.country, "")
        numbers = "\n".join(map(_told_number, draft.numbers))
        return [
            (said("portal.asked_for"), said(f"portal_right.{draft.right}"), "/ask/right"),
            *([(said("portal.exactly"), exactly(), "/ask/detail")] if exactly else []),
            (said("portal.email"), draft.email, "/ask/contact"),
            (said("portal.name"), draft.name, "/ask/contact"),
            (said("portal.country_short"), country, "/ask/contact"),
            (said("portal.account"), draft.account, "/ask/details"),
            (said("portal.numbers"), numbers, "/ask/details"),
        ]

    async def _send(self, visit: Visit, draft: Draft) -> Response:
        """Hands it in; the same draft twice is one request. Then who has asked is asked to prove it, whoever it is."""
        self.works.count_sending(visit.request)
        services, caller = self.works.services, await self.works.caller()
        try:
            submission = draft.submission(language_of(visit.request), signed_in_of(visit))
        except (ValidationError, MalformedIdentity):
            raise BadRequest("an answer cannot be used; look at each of them again") from None
        prepared = services.submissions.prepare([("", submission)], caller, channel="portal")
        secret = services.unit_of_work.vault.keyring.lookup
        key = hmac.digest(secret, f"portal\0{draft.key}".encode(), "sha256")
        digest = hmac.digest(secret, draft.model_dump_json().encode(), "sha256")
        with services.tracing.serve("submit", None) as trace:
            (accepted,) = await services.submissions.accept(prepared, SubmissionContext(caller, key, digest, trace))
        asked = accepted.state == State.AWAITING_IDENTITY
        link_id = uuid7()
        sent: dict[str, JsonValue] = {
            "reference": str(accepted.request_id),
            "due": spoken(visit, say("portal.day", day=accepted.due_on)),
            "email": draft.email,
            "prove": asked,
        }
        waiting: dict[str, JsonValue] = {"request": sent["reference"], "link": str(link_id), "wrong": 0}
        follows = {"signed_in", "request", LINKED, ON_FILE}
        kept = {name: value for name, value in visit.session.data.items() if name in follows}
        visit.session.data = {**kept, "sent": sent, "waiting": waiting}
        if submission.proofs:  # the customer portal vouches for it: who has asked follows it at once
            visit.session.data["request"] = visit.session.principal = str(accepted.request_id)
        if asked:
            asker = self.works.asker(visit.request)
            await self.works.links.send(accepted.request_id, UUID(int=link_id.int), None, asker)
        return at(visit, "/sent")


def signed_in_of(visit: Visit) -> SignedIn | None:
    """Who has signed in at the customer portal, in this session."""
    said = visit.session.data.get("signed_in")
    return SignedIn.model_validate(said) if said else None


def draft_of(visit: Visit) -> Draft:
    """What was said so far in this session."""
    said = visit.session.data.get("draft")
    return Draft.model_validate_json(said) if isinstance(said, str) else Draft.begun()


def _goes_on(visit: Visit, draft: Draft) -> Response:
    visit.session.data["draft"] = draft.model_dump_json()
    return at(visit, f"/ask/{draft.next}")


def _purpose(visit: Visit, name: str, words: str) -> str:
    told = spoken(visit, Term("purpose", name))
    return words if told == name.replace("_", " ") else told


def _field(visit: Visit, name: str) -> str:
    return spoken(visit, say(f"portal_field.{name.replace('.', '_')}"))


def _number(draft: Draft, place: int) -> dict[str, str]:
    known = draft.numbers[place - 1] if place <= len(draft.numbers) else drafts.Number()
    return known.model_dump()


def _told_number(said: drafts.Number) -> str:
    period = f" ({said.since or '…'} – {said.until or '…'})" if said.since or said.until else ""
    return f"{said.number}{period}"
