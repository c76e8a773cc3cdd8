"""Which states of a person's affairs (a contract is active, an invoice is open) some declared system tells; pure.

A rule of the policy may keep data for as long as such a state lasts. One system tells it of a person, and what any
system holds of them is kept by it. Where nobody tells whether it lasts, it is not known: a person erases there what may
go, and nothing is deleted before.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from shared.domain.policy import Policy
from shared.downstreams.downstream import Downstream
from shared.downstreams.refusals import unruled


def with_states(systems: Sequence[Downstream], policy: Policy) -> list[Downstream]:
    """The same, each with the states by which the policy may keep something of it, and that nobody or another tells."""
    told = _told(each for each in systems if each.enabled)
    return [_with(each, policy, told) for each in systems]


def tellers(systems: Iterable[Downstream], of: Iterable[Downstream]) -> list[Downstream]:
    """Those of the systems that tell a state on which one of the others rests, or on which they rest themselves."""
    of = [*of]
    awaited = frozenset[str]().union(*(each.rests_on for each in of))
    return [each for each in systems if each.tells & awaited or (each in of and each.left_to_policy)]


def unknown(system: str, held: str, rule: str, state: str) -> str:
    """What a person reads where no system could tell a state of somebody of whom there is something to keep by it."""
    return (
        f"{system} holds {held}, which {rule} keeps while {state}, and no system could tell whether that is so: enter"
        " it where it is told, and try again; nothing was done there"
    )


def country_unknown(system: str, held: str, rule: str, country: str) -> str:
    """The same where nobody can tell whether what there is to keep is under the law of a rule."""
    return (
        f"{system} holds {held}, which {rule} keeps where the law of {country} applies, and nothing there shows whether"
        " it does: enter the country there, and try again; nothing was done there"
    )


def _told(systems: Iterable[Downstream]) -> frozenset[str]:
    return frozenset[str]().union(*(each.tells for each in systems))


def _with(system: Downstream, policy: Policy, told: frozenset[str]) -> Downstream:
    states = frozenset[str]().union(*(policy.lasting(held) for held in system.categories))
    untold = states - told if system.knows_no_states else frozenset()
    rests_on, alone = states & (told - system.tells), tuple(unruled(system.telling, policy))
    return replace(system, untold=untold, rests_on=rests_on, unruled=alone)
