"""The countries of the world by their codes (ISO 3166-1 alpha-2), as far as anybody lives there."""

from collections.abc import Mapping
from typing import Final

import phonenumbers

COUNTRIES: Final = frozenset(phonenumbers.SUPPORTED_REGIONS)
"""Every country and territory that has telephone numbers; no code that is free for private use (``XX``, ``ZZ``)."""

UNION: Final = "EU"
"""What stands for the Union itself among the states whose law it is; it has no authority of its own."""

_MEANT: Final[Mapping[str, str]] = {"UK": "GB", "EL": "GR"}
"""What is often written instead of the code of a country."""


def country(value: str) -> str:
    """The same; raises ``ValueError`` where it is the code of no country."""
    if value not in COUNTRIES:
        instead = f"write {_MEANT[value]}" if value in _MEANT else "write its two letters (ISO 3166-1), as DE"
        raise ValueError(f"{value} is no country: {instead}")
    return value


def state(value: str) -> str:
    """The same; raises ``ValueError`` where it is neither the code of a country nor that of the Union."""
    return value if value == UNION else country(value)
