"""Declares what each role may see and do.

Dual approval does not depend on roles: the use cases require two holders. One person with two roles counts once.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from enum import StrEnum
from typing import Final

from services.intake.access import grant
from services.intake.access.grant import ANYTHING, Grant


class Role(StrEnum):
    """A role of the privacy team, as the identity provider names it."""

    HANDLER = "handler"
    APPROVER = "approver"
    AUDITOR = "auditor"
    ADMIN = "admin"


class Power(StrEnum):
    """A power: each page needs one."""

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
    Power.APPROVE: "approve what another person proposes",
    Power.RELEASE: "release what is blocked, as one of two people",
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
"""The powers of an API key that each needs: the use cases check them again."""


def powers(roles: Iterable[Role]) -> frozenset[Power]:
    """Returns the powers of these roles."""
    return frozenset(power for role in roles for power in ROLES[role])


def granted(roles: Iterable[Role]) -> Grant:
    """Returns what the use cases permit with these roles."""
    of_the_api = frozenset(each for power in powers(roles) for each in _OF_THE_API.get(power, frozenset()))
    return replace(ANYTHING, powers=of_the_api)
