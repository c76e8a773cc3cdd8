"""The people of the demonstration: who asks for what, why their case is worth watching and how it must end."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import to_jsonable_python

from deploy.demo.company.model import Customer, Phone
from shared.domain.rights import Outcome, Right

_OTHER_BROWSER = "2026110101.0000000000001"
"""The client id of somebody who never visited the company's website."""


@dataclass(frozen=True, slots=True)
class Character:
    """A customer written by hand; ``calls`` they take part in at least, ``withheld`` share of the calls they make."""

    person: Customer
    calls: int = 80
    tickets: int = 3
    withheld: float = 0.0


@dataclass(frozen=True, slots=True)
class Part:
    """One request of the demonstration.

    ``shows``: what the case is there for. ``expected``: how it must end. ``neighbours``: customers who share something
    with the person and of whom nothing may change. ``asks``: fields of the request beside right and subject.
    ``misremembers``: they state each number as theirs from a year too early on, and to this day. ``message``: what is
    asked for in one message has the same. ``keeps``: the rule of the policy by which the CRM keeps something in face of
    an erasure, and ``keeps_no_calls``: there is no call that a rule would keep.
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
        """What the person sends to ``POST /v1/requests``: only what they would know themselves.

        Whoever wants to be erased and nothing else, and who was never a customer, states a number as well, of several
        only those given up: the CRM knows today's. All others ask by e-mail alone, and their calls must be found all
        the same.
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
        """Everybody is signed in; who was never a customer has answered at their numbers, from a browser, besides."""
        if self.person.code:
            return {"assurance": {"level": "L2", "method": "signed_in_mfa"}}
        known = min(phone.valid_from for phone in self.person.phones)
        address = {"identity": "email", "method": "signed_in_mfa", "on_file_since": known}
        numbers = [
            {"identity": f"phones.{place}", "method": "sms_code", "on_file_since": phone["since"]}
            for place, phone in enumerate(subject.get("phones", ()))
        ]
        browser = {"identity": "client_id", "method": "browser", "on_file_since": known}
        return {"proofs": [address, browser, *numbers]}

    def _stated(self, phone: Phone) -> dict[str, Any]:
        """A number as the person states it."""
        if self.misremembers:
            return {"number": phone.number, "since": phone.valid_from - timedelta(days=365)}
        return {"number": phone.number, "since": phone.valid_from, "until": phone.valid_to}


def _person(declared: Mapping[str, Any]) -> Customer:
    since = min((phone["valid_from"] for phone in declared["phones"]), default=None)
    whole = {"code": "", "marketing_consent": False, "since": since, **declared}
    return TypeAdapter(Customer).validate_python(whole)


_CAST = tomllib.loads(Path(__file__).with_name("cast.toml").read_text(encoding="utf-8"))

CHARACTERS: Mapping[str, Character] = {
    role: Character(**{**declared, "person": _person(declared["person"])})
    for role, declared in _CAST["characters"].items()
}
STRANGER = _person(_CAST["stranger"])


def parts(by_role: Mapping[str, Customer]) -> tuple[Part, ...]:
    """The requests of the demonstration, of the customers that the characters became."""
    who = {**by_role, "stranger": STRANGER}
    return tuple(
        TypeAdapter(Part).validate_python(
            declared
            | {"person": who[declared["person"]]}
            | {"neighbours": [who[role] for role in declared.get("neighbours", ())]}
        )
        for declared in _CAST["parts"]
    )
