"""What the declared systems find and tell for one another: account ids, and states by which the policy keeps data."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from shared.domain.identities import IdentityType
from shared.domain.operations import Operation
from shared.domain.policy import Policy
from shared.systems.downstream import Downstream
from shared.systems.states import STATES, unruled

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


def with_states(systems: Sequence[Downstream], policy: Policy) -> list[Downstream]:
    """The same, each with the states by which the policy may keep something of it, and that nobody or another tells."""
    told = _told(each for each in systems if each.enabled)
    return [_with(each, policy, told) for each in systems]


def tellers(systems: Iterable[Downstream], of: Iterable[Downstream]) -> list[Downstream]:
    """Those of the systems that tell a state on which one of the others rests."""
    awaited = frozenset[str]().union(*(each.rests_on for each in of))
    return [each for each in systems if each.capable.tells & awaited]


def to_declare(state: str, held: Iterable[str], policy: Policy) -> str:
    """What has to be declared so that it is known whether a state lasts by which the policy keeps something of these.

    It is told once, by whichever system knows it of the same people: a store of invoices need not do it itself.
    """
    named = {policy.category_of(each) or each for each in held if state in policy.lasting(each)}
    rules = sorted({rule for each in named for rule in policy.categories[each].kept_by if _lasts(policy, rule, state)})
    reason = next((reason for reason, word in STATES.items() if word == state), None)
    told = (
        f"the state {reason} on a table or resource of whichever system knows it of the same people"
        " (over: the values that say that it is not so), or grounds of a Tryton"
        if reason
        else "nothing that an adapter can tell"
    )
    places = " and ".join(f"categories.{each}" for each in sorted(named))
    return f"for {state} declare {told}; or take {' and '.join(rules)} out of kept_by of {places}"


def _lasts(policy: Policy, rule: str, state: str) -> bool:
    return policy.rules[rule].lasts_while == state


def _told(systems: Iterable[Downstream]) -> frozenset[str]:
    return frozenset[str]().union(*(each.capable.tells for each in systems))


def _with(system: Downstream, policy: Policy, told: frozenset[str]) -> Downstream:
    states = frozenset[str]().union(*(policy.lasting(held) for held in system.categories))
    untold = states - told if system.capable.knows_no_states else frozenset()
    rests_on, alone = states & (told - system.capable.tells), tuple(unruled(system.capable.telling, policy))
    missing = tuple(to_declare(each, system.categories, policy) for each in sorted(untold))
    return replace(system, untold=untold, to_declare=missing, rests_on=rests_on, unruled=alone)
