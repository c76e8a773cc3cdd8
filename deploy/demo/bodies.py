"""What each person of the demonstration sends to ``POST /v1/requests``: only what they would know themselves."""

from collections.abc import Mapping
from typing import Any

from deploy.demo.company import Part, Phone
from shared.domain.rights import Outcome, Right

_SIGNED_IN = {"level": "L2", "method": "signed_in_mfa"}


def body(part: Part) -> Mapping[str, Any]:
    """The request as JSON.

    Whoever wants to be erased, and who was never a customer, states a number as well, of several only those given up:
    the CRM knows today's. All others ask by e-mail alone, and their calls must be found all the same.
    """
    person = part.person
    subject: dict[str, Any] = {"name": person.name, "email": person.emails[0].lower(), "country": person.country}
    stated = [phone for phone in person.phones if phone.valid_to is not None or len(person.phones) == 1]
    if stated and (part.right is Right.ERASURE or part.expected is Outcome.NO_DATA):
        subject["phones"] = [_stated(phone) for phone in stated]
    return {"right": part.right.value, "subject": subject, "assurance": _SIGNED_IN, **part.asks}


def _stated(phone: Phone) -> Mapping[str, str]:
    """A number with the time in which the person says that it was theirs."""
    stated = {"number": phone.number, "since": phone.valid_from.isoformat()}
    return stated if phone.valid_to is None else {**stated, "until": phone.valid_to.isoformat()}
