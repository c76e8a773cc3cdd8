"""The people of the demonstration: those written by hand who ask for something, among believable others."""

import re
import tomllib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import to_jsonable_python

from deploy.demo.company.model import AGEING, CALLS_FROM, CALLS_TO, OPENED, Customer, Phone, between
from shared.domain.rights import Outcome, Right

_OTHER_BROWSER = "2026110101.0000000000001"
"""The client id of a browser that never visited the company's website."""
_GAVE_UP_A_NUMBER, _TAKES_A_RETURNED_NUMBER, _MARKETING_CONSENT = 0.10, 0.8, 0.55
_LETTERS_WITHOUT_DECOMPOSITION = str.maketrans({"ł": "l", "Ł": "L", "ß": "ss", "ø": "o", "Ø": "O"})
_CAST, COUNTRIES = (
    tomllib.loads(Path(__file__).with_name(name).read_text(encoding="utf-8"))
    for name in ("cast.toml", "countries.toml")
)


@dataclass(frozen=True, slots=True)
class Character:
    """A customer written by hand; ``calls`` they take part in at least, ``withheld`` share of the calls they make."""

    person: Customer
    calls: int = 80
    tickets: int = 3
    withheld: float = 0.0


@dataclass(frozen=True, slots=True)
class StagedCall:
    """Calls from one character, or from elsewhere, to another that the demonstration counts on."""

    to: str
    begins: datetime
    every_days: int
    times: int
    by: str | None = None
    withheld: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """One request of the demonstration.

    ``shows``: why the case is there. ``expected``: how it must end. ``neighbours``: customers who share something with
    the person and of whom nothing may change. ``asks``: fields of the request next to right and subject.
    ``misremembers``: they state each number as theirs from a year too early on, and to this day. ``message``: the same
    for everything that is asked for in one message. ``keeps``: the rule by which the CRM keeps something after an
    erasure; ``keeps_no_calls``: no rule keeps a call.
    """

    right: Right
    person: Customer
    shows: str
    expected: Outcome = Outcome.FULFILLED
    neighbours: tuple[Customer, ...] = ()
    asks: Mapping[str, Any] = field(default_factory=dict)
    misremembers: bool = False
    message: str | None = None
    keeps: str | None = None
    keeps_no_calls: bool = False

    @property
    def submission(self) -> Mapping[str, Any]:
        """The body for ``POST /v1/requests``: only what the person would know.

        Where only an erasure is asked for, and where the person was never a customer, they state a number, of several
        only those given up: the CRM knows today's. All others ask by e-mail alone, and their calls must be found too.
        """
        person = self.person
        subject: dict[str, Any] = {"name": person.name, "email": person.emails[0].lower(), "country": person.country}
        if self.expected is Outcome.NO_DATA:
            subject["client_id"] = _OTHER_BROWSER
        if (self.right is Right.ERASURE and not self.message) or self.expected is Outcome.NO_DATA:
            subject["phones"] = [
                self._stated(phone) for phone in person.phones if phone.valid_to is not None or len(person.phones) == 1
            ]
        whole = {"right": self.right, "subject": subject, **self._proof(subject), **self.asks}
        return dict(to_jsonable_python(whole))

    def _proof(self, subject: Mapping[str, Any]) -> dict[str, Any]:
        """Customers are signed in; the stranger has also answered at each number, from a browser."""
        if self.person.code:
            return {"assurance": {"level": "L2", "method": "signed_in_mfa"}}
        known = min(phone.valid_from for phone in self.person.phones)
        proofs = [("email", "signed_in_mfa", known), ("client_id", "browser", known)]
        proofs += [
            (f"phones.{place}", "sms_code", phone["since"]) for place, phone in enumerate(subject.get("phones", ()))
        ]
        return {"proofs": [{"identity": of, "method": how, "on_file_since": at} for of, how, at in proofs]}

    def _stated(self, phone: Phone) -> dict[str, Any]:
        if self.misremembers:
            return {"number": phone.number, "since": phone.valid_from - timedelta(days=365)}
        return {"number": phone.number, "since": phone.valid_from, "until": phone.valid_to}


def _person(declared: Mapping[str, Any]) -> Customer:
    since = min((phone["valid_from"] for phone in declared["phones"]), default=None)
    whole = {"code": "", "marketing_consent": False, "since": since, **declared}
    return TypeAdapter(Customer).validate_python(whole)


CHARACTERS: Mapping[str, Character] = {
    role: Character(**{**declared, "person": _person(declared["person"])})
    for role, declared in _CAST["characters"].items()
}
STAGED = tuple(StagedCall(**each) for each in _CAST["calls"])
_STRANGER = _person(_CAST["stranger"])


def parts(by_role: Mapping[str, Customer]) -> tuple[Part, ...]:
    """Returns the requests of the demonstration, of the customers that the characters became."""
    who = {**by_role, "stranger": _STRANGER}
    return tuple(
        TypeAdapter(Part).validate_python(
            declared
            | {"person": who[declared["person"]]}
            | {"neighbours": [who[role] for role in declared.get("neighbours", ())]}
        )
        for declared in _CAST["parts"]
    )


def ascii_word(text: str) -> str:
    """Returns the part of an e-mail address that a name becomes: lower-case ASCII, words joined by dots."""
    decomposed = unicodedata.normalize("NFKD", text.translate(_LETTERS_WITHOUT_DECOMPOSITION))
    plain = decomposed.encode("ascii", "ignore").decode().lower().replace("'", "")
    return re.sub(r"[^a-z0-9]+", ".", plain).strip(".")


class Population:
    """Makes customers and numbers; no number is made twice, and one that is given up goes to a later customer."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._codes = [code for code, country in COUNTRIES.items() for _ in range(country["share"])]
        self._returned: list[tuple[datetime, str, str]] = []
        by_hand = (_STRANGER, *(each.person for each in CHARACTERS.values()))
        self._numbers = {phone.number for person in by_hand for phone in person.phones}
        self._addresses = {email.lower() for person in by_hand for email in person.emails}

    def number(self, code: str) -> str:
        """Returns a number of this country that is not in use."""
        while True:
            pattern = self._rng.choice(COUNTRIES[code]["numbers"])
            number = "".join(self._rng.choice("0123456789") if digit == "#" else digit for digit in pattern)
            if number not in self._numbers:
                self._numbers.add(number)
                return number

    def sign_up(self, count: int) -> tuple[tuple[Customer, ...], Mapping[str, Customer]]:
        """Returns ``count`` customers in the order of their codes, and the characters evenly among them by role."""
        roles = {count * (2 * place + 1) // (2 * len(CHARACTERS)): role for place, role in enumerate(CHARACTERS)}
        customers = tuple(
            replace(CHARACTERS[roles[n]].person if n in roles else self._customer(), code=f"C{100_001 + n}")
            for n in range(count)
        )
        return customers, {role: customers[place] for place, role in roles.items()}

    def _customer(self) -> Customer:
        rng = self._rng
        code = rng.choice(self._codes)
        country = COUNTRIES[code]
        name = f"{rng.choice(country['first'])} {rng.choice(country['last'])}"
        phones = self._phones(code)
        postal_code, city = rng.choice(country["cities"])
        street, house = rng.choice(country["streets"]), str(rng.randint(1, 180))
        return Customer(
            code="",
            name=name,
            emails=(self._email(ascii_word(name), rng.choice(country["mail"])),),
            phones=phones,
            street=f"{house} {street}" if code in {"US", "IE"} else f"{street} {house}",
            postal_code=postal_code,
            city=city,
            country=code,
            language=country["language"],
            marketing_consent=rng.random() < _MARKETING_CONSENT,
            since=min(phone.valid_from for phone in phones),
        )

    def _email(self, name: str, domain: str) -> str:
        address, number = f"{name}@{domain}", 1
        while address in self._addresses:
            number += 1
            address = f"{name}{number}@{domain}"
        self._addresses.add(address)
        return address

    def _phones(self, code: str) -> tuple[Phone, ...]:
        rng = self._rng
        since = _morning(between(OPENED, CALLS_FROM, rng.random()))
        current = self._returned_number(code) if rng.random() < _TAKES_A_RETURNED_NUMBER else None
        former = []
        if rng.random() < _GAVE_UP_A_NUMBER:
            changed = _morning(between(CALLS_FROM, CALLS_TO - timedelta(days=150), rng.random()))
            former = [Phone(self.number(code), since, changed)]
            self._returned.append((changed + AGEING + timedelta(days=rng.randint(0, 60)), former[0].number, code))
            since = changed - timedelta(days=7)
        return (*former, current or Phone(self.number(code), since))

    def _returned_number(self, code: str) -> Phone | None:
        """Returns a number of this country whose ageing gap has passed, for a customer who joins then."""
        free = min((each for each in self._returned if each[2] == code), default=None)
        if free is None:
            return None
        self._returned.remove(free)
        return Phone(free[1], _morning(free[0] + timedelta(days=1)))


def _morning(moment: datetime) -> datetime:
    """Half past eight UTC of that day, when numbers are switched over."""
    return moment.replace(hour=8, minute=30, second=0, microsecond=0)
