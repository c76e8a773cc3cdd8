"""Which states of a person's affairs (a contract is active, an invoice is open) some declared system tells; pure.

A rule of the policy may keep data for as long as such a state lasts. Where nobody tells whether it does, it is not
known: a person erases there what may go, and nothing is deleted before.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from shared.domain.policy import Policy
from shared.downstreams.downstream import Downstream


def with_untold(systems: Sequence[Downstream], policy: Policy) -> list[Downstream]:
    """The same, each with the states by which the policy may keep something of it, and that nobody tells."""
    told = _told(each for each in systems if each.enabled)
    return [replace(each, untold=_untold(each, policy, told)) for each in systems]


def _told(systems: Iterable[Downstream]) -> frozenset[str]:
    return frozenset[str]().union(*(getattr(each.adapter, "tells", ()) for each in systems))


def _untold(system: Downstream, policy: Policy, told: frozenset[str]) -> frozenset[str]:
    if not system.knows_no_states:
        return frozenset()
    return frozenset[str]().union(*(policy.lasting(held) for held in system.categories)) - told
