"""Which states of a person's affairs (a contract is active, an invoice is open) some declared system tells; pure.

A rule of the policy may keep data for as long as such a state lasts. One system tells it of a person, and what any
system holds of them is kept by it. Where nobody tells whether it lasts, it is not known: a person erases there what may
go, and nothing is deleted before.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from shared.domain.policy import Policy
from shared.downstreams.downstream import Downstream
from shared.downstreams.refusals import STATES, unruled


def with_states(systems: Sequence[Downstream], policy: Policy) -> list[Downstream]:
    """The same, each with the states by which the policy may keep something of it, and that nobody or another tells."""
    told = _told(each for each in systems if each.enabled)
    return [_with(each, policy, told) for each in systems]


def tellers(systems: Iterable[Downstream], of: Iterable[Downstream]) -> list[Downstream]:
    """Those of the systems that tell a state on which one of the others rests."""
    awaited = frozenset[str]().union(*(each.rests_on for each in of))
    return [each for each in systems if each.tells & awaited]


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


def to_declare(state: str, held: Iterable[str], policy: Policy) -> str:
    """What has to be declared so that it is known whether a state lasts by which the policy keeps something of these.

    It is told once, by whichever system knows it of the same people: a store of invoices need not do it itself.
    """
    named = {policy.category_of(each) or each for each in held if state in policy.lasting(each)}
    rules = sorted({rule for each in named for rule in policy.categories[each].kept_by if _lasts(policy, rule, state)})
    reason = next((reason for reason, word in STATES.items() if word == state), None)
    told = (
        f'refuse_when with reason = "{reason}" on a table or resource of whichever system knows it of the same people'
        " (over: the values that say that it is not so), or grounds of a Tryton"
        if reason
        else "nothing that an adapter can tell"
    )
    places = " and ".join(f"categories.{each}" for each in sorted(named))
    return f"for {state} declare {told}; or take {' and '.join(rules)} out of kept_by of {places}"


def _lasts(policy: Policy, rule: str, state: str) -> bool:
    return policy.rules[rule].lasts_while == state


def _told(systems: Iterable[Downstream]) -> frozenset[str]:
    return frozenset[str]().union(*(each.tells for each in systems))


def _with(system: Downstream, policy: Policy, told: frozenset[str]) -> Downstream:
    states = frozenset[str]().union(*(policy.lasting(held) for held in system.categories))
    untold = states - told if system.knows_no_states else frozenset()
    rests_on, alone = states & (told - system.tells), tuple(unruled(system.telling, policy))
    missing = tuple(to_declare(each, system.categories, policy) for each in sorted(untold))
    return replace(system, untold=untold, to_declare=missing, rests_on=rests_on, unruled=alone)
