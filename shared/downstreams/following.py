"""How far what a system tells of somebody is followed in it, until nothing new is found."""

from collections.abc import Container, Iterable
from dataclasses import replace
from typing import Final

from shared.domain.errors import NotSupported
from shared.domain.identities import Identity, IdentityType
from shared.downstreams.contract import Task

_CONTACT_POINTS: Final = frozenset({IdentityType.EMAIL, IdentityType.PHONE, IdentityType.SIP_URI})
_TELLING: Final = frozenset({IdentityType.EMAIL, IdentityType.ACCOUNT_ID})
"""What tells one person from another beside an address or a number that both have."""
FAR: Final = 16
"""So many steps lead from what a person has said to all that is theirs; what leads on from there is a mix-up."""


def endless(system: str) -> NotSupported:
    """Why nothing is done there: nobody can tell whose all that is to which one record leads after another."""
    return NotSupported(
        f"{system} leads from what is known of the subject to ever more addresses and accounts: look whose they are, do"
        " it by hand, and enter what was done"
    )


def leading(asked: Task, known: Task) -> Task:
    """What is searched on by, once more is known than was asked: of whoever objects, by no address that a row told.

    ``asked``: as the system was asked; ``known``: the same with all that rows have told since.
    """
    if asked.leads_on:
        return known
    own = {(each.type, each.value) for each in asked.identities}
    told = [each for each in known.identities if _leads_nowhere(each, own)]
    left = tuple(each for each in known.identities if each not in told)
    return replace(known, identities=left, beside=(*known.beside, *told))


def shared_by(asked: Task, told: Iterable[Iterable[Identity]]) -> frozenset[Identity]:
    """What of the addresses and numbers that a task is searched by stands in rows of others, too.

    ``told``: what each row tells that bears one of them; another's has an account or an address nobody knows of them.
    """
    known = {(each.type, each.value) for each in asked.known}
    rows = [frozenset((each.type, each.value) for each in row) for row in told]
    others = [row for row in rows if any(kind in _TELLING for kind, _ in row - known)]
    return frozenset(each for each in asked.identities if any((each.type, each.value) in row for row in others))


def _leads_nowhere(each: Identity, own: Container[tuple[IdentityType, str]]) -> bool:
    return each.type in _CONTACT_POINTS and (each.type, each.value) not in own
