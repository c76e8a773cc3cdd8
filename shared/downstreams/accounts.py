"""Whose account ids a system understands: an id belongs to the system that gave it, and means nothing elsewhere."""

from collections.abc import Sequence
from dataclasses import replace

from shared.domain.identities import IdentityType
from shared.domain.operations import Operation
from shared.downstreams.downstream import Downstream

CUSTOMERS = "customers"
"""The namespace of the account ids that a customer knows, and so may state."""


REQUESTER = "requester"
"""Who states such an id: whoever asks."""


def speaking_of(namespace: str, declared: Sequence[Downstream]) -> frozenset[str]:
    """Who speaks of account ids of a namespace: the systems that have them, and of customers' ids a requester."""
    systems = {each.name for each in declared if each.accounts == namespace}
    return frozenset(systems | ({REQUESTER} if namespace == CUSTOMERS else set()))


def untold(declared: Sequence[Downstream]) -> frozenset[str]:
    """Those of the systems that are searched by account ids of a namespace of which nobody tells one."""
    telling = {each.name for each in declared if IdentityType.ACCOUNT_ID in each.yields} | {REQUESTER}
    asked = (each for each in declared if IdentityType.ACCOUNT_ID in each.needs)
    return frozenset(each.name for each in asked if not speaking_of(each.accounts, declared) & telling)


def with_finders(connected: Sequence[Downstream]) -> list[Downstream]:
    """The same, each with the other systems that find a person's account id of its namespace by something else."""
    finding = [each for each in connected if IdentityType.ACCOUNT_ID in each.yields and each.can(Operation.LOCATE)]
    return [replace(each, accounts_found_by=_others(each, finding)) for each in connected]


def _others(system: Downstream, finding: Sequence[Downstream]) -> frozenset[str]:
    return frozenset(each.name for each in finding if each.accounts == system.accounts and each.name != system.name)


def beside_the_register(declared: Sequence[Downstream]) -> list[Downstream]:
    """The same, each knowing whether another one says whose the accounts are that it files by."""
    sources = [each for each in declared if each.enabled and each.assigns and IdentityType.ACCOUNT_ID in each.yields]
    names = {each.name for each in sources}
    heard = {each.name: names if each.accounts_from is None else names & each.accounts_from for each in declared}
    return [replace(each, confirmed_elsewhere=bool(heard[each.name] - {each.name})) for each in declared]
