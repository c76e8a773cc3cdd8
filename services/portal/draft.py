"""The draft of a request: its answers, what is missing, and what is wrong; pure."""

import hashlib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final, Literal, Self
from uuid import uuid4
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from services.intake.core.schemas import IdentityProof
from services.intake.core.subject_schemas import DataSubject
from services.intake.submission.schemas import Changes, Submission
from services.web.forms import Form
from shared.domain.identities import Identity, IdentityType, MalformedIdentity, normalise
from shared.domain.languages import Language
from shared.domain.rights import Right
from shared.domain.sentences import Sentence, say

NUMBERS: Final = (1, 2, 3)
"""The telephone numbers that one form takes."""
FIELDS: Final = ("name", "email", "phone", "address.street", "address.postal_code", "address.city")
GROUNDS: Final = ("accuracy_contested", "unlawful", "needed_for_claims", "objection_pending")
SCOPES: Final = ("direct_marketing", "legitimate_interests")
Step = Literal["right", "detail", "whom", "contact", "details", "check"]
Fault = tuple[str, Sentence]
"""A field, and what is wrong with it."""
DETAILS: Final = {
    Right.RESTRICTION: ("ground", "portal.ground_title", False),
    Right.OBJECTION: ("scope", "portal.scope_title", False),
    Right.CONSENT_WITHDRAWAL: ("purposes", "portal.consent_title", True),
}
"""The field that makes each right exact, its question, and whether it takes several values.

A rectification has its own page.
"""
_SHORT, _LONG = 64, 2000
_UNWRITABLE = {"name": "portal_error.name", "email": "portal_error.email", "phone": "portal_error.number"}
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


class PortalSignIn(BaseModel):
    """The account that has signed in at the customer portal; ``method``: of proof, as the policy names it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    account_id: str
    email: str | None = None
    method: Literal["account", "signed_in_mfa"]


class Number(BaseModel):
    """A telephone number, and the first and last day on which the person had it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: str = ""
    since: str = ""
    until: str = ""


class RequestDraft(BaseModel):
    """A request that is being written; ``details``: whether the page of numbers was passed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    right: Right | None = None
    detail: Mapping[str, Any] = {}
    whom: Literal["me"] | None = None
    email: str = ""
    name: str = ""
    country: str = ""
    account: str = ""
    numbers: tuple[Number, ...] = ()
    details: bool = False

    @classmethod
    def begun(cls) -> Self:
        """Returns an empty draft."""
        return cls(key=str(uuid4()))

    def with_(self, **said: object) -> "RequestDraft":
        """Returns the draft with these answers."""
        return self.model_copy(update=said)

    def mark(self, signed_in: PortalSignIn | None) -> str:
        """Returns a hash of the answers and of the sign-in."""
        who = signed_in.model_dump_json() if signed_in else ""
        return hashlib.sha256(f"{self.model_dump_json()}{who}".encode()).hexdigest()[:32]

    @property
    def needs_detail(self) -> bool:
        """Returns whether the right needs a ground, a scope, purposes or corrections."""
        return self.right is Right.RECTIFICATION or self.right in DETAILS

    @property
    def next(self) -> Step:
        """Returns the page of the first missing answer, or the last page."""
        if self.right is None:
            return "right"
        if self.needs_detail and not self.detail:
            return "detail"
        if self.whom is None:
            return "whom"
        if not self.email:
            return "contact"
        return "check" if self.details else "details"

    def submission(self, language: Language, signed_in: PortalSignIn | None, zones: Sequence[str]) -> Submission:
        """Returns the submission; ``zones``: the time zones in which its days may be meant.

        Raises:
            ValidationError, MalformedIdentity: an answer is invalid; every page checks its own.
        """
        account = signed_in.account_id if signed_in else self.account
        subject = {
            "email": self.email,
            "name": self.name or None,
            "country": self.country or None,
            "account_id": account or None,
            "phones": [
                {"number": each.number, "region": self.country or None, **_period(each, zones)} for each in self.numbers
            ],
        }
        known = {"right": self.right, "subject": subject, "language": language, **self.detail}
        stated = tuple(Submission.model_validate(known).subject.identities())
        return Submission.model_validate({**known, "proofs": vouched(signed_in, stated) if signed_in else []})


def read_right(form: Form) -> tuple[Right | None, list[Fault]]:
    """Reads the right."""
    chosen = form.get("right")
    if chosen in set(Right):
        return Right(chosen), []
    return None, [("right", say("portal_error.right"))]


def read_detail(right: Right, form: Form, offered: Collection[str]) -> tuple[dict[str, Any], list[Fault]]:
    """Reads the ground, the scope or the purposes, as the API takes them."""
    field, _, several = DETAILS[right]
    chosen = [*dict.fromkeys(form.all(field) if several else [form.get(field)])]
    if not chosen or not {*offered} >= {*chosen}:
        return {}, [(field, say("portal_error.choose"))]
    return {field: chosen if several else chosen[0]}, []


def read_correction(form: Form) -> tuple[dict[str, Any], list[Fault]]:
    """Reads a correction (Art. 16), as the API takes it."""
    faults: list[Fault] = []
    if form.get("field") not in FIELDS:
        faults.append(("field", say("portal_error.choose")))
    if not form.get("asserted"):
        faults.append(("asserted", say("portal_error.asserted")))
    if len(form.get("current")) > _LONG:
        faults.append(("current", say("portal_error.long")))
    change = {"field": form.get("field"), "current": form.get("current") or None, "asserted": form.get("asserted")}
    if not faults and not _writable(change):
        faults.append(("asserted", say(_UNWRITABLE.get(form.get("field"), "portal_error.long"))))
    return {"changes": [change], "contested": form.get("contested") == "yes"}, faults


def _writable(change: Mapping[str, Any]) -> bool:
    try:
        TypeAdapter(Changes).validate_python([change])
    except ValidationError:
        return False
    return True


def read_contact(form: Form, countries: frozenset[str]) -> tuple[dict[str, str], list[Fault]]:
    """Reads the contact and the name."""
    said = {name: form.get(name) for name in ("email", "name", "country")}
    faults: list[Fault] = []
    if not said["email"]:
        faults.append(("email", say("portal_error.email_missing")))
    elif not _reads(IdentityType.EMAIL, said["email"]):
        faults.append(("email", say("portal_error.email")))
    if said["name"] and not _reads(IdentityType.NAME, said["name"]):
        faults.append(("name", say("portal_error.name")))
    if said["country"] and said["country"] not in countries:
        faults.append(("country", say("portal_error.choose")))
    return said, faults


def read_details(form: Form, country: str, today: date) -> tuple[dict[str, Any], list[Fault]]:
    """Reads the account, and numbers with their periods; all are optional."""
    account, faults = form.get("account"), list[Fault]()
    if account and (len(account) > _SHORT or not _reads(IdentityType.ACCOUNT_ID, account)):
        faults.append(("account", say("portal_error.account")))
    numbers = [Number(**{name: form.get(f"{name}{place}") for name in Number.model_fields}) for place in NUMBERS]
    faults += wrong_numbers(numbers, country, today)
    kept = tuple(each for each in numbers if each.number)
    return {"account": account, "numbers": kept}, faults


def wrong_numbers(numbers: Sequence[Number], country: str, today: date) -> list[Fault]:
    """Checks the numbers; one without a country code is dialled in that country."""
    pairs = zip(NUMBERS, numbers, strict=False)
    return [fault for place, each in pairs for fault in _wrong_number(place, each, country, today)]


def _wrong_number(place: int, said: Number, country: str, today: date) -> Iterator[Fault]:
    if not said.number and (said.since or said.until):
        yield f"number{place}", say("portal_error.number_missing")
    if said.number and not _reads(IdentityType.PHONE, said.number, country or None):
        yield f"number{place}", say("portal_error.number")
    since, until = (_day(each) for each in (said.since, said.until))
    if said.since and since is None:
        yield f"since{place}", say("portal_error.day")
    if since and since > today:
        yield f"since{place}", say("portal_error.future")
    if until and until > today:
        yield f"until{place}", say("portal_error.future")
    if said.until and until is None:
        yield f"until{place}", say("portal_error.day")
    if since and until and until < since:
        yield f"until{place}", say("portal_error.period")


def _day(text: str) -> date | None:
    if not _DAY.fullmatch(text):
        return None  # of the other ways to write a day the API takes none
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return day if 1900 <= day.year <= 2100 else None  # noqa: PLR2004  # as the API takes them


def _period(each: Number, zones: Sequence[str]) -> Mapping[str, datetime]:
    """Returns the widest period that these days can mean in the zones."""
    since, until = (_day(said) for said in (each.since, each.until))
    found = {"since": min(_begins(since, zones))} if since else {}
    return found | ({"until": max(_begins(until + timedelta(days=1), zones))} if until else {})


def _begins(day: date, zones: Sequence[str]) -> Iterator[datetime]:
    for zone in zones:
        yield datetime.combine(day, time(), ZoneInfo(zone)).astimezone(UTC)


def _reads(kind: IdentityType, value: str, region: str | None = None) -> bool:
    try:
        if kind is not IdentityType.PHONE:
            DataSubject.model_validate({"email": "a@example.org", kind.value: value})
        normalise(kind, value, region)
    except (MalformedIdentity, ValidationError):
        return False
    return True


def _same(kind: IdentityType, one: str, other: str) -> bool:
    try:
        return normalise(kind, one, None) == normalise(kind, other, None)
    except MalformedIdentity:
        return False


def vouched(signed_in: PortalSignIn, stated: tuple[Identity, ...]) -> list[IdentityProof]:
    """Returns what the customer portal proves of the stated identities."""
    proofs = []
    for kind, field, value in (
        (IdentityType.ACCOUNT_ID, "account_id", signed_in.account_id),
        (IdentityType.EMAIL, "email", signed_in.email),
    ):
        if value and any(each.type is kind and _same(kind, value, each.value) for each in stated):
            proofs.append(IdentityProof(identity=field, method=signed_in.method))
    return proofs
