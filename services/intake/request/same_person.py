"""Whether two requests come from the same person: by identities that both have proved, as keyed fingerprints; pure.

A number or a SIP address is a line, which people share, so it decides nothing. An account, where both have proved
one, decides alone: the e-mail address next to it may be a family's.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from shared.domain import precedence
from shared.domain.identities import Identity, IdentityType
from shared.domain.proofs import proved
from shared.domain.rights import Level
from shared.storage.keyring import Keyring

LEAST_LEVEL: Final[Level] = "L1"
"""Control of one contact point of record: an identifier alone (`L0`) is anybody's to state."""


@dataclass(frozen=True, slots=True)
class ProvedPerson:
    """Keyed fingerprints of the account and e-mail address that a requester has proved."""

    account: bytes | None = None
    email: bytes | None = None

    @property
    def known(self) -> bool:
        """Whether anything is proved by which another request could be recognised as theirs."""
        return self.account is not None or self.email is not None

    @property
    def marks(self) -> precedence.RequestMarks:
        """Returns the fingerprints in the form that other services use."""
        accounts = frozenset({self.account} if self.account else ())
        return precedence.RequestMarks(accounts, frozenset({self.email} if self.email else ()))

    def is_same(self, other: "ProvedPerson") -> bool:
        """Whether both have proved the same account or, where one has proved none, the same e-mail address."""
        if self.account is not None and other.account is not None:
            return self.account == other.account
        return self.email is not None and self.email == other.email


UNPROVED = ProvedPerson()


def proved_person(identities: Iterable[Identity], keyring: Keyring) -> ProvedPerson:
    """Builds the fingerprints of a request's proved identities (``shared.domain.proofs``)."""
    known = {each.type: keyring.fingerprint(each) for each in proved(identities, LEAST_LEVEL)}
    return ProvedPerson(known.get(IdentityType.ACCOUNT_ID), known.get(IdentityType.EMAIL))
