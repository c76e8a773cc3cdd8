"""Defines the reasons why a system may not erase yet: a closed list, so that answers contain no free text."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Literal, NamedTuple

from shared.domain.errors import Refused
from shared.domain.holds import LEGAL_HOLD
from shared.domain.policy import Policy

StateReason = Literal["open_ticket", "open_order", "open_invoice", "active_contract", "dispute", "legal_hold"]

STATES: Final[Mapping[StateReason, str]] = {
    "open_invoice": "invoice_open",
    "active_contract": "contract_active",
    "dispute": "disputed",
    "legal_hold": "held",
}
"""The policy's names of these states."""


class StatePlace(NamedTuple):
    """A place whose rows show a state in which data must stay, and its category."""

    place: str
    category: str
    reason: StateReason


def states_without_rule(places: Iterable[StatePlace], policy: Policy) -> Iterator[str]:
    """Yields a sentence for each state that forces a person to decide, because no rule keeps data in it.

    Legal holds are placed per case, by no rule of a category.
    """
    for place, data, reason in dict.fromkeys(places):
        name, state = policy.category_of(data), STATES.get(reason)
        if name is None or state is None or policy.categories[name].is_customers or state in policy.lasting(data):
            continue
        rules = sorted(rule for rule, each in policy.rules.items() if each.lasts_while == state and rule != LEGAL_HOLD)
        if rules:
            yield (
                f"{place} tells {reason}, and no rule keeps {data} while {state}: no data of a person of whom that"
                f" is so is erased, and a person decides; or name {' or '.join(rules)} in kept_by of"
                f" categories.{name}, and its rows stay by that while the rest goes"
            )


def combine_reports(*reports: bool | None) -> bool | None:
    """Combines reports of a state: True if one says so, False if all deny it, None if unknown."""
    return True if True in reports else None if None in reports else False


class ErasureRefused(Refused):
    """A record is in a state in which nothing of the subject may be erased; the message says the declared reason."""


def state_unknown(system: str, data: str, rule: str, state: str) -> str:
    """Explains to an officer that no system reports a state that may keep data."""
    return (
        f"{system} holds {data}, which {rule} keeps while {state}, and no system reports whether that is so: enter"
        " it where it is known, and try again; nothing was done there"
    )


def country_unknown(system: str, data: str, rule: str, countries: Iterable[str]) -> str:
    """Explains that the country of a record is unknown."""
    return (
        f"{system} holds {data}, which {rule} keeps only for {' or '.join(sorted(countries))}, and nothing there shows"
        " the country: enter it there, and try again; nothing was done there"
    )


def start_unknown(system: str, data: str, rule: str, anchor: str | None) -> str:
    """Explains that the start of a period is unknown."""
    return (
        f"{system} holds {data}, which {rule} keeps for a time from {anchor}, and nothing there shows that day: enter"
        " it there, and try again; nothing was done there"
    )
