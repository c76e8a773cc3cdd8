"""The people of the demonstration: who asks for what, why their case is worth watching and how it must end."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
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
    with the person and of whom nothing may change. ``asks``: fields of the request beside right and subject.
    """

    right: Right
    person: Customer
    shows: str
    expected: Outcome = Outcome.FULFILLED
    neighbours: tuple[Customer, ...] = ()
    asks: Mapping[str, Any] = field(default_factory=dict)


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
        TypeAdapter(Part).validate_python(
            declared
            | {"person": who[declared["person"]]}
            | {"neighbours": [who[role] for role in declared.get("neighbours", ())]}
        )
        for declared in _CAST["parts"]
    )
