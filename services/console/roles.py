"""What whoever has signed in may see and do: by role, as tables; pure.

Who must be two persons is no matter of roles: the use cases ask for two holders. One person with two roles is one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from enum import StrEnum
from typing import Final

from services.intake.access import grant
from services.intake.access.grant import ANYTHING, Grant


class Role(StrEnum):
    """What somebody of the privacy team is, as the identity provider says."""

    HANDLER = "handler"
    APPROVER = "approver"
    AUDITOR = "auditor"
    ADMIN = "admin"


class Power(StrEnum):
    """What pages are for: each asks for one of these."""

    SEE = "see"
    READ = "read"
    HANDLE = "handle"
    APPROVE = "approve"
    RELEASE = "release"
    AUDIT = "audit"


WORDS: Final[Mapping[Power, str]] = {
    Power.SEE: "see where requests stand, in counts",
    Power.READ: "read letters, mail, packages that are withheld, and what people have written",
    Power.HANDLE: "decide about requests, propose, and enter what came",
    Power.APPROVE: "agree with what another person proposes",
    Power.RELEASE: "be one of the two persons who let go what was stopped",
    Power.AUDIT: "export a case",
}
ROLES: Final[Mapping[Role, frozenset[Power]]] = {
    Role.HANDLER: frozenset({Power.SEE, Power.READ, Power.HANDLE}),
    Role.APPROVER: frozenset({Power.SEE, Power.READ, Power.HANDLE, Power.APPROVE, Power.RELEASE}),
    Role.AUDITOR: frozenset({Power.SEE, Power.AUDIT}),
    Role.ADMIN: frozenset({Power.SEE, Power.RELEASE}),
}
_OF_THE_API: Final[Mapping[Power, frozenset[grant.Power]]] = {
    Power.READ: frozenset({grant.Power.FETCH}),
    Power.HANDLE: frozenset({grant.Power.SUBMIT}),
    Power.APPROVE: frozenset({grant.Power.SUBMIT}),
    Power.RELEASE: frozenset({grant.Power.SUBMIT}),
}
"""What of the powers of an API key they need: the use cases refuse everybody else, whatever a page has let pass."""


def powers(roles: Iterable[Role]) -> frozenset[Power]:
    """What somebody with these roles may do."""
    return frozenset(power for role in roles for power in ROLES[role])


def granted(roles: Iterable[Role]) -> Grant:
    """What the use cases let somebody with these roles do."""
    of_the_api = frozenset(each for power in powers(roles) for each in _OF_THE_API.get(power, frozenset()))
    return replace(ANYTHING, powers=of_the_api)
