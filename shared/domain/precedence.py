"""Matches requests of the same person, so that it is known which comes first; pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Protocol, Self

from shared.domain.identities import Identity, IdentityType

REQUEST: Final = "request"
"""The type of a mark for another request in the same message."""


class RequestKind(StrEnum):
    """The kind of a request that other requests consider."""

    COPY = "copy"
    RESTRICTION = "restriction"
    ERASURE = "erasure"
    ERASED = "erased"


class Fingerprints(Protocol):
    """Hashes identities with a key."""

    def fingerprint(self, identity: Identity) -> bytes: ...


@dataclass(frozen=True, slots=True)
class RequestMarks:
    """Keyed hashes of a person's accounts and e-mail addresses, and the other requests of their message.

    ``requests``: the IDs of requests of the same message.
    """

    accounts: frozenset[bytes] = field(default_factory=frozenset)
    emails: frozenset[bytes] = field(default_factory=frozenset)
    requests: frozenset[bytes] = field(default_factory=frozenset)

    @classmethod
    def of(cls, keyring: Fingerprints, identities: Iterable[Identity]) -> Self:
        """Returns the marks of these identities; people share lines, so a number identifies no one."""
        found: dict[IdentityType, set[bytes]] = {IdentityType.ACCOUNT_ID: set(), IdentityType.EMAIL: set()}
        for each in identities:
            if each.type in found:
                found[each.type].add(keyring.fingerprint(each))
        return cls(frozenset(found[IdentityType.ACCOUNT_ID]), frozenset(found[IdentityType.EMAIL]))

    @property
    def rows(self) -> list[tuple[str, bytes]]:
        """Returns each mark with its type."""
        accounts = [(IdentityType.ACCOUNT_ID.value, mark) for mark in sorted(self.accounts)]
        emails = [(IdentityType.EMAIL.value, mark) for mark in sorted(self.emails)]
        return [*accounts, *emails, *((REQUEST, mark) for mark in sorted(self.requests))]

    def is_same(self, other: "RequestMarks") -> bool:
        """Returns whether both share an account or, if one has none, an e-mail address."""
        if self.accounts and other.accounts:
            return not self.accounts.isdisjoint(other.accounts)
        return not self.emails.isdisjoint(other.emails)
