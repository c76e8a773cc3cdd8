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


class StaffPower(StrEnum):
    """A power: each page needs one."""

    SEE = "see"
    READ = "read"
    HANDLE = "handle"
    APPROVE = "approve"
    RELEASE = "release"
    AUDIT = "audit"


WORDS: Final[Mapping[StaffPower, str]] = {
    StaffPower.SEE: "see where requests stand, in counts",
    StaffPower.READ: "read letters, mail, packages that are withheld, and what people have written",
    StaffPower.HANDLE: "decide about requests, propose, and enter what came",
    StaffPower.APPROVE: "approve what another person proposes",
    StaffPower.RELEASE: "release what is blocked, as one of two people",
    StaffPower.AUDIT: "export a case",
}
ROLES: Final[Mapping[Role, frozenset[StaffPower]]] = {
    Role.HANDLER: frozenset({StaffPower.SEE, StaffPower.READ, StaffPower.HANDLE}),
    Role.APPROVER: frozenset(
        {StaffPower.SEE, StaffPower.READ, StaffPower.HANDLE, StaffPower.APPROVE, StaffPower.RELEASE}
    ),
    Role.AUDITOR: frozenset({StaffPower.SEE, StaffPower.AUDIT}),
    Role.ADMIN: frozenset({StaffPower.SEE, StaffPower.RELEASE}),
}
_OF_THE_API: Final[Mapping[StaffPower, frozenset[grant.Power]]] = {
    StaffPower.READ: frozenset({grant.Power.FETCH}),
    StaffPower.HANDLE: frozenset({grant.Power.SUBMIT}),
    StaffPower.APPROVE: frozenset({grant.Power.SUBMIT}),
    StaffPower.RELEASE: frozenset({grant.Power.SUBMIT}),
}
"""The powers of an API key that each needs: the use cases check them again."""


def powers(roles: Iterable[Role]) -> frozenset[StaffPower]:
    """Returns the powers of these roles."""
    return frozenset(power for role in roles for power in ROLES[role])


def granted(roles: Iterable[Role]) -> Grant:
    """Returns what the use cases permit with these roles."""
    of_the_api = frozenset(each for power in powers(roles) for each in _OF_THE_API.get(power, frozenset()))
    return replace(ANYTHING, powers=of_the_api)
