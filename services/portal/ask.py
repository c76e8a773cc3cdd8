"""Making a request: one question a page, the answers to check, and the submission."""

import hmac
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from pydantic import JsonValue, ValidationError
from starlette.responses import Response
from starlette.routing import BaseRoute

from services.intake.access import auth
from services.intake.core.errors import BadRequest
from services.intake.request.lifecycle import State
from services.intake.submission.writer import SubmissionContext
from services.portal import draft as drafts
from services.portal import proof
from services.portal.draft import Fault, Number, RequestDraft
from services.portal.portal import LINKED, Portal, PortalContext, at, countries, language_of, spoken
from services.portal.proof import signed_in_of
from services.web.forms import FormError
from services.web.site import Visit
from shared.domain import reference
from shared.domain.identities import MalformedIdentity
from shared.domain.policy import Policy
from shared.domain.policy.categories import Purpose
from shared.domain.rights import Right
from shared.domain.sentences import Sentence, Term, say

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


_EASTERNMOST = timedelta(hours=14)


def routes(portal: Portal) -> list[BaseRoute]:
    """Returns the pages of a new request."""
    asking = AskPages(portal.context)
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
class AskPages:
    """The pages of a new request; the session holds the draft until it is submitted."""

    context: PortalContext

    @property
    def _today(self) -> date:
        """Returns the day in the easternmost time zone (UTC+14): no requester's own day is in the future."""
        return (self.context.services.unit_of_work.clock.now() + _EASTERNMOST).date()

    async def right(self, visit: Visit) -> Response:
        """Asks for the right."""
        draft = draft_of(visit)
        faults: list[Fault] = []
        if visit.sent:
            right, faults = drafts.read_right(visit.form)
            if right:
                same = right == draft.right
                return _next_step(visit, draft.with_(right=right, detail=draft.detail if same else {}))
        options = [_option(visit, f"portal_right.{right}", right) for right in RIGHTS]
        aside = ("/port-my-number", spoken(visit, say("portal.port_title")))
        chosen = (draft.right,) if draft.right else ()
        return _choose(visit, "right", "portal.right_title", options, chosen, faults, aside=aside, back="/")

    async def detail(self, visit: Visit) -> Response:
        """Asks for the ground, the scope, the purposes or the corrections."""
        draft = draft_of(visit)
        if draft.right is None or not draft.needs_detail:
            return at(visit, f"/ask/{draft.next}")
        if draft.right is Right.RECTIFICATION:
            return await self._correction(visit, draft)
        offered = [*self._detail_options(visit, draft.right)]
        faults: list[Fault] = []
        if visit.sent:
            detail, faults = drafts.read_detail(draft.right, visit.form, [each[0] for each in offered])
            if not faults:
                return _next_step(visit, draft.with_(detail=detail))
        field, title, several = drafts.DETAILS[draft.right]
        said = draft.detail.get(field, ())
        chosen = said if several else [said]
        return _choose(visit, field, title, offered, chosen, faults, kind="checkbox" if several else "radio")

    def _detail_options(self, visit: Visit, right: Right) -> Iterator[tuple[str, str, str]]:
        policy = self.context.services.unit_of_work.policy
        match right:
            case Right.CONSENT_WITHDRAWAL:
                yield from ((name, _purpose(visit, name, policy.purposes), "") for name in sorted(policy.consents))
            case Right.RESTRICTION:
                yield from (_option(visit, f"portal_ground.{each}", each) for each in drafts.GROUNDS)
            case _:
                yield from (_option(visit, f"portal_scope.{each}", each) for each in drafts.SCOPES)

    async def whom(self, visit: Visit) -> Response:
        """Asks whether the request is for another person."""
        draft = draft_of(visit)
        faults: list[Fault] = []
        if visit.sent:
            if visit.form.get("whom") == "other":
                return at(visit, "/for-another")
            if visit.form.get("whom") == "me":
                return _next_step(visit, draft.with_(whom="me"))
            faults = [("whom", say("portal_error.choose"))]
        options = [_option(visit, f"portal_whom.{each}", each) for each in ("me", "other")]
        return _choose(visit, "whom", "portal.whom_title", options, (draft.whom,), faults)

    async def contact(self, visit: Visit) -> Response:
        """Asks for the contact."""
        draft, language = draft_of(visit), language_of(visit.request)
        faults: list[Fault] = []
        values = {"email": draft.email, "name": draft.name, "country": draft.country}
        if visit.sent:
            values, faults = drafts.read_contact(visit.form, frozenset(code for code, _ in countries(language)))
            if not faults:
                # A number without its country's code is read as it is dialled there.
                good = not drafts.wrong_numbers(draft.numbers, values["country"], self._today)
                return _next_step(visit, draft.with_(**values, details=draft.details and good))
        elif (signed_in := signed_in_of(visit)) and signed_in.email and not draft.email:
            values["email"] = signed_in.email
        options = [("", spoken(visit, say("portal.country_none"))), *countries(language)]
        return visit.page("contact.html", _errors_of(visit, faults), values=values, countries=options)

    async def details(self, visit: Visit) -> Response:
        """Asks for the account and the numbers."""
        draft = draft_of(visit)
        faults: list[Fault] = []
        if visit.sent:
            said, faults = drafts.read_details(visit.form, draft.country, self._today)
            if not faults:
                return _next_step(visit, draft.with_(**said, details=True))
        elif not draft.details:
            faults = drafts.wrong_numbers(draft.numbers, draft.country, self._today)
        numbers = [
            {"place": place, **{name: visit.form.get(f"{name}{place}") for name in ("number", "since", "until")}}
            for place in drafts.NUMBERS
        ]
        if not visit.sent:
            numbers = [{"place": place, **_number(draft, place)} for place in drafts.NUMBERS]
        signed_in = signed_in_of(visit)
        values = {
            "account": visit.form.get("account") if visit.sent else draft.account,
            "signed_in": signed_in.account_id if signed_in else "",
        }
        more = any(value for each in numbers[1:] for name, value in each.items() if name != "place")
        return visit.page("details.html", _errors_of(visit, faults), values=values, numbers=numbers, more=more)

    async def check(self, visit: Visit) -> Response:
        """Shows all answers; the button submits them."""
        draft = draft_of(visit)
        if draft.next != "check":
            done = "sent" in visit.session.data and "draft" not in visit.session.data
            return at(visit, "/sent" if done else f"/ask/{draft.next}")
        mark = draft.mark(signed_in_of(visit))
        if visit.sent and visit.form.get("shown") == mark:
            return await self._send(visit, draft)
        # Sent with another mark, the answers have changed since the page was shown.
        errors = [FormError("send", spoken(visit, say("portal_error.other_answers")))] if visit.sent else []
        shown = _shown(visit, draft, self.context.services.unit_of_work.policy)
        return visit.page("check.html", errors, answers=shown, shown=mark)

    async def sent(self, visit: Visit) -> Response:
        """Shows the reference, the date and the next step."""
        said = visit.session.data.get("sent")
        if not isinstance(said, dict):
            return at(visit, "/")
        links = self.context.services.use_cases.identity.links
        shown = {**said, "due": spoken(visit, say("portal.day", day=date.fromisoformat(str(said["due"]))))}
        return visit.page(
            "sent.html",
            **shown,
            hours=links.hours,
            minutes=links.code_minutes,
            sign_in=self.context.settings.sign_in_url if said["prove"] else None,
            follows=visit.session.data.get("request") == said["request_id"],
        )

    async def _correction(self, visit: Visit, draft: RequestDraft) -> Response:
        faults: list[Fault] = []
        if visit.sent:
            detail, faults = drafts.read_correction(visit.form)
            if not faults:
                return _next_step(visit, draft.with_(detail=detail))
            values = {name: visit.form.get(name) for name in ("field", "current", "asserted", "contested")}
        else:
            (change,) = draft.detail.get("changes", ({},))
            values = {name: change.get(name) or "" for name in ("field", "current", "asserted")}
            values["contested"] = "yes" if draft.detail.get("contested") else ""
        options = [(each, _field_name(visit, each), "") for each in drafts.FIELDS]
        return visit.page("correction.html", _errors_of(visit, faults), values=values, options=options)

    async def _send(self, visit: Visit, draft: RequestDraft) -> Response:
        """Submits the draft, once, and sends the link that proves the contact."""
        self.context.count_sending(visit.request)
        services, caller = self.context.services, auth.portal_caller()
        try:
            submission = draft.submission(
                language_of(visit.request),
                signed_in_of(visit),
                services.use_cases.policy.zones_of(draft.country or None),
            )
        except (ValidationError, MalformedIdentity):
            raise BadRequest("an answer cannot be used; look at each of them again") from None
        prepared = services.submissions.prepare([("", submission)], caller, channel="portal")
        secret = services.unit_of_work.vault.keyring.lookup
        key = hmac.digest(secret, f"portal\0{draft.key}".encode(), "sha256")
        digest = hmac.digest(secret, draft.model_dump_json().encode(), "sha256")
        with services.tracing.serve("submit", None) as trace:
            (accepted,) = await services.submissions.accept(prepared, SubmissionContext(caller, key, digest, trace))
        # An unproved address gets no letters, also where a sign-in proves the account.
        proved = {each.identity for each in submission.proofs}
        asked = accepted.state == State.AWAITING_IDENTITY or (bool(proved) and "email" not in proved)
        link_id = proof.link_id(visit, f"draft {draft.key}")  # sent twice it has one link, and one code
        sent: dict[str, JsonValue] = {
            "request_id": str(accepted.request_id),
            "reference": reference.of(accepted.request_id),
            "due": accepted.due_on.isoformat(),
            "email": draft.email,
            "prove": asked,
        }
        waiting: dict[str, JsonValue] = {"request": sent["request_id"], "link": str(link_id), "wrong": 0}
        follows = {"signed_in", "request", LINKED}
        kept = {name: value for name, value in visit.session.data.items() if name in follows}
        visit.session.data = {**kept, "sent": sent, "waiting": waiting}
        if submission.proofs:  # the customer portal vouches for it
            visit.session.data["request"] = visit.session.principal = str(accepted.request_id)
        if asked:
            asker = self.context.asker(visit.request)
            await self.context.links.send(accepted.request_id, link_id, None, asker)
        return at(visit, "/sent")


def _next_step(visit: Visit, draft: RequestDraft) -> Response:
    visit.session.data["draft"] = draft.model_dump_json()
    return at(visit, f"/ask/{draft.next}")


def _choose(
    visit: Visit,
    name: str,
    question: str,
    options: Sequence[tuple[str, str, str]],
    chosen: Sequence[str | None],
    faults: Sequence[Fault],
    **more: object,
) -> Response:
    """Returns the page of a question with its choices."""
    known = {"kind": "radio", "aside": None, "back": "/ask/right", **more}
    title: Sentence = say(question)
    hint: Sentence = say(f"{question}_hint")
    return visit.page(
        "choose.html",
        _errors_of(visit, faults),
        name=name,
        question=spoken(visit, title),
        hint=spoken(visit, hint),
        options=options,
        values=[each for each in chosen if each],
        **known,
    )


def _option(visit: Visit, key: str, value: str) -> tuple[str, str, str]:
    """Returns a choice, its words and its hint."""
    return value, spoken(visit, say(key)), spoken(visit, say(f"{key}_more"))


def _errors_of(visit: Visit, faults: Sequence[Fault]) -> list[FormError]:
    """Returns faults in the language of the page."""
    return [FormError(field, spoken(visit, said)) for field, said in faults]


def _number(draft: RequestDraft, place: int) -> dict[str, str]:
    known = draft.numbers[place - 1] if place <= len(draft.numbers) else Number()
    return known.model_dump()


def draft_of(visit: Visit) -> RequestDraft:
    """Returns the draft of this session."""
    said = visit.session.data.get("draft")
    return RequestDraft.model_validate_json(said) if isinstance(said, str) else RequestDraft.begun()


def _shown(visit: Visit, draft: RequestDraft, policy: Policy) -> Sequence[tuple[str, str, str]]:
    """Returns each answer with its label and the page that changes it."""

    def said(key: str) -> str:
        return spoken(visit, say(key))

    country = dict(countries(language_of(visit.request))).get(draft.country, "")
    exactly = _exactly(visit, draft, policy)
    return [
        (said("portal.asked_for"), said(f"portal_right.{draft.right}"), "/ask/right"),
        *([(said("portal.exactly"), exactly, "/ask/detail")] if exactly else []),
        (said("portal.email"), draft.email, "/ask/contact"),
        (said("portal.name"), draft.name, "/ask/contact"),
        (said("portal.country_short"), country, "/ask/contact"),
        (said("portal.account"), _account(visit, draft), "/ask/details"),
        (said("portal.numbers"), "\n".join(map(_number_words, draft.numbers)), "/ask/details"),
    ]


def _purpose(visit: Visit, name: str, purposes: Mapping[str, Purpose]) -> str:
    """Returns the words of a purpose: in the language of the page, or else those of the policy."""
    words = spoken(visit, Term("purpose", name))
    return purposes[name].words if words == name.replace("_", " ") else words


def _field_name(visit: Visit, name: str) -> str:
    """Returns the words of a field."""
    return spoken(visit, say(f"portal_field.{name.replace('.', '_')}"))


def _exactly(visit: Visit, draft: RequestDraft, policy: Policy) -> str:
    match draft.right:
        case Right.RESTRICTION:
            return spoken(visit, say(f"portal_ground.{draft.detail['ground']}"))
        case Right.OBJECTION:
            return spoken(visit, say(f"portal_scope.{draft.detail['scope']}"))
        case Right.CONSENT_WITHDRAWAL:
            return "\n".join(_purpose(visit, each, policy.purposes) for each in draft.detail["purposes"])
        case Right.RECTIFICATION:
            return "\n".join(
                f"{_field_name(visit, each['field'])}: {each['current'] or '…'} → {each['asserted']}"
                for each in draft.detail["changes"]
            )
        case _:
            return ""


def _account(visit: Visit, draft: RequestDraft) -> str:
    """Returns the customer number that is sent: that of the sign-in comes first."""
    signed_in = signed_in_of(visit)
    return spoken(visit, say("portal.account_signed", account=signed_in.account_id)) if signed_in else draft.account


def _number_words(said: Number) -> str:
    period = f" ({said.since or '…'} – {said.until or '…'})" if said.since or said.until else ""
    return f"{said.number}{period}"
