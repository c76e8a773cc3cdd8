"""Why a system may not erase what it holds of a subject yet: a closed list, so that no answer repeats free text."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Literal, NamedTuple

from shared.domain.errors import Refused
from shared.domain.holds import LEGAL_HOLD
from shared.domain.policy import Policy

Reason = Literal["open_ticket", "open_order", "open_invoice", "active_contract", "dispute", "legal_hold"]

STATES: Final[Mapping[Reason, str]] = {
    "open_invoice": "invoice_open",
    "active_contract": "contract_active",
    "dispute": "disputed",
    "legal_hold": "held",
}
"""What the rules of the policy call the states that are reasons."""


class Telling(NamedTuple):
    """A table or a kind of record whose rows tell a state in which something must stay, and the category of them."""

    place: str
    category: str
    reason: Reason


def unruled(telling: Iterable[Telling], policy: Policy) -> Iterator[str]:
    """By which of these a person decides each erasure, since no rule keeps what is in that state: a sentence for each.

    What a legal hold keeps is placed by case, and by no rule of a category.
    """
    for place, held, reason in dict.fromkeys(telling):
        name, state = policy.category_of(held), STATES.get(reason)
        if name is None or state is None or policy.categories[name].is_customers or state in policy.lasting(held):
            continue
        rules = sorted(rule for rule, each in policy.rules.items() if each.lasts_while == state and rule != LEGAL_HOLD)
        if rules:
            yield (
                f"{place} tells {reason}, and no rule keeps {held} while {state}: nothing of somebody of whom that"
                f" is so is erased, and a person decides; or name {' or '.join(rules)} in kept_by of"
                f" categories.{name}, and its rows stay by that while the rest goes"
            )


def lasting(*said: bool | None) -> bool | None:
    """Whether a state lasts by all that tell it: if one says so; not if each says that; else nobody knows."""
    return True if True in said else None if None in said else False


class ErasureRefused(Refused):
    """A record is in a state in which nothing of the subject may be erased; the message says the declared reason."""


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


def undated(system: str, held: str, rule: str, anchor: str | None) -> str:
    """The same where the day from which a period counts is not known."""
    return (
        f"{system} holds {held}, which {rule} keeps for a time from {anchor}, and nothing there shows that day: enter"
        " it there, and try again; nothing was done there"
    )
