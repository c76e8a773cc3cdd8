"""What a session holds of a request that is being written, and how the answers are shown before it is sent."""

from collections.abc import Mapping, Sequence

from services.portal.draft import Draft, Number, SignedIn
from services.portal.portal import countries, language_of, spoken
from services.web.site import Visit
from shared.domain.policy import Policy
from shared.domain.policy.categories import Purpose
from shared.domain.rights import Right
from shared.domain.sentences import Term, say


def draft_of(visit: Visit) -> Draft:
    """What was said so far in this session."""
    said = visit.session.data.get("draft")
    return Draft.model_validate_json(said) if isinstance(said, str) else Draft.begun()


def signed_in_of(visit: Visit) -> SignedIn | None:
    """Who has signed in at the customer portal, in this session."""
    said = visit.session.data.get("signed_in")
    return SignedIn.model_validate(said) if said else None


def shown(visit: Visit, draft: Draft, policy: Policy) -> Sequence[tuple[str, str, str]]:
    """What was said, each with its label and the page on which it can be changed."""

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
        (said("portal.numbers"), "\n".join(map(_number, draft.numbers)), "/ask/details"),
    ]


def purpose(visit: Visit, name: str, purposes: Mapping[str, Purpose]) -> str:
    """What is done with data, in the language of the page where it has words, else as the policy calls it."""
    told = spoken(visit, Term("purpose", name))
    return purposes[name].words if told == name.replace("_", " ") else told


def field_name(visit: Visit, name: str) -> str:
    """What a field is called that can be corrected."""
    return spoken(visit, say(f"portal_field.{name.replace('.', '_')}"))


def _exactly(visit: Visit, draft: Draft, policy: Policy) -> str:
    match draft.right:
        case Right.RESTRICTION:
            return spoken(visit, say(f"portal_ground.{draft.detail['ground']}"))
        case Right.OBJECTION:
            return spoken(visit, say(f"portal_scope.{draft.detail['scope']}"))
        case Right.CONSENT_WITHDRAWAL:
            return "\n".join(purpose(visit, each, policy.purposes) for each in draft.detail["purposes"])
        case Right.RECTIFICATION:
            return "\n".join(
                f"{field_name(visit, each['field'])}: {each['current'] or '…'} → {each['asserted']}"
                for each in draft.detail["changes"]
            )
        case _:
            return ""


def _account(visit: Visit, draft: Draft) -> str:
    """What is sent as the customer number: that of the sign-in, whatever was typed."""
    signed_in = signed_in_of(visit)
    return spoken(visit, say("portal.account_signed", account=signed_in.account_id)) if signed_in else draft.account


def _number(said: Number) -> str:
    period = f" ({said.since or '…'} – {said.until or '…'})" if said.since or said.until else ""
    return f"{said.number}{period}"
