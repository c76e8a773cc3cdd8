"""The people of the demonstration: who asks for what, why their case is worth watching and how it must end."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from deploy.demo.company.model import Customer
from shared.domain.rights import Outcome, Right


@dataclass(frozen=True, slots=True)
class Character:
    """A customer written by hand; ``calls`` they take part in at least, ``withheld`` share of the calls they make."""

    person: Customer
    calls: int = 80
    tickets: int = 3
    withheld: float = 0.0


@dataclass(frozen=True, slots=True)
class Part:
    """One request of the demonstration.

    ``shows``: what the case is there for. ``expected``: how it must end. ``neighbours``: customers who share something
    with the person and of whom nothing may change.
    """

    right: Right
    person: Customer
    shows: str
    expected: Outcome = Outcome.FULFILLED
    neighbours: tuple[Customer, ...] = ()
    change: Mapping[str, str] = field(default_factory=dict)


def _person(declared: Mapping[str, Any]) -> Customer:
    since = min(phone["valid_from"] for phone in declared["phones"])
    whole = {"code": "", "marketing_consent": False, "since": since, **declared}
    return TypeAdapter(Customer).validate_python(whole)


_CAST = tomllib.loads(Path(__file__).with_name("cast.toml").read_text(encoding="utf-8"))

CHARACTERS: Mapping[str, Character] = {
    role: Character(**{**declared, "person": _person(declared["person"])})
    for role, declared in _CAST["characters"].items()
}
STRANGER = _person(_CAST["stranger"])


def parts(by_role: Mapping[str, Customer]) -> tuple[Part, ...]:
    """The requests of the demonstration, of the customers that the characters became."""
    who = {**by_role, "stranger": STRANGER}
    return tuple(
        Part(
            right=Right(declared["right"]),
            person=who[declared["person"]],
            shows=declared["shows"],
            expected=Outcome(declared.get("expected", Outcome.FULFILLED)),
            neighbours=tuple(who[role] for role in declared.get("neighbours", ())),
            change=declared.get("change", {}),
        )
        for declared in _CAST["parts"]
    )


def with_code(person: Customer, code: str) -> Customer:
    """The character as a customer of the company."""
    return replace(person, code=code)
