"""A customer as the CRM holds them; pure."""

import contextlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from shared.domain.assignments import Line
from shared.domain.identities import Identity, IdentityType, MalformedIdentity, normalise
from shared.domain.text import nfc

_TYPES: Final = {
    "email": IdentityType.EMAIL,
    "phone": IdentityType.PHONE,
    "mobile": IdentityType.PHONE,
    "fax": IdentityType.PHONE,
    "sip": IdentityType.SIP_URI,
}
STREET_PARTS: Final = ("street_name", "building_name", "building_number", "unit_number", "floor_number", "room_number")
"""What a street is made of, where it is not written as ``street_unstructured``."""


@dataclass(frozen=True, slots=True)
class Contact:
    """An e-mail address, a number or the like; ``compact`` is the copy of it that Tryton's own erasure forgets."""

    id: int
    kind: str
    value: str
    compact: str
    active: bool
    version: str = ""

    @property
    def type(self) -> IdentityType | None:
        """What kind of identity it is; some are none."""
        return _TYPES.get(self.kind)

    @property
    def spelled(self) -> str:
        """The value as identities are spelled."""
        return spelled(self.type, self.compact or self.value)


@dataclass(frozen=True, slots=True)
class NumberAssignment:
    """A number, or a SIP address, that is or was the party's: half-open, UTC; ``valid_to`` is None while it is."""

    id: int
    number: str
    valid_from: datetime
    valid_to: datetime | None = None
    line: Line = Line.PERSONAL

    @property
    def type(self) -> IdentityType:
        """What kind of identity it is."""
        return IdentityType.SIP_URI if self.number.startswith("sip:") else IdentityType.PHONE

    @property
    def spelled(self) -> str:
        """The number as identities are spelled."""
        return spelled(self.type, self.number)


@dataclass(frozen=True, slots=True)
class Address:
    """A postal address, by Tryton's fields."""

    id: int
    active: bool
    street: str
    lines: Mapping[str, str]
    version: str = ""


@dataclass(frozen=True, slots=True)
class Party:
    """A customer with everything that belongs to them; ``code`` is the customer number.

    ``contacts``: what they are reached by. ``assignments``: whose a number was, which no contact says.
    ``replaced_by``: the party with which this one was merged, as the CRM's staff do with duplicates.
    """

    id: int
    code: str
    name: str
    active: bool
    restricted: bool
    marketing_opt_out: bool
    replaced_by: int | None = None
    contacts: tuple[Contact, ...] = ()
    assignments: tuple[NumberAssignment, ...] = ()
    addresses: tuple[Address, ...] = ()
    identifiers: tuple[tuple[str, str], ...] = ()
    version: str = ""

    def counts(self) -> dict[str, int]:
        """Rows that hold something about the person, by category."""
        return {
            "account": 1,
            "contact": len(self.contacts),
            "assignment": len(self.assignments),
            "address": sum(bool(address.lines) for address in self.addresses),
            "identifier": len(self.identifiers),
        }

    def is_former(self, contact: Contact) -> bool:
        """Whether it is an address that another one has taken the place of, as by a correction."""
        mails = (each for each in self.contacts if each.type is IdentityType.EMAIL)
        return contact.type is IdentityType.EMAIL and not contact.active and any(each.active for each in mails)

    def assigned(self, kind: IdentityType, value: str) -> tuple[NumberAssignment, ...]:
        """In which periods a number, or a SIP address, was assigned to them."""
        return tuple(each for each in self.assignments if (each.type, each.spelled) == (kind, value))

    def _until(self, contact: Contact) -> datetime | None:
        """Until when it was the party's: a former address until it was changed last."""
        if not self.is_former(contact):
            return None
        try:
            return datetime.fromtimestamp(float(contact.version), UTC)
        except (ValueError, OverflowError):  # then it tells nothing of any time
            return datetime.min.replace(tzinfo=UTC)

    def identities(self, system: str) -> tuple[Identity, ...]:
        """What the CRM knows the person by: the customer number, every address, and every number with its periods.

        An address that was corrected since is a former one: it leads to what bears it from before then. A number that
        is a contact alone has no period: nothing was assigned by writing it down.
        """
        return (
            *([Identity(IdentityType.ACCOUNT_ID, self.code, source=system)] if self.code else ()),
            *(
                Identity(contact.type, contact.spelled, None, self._until(contact), system)
                for contact in self.contacts
                if contact.type is not None and not self.assigned(contact.type, contact.spelled)
            ),
            *(Identity(each.type, each.spelled, each.valid_from, each.valid_to, system) for each in self.assignments),
        )


CATEGORIES = ("account", "address", "assignment", "contact", "identifier")
"""What a party may hold."""


def counts(parties: Iterable[Party]) -> dict[str, int]:
    """Rows of several parties that hold something about the person, by category."""
    return dict(+sum((Counter(party.counts()) for party in parties), Counter[str]()))


def spelled(kind: IdentityType | None, value: str) -> str:
    """The one spelling of identities; what is no valid identity only loses its case and white space."""
    if kind is not None:
        with contextlib.suppress(MalformedIdentity):
            return normalise(kind, value)
    return nfc("".join(value.lower().split()))
