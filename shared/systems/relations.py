"""Relates the declared systems: who supplies account IDs, and who reports states for others."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from shared.domain.identities import IdentityType
from shared.domain.operations import Operation
from shared.domain.policy import Policy
from shared.systems.downstream import Downstream
from shared.systems.states import STATES, states_without_rule

CUSTOMERS = "customers"
"""The namespace of account IDs that customers know, and so may state."""


REQUESTER = "requester"
"""The source of stated account IDs."""


def account_sources(namespace: str, declared: Sequence[Downstream]) -> frozenset[str]:
    """Returns the sources of account IDs of a namespace; for customers' IDs also the requester."""
    systems = {each.name for each in declared if each.accounts == namespace}
    return frozenset(systems | ({REQUESTER} if namespace == CUSTOMERS else set()))


def without_account_source(declared: Sequence[Downstream]) -> frozenset[str]:
    """Returns the systems searched by account IDs that no source supplies."""
    sources = {each.name for each in declared if IdentityType.ACCOUNT_ID in each.yields} | {REQUESTER}
    asked = (each for each in declared if IdentityType.ACCOUNT_ID in each.needs)
    return frozenset(each.name for each in asked if not account_sources(each.accounts, declared) & sources)


def with_finders(connected: Sequence[Downstream]) -> list[Downstream]:
    """Returns the systems, each with the other systems that find its account IDs."""
    finding = [each for each in connected if IdentityType.ACCOUNT_ID in each.yields and each.can(Operation.LOCATE)]
    return [replace(each, accounts_found_by=_other_finders(each, finding)) for each in connected]


def _other_finders(system: Downstream, finding: Sequence[Downstream]) -> frozenset[str]:
    return frozenset(each.name for each in finding if each.accounts == system.accounts and each.name != system.name)


def with_register(declared: Sequence[Downstream]) -> list[Downstream]:
    """Returns the systems, each with whether another confirms the owners of its accounts."""
    sources = [each for each in declared if each.enabled and each.assigns and IdentityType.ACCOUNT_ID in each.yields]
    names = {each.name for each in sources}
    sources_of = {each.name: names if each.accounts_from is None else names & each.accounts_from for each in declared}
    return [replace(each, confirmed_elsewhere=bool(sources_of[each.name] - {each.name})) for each in declared]


def with_states(systems: Sequence[Downstream], policy: Policy) -> list[Downstream]:
    """Returns the systems, each with the states that keep its data: reported by another system, or by none."""
    reported = _reported(each for each in systems if each.enabled)
    return [_with(each, policy, reported) for each in systems]


def state_reporters(systems: Iterable[Downstream], for_systems: Iterable[Downstream]) -> list[Downstream]:
    """Returns the systems that report a state for one of the others."""
    awaited = frozenset[str]().union(*(each.states_from_others for each in for_systems))
    return [each for each in systems if each.capabilities.reported_states & awaited]


def declaration_for(state: str, categories: Iterable[str], policy: Policy) -> str:
    """Returns what to declare so that a state that keeps data is reported.

    One system reports it for all: a store of invoices need not do so itself.
    """
    named = {policy.category_of(each) or each for each in categories if state in policy.lasting(each)}
    rules = sorted({rule for each in named for rule in policy.categories[each].kept_by if _lasts(policy, rule, state)})
    reason = next((reason for reason, word in STATES.items() if word == state), None)
    declaration = (
        f"the state {reason} on a table or resource of the system that knows it of the same people"
        " (over: the values that say that it is not so), or grounds of a Tryton"
        if reason
        else "nothing that an adapter can tell"
    )
    places = " and ".join(f"categories.{each}" for each in sorted(named))
    return f"for {state} declare {declaration}; or take {' and '.join(rules)} out of kept_by of {places}"


def _lasts(policy: Policy, rule: str, state: str) -> bool:
    return policy.rules[rule].lasts_while == state


def _reported(systems: Iterable[Downstream]) -> frozenset[str]:
    return frozenset[str]().union(*(each.capabilities.reported_states for each in systems))


def _with(system: Downstream, policy: Policy, reported: frozenset[str]) -> Downstream:
    states = frozenset[str]().union(*(policy.lasting(category) for category in system.categories))
    unreported = states - reported if system.capabilities.reports_no_states else frozenset()
    states_from_others, without_rule = (
        states & (reported - system.capabilities.reported_states),
        tuple(states_without_rule(system.capabilities.state_places, policy)),
    )
    missing = tuple(declaration_for(each, system.categories, policy) for each in sorted(unreported))
    return replace(
        system,
        unreported=unreported,
        to_declare=missing,
        states_from_others=states_from_others,
        states_without_rule=without_rule,
    )
