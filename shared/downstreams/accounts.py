"""Whose account ids a system understands: an id belongs to the system that gave it, and means nothing elsewhere."""

from collections.abc import Sequence

from shared.downstreams.downstream import Downstream

CUSTOMERS = "customers"
"""The namespace of the account ids that a customer knows, and so may state."""


def speaking_of(namespace: str, declared: Sequence[Downstream]) -> frozenset[str]:
    """Who speaks of account ids of a namespace: the systems that have them, and of customers' ids a requester."""
    systems = {each.name for each in declared if each.accounts == namespace}
    return frozenset(systems | ({"requester"} if namespace == CUSTOMERS else set()))
