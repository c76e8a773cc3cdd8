"""Invented people: whoever carries the prefix is nobody, and may be removed by it."""

import secrets
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from shared.domain.identities import Identity, IdentityType

PREFIX = "dsr-conformance-"
"""How every identity of an invented person begins, where its type has room for it."""
_SINCE = datetime(2020, 1, 1, tzinfo=UTC)
_DRAMA = "+4420794600"
"""Numbers that are kept for plays (Ofcom): nobody's, a hundred of them."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody invented: by each type of identity one value, and a name that all of them share."""

    key: str
    email: str
    phone: str
    name: str = "Conformance Quarzfels"

    @property
    def values(self) -> dict[str, str]:
        """What a seed is given."""
        return {
            "key": self.key,
            "email": self.email,
            "phone": self.phone,
            "account_id": self.key,
            "sip_uri": f"sip:{self.email}",
            "name": self.name,
        }

    def identities(self, needs: Collection[IdentityType]) -> tuple[Identity, ...]:
        """What a system that needs these types is told."""
        known = (Identity(kind, self.values[kind.value], level="L2") for kind in IdentityType if kind in needs)
        dated = {IdentityType.PHONE, IdentityType.SIP_URI}
        return tuple(replace(each, valid_from=_SINCE) if each.type in dated else each for each in known)


@dataclass
class People:
    """Gives invented people, no two alike, all of one run."""

    run: str = field(default_factory=lambda: secrets.token_hex(4))
    domain: str = "example.com"
    made: list[Person] = field(default_factory=list)

    @property
    def prefix(self) -> str:
        """How everybody of this run begins."""
        return f"{PREFIX}{self.run}-"

    def another(self) -> Person:
        """Somebody who is nobody."""
        number = len(self.made)
        key = f"{self.prefix}{number}"
        self.made.append(Person(key, f"{key}@{self.domain}", f"{_DRAMA}{number % 100:02d}"))
        return self.made[-1]

    def neighbours(self, person: Person) -> list[Person]:
        """People of the same name whose addresses contain the person's, or match it where a search takes patterns."""
        local, _, domain = person.email.partition("@")
        alike = (
            f"{self.prefix}x{local}@{domain}",
            f"{person.email}.au",
            f"{local}%@{domain}",
            f"{local[:-1]}_@{domain}",
        )
        others = [replace(self.another(), email=email) for email in alike]
        self.made[-len(others) :] = others
        return others
